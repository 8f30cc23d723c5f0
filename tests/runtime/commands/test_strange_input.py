"""What foreign files and strange callers bring never reaches a terminal as it is, nor ends in a traceback."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from helpers.commands import Run, command_line, environment
from helpers.libraries import made_library, small_config
from helpers.tiny_artifacts import contract, save, table_model, video

from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.system.terminal import printable, printable_lines

HOSTILE = "\x1b]0;mine\x07\n\x9b31m\u202e"


def test_what_a_terminal_acts_on_is_written_out() -> None:
    assert printable(HOSTILE) == r"\x1b]0;mine\x07\n\x9b31m\u202e"
    assert printable_lines("one\n\ttwo\x1b") == "one\n\ttwo\\x1b"
    assert printable("影 \udcff") == r"影 \udcff"


def test_a_files_texts_reach_a_terminal_escaped(tmp_path: Path, run: Run) -> None:
    model = table_model()
    model.graph.initializer[0].name = model.graph.node[0].input[0] = HOSTILE
    done = run("inspect", save(model, tmp_path / "v.onnx"))
    assert done.returncode == 0
    assert r"\x1b]0;mine\x07\n" in done.stdout
    assert all(line.isprintable() for line in done.stdout.splitlines())
    model = table_model()
    model.graph.node[0].op_type = HOSTILE
    done = run("inspect", save(model, tmp_path / "w.onnx"))
    assert done.returncode == 1
    assert all(line.isprintable() for line in done.stderr.splitlines())


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\x9b31m", "a\nb", "a\udcff", "a\u2028b", "\x7f"])
def test_a_sessions_name_has_no_controls(name: str) -> None:
    with pytest.raises(ValueError, match="printable characters"):
        video(name=name)


def test_a_file_name_that_is_no_text_is_shown_escaped(tmp_path: Path, run: Run) -> None:
    path = save(table_model(), tmp_path / "v\udcff.onnx")
    for arguments in ((path,), (path, "--json")):
        done = run("inspect", *arguments)
        assert done.returncode == 0
        assert r"v\udcff.onnx" in done.stdout or "contract" in json.loads(done.stdout)
    assert r"missing\udcff" in run("inspect", tmp_path / "missing\udcff.onnx").stderr


def test_a_report_nested_without_end_is_refused(tmp_path: Path, run: Run) -> None:
    nested: dict[str, object] = {}
    for _ in range(400):
        nested = {"in": nested}
    about = contract().to_json() | {"precision_report": nested}
    with pytest.raises(ValueError, match="nested deeper than 12 levels"):
        ArtifactContract.from_json(about)
    done = run("inspect", "--json", save(table_model(metadata={"pfnr": json.dumps(about)}), tmp_path / "v.onnx"))
    assert done.returncode == 1


def test_a_session_of_thousands_of_digits_is_unknown(tmp_path: Path, run: Run) -> None:
    export_shared(made_library(small_config("none"), 2, 3), [0, 1], tmp_path / "all.onnx", SharedOptions())
    for digits in ("9" * 5000, "٣" * 12):
        done = run("decode", tmp_path / "all.onnx", "md5:", "--session", digits)
        assert done.returncode == 2
        assert "no session" in done.stderr


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("fps", "code"), [(Fraction(1, 10**29), 1), (Fraction(999), 0), (Fraction(10**29 - 1, 10**29), 0)]
)
def test_any_rate_is_written_or_refused_in_one_line(
    fps: Fraction, code: int, suffix: str, tmp_path: Path, run: Run
) -> None:
    path, out = save(table_model(video(fps=fps)), tmp_path / "v.onnx"), tmp_path / f"out.{suffix}"
    done = run("decode", path, out, "--quiet")
    assert done.returncode == code, done.stderr
    assert len(done.stderr.splitlines()) == code
    assert out.exists() == (code == 0)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_missing_standard_streams_change_no_result(closed: str, table_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.rgb"
    command = " ".join([*command_line("decode", table_file, f"rgb24:{out}"), closed])
    done = subprocess.run(["sh", "-c", command], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert out.stat().st_size == 12 * 36 * 64 * 3
    assert [path.name for path in tmp_path.iterdir()] == ["out.rgb"]


def test_frames_to_a_closed_standard_output_are_not_lost_in_silence(table_file: Path) -> None:
    command = " ".join([*command_line("decode", table_file, "-"), ">&-"])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "standard output is closed; name a file" in done.stderr
