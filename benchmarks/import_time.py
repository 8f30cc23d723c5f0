"""How long the runtime takes to import, and with what: over new processes, compared with Python and NumPy alone.

    python benchmarks/import_time.py [--runs 15] [--json]

The aim is 0.12 s for the decoder. Byte code is cached, in a folder of the benchmark's, as an installation by pip
caches it. The minimum is the figure to compare: whatever else runs on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STATEMENTS = {
    "python alone": "pass",
    "NumPy": "import numpy",
    "import pfnr_runtime": "import pfnr_runtime",
    "VideoDecoder": "from pfnr_runtime import VideoDecoder",
    "pfnr-decode": "import pfnr_runtime.commands.decode",
    "engine (onnxruntime)": "import onnxruntime",
    "PyAV": "import av",
}
ROOT = Path(__file__).resolve().parents[1]


def seconds(statement: str, cache: str) -> float:
    """Wall time of a new Python that runs `statement`. cache: a folder for byte code."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds of each statement's runs; the rounds are interleaved and the first, cold one is dropped."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory() as cache:
        for turn in range(runs + 1):
            for name, statement in STATEMENTS.items():
                taken = seconds(statement, cache)
                if turn:
                    times[name].append(taken)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15, help="processes for each statement")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    times = measure(options.runs)
    if options.json:
        print(json.dumps({"runs": options.runs, "seconds": times}, indent=2))
        return
    bare = min(times["python alone"])
    for name, values in times.items():
        print(
            f"{name:<22}{min(values):7.3f} s (median {statistics.median(values):.3f})   "
            f"{min(values) - bare:+.3f} s over Python itself"
        )


if __name__ == "__main__":
    main()
