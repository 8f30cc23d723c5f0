"""`manifest.json`: what a folder of exported sessions holds, each with its digests, size and quality."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime import __version__
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.regular_file import require_regular
from pfnr_runtime.video.record import require_fields
from pfnr_train.library.session import SessionSummary

NAME = "manifest.json"
FORMAT_VERSION = 1
MOST_BYTES = 1 << 30
_LONGEST = 80


@dataclass(frozen=True)
class ExportedFile:
    """One exported session.

    - session, name: in the library. file: its name in the folder.
    - bytes, sha256: of the file. weights_sha256: of what the session decodes with.
    - made: SHA-256 of what decides its bytes: weights, number, video, quality, options, version of pfnr.
    - precision: of the artifact. quality: as in the artifact's contract.
    """

    session: int
    name: str
    file: str
    bytes: int
    sha256: str
    weights_sha256: str
    made: str
    precision: str
    quality: dict[str, float]

    @classmethod
    def from_json(cls, value: Any) -> ExportedFile:
        """The inverse of `asdict`; a ValueError says what is wrong."""
        row = cls(**require_fields(value, cls))
        texts = (row.name, row.file, row.sha256, row.weights_sha256, row.made, row.precision)
        if not all(isinstance(text, str) for text in texts) or type(row.bytes) is not int:
            raise ValueError("a file whose name or digest is no text, or whose size is no number")
        if Path(row.file).name != row.file or row.file in ("", ".", ".."):
            raise ValueError(f"file {row.file[:100]!r} is not a name in the folder")
        return row

    def is_there(self, folder: Path) -> bool:
        """Whether the folder has the file with these bytes."""
        path = folder / self.file
        return path.is_file() and path.stat().st_size == self.bytes and file_sha256(path) == self.sha256


@dataclass(frozen=True)
class Manifest:
    """What a folder holds. library: where the sessions are from, as a path from the folder."""

    library: str
    files: tuple[ExportedFile, ...]

    def library_path(self, folder: Path) -> Path:
        """Where the library should be, if the folder and it were not moved apart."""
        return folder / self.library

    def write(self, folder: Path) -> None:
        """Write it, atomically. Raises OSError."""
        text = {
            "format_version": FORMAT_VERSION,
            "producer": f"pfnr {__version__}",
            "library": self.library,
            "sessions": [asdict(row) for row in sorted(self.files, key=lambda row: row.session)],
        }
        write_atomically(folder / NAME, (json.dumps(text, indent=1, sort_keys=True) + "\n").encode())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; an ArtifactError says what is wrong with it. Raises OSError."""
    path = folder / NAME
    try:
        if require_regular(path) > MOST_BYTES:
            raise ValueError("it is too large")
        value = json.loads(path.read_text())
        if value["format_version"] != FORMAT_VERSION:
            raise ValueError(f"it is of format {str(value['format_version'])[:20]}, not {FORMAT_VERSION}")
        rows = tuple(ExportedFile.from_json(row) for row in value["sessions"])
        if len({row.file for row in rows}) < len(rows):
            raise ValueError("two of its sessions have the same file")
        return Manifest(str(value["library"]), rows)
    except FileNotFoundError:
        raise ArtifactError(
            f"{folder} has no {NAME}; write one with pfnr-export --sessions all --out-dir {folder}"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path} is not a manifest ({str(error)[:200]}); export into another folder") from None


def path_from(folder: Path, path: Path) -> str:
    """A path from a folder, with slashes; the whole path where there is none, between two drives."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return path.resolve().as_posix()


def file_names(summaries: Sequence[SessionSummary], suffix: str) -> list[str]:
    """A file name for every session: its name as far as all systems allow it, numbered where that is taken. No two
    are the same, upper and lower case apart.
    """
    taken: set[str] = set()
    names = []
    for number, summary in enumerate(summaries):
        stem = re.sub(r"[^A-Za-z0-9._-]", "_", summary.record.video.name)[:_LONGEST].lstrip(".") or "video"
        numbered = (f"{stem}-{n}" for n in itertools.count(number))
        free = next(name for name in itertools.chain([stem], numbered) if name.lower() not in taken)
        taken.add(free.lower())
        names.append(free + suffix)
    return names


def file_sha256(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
