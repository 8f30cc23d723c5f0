"""The real command in a real window: what is on the screen is the decoder's frame, and keys do what they say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.commands import command_line, environment
from helpers.tiny_artifacts import picture_table, save, table_model, video
from helpers.virtual_display import VirtualDisplay, virtual_display
from numpy.typing import NDArray

pytest.importorskip("pygame")
RECORD = video(frames=40, width=160, height=90)
TABLE = picture_table(RECORD)
SCREEN = (640, 480)
WINDOW = np.s_[195:285, 240:400]  # without a window manager SDL puts it in the middle


@pytest.fixture
def display(tmp_path: Path) -> Iterator[VirtualDisplay]:
    (tmp_path / "screen").mkdir()
    with virtual_display(tmp_path / "screen", SCREEN) as found:
        yield found


@pytest.fixture
def player(display: VirtualDisplay, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """pfnr-play, playing in a loop."""
    artifact = save(table_model(RECORD), tmp_path / "table.onnx")
    (tmp_path / "shots").mkdir()
    variables = {**environment(), "DISPLAY": display.name}
    variables.pop("SDL_VIDEODRIVER", None)
    process = subprocess.Popen(
        [*command_line("play", artifact, "--loop", "--screenshots", tmp_path / "shots"), "--quiet", "--json"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def frame_on(pixels: NDArray[np.uint8]) -> int | None:
    """The number of the frame that is in the window to the last sample, or None."""
    same = (pixels[WINDOW] == TABLE).all(axis=(1, 2, 3))
    return int(same.argmax()) if same.any() else None


def test_the_screen_shows_the_frame_and_keys_work(
    display: VirtualDisplay, player: subprocess.Popen[str], tmp_path: Path
) -> None:
    def shows(frame: int) -> None:
        display.wait_for(lambda pixels: frame_on(pixels) == frame, f"frame {frame}")

    first = frame_on(display.wait_for(lambda pixels: frame_on(pixels) is not None, "any frame"))
    display.wait_for(lambda pixels: frame_on(pixels) not in (first, None), "another frame: it plays")
    display.type("space")
    display.type("Home")  # paused, so this place stays
    shows(0)
    for _ in range(3):
        display.type("period")
    shows(3)
    display.type("comma")
    shows(2)
    display.type("shift+Right")  # one second, 25 frames
    shows(27)
    display.type("z", "F5", "ctrl+q")  # none of them means anything
    display.type("s")
    shot = tmp_path / "shots" / "tiny-00027.png"
    display.wait_for(lambda _: shot.exists(), "the screenshot")
    with av.open(str(shot)) as image:
        assert (next(image.decode(video=0)).to_ndarray(format="rgb24") == TABLE[27]).all()
    shows(27)  # also once the message has gone
    display.type("i")
    pixels = display.wait_for(lambda pixels: frame_on(pixels) is None, "statistics")
    text = pixels[WINDOW].astype(int) - TABLE[27]
    assert (text[:45] > 60).any()  # bright letters on a dark ground, over the upper left
    assert (text[:45] < -30).any()
    assert not text[-8:, -8:].any()
    display.type("i")
    shows(27)
    display.type("f")
    full = display.wait_for(lambda pixels: pixels[:, 40:600].any(axis=(0, 2)).all(), "a full screen")
    scaled = full[60:420:4, 0:640:4].astype(int)  # 640×360 between two black bars
    assert not full[:55].any()
    assert not full[425:].any()
    assert np.abs(scaled - TABLE[27]).mean() < 4
    display.type("f")
    shows(27)
    display.type("q")
    stdout, stderr = player.communicate(timeout=60)
    assert (player.returncode, stderr) == (0, "")
    assert '"shown"' in stdout


def test_a_display_that_is_gone_is_one_line(display: VirtualDisplay, tmp_path: Path) -> None:
    artifact = save(table_model(), tmp_path / "table.onnx")
    variables = {**environment(), "DISPLAY": ":4095"}
    variables.pop("SDL_VIDEODRIVER", None)
    done = subprocess.run(
        [*command_line("play", artifact), "--quiet"], env=variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert "null:" in done.stderr
