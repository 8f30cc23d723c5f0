"""Switching between the sessions of a shared graph, and sidecars that must not be believed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from helpers.commands import Run
from helpers.libraries import made_library, small_config
from numpy.typing import NDArray

from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.masked_weights import fill_masked
from pfnr_runtime.artifact.open import examine_artifact, open_artifact
from pfnr_runtime.artifact.sidecar import SidecarRecord, metadata, read_record
from pfnr_runtime.backends import onnxruntime_cpu, open_backend
from pfnr_runtime.errors import ArtifactError, BackendError, UsageError

SESSIONS = 3


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shared graph of three videos."""
    folder = tmp_path_factory.mktemp("shared")
    library = made_library(small_config("add", bias=True), SESSIONS)
    export_shared(library, list(range(SESSIONS)), folder / "library.onnx", SharedOptions())
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return shutil.copytree(exported, tmp_path / "copy")


def frames_of(decoder: VideoDecoder) -> NDArray[np.uint8]:
    return decoder[:].data


def test_switching_back_and_forth_gives_the_same_bytes(exported: Path) -> None:
    alone = []
    for session in range(SESSIONS):
        with VideoDecoder(exported / "library.onnx", session=session, threads=1) as decoder:
            alone.append(frames_of(decoder))
    assert len({frames.tobytes() for frames in alone}) == SESSIONS
    with VideoDecoder(exported / "library.onnx", session="video-1", threads=1) as decoder:
        assert decoder.sessions == (0, 1, 2)
        for which in (0, 2, "video-1", 2, "0", 1, 1):
            decoder.switch(which)
            session = decoder.contract.session
            assert str(which) in (str(session), decoder.metadata.name)
            assert np.array_equal(frames_of(decoder), alone[session])
            assert np.array_equal(decoder[-1].data, alone[session][-1])
            assert repr(decoder.metadata.name) in repr(decoder)


