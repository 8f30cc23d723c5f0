"""What an install may take: ranges with both ends, and for playback every package by its hashes."""

from __future__ import annotations

import re
import sys

import pytest
from helpers.paths import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: needs for name, needs in PROJECT["optional-dependencies"].items() if name not in ("dev", "docs")}
NEEDS = [need for needs in (PROJECT["dependencies"], *EXTRAS.values()) for need in needs if "[" not in need]
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ;\\\n]+)", re.MULTILINE)


@pytest.mark.parametrize("need", NEEDS)
def test_every_range_ends_before_a_version_that_nobody_has_tried(need: str) -> None:
    assert re.match(r"[a-z0-9-]+>=[\d.]+,<\d+", need), need


def test_a_playback_install_is_pinned_by_hash_and_to_the_versions_tested() -> None:
    text = (ROOT / "requirements-playback.txt").read_text()
    tested = set(PINNED.findall((ROOT / "constraints.txt").read_text()))
    named = {name for name, _ in tested}
    parts = re.split(r"\n(?=[a-z])", text.strip())
    for part in parts:
        (found,) = PINNED.findall(part)
        assert found[0] not in named or found in tested, f"{found}: run make hashes"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", part), found
    listed = {name for name, _ in PINNED.findall(text)}
    assert {"numpy", "av", "typer", "onnxruntime", "starlette", "uvicorn"} <= listed
    assert not {"torch", "onnx"} & listed
