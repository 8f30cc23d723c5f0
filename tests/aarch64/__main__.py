"""`make test-aarch64`: the runtime's wheels in a Debian arm64 root under qemu, checked against this machine.

Takes root's rights, and Debian's debootstrap, qemu-user-static and binfmt-support. The first run makes the root,
later ones find it. Exits with 1 where a check fails.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from aarch64.root import ArmRoot, enter_namespace

REPORT = "aarch64.json"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="aarch64", description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("build/aarch64"), help="folder for all of it, 700 MB")
    parser.add_argument("--suite", default="bookworm", help="Debian release")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian", help="Debian server")
    parser.add_argument("--markdown", action="store_true", help="print the table as the docs have it")
    options = parser.parse_args()
    enter_namespace()
    # The first process of a namespace ignores what it does not handle.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    start = time.monotonic()
    with ArmRoot(options.root, options.suite, options.mirror) as root:
        root.make()
        made = time.monotonic() - start
        artifacts, out = root.folder / "artifacts", root.folder / "out"
        for folder in (artifacts, out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        # Imported late: torch takes seconds, and `enter_namespace` starts this program anew.
        from helpers.gpu_artifacts import make_artifacts

        from aarch64.checks import Checks

        make_artifacts(artifacts, "tiny", frames=4)
        rows = []
        for row in Checks(root, artifacts, out).rows():
            rows.append(row)
            verdict = "ok" if row.passed else "FAILED"
            if options.markdown:
                print(f"| `{row.command}` | {verdict} | {row.result} | {row.seconds:.1f} s |", flush=True)
            else:
                print(f"{verdict:<7}{row.seconds:6.1f} s  {row.command}\n{'':17}{row.result}", flush=True)
        failed = sum(not row.passed for row in rows)
    result = {"seconds_to_make": made, "failed": failed, "rows": [asdict(row) for row in rows]}
    (root.folder / REPORT).write_text(json.dumps(result, indent=2) + "\n")
    checked = time.monotonic() - start - made
    print(f"{len(rows)} checks, {failed} failed; root and wheels took {made:.0f} s, checks {checked:.0f} s")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
