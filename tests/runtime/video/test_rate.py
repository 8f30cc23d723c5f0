"""Frame rates as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.rate import parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("25", Fraction(25)),
        (" 29.97 ", Fraction(2997, 100)),
        ("30000/1001", Fraction(30000, 1001)),
        ("0.000001", Fraction(1, 1_000_000)),
        ("1000", Fraction(1000)),
    ],
)
def test_a_rate_is_exact(text: str, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "1/0", "1/000", "1001", "1000.1", "-5", "x", "", "1e3", "٢", "9" * 50])
def test_a_rate_out_of_range_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="such as 25 or 30000/1001"):
        parse_rate(text)
