"""Resident memory of a decoder in a fresh process, compared with its artifact and its two largest activations.

    python benchmarks/memory.py [--preset l] [--size 1280x720] [--artifact v5.onnx] [--frames 8]

The aim is under 1.5 times their sum. Random weights by default. The first row is the runtime as it is; each other
one is ONNX Runtime alone with one of its options changed from what the runtime sets, in a separate process.
Times are of each row's session and the first one's taking turns in one process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from math import prod
from pathlib import Path

import onnx
from engine_options import RUNTIME, VARIANTS, contender
from random_library import random_library
from report import interleaved, machine, parser, show, store, summarise

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_train.model.config import preset_config

LIMIT = 1.5
FRESH = """
import json
from pfnr_runtime.bench.memory import peak_bytes, resident_bytes
{decoder}
opened = resident_bytes()
decode(0)
first = resident_bytes()
for index in range(1, {frames}):
    decode(index)
print(json.dumps({{"opened": opened, "first": first, "resident": resident_bytes(), "peak": peak_bytes()}}))
"""
AS_IT_IS = """
from pfnr_runtime import VideoDecoder
decode = VideoDecoder({path!r}, backend="onnxruntime-cpu", threads={threads}).get_frame_at
"""
CHANGED = """
import sys
sys.path.insert(0, {here!r})
from engine_options import contender
decode = contender({path!r}, {threads}, {variant!r})
"""


def slower(path: str, threads: int, variant: str, rounds: int) -> float:
    """Time of a frame in a session with `variant`, over that of one without."""
    sessions = {name: contender(path, threads, name) for name in (RUNTIME, variant)}
    turns = {name: (lambda decode=decode: decode(0)) for name, decode in sessions.items()}
    return summarise(interleaved(turns, rounds, warm_up=2), RUNTIME)[variant]["ratio"]


def largest_activations(path: Path) -> list[int]:
    """Bytes of the graph's values for one frame, as stored, the largest first."""
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = []
    for value in (*graph.value_info, *graph.output):
        kind = value.type.tensor_type
        width = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).itemsize
        sizes.append(width * prod(max(1, axis.dim_value) for axis in kind.shape.dim))
    return sorted(sizes, reverse=True)


def fresh(decoder: str, frames: int) -> dict[str, int]:
    """Memory of a new process, in bytes: opened, after the first frame, after all of them, and at its peak."""
    code = FRESH.format(decoder=decoder, frames=frames)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--artifact", type=Path, help="of one video; made of random weights by default")
    arguments.add_argument("--preset", default="l")
    arguments.add_argument("--size", default="1280x720")
    arguments.add_argument("--frames", type=int, default=8)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.artifact
        if path is None:
            width, height = map(int, options.size.split("x"))
            path = Path(folder) / "random.onnx"
            export_session(random_library(preset_config(options.preset, width, height)), 0, path, ExportOptions())
        values = {"path": str(path), "threads": options.threads, "here": str(Path(__file__).parent)}
        rows = {RUNTIME: fresh(AS_IT_IS.format(**values), options.frames)}
        for name in VARIANTS:
            rows[name] = fresh(CHANGED.format(**values, variant=name), options.frames)
        file_bytes, activations = path.stat().st_size, largest_activations(path)[:2]
        basis = file_bytes + sum(activations)
        times = {RUNTIME: 1.0}
        times |= {name: slower(str(path), options.threads, name, options.rounds) for name in VARIANTS}
    result = {
        "machine": machine(),
        "threads": options.threads,
        "artifact_bytes": file_bytes,
        "largest_activations_bytes": activations,
        "limit": LIMIT,
        "rows": {
            name: {**row, "peak_ratio": row["peak"] / basis, "time_ratio": times[name]}
            for name, row in rows.items()
        },
    }
    title = f"artifact {file_bytes / 1e6:.0f} MB, two largest activations {sum(activations) / 1e6:.0f} MB"
    show(
        f"Resident memory over {options.frames} frames: {title}; MB",
        ("", "opened", "first frame", "at the end", "peak", f"of the sum (aim {LIMIT})", "time"),
        [
            (
                name,
                *(f"{row[key] / 1e6:.0f}" for key in ("opened", "first", "resident", "peak")),
                f"{row['peak'] / basis:.2f}",
                f"{times[name]:.2f}",
            )
            for name, row in rows.items()
        ],
    )
    store(result, options.json)


if __name__ == "__main__":
    main()
