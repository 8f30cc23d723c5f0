"""Reading back an engine's number types, and refusing one whose types differ from the graph's.

Builders have been seen to ignore FP16 requests and to compute fp32 graphs in TF32. An engine's inspector lists its
layers; it gives tensor types in free text that differs between versions, such as 'Half', 'Row major linear FP32'
or 'Thirty-two wide channel vectorized row major Int8 format'.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.artifact.onnx.file import OnnxSummary
from pfnr_runtime.backends.trt.api import EngineLibrary
from pfnr_runtime.errors import BackendError

# Types that tell an engine's precision, and how inspectors spell them.
SPELLINGS = {
    "float32": r"fp32|float32|float",
    "float16": r"fp16|float16|half",
    "bfloat16": r"bf16|bfloat16",
    "int8": r"int8",
    "float8": r"fp8|float8\w*",
    "int4": r"int4",
}
REDUCED = ("float16", "bfloat16", "int8", "float8", "int4")
_PATTERNS = {name: re.compile(rf"(?<![a-z0-9])(?:{text})(?![a-z0-9])") for name, text in SPELLINGS.items()}


@dataclass(frozen=True)
class EngineTypes:
    """The number types of an engine. layers: their number. types: keys of `SPELLINGS` found in its tensors and
    weights. tf32: names of layers with TF32 kernels.
    """

    layers: int
    types: frozenset[str]
    tf32: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.layers} layers in {', '.join(sorted(self.types)) or 'types that the inspector does not show'}"
        )


def inspect_engine(library: EngineLibrary, engine: Any) -> EngineTypes:
    """The types of a deserialised engine; a BackendError if the inspector's answer cannot be read."""
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(library.trt.LayerInformationFormat.JSON)
    try:
        return read_types(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise BackendError(f"{library}: its engine inspector gave no readable answer ({error!r})") from None


def read_types(information: Any) -> EngineTypes:
    """The types in an inspector's JSON: {"Layers": [...]}, each layer a dictionary, or a bare name."""
    layers = information["Layers"]
    if not isinstance(layers, list):
        raise ValueError("its layers are not a list")
    texts = [text.lower() for layer in layers for text in _type_texts(layer, inside_weights=False)]
    found = {name for name, pattern in _PATTERNS.items() if any(pattern.search(text) for text in texts)}
    tf32 = tuple(
        str(layer.get("Name", "?"))
        for layer in layers
        if isinstance(layer, dict) and "tf32" in str(layer.get("TacticName", "")).lower()
    )
    return EngineTypes(len(layers), frozenset(found), tf32)


def _type_texts(value: Any, inside_weights: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            name = str(key).lower()
            is_type = "datatype" in name or "format" in name or (inside_weights and name == "type")
            if is_type and isinstance(item, str):
                yield item
            else:
                yield from _type_texts(item, name in ("weights", "bias"))
    elif isinstance(value, list):
        for item in value:
            yield from _type_texts(item, inside_weights)


def graph_types(summary: OnnxSummary) -> frozenset[str]:
    """The types of a graph's stored weights, as keys of `SPELLINGS`."""
    stored = {tensor.dtype for tensor in summary.initializers + summary.constants}
    stored |= {"float8" for name in stored if name.startswith("float8")}
    return frozenset(stored & SPELLINGS.keys())


def types_to_find(summary: OnnxSummary) -> frozenset[str]:
    """The reduced types that an engine of this graph must show.

    8-bit weights that are only dequantized may be dequantized during the build: then no trace is left.
    """
    found = graph_types(summary) & frozenset(REDUCED)
    return found if "QuantizeLinear" in summary.operators else found - {"int8", "int4", "float8"}


def check_types(found: EngineTypes, summary: OnnxSummary, *, tf32: bool, name: str) -> None:
    """A BackendError unless the engine computes in the types of the graph summarised.

    A reduced type in the engine but not in the graph is an unrequested loss; one in the graph but not in the
    engine is a precision silently ignored. An inspector that names no type at all is an error too.
    """
    if not found.types:
        raise BackendError(f"{name}: the engine's inspector names no number types, so they cannot be checked")
    added = [t for t in REDUCED if t in found.types - graph_types(summary)]
    lost = [t for t in REDUCED if t in types_to_find(summary) - found.types]
    if added or lost:
        told = [f"computes in {', '.join(added)}, which the graph does not"] if added else []
        told += [f"lacks {', '.join(lost)}, which the graph has"] if lost else []
        raise BackendError(f"{name}: the engine that was built {' and '.join(told)}; it is not used")
    if found.tf32 and not tf32:
        raise BackendError(
            f"{name}: the engine that was built computes in TF32 ({found.tf32[0]} and {len(found.tf32) - 1} "
            "more layers), which was not asked for; it is not used"
        )
