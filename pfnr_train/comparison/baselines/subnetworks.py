"""WSN and PFNR: a sparse subnetwork of one shared network for each video, trained as `pfnr-train add` does it."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter

from pfnr_train.clips import Clip, ClipInfo, fit_to, frames_digest
from pfnr_train.comparison.baselines.method import Frames, Method, Setting
from pfnr_train.library.file import library_bytes
from pfnr_train.machine.execution import Execution
from pfnr_train.model.config import FourierConfig
from pfnr_train.model.decode import decode_all
from pfnr_train.run.add_session import add_session
from pfnr_train.session.initialise import new_library
from pfnr_train.session.training import SessionTraining, StepResult


class Subnetworks(Method):
    """A library. block: index of the Fourier block, None for WSN (Kang et al. 2022), which has none."""

    def __init__(self, setting: Setting, block: int | None) -> None:
        fourier = None
        if block is not None:
            fourier = replace(setting.config.fourier or FourierConfig(), block=block)
        super().__init__(replace(setting, config=replace(setting.config, fourier=fourier)))
        self.library = new_library(self.config, self.recipe.seed)

    def learn(self, index: int, frames: Frames) -> float:
        """See `Method`."""
        width, height = self.config.size
        info = ClipInfo(Path(f"video-{index}"), "images", width, height, len(frames), Fraction(25))
        clip = Clip(frames, info, fit_to((width, height), None), 0, frames_digest(frames))
        start = last = perf_counter()

        def on_step(training: SessionTraining, result: StepResult) -> None:
            nonlocal last
            last = perf_counter()

        self.library, _ = add_session(
            self.library, clip, f"video-{index}", "", self.recipe, on_step, Execution(self.setting.device)
        )
        return last - start

    def decode(self, index: int) -> Frames | None:
        """See `Method`."""
        return decode_all(self.library.session_weights(index))

    def stored_bytes(self) -> dict[str, int]:
        """See `Method`: the library's file, by what its bytes are."""
        sessions = self.library.sessions
        parts = {
            "weights": sum(w.nbytes for w in self.library.weights.values()),
            "masks": sum(s.values.sizes()["masks"] for s in sessions),
            "heads": sum(s.values.sizes()["head"] for s in sessions),
        }
        return parts | {"header": len(library_bytes(self.library)) - sum(parts.values())}

    def parameters(self) -> int:
        """See `Method`."""
        shared = sum(w.size for w in self.library.weights.values())
        heads = math.prod(self.config.head_shapes()["weight"]) + (3 if self.config.bias else 0)
        return shared + heads * len(self.library.sessions)
