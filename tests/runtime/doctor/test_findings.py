"""What pfnr-doctor says of machines that are made up here, and of this one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pfnr_runtime.backends.device.cuda import driver_missing
from pfnr_runtime.doctor import machine, packages
from pfnr_runtime.doctor.jetson import find_jetson
from pfnr_runtime.doctor.packages import Wanted, installed
from pfnr_runtime.doctor.report import Findings, lines
from pfnr_runtime.doctor.trial import FAILED, MISSING, RIGHT, WRONG, Trial


def findings(*states: str, **changes: Any) -> Findings:
    """A machine with an engine in each of these states."""
    system = {"python": "3.12", "system": "Linux", "architecture": "aarch64", "processor": "ARM", "processors": 6}
    values: dict[str, Any] = {
        "system": system,
        "packages": (),
        "gpu": {"missing": "no NVIDIA driver"},
        "jetson": None,
        "display": {"missing": "no display"},
        "engine_cache": {"folder": "/c", "exists": False},
        "codecs": {"libavcodec": "62", "writes": {"h264": True, "av1": False}},
        "trials": tuple(Trial(f"engine{i}", state, "text") for i, state in enumerate(states)),
    }
    return Findings(**values | changes)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((MISSING, RIGHT), 0),
        ((FAILED, RIGHT), 0),
        ((MISSING, FAILED), 4),
        ((), 4),
        ((RIGHT, WRONG), 3),
        ((WRONG, MISSING), 3),
    ],
)
def test_the_exit_code_follows_from_what_engines_did(states: tuple[str, ...], code: int) -> None:
    assert findings(*states).exit_code == code
    assert findings(*states).to_json()["exit_code"] == code


def test_every_line_is_one_line_and_says_what_is_missing() -> None:
    told = dict(lines(findings(RIGHT)))
    assert all("\n" not in text for text in told.values())
    assert told["gpu"] == "none for decoding: no NVIDIA driver"
    assert told["codecs"].startswith("writes h264; not av1: this build of PyAV has no encoder")
    assert "not there yet" in told["engines"]


def test_a_gpu_is_described_by_whoever_can() -> None:
    gpu = {
        "name": "Orin",
        "compute_capability": "8.7",
        "memory_bytes": 8_000_000_000,
        "cuda_driver": "12.6",
        "cuda_runtime": "12.9",
        "driver_unknown": "nvidia-ml-py is not installed",
    }
    told = [text for label, text in lines(findings(RIGHT, gpu=gpu)) if label == "gpu"]
    assert told == [
        "Orin, compute capability 8.7, 8.0 GB, CUDA 12.6 (bindings 12.9)",
        "driver version unknown: nvidia-ml-py is not installed",
    ]


def test_a_jetson_is_read_from_its_own_files(tmp_path: Path) -> None:
    assert find_jetson(tmp_path) is None
    for name, text in {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
        "var/lib/nvpmodel/status": "pmode:0002",
        "var/lib/dpkg/status": (
            "Package: nvidia-jetpack\nStatus: install ok installed\nVersion: 6.2+b77\n\n"
            "Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 1\n\n"
        ),
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    jetson = find_jetson(tmp_path)
    assert jetson is not None
    assert jetson.text == "NVIDIA Jetson Orin Nano Developer Kit, L4T 36.4.3, JetPack 6.2+b77, power mode 2"
    (tmp_path / "var/lib/dpkg/status").write_text("Package: nvidia-jetpack-dev\nVersion: 1\n\n")
    bare = find_jetson(tmp_path)
    assert bare is not None
    assert bare.jetpack is None


def test_packages_are_found_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        packages,
        "PACKAGES",
        (
            Wanted("numpy", ("numpy",), "everything"),
            Wanted("numpy", ("numpy-of-another-name",), "everything"),
            Wanted("nowhere.at_all", ("nowhere",), "nothing", "pip install nowhere"),
        ),
    )
    numpy, unnamed, nowhere = installed()
    assert numpy.version == np.__version__
    assert unnamed.version == "unknown"
    assert nowhere.text == "not installed, for nothing; pip install nowhere"


def test_the_engine_cache_is_looked_at_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "pfnr" / "engines"
    assert machine.engine_cache() == {"folder": str(folder), "exists": False}
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True, mode=0o700)
    (folder / "a.engine").write_bytes(b"12345")
    (folder / "a.engine.json").write_bytes(b"12")
    found = machine.engine_cache()
    assert (found["mode"], found["engines"], found["bytes"]) == ("0700", 1, 7)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "another user" in machine.engine_cache()["problem"]


def test_a_cache_that_cannot_be_made_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "cannot be written to" in machine.engine_cache()["problem"]


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    told = dict(lines(findings(RIGHT, engine_cache=machine.engine_cache())))
    assert (
        told["engines"] == "none: this user has no home folder for cached engines; set XDG_CACHE_HOME to a folder"
    )


def test_this_machine_can_be_told_of() -> None:
    assert json.loads(json.dumps(machine.system()))["processors"] >= 1
    assert machine.codecs()["writes"]["h264"] is True


@pytest.mark.skipif(driver_missing() is None, reason="this machine has an NVIDIA driver")
def test_without_a_driver_the_gpu_is_one_line() -> None:
    assert list(machine.gpu()) == ["missing"]
