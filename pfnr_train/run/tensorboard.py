"""What TensorBoard shows of a session while it trains: scalars, and a frame as it is decoded by now."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pfnr_train.extras import needs_extra
from pfnr_train.session.training import SessionTraining, StepResult

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PICTURES = 20  # of a session's training, evenly spread
SCALARS = 500


def require_tensorboard() -> type[SummaryWriter]:
    """The class that writes event files; a BackendError where the tensorboard package is missing."""
    with needs_extra("a TensorBoard log", "tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter


class TensorBoardLog:
    """An event file in `folder`/`name`. A BackendError where the tensorboard package is missing.

    frames: what the session is trained on, uint8 [N, H, W, 3]. Scalars are means since the last ones written.
    Nothing here changes the training: its result has the same bits with and without.
    """

    def __init__(self, folder: Path, name: str, frames: NDArray[np.uint8]) -> None:
        self._writer = require_tensorboard()(str(folder / name.replace("/", "_")))
        self._middle = len(frames) // 2
        self._source = torch.from_numpy(frames[self._middle].copy()).permute(2, 0, 1)
        self._sums: dict[str, float] = {}
        self._count = 0

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def on_step(self, training: SessionTraining, result: StepResult) -> None:
        """Take note of one more step."""
        for key, value in (("train/loss", result.loss), ("train/psnr", result.psnr)):
            self._sums[key] = self._sums.get(key, 0.0) + value
        self._count += 1
        last = result.step == training.total_steps
        if last or result.step % max(1, training.total_steps // SCALARS) == 0:
            self._write_scalars(training, result.step)
        if last or result.step % max(1, training.total_steps // PICTURES) == 0:
            self._write_picture(training, result.step)

    def _write_scalars(self, training: SessionTraining, step: int) -> None:
        for key, total in self._sums.items():
            self._writer.add_scalar(key, total / self._count, step)
        self._writer.add_scalar("train/learning_rate", training.form.optimiser.learning_rate, step)
        self._sums, self._count = {}, 0

    def _write_picture(self, training: SessionTraining, step: int) -> None:
        index = torch.tensor([self._middle])
        decoded = training.decode(index)[0]
        shown = torch.round(decoded * 255).clamp_(0, 255).to(torch.uint8).cpu()
        difference = (self._source.int() - shown.int()).abs().mul(4).clamp_(0, 255).to(torch.uint8)
        strip = torch.cat([self._source, shown, difference], dim=2)
        self._writer.add_image("source, decoded, difference x4", strip, step)
