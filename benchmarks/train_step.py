"""Time one of our training steps against one in the manner of the authors' code, for each frame trained on.

All train the same network at the same density, one step each in turn; presets `tiny` and `s` at 180p and `l`
at 720p. Ours by the paper's recipe, the same arithmetic, and by the default, with its own batch, as the first
and the last of eight sessions. Means, since every tenth step of the default does more. Also printed: where a
step of ours goes.
"""

from __future__ import annotations

import collections
import statistics
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from reference import ReferenceTraining
from report import interleaved, machine, parser, show, store

from pfnr_runtime.video.time_table import time_table
from pfnr_train.model.config import preset_config
from pfnr_train.session.initialise import new_library
from pfnr_train.session.recipe import named_recipe
from pfnr_train.session.training import SessionTraining

LATE = "pfnr, last of eight sessions"
CASES = {"tiny": (320, 180), "s": (320, 180), "l": (1280, 720)}


def smooth_frames(count: int, width: int, height: int) -> np.ndarray:
    """Frames with video-like content: moving gradients, uint8 [N, H, W, 3]."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = [np.sin(6 * (x * (c + 1) + y + k / count)) for k in range(count) for c in range(3)]
    shaped = np.stack(planes).reshape(count, 3, height, width).transpose(0, 2, 3, 1)
    return np.ascontiguousarray((127.5 + 127 * shaped).astype(np.uint8))


def where_time_goes(training: SessionTraining, batch: torch.Tensor, steps: int) -> dict[str, float]:
    """Share of a step's CPU time by kind of operation."""
    kinds = {
        "convolutions": ("convolution", "conv2d"),
        "matrix products (mixing, DFT, head, SSIM blur)": ("::mm", "::bmm", "::addmm"),
        "optimiser": ("_fused_adam", "Optimizer", "zero_grad"),
        "mask threshold": ("kthvalue", "::ge", "::gt", "nonzero", "::index", "bitwise_xor"),
        "copies and shuffles": ("copy_", "pixel_", "::cat", "::stack", "fill_"),
    }
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(steps):
            training.step(batch)
    shares: dict[str, float] = collections.defaultdict(float)
    total = 0.0
    for event in profile.key_averages():
        kind = next(
            (k for k, parts in kinds.items() if any(p in event.key for p in parts)), "elementwise and rest"
        )
        shares[kind] += event.self_cpu_time_total
        total += event.self_cpu_time_total
    return {kind: value / total for kind, value in sorted(shares.items(), key=lambda item: -item[1])}


def made_contenders(preset: str, density: float) -> dict[str, Any]:
    """Trainings of one preset by name, the authors' manner first, each with a `step` and a `recipe`."""
    width, height = CASES[preset]
    config = preset_config(preset, width, height)
    settings: dict[str, Any] = {"density": density, "epochs": 1000}
    paper, default = (replace(named_recipe(name), **settings) for name in ("paper", "default"))
    frames = smooth_frames(4, width, height)
    table = time_table(4, 0.5, config.embed_base, config.embed_levels).astype(np.float32)
    library, draw = new_library(config, 0), np.random.default_rng(0)
    nothing = library.used()
    mostly = {name: draw.random(mask.shape) < 0.9 for name, mask in nothing.items()}
    return {
        "authors' manner": ReferenceTraining(config, frames, table, paper),
        "pfnr, the paper's recipe": SessionTraining(config, library.weights, nothing, frames, table, paper),
        "pfnr, first session": SessionTraining(config, library.weights, nothing, frames, table, default),
        LATE: SessionTraining(config, library.weights, mostly, frames, table, default, 7),
    }


def frame_times(times: dict[str, list[float]], frames: dict[str, int]) -> dict[str, dict[str, float]]:
    """Mean seconds of each for a frame, of `frames` in a step, and its ratio to the first."""
    means = {who: statistics.mean(values) / frames[who] for who, values in times.items()}
    first = next(iter(means.values()))
    return {who: {"mean_s": mean, "ratio": mean / first} for who, mean in means.items()}


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, nargs=3, default=(60, 30, 10), help="rounds for tiny, s and l")
    arguments.add_argument("--density", type=float, default=0.3)
    arguments.add_argument("--presets", nargs="+", default=list(CASES), choices=list(CASES))
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    result = {"machine": machine(), "density": options.density, "threads": options.threads, "cases": {}}
    rows, parts = [], []
    for preset, rounds in zip(CASES, options.rounds, strict=True):
        if preset not in options.presets:
            continue
        name = f"{preset} at {CASES[preset][0]}x{CASES[preset][1]}"
        contenders = made_contenders(preset, options.density)
        batches = {who: torch.arange(training.recipe.batch) for who, training in contenders.items()}
        steps = {who: partial(t.step, batches[who]) for who, t in contenders.items()}
        summary = frame_times(interleaved(steps, rounds), {who: len(b) for who, b in batches.items()})
        shares = where_time_goes(contenders[LATE], batches[LATE], 2)
        result["cases"][name] = {"a_frame": summary, "shares": shares}
        rows += [(name, who, f"{v['mean_s'] * 1e3:.1f} ms", f"{v['ratio']:.2f}") for who, v in summary.items()]
        parts += [(name, kind, f"{share:.0%}") for kind, share in shares.items()]
        del contenders, steps
    show("A training step, for each frame", ("case", "who", "mean", "ratio"), rows)
    show("Where a step of ours goes", ("case", "operations", "share"), parts)
    store(result, options.json)


if __name__ == "__main__":
    main()
