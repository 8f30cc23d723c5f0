"""Kills and failing disks at every step of every writer, and kills of real training at random moments.

    python benchmarks/crashes.py --json benchmarks/results/crashes.json [--kills 200] [--resume]

*Steps*: a writer runs in a forked process that dies by SIGKILL, or whose system call fails with ENOSPC or EIO, at
its n-th call of open, write, fsync, rename or fchmod, for n from 1 until the writer gets through, or 8 (--most);
over an old file and over none. *Kills*: a small real training that saves its state after every step is killed at a
random moment. After each the name must hold the old file or the new one, whole; the next run must give the new
file; and nothing hidden may be left then.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.trial import CONFIG, drawn_library
from pfnr_runtime import VideoDecoder
from pfnr_runtime.doctor.trial import ARTIFACT
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.write_frames import write_frames
from pfnr_train.clips import Clip, ClipInfo, fit_to, frames_digest
from pfnr_train.library.file import lock_library, write_library
from pfnr_train.run.session_job import SessionJob
from pfnr_train.run.state_keeper import Saving
from pfnr_train.run.training_state import Identity, SavedState, write_state
from pfnr_train.session.recipe import Recipe

Work = Callable[[Path], object]
CALLS = ("open", "write", "fsync", "replace", "fchmod")
FAULTS = {"kill": 0, "ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
THROUGH, REPORTED, HIDDEN, BROKEN = 0, 1, 7, 9
LIBRARY = drawn_library(CONFIG, 3)
EPOCHS = 6


def _write_library(folder: Path) -> None:
    with lock_library(folder / "file.pfnr"):
        write_library(LIBRARY, folder / "file.pfnr")


def _export(suffix: str) -> Work:
    return lambda folder: export_session(LIBRARY, 0, folder / f"file{suffix}", ExportOptions(), golden_frames=1)


def _decode(name: str) -> Work:
    def work(folder: Path) -> None:
        with (
            VideoDecoder(ARTIFACT, threads=1) as decoder,
            open_sink(str(folder / name), decoder.metadata, len(decoder)) as sink,
        ):
            write_frames(decoder, range(len(decoder)), sink)

    return work


def _save_state(folder: Path) -> None:
    tree = {"moments": torch.arange(1000.0), "step_count": 3}
    write_state(SavedState(Identity("1", "a", "b", {}, {}), {}, 3, 9, tree), folder / "file.training")


# No encoded video: its bytes differ from run to run, so that old, new and damaged cannot be told by a digest.
WRITERS: dict[str, Work] = {
    "library": _write_library,
    "onnx and golden": _export(".onnx"),
    "packed": _export(".pfnv"),
    "training state": _save_state,
    "y4m": _decode("file.y4m"),
    "png": _decode("%05d.png"),
}


def digests(folder: Path) -> dict[str, str]:
    """Name and digest of each file that a user sees: no hidden ones, no locks."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if not file.name.startswith(".") and file.suffix != ".lock"
    }


