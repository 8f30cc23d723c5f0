"""Figures for H.264: size, PSNR to the artifact's frames, and decoding in software and hardware."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.bench.cold import cold_starts
from pfnr_runtime.bench.energy import EnergyRecorder
from pfnr_runtime.bench.h264 import H264Reader, hardware_devices
from pfnr_runtime.bench.timing import at_random, in_order, time_runs
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import BackendError
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.video.metrics import psnr

LEAST_FRAMES = 8
KEPT = 4  # frames kept to compute H.264's PSNR


@dataclass(frozen=True)
class Encoded:
    """The first `frames` frames of an artifact as H.264. kept: the first few before encoding."""

    path: Path
    frames: int
    description: str
    kept: tuple[NDArray[np.uint8], ...]


def encode(decoder: VideoDecoder, path: Path, seconds: float) -> Encoded:
    """Encode the artifact's frames to `path`: all, or those that decode within `seconds`, at least 8."""
    kept: list[NDArray[np.uint8]] = []
    # At a constant rate, so that a picture's number gives its place in the file.
    video = decoder.metadata.at_rate(decoder.metadata.fps)
    with open_sink(str(path), video, len(decoder), codec="h264") as sink:

        def add(index: int) -> None:
            frame = decoder.get_frame_at(index)
            kept.extend([frame.data] if len(kept) < KEPT else [])
            sink.write(frame)

        written = time_runs(add, range(len(decoder)), seconds, LEAST_FRAMES)
    return Encoded(path, len(written.seconds), sink.description, tuple(kept))


def measure(encoded: Encoded, threads: int, seconds: float, starts: int) -> dict[str, Any]:
    """The H.264 figures of `pfnr-bench`. starts: new processes for the cold start."""
    size = encoded.path.stat().st_size
    result: dict[str, Any] = {
        "encoder": encoded.description,
        "frames": encoded.frames,
        "bytes": size,
        "bytes_per_frame": size / encoded.frames,
        "psnr_to_artifact": _likeness(encoded, threads),
        "software": {
            **_decode(encoded, seconds, threads=threads),
            "cold": cold_starts({"h264": str(encoded.path), "threads": threads}, starts),
        },
        "hardware": {},
        "hardware_missing": {},
    }
    for device in hardware_devices():
        try:
            result["hardware"][device] = _decode(encoded, seconds, threads=threads, device=device)
        except BackendError as error:
            result["hardware_missing"][device] = str(error)
    return result


def _decode(encoded: Encoded, seconds: float, **how: Any) -> dict[str, Any]:
    with H264Reader(encoded.path, **how) as reader:
        pictures = reader.pictures()

        def following(_: int) -> None:
            nonlocal pictures
            if next(pictures, None) is None:
                pictures = reader.pictures()
                next(pictures)

        following(0)
        with EnergyRecorder() as energy:
            sequential = time_runs(following, in_order(encoded.frames), seconds)
        random = time_runs(reader.picture, at_random(encoded.frames), seconds)
    return {
        "sequential": sequential.to_json(),
        "random": random.to_json(),
        "energy": energy.to_json(len(sequential.seconds)),
    }


def _likeness(encoded: Encoded, threads: int) -> float:
    with H264Reader(encoded.path, threads=threads) as reader:
        found = [psnr(kept, picture) for kept, picture in zip(encoded.kept, reader.pictures(), strict=False)]
    return float(np.mean(found))
