"""The HTTP API over a real server: frames, sessions, statistics, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from helpers.serving import RECORDS, TABLES, Serving, pixels, serving, write_artifacts
from helpers.tiny_artifacts import save, table_model, uneven_video

from pfnr_runtime.sinks.images import FORMATS, encode_image
from pfnr_runtime.web.assets import SHARED


@pytest.fixture
def client(server: Serving) -> httpx.Client:
    return server.client()


def test_a_frame_is_an_exact_png(client: httpx.Client) -> None:
    for session, table in enumerate(TABLES):
        for index in (0, 7, len(table) - 1):
            answer = client.get(f"/api/sessions/{session}/frames/{index}.png")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            assert np.array_equal(pixels(answer.content), table[index])


def test_a_frame_as_jpeg_is_what_the_image_sink_writes(client: httpx.Client) -> None:
    answer = client.get("/api/sessions/1/frames/3.jpg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.content == encode_image(TABLES[1][3], FORMATS[".jpg"])


def test_sessions_are_listed_and_described(client: httpx.Client) -> None:
    found = client.get("/api/sessions").json()
    assert found["damaged"] == []
    assert [session["name"] for session in found["sessions"]] == ["first", "second"]
    second = client.get("/api/sessions/1").json()
    assert second == found["sessions"][1]
    assert (second["session"], second["frames"], second["width"], second["height"]) == (1, 30, 48, 32)
    assert (second["fps"], second["seconds"]) == (25, 1.2)
    assert second["video"] == RECORDS[1].to_json()
    assert client.get(second["thumbnail"]).status_code == 200
    assert client.get(second["frame"].replace("{frame}", "29")).status_code == 200
    assert client.head(second["stream"]).status_code == 200


def test_a_frame_is_asked_for_again_by_its_tag_without_decoding(artifacts: list[Path]) -> None:
    with serving(artifacts, capacity=0) as server, server.client() as client:
        version = client.get("/api/sessions/0").json()["version"]
        plain = client.get("/api/sessions/0/frames/5.png")
        kept = client.get(f"/api/sessions/0/frames/5.png?v={version}")
        stale = client.get("/api/sessions/0/frames/5.png?v=0123456789abcdef")
        assert "no-cache" in plain.headers["cache-control"]
        assert "no-cache" in stale.headers["cache-control"]
        assert "immutable" in kept.headers["cache-control"]
        tag = plain.headers["etag"]
        assert tag == kept.headers["etag"] == stale.headers["etag"]
        before = len(server.decoded)
        for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
            answer = client.get("/api/sessions/0/frames/5.png", headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
        assert len(server.decoded) == before
        tags = [
            client.get(f"/api/sessions/{s}/frames/{f}").headers["etag"] for s, f in ((0, "5.jpg"), (1, "5.png"))
        ]
        assert len({tag, *tags}) == 3
        other = client.get("/api/sessions/0/frames/6.png", headers={"If-None-Match": tag})
        assert other.status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz", "/api/sessions", "/api/sessions/1", "/api/sessions/1/frames/2.png", "/static/app.js"],
)
def test_head_is_get_without_the_body(path: str, client: httpx.Client) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "content-length", "etag", "cache-control"):
        assert head.headers.get(name) == get.headers.get(name)
    assert int(head.headers["content-length"]) == len(get.content)


@pytest.mark.parametrize(
    ("path", "status", "value", "message"),
    [
        ("/api/sessions/2", 404, "2", "no session 2; there are 0, 1"),
        ("/api/sessions/x", 400, "x", "session 'x' is not a number; there are 0, 1"),
        ("/api/sessions/-1", 400, "-1", "is not a number"),
        ("/api/sessions/01", 400, "01", "is not a number"),
        ("/api/sessions/%D9%A1", 400, "١", "is not a number"),
        ("/api/sessions/1%0A", 400, "1\n", "is not a number"),
        ("/api/sessions/99999999999999999999", 400, "99999999999999999999", "is not a number"),
        ("/api/sessions/0/frames/12.png", 404, "12", "frame 12 is outside 0 to 11 of 'first'"),
        ("/api/sessions/0/frames/-1.png", 400, "-1", "frame '-1' is not a frame number; 'first' has 0 to 11"),
        ("/api/sessions/0/frames/+1.png", 400, "+1", "is not a frame number"),
        ("/api/sessions/0/frames/1e1.png", 400, "1e1", "is not a frame number"),
        ("/api/sessions/0/frames/.png", 400, "", "is not a frame number"),
        ("/api/sessions/0/frames/1.gif", 404, "1.gif", "a frame is NUMBER.png or NUMBER.jpg, not '1.gif'"),
        ("/api/sessions/0/frames/1", 404, "1", "a frame is NUMBER.png"),
        ("/api/sessions/0/frames/1.5.png", 404, "1.5.png", "a frame is NUMBER.png"),
        ("/api/sessions/0/stream?start=12", 400, "12", "frame 12 is outside 0 to 11"),
        ("/api/sessions/0/stream?start=1.5", 400, "1.5", "is not a frame number"),
        ("/api/sessions/0/stream?speed=0", 400, "0", "speed '0' is not a number from 0.01 to 100"),
        ("/api/sessions/0/stream?speed=101", 400, "101", "0.01 to 100"),
        ("/api/sessions/0/stream?speed=nan", 400, "nan", "0.01 to 100"),
        ("/api/sessions/0/stream?speed=1e1", 400, "1e1", "0.01 to 100"),
        ("/api/sessions/0/stream?loop=yes", 400, "yes", "loop 'yes' is none of 0, 1, false, true"),
        ("/api/sessions/0/stream?format=webp", 400, "webp", "format 'webp' is none of png, jpg"),
        ("/api/sessions/0/stream?loop=1&loop=0", 400, "loop", "parameter loop is given twice"),
        ("/api/sessions/0/", 404, "/api/sessions/0/", "nothing at '/api/sessions/0/'"),
        ("/api", 404, "/api", "/api/sessions/N/frames/K.png"),
        ("/static/../api.py", 404, None, "nothing at"),
        ("/static/%2e%2e/api.py", 404, None, "nothing at"),
        ("/static/nothing.js", 404, None, "nothing at"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(
    path: str, status: int, value: str | None, message: str, client: httpx.Client
) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    body = answer.json()
    assert body["status"] == status
    if value is not None:
        assert body["value"] == value
    assert message in f"{body['error']} {body['allowed']}"
    assert "\n" not in body["error"]


@pytest.mark.parametrize("path", ["/healthz", "/api/sessions", "/api/sessions/0", "/api/sessions/0/frames/1.png"])
def test_a_parameter_that_means_nothing_here_is_passed_over(path: str, client: httpx.Client) -> None:
    plain, tagged = client.get(path), client.get(f"{path}?utm_source=mail&fbclid=1")
    assert (tagged.status_code, tagged.content) == (200, plain.content)


def test_the_head_of_a_stream_states_no_length(client: httpx.Client) -> None:
    head = client.head("/api/sessions/0/stream")
    assert (head.status_code, head.content) == (200, b"")
    assert "content-length" not in head.headers
    assert head.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"


def test_a_session_of_uneven_frames_says_when_each_appears(tmp_path: Path) -> None:
    record = uneven_video()
    with serving([save(table_model(record), tmp_path / "v.onnx")]) as server, server.client() as client:
        found = client.get("/api/sessions/0").json()
        assert (found["fps"], found["seconds"]) == (1.2, 10)
        assert found["video"] == record.to_json()
        begin = time.monotonic()
        with client.stream("GET", "/api/sessions/0/stream?speed=20") as answer:
            answer.read()
        assert time.monotonic() - begin >= 9 / 20  # the last frame appears at 9 seconds of the video


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js here to run the page's own arithmetic")
def test_the_page_finds_frames_by_the_table() -> None:
    session = {"fps": 1.2, "frames": 12, "video": uneven_video().to_json()}
    steady = {"fps": 25, "frames": 12, "video": RECORDS[0].to_json()}
    asked = (
        f"import {{timeOf, frameAfter}} from {json.dumps((SHARED / 'times.js').as_uri())};"
        f"const s = {json.dumps(session)}, e = {json.dumps(steady)};"
        "console.log(JSON.stringify([timeOf(s, 1), timeOf(s, 9), timeOf(e, 5), frameAfter(s, 0, 5),"
        "frameAfter(s, 8, 1), frameAfter(s, 8, -1), frameAfter(s, 9, -5), frameAfter(s, 9, 50),"
        "frameAfter(e, 0, 0.2)]));"
    )
    done = subprocess.run(["node", "--input-type=module", "-e", asked], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == [4, 7, 0.2, 8, 9, 0, 0, 11, 5]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
@pytest.mark.parametrize("path", ["/", "/api/sessions", "/api/sessions/0/frames/0.png", "/api/statistics"])
def test_other_methods_are_refused_by_name(method: str, path: str, client: httpx.Client) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert answer.json()["value"] == method
    assert {name.strip() for name in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_statistics_tell_what_decodes_and_what_is_kept(artifacts: list[Path]) -> None:
    with serving(artifacts) as server, server.client() as client:
        for _ in range(3):
            client.get("/api/sessions/0/frames/1.png")
        found = client.get("/api/statistics").json()
        assert [backend["name"] for backend in found["backends"]] == ["onnxruntime-cpu"] * 2
        assert "ONNX Runtime" in found["backends"][0]["description"]
        assert found["decoding"]["decoded"] == 1
        assert set(found["decoding"]["decode_ms"]) == {"mean", "median", "p95", "p99", "max"}
        assert found["decoding"]["decode_ms"]["max"] > 0
        assert (found["cache"]["hits"], found["cache"]["pictures"]) == (2, 1)
        assert 0 < found["cache"]["bytes"] <= found["cache"]["capacity"]
        assert found["streams"] == []
        assert found["uptime_seconds"] > 0


def test_health_is_the_decoders(artifacts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(artifacts) as server, server.client() as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        monkeypatch.setattr(type(server.api._decoding), "healthy", property(lambda self: False))
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (503, "the decoder is stuck")


def test_files_with_the_same_number_are_served_under_the_next_free_one(tmp_path: Path) -> None:
    paths = write_artifacts(tmp_path, sessions=(3, 3))
    with serving(paths) as server, server.client() as client:
        listed = client.get("/api/sessions").json()["sessions"]
        assert [(s["session"], s["name"], s["file"]) for s in listed] == [
            (3, "first", "v0.onnx"),
            (4, "second", "v1.onnx"),
        ]
        assert np.array_equal(pixels(client.get("/api/sessions/4/frames/2.png").content), TABLES[1][2])


def test_a_frame_that_cannot_be_decoded_is_a_500_in_one_line_and_the_server_goes_on(
    artifacts: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from pfnr_runtime.errors import BackendError

    with serving(artifacts) as server, server.client() as client:
        frame = server.catalogue.frame

        def failing(session: int, index: int) -> object:
            if index == 4:
                raise BackendError("the engine ran out of memory")
            return frame(session, index)

        monkeypatch.setattr(server.catalogue, "frame", failing)
        answer = client.get("/api/sessions/0/frames/4.png")
        assert (answer.status_code, answer.json()["error"]) == (500, "the engine ran out of memory")
        assert client.get("/api/sessions/0/frames/5.png").status_code == 200
        assert client.get("/api/statistics").json()["decoding"]["failed"] == 1
    assert [text for text in caplog.messages if text.startswith("error")] == [
        "error: the engine ran out of memory"
    ]


def test_every_answer_forbids_what_a_page_could_do_with_it(client: httpx.Client) -> None:
    for path in ("/", "/api/sessions", "/api/sessions/9", "/static/app.js", "/api/sessions/0/frames/0.png"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_page_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    text = client.get("/").text
    links = set(re.findall(r'(?:src|href)="([^"#]+)"', text))
    assert "/static/app.js" in links
    for link in links:
        assert link.startswith("/"), link
        assert client.get(link).status_code == 200
    for name in ("app.js", "player.js", "multipart.js", "statistics.js", "style.css", "icon.svg"):
        asset = client.get(f"/static/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert "://" not in asset
    assert " style=" not in text  # the policy would drop it
    assert "onclick" not in text


def test_json_is_one_line_of_plain_json(client: httpx.Client) -> None:
    text = client.get("/api/statistics").text
    assert text.endswith("\n")
    assert json.loads(text)
