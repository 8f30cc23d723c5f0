"""WebGPU in Chromium, on the graphics device in software that comes with it: the frames that pfnr decodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.browsing import SOFTWARE_GPU, Page, chromium
from helpers.canvas_sessions import canvas_library
from helpers.static_server import hand_out
from helpers.tiny_artifacts import conv_model, save

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.parity import Comparison, StepRule
from pfnr_runtime.web.site import write_site

FRAMES = 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_frames_from_webgpu_are_those_that_pfnr_decodes(engine: None, tmp_path: Path) -> None:
    exact, fp32 = tmp_path / "exact.pfnv", save(conv_model(), tmp_path / "fp32.onnx")
    export_session(canvas_library(FRAMES, size=(80, 45)), 0, exact, ExportOptions())
    write_site([exact, fp32], tmp_path / "site")
    with hand_out(tmp_path / "site") as server, chromium(*SOFTWARE_GPU) as browser:
        page = Page(browser, f"{server.url}/#0/0")
        page.until("document.querySelector('#engine')?.options.length > 0")
        if page.tab.get_attribute("#engine [value=webgpu]", "disabled") is not None:
            pytest.skip(f"this Chromium has no WebGPU: {page.text('#engine [value=webgpu]')}")
        page.until("document.querySelector('#runs').textContent.length > 1", seconds=200)
        assert page.text("#runs").startswith("WebGPU, since this browser has it; exact: ")
        with VideoDecoder(exact, threads=1) as video:
            for frame in range(FRAMES):
                assert np.array_equal(page.wait_for(0, frame), video[frame].data)
                page.tab.keyboard.press(".")
        page.tab.keyboard.press("1")
        comparison = Comparison(StepRule(max_step=1, max_fraction=2e-4, max_psnr_change=1e-3))
        with VideoDecoder(fp32, threads=1) as video:
            for frame in range(FRAMES):
                comparison.add(frame, video[frame].data, page.wait_for(1, frame))
                page.tab.keyboard.press(".")
        assert comparison.problems() == []
        assert page.text("#runs") == "WebGPU, since this browser has it"
        assert page.wrong == []
        page.tab.close()
