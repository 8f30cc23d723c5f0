"""The page in a real headless Chromium from a plain web server: pfnr's own frames, controls, playback, engines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browsing import SECONDS, Page
from helpers.serving import TABLES, pixels
from helpers.static_server import ISOLATED, StaticServer, hand_out
from helpers.web_folders import CANVAS, FLOATS, FOURIER, INTEGERS, WebFolder

from pfnr_runtime.artifact.parity import Comparison, StepRule

FP32 = StepRule(max_step=1, max_fraction=2e-4, max_psnr_change=1e-3)  # docs/lossless.md
# The page and one packed video, all that is transferred without the engine, may take this much over the video.
PAGE_BYTES = 40_000


@pytest.fixture(scope="module")
def server(made: WebFolder) -> Iterator[StaticServer]:
    with hand_out(made.path) as running:
        yield running


@pytest.fixture(scope="module")
def isolated(made: WebFolder) -> Iterator[StaticServer]:
    with hand_out(made.path, ISOLATED) as running:
        yield running


@pytest.fixture
def page(browser: Any, server: StaticServer) -> Iterator[Page]:
    opened = Page(browser, server.url)
    yield opened
    assert opened.wrong == []
    assert opened.foreign == []
    opened.tab.close()


@pytest.mark.parametrize("session", [0, 1, FLOATS, CANVAS, INTEGERS])
def test_exact_videos_have_equal_bytes(session: int, page: Page, made: WebFolder) -> None:
    page.wait_for(0, 0)
    page.tab.keyboard.press(str(session))
    for frame, expected in enumerate(made.frames[session]):
        assert np.array_equal(page.wait_for(session, frame), expected)
        page.tab.keyboard.press(".")


def test_an_fp32_network_has_the_frames_that_pfnr_decodes(page: Page, made: WebFolder) -> None:
    page.wait_for(0, 0)
    page.tab.keyboard.press(str(FOURIER))
    comparison = Comparison(FP32)
    for frame, expected in enumerate(made.frames[FOURIER]):
        comparison.add(frame, expected, page.wait_for(FOURIER, frame))
        page.tab.keyboard.press(".")
    assert comparison.problems() == []


def test_bar_keys_and_links_seek(page: Page, browser: Any, server: StaticServer) -> None:
    page.wait_for(0, 0)
    page.tab.fill("#seek", "7")
    assert np.array_equal(page.wait_for(0, 7), TABLES[0][7])
    for key, frame in ((",", 6), ("Home", 0), ("ArrowRight", 11)):
        page.tab.locator("#picture").focus()
        page.tab.evaluate("document.activeElement.blur()")
        page.tab.keyboard.press(key)
        assert np.array_equal(page.wait_for(0, frame), TABLES[0][frame])
    assert page.text("#place") == "0:00.44 / 0:00.48 · frame 11"
    assert page.tab.url.endswith("#0/11")
    linked = Page(browser, f"{server.url}/#1/17")
    assert np.array_equal(linked.wait_for(1, 17), TABLES[1][17])
    linked.tab.close()


def test_sessions_are_described_and_switched(page: Page) -> None:
    page.wait_for(0, 0)
    assert page.tab.title() == "first – pfnr"
    assert page.tab.locator("#sessions button").count() == 6
    page.tab.click("#sessions button:has-text('second')")
    assert np.array_equal(page.wait_for(1, 0), TABLES[1][0])
    assert "48×32" in page.text("#video")
    assert page.tab.get_attribute("#sessions [aria-current=true]", "data-session") == "1"


def test_it_plays_in_order_loops_and_rests_on_its_frame(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.keyboard.press("l")
    page.tab.click("#play")
    seen: list[int] = []
    deadline = time.monotonic() + SECONDS
    while len(set(seen)) < 4 or seen == sorted(seen):
        frame, shown = page.read_back()
        assert np.array_equal(shown, TABLES[0][frame])
        seen.append(frame)
        assert time.monotonic() < deadline, seen
    page.tab.keyboard.press("1")  # switching while it plays goes on playing
    page.until("document.querySelector('#picture').dataset.session === '1'")
    page.until("document.querySelector('#picture').dataset.frame > 2")
    page.until("Number(document.querySelector('#fps').textContent) > 0")
    page.until("document.querySelector('#decode').textContent.endsWith(' ms')")
    page.tab.click("#play")
    page.until("location.hash.startsWith('#1/')")
    frame = int(page.tab.url.rpartition("/")[2])
    assert np.array_equal(page.wait_for(1, frame), TABLES[1][frame])


def test_a_video_that_ends_stops_at_its_last_frame(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.select_option("#speed", "0.5")
    page.tab.keyboard.press(" ")
    page.until("document.querySelector('#play').classList.contains('playing')")
    page.until("!document.querySelector('#play').classList.contains('playing')")
    assert np.array_equal(page.wait_for(0, 11), TABLES[0][11])
    page.tab.keyboard.press(" ")  # from the end it begins again
    page.until("document.querySelector('#picture').dataset.frame < 11")


def test_a_frame_is_saved_exactly(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.keyboard.press(".")
    page.wait_for(0, 1)
    with page.tab.expect_download() as download:
        page.tab.click("#save")
    assert download.value.suggested_filename == "session0-00001.png"
    assert np.array_equal(pixels(Path(download.value.path()).read_bytes()), TABLES[0][1])


def test_page_and_packed_video_are_few_bytes(browser: Any, made: WebFolder) -> None:
    with hand_out(made.path) as server:
        page = Page(browser, f"{server.url}/#{CANVAS}/0")
        page.wait_for(CANVAS, 0)
        page.tab.close()
    sent = {path: size for path, size in server.sent.items() if not path.startswith("engine/")}
    video = sent.pop("canvas.pfnv")
    assert video == (made.path / "canvas.pfnv").stat().st_size
    assert "page.bin" in sent
    assert sum(sent.values()) <= PAGE_BYTES


def engines(page: Page) -> dict[str, tuple[str, bool]]:
    """Text of the engines in the menu by name, and whether they can be chosen."""
    found = page.tab.eval_on_selector_all(
        "#engine option", "all => all.map((one) => [one.value, one.textContent, !one.disabled])"
    )
    return {name: (text, on) for name, text, on in found}


def test_the_engine_is_named_with_a_reason_and_can_be_chosen(page: Page) -> None:
    page.wait_for(0, 0)
    found = engines(page)
    assert found["auto"] == ("automatic", True)
    assert found["threads"][0].endswith("the page is not cross-origin isolated")
    assert not found["threads"][1]
    if not found["webgpu"][1]:
        assert page.text("#runs").startswith("WebAssembly, ")
        assert "no WebGPU: " in page.text("#runs")
    page.tab.select_option("#engine", "one")
    page.until("document.querySelector('#runs').textContent === 'WebAssembly with one thread'")
    page.tab.keyboard.press(".")
    assert np.array_equal(page.wait_for(0, 1), TABLES[0][1])


def test_threads_decode_where_the_page_is_isolated(browser: Any, isolated: StaticServer, made: WebFolder) -> None:
    page = Page(browser, f"{isolated.url}/#{CANVAS}/0")
    page.wait_for(CANVAS, 0)
    if not engines(page)["threads"][1]:
        assert page.tab.evaluate("navigator.hardwareConcurrency") == 1
        pytest.skip("one core: there are no threads to try")
    page.tab.select_option("#engine", "threads")
    page.until(r"/^WebAssembly with \d+ threads; exact: /.test(document.querySelector('#runs').textContent)")
    for frame in range(3):
        assert np.array_equal(page.wait_for(CANVAS, frame), made.frames[CANVAS][frame])
        page.tab.keyboard.press(".")
    assert page.wrong == []
    page.tab.close()


def test_without_its_gpu_engine_the_page_says_so(browser: Any, spoilt: Path) -> None:
    manifest = json.loads((spoilt / "videos.json").read_text())
    (spoilt / "videos.json").write_text(json.dumps({**manifest, "webgpu": False}))
    with hand_out(spoilt) as server:
        page = Page(browser, server.url)
        page.wait_for(0, 0)
        assert engines(page)["webgpu"] == ("WebGPU: not on this server", False)
        page.tab.close()


# A browser that says it has a GPU.
GPU = "Object.defineProperty(navigator, 'gpu', {value: {requestAdapter: async () => ({})}})"


def test_where_the_gpu_fails_webassembly_takes_its_place(
    browser: Any, server: StaticServer, made: WebFolder
) -> None:
    page = Page(browser, f"{server.url}/#{CANVAS}/0", GPU)
    assert np.array_equal(page.wait_for(CANVAS, 0), made.frames[CANVAS][0])
    page.until("document.querySelector('#runs').textContent !== '–'")
    assert page.text("#runs").startswith("WebAssembly, ")
    assert ", since WebGPU failed: " in page.text("#runs")
    page.tab.close()


# An engine that gets one sample of every frame wrong.
INEXACT = """
import * as real from "./real.js";
export * from "./real.js";
export const InferenceSession = {create: async (...given) => {
    const session = await real.InferenceSession.create(...given);
    return {run: async (feeds) => {
        const {frames} = await session.run(feeds);
        const data = await frames.getData();
        data[100] ^= 1;
        return {frames: {type: frames.type, getData: async () => data, dispose() {}}};
    }};
}};
"""


def inexact(folder: Path, name: str) -> None:
    """Put that engine in place of one of a folder; real: WebAssembly's, under another name."""
    (folder / "engine/real.js").write_bytes((folder / "engine/ort.wasm.js").read_bytes())
    (folder / f"engine/{name}").write_text(INEXACT)


