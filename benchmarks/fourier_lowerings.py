"""Predicted and measured time of the Fourier lowerings, for several grids and channel counts.

    python benchmarks/fourier_lowerings.py [--runs 15] [--threads 1] [--quick] [--fit] [--json FILE]

Every lowering that is exact and within 1 GB is built alone as a graph and run in ONNX Runtime at batch 1;
all graphs of a case take turns, so that a busy machine slows them alike. The table shows whether the cost
model's choice was the faster one, and what was lost where it was not. --fit fits the model's constants to
these measurements.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

from pfnr_export.graph import IR_VERSION, OPSET, Graph
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.lowerings.base import Lowering
from pfnr_export.lowerings.cost import LoweringCost
from pfnr_train.model.spectral import SpectralPlan

GRIDS = [(2, 4), (3, 5), (4, 7), (5, 5), (5, 8), (7, 12), (9, 16), (8, 14), (18, 32), (45, 80)]
CHANNELS = [(4, 4), (8, 8), (16, 16), (32, 24), (64, 48), (112, 96)]
QUICK = [(3, 5), (5, 8), (9, 16)], [(4, 4), (16, 16), (112, 96)]
LARGEST_BYTES = 10**9
LARGEST_MACS = 2 * 10**10


def build(plan: SpectralPlan, lowering: type[Lowering], C: int, O: int, threads: int) -> Callable[[], float]:  # noqa: E741
    """A function that runs the lowering once on one random map and returns its seconds."""
    weight = torch.randn(plan.mode_count, C, 2 * O, generator=torch.Generator().manual_seed(0))
    graph = Graph()
    output = lowering(plan, weight).emit(graph, "x")
    size = [plan.rows * plan.stride, plan.columns * plan.stride]
    proto = helper.make_graph(
        graph.nodes,
        "fourier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", C, plan.rows, plan.columns])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["B", O, *size])],
        list(graph.initializers.values()),
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).standard_normal((1, C, plan.rows, plan.columns)).astype(np.float32)

    def run() -> float:
        start = time.perf_counter()
        session.run(None, {"x": x})
        return time.perf_counter() - start

    return run


def measure_case(grid: tuple[int, int], channels: tuple[int, int], runs: int, threads: int) -> dict[str, Any]:
    """One row: predicted and median measured milliseconds by lowering."""
    plan = SpectralPlan(*grid, 5 if grid[0] <= 18 else 2, "centered")
    costs: dict[str, LoweringCost] = {}
    runners: dict[str, Callable[[], float]] = {}
    for name, lowering in LOWERINGS.items():
        cost = lowering.cost(plan, *channels)
        if lowering.objection(plan) or cost.weight_bytes > LARGEST_BYTES or cost.macs > LARGEST_MACS:
            continue
        costs[name], runners[name] = cost, build(plan, lowering, *channels, threads)
    times: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(runs + 2):
        for name, run in runners.items():
            seconds = run()
            if turn >= 2:
                times[name].append(seconds)
    measured = {name: statistics.median(values) for name, values in times.items()}
    predicted = {name: cost.seconds for name, cost in costs.items()}
    chosen = min(predicted, key=lambda name: predicted[name])
    best = min(measured, key=lambda name: measured[name])
    return {
        "grid": list(grid),
        "stride": plan.stride,
        "channels": list(channels),
        "predicted_ms": {name: 1e3 * value for name, value in predicted.items()},
        "measured_ms": {name: 1e3 * value for name, value in measured.items()},
        "macs": {name: cost.macs for name, cost in costs.items()},
        "weight_bytes": {name: cost.weight_bytes for name, cost in costs.items()},
        "terms": {name: list(cost.terms()) for name, cost in costs.items()},
        "chosen": chosen,
        "fastest": best,
        "lost": measured[chosen] / measured[best] - 1,
    }


def fit(rows: list[dict[str, Any]]) -> list[float]:
    """Constants of the cost model that fit the measurements: least squares of relative error, none below 0."""
    amounts, targets = [], []
    for row in rows:
        for name, seconds in row["measured_ms"].items():
            amounts.append(np.array(row["terms"][name], float) / (seconds / 1e3))
            targets.append(1.0)
    matrix, target = np.array(amounts), np.array(targets)
    scale = np.abs(matrix).max(0)
    rates = np.full(matrix.shape[1], 1e-3)
    # Multiplicative updates keep every constant positive (Lee & Seung 2001, one factor fixed).
    for _ in range(20000):
        rates *= ((matrix / scale).T @ target) / ((matrix / scale).T @ (matrix / scale) @ rates + 1e-30)
    return [float(rate) for rate in rates / scale]


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'grid':>7} {'channels':>9} | {'matmul ms':^17} | {'spatial ms':^17} | choice")
    print(f"{'':>7} {'':>9} | {'model':>8} {'measured':>8} | {'model':>8} {'measured':>8} |")
    for row in rows:
        cells = []
        for name in LOWERINGS:
            values = [row[kind].get(name) for kind in ("predicted_ms", "measured_ms")]
            cells.append(" ".join("       -" if v is None else f"{v:8.3f}" for v in values))
        verdict = (
            "fastest" if row["chosen"] == row["fastest"] else f"{row['lost']:.0%} slower than {row['fastest']}"
        )
        grid, channels = "x".join(map(str, row["grid"])), "->".join(map(str, row["channels"]))
        print(f"{grid:>7} {channels:>9} | {' | '.join(cells)} | {row['chosen']}: {verdict}")
    right = sum(row["chosen"] == row["fastest"] for row in rows)
    lost = max(row["lost"] for row in rows)
    print(f"right in {right} of {len(rows)} cases; at most {lost:.0%} lost by a wrong one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=15, help="measured runs of each graph")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a few cases only")
    parser.add_argument("--fit", action="store_true", help="fit the cost model's constants to these measurements")
    parser.add_argument("--json", type=Path, help="write the table there")
    options = parser.parse_args()
    grids, channels = QUICK if options.quick else (GRIDS, CHANNELS)
    rows = [measure_case(g, c, options.runs, options.threads) for g in grids for c in channels]
    show(rows)
    result: dict[str, Any] = {"runs": options.runs, "threads": options.threads, "cases": rows}
    if options.fit:
        result["fitted"] = fit(rows)
        names = ("NODE", "WEIGHT", "MOVE", "MATRIX", "CONV")
        print("\n".join(f"{name} = {value:.3g}" for name, value in zip(names, result["fitted"], strict=True)))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
