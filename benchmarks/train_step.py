"""Time a training step of ours beside one in the manner of the authors' code, at equal settings.

All train the same network at the same density and batch, one step each in turn; presets `tiny` and `s` at
180p and `l` at 720p. Ours both by the paper's recipe and by the default. Also printed: where a step of ours goes.
"""

from __future__ import annotations

import collections
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from reference import ReferenceTraining
from report import interleaved, machine, parser, show, store, summarise

from pfnr_runtime.timetable import time_table
from pfnr_train.config import preset_config
from pfnr_train.initialise import new_library
from pfnr_train.recipe import named_recipe
from pfnr_train.session_training import SessionTraining

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


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, nargs=3, default=(31, 15, 3), help="rounds for tiny, s and l")
    arguments.add_argument("--density", type=float, default=0.3)
    arguments.add_argument("--batch", type=int, default=1)
    arguments.add_argument("--presets", nargs="+", default=list(CASES), choices=list(CASES))
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    result = {"machine": machine(), "density": options.density, "batch": options.batch, "cases": {}}
    rows, parts = [], []
    for preset, rounds in zip(CASES, options.rounds, strict=True):
        if preset not in options.presets:
            continue
        width, height = CASES[preset]
        config = preset_config(preset, width, height)
        settings: dict[str, Any] = {"density": options.density, "batch": options.batch, "epochs": 1000}
        paper, default = (replace(named_recipe(name), **settings) for name in ("paper", "default"))
        frames = smooth_frames(4, width, height)
        table = time_table(4, 0.5, config.embed_base, config.embed_levels).astype(np.float32)
        library = new_library(config, 0)
        ours, same = (
            SessionTraining(config, library.weights, library.used(), frames, table, recipe)
            for recipe in (default, paper)
        )
        theirs = ReferenceTraining(config, frames, table, paper)
        batch = torch.arange(options.batch) % 4
        contenders = {"authors' manner": theirs, "pfnr, the paper's recipe": same, "pfnr": ours}
        times = interleaved({who: partial(t.step, batch) for who, t in contenders.items()}, rounds)
        summary = summarise(times, "authors' manner")
        shares = where_time_goes(ours, batch, 2)
        name = f"{preset} at {width}x{height}"
        result["cases"][name] = {"steps": summary, "shares": shares}
        rows += [(name, who, f"{v['median_s'] * 1e3:.0f} ms", f"{v['ratio']:.2f}") for who, v in summary.items()]
        parts += [(name, kind, f"{share:.0%}") for kind, share in shares.items()]
        del contenders, ours, same, theirs
    show("A training step", ("case", "who", "median", "ratio"), rows)
    show("Where a step of ours goes", ("case", "operations", "share"), parts)
    store(result, options.json)


if __name__ == "__main__":
    main()
