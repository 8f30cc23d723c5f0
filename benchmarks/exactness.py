"""Whether exact artifacts decode to their own digest, in how many ways, and what exactness costs.

    python benchmarks/exactness.py VIDEO... [--against FILE...] [--cpus Nehalem,Haswell] [--frames 4] [--json FILE]

Every frame of each video is decoded in ONNX Runtime at four optimisation levels with 1, 2 and 4 threads, in
batches of 1, 3 and 8, and compared with the digest that PyTorch's frames left in the file. --cpus: also under
qemu-x86_64 as one of its CPU models, on which ONNX Runtime picks other kernels; --frames of each video, for that
takes long. The cost is the median processor time of runs that take turns with a file of `--against`, one for each
video, such as int8 of the same session; or with the same graph without its roundings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import INPUT_NAME, OUTPUT_NAME
from pfnr_runtime.artifact.exactness import FramesDigest
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.artifact.packed.file import read_packed

LEVELS = ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL")
THREADS = (1, 2, 4)
BATCHES = (1, 3, 8)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--against", nargs="+", type=Path, help="files to take turns with, one for each video")
    parser.add_argument("--cpus", default="", help="models that qemu-x86_64 -cpu help lists")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--digest", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.digest:  # what the same program prints under another CPU
        print(first_frames(options.videos[0], options.frames))
        return
    if options.against is not None and len(options.against) != len(options.videos):
        raise SystemExit(f"error: {len(options.against)} files of --against for {len(options.videos)} videos")
    rows = []
    for path, other in zip(options.videos, options.against or [None] * len(options.videos), strict=True):
        rows.append(measured(path, other, options))
        print(line(rows[-1]), flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    if any(row["wrong"] for row in rows):
        raise SystemExit("error: some way of decoding does not give the digest")


def measured(path: Path, other: Path | None, options: argparse.Namespace) -> dict[str, Any]:
    """One video in every way: how many ways, which are wrong, and the cost. other: a file to take turns with."""
    contract = open_artifact(path).contract
    if contract.exactness is None:
        raise SystemExit(f"error: {path} is not exact")
    model = read_model(path)
    wrong, ways = [], 0
    for level, threads in itertools.product(LEVELS, THREADS):
        run = session(model, level, threads)
        for batch in BATCHES:
            digest = FramesDigest()
            for start in range(0, contract.video.frames, batch):
                numbers = np.arange(start, min(start + batch, contract.video.frames))
                digest.add_all(run.run([OUTPUT_NAME], {INPUT_NAME: numbers})[0])
            ways += 1
            if digest.sha256 != contract.exactness.frames_sha256:
                wrong.append(f"{level}, {threads} threads, batch {batch}")
    for cpu in filter(None, options.cpus.split(",")):
        command = ["qemu-x86_64", "-cpu", cpu, sys.executable, __file__, str(path), "--digest"]
        command += ["--frames", str(options.frames)]
        found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        ways += 1
        if found.stdout.strip() != first_frames(path, options.frames):
            wrong.append(f"qemu -cpu {cpu}")
    return {
        "video": contract.video.name,
        "precision": contract.precision,
        "frames": contract.video.frames,
        "sha256": contract.exactness.frames_sha256,
        "margin_bits": round(contract.exactness.margin, 2),
        "ways": ways,
        "cpus": options.cpus,
        "wrong": wrong,
        "cost": round(
            cost(model, without_rounding(model) if other is None else read_model(other), options.runs), 3
        ),
        **{
            key: contract.precision_report[key] for key in ("loss_mean", "loss_worst") if contract.precision_report
        },
        "bytes": path.stat().st_size,
    }


def read_model(path: Path) -> bytes:
    """The .onnx of a file, packed or not."""
    return read_packed(path).model if path.suffix == ".pfnv" else path.read_bytes()


def first_frames(path: Path, frames: int) -> str:
    """The digest of the first frames, each decoded alone."""
    with VideoDecoder(path, threads=1) as video:
        return FramesDigest().add_all(video[k].data for k in range(min(frames, len(video)))).sha256


def session(model: bytes, level: str, threads: int) -> onnxruntime.InferenceSession:
    """The model in ONNX Runtime on the CPU."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    settings.intra_op_num_threads = threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def cost(model: bytes, other: bytes, runs: int) -> float:
    """Time of the exact graph over that of the other; both take turns."""
    both = [session(m, LEVELS[-1], 1) for m in (model, other)]
    seconds: list[list[float]] = [[], []]
    for _ in range(runs):
        for run, kept in zip(both, seconds, strict=True):
            start = time.process_time()
            run.run([OUTPUT_NAME], {INPUT_NAME: np.array([0])})
            kept.append(time.process_time() - start)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def without_rounding(model: bytes) -> bytes:
    """The graph without the Round nodes in front of its pixels: what it would be as plain fp32."""
    proto = onnx.load_from_string(model)
    renamed: dict[str, str] = {}
    kept = []
    last = [node.name for node in proto.graph.node if node.op_type == "Round"][-1]
    for node in proto.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        if node.op_type == "Round" and node.name != last:
            renamed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    data: bytes = proto.SerializeToString()
    return data


def line(row: dict[str, Any]) -> str:
    """One row of the table in docs/benchmarks.md."""
    verdict = "all equal" if not row["wrong"] else "; ".join(row["wrong"])
    return (
        f"| {row['video']} | {row['frames']} | `{row['sha256'][:16]}…` | {row['margin_bits']} | {row['ways']} | "
        f"{verdict} | {row['cost']:.2f} |" + (f" {row['loss_mean']:.3f} |" if "loss_mean" in row else "")
    )


if __name__ == "__main__":
    main()