def in_child(work: Callable[[], object], seconds: float | None = None) -> int:
    """The exit code of a forked process that does `work`, killed after `seconds`: minus the signal if it was."""
    child = os.fork()
    if child == 0:
        code = BROKEN
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work()
            code = THROUGH
        except (OSError, PfnrError):
            code = REPORTED
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def failing(work: Work, folder: Path, call: str, n: int, fault: int) -> Callable[[], object]:
    """The work with its n-th call of a function of `os` failing; it ends with `HIDDEN` if nobody heard of that."""

    def run() -> None:
        real, seen = getattr(os, call), 0

        def instead(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == n:
                if fault == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError(fault, os.strerror(fault))
            return real(*arguments, **named)

        setattr(os, call, instead)
        work(folder)
        if seen >= n:
            os._exit(HIDDEN)

    return run


def try_step(work: Work, new: dict[str, str], call: str, fault: str, n: int) -> tuple[bool, list[str]]:
    """Whether the writer gets through before its n-th call, and what was wrong if not. new: what it writes."""
    problems = []
    for old in (True, False):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file in new if old else ():
                (folder / file).write_bytes(b"old")
            before = digests(folder)
            code = in_child(failing(work, folder, call, n, FAULTS[fault]))
            after = digests(folder)
            if code == THROUGH:
                return True, problems
            over = "an old file" if old else "nothing"
            if code not in (-signal.SIGKILL, REPORTED, HIDDEN):
                problems.append(f"over {over}: it ended with {code}")
            for file in sorted(before.keys() | after):
                if after.get(file) not in (before.get(file), new[file]):
                    problems.append(f"over {over}: {file} is neither old nor new")
            if in_child(lambda folder=folder: work(folder)) or digests(folder) != new:
                problems.append(f"over {over}: the next run does not give the new file")
            if hidden := [file.name for file in folder.iterdir() if file.name.startswith(".")]:
                problems.append(f"over {over}: {hidden} is left after the next run")
    return False, problems


def all_steps(writer: str, most: int = 8) -> dict[str, Any]:
    """The first calls of every kind of a writer, with every fault: how many were tried, and what was wrong."""
    work = WRITERS[writer]
    with tempfile.TemporaryDirectory() as name:
        if code := in_child(lambda: work(Path(name))):
            return {"tried": 0, "problems": [f"the writer ends with {code} by itself"]}
        new = digests(Path(name))
    tried, problems = 0, []
    for call in CALLS:
        for fault in FAULTS:
            for n in range(1, most + 1):
                through, found = try_step(work, new, call, fault, n)
                problems += [f"{call} {n}, {fault}: {problem}" for problem in found]
                if through:
                    break
                tried += 1
    return {"tried": tried, "problems": problems}


def _clip() -> Clip:
    width, height = CONFIG.size
    pictures = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
    info = ClipInfo(Path("clip.mkv"), "video", width, height, 4, Fraction(25))
    return Clip(pictures, info, fit_to((width, height), None), 0, frames_digest(pictures))


def _train(path: Path, resume: bool) -> Callable[[], object]:
    """Add a session to the library at `path`, in a child process."""

    def work() -> None:
        torch.set_num_threads(1)
        saving = Saving(every=0.0, resume=resume)
        with lock_library(path):
            SessionJob(_clip(), "clip", Recipe(epochs=EPOCHS, batch=2, density=0.4), saving=saving).run(
                LIBRARY, path
            )

    return work


def kill_trainings(kills: int, known: list[dict[str, Any]], keep: Callable[[list[dict[str, Any]]], None]) -> None:
    """Kill so many trainings in all; `known` has those that were killed before, and `keep` stores them."""
    with tempfile.TemporaryDirectory() as name:
        reference = Path(name, "l.pfnr")
        write_library(LIBRARY, reference)
        old = digests(Path(name))["l.pfnr"]
        start = time.monotonic()
        assert in_child(_train(reference, resume=False)) == THROUGH
        usual, new = time.monotonic() - start, digests(Path(name))["l.pfnr"]
    for seed in range(len(known), kills):
        with tempfile.TemporaryDirectory() as name:
            folder, path = Path(name), Path(name, "l.pfnr")
            write_library(LIBRARY, path)
            moment = random.Random(seed).uniform(0, usual)
            code, problems = in_child(_train(path, resume=False), moment), []
            there = digests(folder)["l.pfnr"]
            saved = any(file.name.endswith(".training") for file in folder.iterdir())
            if there not in (old, new):
                problems.append("the library is neither old nor new")
            if there == old:
                if again := in_child(_train(path, resume=saved)):
                    problems.append(f"the next run ends with {again}")
                elif digests(folder)["l.pfnr"] != new:
                    problems.append("the next run gives other bytes")
            if hidden := [
                n for f in folder.iterdir() if (n := f.name).startswith(".") and not n.endswith(".lock")
            ]:
                problems.append(f"{hidden} is left after the next run")
            known.append(
                {"killed": code == -signal.SIGKILL, "resumed": saved and there == old, "problems": problems}
            )
            keep(known)


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--kills", type=int, default=200)
    made.add_argument("--most", type=int, default=8, help="calls of each kind that fail, from the first on")
    made.add_argument("--resume", action="store_true", help="go on from the JSON file")
    options = made.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"machine": machine(), "most": options.most, "steps": {}, "kills": []}
    if options.resume and options.json and options.json.exists():
        result = json.loads(options.json.read_text())
    for writer in WRITERS:
        if writer not in result["steps"]:
            result["steps"][writer] = all_steps(writer, options.most)
            store(result, options.json)
            print(writer, result["steps"][writer], file=sys.stderr, flush=True)
    kill_trainings(options.kills, result["kills"], lambda known: store(result | {"kills": known}, options.json))
    steps = [(name, str(found["tried"]), str(len(found["problems"]))) for name, found in result["steps"].items()]
    killed = [kill for kill in result["kills"] if kill["killed"]]
    wrong = sum(bool(kill["problems"]) for kill in result["kills"])
    show("Failures at every step", ("writer", "tried", "problems"), steps)
    print(f"{len(killed)} of {len(result['kills'])} trainings were killed, {wrong} went wrong")
    result["summary"] = {
        "steps": sum(found["tried"] for found in result["steps"].values()),
        "kills": len(killed),
        "resumed": sum(kill["resumed"] for kill in result["kills"]),
        "problems": wrong + sum(len(found["problems"]) for found in result["steps"].values()),
    }
    store(result, options.json)
    return int(result["summary"]["problems"] > 0)


if __name__ == "__main__":
    sys.exit(main())
