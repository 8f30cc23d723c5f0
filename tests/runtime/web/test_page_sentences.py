"""What the page says where it cannot play: one sentence, soon."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browsing import Page
from helpers.serving import TABLES
from helpers.static_server import hand_out
from helpers.tiny_artifacts import contract, model_of, save, video
from helpers.web_folders import CANVAS
from onnx import TensorProto, helper

from pfnr_runtime.web.site import write_site

SHOWN = "document.querySelector('{0}')?.textContent !== '' && document.querySelector('{0}')?.textContent"


def said(page: Page, where: str = "#error") -> str:
    """The sentence on the page, once there is one."""
    page.until(SHOWN.format(where))
    text = page.text(where)
    page.tab.close()
    return text


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def spoil(path: Path, place: int, value: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] = value
    path.write_bytes(data)


def of_another_format(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b'"format_version":1') == 1
    path.write_bytes(data.replace(b'"format_version":1', b'"format_version":7'))


@pytest.mark.parametrize(
    ("file", "damage", "sentence"),
    [
        ("v0.onnx", Path.unlink, "v0.onnx: the server answers 404; copy the whole folder"),
        ("v0.onnx", cut, "v0.onnx: cut short, "),
        ("v0.onnx", lambda path: spoil(path, 20000, 0xAA), "v0.onnx: damaged, or another video than"),
        ("v0.onnx", of_another_format, "v0.onnx: an artifact of format 7, and this page knows 1"),
        ("canvas.pfnv", Path.unlink, "canvas.pfnv: the server answers 404"),
        ("canvas.pfnv", cut, "canvas.pfnv: cut short, "),
        ("canvas.pfnv", lambda path: spoil(path, 4, 99), "version 99, and this page knows 1 and 2"),
        ("canvas.pfnv", lambda path: spoil(path, 10, 0), "what comes out is not what was packed"),
        ("canvas.pfnv", lambda path: spoil(path, 0, 0), "canvas.pfnv: not an .onnx of pfnr-export"),
        ("videos.json", Path.unlink, "videos.json: the server answers 404"),
        ("videos.json", lambda path: path.write_text('{"format": 9}'), "format 9, and this page knows 1"),
        ("dictionary2.bin", Path.unlink, "dictionary2.bin: the server answers 404"),
        ("engine/ort.wasm.js", Path.unlink, "engine/ort.wasm.js is missing on the server"),
        ("engine/wasm.wasm", Path.unlink, "engine/wasm.wasm: the server answers 404"),
    ],
)
def test_a_damaged_folder_is_one_sentence(
    file: str, damage: Callable[[Path], object], sentence: str, browser: Any, spoilt: Path
) -> None:
    damage(spoilt / file)
    session = 0 if file == "v0.onnx" else CANVAS
    with hand_out(spoilt) as server:
        text = said(Page(browser, f"{server.url}/#{session}/0"))
        assert sentence in text
        assert "\n" not in text
        if file in ("v0.onnx", "canvas.pfnv"):  # the others still play
            page = Page(browser, f"{server.url}/#1/0")
            assert np.array_equal(page.wait_for(1, 0), TABLES[1][0])
            page.tab.close()


def test_a_page_without_its_modules_says_so(browser: Any, spoilt: Path) -> None:
    (spoilt / "page.bin").unlink()
    with hand_out(spoilt) as server:
        assert said(Page(browser, server.url), "#notice").startswith("page.bin: the server answers 404")


def test_a_page_opened_from_a_file_says_how_to_serve_it(browser: Any, spoilt: Path) -> None:
    text = said(Page(browser, (spoilt / "index.html").as_uri()), "#notice")
    assert f"python3 -m http.server -d '{spoilt}/' 8000" in text


@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [
        ("WebAssembly.validate = () => false", "lacks SIMD"),
        ("delete globalThis.WebAssembly", "lacks WebAssembly, or has it switched off"),
        ("delete globalThis.DecompressionStream", "too old for this page"),
    ],
)
def test_a_browser_that_lacks_something_is_told_what(
    lacks: str, sentence: str, browser: Any, spoilt: Path
) -> None:
    with hand_out(spoilt) as server:
        assert sentence in said(Page(browser, server.url, lacks), "#notice")


def huge(path: Path) -> Path:
    """A video that takes 24 GB to decode a frame of."""
    tensors = {
        "seed": np.full((1, 1, 1, 3), 7, np.float32),
        "shape": np.array([1 << 13, 1 << 9, 1 << 9, 3], np.int64),
        "axes": np.array([0], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["frame_index"], ["index"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["seed", "index"], ["mixed"]),
        helper.make_node("Expand", ["mixed", "shape"], ["wide"]),
        helper.make_node("ReduceMax", ["wide", "axes"], ["picture"], keepdims=1),
        helper.make_node("Cast", ["picture"], ["frames"], to=TensorProto.UINT8),
    ]
    return save(model_of(nodes, tensors, contract(video(name="huge", width=512, height=512))), path)


def test_a_video_that_does_not_fit_in_memory_says_so(
    engine: None, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The page's maker trusts the file, and its viewer finds out.
    monkeypatch.setenv("PFNR_MAX_MEMORY", "30")
    monkeypatch.setenv("PFNR_MAX_OPERATIONS", "300")
    write_site([huge(tmp_path / "huge.onnx")], tmp_path / "site", webgpu=False)
    with hand_out(tmp_path / "site") as server:
        assert said(Page(browser, server.url)).startswith("This video needs more memory than the browser gives")


def test_a_clip_longer_than_memory_plays_with_few_frames_at_a_time(
    engine: None, browser: Any, tmp_path: Path
) -> None:
    frames = 1_000_000  # of 320×180: 230 GB as pictures
    nodes = [
        helper.make_node("Unsqueeze", ["frame_index", "axes"], ["index"]),
        helper.make_node("Mod", ["index", "many"], ["grey"]),
        helper.make_node("Expand", ["grey", "shape"], ["picture"]),
        helper.make_node("Cast", ["picture"], ["frames"], to=TensorProto.UINT8),
    ]
    tensors = {
        "axes": np.array([1, 2, 3], np.int64),
        "many": np.array(251, np.int64),
        "shape": np.array([1, 180, 320, 3], np.int64),
    }
    record = video(name="long", frames=frames, width=320, height=180)
    write_site([save(model_of(nodes, tensors, contract(record)), tmp_path / "v.onnx")], tmp_path / "site")
    with hand_out(tmp_path / "site") as server:
        page = Page(browser, f"{server.url}/#0/999000")
        assert (page.wait_for(0, 999_000) == 999_000 % 251).all()
        page.tab.fill("#seek", "123456")
        assert (page.wait_for(0, 123_456) == 123_456 % 251).all()
        page.tab.click("#play")
        page.until("document.querySelector('#picture').dataset.frame > 123500")
        page.tab.close()


def test_a_server_that_is_gone_is_said_and_what_is_loaded_plays_on(browser: Any, spoilt: Path) -> None:
    with hand_out(spoilt) as server:
        page = Page(browser, server.url)
        page.wait_for(0, 0)
    page.tab.keyboard.press(".")
    assert np.array_equal(page.wait_for(0, 1), TABLES[0][1])
    page.tab.keyboard.press("1")
    assert said(page) == "The server does not answer."


def test_a_decoder_that_goes_silent_is_given_up(browser: Any, spoilt: Path) -> None:
    manifest = json.loads((spoilt / "videos.json").read_text())
    assert manifest["format"] == 1
    engine = spoilt / "engine/ort.wasm.js"
    engine.write_text(
        "export const env = {wasm: {}}; export const Tensor = class {};"
        "export const InferenceSession = {create: () => new Promise(() => {})};"
    )
    with hand_out(spoilt) as server:
        # Two minutes of waiting pass in three seconds.
        hurry = "const wait = setTimeout; globalThis.setTimeout = (f, ms) => wait(f, ms > 60000 ? 3000 : ms)"
        assert "has not answered for 120 seconds" in said(Page(browser, server.url, hurry))
