"""What playback costs beyond the engine: time a frame, frames lost and memory over a timed run, seeks.

    python benchmarks/playback.py [--seconds 600] [--preset tiny] [--size 320x180] [--artifact v5.onnx]

Random weights by default, since speed does not depend on them. The engine alone is ONNX Runtime's `run` on
the very session that the decoder uses; it, the decoder and the whole playback loop (decode thread, queue,
player; no window, no clock) take turns. The timed run plays in a loop, unseen, at the video's own rate. Aims:
the loop adds at most 2 % to the engine's time, under 0.1 % of frames lost, flat memory, a seek within 1.5
decode times. Last, the engine with its threads spinning while they wait, against waiting as the runtime does.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from random_library import random_library
from report import interleaved, machine, parser, show, store, summarise

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.contract import INPUT_NAME, OUTPUT_NAME
from pfnr_runtime.frames import Frame
from pfnr_runtime.playback.playback import Playback
from pfnr_runtime.playback.player import Player
from pfnr_runtime.playback.screen import NoScreen
from pfnr_runtime.playback.source import DecoderSource
from pfnr_train.config import preset_config


class Watched(NoScreen):
    """No screen, but a look at memory and at the time of seeks while it plays."""

    def __init__(self, seconds: float = 0.0, seek_every: int = 0) -> None:
        super().__init__()
        self.memory: list[tuple[float, int]] = []
        self.seeks: list[float] = []
        self.playback: Playback | None = None
        self._seek_every, self._shown, self._target, self._asked = seek_every, 0, -1, 0.0
        self._rng = np.random.default_rng(0)
        self._end = time.monotonic() + seconds if seconds else None

    def wait(self, seconds: float | None) -> list[str]:
        super().wait(seconds)
        now = time.monotonic()
        if not self.memory or now - self.memory[-1][0] >= 1.0:
            self.memory.append((now, resident_bytes()))
        if self._end is not None and now >= self._end:
            return ["q"]
        if self._seek_every and self._shown >= self._seek_every:
            self._shown = 0
            self._seek()
        return []

    def show(self, frame: Frame | None, text: object) -> None:
        self._shown += 1
        if frame is not None and frame.index == self._target:
            self.seeks.append(time.monotonic() - self._asked)
            self._target = -1

    def _seek(self) -> None:
        assert self.playback is not None
        player = self.playback.player
        # Far enough away that playing on cannot get there by itself.
        offset = int(self._rng.integers(player.video.frames // 4, player.video.frames // 2))
        self._target = (player.position + offset) % (player.video.frames - 8)
        self._asked = time.monotonic()
        self.playback.do(lambda playback: playback.player.seek(self._target))


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def play(decoder: VideoDecoder, screen: Watched, **options: Any) -> Playback:
    """One playback of the decoder's video on `screen`."""
    source = DecoderSource(decoder)
    playback = Playback(source, Player(source.videos, source.session, **options), screen)
    screen.playback = playback
    playback.run()
    return playback


def overhead(decoder: VideoDecoder, frames: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds for `frames` frames by the engine alone, through the decoder, and played without a clock."""
    session: Any = decoder._backend._session  # type: ignore[attr-defined]
    feeds: Any = decoder._backend._feeds  # type: ignore[attr-defined]

    def engine() -> None:
        for index in range(frames):
            session.run([OUTPUT_NAME], {INPUT_NAME: np.array([index], np.int64), **feeds})

    def decode() -> None:
        for index in range(frames):
            decoder.get_frame_at(index)

    def loop() -> None:
        play(decoder, Watched(), stop=frames, timed=False)

    return summarise(interleaved({"engine": engine, "decoder": decode, "playback": loop}, rounds), "engine")


def spinning(path: Path, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds a frame with the engine's idle threads asleep and spinning."""

    def contender(spin: str) -> Callable[[], object]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", spin)
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda: session.run([OUTPUT_NAME], {INPUT_NAME: np.array([0], np.int64)})

    return summarise(interleaved({"asleep": contender("0"), "spinning": contender("1")}, rounds, 3), "asleep")


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--artifact", type=Path, help="of one video; made of random weights by default")
    arguments.add_argument("--preset", default="tiny")
    arguments.add_argument("--size", default="320x180")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--frames", type=int, default=60, help="a round, for the cost of the loop")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.artifact
        if path is None:
            width, height = map(int, options.size.split("x"))
            path = Path(folder) / "random.onnx"
            library = random_library(preset_config(options.preset, width, height))
            export_session(library, 0, path, ExportOptions())
        result = measure(path, options)
    report(result)
    store(result, options.json)


def measure(path: Path, options: Any) -> dict[str, Any]:
    """All figures of one artifact."""
    result: dict[str, Any] = {"machine": machine(), "threads": options.threads}
    with VideoDecoder(path, backend="onnxruntime-cpu", threads=options.threads) as decoder:
        result["video"] = decoder.metadata.to_json()
        frames = min(options.frames, len(decoder))
        result["loop"] = overhead(decoder, frames, options.rounds)
        for row in result["loop"].values():
            row["frame_ms"] = 1000 * row["median_s"] / frames
        seeking = Watched(seconds=min(20.0, options.seconds), seek_every=8)
        seek_run = play(decoder, seeking, loop=True)
        decode_s = seek_run.statistics.decode.milliseconds()["median"] / 1000
        result["seek"] = {
            "count": len(seeking.seeks),
            "median_decodes": statistics.median(seeking.seeks) / decode_s if seeking.seeks else 0.0,
            "p95_decodes": float(np.quantile(seeking.seeks, 0.95)) / decode_s if seeking.seeks else 0.0,
        }
        watched = Watched(seconds=options.seconds)
        played = play(decoder, watched, loop=True)
        settled = watched.memory[len(watched.memory) // 10][1]
        result["timed"] = {
            **played.statistics.to_json(),
            "memory_after_a_tenth_bytes": settled,
            "memory_at_the_end_bytes": watched.memory[-1][1],
            "memory_growth_bytes": watched.memory[-1][1] - settled,
        }
    result["waiting"] = spinning(path, options.threads, 5 * options.rounds)
    return result


def report(result: dict[str, Any]) -> None:
    """Print the tables."""
    video, timed, seek = result["video"], result["timed"], result["seek"]
    title = f"{video['width']}×{video['height']}, {result['threads']} threads, {result['machine']['cpu']}"
    show(
        f"One frame: {title}",
        ("", "ms", "of the engine's time"),
        [(name, f"{row['frame_ms']:.2f}", f"{row['ratio']:.3f}") for name, row in result["loop"].items()],
    )
    show(
        f"Played for {timed['seconds']:.0f} s at {video['fps']} frames a second",
        ("", ""),
        [
            ("shown", str(timed["shown"])),
            ("skipped, dropped", f"{timed['skipped']}, {timed['dropped']} ({timed['lost_percent']:.3f} %)"),
            (
                "late: median, 99 %, most",
                " ".join(f"{timed['late_ms'][k]:.2f} ms" for k in ("median", "p99", "max")),
            ),
            ("memory growth", f"{timed['memory_growth_bytes'] / 1e6:+.2f} MB"),
            (
                f"seek, {seek['count']} of them",
                f"median {seek['median_decodes']:.2f}, 95 % under {seek['p95_decodes']:.2f} decode times",
            ),
        ],
    )
    show(
        "The engine's threads between pieces of work",
        ("", "ms a frame", "ratio"),
        [
            (name, f"{1000 * row['median_s']:.2f}", f"{row['ratio']:.3f}")
            for name, row in result["waiting"].items()
        ],
    )


if __name__ == "__main__":
    main()
