"""The page in a real headless Chromium: it shows the decoder's own pixels, seeks, switches, plays and counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.browsing import SECONDS, Page
from helpers.serving import TABLES, Serving, serving

TOKEN = "a-token-of-the-tests"


@pytest.fixture
def page(browser: Any, server: Serving) -> Iterator[Page]:
    opened = Page(browser, server.url)
    yield opened
    assert opened.wrong == []
    assert opened.foreign == []
    opened.tab.close()


def test_the_page_shows_the_decoders_own_pixels(page: Page) -> None:
    assert np.array_equal(page.wait_for(0, 0), TABLES[0][0])
    assert page.tab.title() == "first – pfnr"
    for key, frame in ((".", 1), (".", 2), (",", 1), ("Home", 0), ("ArrowRight", 11)):
        page.tab.keyboard.press(key)
        assert np.array_equal(page.wait_for(0, frame), TABLES[0][frame])
    assert page.text("#place") == "0:00.44 / 0:00.48 · frame 11"


def test_the_bar_seeks(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.fill("#seek", "7")
    assert np.array_equal(page.wait_for(0, 7), TABLES[0][7])
    box = page.tab.locator("#seek").bounding_box()
    page.tab.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    assert np.array_equal(page.wait_for(0, 11), TABLES[0][11])
    page.tab.keyboard.press("ArrowLeft")  # the bar has the focus, and moves by a frame
    assert np.array_equal(page.wait_for(0, 10), TABLES[0][10])
    assert page.tab.get_attribute("#seek", "aria-valuetext") == "frame 10 of 12, 0:00.40 / 0:00.48"
    assert page.tab.url.endswith("#0/10")


def test_sessions_are_thumbnails_that_switch(page: Page) -> None:
    page.wait_for(0, 0)
    assert page.tab.locator("#sessions button").count() == 2
    page.until("[...document.querySelectorAll('#sessions img')].every(image => image.naturalWidth > 0)")
    page.tab.click("#sessions button:has-text('second')")
    assert np.array_equal(page.wait_for(1, 0), TABLES[1][0])
    assert "48×32" in page.text("#video")
    page.tab.keyboard.press("0")
    assert np.array_equal(page.wait_for(0, 0), TABLES[0][0])
    page.tab.keyboard.press("n")
    page.wait_for(1, 0)
    current = page.tab.locator("#sessions [aria-current=true]")
    assert current.count() == 1
    assert current.get_attribute("data-session") == "1"


def test_it_plays_exactly_loops_and_rests_on_an_exact_frame(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.select_option("#kind", "png")
    page.tab.keyboard.press("l")
    assert page.tab.get_attribute("#loop", "aria-pressed") == "true"
    page.tab.click("#play")
    seen: set[int] = set()
    deadline = time.monotonic() + SECONDS
    while len(seen) < 4:
        frame, shown = page.read_back()
        assert np.array_equal(shown, TABLES[0][frame])
        seen.add(frame)
        assert time.monotonic() < deadline, seen
    page.tab.keyboard.press("1")  # switching while it plays goes on playing
    page.until("document.querySelector('#picture').dataset.session === '1'")
    page.until("document.querySelector('#picture').dataset.frame > 2")
    page.tab.click("#play")
    page.until("location.hash.startsWith('#1/')")
    frame = int(page.tab.url.rpartition("/")[2])
    assert np.array_equal(page.wait_for(1, frame), TABLES[1][frame])


def test_a_video_that_ends_stops_at_its_last_frame_exactly(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.select_option("#speed", "4")
    page.tab.keyboard.press(" ")
    assert np.array_equal(page.wait_for(0, 11), TABLES[0][11])
    assert page.tab.get_attribute("#play", "aria-label") == "Play"
    page.tab.keyboard.press(" ")  # from the end it begins again
    page.until("document.querySelector('#picture').dataset.frame < 11")
    assert np.array_equal(page.wait_for(0, 11), TABLES[0][11])


def test_statistics_are_live(page: Page) -> None:
    page.wait_for(0, 0)
    page.tab.keyboard.press("l")
    page.tab.keyboard.press(" ")
    page.until("Number(document.querySelector('#fps').textContent) > 0")
    page.until("/^1 open/.test(document.querySelector('#streams').textContent)")
    assert page.text("#fps-note") == "of 25"
    assert page.text("#backend") == "onnxruntime-cpu"
    assert "ONNX Runtime" in page.text("#engine")
    assert page.text("#decode").endswith(" ms")
    assert page.text("#dropped").isdecimal()
    assert "of 10 MB" in page.text("#cache")
    assert page.tab.get_attribute("#history-line", "d") is not None


def test_a_link_leads_to_its_frame(browser: Any, server: Serving) -> None:
    page = Page(browser, f"{server.url}/#1/17")
    assert np.array_equal(page.wait_for(1, 17), TABLES[1][17])
    saved = page.tab.get_attribute("#save", "href")
    assert saved.startswith("/api/sessions/1/frames/17.png?v=")
    assert page.tab.get_attribute("#save", "download") == "session1-00017.png"
    assert page.wrong == []
    page.tab.close()


def test_the_page_asks_for_the_token_and_works_with_it(browser: Any, artifacts: list[Path]) -> None:
    with serving(artifacts, token=TOKEN) as server:
        page = Page(browser, server.url)
        assert page.answer.status == 401
        page.wrong.clear()  # Chromium notes the 401 itself
        page.tab.fill("#token", TOKEN)
        page.tab.click("button")
        assert np.array_equal(page.wait_for(0, 0), TABLES[0][0])
        assert "token" not in page.tab.url
        assert page.wrong == []
        page.tab.close()


def test_a_server_that_is_gone_is_said(browser: Any, artifacts: list[Path]) -> None:
    with serving(artifacts) as server:
        page = Page(browser, server.url)
        page.wait_for(0, 0)
    page.tab.keyboard.press(".")
    page.until("document.querySelector('#error').textContent === 'The server does not answer.'")
    page.until("document.querySelector('#status').textContent === 'The server does not answer.'")
    page.tab.close()
