"""The install steps of the Dockerfiles, as far as a machine without Docker can carry them out."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.dockerfiles import ROOT, Container, Image, health_check, read
from helpers.tiny_artifacts import picture_table, save, table_model

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)  # a download of 50 MB
def test_the_cpu_images_environment_decodes_without_torch_or_onnx(tmp_path: Path) -> None:
    image = read("cpu")
    container = Container(tmp_path)
    container.carry_out(image.build)
    container.carry_out(image.final, ("ENV", "WORKDIR"))
    save(table_model(), container.work / "tiny.onnx")
    done = container.run(["pfnr-decode", "tiny.onnx", "md5:"])
    assert done.stdout == f"MD5={hashlib.md5(picture_table().tobytes()).hexdigest()}\n", done.stderr
    assert "fp32" in container.run(["pfnr-inspect", "tiny.onnx"]).stdout
    for absent in ("torch", "onnx", "pip"):
        found = container.run(["python", "-c", f"import {absent}"])
        assert found.returncode == 1, f"{absent} is in the image"
    _serves_and_is_found_healthy(image, container)


def _serves_and_is_found_healthy(image: Image, container: Container) -> None:
    """The image's CMD and HEALTHCHECK, on a free port and, unlike a container, on this machine's address alone."""
    save(table_model(), container.work / "library.onnx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])

    def here(command: list[str]) -> list[str]:
        return [word.replace("8080", port).replace("0.0.0.0", "127.0.0.1") for word in command]

    check = here(health_check(image.final))
    assert container.run(check).returncode != 0, "healthy without a server"
    server = container.start(here(json.loads(image.final.value("CMD"))))
    try:
        found = container.run(check)
        while found.returncode and server.poll() is None:
            time.sleep(0.5)
            found = container.run(check)
        assert found.returncode == 0, found.stderr
    finally:
        server.terminate()
        server.wait(30)


# JetPack 6 has glibc 2.35, JetPack 7 and NVIDIA's images have 2.39.
@pytest.mark.parametrize(
    ("name", "python", "platform", "bindings"),
    [
        ("jetpack6", "3.10", "aarch64-manylinux_2_35", "cuda-bindings==12."),
        ("jetpack7", "3.12", "aarch64-manylinux_2_39", "cuda-bindings==13."),
        ("gpu", "3.12", "x86_64-manylinux_2_39", "cuda-bindings==13."),
        ("gpu", "3.12", "aarch64-manylinux_2_39", "cuda-bindings==13."),
        ("cpu", "3.12", "aarch64-manylinux_2_36", ""),
    ],
)
def test_wheels_for_its_machine_are_all_there(
    name: str, python: str, platform: str, bindings: str, tmp_path: Path
) -> None:
    """uv takes pip's arguments and, unlike pip, evaluates requirements for another machine than this one."""
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--dry-run", "--target", str(tmp_path)]
    machine = ["--python-platform", platform, "--python-version", python]
    done = subprocess.run(
        [*uv, *machine, *read(name).pip_arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    installed = {line.strip("+ ") for line in done.stderr.splitlines() if line.startswith(" + ")}
    names = {line.partition("==")[0] for line in installed}
    assert {"numpy", "av", "typer", "onnxruntime"} <= names
    assert not names & {"torch", "onnx", "tensorrt", "tensorrt-cu12", "tensorrt-cu13"}
    assert any(line.startswith(bindings) for line in installed)
    assert ("cuda-bindings" in " ".join(installed)) == bool(bindings)
