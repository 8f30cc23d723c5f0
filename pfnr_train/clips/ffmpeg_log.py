"""FFmpeg's log while it reads: the only place where it reports damage or a missing feature."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

ERROR, INFO = 16, 32
# Logged for unfinished files as well as truncated ones: `file_end` tells them apart.
ENDED = "File ended prematurely"
# Logged below error level although the picture is no longer what was encoded.
CONCEALED = re.compile(r"concealing|undecodable NALU|[Pp]acket corrupt|[Cc]orrupt (?:input|decoded)")
UNSUPPORTED = re.compile(
    r"not (?:yet )?(?:supported|implemented)|unsupported (?:chunk|feature|compression|bit)", re.IGNORECASE
)

# What PyAV raises, in addition to its own errors, on damaged headers.
AV_ERRORS = (OSError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError, AssertionError)


def av_errors() -> tuple[type[Exception], ...]:
    """Every exception type that reading with PyAV can raise."""
    import av

    return (av.FFmpegError, *AV_ERRORS)


class Heard:
    """The messages of one call into FFmpeg."""

    def __init__(self, messages: list[tuple[int, str, str]]) -> None:
        self._messages = messages

    def damage(self) -> str:
        """The first message that reports damage, or ''."""
        for level, name, text in self._messages:
            if name != "swscaler" and ENDED not in text and (level <= ERROR or CONCEALED.search(text)):
                return _plain(text)
        return ""

    def unsupported(self) -> str:
        """The first message that reports a missing feature, or ''."""
        return next((_plain(text) for _, _, text in self._messages if UNSUPPORTED.search(text)), "")


@contextmanager
def listening() -> Iterator[Heard]:
    """Collect FFmpeg's messages in this thread, and keep them out of other logs."""
    import av.logging as log

    level, skips = log.get_level(), log.get_skip_repeated()
    log.set_level(INFO)
    log.set_skip_repeated(False)
    try:
        with log.Capture() as messages:
            yield Heard(messages)
    finally:
        log.set_level(level)
        log.set_skip_repeated(skips)


def _plain(text: str) -> str:
    line = " ".join(text.split())[:160].rstrip(" .!")
    return line[:1].lower() + line[1:] if line[1:2].islower() else line