def test_a_frame_of_an_exact_video_that_is_wrong_is_not_shown(browser: Any, spoilt: Path) -> None:
    inexact(spoilt, "ort.wasm.js")
    with hand_out(spoilt) as server:
        page = Page(browser, f"{server.url}/#{CANVAS}/0")
        page.until("document.querySelector('#error')?.textContent.startsWith('Frame 0 is not the one')")
        assert page.tab.get_attribute("#picture", "data-frame") is None
        page.tab.close()


def test_a_gpu_that_does_not_compute_exactly_is_left_alone(browser: Any, spoilt: Path, made: WebFolder) -> None:
    inexact(spoilt, "ort.webgpu.js")
    # As a GPU's engine this one runs on the processor, with the files that belong there.
    path = spoilt / "engine/ort.webgpu.js"
    on_processor = "create(given[0], {executionProviders: ['wasm']})"
    path.write_text(path.read_text().replace("create(...given)", on_processor))
    for suffix in ("js", "wasm"):
        (spoilt / f"engine/webgpu.{suffix}").unlink()
        os.link(spoilt / f"engine/wasm.{suffix}", spoilt / f"engine/webgpu.{suffix}")
    with hand_out(spoilt) as server:
        page = Page(browser, f"{server.url}/#{CANVAS}/0", GPU)
        assert np.array_equal(page.wait_for(CANVAS, 0), made.frames[CANVAS][0])
        page.until("document.querySelector('#runs').textContent !== '–'")
        assert ", since WebGPU failed: Frame 0 is not the one that was exported" in page.text("#runs")
        page.tab.close()
