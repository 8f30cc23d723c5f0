"""A shared graph served: all of its sidecars are sessions, viewers of several at once get the right frames."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Run
from helpers.libraries import made_library, small_config
from helpers.serving import pixels, serving

from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder

SESSIONS = 3


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graph")
    library = made_library(small_config("add", bias=True), SESSIONS)
    export_shared(library, list(range(SESSIONS)), folder / "library.onnx", SharedOptions())
    return folder / "library.onnx"


def test_viewers_of_several_sessions_at_once_get_the_right_frames(graph: Path) -> None:
    expected = {}
    for session in range(SESSIONS):
        with VideoDecoder(graph, session=session, threads=1) as decoder:
            expected[session] = decoder[:].data
    wanted = [(session, frame) for frame in range(len(expected[0])) for session in range(SESSIONS)]
    with serving([graph], capacity=0) as server, server.client() as client, ThreadPoolExecutor(6) as pool:
        listed = client.get("/api/sessions").json()["sessions"]
        assert [session["name"] for session in listed] == ["video-0", "video-1", "video-2"]
        assert len({session["version"] for session in listed}) == SESSIONS
        answers = pool.map(lambda w: client.get(f"/api/sessions/{w[0]}/frames/{w[1]}.png"), wanted)
        for (session, frame), answer in zip(wanted, answers, strict=True):
            assert answer.status_code == 200
            assert np.array_equal(pixels(answer.content), expected[session][frame])


def test_a_damaged_sidecar_is_left_out_and_named(graph: Path, tmp_path: Path) -> None:
    shutil.copytree(graph.parent, tmp_path / "copy")
    damaged = tmp_path / "copy" / "library.0.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    with serving([tmp_path / "copy" / "library.onnx"]) as server, server.client() as client:
        found = client.get("/api/sessions").json()
        assert [session["session"] for session in found["sessions"]] == [1, 2]
        (reason,) = found["damaged"]
        assert "library.0.safetensors" in reason
        assert client.get("/api/sessions/0").status_code == 404
        assert client.get("/api/sessions/1/frames/0.png").status_code == 200


def test_a_sidecar_that_breaks_while_it_is_served_is_an_error_of_that_session_alone(
    graph: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(graph.parent, tmp_path / "copy")
    with serving([tmp_path / "copy" / "library.onnx"], capacity=0) as server, server.client() as client:
        assert client.get("/api/sessions/0/frames/0.png").status_code == 200
        (tmp_path / "copy" / "library.1.safetensors").write_bytes(b"nonsense")
        answer = client.get("/api/sessions/1/frames/0.png")
        assert answer.status_code == 500
        assert "library.1.safetensors" in answer.json()["error"]
        for session in (0, 2):
            assert client.get(f"/api/sessions/{session}/frames/1.png").status_code == 200
        assert json.loads(client.get("/healthz").text)["status"] == "ok"
    said = [record.getMessage() for record in caplog.records if record.name == "pfnr"]
    assert len(said) == 1
    assert len(said[0].splitlines()) == 1


def test_a_graph_without_a_whole_session_is_one_line(graph: Path, tmp_path: Path, run: Run) -> None:
    alone = shutil.copy(graph, tmp_path / "library.onnx")
    done = run("serve", alone, "--port", 0)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "there is no sidecar such as" in done.stderr
    (tmp_path / "library.4.safetensors").write_bytes(b"nonsense")
    done = run("serve", alone, "--port", 0)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "none of its sessions can be decoded" in done.stderr
