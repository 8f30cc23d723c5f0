"""Streams: order, time, skipping, looping, sharing; slow viewers lose frames, and the server nothing."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest
from helpers.serving import TABLES, Part, Serving, pixels, read_parts, serving
from helpers.tiny_artifacts import contract, model_of, save, video
from onnx import helper


@contextlib.contextmanager
def stream(client: httpx.Client, query: str = "", session: int = 0) -> Iterator[Iterator[Part]]:
    """The parts of a stream."""
    with client.stream("GET", f"/api/sessions/{session}/stream{query}") as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        yield read_parts(answer.iter_raw())


def test_a_stream_is_every_frame_in_order_and_exact(server: Serving) -> None:
    with server.client() as client, stream(client, "?format=png&speed=0.5") as parts:
        got = list(parts)
    lost = int(got[-1].headers["x-skipped"]) + int(got[-1].headers["x-dropped"])
    frames = [part.frame for part in got]
    assert frames == sorted(set(frames))
    assert len(frames) + lost == 12
    assert frames[-1] == 11  # the last frame is always shown
    for part in got:
        assert part.headers["content-type"] == "image/png"
        assert np.array_equal(pixels(part.data), TABLES[0][part.frame])


def test_a_stream_keeps_time_and_begins_where_it_is_told_to(server: Serving) -> None:
    begin = time.monotonic()
    with server.client() as client, stream(client, "?start=4&speed=2") as parts:
        got = [part.frame for part in parts]
    assert (got[0], got[-1]) == (4, 11)
    assert time.monotonic() - begin >= 7 * 0.02  # never ahead of the clock: seven frames of 20 ms lie between


def test_a_loop_begins_again_at_the_first_frame(server: Serving) -> None:
    with server.client() as client, stream(client, "?start=9&loop=1&speed=4") as parts:
        got = [next(parts).frame for _ in range(12)]
    assert got[0] == 9
    ahead = [(b - a) % 12 for a, b in itertools.pairwise(got)]
    assert all(1 <= step <= 11 for step in ahead)
    assert sum(ahead) >= 11
    assert min(got) < 9  # it came past the end
    # A loop of the whole video: what comes after the end counts from frame 0, not from 9.
    assert any(frame in range(9) for frame in got[1:])


def test_a_decoder_that_is_too_slow_skips_and_stays_on_time(artifacts: list[Path]) -> None:
    with serving(artifacts, before_decode=lambda: time.sleep(0.1)) as server, server.client() as client:
        with stream(client, session=1) as parts:  # 30 frames in 1.2 s, of which a tenth can be decoded
            got = list(parts)
        frames = [part.frame for part in got]
        assert frames == sorted(set(frames))
        assert frames[-1] == 29
        assert len(frames) < 20
        assert len(frames) + int(got[-1].headers["x-skipped"]) + int(got[-1].headers["x-dropped"]) == 30
        assert len(server.decoded) < 25


def test_viewers_share_what_is_decoded(artifacts: list[Path]) -> None:
    with serving(artifacts) as server, contextlib.ExitStack() as stack:
        viewers = [stack.enter_context(stream(stack.enter_context(server.client()), "?loop=1")) for _ in range(4)]
        for _ in range(15):
            for parts in viewers:
                next(parts)
        with server.client() as client:
            found = client.get("/api/statistics").json()
        assert len(found["streams"]) == 4
        assert all(one["session"] == 0 and one["format"] == "jpg" and one["loop"] for one in found["streams"])
        assert sum(one["shown"] for one in found["streams"]) >= 4 * 15
    assert len(server.decoded) == len(set(server.decoded)) <= 12


def test_the_cache_stays_within_its_bytes(artifacts: list[Path]) -> None:
    with serving(artifacts, capacity=12_000) as server, server.client() as client:
        sizes = [len(client.get(f"/api/sessions/1/frames/{k}.png").content) for k in range(30)]
        assert sum(sizes) > 2 * 12_000
        cache = client.get("/api/statistics").json()["cache"]
        assert 0 < cache["bytes"] <= cache["capacity"] == 12_000
        client.get("/api/sessions/1/frames/29.png")
        assert server.decoded.count((1, 29)) == 1  # the newest is still there
        client.get("/api/sessions/1/frames/0.png")
        assert server.decoded.count((1, 0)) == 2  # the oldest had to go


def raw_request(server: Serving, path: str, buffer: int | None = None) -> socket.socket:
    """A connection that has asked for `path`; buffer: bytes that its kernel takes unread."""
    address = urlsplit(server.url)
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(20)
    connection.connect((address.hostname, address.port))
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose frames are too large for a socket's buffers to hide a viewer that does not read."""
    record = video(name="large", frames=10, width=320, height=180)
    noise = np.random.default_rng(0).integers(0, 256, (10, 180, 320, 3), np.uint8)
    node = helper.make_node("Gather", ["table", "frame_index"], ["frames"], axis=0, name="look_up")
    model = model_of([node], {"table": noise}, contract(record))
    return save(model, tmp_path_factory.mktemp("large") / "large.onnx")


