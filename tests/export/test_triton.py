"""The model repository for NVIDIA Triton: its configuration is Triton's own message, and says what is true."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from helpers.libraries import made_library, small_config
from typer.testing import CliRunner

from pfnr_export.commands.export import app
from pfnr_export.export_session import ExportOptions, build_model, export_session
from pfnr_export.triton import RepositoryError, config_text, model_name, write_model
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_train.library.file import write_library
from pfnr_train.library.library import Library


@pytest.fixture(scope="module")
def message() -> Any:
    """Triton's published schema, read from its client's package without its network code."""
    try:
        files = importlib.metadata.files("tritonclient") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("tritonclient, which carries Triton's schema, is not installed")
    source = next((f for f in files if f.name == "model_config_pb2.py"), None)
    if source is None:
        pytest.skip("the installed tritonclient carries no model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("triton_model_config", str(source.locate()))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def library() -> Library:
    return made_library(small_config())


def parse(message: Any, text: str) -> Any:
    from google.protobuf import text_format

    return text_format.Parse(text, message.ModelConfig())


@pytest.mark.parametrize("output", ["uint8", "float32"])
def test_the_configuration_is_triton_s_message_and_matches_the_model(
    message: Any, library: Library, output: str, tmp_path: Path
) -> None:
    done = export_session(library, 0, None, ExportOptions(output=output), triton=tmp_path)
    folder = tmp_path / done.contract.video.name
    config = parse(message, (folder / "config.pbtxt").read_text())
    assert config.name == folder.name
    assert config.backend == "onnxruntime"
    assert not config.platform
    (given,), (taken,) = config.input, config.output
    assert (given.name, given.data_type) == ("frame_index", message.TYPE_INT64)
    assert (taken.name, taken.data_type) == (
        "frames",
        message.DataType.Value({"uint8": "TYPE_UINT8"}.get(output, "TYPE_FP32")),
    )
    assert config.HasField("dynamic_batching")
    assert all(n <= config.max_batch_size for n in config.dynamic_batching.preferred_batch_size)
    assert config.parameters["pfnr_frames"].string_value == str(done.contract.video.frames)
    # As the server does it: a request [B] + dims, reshaped to [B] + shape, answered by [B] + dims.
    session = onnxruntime.InferenceSession(str(folder / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, config.max_batch_size):
        request = np.zeros([batch, *given.dims], np.int64)
        assert given.HasField("reshape")
        (answer,) = session.run(None, {given.name: request.reshape([batch, *given.reshape.shape])})
        assert list(answer.shape) == [batch, *taken.dims]
        assert str(answer.dtype) == output


def test_names_with_any_characters_stay_valid(message: Any, library: Library) -> None:
    _, contract = build_model(library, 0, ExportOptions())
    name = 'Ünïcode "quoted" \\ back\'slash/#{}'
    odd = replace(contract, video=replace(contract.video, name=name))
    config = parse(message, config_text(model_name(name), odd))
    assert config.name == model_name(name)
    assert config.parameters["pfnr_video"].string_value == name
    for text in (name, "..", "/", "a/b", ".hidden", "-x"):
        assert model_name(text)
        assert not set(model_name(text)) & set('/\\" ')
        assert model_name(text)[0] not in ".-"


def contract_of(library: Library) -> ArtifactContract:
    return build_model(library, 0, ExportOptions())[1]


def test_the_same_artifact_stays_and_a_changed_one_is_a_new_version(library: Library, tmp_path: Path) -> None:
    contract = contract_of(library)
    first = write_model(tmp_path / "new" / "repository", contract, b"one")
    assert (first.version, first.written) == (1, True)
    assert sorted(p.name for p in first.folder.rglob("*")) == ["1", "config.pbtxt", "model.onnx"]
    again = write_model(tmp_path / "new" / "repository", contract, b"one")
    assert (again.version, again.written) == (1, False)
    changed = write_model(tmp_path / "new" / "repository", contract, b"two")
    assert (changed.version, changed.written) == (2, True)
    assert (first.folder / "1" / "model.onnx").read_bytes() == b"one"
    assert (first.folder / "2" / "model.onnx").read_bytes() == b"two"


def test_folders_of_others_are_left_as_they_are(library: Library, tmp_path: Path) -> None:
    contract = contract_of(library)
    folder = tmp_path / model_name(contract.video.name)
    folder.mkdir()
    for text, words in ((None, "not written by"), ('name: "x"\n', "not written by")):
        if text is not None:
            (folder / "config.pbtxt").write_text(text)
        before = sorted((p, p.read_bytes()) for p in folder.iterdir())
        with pytest.raises(RepositoryError, match=words):
            write_model(tmp_path, contract, b"one")
        assert sorted((p, p.read_bytes()) for p in folder.iterdir()) == before
    with pytest.raises(RepositoryError, match="not a folder"):
        write_model(folder / "config.pbtxt", contract, b"one")


def test_another_video_whose_name_gives_the_same_folder_is_refused(library: Library, tmp_path: Path) -> None:
    contract = contract_of(library)
    videos = [replace(contract.video, name=name) for name in ("a b", "a_b")]
    write_model(tmp_path, replace(contract, video=videos[0]), b"one")
    with pytest.raises(RepositoryError, match="a video other than 'a_b'"):
        write_model(tmp_path, replace(contract, video=videos[1]), b"one")


def test_a_failed_write_leaves_nothing(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name == "model.onnx":
            raise OSError(28, "No space left on device")
        path.write_bytes(data)

    monkeypatch.setattr("pfnr_export.triton.write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        write_model(tmp_path, contract_of(library), b"one")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_repository_alone_or_beside_a_file(library: Library, tmp_path: Path) -> None:
    write_library(library, tmp_path / "l.pfnr")
    given = ["-l", str(tmp_path / "l.pfnr"), "--triton", str(tmp_path / "models")]
    for session in ("0", "1"):
        done = CliRunner().invoke(app, ["-s", session, *given, "--json"])
        assert done.exit_code == 0, done.output
        result = json.loads(done.stdout)
        assert result["artifact"] is None
        assert (Path(result["triton"]["folder"]) / "1" / "model.onnx").stat().st_size == result["bytes"]
    assert len(list((tmp_path / "models").iterdir())) == 2
    artifact = tmp_path / "v.onnx"
    done = CliRunner().invoke(app, ["-s", "0", *given, "-o", str(artifact)])
    assert done.exit_code == 0, done.output
    assert "version 1, unchanged" in done.stdout
    stored = tmp_path / "models" / library.sessions[0].record.video.name / "1" / "model.onnx"
    assert artifact.read_bytes() == stored.read_bytes()


def test_a_foreign_folder_stops_the_command_before_anything_is_written(library: Library, tmp_path: Path) -> None:
    write_library(library, tmp_path / "l.pfnr")
    (tmp_path / "models" / library.sessions[0].record.video.name).mkdir(parents=True)
    artifact = tmp_path / "v.onnx"
    given = ["-l", str(tmp_path / "l.pfnr"), "--triton", str(tmp_path / "models"), "-o", str(artifact)]
    done = CliRunner().invoke(app, ["-s", "0", *given])
    assert done.exit_code == 1
    assert "not written by pfnr-export" in done.stderr
    assert not artifact.exists()
    done = CliRunner().invoke(app, ["--shared", *given])
    assert done.exit_code == 2
    done = CliRunner().invoke(app, ["-s", "0", "-l", str(tmp_path / "l.pfnr")])
    assert done.exit_code == 2
    assert "--output v.onnx" in done.stderr
