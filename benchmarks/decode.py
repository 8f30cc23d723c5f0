"""Time decoding one frame: the exported file in ONNX Runtime against the masked PyTorch model.

The PyTorch model is timed twice: as the authors run it (weights modes last, as their checkpoints hold them),
and with our layout of the same weights. Random weights, since speed does not depend on them; all contenders
take turns in one run. Also: cold start (process start to first frame) and peak memory, each in a process of
its own; size and time of the export; and, so that nobody is misled, a plain H.264 decode of frames of the
same size by PyAV.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import av
import numpy as np
import torch
from random_library import random_library
from reference import ReferenceDecoder
from report import interleaved, machine, parser, show, store, summarise
from train_step import smooth_frames

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.bench.h264 import H264Reader
from pfnr_train.library.file import read_library, write_library
from pfnr_train.model.config import preset_config
from pfnr_train.model.network import MaskedSession, to_uint8

# Run in a fresh interpreter: prints seconds from its start to the first frame, and peak memory in bytes.
COLD = {
    "file in ONNX Runtime": """
from pfnr_runtime import VideoDecoder
from pfnr_runtime.bench.h264 import H264Reader
with VideoDecoder({artifact!r}, threads={threads}) as decoder:
    frame = decoder[0].data
""",
    "masked PyTorch model": """
import torch
from pathlib import Path
from pfnr_train.library.file import read_library
from pfnr_train.model.network import MaskedSession, to_uint8
torch.set_num_threads({threads})
model = MaskedSession(read_library(Path({library!r})).session_weights(0))
frame = to_uint8(model(torch.tensor([0])))
""",
    "export of the session": """
from pathlib import Path
from pfnr_export.export_session import ExportOptions, export_session
from pfnr_train.library.file import read_library
export_session(read_library(Path({library!r})), 0, Path({artifact!r}), ExportOptions())
""",
}
AUTHORS = "masked PyTorch, authors' layout"
PEAK = """
from pfnr_runtime.bench.memory import peak_bytes
print(peak_bytes())
"""


def cold(code: str, **values: Any) -> dict[str, float]:
    """Seconds and peak bytes of a fresh process that runs `code`."""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code.format(**values) + PEAK], check=True, capture_output=True, text=True
    )
    return {"seconds": perf_counter() - start, "peak_bytes": float(done.stdout.split()[-1])}


def export_lowered(folder: Path, precision: str, options: argparse.Namespace) -> Path:
    """The session at a lower precision. Random weights have no quality to lose, and two frames are enough to
    calibrate what only time is asked of: the budget is the loosest there is."""
    path = folder / f"{precision}.onnx"
    width, height = map(int, options.size.split("x"))
    library = random_library(preset_config(options.preset, width, height), frames=2)
    export_session(library, 0, path, ExportOptions(precision=precision, psnr_budget=20.0, calibration_frames=1))
    return path


def h264_clip(path: Path, frames: np.ndarray) -> None:
    """Write frames as H.264, as a video would otherwise be kept."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def decode_h264(path: Path, threads: int) -> float:
    """Frames per second of a software H.264 decode to RGB."""
    start = perf_counter()
    with H264Reader(path, threads=threads) as reader:
        count = sum(1 for _ in reader.pictures())
    return count / (perf_counter() - start)


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--preset", default="l")
    arguments.add_argument("--size", default="1280x720")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--also", nargs="*", default=[], help="other precisions, such as int8; minutes at 720p")
    arguments.add_argument(
        "--processor-time", action="store_true", help="for a busy machine; threads that wait count too: use one"
    )
    options = arguments.parse_args()
    width, height = map(int, options.size.split("x"))
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        library, artifact, clip = (Path(folder) / name for name in ("r.pfnr", "r.onnx", "r.mp4"))
        write_library(random_library(preset_config(options.preset, width, height)), library)
        values = {"artifact": str(artifact), "library": str(library), "threads": options.threads}
        exported = export_session(read_library(library), 0, artifact, ExportOptions())
        starts = {name: cold(code, **values) for name, code in COLD.items()}
        session = read_library(library).session_weights(0)
        definition, authors = MaskedSession(session), ReferenceDecoder(session)
        first = torch.tensor([0])
        assert float((definition(first) - authors(first)).abs().max()) < 1e-5, "the two models must agree"
        lowered = {name: export_lowered(Path(folder), name, options) for name in options.also}
        with contextlib.ExitStack() as stack:
            decoder = stack.enter_context(VideoDecoder(artifact, threads=options.threads))
            others = {n: stack.enter_context(VideoDecoder(p, threads=options.threads)) for n, p in lowered.items()}
            frames = iter(range(10**9))
            times = interleaved(
                {
                    AUTHORS: lambda: to_uint8(authors(torch.tensor([next(frames) % 132]))),
                    "masked PyTorch, our layout": lambda: to_uint8(definition(torch.tensor([next(frames) % 132]))),
                    "file in ONNX Runtime": lambda: decoder[next(frames) % 132].data,
                }
                | {
                    f"file in {name}": lambda d=other: d[next(frames) % len(d)].data
                    for name, other in others.items()
                },
                options.rounds,
                clock=process_time if options.processor_time else perf_counter,
            )
            engine = str(decoder.backend)
        h264_clip(clip, smooth_frames(60, width, height))
        h264 = decode_h264(clip, options.threads)
    summary = summarise(times, AUTHORS)
    result: dict[str, Any] = {
        "machine": machine(),
        "case": f"preset {options.preset} at {options.size}, {options.threads} threads"
        + (", processor time" if options.processor_time else ""),
        "engine": engine,
        "decode": summary,
        "cold": starts,
        "file_bytes": exported.file_bytes,
        "weight_bytes": exported.weight_bytes,
        "h264_fps": h264,
    }
    rows = [(n, f"{v['median_s'] * 1e3:.0f} ms", f"{v['ratio']:.3f}") for n, v in summary.items()]
    rows.append(
        ("H.264 by PyAV", f"{1e3 / h264:.1f} ms", f"{1 / h264 / summary[next(iter(summary))]['median_s']:.4f}")
    )
    show(f"One frame, {result['case']}", ("decoder", "median", "ratio"), rows)
    show(
        "In a separate process",
        ("what", "time", "peak memory"),
        [(n, f"{v['seconds']:.1f} s", f"{v['peak_bytes'] / 1e9:.2f} GB") for n, v in starts.items()],
    )
    over = exported.file_bytes / exported.weight_bytes - 1
    print(f"file {exported.file_bytes / 1e6:.1f} MB, {over:+.4%} over its fp32 tensors")
    print(json.dumps(result["machine"]))
    store(result, options.json)


if __name__ == "__main__":
    main()
