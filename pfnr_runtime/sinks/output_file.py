"""Where a stream of bytes goes: a file that appears once it is complete, or standard output, unbuffered."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Protocol

from pfnr_runtime.errors import UsageError
from pfnr_runtime.sinks.part_file import PartFile

STANDARD_OUTPUT = "-"


class OutputFile(Protocol):
    """What a sink of bytes needs: a way to write them all, then to finish or discard the output."""

    def write(self, data: bytes | memoryview) -> int: ...
    def commit(self) -> None: ...
    def discard(self) -> None: ...


class StandardOutput:
    """Bytes to standard output, unbuffered; OSError where its reader has closed it or its disk is full."""

    def __init__(self) -> None:
        if sys.stdout is None or sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal; send the frames to a player or a file, such as: "
                "pfnr-play video.onnx - | ffplay -"
            )
        sys.stdout.flush()
        self._fd = os.dup(sys.stdout.fileno())

    def write(self, data: bytes | memoryview) -> int:
        rest = memoryview(data)
        while len(rest):
            rest = rest[os.write(self._fd, rest) :]
        return len(data)

    def commit(self) -> None:
        """Close our copy; the reader sees the end when the process ends."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self.commit()


def open_output(name: str) -> OutputFile:
    """'-' is standard output, anything else the path of a file, device or named pipe."""
    return StandardOutput() if name == STANDARD_OUTPUT else PartFile(name)


def writes_standard_output(uri: str) -> bool:
    """Whether a sink's URI sends frames to standard output: '-', or '-' after a scheme such as rgb24:-."""
    return uri == STANDARD_OUTPUT or uri.endswith(f":{STANDARD_OUTPUT}")
