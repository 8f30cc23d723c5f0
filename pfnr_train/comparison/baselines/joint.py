"""MTL: all videos at once in one network. Shows what sequential methods give up."""

from __future__ import annotations

from pfnr_train.comparison.baselines.dense_training import DenseTraining, Part
from pfnr_train.comparison.baselines.method import DenseNetwork, Frames, Method, Setting
from pfnr_train.session.initialise import new_head, new_library
from pfnr_train.session.training import session_generator


class MultiTask(Method):
    """Collects videos; when the last one arrives, trains the network on all frames.

    Every frame is seen as often as in the other methods.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.parts: list[Part] = []
        self.network: DenseNetwork | None = None

    def learn(self, index: int, frames: Frames) -> float:
        """See `Method`."""
        self.parts.append(Part(index, frames, self.table(index, len(frames))))
        if len(self.parts) < self.setting.videos:
            return 0.0
        weights = new_library(self.config, self.recipe.seed).weights
        heads = {}
        for part in self.parts:
            drawn = new_head(self.config, session_generator(self.recipe.seed, part.video))
            heads[part.video] = {name: w.numpy() for name, w in drawn.items()}
        start = DenseNetwork(self.config, weights, heads)
        generator = session_generator(self.recipe.seed, len(self.parts))
        self.network, seconds = DenseTraining(start, self.parts, self.recipe, generator, self.setting.device).run()
        return seconds

    def decode(self, index: int) -> Frames | None:
        """See `Method`."""
        return None if self.network is None else self.network.decode(index, self.parts[index].table)

    def stored_bytes(self) -> dict[str, int]:
        """See `Method`."""
        assert self.network is not None
        return {"network": self.network.stored_bytes({p.video: len(p.frames) for p in self.parts})}

    def parameters(self) -> int:
        """See `Method`."""
        assert self.network is not None
        return self.network.parameters()
