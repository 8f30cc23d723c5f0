"""The picture: source, decoded and amplified difference of a few frames, side by side."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from pfnr_runtime import VideoDecoder
from pfnr_runtime.video.metrics import psnr
from pfnr_train.clips import read_clip

matplotlib.use("Agg")
import matplotlib.pyplot as plt

AMPLIFIED = 4


def write_picture(out: Path, name: str, clip: Path) -> Path:
    """Decode first, middle and last frame of `<name>.onnx` and show them next to the clip's: `<name>.png`."""
    with VideoDecoder(out / f"{name}.onnx") as decoder:
        video = decoder.metadata
        chosen = [0, video.frames // 2, video.frames - 1]
        decoded = decoder.get_frames_at(chosen).data
    span = slice(video.source_start, video.source_start + video.frames)
    source = read_clip(clip, span, (video.width, video.height)).frames[chosen]
    figure, axes = plt.subplots(len(chosen), 3, figsize=(13.5, 2.75 * len(chosen)), layout="constrained")
    titles = ("source", "decoded from the artifact", f"difference, ×{AMPLIFIED}")
    for row, index in enumerate(chosen):
        difference = np.abs(source[row].astype(np.int16) - decoded[row])
        shown = (source[row], decoded[row], np.clip(difference * AMPLIFIED, 0, 255).astype(np.uint8))
        for axis, picture, title in zip(axes[row], shown, titles, strict=True):
            axis.imshow(picture)
            axis.set_axis_off()
            if row == 0:
                axis.set_title(title)
        axes[row, 1].text(
            4,
            14,
            f"frame {index}: {psnr(source[row], decoded[row]):.2f} dB",
            color="white",
            backgroundcolor="#0008",
        )
    path = out / f"{name}.png"
    # Without the software's version in the file, the same frames give the same bytes.
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)
    return path
