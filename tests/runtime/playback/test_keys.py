"""Keys in a playback: what each does to what is shown, with the screen replaced by a script of keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.commands import Run
from helpers.libraries import made_library, small_config
from helpers.tiny_artifacts import picture_table, save, table_model, video

from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder
from pfnr_runtime.playback.playback import Options, Playback, write_screenshot
from pfnr_runtime.playback.player import Player
from pfnr_runtime.playback.screen import NoScreen
from pfnr_runtime.playback.source import DecoderSource
from pfnr_runtime.video.frames import Frame

RECORD = video(frames=30)


class Script(NoScreen):
    """Presses the next of `keys` once the one before has had its effect; notes all that is shown."""

    player: Player

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__()
        self._keys = list(keys)
        self.frames: list[tuple[int, bytes]] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.fullscreen = 0

    def wait(self, seconds: float | None) -> list[str]:
        if self._keys and self.player.settled:
            return [self._keys.pop(0)]
        return super().wait(seconds)

    def show(self, frame: Frame | None, text: Sequence[str]) -> None:
        if frame is not None:
            self.frames.append((frame.index, frame.data.tobytes()))
        self.texts += text

    def set_title(self, title: str) -> None:
        self.titles.append(title)

    def toggle_fullscreen(self) -> None:
        self.fullscreen += 1


def play(
    artifact: Path, keys: Sequence[str], session: int | None = None, **options: Path
) -> tuple[Script, Playback]:
    """Play with these keys, paused from the first frame on; q at the end."""
    script = Script([*keys, "q"])
    with VideoDecoder(artifact, session=session, threads=1) as decoder:
        source = DecoderSource(decoder)
        script.player = player = Player(source.videos, source.session)
        playback = Playback(source, player, script, Options(**options))  # type: ignore[arg-type]
        playback.press("SPACE")
        playback.run()
    return script, playback


def order(script: Script) -> list[int]:
    """Frames in the order shown, without the same one drawn again."""
    indices = [index for index, _ in script.frames]
    return [index for i, index in enumerate(indices) if i == 0 or index != indices[i - 1]]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(table_model(RECORD), tmp_path_factory.mktemp("artifacts") / "table.onnx")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = made_library(small_config("add", bias=True), 3)
    path = tmp_path_factory.mktemp("shared") / "library.onnx"
    export_shared(library, [0, 1, 2], path, SharedOptions())
    return path


def test_steps_and_seeks_show_their_frames(artifact: Path) -> None:
    script, _ = play(artifact, [".", ".", ",", "shift+RIGHT", "shift+LEFT", "UP", "HOME", "RIGHT"])
    assert order(script) == [0, 1, 2, 1, 26, 1, 29, 0, 29]
    table = picture_table(RECORD)
    assert all(data == table[index].tobytes() for index, data in script.frames)


def test_keys_say_what_they_did(artifact: Path) -> None:
    keys = ["]", "[", "}", "{", "{", "BS", "l", ".", "l", "l", "L", "L", "SPACE", "i", "i", "?", "f"]
    script, playback = play(artifact, keys)
    wanted = [
        "speed 1.10",
        "speed 1.00",
        "speed 2.00",
        "speed 0.50",
        "loop from frame 0",
        "loop from frame 0 to 1",
    ]
    wanted += ["no loop", "loop", "playing", "SPACE  pause, resume"]
    assert set(wanted) <= set(script.texts)
    assert any(text.startswith("session 0, tiny: 64×36, frame") for text in script.texts)
    assert script.fullscreen == 1
    assert playback.player.speed == 1.0


def test_a_key_that_means_nothing_changes_nothing(artifact: Path) -> None:
    script, _ = play(artifact, ["z", "", "F5", "%", "HOMER"])
    assert order(script) == [0]
    assert script.texts.count("paused") == len(script.texts)


def test_a_screenshot_is_the_frame_and_takes_no_name_that_is_used(artifact: Path, tmp_path: Path) -> None:
    play(artifact, [".", "i", "s", "s"], screenshots=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny-00001-1.png", "tiny-00001.png"]
    for path in tmp_path.iterdir():
        with av.open(str(path)) as image:
            back = next(image.decode(video=0)).to_ndarray(format="rgb24")
        assert (back == picture_table(RECORD)[1]).all()


def test_a_screenshot_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0, 0.04)
    assert "no screenshot" in write_screenshot(tmp_path / "missing", "x", frame)
    write_screenshot(tmp_path, "../a b/é", frame)
    assert [p.name for p in tmp_path.iterdir()] == ["a_b_é-00000.png"]


def test_sessions_switch_by_number_and_in_a_circle_with_no_other_model(shared: Path) -> None:
    script, playback = play(shared, ["2", "n", "p", "p", "7", "1"], session=0)
    firsts = []
    for session in (0, 1, 2):
        with VideoDecoder(shared, session=session, threads=1) as decoder:
            firsts.append(decoder[0].data.tobytes())
    shown = [data for _, data in script.frames]
    visited = [firsts.index(data) for i, data in enumerate(shown) if i == 0 or data != shown[i - 1]]
    assert visited == [0, 2, 0, 2, 1]
    assert "no session 7; there are 0, 1, 2" in script.texts
    assert "session 2, video-2" in script.texts
    assert [title.partition(" ")[0] for title in script.titles] == [f"video-{i}" for i in (0, 2, 0, 2, 1)]
    assert playback.statistics.shown == 5


def test_a_damaged_session_is_left_out(shared: Path, tmp_path: Path) -> None:
    for path in shared.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / "library.1.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:100])
    with VideoDecoder(tmp_path / "library.onnx", session=0, threads=1) as decoder:
        source = DecoderSource(decoder)
        assert sorted(source.videos) == [0, 2]
        assert list(source.damaged) == [1]


def test_a_session_found_damaged_on_the_way_leaves_the_one_on_screen(shared: Path, tmp_path: Path) -> None:
    for path in shared.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / "library.1.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1  # the record can be read, the weights are not what its digest says
    damaged.write_bytes(data)
    script, playback = play(tmp_path / "library.onnx", ["1", ".", "2"], session=0)
    assert any("library.1.safetensors" in text for text in script.texts)
    assert playback.player.route.session == 2
    assert order(script)[:2] == [0, 1]


def test_the_command_plays_one_session_of_a_shared_graph(shared: Path, run: Run) -> None:
    for session in ("2", "video-2"):
        done = run("play", shared, "md5:", "--session", session, "--threads", "1", "--quiet", "--json")
        result = json.loads(done.stdout)
        with VideoDecoder(shared, session=2, threads=1) as decoder:
            assert result["md5"] == hashlib.md5(decoder[:].data.tobytes()).hexdigest()
        assert result["session"] == 2
    done = run("play", shared, "null:", "--quiet")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "choose a session" in done.stderr
