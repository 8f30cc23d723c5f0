"""onnxruntime-web, the engine of the page: one pinned package of the npm registry, kept in the user's cache.

The package is taken from the registry that npm is set up for, and from the public one where nothing is set up. Its
SHA-512 is what counts, so it does not matter who hands it over.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

from pfnr_runtime.errors import BackendError
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.system.user_cache import user_cache

NAME = "onnxruntime-web"
VERSION = "1.30.0"
# As `npm view onnxruntime-web@1.30.0 dist.integrity` prints it.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILE = f"{NAME}-{VERSION}.tgz"

PUBLIC_REGISTRY = "https://registry.npmjs.org"
MOST_BYTES = 64_000_000
TIMEOUT_SECONDS = 60
NPM_SECONDS = 30


def engine_files(names: Iterable[str], say: Callable[[str], object] = lambda text: None) -> dict[str, bytes]:
    """Files of the package by path, such as "dist/ort.wasm.min.mjs".

    say: is told of a download before it begins. A BackendError where the package is neither cached nor to be had.
    """
    package, found = _package(say), {}
    with tarfile.open(fileobj=BytesIO(package), mode="r:gz") as archive:
        for name in names:
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            found[name] = member.read()
    return found


def cached_package() -> Path:
    """Where the package is kept; a BackendError for a user without a home."""
    try:
        return user_cache("web") / FILE
    except RuntimeError:
        raise BackendError(
            f"this user has no home folder to keep {NAME} in; set XDG_CACHE_HOME to a folder"
        ) from None


def npm_registry() -> str:
    """The registry that npm uses here: what it says, or where it is not installed, $npm_config_registry or
    ~/.npmrc; otherwise the public one.
    """
    found = _asked_npm() or _from_environment("registry") or _from_npmrc() or PUBLIC_REGISTRY
    return found.rstrip("/")


def _package(say: Callable[[str], object]) -> bytes:
    path = cached_package()
    if (kept := _read_cached(path)) is not None:
        return kept
    say(f"taking {NAME} {VERSION} (33 MB) from the npm registry, once, into {path.parent}")
    try:
        package = _download(f"{npm_registry()}/{NAME}/-/{FILE}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BackendError(_missing(path, _reason(error))) from None
    if not _is_whole(package):
        raise BackendError(_missing(path, "the registry's file has another SHA-512 than that version"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, package)
    except OSError as error:
        raise BackendError(
            f"{NAME} cannot be kept: {describe_os_error(error)}; set XDG_CACHE_HOME to another folder"
        ) from None
    return package


def _read_cached(path: Path) -> bytes | None:
    """The cached package; None if there is none, or a damaged one."""
    try:
        package = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BackendError(
            f"{path}: cannot be read ({error.strerror}); set XDG_CACHE_HOME to another folder"
        ) from None
    return package if _is_whole(package) else None


def _is_whole(package: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(package).digest()).decode() == INTEGRITY.removeprefix("sha512-")


def _missing(path: Path, reason: str) -> str:
    return (
        f"{NAME} {VERSION} is not in {path.parent} and cannot be taken from the npm registry ({reason}); "
        f"on a machine with a network: npm pack {NAME}@{VERSION}, and copy {FILE} to {path.parent}"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answered {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _download(url: str) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise ValueError("npm's registry is no web address; see npm config get registry")
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        package: bytes = answer.read(MOST_BYTES + 1)
    return package


def _asked_npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        return ""
    try:
        done = subprocess.run(
            [npm, "config", "get", "registry"],
            capture_output=True,
            text=True,
            timeout=NPM_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    last = done.stdout.strip().rpartition("\n")[2]
    return last if last.startswith("http") else ""


def _from_environment(setting: str) -> str:
    return next((value for name, value in os.environ.items() if name.lower() == f"npm_config_{setting}"), "")


def _from_npmrc() -> str:
    try:
        given = _from_environment("userconfig")
        text = (Path(given) if given else Path.home() / ".npmrc").read_text("utf-8", "replace")
    except (OSError, RuntimeError):
        return ""
    lines = re.findall(r"^\s*registry\s*=\s*(\S+)\s*$", text, re.MULTILINE)
    return str(lines[-1]).strip("\"'") if lines else ""
