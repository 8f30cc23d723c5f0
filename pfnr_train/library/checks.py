"""What every library file is held to, whatever its format: records, kinds of values, tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pfnr_train.library.record import SessionRecord
from pfnr_train.library.values import KINDS, SessionValues
from pfnr_train.library.values.base import Layout
from pfnr_train.model.config import ModelConfig


@dataclass(frozen=True)
class SessionEntry:
    """What a file's JSON says of one session. facts: what its kind of values adds."""

    record: SessionRecord
    kind: type[SessionValues]
    facts: dict[str, Any]

    @classmethod
    def of(cls, config: ModelConfig, record: Any, values: Any) -> SessionEntry:
        """From plain JSON types. Raises ValueError, TypeError or a PfnrError for what cannot be."""
        found = SessionRecord.from_json(record)
        if (found.video.width, found.video.height) != config.size:
            raise ValueError(f"session {found.video.name!r} is not of the network's size {config.size}")
        kind = values.get("kind") if isinstance(values, dict) else None
        if not isinstance(kind, str) or kind not in KINDS:
            raise ValueError(f"values of kind {str(kind)[:50]!r}; this version of pfnr knows {', '.join(KINDS)}")
        return cls(found, KINDS[kind], {key: fact for key, fact in values.items() if key != "kind"})

    def layout(self, config: ModelConfig) -> tuple[Layout, Layout]:
        """See `SessionValues.layout`."""
        return self.kind.layout(config, self.record.video.frames, self.facts)


def layout_problems(
    found: Mapping[str, tuple[str, Iterable[int]]], required: Layout, optional: Layout
) -> list[str]:
    """What is wrong with a file's tensors, given as dtype and shape by name; empty where nothing is.

    dtypes are those of safetensors.
    """
    problems = [f"lacks {name}" for name in sorted(required.keys() - found.keys())]
    unknown = found.keys() - required.keys() - optional.keys()
    problems += [f"has an unknown tensor {name[:200]}" for name in sorted(unknown)]
    for name, (dtype, shape) in (required | optional).items():
        if name in found:
            has, sides = found[name][0], tuple(found[name][1])
            fits = len(sides) == len(shape) and all(b in (None, a) for a, b in zip(sides, shape, strict=True))
            if has != dtype or not fits:
                wanted = ["any length" if n is None else n for n in shape]
                problems.append(f"{name} is {has} {list(sides)}, not {dtype} {wanted}")
    return problems


def require_finite(name: str, tensor: NDArray[Any]) -> NDArray[Any]:
    """The tensor; a ValueError if it holds what is not a finite number."""
    if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
        raise ValueError(f"{name} holds values that are not finite numbers")
    return tensor
