"""Where onnxruntime-web comes from: the cache, npm's registry, and what is said without either."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.static_server import StaticServer, hand_out

from pfnr_runtime.errors import BackendError
from pfnr_runtime.web import engine_package
from pfnr_runtime.web.engine_package import FILE, NAME, PUBLIC_REGISTRY, VERSION, engine_files, npm_registry


def package() -> bytes:
    """A package as npm packs them, of one file."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/dist/ort.js")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"ort"))
    return written.getvalue()


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StaticServer]:
    """A registry on this machine with a small package, whose digest is the one that is wanted."""
    made = package()
    digest = base64.b64encode(hashlib.sha512(made).digest()).decode()
    monkeypatch.setattr(engine_package, "INTEGRITY", f"sha512-{digest}")
    place = tmp_path / "registry" / NAME / "-"
    place.mkdir(parents=True)
    (place / FILE).write_bytes(made)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))  # without npm
    with hand_out(tmp_path / "registry") as server:
        monkeypatch.setenv("npm_config_registry", server.url + "/")
        yield server


def test_it_is_taken_once_and_then_from_the_cache(registry: StaticServer, tmp_path: Path) -> None:
    said: list[str] = []
    assert engine_files(["dist/ort.js"], said.append) == {"dist/ort.js": b"ort"}
    assert len(said) == 1
    assert f"{NAME} {VERSION}" in said[0]
    assert (tmp_path / "cache/pfnr/web" / FILE).is_file()
    registry.sent.clear()
    assert engine_files(["dist/ort.js"], said.append) == {"dist/ort.js": b"ort"}
    assert (len(said), registry.sent) == (1, {})


def test_a_damaged_copy_in_the_cache_is_taken_again(registry: StaticServer, tmp_path: Path) -> None:
    engine_files([])
    kept = tmp_path / "cache/pfnr/web" / FILE
    kept.write_bytes(b"damaged")
    assert engine_files(["dist/ort.js"]) == {"dist/ort.js": b"ort"}
    assert kept.read_bytes() == package()


def test_another_package_under_that_name_is_refused(registry: StaticServer, tmp_path: Path) -> None:
    (tmp_path / "registry" / NAME / "-" / FILE).write_bytes(package() + b"\0")
    with pytest.raises(BackendError, match="another SHA-512"):
        engine_files([])
    assert not (tmp_path / "cache/pfnr/web" / FILE).exists()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("ftp://example.org", "no web address"),
        ("{url}/elsewhere", "answered 404"),
    ],
)
def test_without_it_the_command_to_run_is_named(
    address: str, reason: str, registry: StaticServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", address.format(url=registry.url))
    with pytest.raises(BackendError, match=reason) as raised:
        engine_files([])
    assert f"npm pack {NAME}@{VERSION}, and copy {FILE} to {tmp_path / 'cache/pfnr/web'}" in str(raised.value)
    assert raised.value.exit_code == 4


def test_a_package_copied_into_the_cache_needs_no_network(
    registry: StaticServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    (tmp_path / "cache/pfnr/web").mkdir(parents=True)
    (tmp_path / "cache/pfnr/web" / FILE).write_bytes(package())
    assert engine_files(["dist/ort.js"]) == {"dist/ort.js": b"ort"}


def test_a_cache_that_cannot_be_written_is_named(
    registry: StaticServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BackendError, match="set XDG_CACHE_HOME to another folder"):
        engine_files([])


def test_the_registry_is_npms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # without npm
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_userconfig", "NPM_CONFIG_USERCONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert npm_registry() == PUBLIC_REGISTRY
    (tmp_path / ".npmrc").write_text("fund=false\nregistry = https://mirror.example/npm/\n")
    assert npm_registry() == "https://mirror.example/npm"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://other.example/")
    assert npm_registry() == "https://other.example"
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho https://asked.example/\n")
    npm.chmod(0o755)
    assert npm_registry() == "https://asked.example"
    npm.write_text("#!/bin/sh\nexit 1\n")
    assert npm_registry() == "https://other.example"


def test_the_real_package_has_the_pages_engines(engine: None) -> None:
    from pfnr_runtime.web.site import WASM, WEBGPU

    found = engine_files([*WASM.values(), *WEBGPU.values()])
    assert all(data[:4] == b"\0asm" for name, data in found.items() if name.endswith(".wasm"))
    assert f"ONNX Runtime Web v{VERSION}".encode() in found["dist/ort.wasm.min.mjs"]
