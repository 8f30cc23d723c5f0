"""Every name of TensorRT's Python interface that the code uses exists in every version it is meant for.

`trt_api/*.json` list the public names of six versions, read from the real packages. The code is read as a
syntax tree: `trt.X.Y` by its path, members of instances by the names their variables always have here. A name
used unguarded must be in every version; one that `hasattr` or `getattr` asks for in the same function, in one.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.paths import ROOT, SHARED

HERE = Path(__file__).parent
SOURCES = sorted((ROOT / "pfnr_runtime" / "backends" / "trt").glob("*.py"))
VERSIONS = {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "trt_api").glob("*.json"))}

# What a variable or attribute of each name always holds in these sources.
INSTANCES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "measurements": "ITimingCache",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "tensor": "ITensor",
}
# Results of these methods are such instances too, where code calls a member of a result at once.
RESULTS = {"get_error": "ParserError"}
# Ours, called like theirs: `BuiltEngine.engine` and the like are reached through other names.
MODULES_WITHOUT_INSTANCES = {"api.py", "engine_cache.py", "decode_loop.py", "step_graphs.py"}


@dataclass(frozen=True)
class Use:
    """One use: 'trt.X.Y' or 'Class.member', and whether the code asks first whether it exists."""

    name: str
    guarded: bool
    where: str


def dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return None


def guards(function: ast.AST) -> set[str]:
    """The names that a function asks for by hasattr or getattr with a default."""
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) >= 2:
            asks = node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)
            name = node.args[1]
            if asks and isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(name.value)
    return found


def uses(text: str, where: str, instances: bool) -> Iterator[Use]:
    """Every use in a source text."""
    tree = ast.parse(text)
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    asked_in = {id(inner): guards(outer) for outer in reversed(functions) for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        asked = asked_in.get(id(node), set())
        place = f"{where}:{node.lineno}"
        path = dotted(node)
        if path is not None:
            for prefix in ("trt.", "library.trt.", "self._library.trt."):
                if path.startswith(prefix):
                    rest = path.removeprefix(prefix)
                    yield Use(f"trt.{rest}", any(part in asked for part in rest.split(".")), place)
        owner = node.value
        if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute) and owner.func.attr in RESULTS:
            yield Use(f"{RESULTS[owner.func.attr]}.{node.attr}", node.attr in asked, place)
        holder = (
            owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
        )
        holder = holder.removeprefix("_")
        if instances and holder in INSTANCES:
            yield Use(f"{INSTANCES[holder]}.{node.attr}", node.attr in asked, place)


def exists(use: str, api: dict[str, Any]) -> bool:
    """Whether one version has a name."""
    owner, _, member = use.rpartition(".")
    if owner == "trt":
        return member in api["names"] or member in api["classes"] or member in api["enums"]
    owner = owner.removeprefix("trt.")
    if member.startswith("__") and owner in api["classes"]:
        return True  # the lists leave out what starts with an underscore
    return member in api["classes"].get(owner, ()) or member in api["enums"].get(owner, ())


def missing(use: Use) -> list[str]:
    """The versions that speak against a use; none if it is right."""
    without = [version for version, api in VERSIONS.items() if not exists(use.name, api)]
    if use.guarded:
        return without if len(without) == len(VERSIONS) else []
    return without


@functools.cache
def all_uses() -> list[Use]:
    return [
        use
        for path in SOURCES
        for use in uses(path.read_text(), path.name, path.name not in MODULES_WITHOUT_INSTANCES)
        if not use.name.startswith("trt.__")
    ]


def test_there_are_six_versions() -> None:
    assert len(VERSIONS) == 6
    assert {"10.3.0", "11.4.0", "rtx-1.7.1"} <= VERSIONS.keys()


def test_the_copies_are_those_beside_the_checkout() -> None:
    lists = SHARED / "trt_api"
    if not lists.exists():
        pytest.skip("no lists of names next to the checkout")
    for path in lists.glob("*.json"):
        assert json.loads(path.read_text()) == VERSIONS[path.stem]


def test_every_name_used_exists_in_every_version() -> None:
    found = all_uses()
    assert len({use.name for use in found}) > 40, "the code uses more names than this found"
    wrong = [f"{use.where}: {use.name} is not in {', '.join(missing(use))}" for use in found if missing(use)]
    assert not wrong, "\n".join(wrong)


def test_what_matters_is_seen() -> None:
    names = {use.name for use in all_uses()}
    assert {
        "trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        "trt.BuilderFlag.TF32",
        "trt.ILogger.Severity.ERROR",
        "trt.ComputeCapability",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.is_stream_capturable",
        "IBuilderConfig.num_compute_capabilities",
        "ICudaEngine.create_engine_inspector",
        "Runtime.deserialize_cuda_engine",
        "ParserError.desc",
    } <= names


@pytest.mark.parametrize(
    ("line", "ok"),
    [
        ("trt.BuilderFlag.TF32", True),
        ("trt.BuilderFlag.FP16", False),
        ("trt.Builder.platform_has_fast_fp16", False),
        ("trt.ComputeCapability.SM86", False),
        ("config.num_compute_capabilities = 1", False),
        ("hasattr(config, 'num_compute_capabilities') and config.num_compute_capabilities", True),
        ("hasattr(config, 'no_such_thing') and config.no_such_thing", False),
        ("engine.device_memory_size", False),
        ("self._engine.device_memory_size_v2", True),
        ("library.trt.Runtime", True),
        ("context.execute_v7(1)", False),
    ],
)
def test_a_wrong_name_would_be_found(line: str, ok: bool) -> None:
    found = list(uses(f"def f():\n    {line}\n", "example", True))
    assert found
    assert any(missing(use) for use in found) is not ok


def test_no_version_number_is_asked() -> None:
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                assert "version" not in ast.dump(node).lower(), f"{path.name}:{node.lineno} compares a version"


def test_every_cuda_call_is_in_the_bindings() -> None:
    cudart = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    text = (ROOT / "pfnr_runtime" / "backends" / "device" / "cuda.py").read_text()
    names = set()
    for node in ast.walk(ast.parse(text)):
        path = dotted(node) if isinstance(node, ast.Attribute) else None
        for prefix in ("cudart.", "self._cudart."):
            if path and path.startswith(prefix):
                names.add(path.removeprefix(prefix))
    assert len(names) > 25
    for name in names:
        owner = cudart
        for part in name.split("."):
            assert hasattr(owner, part), name
            owner = getattr(owner, part)
