"""Polygraphy runners for the two sides of the proof: the masked PyTorch model, and the runtime's decoder."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from polygraphy.backend.base import BaseRunner
from polygraphy.common import TensorMetadata

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import INPUT_NAME, OUTPUT_NAME
from pfnr_train.model.network import MaskedSession, SessionWeights, to_uint8


class _FrameRunner(BaseRunner):  # type: ignore[misc]
    def get_input_metadata_impl(self) -> TensorMetadata:
        """One input: int64 frame numbers of any count."""
        return TensorMetadata().add(INPUT_NAME, np.dtype(np.int64), (None,))

    def _timed(self, decode: Callable[[], NDArray[np.uint8]]) -> OrderedDict[str, Any]:
        start = time.perf_counter()
        frames = decode()
        self.inference_time = time.perf_counter() - start
        return OrderedDict({OUTPUT_NAME: frames})


class MaskedSessionRunner(_FrameRunner):
    """The reference: masks multiplied in, the Fourier block through FFTs, float32 in PyTorch on the CPU."""

    def __init__(self, session: SessionWeights) -> None:
        super().__init__(name="pytorch")
        self.model = MaskedSession(session)

    def infer_impl(self, feed_dict: dict[str, Any]) -> OrderedDict[str, Any]:
        """Decode the frames asked for."""
        return self._timed(lambda: to_uint8(self.model(torch.from_numpy(feed_dict[INPUT_NAME]))))


class ArtifactRunner(_FrameRunner):
    """The artifact under test, through the decoder that plays it."""

    def __init__(self, decoder: VideoDecoder) -> None:
        super().__init__(name="artifact")
        self.decoder = decoder

    def infer_impl(self, feed_dict: dict[str, Any]) -> OrderedDict[str, Any]:
        """Decode the frames asked for."""
        indices = [int(i) for i in feed_dict[INPUT_NAME]]
        return self._timed(lambda: self.decoder.get_frames_at(indices).data)
