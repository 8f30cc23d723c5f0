"""The folder that a web server hands out: the page, the videos, the engine."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime.artifact.describe import for_page
from pfnr_runtime.artifact.open import ArtifactFile, SharedFile, examine_artifact
from pfnr_runtime.artifact.packed.file import SEALED, UNSEALED, dictionary
from pfnr_runtime.artifact.packed.signature import SUFFIX as PACKED
from pfnr_runtime.errors import PfnrError, UsageError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.web.assets import PAGE, SHARED
from pfnr_runtime.web.engine_package import VERSION as ENGINE_VERSION
from pfnr_runtime.web.engine_package import engine_files

FORMAT = 1  # of videos.json
MANIFEST = "videos.json"
# The engine's files by their names on the page: .js in place of .mjs, which not every server knows as JavaScript.
WASM = {
    "ort.wasm.js": "dist/ort.wasm.min.mjs",
    "wasm.js": "dist/ort-wasm-simd-threaded.mjs",
    "wasm.wasm": "dist/ort-wasm-simd-threaded.wasm",
}
WEBGPU = {
    "ort.webgpu.js": "dist/ort.webgpu.min.mjs",
    "webgpu.js": "dist/ort-wasm-simd-threaded.asyncify.mjs",
    "webgpu.wasm": "dist/ort-wasm-simd-threaded.asyncify.wasm",
}
# With these headers the page is cross-origin isolated, and may use threads; several hosts read this file.
HEADERS = """/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: require-corp
"""


@dataclass(frozen=True)
class Site:
    """A folder that was written. files: bytes by path in it, of what a viewer of the first video may load."""

    folder: Path
    videos: tuple[str, ...]
    files: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types. page_bytes: everything but videos and engine."""
        videos = {name: self.files[name] for name in self.videos}
        engine = sum(size for name, size in self.files.items() if name.startswith("engine/"))
        page = sum(self.files.values()) - engine - sum(videos.values())
        return {"folder": str(self.folder), "videos": videos, "page_bytes": page, "engine_bytes": engine}


def write_site(
    artifacts: Sequence[Path],
    folder: Path,
    *,
    webgpu: bool = True,
    say: Callable[[str], object] = lambda text: None,
) -> Site:
    """Write the page for these videos into `folder`, which is made, or holds an earlier page.

    webgpu: with the engine for GPUs, another 27 MB. say: is told what happens that takes time. A UsageError for
    videos that the page cannot play and for a folder of other things, an ArtifactError for a damaged artifact, a
    BackendError where the engine is not to be had. index.html comes last, so that no half a page shows.
    """
    _check_folder(folder)
    opened = [_playable(path) for path in artifacts]
    names = [artifact.path.with_suffix(".onnx" if artifact.packed is None else PACKED).name for artifact in opened]
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise UsageError(f"two videos are called {twice}, and the page has one folder; rename one of them")
    engine = WASM | (WEBGPU if webgpu else {})
    package = engine_files(engine.values(), say)
    files = {f"engine/{name}": package[path] for name, path in engine.items()}
    for name, artifact in zip(names, opened, strict=True):
        files[name] = artifact.path.read_bytes()
    files |= _page_files()
    manifest = {"format": FORMAT, "engine": ENGINE_VERSION, "webgpu": webgpu, "videos": _described(opened, names)}
    files[MANIFEST] = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    files["index.html"] = files.pop("index.html")
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, data)
    return Site(folder, tuple(names), {path: len(data) for path, data in files.items() if path != "_headers"})


def _page_files() -> dict[str, bytes]:
    """Every file of the page but its videos and its engine, by path."""
    found = {
        path.name: path.read_bytes() for path in (PAGE / "start.js", SHARED / "icon.svg", PAGE / "index.html")
    }
    found["page.bin"] = _deflated(json.dumps(modules(), sort_keys=True, ensure_ascii=False).encode())
    found |= dictionaries()
    found["_headers"] = HEADERS.encode()
    return found


def dictionaries() -> dict[str, bytes]:
    """What the texts of packed videos are deflated with, deflated, by path."""
    return {f"dictionary{version}.bin": _deflated(dictionary(version)) for version in (UNSEALED, SEALED)}


def modules() -> dict[str, str]:
    """What start.js unpacks, by path: the page's content, its style, its modules."""
    files = [(root, path) for root in (SHARED, PAGE) for path in root.rglob("*")]
    kept = [(root, path) for root, path in files if path.suffix in (".js", ".css") or path.name == "page.html"]
    found = {path.relative_to(root).as_posix(): _bare(path.read_text("utf-8")) for root, path in kept}
    del found["start.js"]
    return found


def _bare(text: str) -> str:
    """A file of the page without indentation, empty lines and lines that are a comment: fewer bytes to transfer.

    For the page's own files alone, which have no text in quotes that goes on on another line.
    """
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")) + "\n"


def _deflated(data: bytes) -> bytes:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return squeezer.compress(data) + squeezer.flush()


def _described(opened: Sequence[ArtifactFile], names: Sequence[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name, artifact in zip(names, opened, strict=True):
        number = artifact.contract.session
        while any(number == other["session"] for other in found):
            number += 1
        about = for_page(artifact.contract, number, name)
        found.append({**about, "bytes": artifact.size, "sha256": artifact.sha256})
    return found


def _playable(path: Path) -> ArtifactFile:
    artifact = examine_artifact(path)
    if isinstance(artifact, SharedFile):
        raise UsageError(
            f"{path}: a shared graph of several videos; export them one by one: pfnr-export -s 0 -o v0.onnx"
        )
    if artifact.contract.time_embedding is not None:
        raise UsageError(
            f"{path}: decodes any time of its video, and the page whole frames; export it with --time frames"
        )
    return artifact


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        if not folder.parent.is_dir():
            raise PfnrError(
                f"{folder}: folder {folder.parent} does not exist; make it first: mkdir -p {folder.parent}"
            )
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file; name a folder for the page")
    if any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder}: holds other files; name a new folder, or one that pfnr-web wrote")
