"""Ways to write the Fourier block without FFTs. Adding one is adding a file here and naming it below."""

from __future__ import annotations

from pfnr_export.lowerings.base import Lowering
from pfnr_export.lowerings.matmul import MatmulLowering
from pfnr_runtime.errors import UsageError

LOWERINGS: dict[str, type[Lowering]] = {lowering.name: lowering for lowering in (MatmulLowering,)}
AUTO = "auto"


def choose_lowering(name: str) -> type[Lowering]:
    """The lowering of this name; a UsageError lists the known ones. `auto` picks the cheapest that is exact."""
    if name == AUTO:
        return MatmulLowering
    if name not in LOWERINGS:
        raise UsageError(f"Fourier lowering {name!r} is none of {', '.join((AUTO, *LOWERINGS))}")
    return LOWERINGS[name]
