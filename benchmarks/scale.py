"""How a library's costs grow with its sessions, what a second worker gains, what killed workers lose.

Three parts, by --parts: `library` times opening, listing, reading, exporting and adding one session in libraries
of 10 to 1,000 sessions, and counts bytes read and written and peak memory; `workers` trains eight sessions with
one and with two local processes; `kills` trains with a worker killed at a random moment, again and again.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from report import machine, parser, show, store
from train_step import smooth_frames

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.video.record import VideoRecord
from pfnr_runtime.video.time_table import session_scalar
from pfnr_train.executors.choose import choose_executor
from pfnr_train.library.appended.writer import write_whole
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.file import lock_library, read_library, write_library
from pfnr_train.library.library import Library, Session
from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import CodedValues
from pfnr_train.library.values.coded import stream_shapes
from pfnr_train.model.config import preset_config
from pfnr_train.sequence.clips import find_clips
from pfnr_train.sequence.parallel import ParallelRun
from pfnr_train.sequence.run import SequenceRun
from pfnr_train.sequence.sequence import read_sequence

PARTS = ("library", "workers", "kills")
SIZE, FRAMES = (320, 180), 12
TASKS = ("open", "info", "read one", "export one", "add one")


def one_session() -> tuple[Library, Session]:
    """A session of the default network at 180p whose weights are drawn, as large as a trained one."""
    config, rng = preset_config("canvas", *SIZE), np.random.default_rng(0)
    tensors = {}
    for name, shape in stream_shapes(config).items():
        whole = np.rint(rng.laplace(0, 0.35, shape)).astype(np.int32)
        tensors[name] = Quantised(whole, -6)
    values = CodedValues.of(tensors)
    library = Library(config, {}, (Session(record_of(0), values),))
    digest = weights_digest(library.assemble(0))
    return Library(config, {}), Session(replace(record_of(0), weights_sha256=digest), values)


def record_of(number: int, digest: str = "") -> SessionRecord:
    """The record of session `number`; all decode the same."""
    video = VideoRecord(f"clip-{number:06d}", FRAMES, *SIZE, Fraction(25), source=f"clip-{number:06d}.mkv")
    scalar = session_scalar(0)
    return SessionRecord(video, scalar, 1.0, 0, 60, 30.0, 0.95, f"clips/{number:06d}.mkv", "0" * 64, digest)


def sessions(first: Session, count: int) -> Iterator[Session]:
    """So many sessions that differ by name."""
    for number in range(count):
        yield Session(record_of(number, first.record.weights_sha256), first.values)


def task(name: str, path: Path, count: int, first: Session) -> Callable[[], object]:
    """What a task does to the library at `path`."""
    middle = f"clip-{count // 2:06d}"

    def add() -> None:
        with lock_library(path):
            library = read_library(path)
            record = record_of(10**6 + len(library.sessions), first.record.weights_sha256)
            write_library(library.with_session({}, Session(record, first.values)), path)

    def export() -> None:
        library = read_library(path)
        export_session(library, library.find(middle), path.with_suffix(".onnx"), ExportOptions())

    def read() -> None:
        library = read_library(path)
        library.session_weights(library.find(middle))

    found: dict[str, Callable[[], object]] = {
        "open": lambda: read_library(path),
        "info": lambda: read_library(path).summaries(),
        "read one": read,
        "export one": export,
        "add one": add,
    }
    return found[name]


def measure(counts: list[int], rounds: int, folder: Path) -> dict[str, Any]:
    """Seconds of CPU, bytes and peak memory by task and number of sessions, each in a process of its own."""
    empty, first = one_session()
    for count in counts:
        write_whole(empty.config, sessions(first, count), folder / f"{count}.pfnr")
    found: dict[str, Any] = {}
    for count in counts:
        found[str(count)] = {"library_bytes": (folder / f"{count}.pfnr").stat().st_size}
        for name in TASKS:
            found[str(count)][name] = in_child(name, folder / f"{count}.pfnr", count, rounds, first)
    return found


def in_child(name: str, path: Path, count: int, rounds: int, first: Session) -> dict[str, float]:
    """Run a task in a forked process, whose memory and bytes are counted alone."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        run = task(name, path, count, first)
        seconds = []
        memory, before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, counters()
        for _ in range(rounds):
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
        after = counters()
        result = {
            "cpu_s": min(seconds),
            "bytes_read": (after["rchar"] - before["rchar"]) / rounds,
            "bytes_written": (after["wchar"] - before["wchar"]) / rounds,
            "memory_growth_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024,
        }
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found: dict[str, float] = json.loads(answer.read())
    os.waitpid(child, 0)
    return found


def counters() -> dict[str, int]:
    """Bytes this process has read and written so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def make_clips(folder: Path, count: int, epochs: int, size: tuple[int, int] = (80, 48)) -> None:
    """A sequence of synthetic clips."""
    width, height = size
    recipe = f'[recipe]\nname = "own"\nepochs = {epochs}\n'
    text = f'name = "scale"\nsize = "{width}x{height}"\n[network]\npreset = "tiny"\n{recipe}'
    for k in range(count):
        with av.open(folder / f"c{k}.mkv", "w") as file:
            stream = file.add_stream("ffv1", rate=25, width=width, height=height, pix_fmt="bgr0")
            for picture in np.roll(smooth_frames(8, width, height), 7 * k, axis=2):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode(None))
        text += f'[[video]]\nname = "c{k}"\n'
    (folder / "scale.toml").write_text(text)


def workers(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds of one and of two processes for eight sessions, in turns, and whether the bytes are the same."""
    make_clips(folder, 8, 30)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(rounds):
        for jobs, values in seconds.items():
            begun = time.monotonic()
            train(folder, folder / f"{jobs}-{turn}.pfnr", jobs)
            values.append(time.monotonic() - begun)
    same = (folder / "1-0.pfnr").read_bytes() == (folder / "2-0.pfnr").read_bytes()
    return {
        "seconds": {str(jobs): min(values) for jobs, values in seconds.items()},
        "speed_up": min(seconds[1]) / min(seconds[2]),
        "same_bytes": same,
        "load_average_at_end": round(os.getloadavg()[0], 2),
    }


