"""What every image must be, read from its Dockerfile; hadolint runs with `make lint`."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.dockerfiles import NAMES, ROOT, Image, read

GPU = [name for name in NAMES if name != "cpu"]


@pytest.fixture(params=NAMES)
def image(request: pytest.FixtureRequest) -> Image:
    return read(request.param)


def test_both_stages_start_from_one_pinned_base(image: Image) -> None:
    base = image.arguments["BASE_IMAGE"]
    assert image.build.base == "${BASE_IMAGE} AS build"
    assert image.final.base == "${BASE_IMAGE}"
    assert re.search(r":[\w.]*\d", base), f"{base} has no version"
    assert not base.endswith(":latest")


def test_it_runs_as_an_ordinary_user_by_number(image: Image) -> None:
    user, group = image.final.value("USER").split(":")
    assert int(user) >= 1000
    (made,) = image.final.values("RUN")
    assert f"groupadd --gid {group} " in made
    assert f"useradd --uid {user} " in made
    after = [name for name, _ in image.final.steps]
    assert "RUN" not in after[after.index("USER") :]
    assert "COPY" not in after[after.index("USER") :]


def test_only_the_environment_leaves_the_build_stage(image: Image) -> None:
    folder = image.build.pairs("ENV")["VIRTUAL_ENV"]
    assert image.final.values("COPY") == [f"--from=build {folder} {folder}"]
    assert image.final.pairs("ENV")["PATH"].split(":")[0] == f"{folder}/bin"


def test_version_and_licence_are_the_projects(image: Image) -> None:
    labels = image.final.pairs("LABEL")
    project = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{dict(a.split("=") for a in image.final.values("ARG") if "=" in a)["VERSION"]}"' in project
    assert f'license = "{labels["org.opencontainers.image.licenses"]}"' in project


def test_images_differ_only_where_their_machines_do() -> None:
    images = [read(name) for name in NAMES]
    for instruction in ("COPY", "ENV"):
        assert len({tuple(image.build.values(instruction)) for image in images}) == 1
    for instruction in ("ARG", "USER", "WORKDIR", "EXPOSE", "CMD", "COPY"):
        assert len({tuple(image.final.values(instruction)) for image in images}) == 1


def test_every_extra_it_installs_exists(image: Image) -> None:
    target = image.pip_arguments[-1]
    extras = re.fullmatch(r"\.\[([a-z,-]+)\]", target)
    assert extras, target
    project = (ROOT / "pyproject.toml").read_text()
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


@pytest.mark.parametrize("name", GPU)
def test_engines_are_kept_in_a_volume_of_the_users_own(name: str) -> None:
    final = read(name).final
    (folder,) = re.findall(r'"([^"]+)"', final.value("VOLUME"))
    assert final.pairs("ENV")["XDG_CACHE_HOME"] == folder
    assert f"install --directory --owner=pfnr --group=pfnr --mode=0700 {folder}" in final.value("RUN")
    steps = [name for name, _ in final.steps]
    assert steps.index("VOLUME") > steps.index("RUN"), "what is changed after VOLUME is lost"


@pytest.mark.parametrize("name", GPU)
def test_pip_neither_brings_nor_replaces_tensorrt(name: str) -> None:
    image = read(name)
    install = next(run for run in image.build.values("RUN") if "pip" in run)
    assert "venv --system-site-packages" in install
    assert "tensorrt" not in " ".join(image.pip_arguments)
    project = (ROOT / "pyproject.toml").read_text()
    (requirements,) = re.findall(r"^jetson = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert "tensorrt" not in requirements


@pytest.mark.parametrize("found", ["nowhere", "system", "environment"])
def test_the_build_stops_unless_tensorrt_is_the_systems(found: str, tmp_path: Path) -> None:
    """The very check of the RUN line, with a module that stands for TensorRT in one place or another."""
    install = next(run for run in read("jetpack6").build.values("RUN") if "pip" in run)
    words = shlex.split(install)
    check = words[words.index("-c") + 1]
    environment, system = tmp_path / "environment", tmp_path / "system"
    for folder in (environment, system):
        folder.mkdir()
    if found != "nowhere":
        (tmp_path / found / "tensorrt.py").write_text("raise ImportError('needs the device')\n")
    path = [str(environment), str(system)]
    program = f"import sys; sys.prefix = {path[0]!r}; sys.path[:0] = {path}; {check}"
    done = subprocess.run([sys.executable, "-I", "-c", program], check=False)
    assert (done.returncode == 0) == (found == "system")


def test_the_context_holds_what_is_copied_and_little_else(image: Image) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {word.rstrip("/") for value in image.build.values("COPY") for word in value.split()[:-1]}
    assert copied == let_in
