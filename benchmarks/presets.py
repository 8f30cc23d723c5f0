"""Quality against multiply-adds: presets trained on the same clips, exported at every precision, decoded.

    python benchmarks/presets.py --clips FOLDER --work out/presets --only train
    python benchmarks/presets.py --clips FOLDER --work out/presets --json FILE --plot FILE

For each preset one library of all clips, one session after another, at their own size; for each session and
precision the PSNR against the source, on trained weights. The clips are those of a folder (such as uvg8mini);
they are not part of this project. Long: run it in the background. Each session trained and each export
measured is stored under `--work` at once, and a run that was cut off goes on from there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import matplotlib
import numpy as np
import torch
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.bench.memory import peak_bytes
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.video.metrics import psnr
from pfnr_train.clips import Clip, read_clip
from pfnr_train.library.file import read_library, write_library
from pfnr_train.model.config import PRESETS, preset_config
from pfnr_train.run.add_session import add_session
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import Recipe

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PRECISIONS = ("fp32", "fp16", "int8", "int8-weights")
MEANS = ("psnr", "median_s", "export_s", "bytes")
NOTES = "train.json"
COLUMNS = (
    *("preset", "GMAC 720p", "here", "precision", "PSNR", "worst loss"),
    *("decode", "file", "export", "peak", "exported"),
)


def source_clips(options: argparse.Namespace) -> list[Clip]:
    """The first frames of every clip in the folder."""
    paths = sorted(p for p in options.clips.iterdir() if p.suffix == ".mkv")
    return [read_clip(p, slice(0, options.frames)) for p in paths]


def train(preset: str, path: Path, clips: list[Clip], recipe: Recipe) -> None:
    """Add to the library at `path` the clips that it lacks, in order; note processor seconds next to it."""
    height, width = clips[0].frames.shape[1:3]
    library = read_library(path) if path.exists() else new_library(preset_config(preset, width, height), 0)
    notes = path.with_name(f"{preset}.{NOTES}")
    seconds = json.loads(notes.read_text()) if notes.exists() else {}
    for clip in clips[len(library.sessions) :]:
        name, start = clip.info.path.stem, process_time()
        library, quality = add_session(library, clip, name, "", recipe, lambda *_: None)
        write_library(library, path)
        seconds[name] = process_time() - start
        store(seconds, notes)
        print(f"{preset}: {name} {quality.psnr:.2f} dB, {seconds[name]:.0f} s", flush=True)


def measure_all(preset: str, precision: str, options: argparse.Namespace) -> None:
    """Export and decode every session at one precision; what exists already is not done again."""
    torch.set_num_threads(options.threads)
    path = result_path(preset, precision, options)
    found = json.loads(path.read_text()) if path.exists() else {"sessions": {}}
    library, clips = read_library(library_path(preset, options)), source_clips(options)
    for index, clip in enumerate(clips):
        name = clip.info.path.stem
        if name not in found["sessions"]:
            found["sessions"][name] = measure(library, index, clip, precision, options)
            found["peak_bytes"] = max(found.get("peak_bytes", 0), peak_bytes())
            store(found, path)
            print(f"{preset}: {name} {precision} {found['sessions'][name].get('psnr', 0):.2f} dB", flush=True)


def measure(library: Any, index: int, clip: Clip, precision: str, options: argparse.Namespace) -> dict[str, Any]:
    """Export one session at one precision; PSNR against the source, speed and size of the file."""
    path = options.work / f"{precision}.onnx"
    start = perf_counter()
    try:
        export_session(library, index, path, ExportOptions(precision=precision), clip.frames)
    except PfnrError as error:
        return {"problem": str(error)}
    seconds = perf_counter() - start
    with VideoDecoder(path, threads=options.threads) as decoder:
        frames = decoder[:].data
        times = []
        for i in [*range(len(decoder))] * 3:
            begin = perf_counter()
            decoder[i]
            times.append(perf_counter() - begin)
    figures = [psnr(a, b) for a, b in zip(frames, clip.frames, strict=True)]
    result = {
        "psnr": float(np.mean(figures)),
        "psnr_per_frame": [round(figure, 4) for figure in figures],
        "median_s": statistics.median(times),
        "export_s": seconds,
        "bytes": path.stat().st_size,
    }
    path.unlink()
    return result


def library_path(preset: str, options: argparse.Namespace) -> Path:
    """Where a preset's library is kept."""
    found: Path = options.work / f"{preset}.pfnr"
    return found


def result_path(preset: str, precision: str, options: argparse.Namespace) -> Path:
    """Where the figures of a preset at a precision are kept."""
    found: Path = options.work / f"{preset}.{precision}.json"
    return found


