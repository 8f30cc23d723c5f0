"""`--time continuous`: the usual artifact's frames at whole numbers, the masked model's pictures between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.libraries import made_library, small_config
from helpers.networks import networks
from hypothesis import given, settings
from typer.testing import CliRunner

from pfnr_export.commands.export import app
from pfnr_export.commands.verify import app as verify_app
from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.materialise import materialise
from pfnr_export.parity.verify import verify_artifact
from pfnr_export.passes import run_passes
from pfnr_export.precisions import PRECISIONS
from pfnr_export.precisions.int8_ranges import magnitudes
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.open import open_artifact
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.metrics import psnr
from pfnr_runtime.video.time_table import embed_times
from pfnr_train.library.file import write_library
from pfnr_train.library.library import Library
from pfnr_train.model.config import ModelConfig
from pfnr_train.model.network import MaskedSession, to_uint8

CONTINUOUS = ExportOptions(time="continuous")


def masked_pictures(library: Library, session: int, positions: list[float]) -> np.ndarray:
    """What the masked PyTorch model makes of the embedding at these places."""
    weights, record, config = library.session_weights(session), library.sessions[session].record, library.config
    rows = embed_times(
        np.array(positions) / record.video.frames, record.scalar, config.embed_base, config.embed_levels
    ).astype(np.float32)
    with torch.no_grad():
        network = MaskedSession(weights).network
        return to_uint8(network(torch.from_numpy(rows), weights.materialised(), weights.head))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(config=networks())
def test_the_decoder_without_its_table_is_the_decoder(config: ModelConfig) -> None:
    session = made_library(config).session_weights(1)
    with_table, _ = run_passes(materialise(session, LOWERINGS["matmul"], torch.float64))
    without, passes = run_passes(materialise(session, LOWERINGS["matmul"], torch.float64, continuous=True))
    assert not {"stem-table", "stem-hidden-table"} & set(passes)
    rows = torch.from_numpy(session.time_table).double()
    torch.testing.assert_close(without(rows), with_table(torch.arange(len(rows))), atol=1e-10, rtol=0)


@pytest.mark.parametrize("combine", ["add", "none"])
def test_whole_frames_hold_the_fp32_rule_and_pictures_between_are_the_models(combine: str, tmp_path: Path) -> None:
    library = made_library(small_config(combine, bias=True), 2, frames=5)
    export_session(library, 1, tmp_path / "usual.onnx", ExportOptions())
    done = export_session(library, 1, tmp_path / "any.onnx", CONTINUOUS, golden_frames=2)
    assert done.contract.time_embedding is not None
    assert np.array_equal(done.contract.time_embedding.rows(np.arange(5), 5), library.table(1))
    places = [0.5, 2.25, 3.999, 4.0]
    with VideoDecoder(tmp_path / "any.onnx") as decoder, VideoDecoder(tmp_path / "usual.onnx") as usual:
        rule = rule_for(decoder.contract)
        assert verify_artifact(decoder, library, rule).passed
        assert all(rule.compare(i, usual[i].data, decoder[i].data) for i in range(5))
        expected = masked_pictures(library, 1, places)
        found = decoder.get_frames_at_positions(places).data
        assert all(rule.compare(i, a, b) for i, (a, b) in enumerate(zip(expected, found, strict=True)))
    done_again = export_session(library, 1, tmp_path / "again.onnx", CONTINUOUS)
    assert done_again.contract == done.contract
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "any.onnx").read_bytes()


@pytest.mark.parametrize("precision", [name for name, p in PRECISIONS.items() if p.budget and not p.proved])
def test_lower_precisions_keep_their_budget_and_stay_near_between_frames(precision: str, tmp_path: Path) -> None:
    library = made_library(small_config("add"), 2, frames=5)
    export_session(library, 1, tmp_path / "fp32.onnx", CONTINUOUS)
    options = replace(CONTINUOUS, precision=precision, psnr_budget=1.0)
    export_session(library, 1, tmp_path / "low.onnx", options)
    places = [0.5, 1.25, 3.75]
    with VideoDecoder(tmp_path / "low.onnx") as low, VideoDecoder(tmp_path / "fp32.onnx") as full:
        assert low.contract.precision == precision
        assert verify_artifact(low, library, rule_for(low.contract)).passed
        pairs = zip(low.get_frames_at_positions(places), full.get_frames_at_positions(places), strict=True)
        assert min(psnr(a.data, b.data) for a, b in pairs) > 30


def test_ranges_are_taken_between_frames_too() -> None:
    library = made_library(small_config("add"), 1, frames=4)
    model, _ = build_model(library, 0, CONTINUOUS)
    value = next(node.output[0] for node in model.graph.node if node.op_type == "Conv")
    found = magnitudes(model, [value], [0, 0.5, 1])
    assert found[1] not in (found[0], found[2])


def test_a_session_with_a_table_of_its_own_is_refused(tmp_path: Path) -> None:
    library = made_library(small_config(), 2)
    session = library.sessions[1]
    session = replace(session, values=replace(session.values, time_table=library.table(1)))
    library = replace(library, sessions=(library.sessions[0], session))
    with pytest.raises(UsageError, match=r"session 1 \(video-1\) was imported with its own time table"):
        export_session(library, 1, tmp_path / "v.onnx", CONTINUOUS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-s", "0", "--time", "any"], "time 'any' is none of frames, continuous"),
        (["--shared", "--time", "continuous"], "--time continuous needs --session"),
        (
            ["-s", "0", "--time", "continuous", "--triton", "models"],
            "every client would have to compute the time embedding",
        ),
    ],
)
def test_what_does_not_go_with_it_is_named(arguments: list[str], says: str, tmp_path: Path) -> None:
    write_library(made_library(small_config()), tmp_path / "library.pfnr")
    common = ["-l", str(tmp_path / "library.pfnr"), "-o", str(tmp_path / "v.onnx")]
    done = CliRunner().invoke(app, [*common, *arguments])
    assert done.exit_code == 2
    assert says in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["library.pfnr"]


def test_the_commands_export_and_verify_it(tmp_path: Path) -> None:
    write_library(made_library(small_config()), tmp_path / "library.pfnr")
    library, artifact = str(tmp_path / "library.pfnr"), str(tmp_path / "v.onnx")
    done = CliRunner().invoke(app, ["-l", library, "-s", "1", "-o", artifact, "--time", "continuous", "--golden"])
    assert done.exit_code == 0, done.output
    assert "continuous time" in done.stdout
    assert open_artifact(artifact).contract.input.name == "time_embedding"
    for arguments in ([artifact], [artifact, "-l", library]):
        done = CliRunner().invoke(verify_app, arguments)
        assert done.exit_code == 0, done.output
