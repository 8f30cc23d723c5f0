"""Quality against multiply-adds: presets trained on the same clips, exported at every precision, decoded.

For each preset one library of all clips, one session after another, at their 320×180; for each session and
precision the PSNR against the source, on trained weights. The clips are those of a folder (`--clips`, such
as uvg8mini); they are not part of this project. Long: run it in the background.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib
import numpy as np
import torch
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.clips import Clip, read_clip
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.metrics import psnr
from pfnr_train.add_session import add_session
from pfnr_train.config import preset_config
from pfnr_train.initialise import new_library
from pfnr_train.library import Library
from pfnr_train.recipe import Recipe

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PRECISIONS = ("fp32", "fp16", "int8", "int8-weights")


def train(preset: str, clips: list[Clip], recipe: Recipe) -> Library:
    """A library of all clips in order."""
    height, width = clips[0].frames.shape[1:3]
    library = new_library(preset_config(preset, width, height), recipe.seed)
    for clip in clips:
        name = clip.info.path.stem
        library, quality = add_session(library, clip, name, "", recipe, lambda *_: None)
        print(f"{preset}: {name} {quality.psnr:.2f} dB", flush=True)
    return library


def measure(library: Library, index: int, clip: Clip, precision: str, threads: int) -> dict[str, Any]:
    """Export one session at one precision; PSNR against the source, speed and size of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.onnx"
        start = perf_counter()
        try:
            export_session(library, index, path, ExportOptions(precision=precision), clip.frames)
        except PfnrError as error:
            return {"problem": str(error)}
        seconds = perf_counter() - start
        with VideoDecoder(path, threads=threads) as decoder:
            frames = decoder[:].data
            times = []
            for i in range(len(decoder)):
                begin = perf_counter()
                decoder[i]
                times.append(perf_counter() - begin)
        figures = [psnr(a, b) for a, b in zip(frames, clip.frames, strict=True)]
        return {
            "psnr": float(np.mean(figures)),
            "psnr_per_frame": figures,
            "median_s": statistics.median(times),
            "export_s": seconds,
            "bytes": path.stat().st_size,
        }


def plot(result: dict[str, Any], path: Path) -> None:
    """PSNR against multiply-adds of a 720p frame, one line a precision."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    presets = sorted(result["presets"].items(), key=lambda item: item[1]["gmac_720p"])
    for precision, marker in zip(("fp32", "int8"), "os", strict=True):
        points = [
            (p["gmac_720p"], p["mean"][precision]["psnr"], n) for n, p in presets if p["mean"].get(precision)
        ]
        axis.plot(*zip(*[(x, y) for x, y, _ in points], strict=True), marker=marker, label=precision)
        if precision == "fp32":
            for x, y, name in points:
                axis.annotate(name, (x, y), textcoords="offset points", xytext=(4, -12))
    axis.set(xscale="log", xlabel="GMAC of one 720p frame", ylabel="mean PSNR at 180p, dB", title=result["case"])
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=Path, required=True, help="folder of clips of one size")
    arguments.add_argument("--presets", nargs="+", default=["tiny", "s", "edge-s", "m", "edge-m"])
    arguments.add_argument("--frames", type=int, default=24)
    arguments.add_argument("--epochs", type=int, default=15)
    arguments.add_argument("--density", type=float, default=0.3)
    arguments.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    arguments.add_argument("--plot", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    clips = [read_clip(p, slice(0, options.frames)) for p in sorted(options.clips.iterdir()) if p.suffix == ".mkv"]
    recipe = Recipe(epochs=options.epochs, density=options.density)
    result: dict[str, Any] = {
        "machine": machine(),
        "case": f"{len(clips)} clips, {options.frames} frames, {options.epochs} epochs, density {options.density}",
        "presets": {},
    }
    rows = []
    for preset in options.presets:
        start = perf_counter()
        library = train(preset, clips, recipe)
        entry: dict[str, Any] = {
            "gmac_720p": preset_config(preset, 1280, 720).macs() / 1e9,
            "gmac_here": library.config.macs() / 1e9,
            "train_s": perf_counter() - start,
            "sessions": {},
            "mean": {},
        }
        for precision in options.precisions:
            measured = {
                clip.info.path.stem: measure(library, k, clip, precision, options.threads)
                for k, clip in enumerate(clips)
            }
            entry["sessions"][precision] = measured
            good = [m for m in measured.values() if "psnr" in m]
            if good:
                keys = ("psnr", "median_s", "export_s", "bytes")
                entry["mean"][precision] = {key: float(np.mean([m[key] for m in good])) for key in keys}
                exact = entry["sessions"].get("fp32", {})
                losses = [exact[n]["psnr"] - m["psnr"] for n, m in measured.items() if "psnr" in m and n in exact]
                entry["mean"][precision]["worst_loss"] = max(losses, default=0.0)
                mean = entry["mean"][precision]
                rows.append(
                    (
                        preset,
                        f"{entry['gmac_720p']:.1f}",
                        precision,
                        f"{mean['psnr']:.2f} dB",
                        f"{mean['worst_loss']:.3f} dB",
                        f"{1 / mean['median_s']:.0f} fps",
                        f"{mean['bytes'] / 1e6:.1f} MB",
                        f"{len(good)}/{len(clips)}",
                    )
                )
        result["presets"][preset] = entry
        store(result, options.json)
    show(
        result["case"],
        ("preset", "GMAC at 720p", "precision", "PSNR", "worst loss", "decode", "file", "exported"),
        rows,
    )
    print(json.dumps(result["machine"]))
    if options.plot is not None:
        plot(result, options.plot)


if __name__ == "__main__":
    main()
