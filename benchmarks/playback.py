"""What playback costs beyond the engine: time a frame, frames lost and memory over a timed run, seeks.

    python benchmarks/playback.py [--seconds 600] [--preset tiny] [--size 320x180] [--artifact v5.onnx]

Random weights by default, since speed does not depend on them. The engine alone is ONNX Runtime's `run` on
the very session that the decoder uses. Engine and decoder decode the same frame one right after the other, in
changing order, so that whatever else the machine does hits both; their ratio is that of the medians, with the
spread of ten blocks of such pairs. The whole playback loop (decode thread, queue, player; no window, no clock)
takes turns with the engine, a round of frames each. The timed run plays in a loop, unseen, at the video's own
rate. Aims: the decoder adds at most 2 % to the engine's time, under 0.1 % of frames lost, flat memory, a seek
within 1.5 decode times. Last, the engine with its threads spinning while they wait, against waiting as the
runtime does.
"""

from __future__ import annotations

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
from pfnr_runtime.artifact.contract import INPUT_NAME, OUTPUT_NAME
from pfnr_runtime.bench.memory import resident_bytes
from pfnr_runtime.playback.playback import Playback
from pfnr_runtime.playback.player import Player
from pfnr_runtime.playback.screen import NoScreen
from pfnr_runtime.playback.source import DecoderSource
from pfnr_runtime.video.frames import Frame
from pfnr_train.model.config import preset_config


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
        self._seek_at: float | None = None

    def wait(self, seconds: float | None) -> list[str]:
        if self._seek_at is not None:
            until = max(0.0, self._seek_at - time.monotonic())
            seconds = until if seconds is None else min(seconds, until)
        super().wait(seconds)
        now = time.monotonic()
        if not self.memory or now - self.memory[-1][0] >= 1.0:
            self.memory.append((now, resident_bytes() or 0))
        if self._end is not None and now >= self._end:
            return ["q"]
        if self._seek_at is not None and now >= self._seek_at:
            self._seek_at = None
            self._seek()
        elif self.playback is not None and self._target < 0 and 0 < self._seek_every <= self._shown:
            self._shown = 0
            # At any moment of a decode: what is under way then is a part of what a seek takes.
            self._seek_at = now + self._rng.uniform(0, self.playback.statistics.decode.mean)
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


def play(decoder: VideoDecoder, screen: Watched, **options: Any) -> Playback:
    """One playback of the decoder's video on `screen`."""
    source = DecoderSource(decoder)
    playback = Playback(source, Player(source.videos, source.session, **options), screen)
    screen.playback = playback
    playback.run()
    return playback


def engine_alone(decoder: VideoDecoder) -> Callable[[int], object]:
    """ONNX Runtime's own `run` of one frame, on the session that `decoder` uses."""
    session: Any = decoder._backend._session  # type: ignore[attr-defined]
    feeds: Any = decoder._backend._feeds  # type: ignore[attr-defined]
    return lambda index: session.run([OUTPUT_NAME], {INPUT_NAME: np.array([index], np.int64), **feeds})


def decoder_cost(decoder: VideoDecoder, pairs: int) -> dict[str, float]:
    """Milliseconds a frame of the engine and of the decoder, taken in pairs, and the ratio of the two."""
    contenders = (engine_alone(decoder), decoder.get_frame_at)
    times = np.zeros((pairs, 2))
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 else (1, 0):
            start = time.perf_counter()
            contenders[which](pair % len(decoder))
            times[pair, which] = time.perf_counter() - start
    medians = np.median(times, axis=0)
    blocks = [np.median(part, axis=0) for part in np.array_split(times, min(10, pairs))]
    ratios = [float(block[1] / block[0]) for block in blocks]
    return {
        "pairs": pairs,
        "engine_ms": 1000 * float(medians[0]),
        "decoder_ms": 1000 * float(medians[1]),
        "ratio": float(medians[1] / medians[0]),
        "least_block_ratio": min(ratios),
        "most_block_ratio": max(ratios),
    }


def playback_cost(decoder: VideoDecoder, frames: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds for `frames` frames by the engine alone and played without a clock."""
    engine = engine_alone(decoder)

    def alone() -> None:
        for index in range(frames):
            engine(index)

    def played() -> None:
        play(decoder, Watched(), stop=frames, timed=False)

    return summarise(interleaved({"engine": alone, "playback": played}, rounds), "engine")


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
    arguments.add_argument("--pairs", type=int, default=1000, help="of engine and decoder, one frame each")
    arguments.add_argument("--rounds", type=int, default=9, help="of engine and playback")
    arguments.add_argument("--seek-seconds", type=float, default=20.0, help="time for seeks")
    arguments.add_argument("--seek-every", type=int, default=8, help="frames shown between seeks")
    arguments.add_argument("--frames", type=int, default=60, help="a round")
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
        result["decoder"] = decoder_cost(decoder, options.pairs)
        result["playback"] = playback_cost(decoder, frames, options.rounds)
        seeking = Watched(seconds=options.seek_seconds, seek_every=options.seek_every)
        seek_run = play(decoder, seeking, loop=True)
        decode_s = seek_run.statistics.decode.milliseconds()["median"] / 1000
        result["seek"] = {
            "count": len(seeking.seeks),
            "median_decodes": statistics.median(seeking.seeks) / decode_s if seeking.seeks else 0.0,
            "p95_decodes": float(np.quantile(seeking.seeks, 0.95)) / decode_s if seeking.seeks else 0.0,
        }
        watched = Watched(seconds=options.seconds)
        played = play(decoder, watched, loop=True)
        memory = [size for _, size in watched.memory]
        settled = memory[len(memory) // 10]
        result["timed"] = {
            **played.statistics.to_json(),
            "memory_growth_bytes": memory[-1] - settled,
            "memory_by_tenths_bytes": [memory[i * (len(memory) - 1) // 10] for i in range(11)],
        }
    result["waiting"] = spinning(path, options.threads, 5 * options.rounds)
    return result


def report(result: dict[str, Any]) -> None:
    """Print the tables."""
    video, timed, seek = result["video"], result["timed"], result["seek"]
    title = f"{video['width']}×{video['height']}, {result['threads']} threads, {result['machine']['cpu']}"
    pairs, loop = result["decoder"], result["playback"]["playback"]
    spread = f"{pairs['least_block_ratio']:.3f} to {pairs['most_block_ratio']:.3f} in blocks"
    show(
        f"One frame: {title}",
        ("", "ms", "of the engine's time"),
        [
            ("engine", f"{pairs['engine_ms']:.2f}", "1"),
            ("decoder", f"{pairs['decoder_ms']:.2f}", f"{pairs['ratio']:.4f} ({spread})"),
            ("playback", "", f"{loop['ratio']:.3f}"),
        ],
    )
    show(
        f"Played for {timed['seconds']:.0f} s at {video['fps']} frames per second",
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
