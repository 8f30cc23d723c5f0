"""How long the runtime takes to import, and with what: median over new processes, compared with a bare Python.

    python benchmarks/import_time.py [--runs 9] [--json]

The aim is under 0.5 s for the package and the decoder.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

STATEMENTS = {
    "python alone": "pass",
    "import pfnr_runtime": "import pfnr_runtime",
    "VideoDecoder": "from pfnr_runtime import VideoDecoder",
    "pfnr-decode": "import pfnr_runtime.commands.decode",
    "engine (onnxruntime)": "import onnxruntime",
    "PyAV": "import av",
}
ROOT = Path(__file__).resolve().parents[1]


def seconds(statement: str) -> float:
    """Wall time of a new Python that runs `statement`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
    return time.perf_counter() - start


def measure(runs: int) -> dict[str, float]:
    """Median seconds of each statement; the rounds are interleaved and the first, cold one is dropped."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for turn in range(runs + 1):
        for name, statement in STATEMENTS.items():
            taken = seconds(statement)
            if turn:
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=9, help="processes for each statement")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = measure(options.runs)
    if options.json:
        print(json.dumps({"runs": options.runs, "seconds": result}, indent=2))
        return
    for name, value in result.items():
        extra = value - result["python alone"]
        print(f"{name:<22}{value:7.3f} s   {extra:+.3f} s over Python itself")


if __name__ == "__main__":
    main()
