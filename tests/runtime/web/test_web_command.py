"""pfnr-web as a person runs it: what it writes and says, and mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from helpers.commands import command_line, environment
from helpers.serving import write_artifacts
from helpers.tiny_artifacts import between_model, save

from pfnr_runtime.web.site import modules


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command_line("web", *arguments),
        capture_output=True,
        text=True,
        env={**environment(), **variables},
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    return write_artifacts(tmp_path, sessions=(3, 3))


def test_it_writes_a_folder_and_writes_it_again(engine: None, videos: list[Path], tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = run(*videos, "-o", site)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{site}: v0.onnx, v1.onnx (")
    assert f"python3 -m http.server -d {site} 8000" in done.stderr
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    listed = json.loads((site / "videos.json").read_text())["videos"]
    assert [(video["file"], video["session"]) for video in listed] == [("v0.onnx", 3), ("v1.onnx", 4)]
    unpacked = json.loads(zlib.decompress((site / "page.bin").read_bytes(), -15))
    assert unpacked == modules()
    assert {"app.js", "controls.js", "style.css", "unpack/packed.js", "worker.js"} < unpacked.keys()
    told = json.loads(run(*videos, "-o", site, "--json", "-q").stdout)
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert told["videos"] == {path.name: path.stat().st_size for path in videos}
    sizes = {path.relative_to(site).as_posix(): len(data) for path, data in before.items()}
    assert told["engine_bytes"] == sum(size for name, size in sizes.items() if name.startswith("engine/"))


def test_without_webgpu_its_engine_stays_away(engine: None, videos: list[Path], tmp_path: Path) -> None:
    assert run(videos[0], "-o", tmp_path / "site", "--no-webgpu").returncode == 0
    assert sorted(path.name for path in (tmp_path / "site/engine").iterdir()) == [
        "ort.wasm.js",
        "wasm.js",
        "wasm.wasm",
    ]


def test_mistakes_are_one_line_and_leave_nothing(videos: list[Path], tmp_path: Path) -> None:
    full, twin = tmp_path / "full", tmp_path / "twin"
    for folder in (full, twin):
        folder.mkdir()
    (full / "letter.txt").write_text("dear")
    (twin / "v0.onnx").write_bytes(videos[0].read_bytes())
    between = save(between_model(), tmp_path / "between.onnx")
    site = tmp_path / "site"
    for arguments, code, message in [
        ((tmp_path / "no.onnx", "-o", site), 1, "no such file"),
        ((videos[0], "-o", full), 2, "holds other files; name a new folder"),
        ((videos[0], "-o", videos[1]), 2, "is a file; name a folder"),
        ((videos[0], "-o", tmp_path / "a/b"), 1, f"mkdir -p {tmp_path / 'a'}"),
        ((videos[0], twin / "v0.onnx", "-o", site), 2, "two videos are called v0.onnx"),
        ((between, "-o", site), 2, "export it with --time frames"),
    ]:
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (code, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not site.exists()


def test_without_engine_and_network_it_ends_with_code_4(videos: list[Path], tmp_path: Path) -> None:
    nothing = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "npm_config_registry": "http://127.0.0.1:9"}
    done = run(videos[0], "-o", tmp_path / "site", **nothing)
    assert (done.returncode, done.stdout) == (4, "")
    assert "npm pack onnxruntime-web@" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "site").exists()


def test_it_needs_neither_an_engine_nor_a_codec_nor_a_trainer(
    engine: None, videos: list[Path], tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "sys.modules |= dict.fromkeys(('onnxruntime', 'av', 'torch', 'onnx'))\n"
        "from pfnr_runtime.commands.web import app\n"
        f"app([{str(videos[0])!r}, '-o', {str(tmp_path / 'site')!r}], standalone_mode=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site/index.html").is_file()
