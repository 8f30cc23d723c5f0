"""Where a stream of bytes goes: a file that appears once it is complete, or standard output, unbuffered."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Protocol

from pfnr_runtime.errors import SinkError, UsageError
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_runtime.system.own_files import own_kind
from pfnr_runtime.system.part_file import PartFile
from pfnr_runtime.system.terminal import has_standard_output

STANDARD_OUTPUT = "-"


class OutputFile(Protocol):
    """What a sink of bytes needs: a way to write them all, then to finish or discard the output."""

    def write(self, data: bytes | memoryview) -> int: ...
    def commit(self) -> None: ...
    def discard(self) -> None: ...


class StandardOutput:
    """Bytes to standard output, unbuffered; OSError where its reader has closed it or its disk is full."""

    def __init__(self) -> None:
        if not has_standard_output():
            raise SinkError("standard output is closed; name a file for the frames")
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
    return StandardOutput() if name == STANDARD_OUTPUT else open_file(name)


def open_file(path: str | Path, *, reserve: int = 0, sweep: bool = True) -> PartFile:
    """A `PartFile` whose failure to open is a SinkError."""
    check_folder(Path(path))
    if (kind := own_kind(Path(path))) is not None:
        raise SinkError(f"{path}: is {kind}, which frames would replace; choose another name, or remove it first")
    try:
        return PartFile(path, reserve=reserve, sweep=sweep)
    except OSError as error:
        error.filename = None  # it may be behind a link; the name given says more
        raise SinkError(f"{path}: {describe_os_error(error)}") from None


def check_folder(path: Path) -> None:
    """A SinkError if the folder that `path` lies in is missing, or `path` itself is a folder."""
    folder = path.parent
    if not folder.is_dir():
        raise SinkError(f"{path}: the folder {folder} does not exist; make it first: mkdir -p {folder}")
    if path.is_dir():
        raise SinkError(f"{path}: is a folder; name a file")


def writes_standard_output(uri: str) -> bool:
    """Whether a sink's URI sends frames to standard output: '-', or '-' after a scheme such as rgb24:-."""
    return uri == STANDARD_OUTPUT or uri.endswith(f":{STANDARD_OUTPUT}")
