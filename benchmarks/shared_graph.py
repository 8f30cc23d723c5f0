"""The shared graph against per-video files: time per frame, time to switch, bytes of a whole library.

Random weights and masks, since none of it depends on training. Per frame, taking turns in one run: the
per-video file; the shared graph as the runtime runs it, masks applied once a switch; and the shared graph as
the file has it, masks applied by the engine at every run.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from random_library import random_library
from report import interleaved, machine, parser, show, store, summarise

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder
from pfnr_train.model.config import preset_config

FRAMES = 132


def masks_every_run(decoder: VideoDecoder, threads: int) -> Callable[[int], Any]:
    """The shared file in a plain ONNX Runtime session, fed the current session's masks as bool inputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path, sidecar = str(decoder.artifact.path), decoder.artifact.sidecar
    assert sidecar is not None
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feeds = sidecar.feeds(decoder.artifact.summary.inputs)
    return lambda index: session.run(None, {"frame_index": np.array([index]), **feeds})[0]


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--preset", default="l")
    arguments.add_argument("--size", default="1280x720")
    arguments.add_argument("--sessions", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    width, height = map(int, options.size.split("x"))
    result: dict[str, Any] = {
        "machine": machine(),
        "case": f"preset {options.preset} at {options.size}, {options.threads} threads",
        "sessions": options.sessions,
    }
    library = random_library(preset_config(options.preset, width, height), FRAMES, sessions=options.sessions)
    with tempfile.TemporaryDirectory() as folder:
        video, graph = Path(folder) / "video.onnx", Path(folder) / "library.onnx"
        start, video_bytes = perf_counter(), 0
        for index in reversed(range(options.sessions)):
            video_bytes += export_session(library, index, video, ExportOptions()).file_bytes
        video_seconds, start = perf_counter() - start, perf_counter()
        exported = export_shared(library, list(range(options.sessions)), graph, SharedOptions())
        shared_seconds = perf_counter() - start
        sidecar_bytes = sum(sidecar.file_bytes for sidecar in exported.sidecars)
        start = perf_counter()
        with (
            VideoDecoder(graph, session=0, threads=options.threads) as shared,
            VideoDecoder(video, threads=options.threads) as alone,
        ):
            opening = perf_counter() - start
            plain = masks_every_run(shared, options.threads)
            differing = int(np.count_nonzero(shared[0].data != alone[0].data))
            numbers = iter(range(10**9))
            times = interleaved(
                {
                    "per-video file": lambda: alone[next(numbers) % FRAMES],
                    "shared, masks at the switch": lambda: shared[next(numbers) % FRAMES],
                    "shared, masks at every run": lambda: plain(next(numbers) % FRAMES),
                },
                options.rounds,
            )
            switches = []
            for count in range(4 * options.sessions):
                start = perf_counter()
                shared.switch((count + 1) % options.sessions)
                switches.append(perf_counter() - start)
    summary = summarise(times, "per-video file")
    result |= {
        "frame": summary,
        "switch": {"median_s": median(switches), "slowest_s": max(switches), "count": len(switches)},
        "open_both_s": opening,
        "export_s": {"per_video": video_seconds, "shared": shared_seconds},
        "bytes": {
            "per_video": video_bytes,
            "shared_graph": exported.file_bytes,
            "sidecars": sidecar_bytes,
            "ratio": (exported.file_bytes + sidecar_bytes) / video_bytes,
        },
        "differing_samples_of_one_frame": differing,
    }
    rows = [(n, f"{v['median_s'] * 1e3:.1f} ms", f"{v['ratio']:.3f}") for n, v in summary.items()]
    show(f"One frame, {result['case']}", ("decoder", "median", "ratio"), rows)
    print(f"switch: median {median(switches) * 1e3:.1f} ms, slowest {max(switches) * 1e3:.1f} ms")
    print(
        f"{options.sessions} sessions: {video_bytes / 1e6:.1f} MB in one file each; shared "
        f"{exported.file_bytes / 1e6:.1f} MB + {sidecar_bytes / 1e6:.1f} MB of sidecars, "
        f"{result['bytes']['ratio']:.3f} of that"
    )
    print(f"export: {video_seconds:.1f} s alone, {shared_seconds:.1f} s shared; frame 0 differs in {differing}")
    print(json.dumps(result["machine"]))
    store(result, options.json)


if __name__ == "__main__":
    main()
