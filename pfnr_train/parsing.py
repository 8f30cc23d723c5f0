"""Frame sizes, durations and numbers of bytes as people write them."""

from __future__ import annotations

import re

from pfnr_runtime.errors import UsageError


def parse_size(text: str) -> tuple[int, int]:
    """'320x180' as (width, height); a UsageError says what a size looks like."""
    match = re.fullmatch(r"(\d{1,5})[x×X](\d{1,5})", text.strip())
    if match is None or min(int(n) for n in match.groups()) < 1:
        raise UsageError(f"size {text!r} is not WIDTHxHEIGHT, such as 320x180")
    return int(match[1]), int(match[2])


def parse_duration(text: str) -> float:
    """'90s', '5m', '1h30m' or '0.5s' in seconds; a UsageError for other text and outside (0, 1000 h]."""
    number = r"(\d{1,6}(?:\.\d{1,6})?)"
    match = re.fullmatch(rf"(?:{number}h)?(?:{number}m)?(?:{number}s)?", text.strip(), re.ASCII)
    if match is not None:
        seconds = sum(float(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True))
        if 0 < seconds <= 3_600_000:
            return seconds
    raise UsageError(f"duration {text!r} is not between 0 and 1000 hours, such as 90s, 5m or 1h30m")


def parse_bytes(text: str) -> int:
    """'40KB', '1.5MB' or '40000' as bytes, of which a KB has 1000; a UsageError for other text."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kM]?)B?", text.strip().replace("K", "k"), re.ASCII)
    size = 0 if match is None else round(float(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]])
    if not 0 < size <= 10**12:
        raise UsageError(f"size {text!r} is not a number of bytes, such as 40KB or 1.5MB")
    return size
