"""The commands of the toolkit, in this process or in a separate one; none ever shows a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from helpers.paths import ROOT

ENTRY_POINTS = {
    "pfnr-train": "from pfnr_train import main; main()",
    "pfnr-export": "from pfnr_export import main; main()",
    "pfnr-verify": "from pfnr_export import verify_main; verify_main()",
}
FRAMES = 5  # of every clip here
TRAIN = ("--recipe", "shared", "--preset", "tiny", "--epochs", 1, "--threads", 1)


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Its result, where --json was given."""
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """Its one error line; a failed command prints no result."""
        assert self.stdout == ""
        (line,) = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert self.stderr.splitlines()[-1] == line
        return line.removeprefix("error: ")


def run_here(command: str, *arguments: object) -> Outcome:
    """Run a command in this process, which saves importing torch again."""
    if command == "pfnr-train":
        from pfnr_train.commands import app
    elif command == "pfnr-export":
        from pfnr_export.commands.export import app
    else:
        from pfnr_export.commands.verify import app
    done = CliRunner().invoke(app, [str(a) for a in arguments], prog_name=command)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Outcome(done.exit_code, done.stdout, done.stderr)


def run_process(command: str, *arguments: object, cwd: Path) -> Outcome:
    """Run a command as a person does, in a separate process."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", ENTRY_POINTS[command], *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Outcome(done.returncode, done.stdout, done.stderr)