def gather(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that has been measured under `--work`, for the presets and precisions asked for."""
    result: dict[str, Any] = {
        "machine": machine(),
        "case": f"{options.frames} frames, {options.epochs} epochs, density {options.density}",
        "threads": options.threads,
        "presets": {},
    }
    for preset in options.presets:
        config = preset_config(preset, 1280, 720)
        entry: dict[str, Any] = {
            "gmac_720p": config.macs() / 1e9,
            "gmac_here": read_library(library_path(preset, options)).config.macs() / 1e9,
            "train_cpu_s": sum(json.loads((options.work / f"{preset}.{NOTES}").read_text()).values()),
            "sessions": {},
            "mean": {},
        }
        for precision in options.precisions:
            measured = json.loads(result_path(preset, precision, options).read_text())
            sessions = entry["sessions"][precision] = measured["sessions"]
            good = {name: m for name, m in sessions.items() if "psnr" in m}
            if not good:
                continue
            mean = {key: float(np.mean([m[key] for m in good.values()])) for key in MEANS}
            exact = entry["sessions"].get("fp32", {})
            losses = [exact[name]["psnr"] - m["psnr"] for name, m in good.items() if name in exact]
            counted = {"worst_loss": max(losses, default=None), "exported": len(good), "clips": len(sessions)}
            entry["mean"][precision] = mean | counted | {"peak_bytes": measured["peak_bytes"]}
        result["presets"][preset] = entry
    return result


def table(result: dict[str, Any]) -> list[list[str]]:
    """A row for each preset and precision."""
    rows = []
    for preset, entry in result["presets"].items():
        for precision, mean in entry["mean"].items():
            loss = mean["worst_loss"]
            rows.append(
                [
                    preset,
                    f"{entry['gmac_720p']:.1f}",
                    f"{entry['gmac_here']:.2f}",
                    precision,
                    f"{mean['psnr']:.2f} dB",
                    "" if loss is None else f"{loss:.4f} dB",
                    f"{1 / mean['median_s']:.0f} fps",
                    f"{mean['bytes'] / 1e6:.1f} MB",
                    f"{mean['export_s']:.1f} s",
                    f"{mean['peak_bytes'] / 1e9:.2f} GB",
                    f"{mean['exported']}/{mean['clips']}",
                ]
            )
    return rows


def plot(result: dict[str, Any], path: Path) -> None:
    """PSNR against multiply-adds of a 720p frame, one line a family."""
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    families = {"standard": [], "edge": []}  # type: dict[str, list[str]]
    for name in sorted(result["presets"], key=lambda n: result["presets"][n]["gmac_720p"]):
        families["edge" if name.startswith("edge") else "standard"].append(name)
    for family, marker in zip(families, "os", strict=True):
        chosen = [(n, result["presets"][n]) for n in families[family]]
        for precision, style in (("fp32", "-"), ("int8", ":")):
            points = [(p["gmac_720p"], p["mean"][precision]["psnr"]) for _, p in chosen if precision in p["mean"]]
            if points:
                axis.plot(*zip(*points, strict=True), marker=marker, ls=style, label=f"{family}, {precision}")
        for name, preset in chosen:
            at = preset["gmac_720p"], preset["mean"]["fp32"]["psnr"]
            place = {"xytext": (-6, 5), "ha": "right"} if family == "edge" else {"xytext": (6, -13), "ha": "left"}
            axis.annotate(name, at, textcoords="offset points", **place)
    axis.set(xscale="log", xlabel="GMAC of one 720p frame", ylabel="mean PSNR at 180p, dB", title=result["case"])
    axis.margins(0.1, 0.15)
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--clips", type=Path, required=True, help="folder of clips of one size")
    arguments.add_argument("--work", type=Path, default=Path("out/presets"), help="what is done so far")
    arguments.add_argument("--only", choices=("train", "measure"), help="one of the two halves")
    arguments.add_argument("--presets", nargs="+", default=list(PRESETS), choices=PRESETS)
    arguments.add_argument("--frames", type=int, default=6)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--density", type=float, default=0.3)
    arguments.add_argument("--precisions", nargs="+", default=["fp32", "fp16", "int8"], choices=PRECISIONS)
    arguments.add_argument("--plot", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.only != "measure":
        clips = source_clips(options)
        for preset in options.presets:
            train(preset, library_path(preset, options), clips, Recipe(options.epochs, density=options.density))
    if options.only == "train":
        return
    # Each in a separate process, so that the peak memory is that of these exports alone.
    processes = multiprocessing.get_context("spawn")
    for preset in options.presets:
        for precision in options.precisions:
            worker = processes.Process(target=measure_all, args=(preset, precision, options))
            worker.start()
            worker.join()
            if worker.exitcode:
                raise SystemExit(f"{preset} at {precision} ended with {worker.exitcode}")
    result = gather(options)
    columns = (
        "preset",
        "GMAC 720p",
        "here",
        "precision",
        "PSNR",
        "worst loss",
        "decode",
        "file",
        "export",
        "peak",
    )
    show(result["case"], (*columns, "exported"), table(result))
    store(result, options.json)
    if options.plot is not None:
        plot(result, options.plot)


if __name__ == "__main__":
    main()
