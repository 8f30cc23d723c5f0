"""pfnr-serve hands the page out: viewers decode for themselves, under its token and its policy."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from helpers.browsing import Page
from helpers.commands import command_line, environment
from helpers.serving import TABLES, serving, write_artifacts
from helpers.web_folders import CANVAS, WebFolder

TOKEN = "a-token-of-the-tests"


def test_viewers_decode_for_themselves(browser: Any, made: WebFolder, tmp_path: Path) -> None:
    with serving(write_artifacts(tmp_path), own_page=made.path, token=TOKEN) as server:
        page = Page(browser, f"{server.url}/?token={TOKEN}")
        page.wait_for(0, 0)
        decoded = len(server.decoded)
        page.tab.click("text=Decode in this browser")
        page.until("document.querySelector('#runs') !== null")
        assert page.tab.url.startswith(f"{server.url}/browser/")
        assert np.array_equal(page.wait_for(0, 0), TABLES[0][0])
        page.tab.keyboard.press("1")
        assert np.array_equal(page.wait_for(1, 0), TABLES[1][0])
        page.tab.keyboard.press(str(CANVAS))
        page.wait_for(CANVAS, 0)
        assert page.tab.evaluate("crossOriginIsolated")
        assert len(server.decoded) == decoded
        assert page.wrong == []
        assert page.foreign == []
        page.tab.close()


def test_its_files_are_behind_the_token_and_the_policy(made: WebFolder, tmp_path: Path) -> None:
    videos = write_artifacts(tmp_path)
    with serving(videos, own_page=made.path, token=TOKEN) as server, server.client() as client:
        assert client.get("/browser/").status_code == 401
        assert client.get("/browser/v0.onnx").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        moved = client.get("/browser", headers=bearer)
        assert (moved.status_code, moved.headers["location"]) == (308, "/browser/")
        answer = client.get("/browser/", headers=bearer)
        assert answer.status_code == 200
        assert answer.headers.get_list("content-security-policy") == [answer.headers["content-security-policy"]]
        assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert client.get("/browser/../videos.json", headers=bearer).status_code == 404
        assert client.get("/api/sessions", headers=bearer).json()["browser"] == "/browser/"
        assert "unsafe" not in client.get("/", headers=bearer).headers["content-security-policy"]
    with serving(videos) as server, server.client() as client:
        assert client.get("/browser/").status_code == 404
        assert client.get("/api/sessions").json()["browser"] is None


def test_without_the_engine_the_server_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        command_line("serve", *write_artifacts(tmp_path), "--browser", "--port", 0),
        capture_output=True,
        text=True,
        env={**environment(), "XDG_CACHE_HOME": str(tmp_path), "npm_config_registry": "http://127.0.0.1:9"},
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.splitlines()[-1].startswith("error: onnxruntime-web ")
