"""Frame rates as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from pfnr_runtime.errors import UsageError


def parse_rate(text: str) -> Fraction:
    """'25', '29.97' or '30000/1001' as frames per second; a UsageError outside (0, 1000] or for other text."""
    match = re.fullmatch(r"\d{1,7}(?:\.\d{1,9}|/0*[1-9]\d{0,6})?", text.strip(), re.ASCII)
    rate = Fraction(match[0]) if match else Fraction(0)
    if not 0 < rate <= 1000:
        raise UsageError(
            f"frame rate {text!r} is not between 0 and 1000 frames per second, such as 25 or 30000/1001"
        )
    return rate
