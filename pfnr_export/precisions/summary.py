"""A precision's report as lines to print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pfnr_export.precisions.judge import SOURCE


def summary(report: dict[str, Any]) -> Iterator[str]:
    """The loss, and for each layer its precision and its loss alone; nothing for an empty report."""
    if not report:
        return
    how = "against the source" if report["judged_by"] == SOURCE else "estimated without the source"
    yield (
        f"loss {how}: {report['loss_mean']:.4f} dB on average, {report['loss_worst']:.4f} dB on the worst frame, "
        f"budget {report['budget']:g} dB; PSNR to fp32 at least {min(report['psnr_between']):.2f} dB"
    )
    for row in report.get("layers", []):
        macs = f"{row['macs'] / 1e6:8.1f} MMAC  " if "macs" in row else ""
        yield (
            f"  {row['layer']:<28} {row['precision']:<5} {macs}{row['bytes'] / 1e3:9.1f} kB  "
            f"{row['loss_alone']:+.4f} dB alone"
        )
