"""Session masks: the exact top fraction of scores at every step, and where gradients go."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pfnr_train.session.masks import MaskedWeight, SplitMask, TopMask, kept_count, kth_largest, top_mask


@pytest.mark.parametrize(
    ("size", "density", "kept"),
    [(10, 0.3, 3), (10, 1.0, 10), (10, 1e-9, 1), (1, 0.5, 1), (7, 0.5, 4), (16128 * 512, 0.3, 2477261)],
)
def test_how_many_weights_a_density_keeps(size: int, density: float, kept: int) -> None:
    assert kept_count(size, density) == kept


@given(values=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=40), data=st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_a_mask_keeps_the_largest_scores(values: list[float], data: st.DataObject) -> None:
    keep = data.draw(st.integers(1, len(values)))
    scores = torch.tensor(values)
    ordered = sorted(scores.tolist(), reverse=True)
    assert float(kth_largest(scores, keep)) == ordered[keep - 1]
    assert top_mask(scores, keep).tolist() == [v >= ordered[keep - 1] for v in scores.tolist()]


WALK_STEPS = ("still", "creep", "jump", "shift", "shrink", "ties", "restart", "constant")


@given(
    size=st.integers(1, 300),
    share=st.floats(0, 1),
    steps=st.lists(st.sampled_from(WALK_STEPS), min_size=1, max_size=25),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_a_mask_kept_up_to_date_is_the_mask_searched_afresh(
    size: int, share: float, steps: list[str], seed: int
) -> None:
    keep = max(1, round(share * size))
    generator = torch.Generator().manual_seed(seed)
    top, scores = TopMask(keep), torch.randn(size, generator=generator)
    for step in ["still", *steps]:
        noise = torch.randn(size, generator=generator)
        if step == "creep":
            scores = scores + 0.01 * noise
        elif step == "jump":
            scores = scores + 50 * noise * (torch.rand(size, generator=generator) < 0.1)
        elif step == "shift":
            scores = scores + 7
        elif step == "shrink":
            scores = scores * 1e-3
        elif step == "ties":
            scores = (scores * 2).round() / 2
        elif step == "restart":
            scores = noise
        elif step == "constant":
            scores = torch.full((size,), float(noise[0]))
        assert torch.equal(top(scores), top_mask(scores, keep)), step


@pytest.mark.parametrize("keep", [1, 24])
def test_masks_of_one_weight_and_of_all(keep: int) -> None:
    top, generator = TopMask(keep), torch.Generator().manual_seed(0)
    for _ in range(5):
        scores = torch.randn(2, 3, 4, generator=generator)
        mask = top(scores)
        assert mask.shape == scores.shape
        assert int(mask.sum()) == keep
        assert torch.equal(mask, top_mask(scores, keep))


def test_scores_that_move_little_are_seldom_searched_in_full() -> None:
    generator = torch.Generator().manual_seed(0)
    top, scores = TopMask(3000), torch.randn(10000, generator=generator)
    for _ in range(50):
        scores = scores + 1e-3 * torch.randn(10000, generator=generator)
        top(scores)
    assert top.searches <= 5


def test_a_mask_with_slack_keeps_nearly_as_many_and_exactly_as_many_when_asked() -> None:
    generator = torch.Generator().manual_seed(0)
    top, scores = TopMask(3000, slack=0.01), torch.randn(10000, generator=generator)
    off = []
    for _ in range(60):
        scores = scores + 0.01 * torch.randn(10000, generator=generator)
        mask = top(scores)
        off.append(int(mask.sum()) - 3000)
        assert not off[-1] or scores[mask].min() > scores[~mask].max()
        assert torch.equal(top.exactly(scores), top_mask(scores, 3000))
    assert max(map(abs, off)) <= 30
    assert len(set(off)) > 5


@pytest.mark.parametrize("with_frozen", [False, True])
def test_gradients_go_straight_through_to_scores_and_never_to_frozen_weights(with_frozen: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    weight, scores, up = (torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(3))
    weight.requires_grad_()
    scores.requires_grad_()
    mask = top_mask(scores.detach(), 17)
    free = torch.rand(6, 5, generator=generator) < 0.5 if with_frozen else None
    out = MaskedWeight.apply(weight, scores, mask, free)
    assert torch.equal(out, weight * mask)
    (out * up).sum().backward()
    assert torch.equal(scores.grad, up * weight.detach())
    expected = torch.zeros_like(up)
    for i, j in mask.nonzero().tolist():
        if free is None or free[i, j]:
            expected[i, j] = up[i, j]
    assert torch.equal(weight.grad, expected)
    if free is not None:
        assert int((weight.grad[mask & ~free] == 0).all())
        assert not torch.equal(weight.grad, up * mask)


@pytest.mark.parametrize(("new", "old"), [(3, 5), (0, 5), (3, 0), (20, 1)])
def test_a_split_mask_keeps_so_many_new_and_so_many_old_as_scores_move(new: int, old: int) -> None:
    draw = torch.Generator().manual_seed(0)
    free = torch.rand(6, 7, generator=draw) < 0.6
    scores = torch.randn(6, 7, generator=draw)
    mask = SplitMask(new, old, free)
    for _ in range(20):
        found = mask(scores)
        assert int((found & free).sum()) == new
        assert int((found & ~free).sum()) == old
        for part, keep in ((free, new), (~free, old)):
            kept, left = scores[part & found], scores[part & ~found]
            assert not keep or not len(left) or kept.min() > left.max()
        scores = scores + 0.3 * torch.randn(6, 7, generator=draw)
