"""`pfnr-train info`: what a library holds."""

from __future__ import annotations

import math
from typing import Any

from rich.table import Table

from pfnr_runtime.commands.console import print_json, reports_errors
from pfnr_train.commands.options import JsonOption, LibraryOption
from pfnr_train.commands.results import results_console
from pfnr_train.library.file import read_library
from pfnr_train.library.library import Library


def describe_library(library: Library) -> dict[str, Any]:
    """Sessions, network and how full each tensor is, as plain JSON types."""
    used = library.used()
    return {
        "config": library.config.to_json(),
        "size": list(library.config.size),
        "macs_per_frame": library.config.macs(),
        "weights": sum(math.prod(shape) for shape in library.config.tensor_shapes().values()),
        "sessions": [
            s.record.to_json() | {"index": i, "values": s.kind, "parent": s.parent, "bytes": s.size}
            for i, s in enumerate(library.summaries())
        ],
        "used": {name: float(mask.mean()) for name, mask in used.items()},
        "shapes": {name: list(mask.shape) for name, mask in used.items()},
    }


@reports_errors
def info(library: LibraryOption, json: JsonOption = False) -> None:
    """Print the library: its sessions, their quality when trained, and how full each tensor is."""
    described = describe_library(read_library(library))
    if json:
        print_json(described | {"library": str(library), "bytes": library.stat().st_size})
        return
    console = results_console()
    width, height = described["size"]
    console.print(
        f"{library}: {width}x{height}, {described['weights'] / 1e6:.2f} M weights, "
        f"{described['macs_per_frame'] / 1e9:.2g} GMAC per frame, {library.stat().st_size / 1e6:.2f} MB",
    )
    sessions = Table(
        "session", "name", "frames", "fps", "values", "bytes", "PSNR when trained", "MS-SSIM", "source"
    )
    for s in described["sessions"]:
        video = s["video"]
        sessions.add_row(
            str(s["index"]),
            video["name"],
            str(video["frames"]),
            video["fps"].removesuffix("/1") + (", variable" if "times" in video else ""),
            s["values"] if s["parent"] is None else f"{s['values']}, from {s['parent']}",
            f"{s['bytes']:,}",
            "-" if s["psnr"] is None else f"{s['psnr']:.2f} dB",
            "-" if s["ms_ssim"] is None else f"{s['ms_ssim']:.4f}",
            video["source"],
        )
    console.print(sessions)
    if not described["used"]:
        return
    tensors = Table("tensor", "shape", "used by some session")
    for name, part in described["used"].items():
        tensors.add_row(name, "x".join(map(str, described["shapes"][name])), f"{part:.1%}")
    console.print(tensors)
