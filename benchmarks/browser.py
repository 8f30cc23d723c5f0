"""Playback in a browser without a server that decodes: frames on the page of pfnr-web in headless Chromium.

    python benchmarks/browser.py [--seconds 5] [--rounds 3] [--preset cpu-s] [--size 320x180] [--artifact v5.pfnv]

Random weights at 320×180, preset canvas, 132 frames at 60 a second by default, as speed does not depend on them;
shown at 60, at 120 (speed 2×) and as fast as it goes (4×). The engines of the page take turns in every round with
ONNX Runtime in this process, with one thread and with --threads, so that the machine's other work hits all alike:
read the ratios. The processor time is that of all of Chromium's processes for a frame that
appeared. Needs Chromium and Playwright, as the tests do.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import statistics
import tempfile
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from random_library import random_library
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.web.site import write_site
from pfnr_train.model.config import preset_config

ENGINES = ("workers", "one", "threads")
SPEEDS = {"1": "60", "2": "120", "4": "240"}
TICKS = os.sysconf("SC_CLK_TCK")
# Counts what the player draws, and what it lost, since the last look.
LOOK = """() => [Number(document.querySelector("#dropped").textContent) || 0, window.drawn]"""
COUNT = """() => {
    window.drawn = 0;
    const put = CanvasRenderingContext2D.prototype.putImageData;
    CanvasRenderingContext2D.prototype.putImageData = function (...given) {
        window.drawn += 1;
        return put.apply(this, given);
    };
}"""


def main() -> None:
    """Measure, print, store."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=5.0, help="for each engine, speed and round")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--artifact", type=Path, help="in place of random weights")
    options.add_argument("--preset", default="canvas", help="of random weights")
    options.add_argument("--size", default="320x180", help="likewise")
    options.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES, help="as in the page's menu")
    chosen = options.parse_args()
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        artifact = chosen.artifact or random_artifact(Path(folder) / "random.onnx", chosen.preset, chosen.size)
        write_site([artifact], Path(folder) / "site", webgpu=False, say=print)
        with sync_playwright() as playwright, Server(Path(folder) / "site") as url:
            # No sandbox for root, as in a container; what is opened is our own page.
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            pages = {engine: opened(browser, url, engine) for engine in chosen.engines}
            for _ in range(chosen.rounds):
                for threads in sorted({1, chosen.threads}):
                    rate = native(artifact, threads, chosen.seconds)
                    runs.append({"engine": f"ONNX Runtime, {threads} threads", "asked": "all", "fps": rate})
                for engine, page in pages.items():
                    for speed, asked in SPEEDS.items():
                        found = played(page, speed, chosen.seconds)
                        name = page.inner_text("#runs").partition(";")[0]
                        runs.append({"engine": name, "asked": asked, "menu": engine, **found})
            browser.close()
    result = {"preset": chosen.preset, "size": chosen.size} if chosen.artifact is None else {}
    result |= {"machine": machine(), "seconds": chosen.seconds, "rounds": chosen.rounds, "runs": runs}
    kinds = list(dict.fromkeys((run["engine"], run["asked"]) for run in runs))
    show("frames a second, medians of the rounds", COLUMNS, [row(runs, *kind) for kind in kinds])
    store(result, chosen.json)


COLUMNS = ("engine", "asked", "shown", "best", "decode", "processor a frame")


def row(runs: list[dict[str, Any]], engine: str, asked: str) -> tuple[str, ...]:
    """One line of the table."""
    own = [run for run in runs if (run["engine"], run["asked"]) == (engine, asked)]
    middle = functools.partial(_median, own)
    best = max(run["fps"] for run in own)
    return (engine, asked, middle("fps"), f"{best:.1f}", middle("decode_ms", " ms"), middle("processor_ms", " ms"))


def _median(runs: list[dict[str, Any]], name: str, unit: str = "") -> str:
    values = [run[name] for run in runs if name in run]
    return f"{statistics.median(values):.1f}{unit}" if values else ""


def random_artifact(path: Path, preset: str, size: str) -> Path:
    """A video of random weights on a grid, at 60 frames a second."""
    width, height = map(int, size.split("x"))
    library = random_library(preset_config(preset, width, height), fps=Fraction(60))
    export_session(library, 0, path, ExportOptions())
    return path


class Server:
    """A static web server whose pages are cross-origin isolated; a context manager that gives its address."""

    def __init__(self, folder: Path) -> None:
        class Handler(http.server.SimpleHTTPRequestHandler):
            def end_headers(self) -> None:
                self.send_header("Cross-Origin-Opener-Policy", "same-origin")
                self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
                super().end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()


def opened(browser: Any, url: str, engine: str) -> Page:
    """The page, decoding with an engine of its menu."""
    page = browser.new_page()
    page.goto(url)
    page.wait_for_selector("#picture[data-frame]", state="attached")
    page.select_option("#engine", engine)
    page.wait_for_function("document.querySelector('#runs').textContent.startsWith('WebAssembly')")
    page.evaluate(COUNT)
    page.keyboard.press("l")
    return page  # type: ignore[no-any-return]


def played(page: Page, speed: str, seconds: float) -> dict[str, float]:
    """Play for so long, after a second to begin."""
    page.bring_to_front()
    page.select_option("#speed", speed)
    page.keyboard.press(" ")
    page.wait_for_timeout(1000)
    _, drawn = page.evaluate(LOOK)
    used, begin = chromium_seconds(), time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    elapsed, used = time.perf_counter() - begin, chromium_seconds() - used
    lost, after = page.evaluate(LOOK)
    decode = float(page.inner_text("#decode").removesuffix(" ms"))
    page.keyboard.press(" ")
    frames = after - drawn
    return {
        "fps": frames / elapsed,
        "lost": lost,
        "decode_ms": decode,
        "processor_ms": 1000 * used / max(frames, 1),
    }


def native(artifact: Path, threads: int, seconds: float) -> float:
    """Frames a second of pfnr's decoder in this process."""
    with VideoDecoder(artifact, threads=threads) as video:
        count, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            video[count % len(video)]
            count += 1
        return count / (time.perf_counter() - begin)


def chromium_seconds() -> float:
    """Processor time of the browser's processes that are children of this one, seconds."""
    parents, used = {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:
                continue  # it has just ended
            fields = text.rpartition(")")[2].split()
            parents[int(folder.name)] = int(fields[1])
            if "chrom" in text.partition("(")[2].rpartition(")")[0]:
                used[int(folder.name)] = (int(fields[11]) + int(fields[12])) / TICKS

    def ours(pid: int) -> bool:
        while pid in parents:
            if pid == os.getpid():
                return True
            pid = parents[pid]
        return False

    return sum(seconds for pid, seconds in used.items() if ours(pid))


if __name__ == "__main__":
    main()