def kills(folder: Path, runs: int) -> dict[str, Any]:
    """Runs of four sessions in two processes, in each of which one worker is killed at a random moment."""
    make_clips(folder, 4, 12, (20, 12))
    began = time.monotonic()
    train(folder, folder / "whole.pfnr")
    lasts = time.monotonic() - began
    whole, rng, killed, lost, different = (folder / "whole.pfnr").read_bytes(), random.Random(0), [], 0, 0
    for run in range(runs):
        path = folder / f"{run}.pfnr"
        killer = threading.Thread(target=kill_one, args=(path, rng.uniform(0, lasts / 2), rng, killed))
        killer.start()
        train(folder, path)
        killer.join()
        lost += 4 - len(read_library(path).sessions)
        different += path.read_bytes() != whole
    return {"runs": runs, "workers_killed": len(killed), "sessions_lost": lost, "libraries_that_differ": different}


def train(folder: Path, path: Path, jobs: int = 2) -> None:
    """Train the sequence in so many processes."""
    sequence = read_sequence(folder / "scale.toml")
    run = SequenceRun(sequence, find_clips(sequence, folder), path)
    with lock_library(path), choose_executor(jobs, None) as executor:
        ParallelRun(run, executor, save_every=0.0).train()


def kill_one(path: Path, seconds: float, rng: random.Random, killed: list[int]) -> None:
    """Kill a worker of a run, so many seconds after the first has begun to train, or as soon as there is one."""
    files = path.with_name(f"{path.name}.sessions")
    while not list(files.glob("*.training")) and not path.exists():
        time.sleep(0.01)
    time.sleep(seconds)
    while files.exists():
        if found := worker_processes(os.getpid()):
            os.kill(rng.choice(found), signal.SIGKILL)
            killed.append(1)
            return


def worker_processes(parent: int) -> list[int]:
    """Processes that work on a session for a run: children of its fork server."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    return [child for server in children.get(parent, []) for child in children.get(server, [])]


def plot(found: dict[str, Any], path: Path) -> None:
    """CPU seconds and bytes by number of sessions."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    counts = sorted(int(count) for count in found)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for name in TASKS:
        left.plot(counts, [1e3 * found[str(c)][name]["cpu_s"] for c in counts], marker="o", label=name)
    total = [found[str(c)]["add one"] for c in counts]
    right.plot(counts, [t["bytes_read"] / 1e3 for t in total], marker="o", label="add one: read")
    right.plot(counts, [t["bytes_written"] / 1e3 for t in total], marker="o", label="add one: written")
    for axes, label in ((left, "CPU time, ms"), (right, "KB")):
        axes.set(xscale="log", xlabel="sessions in the library", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(loc="center right", fontsize="small", framealpha=1)
    left.set(yscale="log", xlim=(None, 2e4))
    right.set(ylim=(0, None))
    figure.savefig(path)


def main() -> None:
    """Measure the parts asked for, print them, store them."""
    options = parser(__doc__)
    options.add_argument("--parts", default=",".join(PARTS), help="comma-separated, of library, workers, kills")
    options.add_argument("--counts", default="10,30,100,300,1000", help="sessions in the libraries")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--runs", type=int, default=20, help="runs with a killed worker")
    options.add_argument("--plot", type=Path, help="write the curves as SVG here")
    given = options.parse_args()
    chosen = given.parts.split(",")
    if unknown := set(chosen) - set(PARTS):
        options.error(f"unknown parts: {', '.join(sorted(unknown))}")
    os.environ["OMP_NUM_THREADS"] = "1"
    result: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "library" in chosen:
            found = measure([int(c) for c in given.counts.split(",")], given.rounds, folder)
            result["library"] = found
            _show_library(found)
            if given.plot is not None:
                plot(found, given.plot)
        if "workers" in chosen:
            result["workers"] = workers(folder, given.rounds)
            print(json.dumps(result["workers"], indent=1))
        if "kills" in chosen:
            result["kills"] = kills(folder, given.runs)
            print(json.dumps(result["kills"], indent=1))
    store(result, given.json)


def _show_library(found: dict[str, Any]) -> None:
    rows = []
    for name in TASKS:
        for key, unit, what in (("cpu_s", 1e3, "CPU ms"), ("bytes_read", 1e-3, "KB read")):
            values = [found[count][name][key] for count in found]
            cells = [f"{value * unit:.1f}" for value in values]
            rows.append([name, what, *cells, f"{values[-1] / values[0]:.2f}" if values[0] else "-"])
    for key, what in (("bytes_written", "KB written"), ("memory_growth_mb", "MB of memory")):
        values = [found[count]["add one"][key] for count in found]
        scale = 1e-3 if key == "bytes_written" else 1
        ratio = f"{values[-1] / values[0]:.2f}" if values[0] else "-"
        rows.append(["add one", what, *[f"{value * scale:.1f}" for value in values], ratio])
    show("by sessions in the library", ["task", "", *found, "last to first"], rows)


if __name__ == "__main__":
    main()
