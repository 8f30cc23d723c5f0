"""Playback in a real window, on a display that no one sees: frames lost, how late they are, memory.

    python benchmarks/window.py [--preset cpu-s] [--size 1280x720] [--fps 60] [--seconds 60] [--artifact v5.onnx]

Starts Xvfb, and pfnr-play in it, as a user would; random weights by default, since speed does not depend on them.
After --seconds the key q is typed by xdotool, and the player's statistics are read. What Xvfb and the copy to its
screen cost is part of it. Aim: under 0.5 % of frames lost in ten minutes of 720p at 60 frames a second on two
cores.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from random_library import random_library
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_train.model.config import preset_config

EVERY = 1.0  # seconds between looks at memory
RESIDENT = "VmRSS:"


@contextlib.contextmanager
def display(width: int, height: int) -> Iterator[str]:
    """A virtual display of its own process, as the value of $DISPLAY."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        try:
            with os.fdopen(read) as pipe:
                yield f":{pipe.readline().strip()}"
        finally:
            server.terminate()


def resident(process: int) -> int:
    """Resident bytes of a process, 0 when it has ended."""
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith(RESIDENT):
                return int(line.split()[1]) * 1024
    return 0


def played(artifact: Path, where: str, options: Any) -> dict[str, Any]:
    """Statistics of a playback, and the resident bytes of the player by seconds."""
    command = [sys.executable, "-c", "from pfnr_runtime.commands.play import main; main()", str(artifact)]
    command += ["--loop", "--json", "--quiet", "--fps", str(options.fps), "--threads", str(options.threads)]
    memory: list[int] = []
    shown = os.environ | {"DISPLAY": where}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=shown) as player:
        end = time.monotonic() + options.seconds
        while time.monotonic() < end and player.poll() is None:
            time.sleep(EVERY)
            memory.append(resident(player.pid))
        subprocess.run(["xdotool", "key", "q"], env=shown, check=True)
        said, _ = player.communicate()
    return {"statistics": json.loads(said), "resident_bytes": memory}


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--artifact", type=Path)
    arguments.add_argument("--preset", default="cpu-s")
    arguments.add_argument("--size", default="1280x720")
    arguments.add_argument("--fps", default="60")
    arguments.add_argument("--seconds", type=float, default=60.0)
    options = arguments.parse_args()
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder, display(width, height) as where:
        artifact = options.artifact
        if artifact is None:
            artifact = Path(folder) / "random.onnx"
            export_session(
                random_library(preset_config(options.preset, width, height), 60), 0, artifact, ExportOptions()
            )
        found = played(artifact, where, options)
    result = {"machine": machine(), "preset": options.preset, "size": options.size, "fps": options.fps, **found}
    statistics, memory = found["statistics"]["statistics"], found["resident_bytes"]
    show(
        f"{options.size} at {options.fps} frames a second in a window, {options.threads} threads",
        ("", ""),
        [
            ("shown", f"{statistics['shown']} in {statistics['seconds']:.0f} s"),
            ("skipped, dropped", f"{statistics['skipped']}, {statistics['dropped']}"),
            ("lost", f"{statistics['lost_percent']:.3f} %"),
            (
                "decoding: median, 99 %",
                " ".join(f"{statistics['decode_ms'][k]:.1f} ms" for k in ("median", "p99")),
            ),
            ("resident", f"{memory[len(memory) // 10] / 1e6:.0f} MB, at the end {memory[-1] / 1e6:.0f} MB"),
        ],
    )
    store(result, options.json)


if __name__ == "__main__":
    main()
