"""A decoder's output: one frame or several, with their place in the video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

_UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True, eq=False, repr=False)
class Frame:
    """One decoded frame.

    - data: uint8 [H, W, 3], RGB, full range.
    - index: its number in the video, from 0.
    - pts_seconds: when it appears, from 0.
    - duration_seconds: how long it stays.

    A ValueError for any other shape, type or range.
    """

    data: NDArray[np.uint8]
    index: int
    pts_seconds: float
    duration_seconds: float

    def __post_init__(self) -> None:
        _check_pictures(self.data, 3, "Frame")
        if self.index < 0 or self.pts_seconds < 0 or not self.duration_seconds > 0:
            raise ValueError(
                f"Frame needs index ≥ 0, pts_seconds ≥ 0 and duration_seconds > 0, not "
                f"{self.index}, {self.pts_seconds} and {self.duration_seconds}"
            )

    def __repr__(self) -> str:
        return (
            f"Frame(data={_shape(self.data)}, index={self.index}, "
            f"pts_seconds={self.pts_seconds:g}, duration_seconds={self.duration_seconds:g})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class FrameBatch:
    """Several decoded frames, in the order asked for.

    - data: uint8 [B, H, W, 3], RGB, full range.
    - indices: int64 [B].
    - pts_seconds, duration_seconds: float64 [B].

    Indexing and iterating give `Frame`s that share the batch's memory; a slice gives a FrameBatch.
    """

    data: NDArray[np.uint8]
    indices: NDArray[np.int64]
    pts_seconds: NDArray[np.float64]
    duration_seconds: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check_pictures(self.data, 4, "FrameBatch")
        for name, dtype in (
            ("indices", np.int64),
            ("pts_seconds", np.float64),
            ("duration_seconds", np.float64),
        ):
            values = getattr(self, name)
            if not isinstance(values, np.ndarray) or values.dtype != dtype or values.shape != (len(self.data),):
                raise ValueError(
                    f"FrameBatch.{name} must be {np.dtype(dtype)} [{len(self.data)}], not {_shape(values)}"
                )

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Frame]:
        return (self._frame(i) for i in range(len(self)))

    @overload
    def __getitem__(self, key: int) -> Frame: ...
    @overload
    def __getitem__(self, key: slice) -> FrameBatch: ...
    def __getitem__(self, key: int | slice) -> Frame | FrameBatch:
        if isinstance(key, slice):
            return FrameBatch(self.data[key], self.indices[key], self.pts_seconds[key], self.duration_seconds[key])
        if not -len(self) <= key < len(self):
            raise IndexError(f"frame {key} of a batch of {len(self)}")
        return self._frame(key)

    def _frame(self, i: int) -> Frame:
        return Frame(
            self.data[i], int(self.indices[i]), float(self.pts_seconds[i]), float(self.duration_seconds[i])
        )

    def __repr__(self) -> str:
        return (
            f"FrameBatch(data={_shape(self.data)}, indices={_shape(self.indices)}, "
            f"pts_seconds={_shape(self.pts_seconds)}, duration_seconds={_shape(self.duration_seconds)})"
        )


def _check_pictures(data: object, rank: int, what: str) -> None:
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != _UINT8
        or data.ndim != rank
        or data.shape[-1] != 3
        or 0 in data.shape[-3:]
    ):
        layout = "[H, W, 3]" if rank == 3 else "[B, H, W, 3]"
        raise ValueError(f"{what}.data must be uint8 {layout}, not {_shape(data)}")


def _shape(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return type(value).__name__
