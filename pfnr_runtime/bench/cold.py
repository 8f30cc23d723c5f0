"""Cold start: from a new process to its first frame, stage by stage, and its memory.

`cold_starts` runs this module in new processes. After the first one their files are in the page cache: the process
is cold, not the disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from pfnr_runtime.errors import BackendError

# Frames decoded before memory is measured: an engine's second run can use more than its first.
FRAMES = 4
PACKAGES = Path(__file__).parents[2]
FIGURES = ("first_frame_s", "import_s", "open_s", "decode_s", "resident_bytes", "peak_bytes")


def cold_starts(arguments: dict[str, Any], runs: int) -> dict[str, Any]:
    """Medians over `runs` new processes. A BackendError with the last line of its output if one of them fails.

    arguments: of `VideoDecoder` with `path` among them, or `h264`: a file for PyAV, and `threads`. Seconds: start
    of the process to the first frame, and of that imports, opening, and decoding the frame. Bytes: resident after
    `FRAMES` frames, and at the peak; None where the system does not report it.
    """
    found = [_start(arguments) for _ in range(runs)]
    known = {name: [run[name] for run in found] for name in FIGURES}
    figures = {name: None if None in values else median(values) for name, values in known.items()}
    return {"runs": runs, **figures}


def _start(arguments: dict[str, Any]) -> dict[str, Any]:
    paths = os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))
    begin = time.time()
    done = subprocess.run(
        [sys.executable, "-m", __name__, json.dumps(arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise BackendError(f"a new process could not decode: {last}")
    found: dict[str, Any] = json.loads(done.stdout)
    found["first_frame_s"] = found.pop("first_frame_at") - begin
    return found


def _decode_artifact(arguments: dict[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    from pfnr_runtime import VideoDecoder

    imported = time.perf_counter()
    with VideoDecoder(**arguments) as decoder:
        opened = time.perf_counter()
        decoder.get_frame_at(0)
        first, at = time.perf_counter(), time.time()
        for index in range(1, min(FRAMES, len(decoder))):
            decoder.get_frame_at(index)
        return _figures(imported - start, opened - imported, first - opened, at)


def _decode_h264(arguments: dict[str, Any]) -> dict[str, Any]:
    start = time.perf_counter()
    from pfnr_runtime.bench.h264 import H264Reader

    imported = time.perf_counter()
    with H264Reader(Path(arguments["h264"]), threads=arguments["threads"]) as reader:
        opened = time.perf_counter()
        pictures = reader.pictures()
        next(pictures)
        first, at = time.perf_counter(), time.time()
        for _ in range(1, FRAMES):
            next(pictures, None)
        return _figures(imported - start, opened - imported, first - opened, at)


def _figures(import_s: float, open_s: float, decode_s: float, at: float) -> dict[str, Any]:
    from pfnr_runtime.bench.memory import peak_bytes, resident_bytes

    return {
        "first_frame_at": at,
        "import_s": import_s,
        "open_s": open_s,
        "decode_s": decode_s,
        "resident_bytes": resident_bytes(),
        "peak_bytes": peak_bytes(),
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(_decode_h264(given) if "h264" in given else _decode_artifact(given)))