def test_a_switch_loads_no_model(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with VideoDecoder(exported / "library.onnx", session=0, threads=1) as decoder:
        engine = decoder._backend._session  # type: ignore[attr-defined]
        monkeypatch.setattr(onnxruntime_cpu, "lift", lambda graph: pytest.fail("the graph was read again"))
        (exported / "library.onnx").rename(exported / "away.onnx")
        try:
            decoder.switch(1)
            assert decoder._backend._session is engine  # type: ignore[attr-defined]
            assert decoder[0].data.any()
        finally:
            (exported / "away.onnx").rename(exported / "library.onnx")


def test_a_shared_graph_asks_which_session(exported: Path) -> None:
    path = exported / "library.onnx"
    listed = r"available: 0 \(video-0\), 1 \(video-1\), 2 \(video-2\)"
    with pytest.raises(UsageError, match=f"choose a session; {listed}"):
        VideoDecoder(path)
    with pytest.raises(UsageError, match=f"no session '7'; {listed}"):
        VideoDecoder(path, session=7)
    with (
        VideoDecoder(path, session=2, threads=1) as decoder,
        pytest.raises(UsageError, match="no session 'bunny'"),
    ):
        decoder.switch("bunny")


def test_the_only_session_needs_no_name(folder: Path) -> None:
    for session in (0, 2):
        (folder / f"library.{session}.safetensors").unlink()
    with VideoDecoder(folder / "library.onnx", threads=1) as decoder:
        assert (decoder.metadata.name, decoder.sessions) == ("video-1", (1,))
    (folder / "library.1.safetensors").unlink()
    with pytest.raises(UsageError, match="there is no sidecar such as"):
        VideoDecoder(folder / "library.onnx")


def test_a_video_of_its_own_has_nothing_to_switch_to(table_file: Path) -> None:
    with VideoDecoder(table_file, session="tiny", threads=1) as decoder:
        assert decoder.sessions == (0,)
        with pytest.raises(UsageError, match="nothing to switch to"):
            decoder.switch(0)
    with pytest.raises(UsageError, match=r"holds session 0 \(tiny\) alone, not '3'"):
        VideoDecoder(table_file, session=3)


def test_an_iterator_from_before_a_switch_ends_with_an_error(exported: Path) -> None:
    with VideoDecoder(exported / "library.onnx", session=0, threads=1) as decoder:
        frames = decoder.iter(batch_size=1)
        next(frames)
        decoder.switch(1)
        with pytest.raises(RuntimeError, match="switched from 'video-0'"):
            next(frames)


def test_a_closed_decoder_does_not_switch(exported: Path) -> None:
    decoder = VideoDecoder(exported / "library.onnx", session=0, threads=1)
    decoder.close()
    with pytest.raises(ValueError, match="closed"):
        decoder.switch(1)


def test_a_backend_takes_sessions_of_its_own_graph_only(exported: Path, folder: Path) -> None:
    backend, _ = open_backend(open_artifact(exported / "library.onnx", 0), threads=1)
    with backend, pytest.raises(ValueError, match="not a session of the shared graph that is loaded"):
        backend.switch(open_artifact(folder / "library.onnx", 1))


def test_a_backend_without_shared_graphs_says_so(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = onnxruntime_cpu.BACKEND
    monkeypatch.setattr(onnxruntime_cpu, "BACKEND", type(kind)(**{**vars(kind), "shared": False}))
    with pytest.raises(BackendError, match="does not run shared graphs; export the session alone"):
        VideoDecoder(exported / "library.onnx", session=0, backend="onnxruntime-cpu")


def rewrite(
    path: Path,
    *,
    tensors: Callable[[dict[str, Any]], None] | None = None,
    record: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """A sidecar with other content and a checksum that is right for it."""
    content = dict(safetensors.numpy.load_file(path))
    if tensors:
        tensors(content)
    about = read_record(path).to_json()
    if record:
        record(about)
    made = SidecarRecord.from_json(about)
    path.write_bytes(safetensors.numpy.save(content, metadata=metadata(made, content)))


def spoil(folder: Path, how: str) -> None:
    """Spoil session 1 in one of many ways."""
    path = folder / "library.1.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    table = next(name for name in header if name.endswith("/table"))
    mask = next(name for name in header if name.endswith("conv/weight.mask"))

    def with_header(value: dict[str, Any] | str) -> bytes:
        text = (value if isinstance(value, str) else json.dumps(value)).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    match how:
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[:-1])
        case "cut header":
            path.write_bytes(data[: 8 + length // 2])
        case "longer":
            path.write_bytes(data + b"\0")
        case "bit":
            data[-5] ^= 1
            path.write_bytes(data)
        case "name in the record":
            path.write_bytes(bytes(data).replace(b"video-1", b"video-9"))
        case "huge header":
            path.write_bytes((1 << 60).to_bytes(8, "little") + data[8:])
        case "nested header":
            path.write_bytes(with_header("[" * 100_000))
        case "not text":
            path.write_bytes((4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc")
        case "other metadata":
            path.write_bytes(with_header(header | {"__metadata__": {"pfnr": "{}"}}))
        case "overlap":
            header[mask]["data_offsets"] = [0, header[mask]["data_offsets"][1] - header[mask]["data_offsets"][0]]
            path.write_bytes(with_header(header))
        case "huge shape":
            header[table]["shape"] = [1 << 39, 1 << 39]
            path.write_bytes(with_header(header))
        case "negative shape":
            header[table]["shape"] = [-4, -12]
            path.write_bytes(with_header(header))
        case "dtype":
            header[table]["dtype"] = "F64"
            path.write_bytes(with_header(header))
        case "twice":
            text = json.dumps(header)
            path.write_bytes(with_header(text[:-1] + f', "{mask}": {json.dumps(header[mask])}}}'))
        case "missing":
            rewrite(path, tensors=lambda t: t.pop(mask))
        case "unknown":
            rewrite(path, tensors=lambda t: t.update(extra=np.zeros(3, np.uint8)))
        case "short mask":
            rewrite(path, tensors=lambda t: t.update({mask: t[mask][:-1]}))
        case "short table":
            rewrite(path, tensors=lambda t: t.update({table: t[table][:-1].copy()}))
        case "not a number":
            rewrite(path, tensors=lambda t: t.update({table: t[table] * np.float32("nan")}))
        case "more frames":
            rewrite(path, record=lambda r: r["contract"]["video"].update(frames=9))
        case "other size":
            rewrite(path, record=lambda r: r["contract"]["video"].update(width=40))
        case "other kind":
            text = bytes(data).replace(b'\\"kind\\":\\"session\\"', b'\\"kind\\":\\"video\\"  ')
            assert text != data
            path.write_bytes(text)
        case "other graph":
            rewrite(path, record=lambda r: r.update(graph_sha256="0" * 64, extends=[]))
        case "no digest":
            path.write_bytes(bytes(data).replace(b'"graph_sha256\\":\\"', b'"graph_sha256\\":\\"Z')[: len(data)])
        case "renamed":
            shutil.copy(folder / "library.2.safetensors", path)
        case "folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "0 bytes are too few"),
        ("cut", "its tensors take"),
        ("cut header", "a header of"),
        ("longer", "its tensors take"),
        ("bit", "do not match its checksum"),
        ("name in the record", "do not match its checksum"),
        ("huge header", "a header of 1152921504606846976 bytes"),
        ("nested header", "nested without end|not a JSON object"),
        ("not text", "damaged"),
        ("other metadata", "not a record and a digest"),
        ("overlap", "starts at byte"),
        ("huge shape", "does not take bytes"),
        ("negative shape", "impossible shape"),
        ("dtype", "has dtype 'F64'"),
        ("twice", "names something twice"),
        ("missing", "it lacks tensor"),
        ("unknown", "unknown tensor 'extra'"),
        ("short mask", r"is U8 \[\d+\], not U8"),
        ("short table", r"is F32 \[3, 12\], not F32 \[4, 12\]"),
        ("not a number", "not numbers"),
        ("more frames", r"is F32 \[4, 12\], not F32 \[9, 12\]"),
        ("other size", "not the graph's 20x12 uint8"),
        ("other kind", "kind 'video', not 'session'"),
        ("other graph", r"session 1 \(video-1\) belongs to the graph 0000000000000000…"),
        ("no digest", "damaged"),
        ("renamed", "holds session 2"),
        ("folder", "cannot be read"),
    ],
)
def test_a_spoilt_sidecar_is_refused_in_one_line_and_the_decoder_stays(
    how: str, message: str, folder: Path
) -> None:
    with VideoDecoder(folder / "library.onnx", session=0, threads=1) as decoder:
        before = frames_of(decoder)
        spoil(folder, how)
        with pytest.raises(ArtifactError, match=message) as caught:
            decoder.switch(1)
        assert "library.1.safetensors" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
        assert decoder.metadata.name == "video-0"
        assert np.array_equal(frames_of(decoder), before)
        # The others still play, also by name, unless two have the same one.
        decoder.switch(2 if how == "renamed" else "video-2")


def test_bits_beyond_a_masks_end_are_refused(folder: Path) -> None:
    path = folder / "library.1.safetensors"
    name = "stem_1/bias.mask"  # of 90 bits, so its last byte has 6 to spare

    def set_spare(tensors: dict[str, Any]) -> None:
        bits = tensors[name].copy()
        bits[-1] |= 1
        tensors[name] = bits

    rewrite(path, tensors=set_spare)
    with pytest.raises(ArtifactError, match=r"stem_1/bias\.mask has bits beyond its end"):
        VideoDecoder(folder / "library.onnx", session=1)


def test_a_truncated_graph_is_refused(folder: Path) -> None:
    path = folder / "library.onnx"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArtifactError, match="damaged"):
        VideoDecoder(path, session=0)


def test_a_sidecar_named_as_an_artifact_is_recognised(exported: Path) -> None:
    with pytest.raises(ArtifactError, match=r"name the \.onnx file next to it"):
        VideoDecoder(exported / "library.1.safetensors")


@pytest.mark.parametrize("count", [1, 7, 8, 9, 8 * 8192, 8 * 8192 + 3, 200_001])
def test_masks_are_applied_as_where_applies_them(count: int) -> None:
    rng = np.random.default_rng(count)
    weights = rng.standard_normal(count).astype(np.float32)
    weights[rng.random(count) < 0.1] *= np.float32(-0.0)
    weights[:1] = np.float32("inf")
    mask = rng.random(count) < 0.3
    out = np.full(count, np.float32("nan"))
    stored = np.frombuffer(b"!" + weights.tobytes(), np.uint8)[1:]  # not aligned, as in a file
    fill_masked(out, stored, np.packbits(mask))
    assert out.tobytes() == np.where(mask, weights, np.float32(0)).tobytes()


def test_commands_take_a_session(exported: Path, folder: Path, run: Run) -> None:
    path = exported / "library.onnx"
    digests = []
    for session in ("1", "video-1", "2"):
        done = run("decode", path, "md5:", "--session", session, "--threads", 1)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1] != digests[2]
    done = run("decode", path, "md5:")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "choose a session" in done.stderr
    spoil(folder, "cut")
    done = run("decode", folder / "library.onnx", "md5:", "--session", 1)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_inspect_lists_sessions_and_what_is_wrong_with_them(folder: Path, run: Run) -> None:
    spoil(folder, "other graph")
    done = run("inspect", folder / "library.onnx")
    assert done.returncode == 0, done.stderr
    assert "video-0: 4 frames" in done.stdout
    assert "belongs to the graph 0000000000000000…" in done.stdout
    report = json.loads(run("inspect", folder / "library.onnx", "--json").stdout)
    assert report["contract"]["kind"] == "shared"
    assert [entry["session"] for entry in report["sessions"]] == [0, 1, 2]
    assert [entry["problem"] is None for entry in report["sessions"]] == [True, False, True]
    one = json.loads(run("inspect", folder / "library.onnx", "--session", 2, "--json").stdout)
    assert (one["contract"]["kind"], one["contract"]["video"]["name"]) == ("session", "video-2")


def test_examining_a_graph_needs_no_session(exported: Path) -> None:
    opened = examine_artifact(exported / "library.onnx")
    assert opened.contract.kind == "shared"
    assert (opened.contract.width, opened.contract.height) == (20, 12)  # type: ignore[union-attr]


def test_two_sessions_of_one_name_are_told_apart_by_index(folder: Path) -> None:
    spoil(folder, "renamed")
    with pytest.raises(UsageError, match=r"'video-2' is the name of sessions 1, 2; choose by index"):
        VideoDecoder(folder / "library.onnx", session="video-2")
