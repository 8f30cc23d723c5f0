"""Decoding speed of presets at several frame sizes, all in turns: for ratios that a busy machine does not spoil.

    python benchmarks/speed.py [--size 1280x720,1920x1080] [--presets edge-s:int8,cpu-s,...] [--json FILE]

Random weights, since speed does not depend on them; a preset without a precision is exported as `auto` does,
exact where it can be. Ratios are to the first preset, medians over rounds of the ratio within a round. Resident
memory is that of a fresh process that has decoded eight frames.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from random_library import random_library
from report import interleaved, machine, parser, show, store, summarise

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_train.model.config import ModelConfig, preset_config

FRAMES = 4
PRESETS = "edge-s:int8,edge-s:fp32,tiny:fp32,tiny:int8,canvas,cpu-m,cpu-s"
# Run in a fresh interpreter: prints resident bytes after some frames.
RESIDENT = """
from pfnr_runtime import VideoDecoder
from pfnr_runtime.bench.memory import resident_bytes
with VideoDecoder({artifact!r}, threads={threads}) as decoder:
    for index in range(8):
        decoder[index % len(decoder)]
    print(resident_bytes())
"""


def export_random(config: ModelConfig, precision: str, path: Path) -> str:
    """Export random weights, and return the precision. They have nothing to lose, so the budget is the loosest."""
    chosen = precision or "auto"
    loose = {"psnr_budget": 20.0, "calibration_frames": 1} if chosen.startswith("int8") else {}
    return export_session(
        random_library(config, FRAMES), 0, path, ExportOptions(precision=chosen, **loose)
    ).contract.precision


def take_turns(artifacts: Mapping[str, Path], options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Median and least seconds of a frame, and the ratio to the first, of every artifact."""
    with contextlib.ExitStack() as stack:
        contenders: dict[str, Callable[[], object]] = {}
        for name, path in artifacts.items():
            decoder = stack.enter_context(VideoDecoder(path, threads=options.threads))
            contenders[name] = lambda d=decoder: d[0].data  # type: ignore[misc]
        clock = process_time if options.processor_time else perf_counter
        times = interleaved(contenders, options.rounds, clock=clock)
    return summarise(times, next(iter(artifacts)))


def resident(artifact: Path, threads: int) -> int:
    """Resident bytes of a process that decodes it."""
    code = RESIDENT.format(artifact=str(artifact), threads=threads)
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def measure(size: str, folder: Path, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Figures of every preset at one size, by name."""
    width, height = map(int, size.split("x"))
    artifacts, facts = {}, {}
    for name in options.presets:
        preset, _, precision = name.partition(":")
        config, path = preset_config(preset, width, height), folder / f"{preset}-{precision}-{size}.onnx"
        artifacts[name] = path
        facts[name] = {"precision": export_random(config, precision, path), "gmac": config.macs() / 1e9}
    times = take_turns(artifacts, options)
    return {
        name: facts[name] | times[name] | {"resident_bytes": resident(path, options.threads)}
        for name, path in artifacts.items()
    }


def row(name: str, found: Mapping[str, Any]) -> list[str]:
    """One line of the table."""
    return [
        name.partition(":")[0],
        found["precision"],
        f"{found['gmac']:.2f}",
        f"{found['median_s'] * 1e3:.1f} ms",
        f"{1 / found['median_s']:.0f}",
        f"{1 / found['least_s']:.0f}",
        f"{1 / found['ratio']:.2f}",
        f"{found['resident_bytes'] / 1e6:.0f} MB",
    ]


def speed_options(made: argparse.ArgumentParser) -> None:
    """The options of `measure`."""
    made.add_argument("--size", default="1280x720")
    made.add_argument("--presets", type=lambda text: text.split(","), default=PRESETS.split(","))
    made.add_argument("--rounds", type=int, default=15)
    made.add_argument(
        "--processor-time", action="store_true", help="for a busy machine; threads that wait count too: use one"
    )


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    speed_options(arguments)
    options = arguments.parse_args()
    result: dict[str, Any] = {"machine": machine(), "threads": options.threads, "rounds": options.rounds}
    result["processor_time"], result["sizes"] = options.processor_time, {}
    columns = ("preset", "precision", "GMAC", "median", "frames/s", "at best", "speed", "resident")
    with tempfile.TemporaryDirectory() as folder:
        for size in options.size.split(","):
            found = result["sizes"][size] = measure(size, Path(folder), options)
            rows = [row(name, figures) for name, figures in found.items()]
            show(f"{size}, {options.threads} threads; speed over {options.presets[0]}", columns, rows)
    store(result, options.json)


if __name__ == "__main__":
    main()
