"""Cached engines, in a folder that only their owner may enter.

An engine is executable code for one GPU, one library version and one artifact. It is loaded only from here, only
if the digest stored with it matches, and only for exactly the key it was built for; anything else is rebuilt. The
digest detects damage, not malice: whoever can write to the folder can write both files, which is why the folder
has mode 0700 and another owner's folder is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime.errors import BackendError
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.user_cache import user_cache

FORMAT = 1


def default_folder() -> Path:
    """Where engines are cached; a BackendError for a user without a home, as in a container."""
    try:
        return user_cache("engines")
    except RuntimeError:
        raise BackendError(
            "this user has no home folder for cached engines; set XDG_CACHE_HOME to a folder"
        ) from None


@dataclass(frozen=True)
class Entry:
    """A cache entry: its bytes, its path, and the builder's notes."""

    data: bytes
    path: Path
    notes: dict[str, Any]
    fresh: bool = False


class EngineCache:
    """A folder of files by key, each with a JSON sidecar holding the full key and the file's digest.

    A BackendError if the folder cannot be made or is not safe to load code from.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = self.folder.stat()
            if hasattr(os, "getuid") and status.st_uid != os.getuid():
                raise BackendError(
                    f"{self.folder}: belongs to another user, and engines are executable code; "
                    "set XDG_CACHE_HOME to your own folder"
                )
            if stat.S_IMODE(status.st_mode) != 0o700:
                self.folder.chmod(0o700)
        except OSError as error:
            raise BackendError(
                f"the engine cache cannot be used: {describe_os_error(error)}; "
                "set XDG_CACHE_HOME to another folder"
            ) from None

    def path(self, kind: str, key: dict[str, Any]) -> Path:
        """The path of the file of this kind ('engine', 'timing') and key, whether or not it exists."""
        return self.folder / f"{_digest(_canonical(key))[:40]}.{kind}"

    def read(self, kind: str, key: dict[str, Any]) -> Entry | None:
        """The entry under `key`, or None if there is none, or none that can be trusted."""
        path = self.path(kind, key)
        try:
            sidecar = json.loads(_read_own(_sidecar(path)))
            if (
                not isinstance(sidecar, dict)
                or sidecar.get("format") != FORMAT
                or sidecar.get("key") != json.loads(_canonical(key))
                or not isinstance(sidecar.get("notes"), dict)
            ):
                return None
            data = _read_own(path)
        except (OSError, ValueError, RecursionError):
            return None
        return Entry(data, path, sidecar["notes"]) if _digest(data) == sidecar.get("sha256") else None

    def write(self, kind: str, key: dict[str, Any], data: bytes, notes: dict[str, Any]) -> Entry:
        """Store `data`. If killed at any moment, it leaves the old entry, the new one, or none that is trusted."""
        path = self.path(kind, key)
        sidecar = {"format": FORMAT, "key": key, "sha256": _digest(data), "notes": notes}
        try:
            for file, content in ((path, data), (_sidecar(path), _canonical(sidecar))):
                if file.is_symlink():
                    file.unlink()  # an entry is a file, and nothing is written where a link points
                write_atomically(file, content)
        except OSError as error:
            raise BackendError(f"the engine cannot be cached: {describe_os_error(error)}") from None
        return Entry(data, path, notes, fresh=True)

    def get(
        self,
        key: dict[str, Any],
        build: Callable[[], tuple[bytes, dict[str, Any]]],
        *,
        waiting: Callable[[Path], None] = lambda path: None,
    ) -> Entry:
        """The engine under `key`, built by `build` (→ bytes, notes) if none can be trusted.

        Of several concurrent processes one builds, and the others wait for its engine; `waiting` is called before
        such a wait. If the builder fails or is killed, the next one builds.
        """
        if entry := self.read("engine", key):
            return entry
        path = self.path("engine", key)
        with self._lock(path, waiting):
            if entry := self.read("engine", key):
                return entry
            self._sweep(path)
            data, notes = build()
            return self.write("engine", key, data, notes)

    def drop(self, key: dict[str, Any]) -> None:
        """Delete the engine under `key`, after the library refused it."""
        path = self.path("engine", key)
        for file in (_sidecar(path), path):
            file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self, path: Path, waiting: Callable[[Path], None]) -> Iterator[None]:
        """Hold the lock of one key. The system releases it when its holder dies, however it dies."""
        try:
            import fcntl
        except ImportError:  # missing on Windows; there two concurrent builds only do the work twice
            yield
            return
        lock = path.with_suffix(".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            raise BackendError(f"the engine cache cannot be used: {describe_os_error(error)}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting(path)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sweep(self, path: Path) -> None:
        """Remove what a killed writer of this entry left behind; only for the holder of its lock."""
        for stale in self.folder.glob(f".{path.stem}.*"):
            stale.unlink(missing_ok=True)


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_own(path: Path) -> bytes:
    """A regular file's bytes, if it belongs to this user and is not a link; an OSError otherwise."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
        if not stat.S_ISREG(status.st_mode) or not own:
            raise PermissionError(1, "not this user's file", str(path))
        return file.read()


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
