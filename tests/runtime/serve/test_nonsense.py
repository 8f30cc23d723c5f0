"""Clients that send nonsense, half of a request, or nothing: the server stays as it was."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from helpers.serving import TABLES, Serving, pixels, serving

from pfnr_runtime.serve import server as server_module

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
NONSENSE = {
    "noise": bytes(np.random.default_rng(0).integers(0, 256, 2000, np.uint8)) + b"\r\n\r\n",
    "zeros": bytes(2000),
    "tls": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "words": b"HELLO THERE\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "endless header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000,
    "endless path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "negative length": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "header in header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\nb: c\r\n d\x00\r\n\r\n",
    "bad escape": b"GET /api/sessions/%ff%fe%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zero byte": b"GET /api/sessions/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bad query": b"GET /api/sessions?%ff=%fe&&== HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another's address": b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a socket": b"GET /api/statistics HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "bad chunks": b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


def connect(server: Serving) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def answer_to(server: Serving, data: bytes, *, whole: bool = False) -> bytes:
    """The beginning of what the server says to it; whole: all of it, until the server ends the connection."""
    with connect(server) as connection:
        got = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            while whole or b"\r\n" not in got:
                piece = connection.recv(1 << 16)
                if not piece:
                    break
                got += piece
        return got


def works(server: Serving) -> None:
    """Frames still come, and they are right."""
    with server.client() as client:
        assert np.array_equal(pixels(client.get("/api/sessions/0/frames/1.png").content), TABLES[0][1])


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_and_the_server_goes_on(
    name: str, server: Serving, capfd: pytest.CaptureFixture[str]
) -> None:
    got = answer_to(server, NONSENSE[name])
    # A wish to speak another protocol and parameters that mean nothing are passed over; the rest is good.
    good = name in ("a socket", "bad query")
    assert got.startswith(b"HTTP/1.1 200 " if good else b"HTTP/1.1 4"), got
    works(server)
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_many_requests_on_one_connection_are_answered_in_order(server: Serving) -> None:
    request = b"GET /api/sessions/1/frames/%d.png HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    got = answer_to(server, b"".join(request % k for k in range(20)) + last, whole=True)
    assert got.count(b"HTTP/1.1 200 OK") == 21
    tags = [got.index(b"-%d-png" % k) for k in range(20)]
    assert tags == sorted(tags)


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HT",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT",
    ],
)
def test_a_request_that_is_never_finished_loses_its_connection(
    half: bytes, artifacts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.3)
    with serving(artifacts) as server, connect(server) as connection:
        connection.sendall(half)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(1 << 16):  # times out, and fails, if the connection stays
                pass
        works(server)


def test_a_stream_is_not_given_up_while_it_runs(artifacts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "REQUEST_SECONDS", 0.1)
    with serving(artifacts) as server, server.client() as client:
        with client.stream("GET", "/api/sessions/0/stream?loop=1") as answer:
            received, end = 0, time.monotonic() + 0.5
            for piece in answer.iter_raw():
                received += len(piece)
                if time.monotonic() > end:
                    break
        assert received > 0


def test_half_open_connections_keep_nobody_out(artifacts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 40)
    with serving(artifacts) as server:
        idle = [connect(server) for _ in range(120)]
        for connection in idle:
            with contextlib.suppress(OSError):
                connection.sendall(b"GET / HT")
        try:
            for _ in range(5):
                assert answer_to(server, HEALTH).startswith(b"HTTP/1.1 200 ")
            works(server)
        finally:
            for connection in idle:
                connection.close()


def test_more_connections_than_there_is_room_for_are_told_so(
    artifacts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 8)
    monkeypatch.setattr(server_module, "SPARE_CONNECTIONS", 0)
    with serving(artifacts) as server:
        busy = []
        try:
            for _ in range(12):
                busy.append(connection := connect(server))
                connection.sendall(b"GET /api/sessions/0/stream?loop=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(100)
            got = answer_to(server, HEALTH)
            assert got.startswith(b"HTTP/1.1 503 ")
        finally:
            for connection in busy:
                connection.close()
        deadline = time.monotonic() + 20
        while not answer_to(server, HEALTH).startswith(b"HTTP/1.1 200"):
            assert time.monotonic() < deadline
        works(server)
