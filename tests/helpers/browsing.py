"""A real headless Chromium, and a page in it whose pixels can be read back."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray

# PFNR_REQUIRE_BROWSER=1: no browser is a failure, not a reason to skip.
REQUIRED = os.environ.get("PFNR_REQUIRE_BROWSER") == "1"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60  # to wait for anything
READ_BACK = """canvas => {
    const {width, height} = canvas;
    const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
    copy.drawImage(canvas, 0, 0);
    const {data} = copy.getImageData(0, 0, width, height);
    const text = Array.from(data, (value) => String.fromCharCode(value)).join("");
    return [Number(canvas.dataset.frame), height, width, btoa(text)];
}"""


# What makes Chromium offer WebGPU on the processor, by the graphics device in software that comes with it.
SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]


@contextlib.contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """Chromium, started with these arguments; a skip where it or Playwright is not installed."""
    if CHROMIUM is None and not REQUIRED:
        pytest.skip("no Chromium here: apt-get install chromium")
    if not REQUIRED:
        pytest.importorskip("playwright.sync_api")
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None
    with sync_playwright() as running:
        # No sandbox for root, as in a container; what is opened is our own page.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = running.chromium.launch(executable_path=CHROMIUM, args=[*sandbox, *arguments])
        yield started
        started.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


class Page:
    """The page in a new tab, and everything that went wrong in it. script: runs before the page's own."""

    def __init__(self, browser: Any, url: str, script: str = "") -> None:
        self.tab = browser.new_page(viewport={"width": 1280, "height": 900})
        self.tab.add_init_script(script)
        self.tab.set_default_timeout(1000 * SECONDS)
        self._origin = "{0.scheme}://{0.netloc}/".format(urlsplit(url))
        self.wrong: list[str] = []
        self.foreign: list[str] = []
        self.tab.on("console", self._heard)
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("request", self._asked)
        self.answer = self.tab.goto(url)

    def _heard(self, message: Any) -> None:
        # Chromium itself warns of a machine without a GPU where a page asks for one.
        if message.type in ("error", "warning") and message.text != "No available adapters.":
            self.wrong.append(message.text)

    def _asked(self, request: Any) -> None:
        if not request.url.removeprefix("blob:").startswith(self._origin):
            self.foreign.append(request.url)

    def wait_for(self, session: int, frame: int, kind: str = "png") -> NDArray[np.uint8]:
        """Wait until the canvas shows a frame; its pixels."""
        self.tab.wait_for_selector(
            f'#picture[data-session="{session}"][data-frame="{frame}"][data-kind="{kind}"]', state="attached"
        )
        return self.read_back()[1]

    def read_back(self) -> tuple[int, NDArray[np.uint8]]:
        """The number of the frame on the canvas, and its pixels: uint8 [H, W, 3]."""
        frame, height, width, data = self.tab.eval_on_selector("#picture", READ_BACK)
        return frame, np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[:, :, :3]

    def until(self, expression: str, seconds: float = SECONDS) -> None:
        """Wait until a JavaScript expression is true; asked from outside, since the page's policy forbids eval."""
        deadline = time.monotonic() + seconds
        while not self.tab.evaluate(expression):
            assert time.monotonic() < deadline, expression
            self.tab.wait_for_timeout(20)

    def text(self, selector: str) -> str:
        """The text of an element."""
        return str(self.tab.inner_text(selector))
