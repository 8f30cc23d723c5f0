"""The Dockerfiles as data, and their steps carried out in a folder instead of a container."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from dockerfile_parse import DockerfileParser

from helpers.paths import ROOT

FOLDER = ROOT / "docker"
NAMES = sorted(path.name.removesuffix(".Dockerfile") for path in FOLDER.glob("*.Dockerfile"))


@dataclass
class Stage:
    """One FROM and what follows it. steps: (instruction, value) in order."""

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def values(self, instruction: str) -> list[str]:
        """The values of all steps of one instruction."""
        return [value for name, value in self.steps if name == instruction]

    def value(self, instruction: str) -> str:
        """The value of the only step of this instruction."""
        (value,) = self.values(instruction)
        return value

    def pairs(self, instruction: str) -> dict[str, str]:
        """All KEY=value words of ENV or LABEL."""
        words = [word for value in self.values(instruction) for word in shlex.split(value)]
        return dict(word.split("=", 1) for word in words)


@dataclass
class Image:
    """A Dockerfile. arguments: its global ARGs with their defaults."""

    name: str
    arguments: dict[str, str]
    build: Stage
    final: Stage

    @property
    def pip_arguments(self) -> list[str]:
        """What the build stage gives to `pip install`."""
        run = next(run for run in self.build.values("RUN") if "pip" in run)
        words = shlex.split(run)
        start = words.index("install") + 1
        return words[start : words.index("&&", start)]


def read(name: str) -> Image:
    """The Dockerfile of this name, which has two stages."""
    text = (FOLDER / f"{name}.Dockerfile").read_bytes()
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for step in DockerfileParser(fileobj=io.BytesIO(text)).structure:
        instruction, value = step["instruction"], step["value"]
        if instruction == "FROM":
            stages.append(Stage(value))
        elif instruction == "ARG" and not stages:
            key, _, default = value.partition("=")
            arguments[key] = default
        elif instruction != "COMMENT":
            stages[-1].steps.append((instruction, value))
    build, final = stages
    return Image(name, arguments, build, final)


def health_check(stage: Stage) -> list[str]:
    """The program and arguments of HEALTHCHECK."""
    command: list[str] = json.loads(stage.value("HEALTHCHECK").partition("CMD")[2])
    return command


class Container:
    """A folder that stands for a container's file system. Instructions are carried out in order, as they are,
    but for absolute paths: those that the image makes (its WORKDIR and /opt) lie inside the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if key.startswith("PIP_")
            or key.lower().endswith("_proxy")
            or key in ("SSL_CERT_FILE", "LD_LIBRARY_PATH")
        }
        self.environment |= {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
        }

    def inside(self, text: str) -> str:
        """The text with the image's own absolute paths moved into the folder."""
        return re.sub(r"(?<![\w.])/opt/", f"{self.folder}/opt/", text)

    def carry_out(self, stage: Stage, instructions: tuple[str, ...] = ("ENV", "WORKDIR", "COPY", "RUN")) -> None:
        """The steps of a stage that are among these instructions."""
        for instruction, value in stage.steps:
            if instruction not in instructions:
                continue
            if instruction == "ENV":
                for word in shlex.split(value):
                    key, _, setting = word.partition("=")
                    setting = setting.replace("$PATH", self.environment["PATH"])
                    self.environment[key] = self.inside(setting)
            elif instruction == "WORKDIR":
                self.work = self.folder / value.lstrip("/")
                self.work.mkdir(parents=True, exist_ok=True)
            elif instruction == "COPY":
                *sources, target = value.split()
                for source in sources:
                    self._copy(source, target)
            elif instruction == "RUN":
                done = self.run(["/bin/sh", "-c", self.inside(value)])
                assert done.returncode == 0, f"RUN {value}\n{done.stdout}\n{done.stderr}"

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """A program in the container's environment."""
        return subprocess.run(
            command, cwd=self.work, env=self.environment, capture_output=True, text=True, check=False
        )

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """The same, left running."""
        return subprocess.Popen(command, cwd=self.work, env=self.environment, stdout=subprocess.DEVNULL, text=True)

    def _copy(self, source: str, target: str) -> None:
        origin, place = ROOT / source, self.work / target
        if origin.is_dir():
            shutil.copytree(origin, place, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(origin, place / origin.name if target.endswith("/") else place)
