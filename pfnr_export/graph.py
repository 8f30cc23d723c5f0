"""Building an ONNX graph: nodes and constants with stable, readable names, in the order of the calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

# Old enough for every engine since TensorRT 10.3, new enough for everything we emit.
OPSET = 17
IR_VERSION = 8


class Graph:
    """An ONNX graph under construction.

    `scope` prefixes the names of additions. Every method that adds a node returns the name of its output.
    Constants of equal name and content are stored once.
    """

    def __init__(self) -> None:
        self.scope = ""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []  # in addition to the frame index
        self._taken: set[str] = set()

    def node(self, op: str, inputs: Sequence[str], *, name: str = "", **attributes: Any) -> str:
        """Add one node with one output; returns the output's name."""
        output = self._name(name or op.lower())
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a stored tensor; returns its name."""
        full = self._name(name)
        self.initializers[full] = numpy_helper.from_array(np.ascontiguousarray(value), full)
        return full

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """A weight that sessions share through masks; here the session's, with its mask folded in."""
        return self.constant(name, value)

    def own(self, name: str, value: NDArray[Any], rows: str | None = None) -> str:
        """A session's private tensor. rows: what the first dimension counts, if it differs between sessions."""
        return self.constant(name, value)

    def scalar(self, value: float) -> str:
        """A float32 scalar, stored once per value."""
        name = f"scalar/{value:g}"
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return name

    def integers(self, values: Sequence[int]) -> str:
        """An int64 vector, such as a shape, stored once per content."""
        name = "shape/" + "x".join(map(str, values))
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Reshape to a static shape, with at most one −1."""
        return self.node("Reshape", [x, self.integers(shape)])

    def transpose(self, x: str, order: Sequence[int]) -> str:
        """Permute the axes."""
        return self.node("Transpose", [x], perm=list(order))

    def _name(self, name: str) -> str:
        full = base = f"{self.scope}/{name}" if self.scope else name
        count = 1
        while full in self._taken:
            count += 1
            full = f"{base}.{count}"
        self._taken.add(full)
        return full
