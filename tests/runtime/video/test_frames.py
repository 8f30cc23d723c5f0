"""Frame and FrameBatch: checked when made, printed without their samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pfnr_runtime import Frame, FrameBatch

PICTURE = np.zeros((4, 6, 3), np.uint8)


def batch(**changes: Any) -> FrameBatch:
    values: dict[str, Any] = {
        "data": np.arange(2 * 4 * 6 * 3).astype(np.uint8).reshape(2, 4, 6, 3),
        "indices": np.array([3, 5]),
        "pts_seconds": np.array([0.12, 0.2]),
        "duration_seconds": np.array([0.04, 0.04]),
    }
    return FrameBatch(**{**values, **changes})


def test_printing_shows_shapes_not_samples() -> None:
    assert repr(Frame(PICTURE, 3, 0.12, 0.04)) == (
        "Frame(data=uint8 [4, 6, 3], index=3, pts_seconds=0.12, duration_seconds=0.04)"
    )
    assert "data=uint8 [2, 4, 6, 3]" in repr(batch())


@pytest.mark.parametrize(
    "data", [PICTURE.astype(np.float32), PICTURE[0], PICTURE[..., :2], PICTURE[:0], "picture"]
)
def test_a_frame_of_something_else_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"Frame\.data must be uint8 \[H, W, 3\]"):
        Frame(data, 0, 0.0, 0.04)


@pytest.mark.parametrize(("index", "pts", "duration"), [(-1, 0.0, 0.1), (0, -0.1, 0.1), (0, 0.0, 0.0)])
def test_a_frame_outside_time_is_refused(index: int, pts: float, duration: float) -> None:
    with pytest.raises(ValueError, match="Frame needs"):
        Frame(PICTURE, index, pts, duration)


def test_a_batch_gives_its_frames() -> None:
    whole = batch()
    assert [f.index for f in whole] == [3, 5]
    assert (whole[-1].data == whole.data[1]).all()
    assert whole[-1].pts_seconds == 0.2
    assert len(whole[1:]) == 1
    assert whole[1:][0].index == 5
    with pytest.raises(IndexError, match="frame 2 of a batch of 2"):
        whole[2]


@pytest.mark.parametrize(
    "changes",
    [
        {"indices": np.array([1])},
        {"indices": np.array([1.0, 2.0])},
        {"pts_seconds": [0.0, 1.0]},
        {"data": np.zeros((2, 4, 6), np.uint8)},
    ],
)
def test_a_batch_whose_parts_disagree_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="FrameBatch"):
        batch(**changes)
