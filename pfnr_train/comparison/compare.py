"""Running methods over the videos of a sequence, and measuring each by decoding after every video.

Each method writes one JSON file when done: a stopped comparison continues with the methods that have none. A file
made with different settings is refused.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pfnr_runtime import __version__
from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.regular_file import require_regular
from pfnr_train.clips import Clip
from pfnr_train.comparison.baselines import Setting, make_method
from pfnr_train.evaluation.quality import Quality, measure_quality

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class NamedClip:
    """A video of the comparison, cropped and scaled to the network's size."""

    name: str
    clip: Clip


def run_method(text: str, setting: Setting, videos: Sequence[NamedClip]) -> dict[str, Any]:
    """Learn all videos in order by one method; its figures as plain JSON types.

    matrix[i][j] is the PSNR in dB of video i, decoded after video j was learnt, None where there is none.
    """
    method = make_method(text, setting)
    matrix: Matrix = [[None] * len(videos) for _ in videos]
    seconds: list[float] = []
    final: list[Quality] = []
    for j, video in enumerate(videos):
        seconds.append(method.learn(j, video.clip.frames))
        final = []
        for i in range(j + 1):
            decoded = method.decode(i)
            if decoded is None:
                continue
            quality = measure_quality(decoded, videos[i].clip.frames, similarity=j + 1 == len(videos))
            matrix[i][j] = quality.psnr
            final.append(quality)
        own = matrix[j][j]
        reached = "collected" if own is None or len(final) <= j else f"{own:.2f} dB"
        say(f"{text}: {j + 1}/{len(videos)} {video.name} {reached} in {seconds[-1]:.0f} s")
    size = method.stored_bytes()
    return {
        "method": text,
        "settings": describe_setting(setting, videos),
        "videos": [video.name for video in videos],
        "matrix": matrix,
        "psnr": [quality.psnr for quality in final],
        "ms_ssim": [quality.ms_ssim for quality in final],
        "psnr_per_frame": [list(quality.psnr_per_frame) for quality in final],
        "parameters": method.parameters(),
        "macs_per_frame": method.config.macs(),
        "bytes": size,
        "seconds": seconds,
    } | summarise(matrix, final, sum(size.values()), videos)


def summarise(
    matrix: Matrix, final: Sequence[Quality], stored: int, videos: Sequence[NamedClip]
) -> dict[str, float | None]:
    """The figures of a table's row. Backward transfer: Lopez-Paz & Ranzato 2017, over all videos but the last."""
    changes = [
        last - own
        for i, row in enumerate(matrix[:-1])
        if (own := row[i]) is not None and (last := row[-1]) is not None
    ]
    similarities = [q.ms_ssim for q in final if q.ms_ssim is not None]
    pixels = sum(v.clip.frames.shape[0] * v.clip.frames.shape[1] * v.clip.frames.shape[2] for v in videos)
    return {
        "mean_psnr": statistics.fmean(q.psnr for q in final),
        "mean_ms_ssim": statistics.fmean(similarities) if len(similarities) == len(final) else None,
        "backward_transfer": statistics.fmean(changes) if changes else None,
        "bits_per_pixel": 8 * stored / pixels,
    }


def describe_setting(setting: Setting, videos: Sequence[NamedClip]) -> dict[str, Any]:
    """Everything that determines a method's figures, to tell whether results are comparable or still valid."""
    return {
        "config": setting.config.to_json(),
        "recipe": asdict(setting.recipe),
        "memory": setting.memory,
        "videos": [[video.name, len(video.clip.frames), video.clip.sha256] for video in videos],
        "pfnr": __version__,
    }


def compare(
    methods: Sequence[str], setting: Setting, videos: Sequence[NamedClip], folder: Path
) -> list[dict[str, Any]]:
    """The results of all methods in order: read from `folder` if done, else run and written there."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = describe_setting(setting, videos)
    results = []
    for text in methods:
        path = folder / f"{text}.json"
        if path.exists():
            result = _read(path)
            if result.get("settings") != expected:
                raise UsageError(
                    f"{path} has a different recipe, network, version or clips; name another folder with "
                    "`folder`, or delete it"
                )
            say(f"{text}: already done, read from {path}")
        else:
            machine = {"threads": torch.get_num_threads(), "cores": len(os.sched_getaffinity(0))}
            result = run_method(text, setting, videos)
            result["machine"] = machine | {"python": platform.python_version(), "torch": torch.__version__}
            write_atomically(path, (json.dumps(result, indent=1, sort_keys=True) + "\n").encode())
        results.append(result)
    return results


def _read(path: Path) -> dict[str, Any]:
    try:
        require_regular(path)
        value = json.loads(path.read_text())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise PfnrError(f"{path} is not a result of this command; delete it or name another folder with `folder`")
    return value