def test_a_viewer_that_does_not_read_loses_frames_and_holds_up_nobody(large: Path) -> None:
    with serving([large]) as server, server.client() as client:
        slow = raw_request(server, "/api/sessions/0/stream?format=png&loop=1&speed=4", buffer=4096)
        try:
            with stream(client, "?loop=1&speed=2") as parts:
                for _ in range(50):
                    next(parts)
            (counts,) = client.get("/api/statistics").json()["streams"]
            stalled_at = counts["shown"]
            # It was given what the buffers took, and nothing is gathered for it.
            assert stalled_at < 40
            time.sleep(0.3)
            (counts,) = client.get("/api/statistics").json()["streams"]
            assert counts["shown"] == stalled_at
            # Once it reads again it is shown the present: what fell due meanwhile is lost.
            got = 0
            while got < 3_000_000:
                got += len(slow.recv(1 << 16))
            (counts,) = client.get("/api/statistics").json()["streams"]
            assert counts["shown"] > stalled_at
            assert counts["skipped"] + counts["dropped"] > 10
        finally:
            slow.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux gives up on such a connection")
def test_a_viewer_that_reads_nothing_for_long_is_given_up(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfnr_runtime.serve.listen.STALLED_MS", 300)
    with serving([large]) as server, server.client() as client:
        stalled = raw_request(server, "/api/sessions/0/stream?format=png&loop=1&speed=4", buffer=4096)
        deadline = time.monotonic() + 30
        while server.frames.cache.misses == 0 or client.get("/api/statistics").json()["streams"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stalled.close()


def test_a_viewer_that_goes_away_ends_its_stream(server: Serving) -> None:
    with server.client() as client:
        for _ in range(3):
            with stream(client, "?loop=1") as parts:
                next(parts)
        deadline = time.monotonic() + 20
        while client.get("/api/statistics").json()["streams"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_frame_nobody_waits_for_any_more_is_not_decoded(artifacts: list[Path]) -> None:
    gate = threading.Event()
    with serving(artifacts, before_decode=lambda: gate.wait(60)) as server, server.client() as client:

        def until_waiting(count: int) -> None:
            deadline = time.monotonic() + 20
            while client.get("/api/statistics").json()["decoding"]["waiting"] != count:
                assert time.monotonic() < deadline
                time.sleep(0.01)

        impatient = [raw_request(server, f"/api/sessions/1/frames/{k}.png") for k in range(4)]
        until_waiting(3)  # and one under way
        for connection in impatient:
            connection.close()
        until_waiting(0)
        gate.set()
        answer = client.get("/api/sessions/0/frames/3.png")
        assert np.array_equal(pixels(answer.content), TABLES[0][3])
        assert server.decoded[1:] == [(0, 3)]


def test_there_is_a_most_of_streams(artifacts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pfnr_runtime.serve.api.MOST_STREAMS", 1)
    with serving(artifacts) as server, server.client() as client, stream(client, "?loop=1") as parts:
        next(parts)
        answer = client.get("/api/sessions/1/stream")
        assert (answer.status_code, answer.json()["allowed"]) == (503, "1 streams")
        assert answer.headers["retry-after"] == "5"
        assert client.get("/api/sessions/1/frames/0.png").status_code == 200


def test_a_browser_sees_a_part_as_soon_as_it_is_sent(server: Serving) -> None:
    """The delimiter that ends a part comes with it, not with the next one."""
    connection = raw_request(server, "/api/sessions/0/stream?speed=0.01")
    try:
        got = b""
        while got.count(b"--frame\r\n") < 2:
            got += connection.recv(1 << 16)
        assert got.count(b"X-Frame:") == 1
    finally:
        connection.close()


def test_ffmpeg_plays_a_stream(server: Serving) -> None:
    address = f"{server.url}/api/sessions/0/stream?loop=1"
    with av.open(address, format="mpjpeg", timeout=20) as container:
        for frame in itertools.islice(container.decode(video=0), 5):
            shown = frame.to_ndarray(format="rgb24").astype(int)
            assert np.abs(TABLES[0] - shown).mean(axis=(1, 2, 3)).min() < 3


def test_an_old_client_gets_a_stream_too(server: Serving) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(b"GET /api/sessions/0/stream?speed=10 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        got = b""
        while piece := connection.recv(1 << 16):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert [part.frame for part in read_parts(iter([body]))][-1] == 11
