"""Makes the conformance suite that comes with the runtime: `python -m pfnr_export.conformance [FOLDER]`.

Networks of random weights, as small as they can be, one artifact of every kind that the exporter writes: each
registered precision and lowering, placement and combination of the Fourier block, layout of the output, kind of
time, packed files and shared graphs. With each come the frames that PyTorch decodes. A device that passes
`pfnr-verify --suite` computes all of them as it should.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.precisions import PRECISIONS
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_export.trial import drawn_library
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.golden import SUFFIX, make_golden, write_golden
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.errors import UsageError, VerificationError
from pfnr_runtime.proof.exact_check import check_exact
from pfnr_runtime.proof.suite import FOLDER, FORMAT_VERSION, SUITE, frame_md5
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.library import Library, Session
from pfnr_train.library.values.coded import CodedValues, stream_shapes
from pfnr_train.model.config import COMBINES, PLACEMENTS, FourierConfig, ModelConfig, preset_config
from pfnr_train.model.decode import decode_frames

FRAMES = 3
KEPT = 0.15  # of the canvas network's weights, so that packed files stay small
LOOSE = 10.0  # dB that a precision may lose here: weights of chance have no redundancy


class Case(NamedTuple):
    """One artifact: a library, how it is exported, and the suffix of its file."""

    name: str
    library: Library
    options: ExportOptions
    suffix: str = ".onnx"


def make_suite(folder: Path) -> Path:
    """Write the suite into `folder`, which loses what it held; the same files on every machine of this kind."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    entries = [entry for case in cases() for entry in _export(case, folder)] + _export_shared(folder)
    text = json.dumps({"format_version": FORMAT_VERSION, "cases": entries}, indent=1, sort_keys=True)
    (folder / SUITE).write_text(text + "\n")
    return folder / SUITE


def cases() -> Iterator[Case]:
    """Every case but shared graphs."""
    plain, canvas = drawn_library(_config("replace"), FRAMES), canvas_library()
    for name in PRECISIONS:
        library = _fitting(name, plain, canvas)
        # A canvas network is half a megabyte, and a few kilobytes when packed.
        yield Case(f"precision-{name}", library, _options(name), ".onnx" if library is plain else ".pfnv")
    for name in LOWERINGS:
        yield Case(f"lowering-{name}", plain, ExportOptions(fourier=name, precision="fp32"))
    for combine in (*COMBINES, "none"):
        for placement in PLACEMENTS if combine != "none" else PLACEMENTS[:1]:
            library = drawn_library(_config(combine, placement), FRAMES)
            yield Case(f"fourier-{combine}-{placement}", library, ExportOptions(precision="fp32"))
    tall = replace(_config("add"), grid=(5, 3), strides=(3, 2))
    yield Case("shape-tall-odd", drawn_library(tall, FRAMES), ExportOptions(precision="fp32"))
    yield Case("shape-biases", drawn_library(replace(_config("add"), bias=True), FRAMES), ExportOptions())
    yield Case("output-float32", plain, ExportOptions(precision="fp32", output="float32"))
    yield Case("time-continuous", plain, ExportOptions(precision="fp32", time="continuous"))
    yield Case("packed-fp32", plain, ExportOptions(precision="fp32"), ".pfnv")
    yield Case("output-float32-exact", canvas, ExportOptions(precision="exact", output="float32"), ".pfnv")


def canvas_library() -> Library:
    """One session of the canvas network, whose weights are whole numbers and so can be exact."""
    rng = np.random.default_rng(0)
    config = preset_config("canvas", 32, 18)
    tensors = {
        name: Quantised((rng.integers(-3, 4, shape) * (rng.random(shape) < KEPT)).astype(np.int32), -4)
        for name, shape in stream_shapes(config).items()
    }
    drawn = drawn_library(_config("none"), FRAMES).sessions[0].record
    width, height = config.size
    record = replace(drawn, video=replace(drawn.video, width=width, height=height))
    values = CodedValues.of(tensors)
    library = Library(config, {}, (Session(record, values),))
    record = replace(record, weights_sha256=weights_digest(library.assemble(0)))
    return replace(library, sessions=(Session(record, values),))


def _config(combine: str, placement: str = "centered") -> ModelConfig:
    fourier = None
    if combine != "none":
        fourier = FourierConfig(1, combine, placement, 2 if combine == "concat" else 0)
    return ModelConfig((3, 5), (2, 2), channels=6, lower_width=4, stem_width=8, fourier=fourier)


def _options(precision: str) -> ExportOptions:
    budget = None if PRECISIONS[precision].budget is None else LOOSE
    return ExportOptions(precision=precision, psnr_budget=budget)


def _fitting(precision: str, plain: Library, canvas: Library) -> Library:
    """The library of the network that has this precision."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_session(plain, 0, Path(folder, "v.onnx"), _options(precision))
        except (UsageError, VerificationError):
            return canvas
    return plain


def _export(case: Case, folder: Path) -> list[dict[str, Any]]:
    path = folder / f"{case.name}{case.suffix}"
    export_session(case.library, 0, path, case.options, golden_frames=FRAMES)
    return [_entry(case.name, path, None, path.with_suffix(SUFFIX), case.library, 0)]


def _export_shared(folder: Path) -> list[dict[str, Any]]:
    library, graph = drawn_library(_config("replace"), FRAMES, sessions=2), folder / "shared.onnx"
    export_shared(library, [0, 1], graph, SharedOptions())
    entries = []
    for session in (0, 1):
        contract = open_artifact(graph, session).contract
        frames = (frame for batch in decode_frames(library.session_weights(session)) for frame in batch)
        golden = folder / f"shared-{session}{SUFFIX}"
        write_golden(make_golden(frames, contract, FRAMES), golden)
        entries.append(_entry(f"shared-{session}", graph, session, golden, library, session))
    return entries


def _entry(
    name: str, path: Path, session: int | None, golden: Path, library: Library, index: int
) -> dict[str, Any]:
    frames: Iterable[NDArray[np.uint8]]
    with VideoDecoder(path, session=session, backend="onnxruntime-cpu", threads=1) as decoder:
        if decoder.contract.exactness is None:
            frames = (frame for batch in decode_frames(library.session_weights(index)) for frame in batch)
        else:  # which has a digest of the frames that it defines
            assert check_exact(decoder).passed
            frames = decoder[:].data
        md5 = [frame_md5(frame) for frame in frames]
    return {"name": name, "file": path.name, "session": session, "golden": golden.name, "md5": md5}


def main() -> None:
    """Write it where `pfnr-verify --suite` finds it, or into the given folder."""
    suite = make_suite(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    size = sum(file.stat().st_size for file in suite.parent.iterdir())
    print(f"{suite}: {len(list(suite.parent.iterdir()))} files, {size:,} bytes")


if __name__ == "__main__":
    main()
