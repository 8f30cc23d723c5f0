"""STL: a separate network for every video. Nothing is shared or forgotten, at the cost of n networks."""

from __future__ import annotations

from pfnr_train.comparison.baselines.dense_training import DenseTraining, Part
from pfnr_train.comparison.baselines.method import DenseNetwork, Frames, Method, Setting
from pfnr_train.session.initialise import new_head, new_library
from pfnr_train.session.training import session_generator


class SingleTask(Method):
    """One whole network per video (NeRV, arXiv 2110.13903)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.networks: list[DenseNetwork] = []
        self.lengths: list[int] = []

    def learn(self, index: int, frames: Frames) -> float:
        """See `Method`."""
        generator = session_generator(self.recipe.seed, index)
        weights = new_library(self.config, self.recipe.seed).weights
        head = {name: w.numpy() for name, w in new_head(self.config, generator).items()}
        part = Part(index, frames, self.table(index, len(frames)))
        start = DenseNetwork(self.config, weights, {index: head})
        network, seconds = DenseTraining(start, [part], self.recipe, generator, self.setting.device).run()
        self.networks.append(network)
        self.lengths.append(len(frames))
        return seconds

    def decode(self, index: int) -> Frames | None:
        """See `Method`."""
        return self.networks[index].decode(index, self.table(index, self.lengths[index]))

    def stored_bytes(self) -> dict[str, int]:
        """See `Method`."""
        sizes = [
            n.stored_bytes({k: frames})
            for k, (n, frames) in enumerate(zip(self.networks, self.lengths, strict=True))
        ]
        return {"networks": sum(sizes)}

    def parameters(self) -> int:
        """See `Method`."""
        return sum(network.parameters() for network in self.networks)
