"""Each closed-world pass alone: an equal decoder where it applies, nothing where it does not."""

from __future__ import annotations

import pytest
import torch
from helpers.libraries import fourier_config, small_config
from helpers.networks import networks, random_session
from hypothesis import HealthCheck, assume, given, settings

from pfnr_export.layers import Conv, Decoder, Head, Linear, PixelShuffle, Relu, Silu, Table
from pfnr_export.lowerings import LOWERINGS
from pfnr_export.materialise import materialise
from pfnr_export.passes import PASSES, run_passes
from pfnr_export.passes.head_before_shuffle import SubpixelHead
from pfnr_export.passes.subpixel import SubpixelShuffle
from pfnr_train.model.config import ModelConfig

FRAMES = torch.arange(4)


def decoder_of(config: ModelConfig, frames: int = 4) -> Decoder:
    return materialise(random_session(config, 0, frames), LOWERINGS["matmul"], torch.float64)


def kinds(decoder: Decoder) -> list[type]:
    return [type(layer) for layer in decoder.layers()]


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(config=networks())
def test_a_pass_leaves_every_frame_as_it_was(name: str, config: ModelConfig) -> None:
    before = decoder_of(config)
    if name == "stem-table":
        before = PASSES["stem-hidden-table"](before) or before
    untouched = list(before.named_children())
    after = PASSES[name](before)
    assert list(before.named_children()) == untouched, "a pass changed the decoder it was given"
    assume(after is not None)  # a pass that applied to none of the examples would fail the test
    assert after is not None
    torch.testing.assert_close(after(FRAMES), before(FRAMES), atol=1e-12, rtol=0)
    again = PASSES[name](after)
    assert name == "stem-hidden-table" or again is None


def test_passes_are_named_in_the_order_they_ran() -> None:
    config = small_config("replace", strides=(2, 2, 3), fourier=fourier_config("replace", 0))
    decoder, applied = run_passes(decoder_of(config))
    assert applied == tuple(PASSES)
    assert PixelShuffle not in kinds(decoder)
    assert Linear not in kinds(decoder)
    assert kinds(decoder)[-3:-1] == [SubpixelHead, SubpixelShuffle]


def test_the_hidden_table_replaces_time_table_and_first_layer() -> None:
    before = decoder_of(small_config())
    after = PASSES["stem-hidden-table"](before)
    assert after is not None
    assert kinds(before)[:4] == [Table, Linear, Relu, Linear]
    assert kinds(after)[:2] == [Table, Linear]
    assert after.layers()[0].table.shape == (4, 12)  # type: ignore[union-attr]


@pytest.mark.parametrize(("frames", "applies"), [(1, True), (13, True), (14, False), (200, False)])
def test_the_stem_becomes_a_table_only_where_that_is_smaller(frames: int, applies: bool) -> None:
    # Hidden 12, stem out 6·3·5 = 90: 90·N values in the table, 12·N + 12·90 without it.
    decoder = PASSES["stem-hidden-table"](decoder_of(small_config(), frames))
    assert decoder is not None
    after = PASSES["stem-table"](decoder)
    assert (after is not None) is applies
    if after is not None:
        stored = [sum(p.numel() for p in d.parameters()) for d in (decoder, after)]
        assert stored[1] <= stored[0]


def test_tables_are_computed_in_double_precision_and_rounded_once() -> None:
    tables = []
    for dtype in (torch.float32, torch.float64):
        decoder = materialise(random_session(small_config()), LOWERINGS["matmul"], dtype)
        tables.append(run_passes(decoder)[0].layers()[0].table)
    assert torch.equal(tables[0], run_stem_in_double().float())
    torch.testing.assert_close(tables[0].double(), tables[1], atol=1e-6, rtol=0)


def run_stem_in_double() -> torch.Tensor:
    """The stem's table from the rounded table of its first layer, as the second pass sees it."""
    decoder = PASSES["stem-hidden-table"](
        materialise(random_session(small_config()), LOWERINGS["matmul"], torch.float32)
    )
    assert decoder is not None
    hidden, linear = decoder.layers()[:2]
    return torch.relu(hidden.table.double() @ linear.weight.double().T)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("config", "applies"),
    [
        (small_config("none"), True),
        (small_config("replace", fourier=fourier_config("replace", 0)), True),
        (small_config("replace"), False),  # the Fourier block is the last one
        (small_config("add"), False),
        (small_config("concat"), False),
        (small_config("none", strides=(2, 1)), False),  # nothing is shuffled
    ],
)
def test_the_head_moves_only_in_front_of_a_plain_last_shuffle(config: ModelConfig, applies: bool) -> None:
    before = decoder_of(config)
    after = PASSES["head-before-shuffle"](before)
    assert (after is not None) is applies
    if after is not None:
        assert kinds(before)[-5:-1] == [Conv, PixelShuffle, Silu, Head]
        assert kinds(after)[-5:-1] == [Conv, Silu, SubpixelHead, SubpixelShuffle]
        # Bit for bit: the same sums in the same order, only elsewhere.
        torch.testing.assert_close(after(FRAMES), before(FRAMES), atol=1e-15, rtol=0)


@pytest.mark.parametrize("combine", ["none", "add", "concat"])
def test_shuffles_of_single_numbers_become_shuffles_of_whole_pixels(combine: str) -> None:
    before = decoder_of(small_config(combine, bias=True))
    after = PASSES["activation-before-shuffle"](before)
    assert after is not None
    assert not [module for module in after.modules() if isinstance(module, PixelShuffle)]
    shuffles = [module for module in after.modules() if isinstance(module, SubpixelShuffle)]
    assert len(shuffles) == len([module for module in before.modules() if isinstance(module, PixelShuffle)])
    assert torch.equal(after(FRAMES), before(FRAMES))
    if combine == "none":
        assert kinds(after)[-5:-1] == [Conv, Silu, SubpixelShuffle, Head]
