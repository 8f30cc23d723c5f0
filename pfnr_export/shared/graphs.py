"""Two graphs into which layers write themselves: one where masks are inputs, one that only records values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pfnr_export.graph import Graph
from pfnr_runtime.artifact.contract import MASK_SUFFIX, MASKED_SUFFIX


class SharedGraph(Graph):
    """A graph in which every shared weight passes through a mask (a bool input), and a session's private tensors
    are inputs.

    weight ─┐
    mask ───┴─ Where(mask, weight, 0) ─▶ the layer
    """

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """Store the weight and its mask; returns the name of the masked weight."""
        stored = self.constant(name, value)
        self._input(stored + MASK_SUFFIX, TensorProto.BOOL, value.shape)
        masked = stored + MASKED_SUFFIX
        inputs = [stored + MASK_SUFFIX, stored, self.scalar(0.0)]
        self.nodes.append(helper.make_node("Where", inputs, [masked], name=masked))
        return masked

    def own(self, name: str, value: NDArray[Any], rows: str | None = None) -> str:
        """Make the tensor an input; its first dimension is dynamic if `rows` names it."""
        full = self._name(name)
        self._input(full, TensorProto.FLOAT, value.shape if rows is None else (rows, *value.shape[1:]))
        return full

    def _input(self, name: str, kind: int, shape: tuple[int | str, ...]) -> None:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))


class Notes(Graph):
    """A graph that records the values of shared weights and private tensors instead of storing them.

    What it stores is structure, which must be the same for every session.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, NDArray[Any]] = {}
        self.owned: dict[str, NDArray[np.float32]] = {}

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """Record the weight by its full name."""
        full = self._name(name)
        self.weights[full] = value
        return full

    def own(self, name: str, value: NDArray[Any], rows: str | None = None) -> str:
        """Record the tensor by its full name."""
        full = self._name(name)
        self.owned[full] = value
        return full
