"""The sessions of one or more artifacts, numbered together and decoded on one thread."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime import __version__
from pfnr_runtime.artifact.contract import ArtifactContract
from pfnr_runtime.artifact.describe import SessionEntry, entries
from pfnr_runtime.artifact.open import SharedFile, examine_artifact
from pfnr_runtime.backends import Selection
from pfnr_runtime.decoder import VideoDecoder
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.playback.source import DecoderSource
from pfnr_runtime.video.frames import Frame


@dataclass(frozen=True)
class ServedSession:
    """A session that is served.

    - number: its number here; the library's, unless two files claim the same.
    - contract: of its video.
    - path: of its artifact.
    - version: hex that names its pictures; it differs for a different file, engine or encoder.
    """

    number: int
    contract: ArtifactContract
    path: Path
    version: str


class Catalogue:
    """Every session of the artifacts at `paths`: single videos, and shared graphs with all their sidecars.

    backend, options: as for `VideoDecoder`. sessions: by number. damaged: why sidecars were left out, one line
    each. A context manager: closing it frees the engines. Errors are those of `VideoDecoder`.
    """

    def __init__(self, paths: Sequence[str | Path], *, backend: str = "auto", **options: Any) -> None:
        self.sessions: dict[int, ServedSession] = {}
        self.damaged: list[str] = []
        self._sources: list[DecoderSource] = []
        self._places: dict[int, tuple[DecoderSource, int]] = {}
        try:
            for path in paths:
                self._add(Path(path), backend, options)
        except BaseException:
            self.close()
            raise

    @property
    def backends(self) -> tuple[Selection, ...]:
        """What decodes each file, in order."""
        return tuple(source.decoder.backend for source in self._sources)

    def frame(self, session: int, index: int) -> Frame:
        """A frame of a session, by the numbers of `sessions`; from one thread at a time."""
        source, own = self._places[session]
        return source.frame(own, index)

    def close(self) -> None:
        """Free the engines."""
        for source in self._sources:
            source.decoder.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _add(self, path: Path, backend: str, options: dict[str, Any]) -> None:
        opened = examine_artifact(path)
        found = entries(opened) if isinstance(opened, SharedFile) else []
        whole = [entry for entry in found if entry.contract is not None]
        self.damaged += [entry.problem for entry in found if entry.contract is None]
        if found and not whole:
            raise ArtifactError(f"{path}: none of its sessions can be decoded; the first one: {found[0].problem}")
        first = whole[0].session if whole else None
        source = DecoderSource(VideoDecoder(path, session=first, backend=backend, **options))
        self._sources.append(source)
        for entry in whole or [SessionEntry(source.session, path, source.decoder.contract, "")]:
            assert entry.contract is not None
            number = entry.session
            while number in self.sessions:
                number += 1
            self.sessions[number] = ServedSession(
                number, entry.contract, path, _version(source.decoder, entry.path)
            )
            self._places[number] = (source, entry.session)


def _version(decoder: VideoDecoder, path: Path) -> str:
    """A digest of all that determines a session's pictures: files, engine, encoders."""
    import av

    artifact = decoder.artifact
    sidecar = b"" if path == artifact.path else path.read_bytes()
    parts = (artifact.sha256, hashlib.sha256(sidecar).hexdigest(), decoder.backend.description)
    return hashlib.sha256("\n".join((*parts, av.__version__, __version__)).encode()).hexdigest()[:16]
