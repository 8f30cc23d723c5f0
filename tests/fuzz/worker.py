"""One target, run in a process of its own: python -m fuzz.worker NAME FIRST SECONDS FOLDER

Inputs have numbers, from FIRST on. The number under way is in FOLDER/number, so that whoever started the process
knows which one killed it. The result is one line of JSON on stdout.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from fuzz.targets import TARGETS

LONGEST_SECONDS = 10  # of processor time, since a busy machine may give little of it
LONGEST_WAIT = 100
MOST_GROWTH = 1 << 20  # KiB of memory above what the process had when the target was ready
MOST_FINDINGS = 5


def campaign(name: str, first: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Run inputs until the time is over: how many, how many were accepted, and what was found."""
    ready = TARGETS[name](folder)
    for seed in ready.seeds:
        assert ready.run(seed), f"{name}: a seed that is refused"
    before = _peak()
    runs = accepted = 0
    slowest, used = 0.0, time.process_time()
    findings: list[dict[str, Any]] = []
    record = os.open(folder / "number", os.O_WRONLY | os.O_CREAT, 0o600)
    end = time.monotonic() + seconds
    now = time.monotonic()
    while now < end and len(findings) < MOST_FINDINGS:
        number = first + runs
        os.pwrite(record, b"%20d" % number, 0)
        signal.setitimer(signal.ITIMER_PROF, LONGEST_SECONDS)  # whose signal ends the process
        faulthandler.dump_traceback_later(LONGEST_WAIT, exit=True)
        try:
            accepted += ready.run(ready.input(number))
        except BaseException as error:
            findings.append({"number": number, "error": "".join(traceback.format_exception(error))[-2000:]})
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_PROF, 0)
        runs += 1
        now, before_this, used = time.monotonic(), used, time.process_time()
        slowest = max(slowest, used - before_this)
        if _peak() - before > MOST_GROWTH:
            findings.append({"number": number, "error": f"{(_peak() - before) >> 10} MiB of memory"})
            break
    ready.close()
    grown = max(0, _peak() - before) >> 10
    return {"runs": runs, "accepted": accepted, "slowest": slowest, "grown_mib": grown, "findings": findings}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    name, first, seconds, folder = sys.argv[1:]
    print(json.dumps(campaign(name, int(first), float(seconds), Path(folder))), flush=True)
    os._exit(0)
