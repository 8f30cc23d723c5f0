"""What commands print, and where to: text from files made safe to show, streams that may be missing."""

from __future__ import annotations

import os
import sys

_KEPT = "\n\t"
_missing: set[int] = set()


def printable(text: str, keep: str = "") -> str:
    """The text with every character that is not printable as an escape, such as \\x1b; those in `keep` stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def printable_lines(text: str) -> str:
    """As `printable`, of text that may have several lines."""
    return printable(text, _KEPT)


def open_standard_streams() -> None:
    """Put the null device where a command was started without standard input, output or error.

    Otherwise the next file that is opened gets the number of the missing one, and messages are written into it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            _missing.add(fd)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, for as long as the process lives


def has_standard_output() -> bool:
    """Whether the command was started with a standard output, so that what is written there arrives."""
    return 1 not in _missing


def accept_all_text() -> None:
    """From now on whatever a terminal's encoding lacks is printed as an escape, and ends no command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
