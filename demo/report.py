"""The short table the demo ends with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(out: Path, results: dict[str, Any], pictures: list[Path]) -> None:
    """Print quality, sizes, parity, speed and the proof that nothing was forgotten."""
    evaluated = {row["name"]: row for row in results["evaluation"]["sessions"]}
    table = Table(
        "session",
        "PSNR",
        "worst frame",
        "raw",
        "packed",
        "H.264 at that PSNR, 4:4:4 / 4:2:0",
        "against PyTorch",
        "decode",
        "unchanged",
    )
    for name, digests in results["exports"].items():
        proof, row = results["proofs"][name], evaluated[name]
        parity = (
            "identical"
            if proof["differing_samples"] == 0
            else f"≤ {proof['largest_difference']} step, {proof['differing_samples']} of {proof['samples']:,}"
        )
        sizes = results["sizes"][name]
        h264 = " / ".join("never" if sizes[c] is None else _kilobytes(sizes[c]) for c in ("h264_444", "h264_420"))
        unchanged = len(set(digests)) == 1
        table.add_row(
            f"{row['session']} {name}",
            f"{row['psnr']:.2f} dB",
            f"{sizes['worst_psnr']:.2f} dB",
            f"{sizes['raw'] / 1e6:.1f} MB",
            _kilobytes(sizes["packed"]),
            h264,
            parity,
            f"{results['speed'][name]['fps']:.0f} fps",
            ("yes" if unchanged else "NO") + (f", {len(digests)} exports" if len(digests) > 1 else ""),
        )
    console = Console(soft_wrap=True, width=150)
    console.print()
    console.print(table)
    transfer = results["evaluation"]["backward_transfer"]
    console.print(
        f"library {(out / 'library.pfnr').stat().st_size / 1e6:.2f} MB, backward transfer {transfer:+.4f} dB, "
        f"{results['seconds']:.0f} s in all"
    )
    digests = results["exports"]["bunny"]
    console.print(f"bunny.onnx before bikes was added: sha256 {digests[0]}")
    console.print(f"bunny.onnx after:                  sha256 {digests[-1]}")
    console.print(f"look at {', '.join(str(p) for p in (*pictures, out / 'bunny.mp4'))}")


def _kilobytes(size: int) -> str:
    return f"{size / 1000:.1f} KB"
