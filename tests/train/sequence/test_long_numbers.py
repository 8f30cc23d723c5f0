"""Numbers of thousands of digits, which Python refuses to read, are one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pfnr_runtime.errors import UsageError
from pfnr_train.sequence.sequence import read_sequence, recipe_setting

LONG = "9" * 5000


def test_in_a_sequence_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'name = "x"\nsize = "320x180"\nepochs = {LONG}\n')
    with pytest.raises(UsageError, match=r"s\.toml: not a valid TOML file"):
        read_sequence(path)


def test_in_a_setting() -> None:
    with pytest.raises(UsageError, match="epochs"):
        recipe_setting(f"epochs={LONG}")
