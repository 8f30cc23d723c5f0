"""Who may ask: Host headers, tokens, other sites' pages, and requests that carry what nothing here takes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from helpers.serving import Serving, serving

TOKEN = "a-token-of-the-tests"
FRAME = "/api/sessions/0/frames/0.png"


@pytest.fixture(scope="module")
def locked(artifacts: list[Path]) -> Iterator[Serving]:
    with serving(artifacts, token=TOKEN, hosts=["0.0.0.0", "jetson.example"]) as running:
        yield running


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]", "[::1]:80", "192.168.7.9", "LOCALHOST", "localhost."],
)
def test_this_machine_and_addresses_are_served(host: str, server: Serving) -> None:
    with server.client() as client:
        assert client.get("/api/sessions", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "localhost@evil.example",
        "localhost:port",
        "[::1",
        "[evil.example]:80",
        "a b",
        "",
    ],
)
def test_another_name_is_refused_before_anything_else(host: str, server: Serving, locked: Serving) -> None:
    for running in (server, locked):
        with running.client() as client:
            for path in ("/", "/healthz", FRAME, f"/?token={TOKEN}"):
                answer = client.get(path, headers={"Host": host})
                assert answer.status_code == 421
                assert "--allow-host" in answer.json()["error"]
                assert "set-cookie" not in answer.headers


def test_a_name_that_was_allowed_is_served(locked: Serving) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with locked.client(headers=bearer) as client:
        for name in ("jetson.example:8080", socket.gethostname(), f"{socket.gethostname()}.local"):
            assert client.get(FRAME, headers={"Host": name}).status_code == 200
        assert client.get(FRAME, headers={"Host": "evil.example"}).status_code == 421


def test_nothing_but_health_and_looks_is_open_without_the_token(locked: Serving) -> None:
    with locked.client() as client:
        for path in ("/api/sessions", "/api/sessions/0", FRAME, "/api/statistics", "/nothing", "/static"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="pfnr"')
            assert TOKEN not in answer.text
        assert client.get("/api/sessions/0/stream").status_code == 401
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/static/style.css").status_code == 200


@pytest.mark.parametrize("wrong", ["x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "é" * len(TOKEN)])
def test_a_wrong_token_is_refused_wherever_it_stands(wrong: str, locked: Serving) -> None:
    cookie = f"pfnr_token_{locked.url.rpartition(':')[2]}"
    with locked.client() as client:
        assert client.get(FRAME, params={"token": wrong}).status_code == 401
        assert client.get(FRAME, headers={b"Cookie": f"{cookie}={wrong}".encode()}).status_code == 401
        assert client.get(FRAME, headers={b"Authorization": f"Bearer {wrong}".encode()}).status_code == 401


def test_an_empty_token_or_one_of_another_kind_is_refused(locked: Serving) -> None:
    with locked.client() as client:
        assert client.get(f"{FRAME}?token=").status_code == 401
        for value in ("Bearer", f"Basic {TOKEN}", TOKEN):
            assert client.get(FRAME, headers={"Authorization": value}).status_code == 401


def test_the_token_opens_as_bearer_query_and_cookie(locked: Serving) -> None:
    with locked.client() as client:
        assert client.get(FRAME, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get(f"{FRAME}?token={TOKEN}").status_code == 200
        assert client.get(FRAME).status_code == 401  # neither left a cookie


def test_the_page_takes_the_token_out_of_the_address_into_a_cookie(locked: Serving) -> None:
    with locked.client(headers={"Accept": "text/html"}) as client:
        gate = client.get("/")
        assert gate.status_code == 401
        assert 'name="token"' in gate.text
        assert client.get("/?token=wrong-token").status_code == 401
        answer = client.get(f"/?token={TOKEN}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith(f"pfnr_token_{locked.url.rpartition(':')[2]}=")
        for word in ("httponly", "samesite=lax", "path=/"):
            assert word in cookie
        assert client.get("/").status_code == 200  # the client has kept the cookie
        assert client.get(FRAME).status_code == 200


def test_another_sites_page_may_link_here_but_not_fetch(server: Serving) -> None:
    with server.client() as client:
        cross = {"Sec-Fetch-Site": "cross-site"}
        assert client.get(FRAME, headers={**cross, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
        assert client.get("/", headers={**cross, "Sec-Fetch-Mode": "navigate"}).status_code == 200
        assert client.get(FRAME, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_request_with_a_body_is_refused_and_its_connection_closed(server: Serving) -> None:
    with server.client() as client:
        for options in ({"content": b"x" * 100}, {"content": iter([b"x"])}):
            answer: httpx.Response = client.request("GET", "/api/sessions", **options)
            assert (answer.status_code, answer.headers["connection"]) == (413, "close")
