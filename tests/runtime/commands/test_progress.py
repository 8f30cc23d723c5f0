"""Progress: what the frames' writer reports, and that nothing is drawn where nobody watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfnr_runtime import VideoDecoder
from pfnr_runtime.commands.progress import Bar
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.write_frames import write_frames


class Heard:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.units = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))

    def advance(self, n: int = 1) -> None:
        self.units += n

    def note(self, text: str) -> None:
        pass


def test_writing_reports_one_stage_and_each_frame(table_file: Path) -> None:
    heard = Heard()
    with VideoDecoder(table_file) as decoder, open_sink("null:", decoder.metadata, 5) as sink:
        write_frames(decoder, range(2, 7), sink, progress=heard)
    assert heard.stages == [("decoding", 5)]
    assert heard.units == 5


@pytest.mark.parametrize("quiet", [False, True])
def test_a_bar_draws_nothing_into_a_file(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(quiet=quiet) as bar:
        bar.stage("decoding", 2)
        bar.advance()
        bar.note("30 dB")
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal_shows_stage_units_and_note(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    with Bar() as bar:
        bar.stage("first", 7)
        bar.stage("decoding", 2)
        bar.advance()
        bar.note("30 dB")
    shown = capsys.readouterr().err
    assert "decoding" in shown
    assert "1/2" in shown
    assert "30 dB" in shown
