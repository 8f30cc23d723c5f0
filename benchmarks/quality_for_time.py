"""Quality for time and for bytes: presets trained equally long on the same clips, decoded from their packed files.

    python benchmarks/quality_for_time.py --clips CLIP... --size 1280x720 --json FILE --plot FILE

Each preset learns each clip alone, for as many epochs: canvas networks by the default recipe; others by `shared`,
since few epochs of training for bytes leave nothing of them. PSNR is that of the packed file's frames, and every
byte of that file counts; both are means over clips. Times are those of `benchmarks/speed.py` in the same run, of
random weights: `edge-s:int8` is drawn at the PSNR of `edge-s`, from which int8 may differ by its budget of 0.1 dB.
Each library is stored under --work as soon as it is trained, and a run that was cut off goes on from there. On a
busy machine take the times of one thread with --threads 1 --processor-time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from report import machine, parser, show, store
from speed import measure, speed_options

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.video.metrics import psnr
from pfnr_train.clips import read_clip
from pfnr_train.library.file import read_library, write_library
from pfnr_train.model.config import preset_config
from pfnr_train.run.add_session import add_session
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import DEFAULT, SHARED, named_recipe

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def arguments() -> argparse.Namespace:
    """What is to be measured."""
    made = parser(__doc__)
    made.add_argument("--clips", type=Path, nargs="+", required=True, help="files, or folders of pictures")
    made.add_argument("--frames", type=int, default=8, help="the first ones of each clip")
    made.add_argument("--epochs", type=int, default=40)
    made.add_argument("--rate", type=float, default=4.0)
    made.add_argument("--only", choices=("train",), help="times are measured later")
    made.add_argument("--work", type=Path, default=Path("out/quality_for_time"))
    made.add_argument("--plot", type=Path)
    speed_options(made)
    return made.parse_args()


def trained(preset: str, clip: Path, options: argparse.Namespace) -> dict[str, float]:
    """PSNR of the packed file of one clip, and its bytes."""
    width, height = map(int, options.size.split("x"))
    case = f"{clip.stem}-{options.size}-{options.frames}-{options.epochs}-{options.rate:g}-{preset}"
    library, figures = (options.work / f"{case}{suffix}" for suffix in (".pfnr", ".json"))
    if figures.exists():
        found: dict[str, float] = json.loads(figures.read_text())
        return found
    source = read_clip(clip, slice(0, options.frames), (width, height))
    if not library.exists():
        config = preset_config(preset, width, height)
        recipe = named_recipe(SHARED if config.canvas is None else DEFAULT)
        recipe = replace(recipe, epochs=options.epochs, rate=options.rate)
        done, _ = add_session(new_library(config, recipe.seed), source, clip.stem, "", recipe, lambda *_: None)
        write_library(done, library)
    packed = options.work / f"{case}.pfnv"
    export_session(read_library(library), 0, packed, ExportOptions())
    with VideoDecoder(packed, threads=options.threads) as decoder:
        losses = [psnr(frame.data, wanted) for frame, wanted in zip(decoder, source.frames, strict=True)]
    found = {"psnr": float(np.mean(losses)), "bytes": packed.stat().st_size}
    store(found, figures)
    print(f"{case}: {found['psnr']:.2f} dB, {found['bytes'] / 1e3:.1f} KB", flush=True)
    return found


def on_front(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """Names of those (cost, quality) that nobody beats at their cost or less."""
    return {
        name
        for name, (cost, quality) in points.items()
        if not any(c <= cost and q >= quality and (c, q) != (cost, quality) for c, q in points.values())
    }


def plot(result: Mapping[str, Any], path: Path) -> None:
    """PSNR against the time of a frame, and against bytes; filled where it is on the front."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained", sharey=True)
    quality = {name: entry["psnr"] for name, entry in result["presets"].items()}
    times = {n: (e["median_s"] * 1e3, quality[n.partition(":")[0]]) for n, e in result["times"].items()}
    sizes = {name: (entry["bytes"] / 1e3, quality[name]) for name, entry in result["presets"].items()}
    for axis, points in zip(axes, (times, sizes), strict=True):
        front = on_front(points)
        for name, (cost, dB) in points.items():
            colour = "tab:orange" if name.startswith("cpu") else "tab:blue"
            axis.plot(cost, dB, "o", color=colour, fillstyle="full" if name in front else "none")
            label = name.replace(":", ", ")
            axis.annotate(label, (cost, dB), textcoords="offset points", xytext=(6, 4), fontsize=8)
        axis.set_xscale("log")
        axis.grid(alpha=0.3, which="both")
        axis.margins(0.18, 0.12)
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    axes[0].set(xlabel=f"ms to decode a frame, {threads}", ylabel="PSNR, dB", title=result["case"])
    axes[1].set(xlabel="KB of the packed video")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {"Software": None})
    plt.close(figure)


def rows(result: Mapping[str, Any]) -> list[Sequence[str]]:
    """A row for each preset and precision timed."""
    made = []
    for name, time in result["times"].items():
        entry = result["presets"][name.partition(":")[0]]
        made.append(
            (
                name.partition(":")[0],
                time["precision"],
                f"{time['gmac']:.2f}",
                f"{entry['psnr']:.2f} dB",
                " ".join(f"{dB:.2f}" for dB in entry["psnr_by_clip"].values()),
                f"{entry['bytes'] / 1e3:.1f} KB",
                f"{time['median_s'] * 1e3:.1f} ms",
                f"{1 / time['ratio']:.2f}",
            )
        )
    return made


def main() -> None:
    """See the module."""
    options = arguments()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    presets: dict[str, Any] = {}
    for name in dict.fromkeys(name.partition(":")[0] for name in options.presets):
        found = {clip.stem: trained(name, clip, options) for clip in options.clips}
        presets[name] = {key: float(np.mean([f[key] for f in found.values()])) for key in ("psnr", "bytes")}
        presets[name]["psnr_by_clip"] = {clip: f["psnr"] for clip, f in found.items()}
        presets[name]["bytes_by_clip"] = {clip: f["bytes"] for clip, f in found.items()}
    if options.only:
        return
    with tempfile.TemporaryDirectory() as folder:
        times = measure(options.size, Path(folder), options)
    clips = "1 clip" if len(options.clips) == 1 else f"{len(options.clips)} clips"
    result = {
        "machine": machine(),
        "case": f"{clips} at {options.size}, {options.frames} frames, {options.epochs} epochs",
        "threads": options.threads,
        "processor_time": options.processor_time,
        "rate": options.rate,
        "presets": presets,
        "times": times,
    }
    columns = ("preset", "precision", "GMAC", "PSNR", "by clip", "packed", "a frame", "speed")
    show(f"{result['case']}; speed over {options.presets[0]}", columns, rows(result))
    store(result, options.json)
    if options.plot is not None:
        plot(result, options.plot)


if __name__ == "__main__":
    main()
