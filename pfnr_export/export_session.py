"""One session of a library to one artifact: materialise, lower, shrink, emit, write."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from pfnr_export.checks import choose_checks, run_checks
from pfnr_export.emit import emit, serialise
from pfnr_export.lowerings import choose_lowering
from pfnr_export.lowerings.budget import DEFAULT_BUDGET, SpatialBudget
from pfnr_export.materialise import materialise
from pfnr_export.passes import run_passes
from pfnr_export.precisions import choose_precision
from pfnr_runtime import __version__
from pfnr_runtime.atomic_file import write_atomically
from pfnr_runtime.contract import OUTPUT_KINDS, ArtifactContract
from pfnr_runtime.errors import UsageError
from pfnr_train.library import Library


@dataclass(frozen=True)
class ExportOptions:
    """What an artifact is to be. fourier: a lowering's name or `auto`; output: a key of `OUTPUT_KINDS`.

    spatial_budget: how large the `spatial` lowering may grow. checks: names of `pfnr_export.checks.CHECKS` to
    run on the finished model besides the static one, which always runs.
    """

    fourier: str = "auto"
    precision: str = "fp32"
    output: str = "uint8"
    spatial_budget: SpatialBudget = DEFAULT_BUDGET
    checks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.output not in OUTPUT_KINDS:
            raise UsageError(f"output {self.output!r} is none of {', '.join(OUTPUT_KINDS)}")
        choose_lowering(self.fourier)
        choose_checks(self.checks)
        choose_precision(self.precision)


@dataclass(frozen=True)
class Exported:
    """One written artifact. weight_bytes: of all stored tensors; file_bytes: of the whole file.

    checks: what each check that was asked for saw, by name.
    """

    path: Path
    contract: ArtifactContract
    weight_bytes: int
    file_bytes: int
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)


def build_model(library: Library, index: int, options: ExportOptions) -> tuple[onnx.ModelProto, ArtifactContract]:
    """The ONNX model of session `index`; depends on nothing of the library but that session and the network."""
    session, record = library.session_weights(index), library.sessions[index].record
    lowering = choose_lowering(options.fourier, library.config, options.spatial_budget)
    decoder, passes = run_passes(materialise(session, lowering))
    contract = ArtifactContract(
        video=record.video,
        session=index,
        output=options.output,
        precision=options.precision,
        lowering=lowering.name if library.config.fourier is not None else "none",
        passes=passes,
        weights_sha256=record.weights_sha256,
        quality=record.quality(),
        producer=f"pfnr {__version__}",
    )
    return choose_precision(options.precision)(emit(decoder, contract)), contract


def export_session(library: Library, index: int, path: Path, options: ExportOptions) -> Exported:
    """Write session `index` to `path`, whole or not at all. Same session and options, same bytes."""
    model, contract = build_model(library, index, options)
    weight_bytes = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    data = serialise(model)
    seen = run_checks(model, data, options.checks)
    write_atomically(path, data)
    return Exported(path, contract, weight_bytes, len(data), seen)
