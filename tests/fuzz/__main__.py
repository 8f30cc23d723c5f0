"""Runs the targets in turn and reports what was found: python -m fuzz --seconds 600 --json out/fuzz.json"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fuzz.coverage import guided
from fuzz.targets import TARGETS

GRACE = 600.0  # seconds for a process to make its seeds and to end, on a busy machine


def run_target(name: str, first: int, seconds: float) -> dict[str, Any]:
    """A target for so many seconds, started again after every input that killed it."""
    total: dict[str, Any] = {"runs": 0, "accepted": 0, "slowest": 0.0, "grown_mib": 0, "findings": []}
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and len(total["findings"]) < 5:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "fuzz.worker", name, str(first), str(left), folder]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=left + GRACE, check=False)
                code, said = done.returncode, done.stderr[-1500:]
                found = json.loads(done.stdout.splitlines()[-1]) if code == 0 else None
            except subprocess.TimeoutExpired:
                code, said, found = -1, "no end", None
            number = Path(folder, "number")
            at = int(number.read_text()) if number.exists() else first
        if found is None:
            finding = {"number": at, "error": f"the process ended with {code}: {said}"}
            found = {"runs": at - first + 1, "accepted": 0, "slowest": 0.0, "grown_mib": 0, "findings": [finding]}
        for key in ("runs", "accepted"):
            total[key] += found[key]
        for key in ("slowest", "grown_mib"):
            total[key] = max(total[key], found[key])
        total["findings"] += found["findings"]
        first += found["runs"]
    return total


def main() -> int:
    """The exit code is 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--json", type=Path, help="report; adds to one that is there")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS), help="a target; may be repeated")
    parser.add_argument("--first", type=int, help="number of the first input; by default where the report ends")
    parser.add_argument("--coverage", action="store_true", help="guided by coverage, with Atheris (extra fuzz)")
    options = parser.parse_args()
    report = json.loads(options.json.read_text()) if options.json and options.json.exists() else {"targets": {}}
    names = options.only or list(TARGETS)
    failed = False
    for name in names:
        how = "guided" if options.coverage else "random"
        known = report["targets"].setdefault(name, {}).setdefault(how, {"runs": 0, "seconds": 0.0, "findings": []})
        first = known["runs"] if options.first is None else options.first
        share = options.seconds / len(names)
        found = guided(name, share) if options.coverage else run_target(name, first, share)
        known["runs"] += found["runs"]
        known["seconds"] += share
        known["accepted"] = known.get("accepted", 0) + found.get("accepted", 0)
        known["slowest"] = max(known.get("slowest", 0.0), found.get("slowest", 0.0))
        known["grown_mib"] = max(known.get("grown_mib", 0), found.get("grown_mib", 0))
        known["findings"] += found["findings"]
        failed |= bool(found["findings"])
        print(f"{name}: {found['runs']:,} inputs, {len(found['findings'])} findings", file=sys.stderr, flush=True)
        for finding in found["findings"]:
            print(f"  {finding['number']}: {finding['error'][-1200:]}", file=sys.stderr, flush=True)
        report["runs"] = sum(run["runs"] for target in report["targets"].values() for run in target.values())
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
