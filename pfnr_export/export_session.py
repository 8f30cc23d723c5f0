"""One session of a library to one artifact: materialise, lower, shrink, emit, write."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from pfnr_export.checks import choose_checks, run_checks
from pfnr_export.continuous_time import CONTINUOUS, FRAMES, TIME_KINDS, session_embedding
from pfnr_export.emit import emit, serialise
from pfnr_export.exactness import prove
from pfnr_export.lowerings import choose_lowering
from pfnr_export.lowerings.budget import DEFAULT_BUDGET, SpatialBudget
from pfnr_export.materialise import materialise
from pfnr_export.origin import session_origin
from pfnr_export.passes import run_passes
from pfnr_export.precisions import AUTO, EXACT, FP32, Subject, choose_precision
from pfnr_export.triton import TritonModel, check_model_folder, write_model
from pfnr_runtime import __version__
from pfnr_runtime.artifact.contract import METADATA_KEY, OUTPUT_KINDS, ArtifactContract
from pfnr_runtime.artifact.golden import SUFFIX, make_golden, write_golden
from pfnr_runtime.artifact.onnx.file import summarise_bytes
from pfnr_runtime.artifact.onnx.seal import seal
from pfnr_runtime.artifact.open import check_frame_needs
from pfnr_runtime.artifact.packed.pack import pack
from pfnr_runtime.artifact.packed.signature import SUFFIX as PACKED
from pfnr_runtime.errors import ArtifactError, ParameterError, UsageError, VerificationError
from pfnr_runtime.system.messages import say
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.progress import SILENT, Progress
from pfnr_train.library.library import Library
from pfnr_train.model.decode import decode_frames

MAX_BUDGET = 20.0


@dataclass(frozen=True)
class ExportOptions:
    """Options of an artifact.

    - fourier: a lowering's name or `auto`.
    - precision: a key of `PRECISIONS`, or `auto`: exact where that can be proved, else fp32.
    - output: a key of `OUTPUT_KINDS`.
    - spatial_budget: limit of the `spatial` lowering.
    - psnr_budget: most PSNR in dB that the precision may cost a frame, None for the precision's default.
    - calibration_frames: how many frames set int8 ranges, None for all.
    - checks: names of `pfnr_export.checks.CHECKS` to run on the finished model, in addition to the static one.
    - time: a key of `TIME_KINDS`.
    """

    fourier: str = "auto"
    precision: str = AUTO
    output: str = "uint8"
    spatial_budget: SpatialBudget = DEFAULT_BUDGET
    psnr_budget: float | None = None
    calibration_frames: int | None = None
    checks: tuple[str, ...] = ()
    time: str = FRAMES

    def __post_init__(self) -> None:
        if self.output not in OUTPUT_KINDS:
            raise UsageError(f"output {self.output!r} is none of {', '.join(OUTPUT_KINDS)}")
        if self.time not in TIME_KINDS:
            raise UsageError(f"time {self.time!r} is none of {', '.join(TIME_KINDS)}")
        choose_lowering(self.fourier)
        choose_checks(self.checks)
        precision = choose_precision(self.precision)
        if self.psnr_budget is not None:
            if precision.budget is None:
                raise UsageError(f"{precision.name} loses nothing, so a PSNR budget does not apply")
            if not 0 < self.psnr_budget <= MAX_BUDGET:
                raise ParameterError("psnr_budget", f"{self.psnr_budget:g} is outside 0 to {MAX_BUDGET:g} dB")
        if self.calibration_frames is not None and self.calibration_frames < 1:
            raise ParameterError("calibration_frames", f"{self.calibration_frames} must be 1 or more")


@dataclass(frozen=True)
class Exported:
    """One written artifact.

    - weight_bytes: of all stored tensors.
    - file_bytes: of the whole file.
    - checks: the result of each requested check, by name.
    - golden: the golden file written next to it, if any.
    """

    path: Path | None
    contract: ArtifactContract
    weight_bytes: int
    file_bytes: int
    checks: dict[str, dict[str, Any]] = field(default_factory=dict)
    golden: Path | None = None
    triton: TritonModel | None = None


def build_model(
    library: Library,
    index: int,
    options: ExportOptions,
    source: NDArray[np.uint8] | None = None,
    progress: Progress = SILENT,
) -> tuple[onnx.ModelProto, ArtifactContract]:
    """The ONNX model of session `index`; depends only on that session and the network.

    source: the session's source frames, uint8 [N, H, W, 3], against which a lower precision is judged, if
    available. progress: of a conversion.
    """
    session, record = library.session_weights(index), library.sessions[index].record
    lowering = choose_lowering(options.fourier, library.config, options.spatial_budget)
    embedding = session_embedding(library, index) if options.time == CONTINUOUS else None
    decoder, passes = run_passes(materialise(session, lowering, continuous=embedding is not None))
    precision = choose_precision(options.precision, exact=library.config.canvas is not None)
    exactness = None
    if precision is EXACT:
        try:
            exactness = prove(decoder, session, progress)
        except VerificationError as error:
            if options.precision != AUTO:
                raise
            say(f"exported as fp32, since exactness cannot be proved: {error}")
            precision = FP32
    contract = ArtifactContract(
        video=record.video,
        session=index,
        output=options.output,
        precision=FP32.name if precision.budget is not None else precision.name,
        lowering=lowering.name if library.config.fourier is not None else "none",
        passes=passes,
        weights_sha256=record.weights_sha256,
        quality=record.quality(),
        producer=f"pfnr {__version__}",
        time_embedding=embedding,
        exactness=exactness,
    )
    model = emit(decoder, contract)
    if precision.budget is None:
        return model, contract
    budget = precision.budget if options.psnr_budget is None else options.psnr_budget
    subject = Subject(
        model,
        record.video.frames,
        options.output,
        budget,
        source,
        record.psnr,
        options.calibration_frames,
        progress,
        embedding is not None,
        decoder,
    )
    converted = precision.convert(subject)
    contract = replace(
        contract, precision=precision.name, precision_report=converted.report, exactness=converted.exactness
    )
    helper.set_model_props(converted.model, {METADATA_KEY: contract.to_text()})
    return converted.model, contract


def export_session(
    library: Library,
    index: int,
    path: Path | None,
    options: ExportOptions,
    source: NDArray[np.uint8] | None = None,
    progress: Progress = SILENT,
    golden_frames: int | None = None,
    triton: Path | None = None,
) -> Exported:
    """Write session `index` to `path` atomically. The same session, options and source give the same bytes.

    A path that ends in .pfnv gets the packed video, any other the .onnx.

    golden_frames: also write a golden file of PyTorch's frames next to it, with so many frames whole. triton: a
    model repository to put the artifact into as well, or instead if `path` is None.
    """
    if triton is not None:
        if options.time == CONTINUOUS:
            raise UsageError(
                f"Triton serves frame numbers: with the time {CONTINUOUS} every client would have to compute "
                f"the time embedding itself; use the time {FRAMES}"
            )
        check_model_folder(triton, library.sessions[index].record.video)
    model, contract = build_model(library, index, options, source, progress)
    weight_bytes = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    data = seal(serialise(model))
    seen = run_checks(model, data, options.checks)
    _say_needs(data, contract)
    golden = None
    if golden_frames is not None:
        progress.stage(f"golden file: PyTorch decodes {contract.video.frames} frames")
        pictures = (frame for batch in decode_frames(library.session_weights(index)) for frame in batch)
        golden = make_golden(pictures, contract, golden_frames)
    written = data
    if path is not None:
        if path.suffix == PACKED:
            written = pack(data, session_origin(library, index))
        write_atomically(path, written)
    placed = None if triton is None else write_model(triton, contract, data)
    beside = None
    if golden is not None and path is not None:
        beside = path.with_suffix(SUFFIX)
        write_golden(golden, beside)
    return Exported(path, contract, weight_bytes, len(written), seen, beside, placed)


def _say_needs(data: bytes, contract: ArtifactContract) -> None:
    """Say where a decoder would refuse the model for what a frame takes."""
    model = Path("the model")
    try:
        check_frame_needs(model, summarise_bytes(data, model), contract, contract.input, 1)
    except ArtifactError as error:
        say(f"whoever decodes this file has to raise a limit: {error}")
