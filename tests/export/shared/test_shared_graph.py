"""The shared graph and its sidecars: the frames of the per-video files, for as long as the library grows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from helpers.libraries import COMBINES, made_library, made_record, small_config, trained
from helpers.networks import networks
from hypothesis import given, settings
from numpy.typing import NDArray
from typer.testing import CliRunner

from pfnr_export.commands.export import app as export_app
from pfnr_export.commands.verify import app as verify_app
from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import SharedExport, export_shared
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.open import SharedFile, examine_artifact
from pfnr_runtime.errors import ArtifactError, UsageError
from pfnr_train.library.digests import weights_digest
from pfnr_train.library.file import write_library
from pfnr_train.library.library import Library, Session
from pfnr_train.library.values import SharedValues
from pfnr_train.model.config import ModelConfig, preset_config
from pfnr_train.session.recipe import Recipe

OPTIONS = SharedOptions()


def export(library: Library, folder: Path, sessions: list[int] | None = None) -> SharedExport:
    wanted = list(range(len(library.sessions))) if sessions is None else sessions
    return export_shared(library, wanted, folder / "library.onnx", OPTIONS)


def shared_frames(folder: Path, session: int) -> NDArray[np.uint8]:
    with VideoDecoder(folder / "library.onnx", session=session, threads=1) as decoder:
        return decoder[:].data


def video_frames(library: Library, session: int, folder: Path) -> NDArray[np.uint8]:
    export_session(library, session, folder / "alone.onnx", ExportOptions(fourier="matmul"))
    with VideoDecoder(folder / "alone.onnx", threads=1) as decoder:
        return decoder[:].data


def assert_same_frames(frames: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """The fp32 rule; on frames this small, at least one sample may fall the other way."""
    difference = np.abs(frames.astype(int) - expected)
    assert frames.shape == expected.shape
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= max(1, 0.0002 * difference.size)


def with_session(library: Library, masks: dict[str, NDArray[np.bool_]]) -> Library:
    """The library with one more session of these masks; all weights are kept."""
    index = len(library.sessions)
    record = made_record(library.config, index, frames=3)
    packed = {name: np.packbits(mask) for name, mask in masks.items()}
    head = {name: value + np.float32(0.1) for name, value in library.sessions[0].values.head.items()}
    longer = replace(library, sessions=(*library.sessions, Session(record, SharedValues(packed, head))))
    record = replace(record, weights_sha256=weights_digest(longer.assemble(index)))
    return replace(library, sessions=(*library.sessions, Session(record, SharedValues(packed, head))))


def with_reused_weights(library: Library) -> Library:
    """One more session that uses only weights that are frozen already, half of them."""
    rng = np.random.default_rng(9)
    return with_session(library, {n: used & (rng.random(used.shape) < 0.5) for n, used in library.used().items()})


def with_new_weights(library: Library) -> Library:
    """One more session that uses a weight of its last block which no other one uses; free weights retrained."""
    free = {name: ~used for name, used in library.used().items()}
    weights = {name: np.where(free[name], w + np.float32(0.01), w) for name, w in library.weights.items()}
    return with_session(
        replace(library, weights=weights), {name: np.ones(w.shape, bool) for name, w in free.items()}
    )


@settings(max_examples=12, deadline=None, derandomize=True)
@given(config=networks())
def test_frames_are_those_of_the_per_video_file(
    config: ModelConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("shared")
    library = made_library(config, 3)
    export(library, folder)
    for index in range(3):
        assert_same_frames(shared_frames(folder, index), video_frames(library, index, folder))


def test_frames_of_a_preset_are_those_of_the_per_video_file(tmp_path: Path) -> None:
    library = made_library(preset_config("tiny", 320, 180), 2)
    export(library, tmp_path)
    for index in (0, 1):
        assert_same_frames(shared_frames(tmp_path, index), video_frames(library, index, tmp_path))


@pytest.mark.parametrize("combine", COMBINES)
def test_the_file_itself_with_bool_masks_gives_the_runtimes_frames(combine: str, tmp_path: Path) -> None:
    library = made_library(small_config(combine, bias=True), 3)
    path = export(library, tmp_path).path
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for index in range(3):
        with VideoDecoder(path, session=index, threads=1) as decoder:
            sidecar, inputs = decoder.artifact.sidecar, decoder.artifact.summary.inputs
            assert sidecar is not None
            feeds = sidecar.feeds(inputs)
            assert {str(value.dtype) for value in feeds.values()} == {"bool", "float32"}
            frames = session.run(None, {"frame_index": np.arange(4), **feeds})[0]
            assert_same_frames(decoder[:].data, frames)


def test_every_shared_weight_has_a_mask_and_nothing_of_a_session_is_in_the_graph(tmp_path: Path) -> None:
    library = made_library(small_config("add", bias=True), 2)
    model = onnx.load(export(library, tmp_path).path)
    inputs = {value.name: value.type.tensor_type for value in model.graph.input}
    masks = {
        name.removesuffix(".mask") for name, kind in inputs.items() if kind.elem_type == onnx.TensorProto.BOOL
    }
    stored = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith(("/weight", "/bias"))}
    assert masks == stored
    assert [name for name in inputs if name not in {f"{mask}.mask" for mask in masks}] == [
        "frame_index",
        "stem_0_table/table",
        "head/weight",
        "head/bias",
    ]


def test_weights_that_no_session_uses_are_not_in_the_graph(tmp_path: Path) -> None:
    library = made_library(small_config(), 1)
    before = export(library, tmp_path).path.read_bytes()
    free = {name: ~used for name, used in library.used().items()}
    changed = {name: np.where(free[name], np.float32(7), w) for name, w in library.weights.items()}
    (tmp_path / "again").mkdir()
    assert export(replace(library, weights=changed), tmp_path / "again").path.read_bytes() == before


def test_the_same_library_gives_the_same_bytes(tmp_path: Path) -> None:
    library = made_library(small_config("concat", bias=True), 3)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        export(library, folder)
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert files[0] == files[1]
    assert sorted(files[0]) == [
        "library.0.safetensors",
        "library.1.safetensors",
        "library.2.safetensors",
        "library.onnx",
    ]


def test_a_session_of_frozen_weights_needs_only_a_sidecar(tmp_path: Path) -> None:
    library = made_library(small_config(), 2)
    export(library, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    grown = with_reused_weights(library)
    done = export(grown, tmp_path)
    assert done.graph == "kept"
    assert [s.written for s in done.sidecars] == [False, False, True]
    assert done.sidecars[2].added == 0
    assert done.sentence() == "the graph is unchanged: send library.2.safetensors"
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: after[name] for name in before} == before
    assert_same_frames(shared_frames(tmp_path, 2), video_frames(grown, 2, tmp_path))


def test_a_session_that_trained_free_weights_needs_a_new_graph_and_old_sidecars_stay(tmp_path: Path) -> None:
    library = made_library(small_config(), 2)
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        export(library, folder)
    before = {path.name: path.read_bytes() for path in new.iterdir()}
    grown = with_new_weights(library)
    done = export(grown, new)
    assert done.graph == "extended"
    assert [s.written for s in done.sidecars] == [False, False, True]
    assert done.sidecars[2].added > 0
    assert list(done.grown) == [2]
    why = f"for weights that were free and are now used by session 2 ({done.grown[2]:,})"
    assert f"a new graph is needed, {why}: send library.onnx and library.2.safetensors" in done.sentence()
    after = {path.name: path.read_bytes() for path in new.iterdir()}
    assert after["library.onnx"] != before["library.onnx"]
    assert all(after[f"library.{k}.safetensors"] == before[f"library.{k}.safetensors"] for k in (0, 1))
    for index in (0, 1):
        assert np.array_equal(shared_frames(old, index), shared_frames(new, index))
    assert_same_frames(shared_frames(new, 2), video_frames(grown, 2, tmp_path))
    # The new sidecar next to the old graph is refused, with the reason.
    (old / "library.2.safetensors").write_bytes(after["library.2.safetensors"])
    with pytest.raises(ArtifactError, match=r"needs the graph .* of a library that has grown"):
        VideoDecoder(old / "library.onnx", session=2)


def test_training_a_later_session_leaves_earlier_files_as_they_were(tmp_path: Path) -> None:
    recipes = [Recipe(epochs=2, density=0.4, seed=k) for k in range(2)]
    first, second = trained(made_library(small_config(), 0), recipes)
    for name, library in (("first", first), ("second", second)):
        (tmp_path / name).mkdir()
        export(library, tmp_path / name, [0])
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("first", "second")
    ]
    assert files[0] == files[1]
    done = export(second, tmp_path / "first")
    assert (done.graph, [s.written for s in done.sidecars]) == ("extended", [False, True])


def test_chosen_sessions_share_the_graph_up_to_the_last_of_them(tmp_path: Path) -> None:
    library = made_library(small_config(), 3)
    done = export(library, tmp_path, [0, 2])
    assert [s.session for s in done.sidecars] == [0, 2]
    graph, sidecar = (tmp_path / name for name in ("library.onnx", "library.2.safetensors"))
    before = graph.read_bytes(), sidecar.read_bytes()
    assert export(library, tmp_path).graph == "kept"
    assert (graph.read_bytes(), sidecar.read_bytes()) == before
    # A shorter export next to a graph that reaches further keeps that graph.
    assert export(library, tmp_path, [0]).graph == "kept"
    assert graph.read_bytes() == before[0]


def test_another_librarys_graph_is_replaced_and_its_sidecars_are_refused(tmp_path: Path) -> None:
    export(made_library(small_config(), 2), tmp_path)
    done = export(made_library(small_config(), 1, seed=5), tmp_path)
    assert (done.graph, [s.written for s in done.sidecars]) == ("replaced", [True])
    with pytest.raises(ArtifactError, match=r"session 1 \(video-1\) belongs to the graph"):
        VideoDecoder(tmp_path / "library.onnx", session=1)
    opened = examine_artifact(tmp_path / "library.onnx")
    assert isinstance(opened, SharedFile)
    assert opened.contract.extends == ()


def test_a_damaged_graph_is_not_kept(tmp_path: Path) -> None:
    library = made_library(small_config(), 2)
    path = export(library, tmp_path).path
    good = path.read_bytes()
    path.write_bytes(bytes(b ^ (i == len(good) // 2) for i, b in enumerate(good)))
    with pytest.raises(ArtifactError, match="damaged"):
        VideoDecoder(path, session=0)
    assert export(library, tmp_path).graph == "replaced"
    assert path.read_bytes() == good


def test_a_shared_graph_can_put_out_floats(tmp_path: Path) -> None:
    library = made_library(small_config(), 2)
    export(library, tmp_path)
    pixels = shared_frames(tmp_path, 1)
    done = export_shared(library, [1], tmp_path / "library.onnx", SharedOptions(output="float32"))
    assert (done.graph, done.contract.output) == ("replaced", "float32")
    assert_same_frames(shared_frames(tmp_path, 1), pixels)
    with pytest.raises(ArtifactError, match="belongs to the graph"):
        shared_frames(tmp_path, 0)


def test_a_lowering_that_computes_with_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="use the lowering matmul"):
        SharedOptions(fourier="spatial")
    with pytest.raises(UsageError, match="uint9"):
        SharedOptions(output="uint9")


def test_no_sessions_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sessions to export"):
        export(made_library(small_config(), 0), tmp_path)
    assert not list(tmp_path.iterdir())


def test_golden_files_beside_sidecars_verify_without_the_library(tmp_path: Path) -> None:
    write_library(made_library(small_config(), 2), tmp_path / "library.pfnr")
    graph = tmp_path / "library.onnx"
    common = ["-l", str(tmp_path / "library.pfnr"), "--shared", "-o", str(graph), "--golden"]
    done = CliRunner().invoke(export_app, [*common, "--golden-frames", "65"])
    assert (done.exit_code, graph.exists()) == (2, False)
    done = CliRunner().invoke(export_app, common)
    assert done.exit_code == 0, done.output
    golden = [tmp_path / f"library.{k}.golden" for k in range(2)]
    assert all(str(path) in done.stdout for path in golden)
    (tmp_path / "library.pfnr").unlink()
    for session, file, code in (("1", golden[1], 0), ("0", golden[0], 0), ("1", golden[0], 3)):
        done = CliRunner().invoke(verify_app, [str(graph), "-s", session, "--golden", str(file)])
        assert done.exit_code == code, done.output
