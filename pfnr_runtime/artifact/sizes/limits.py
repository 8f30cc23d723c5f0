"""What one frame may take: limits by the size of the frames and of the file, so that a small file stays cheap.

The networks that pfnr trains take 0.2 to 1.4 KiB and 6,000 to 120,000 operations for a pixel. The limits leave
room above that, and end where a whole frame passes what any preset needs at 1080p.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pfnr_runtime.artifact.onnx.file import OnnxSummary, ValueInfo
from pfnr_runtime.artifact.sizes.values import Shape, SizeError
from pfnr_runtime.artifact.sizes.walk import Needs, measure
from pfnr_runtime.errors import ArtifactError, UsageError

MEMORY_VARIABLE, OPERATIONS_VARIABLE = "PFNR_MAX_MEMORY", "PFNR_MAX_OPERATIONS"

MOST_NODES = 4096
LEAST_MEMORY, MEMORY_A_PIXEL, MEMORY_A_BYTE, MOST_MEMORY = 64 << 20, 2 << 10, 8, 3 << 30
LEAST_OPERATIONS, OPERATIONS_A_PIXEL, MOST_OPERATIONS = 6_000_000_000, 400_000, 400_000_000_000
MOST_WRITTEN = 3  # times the memory: what is written in all, whichever order an engine takes the nodes in

_GIB, _BILLION = 1 << 30, 1_000_000_000


class Limits(NamedTuple):
    """memory: bytes of computed values at a time. operations: of one run."""

    memory: int
    operations: int


def limits_for(pixels: int, weight_bytes: int) -> Limits:
    """The limits of one frame of so many pixels, by a file with so many bytes of weights.

    `PFNR_MAX_MEMORY` (in GiB) and `PFNR_MAX_OPERATIONS` (in billions) replace them; a UsageError where one is no
    positive number.
    """
    memory = LEAST_MEMORY + MEMORY_A_PIXEL * pixels + MEMORY_A_BYTE * weight_bytes
    operations = LEAST_OPERATIONS + OPERATIONS_A_PIXEL * pixels
    return Limits(
        _from_environment(MEMORY_VARIABLE, _GIB) or min(memory, MOST_MEMORY),
        _from_environment(OPERATIONS_VARIABLE, _BILLION) or min(operations, MOST_OPERATIONS),
    )


def dynamic_sizes(inputs: Iterable[ValueInfo], size: int) -> dict[str, Shape]:
    """Shapes of those inputs that have a dynamic size, which becomes `size`."""
    shapes = {given.name: tuple(n if isinstance(n, int) else size for n in given.shape) for given in inputs}
    return {given.name: shapes[given.name] for given in inputs if shapes[given.name] != given.shape}


def check_needs(path: Path, summary: OnnxSummary, sizes: Mapping[str, Shape], pixels: int, output: Shape) -> Needs:
    """What one frame needs; an ArtifactError where that is over the limits, or does not follow from the file.

    sizes: of the graph's dynamic inputs. output: shape of what it must give.
    """
    if len(summary.nodes) > MOST_NODES:
        raise ArtifactError(f"{path}: a graph of {len(summary.nodes)} nodes; at most {MOST_NODES} are allowed")
    try:
        needs = measure(summary, sizes)
        if needs.outputs != (output,):
            raise SizeError(f"it gives {list(needs.outputs[0])} where {list(output)} is promised")
    except SizeError as error:
        raise ArtifactError(
            f"{path}: the sizes of what its graph computes cannot be told: {error}; export the session again"
        ) from None
    limits = limits_for(pixels, summary.weights_bytes)
    name, size = needs.largest
    for needed, limit, what, unit, variable in (
        (needs.memory, limits.memory, "GiB of memory", _GIB, MEMORY_VARIABLE),
        (needs.written // MOST_WRITTEN, limits.memory, "GiB of memory", _GIB, MEMORY_VARIABLE),
        (needs.operations, limits.operations, "billion operations", _BILLION, OPERATIONS_VARIABLE),
    ):
        if needed > limit:
            shown = math.ceil(needed / unit * 100) / 100
            raise ArtifactError(
                f"{path}: one frame takes {shown:,} {what}, where {limit / unit:,.2f} are allowed for frames of "
                f"{pixels:,} pixels (largest: {name!r}, {size:,} bytes); if you trust the file, set "
                f"{variable}={math.ceil(shown)}"
            )
    return needs


def frames_at_once(
    summary: OnnxSummary, name: str, row: Shape, others: Mapping[str, Shape], most: int, pixels: int
) -> int:
    """How many frames one run of the graph may decode within the limit of memory: 1 to `most`.

    name, row: of the input that selects frames, without its batch axis. others: sizes of other dynamic inputs.
    """
    limit = limits_for(pixels, summary.weights_bytes).memory
    while most > 1:
        try:
            needs = measure(summary, {**others, name: (most, *row)})
        except SizeError:  # a graph that works for single frames only
            needs = None
        if needs is not None and max(needs.memory, needs.written // MOST_WRITTEN) <= limit:
            return most
        most //= 2
    return 1


def _from_environment(variable: str, unit: int) -> int:
    """A limit that the user sets, 0 where none is set."""
    text = os.environ.get(variable, "")
    if not text:
        return 0
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1 << 20:
        raise UsageError(f"{variable}={text!r}: give a number over 0, such as {variable}=8")
    return max(1, round(number * unit))
