"""Quality against bytes: pfnr, x264 and x265 on the same clips, and other people's results where given.

    python benchmarks/rate.py benchmarks/sequences/uvg8mini.toml --data FOLDER --json rate.json --plot rate.svg

Each clip of the sequence is trained alone at each rate, packed, and decoded from the packed file; every byte of
that file counts. x264 and x265 code the same frames in 4:2:0 and 4:4:4. A run is stored as it goes under --work
and continues from there. --peer FILE adds curves measured elsewhere: {"NAME": {"CLIP": [point, ...]}}, points
having the fields of `pfnr_train.comparison.rate.RatePoint`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from report import machine, parser, show, store

from pfnr_runtime import VideoDecoder
from pfnr_train.clips import Clip
from pfnr_train.comparison.rate import RatePoint, bd_rate, gain_at_equal_bytes, rate_point, read_points
from pfnr_train.comparison.video_codecs import CODECS, codec_curve
from pfnr_train.sequence.clips import data_folder, find_clips
from pfnr_train.sequence.sequence import read_sequence

Curves = dict[str, dict[str, list[RatePoint]]]
ANCHOR = "x264 medium 4:4:4"


def main() -> None:
    options = arguments()
    sequence = read_sequence(options.sequence)
    wanted = [v for v in find_clips(sequence, data_folder(options.data)) if _chosen(v.video.name, options.only)]
    curves: Curves = {}
    for found in wanted:
        clip = found.read(sequence)
        name = found.video.name
        panel = {"pfnr": [trained(options, name, rate, clip) for rate in options.rates]}
        for codec in (c for c in CODECS if not any(part in c.name for part in options.without)):
            panel[codec.name] = cached(
                options.work / f"{sequence.name}-{name}-{codec.name}.json".replace(" ", "_").replace(":", ""),
                lambda codec=codec, clip=clip: codec_curve(codec, clip.frames, clip.fps, threads=options.threads),
            )
        curves[name] = panel
        print(f"{name}: done", file=sys.stderr)
    for file in options.peer:
        for method, clips in json.loads(file.read_text()).items():
            for name, points in clips.items():
                if name in curves:
                    curves[name][method] = read_points(points)
    result = summary(curves) | {"machine": machine(), "epochs": options.epochs, "preset": options.preset}
    result["curves"] = {
        c: {m: [p.to_json() for p in ps] for m, ps in panel.items()} for c, panel in curves.items()
    }
    tables(result, curves)
    store(result, options.json)
    if options.plot is not None:
        from pfnr_train.report.rate_chart import rate_curves

        shown = {c: {m: ps for m, ps in panel.items() if "veryslow" not in m} for c, panel in curves.items()}
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        options.plot.write_bytes(rate_curves(shown))


def arguments() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("sequence", type=Path)
    made.add_argument("--data", type=Path)
    made.add_argument("--without", action="append", default=[], help="part of a codec's name, such as veryslow")
    made.add_argument("--only", action="append", default=[], help="a clip's name; may be repeated")
    made.add_argument("--rates", type=lambda text: text.split(","), default=["1", "2", "4", "8"])
    made.add_argument("--epochs", type=int, default=80)
    made.add_argument("--preset", help="the network, where not the sequence's")
    made.add_argument("--work", type=Path, default=Path("out/rate"))
    made.add_argument("--peer", type=Path, action="append", default=[])
    made.add_argument("--plot", type=Path)
    return made.parse_args()


def _chosen(name: str, only: list[str]) -> bool:
    return not only or name in only


def cached(path: Path, measure: Callable[[], list[RatePoint]]) -> list[RatePoint]:
    """A curve from its file, measured first where there is none."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps([point.to_json() for point in measure()], indent=1))
    return read_points(json.loads(path.read_text()))


def trained(options: argparse.Namespace, name: str, rate: str, clip: Clip) -> RatePoint:
    """One clip trained alone at one rate, by the commands that a user types, measured from its packed file."""
    preset = options.preset or "default"
    stem = options.work / f"{name}-{preset}-{options.epochs}-rate{rate}"
    library, packed = Path(f"{stem}.pfnr"), Path(f"{stem}.pfnv")

    def measure() -> list[RatePoint]:
        started = time.perf_counter()
        height, width = clip.frames.shape[1:3]
        train = ["add", clip.info.path, "--library", library, "--name", name, "--size", f"{width}x{height}"]
        train += ["--frames", f"{clip.start}:{clip.start + len(clip.frames)}", "--epochs", options.epochs]
        train += ["--rate", rate, "--threads", options.threads]
        train += ["--preset", options.preset] if options.preset else []
        library.unlink(missing_ok=True)
        _run("pfnr_train", train)
        seconds = time.perf_counter() - started
        _run("pfnr_export", ["--library", library, "--session", "0", "-o", packed])
        with VideoDecoder(packed, threads=options.threads) as video:
            decoded = np.stack([frame.data for frame in video])
        return [rate_point(f"rate {rate}", packed.stat().st_size, decoded, clip.frames, seconds)]

    return cached(Path(f"{stem}.json"), measure)[0]


def _run(package: str, given: list[Any]) -> None:
    subprocess.run(
        [sys.executable, "-c", f"import {package}; {package}.main()", *map(str, given)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def summary(curves: Curves) -> dict[str, Any]:
    """BD-rates of every method against the anchor by clip, and the largest gain of ours at equal bytes."""
    rates: dict[str, dict[str, float | None]] = {}
    gains: dict[str, dict[str, float | None]] = {}
    for name, panel in curves.items():
        rates[name] = {m: bd_rate(panel[ANCHOR], points) for m, points in panel.items() if m != ANCHOR}
        gains[name] = {}
        for method, points in panel.items():
            if method != "pfnr":
                found = [g for p in panel["pfnr"] if (g := gain_at_equal_bytes(points, p)) is not None]
                gains[name][method] = max(found, default=None)
    return {"anchor": ANCHOR, "bd_rate_percent": rates, "best_gain_db_at_equal_bytes": gains}


def tables(result: Mapping[str, Any], curves: Curves) -> None:
    """Points of ours, BD-rates, and where we win."""
    rows = [
        [name, p.setting, f"{p.size:,}", f"{p.bpp:.3f}", f"{p.psnr:.2f}", f"{p.psnr_y:.2f}", _figure(p.ms_ssim, 4)]
        for name, panel in curves.items()
        for p in panel["pfnr"]
    ]
    show("pfnr", ["clip", "setting", "bytes", "bits/pixel", "PSNR", "PSNR Y", "MS-SSIM"], rows)
    methods = list(dict.fromkeys(m for row in result["bd_rate_percent"].values() for m in row))
    by_clip = result["bd_rate_percent"]
    rows = [[m, *(_figure(row.get(m), 0) for row in by_clip.values()), _mean(by_clip, m)] for m in methods]
    show(f"BD-rate against {ANCHOR}, %", ["method", *by_clip, "mean"], rows)
    gains = result["best_gain_db_at_equal_bytes"]
    rows = [[m, *(_figure(row.get(m), 2) for row in gains.values())] for m in next(iter(gains.values()))]
    show("pfnr's best gain at equal bytes, dB", ["against", *gains], rows)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _mean(rows: Mapping[str, Mapping[str, float | None]], method: str) -> str:
    known = [v for row in rows.values() if (v := row.get(method)) is not None]
    return f"{mean(known):.0f} ({len(known)})" if known else "-"


if __name__ == "__main__":
    main()
