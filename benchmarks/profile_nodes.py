"""Where an artifact's time goes, node by node, and how near its products come to the machine's peak.

    python benchmarks/profile_nodes.py v.onnx [v.int8.onnx ...] [--frames 5] [--threads 2] [--json FILE]
    python benchmarks/profile_nodes.py --preset l --size 1280x720     random weights, fp32

ONNX Runtime's own profiler on the graph as it optimised it: median milliseconds of each node over the
frames, the first, cold one dropped. Convolutions and matrix products also get GFLOP/s (GOP/s in int8), two
for each multiply-add, compared with the fastest large float32 product measured in the same run. int8 peaks higher
than that: a share above 100 % is then no mistake.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import defaultdict
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from random_library import random_library
from report import machine, parser, store
from report import show as say_table

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime.artifact.contract import INPUT_NAME
from pfnr_train.model.config import preset_config
from pfnr_train.parsing import parse_size

PEAK_SIZE = 2048
PRODUCTS = ("Conv", "FusedConv", "QLinearConv", "MatMul", "Gemm", "FusedMatMul")


def session_options(threads: int) -> ort.SessionOptions:
    """What the runtime itself uses."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return options


def peak_gflops(threads: int, rounds: int = 5) -> float:
    """The fastest of some float32 products of two square matrices, in GFLOP/s."""
    shape = [PEAK_SIZE, PEAK_SIZE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "peak", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), session_options(threads))
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal(shape, np.float32) for name in ("a", "b")}
    times = []
    for _ in range(rounds + 1):
        start = perf_counter()
        session.run(None, feed)
        times.append(perf_counter() - start)
    return 2 * PEAK_SIZE**3 / min(times[1:]) / 1e9


def profile(path: Path, frames: int, threads: int) -> list[dict[str, Any]]:
    """By node of the optimised graph, slowest first: name, operator, median ms, GFLOP or None."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options)
        count = onnx_frames(path)
        for i in range(frames + 1):
            session.run(None, {INPUT_NAME: np.array([i % count])})
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, list[float]] = defaultdict(list)
    about: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        name = event["name"].removesuffix("_kernel_time")
        times[name].append(event["dur"] / 1000)
        about[name] = event["args"]
    macs = product_macs(path)
    rows = []
    for name, values in times.items():
        known = macs.get(name.partition("_token_")[0].removesuffix("_nchwc"))
        operator = about[name]["op_name"]
        rows.append(
            {
                "node": name,
                "operator": operator,
                "ms": statistics.median(values[1:]),
                "gflop": 2 * known / 1e9 if known is not None and operator in PRODUCTS else None,
            }
        )
    return sorted(rows, key=lambda row: -row["ms"])


def onnx_frames(path: Path) -> int:
    """How many frames the artifact has."""
    from pfnr_runtime.artifact.open import open_artifact

    return open_artifact(path).contract.video.frames


def product_macs(path: Path) -> dict[str, int]:
    """Multiply-adds of one frame by name of each convolution and matrix product in the stored graph."""
    inferred = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    shapes = {
        v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
        for v in (*inferred.value_info, *inferred.input, *inferred.output)
    } | {tensor.name: list(tensor.dims) for tensor in inferred.initializer}
    found = {}
    for node in inferred.node:
        if node.op_type == "Conv":
            found[node.name] = prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            found[node.name] = prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return found


def main() -> None:
    made = parser(__doc__)
    made.add_argument("artifacts", nargs="*", type=Path)
    made.add_argument("--preset", default="l", help="of random weights, where no artifact is named")
    made.add_argument("--size", default="1280x720")
    made.add_argument("--frames", type=int, default=5)
    made.add_argument("--top", type=int, default=25, help="nodes in the table")
    arguments = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        artifacts = arguments.artifacts
        if not artifacts:
            config = preset_config(arguments.preset, *parse_size(arguments.size))
            artifacts = [Path(folder) / f"{arguments.preset}.onnx"]
            export_session(random_library(config, 8), 0, artifacts[0], ExportOptions())
        result: dict[str, Any] = {"machine": machine(), "threads": arguments.threads, "artifacts": {}}
        result["peak_gflops"] = peak = peak_gflops(arguments.threads)
        for path in artifacts:
            rows = profile(path, arguments.frames, arguments.threads)
            total = sum(row["ms"] for row in rows)
            for row in rows:
                row["share"] = row["ms"] / total
                row["gflops"] = None if row["gflop"] is None else row["gflop"] / row["ms"] * 1000
            result["artifacts"][path.name] = {"total_ms": total, "nodes": rows}
            show(path.name, rows, total, peak, arguments.top)
    store(result, arguments.json)


def show(name: str, rows: list[dict[str, Any]], total: float, peak: float, top: int) -> None:
    """One table for people."""
    lines = []
    for row in rows[:top]:
        speed = "" if row["gflops"] is None else f"{row['gflops']:.0f} ({row['gflops'] / peak:.0%})"
        lines.append([row["node"], row["operator"], f"{row['ms']:.2f}", f"{row['share']:.1%}", speed])
    rest = sum(row["ms"] for row in rows[top:])
    lines.append([f"{max(len(rows) - top, 0)} more", "", f"{rest:.2f}", f"{rest / total:.1%}", ""])
    title = f"{name}: {total:.1f} ms a frame in nodes; float32 peak {peak:.0f} GFLOP/s"
    say_table(title, ["node", "operator", "ms", "share", "GFLOP/s (of peak)"], lines)


if __name__ == "__main__":
    main()
