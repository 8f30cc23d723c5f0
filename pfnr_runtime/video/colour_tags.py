"""Code points of ITU-T H.273, by FFmpeg's names: how containers and codecs describe colour."""

from __future__ import annotations

from typing import NamedTuple

PRIMARIES = {
    "bt709": 1,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "film": 8,
    "bt2020": 9,
    "smpte428": 10,
    "smpte431": 11,
    "smpte432": 12,
    "ebu3213": 22,
}
TRANSFERS = {
    "bt709": 1,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "linear": 8,
    "log100": 9,
    "log316": 10,
    "iec61966-2-4": 11,
    "bt1361e": 12,
    "iec61966-2-1": 13,
    "bt2020-10": 14,
    "bt2020-12": 15,
    "smpte2084": 16,
    "smpte428": 17,
    "arib-std-b67": 18,
}


class Tags(NamedTuple):
    """A file's colour description: primaries, transfer curve, matrix."""

    primaries: int
    transfer: int
    matrix: int


# The primaries and curve of the same standard as a matrix (for BT.601 the 525-line one, for BT.2020 the 10-bit
# curve of standard range, which equals BT.709's): the defaults where a record names no others.
USUAL = {"bt709": Tags(1, 1, 1), "bt601": Tags(6, 6, 6), "bt2020": Tags(9, 14, 9)}


def unusual_name(names: dict[str, int], number: int, usual: int) -> str | None:
    """The name of a code point in `PRIMARIES` or `TRANSFERS`; None for the usual one, or an unspecified or
    reserved one.
    """
    return next((name for name, known in names.items() if known == number != usual), None)
