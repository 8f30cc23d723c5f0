"""The shape of the tree: which way imports point, and how large a file or a folder may get."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from helpers.paths import ROOT

PACKAGES = ("pfnr_runtime", "pfnr_train", "pfnr_export")
MOST_LINES = 350
MOST_MODULES = 15

# What the trainer may take from the runtime: pieces that read, describe and write video, and code its weights.
# No engine, no player.
LIGHT = {"errors", "video", "artifact", "coding", "sinks", "system"}


def modules() -> dict[str, Path]:
    """Every module of the three packages by dotted name."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return {".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): f for f in files}


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """The modules of ours that module `name` imports anywhere in it, also for type checkers only."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found = full if full in MODULES else node.module
                if found in MODULES and found != name:
                    yield found


GRAPH = {name: set(imports(name)) for name in MODULES}


def room(name: str) -> str:
    """The folder directly below a package that a module lies in; a module at a package's root is its own room."""
    parts = name.split(".")
    return ".".join(parts[:2])


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_of_files() -> None:
    assert not circle(GRAPH)


def test_no_circle_of_rooms() -> None:
    rooms: dict[str, set[str]] = {}
    for name, found in GRAPH.items():
        rooms.setdefault(room(name), set()).update(room(other) for other in found if room(other) != room(name))
    for package in PACKAGES:
        rooms.pop(package, None)  # its __init__ offers names of its rooms, lazily
    assert not circle(rooms)


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("pfnr_runtime")])
def test_the_runtime_imports_neither_of_the_others(name: str) -> None:
    assert all(other.startswith("pfnr_runtime") for other in GRAPH[name])


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith("pfnr_train")])
def test_the_trainer_imports_only_what_reads_and_describes_video(name: str) -> None:
    foreign = {other for other in GRAPH[name] if not other.startswith("pfnr_train")} - {"pfnr_runtime"}
    foreign -= {"pfnr_runtime.commands.console"}  # how every command of the toolkit talks
    assert all(other.split(".")[0] == "pfnr_runtime" and other.split(".")[1] in LIGHT for other in foreign)


def test_no_module_is_long() -> None:
    lines = {name: len(file.read_text().splitlines()) for name, file in MODULES.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_no_folder_is_full() -> None:
    folders: dict[Path, int] = {}
    for file in MODULES.values():
        if file.name != "__init__.py":
            folders[file.parent] = folders.get(file.parent, 0) + 1
    assert {str(folder): n for folder, n in folders.items() if n > MOST_MODULES} == {}
