"""Fine-tuning: one network, one video after another, nothing protected. Shows forgetting."""

from __future__ import annotations

from pfnr_train.comparison.baselines.dense_training import DenseTraining, Part, Penalty
from pfnr_train.comparison.baselines.method import DenseNetwork, Frames, Method, Setting
from pfnr_train.session.initialise import new_head, new_library
from pfnr_train.session.training import session_generator


class FineTuning(Method):
    """Each video continues from the previous one's weights. Subclasses protect something."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.network = DenseNetwork(self.config, new_library(self.config, self.recipe.seed).weights, {})
        self.lengths: list[int] = []

    def learn(self, index: int, frames: Frames) -> float:
        """See `Method`."""
        generator = session_generator(self.recipe.seed, index)
        head = {name: w.numpy() for name, w in new_head(self.config, generator).items()}
        self.network.heads[index] = head
        part = Part(index, frames, self.table(index, len(frames)))
        self.lengths.append(len(frames))
        training = DenseTraining(
            self.network,
            [part, *self.rehearsed()],
            self.recipe,
            generator,
            self.setting.device,
            self.penalty(),
        )
        self.network, seconds = training.run()
        return seconds + self.remember(part)

    def rehearsed(self) -> list[Part]:
        """Frames of old videos to train on as well."""
        return []

    def penalty(self) -> Penalty | None:
        """What to add to the loss."""
        return None

    def remember(self, part: Part) -> float:
        """Store what protects the video just learnt; returns the seconds it took."""
        return 0.0

    def decode(self, index: int) -> Frames | None:
        """See `Method`."""
        return self.network.decode(index, self.table(index, self.lengths[index]))

    def stored_bytes(self) -> dict[str, int]:
        """See `Method`."""
        return {"network": self.network.stored_bytes(dict(enumerate(self.lengths)))}

    def parameters(self) -> int:
        """See `Method`."""
        return self.network.parameters()
