"""Training for bytes: the bit estimate, rounding and its gradients, targets, and going on after a stop."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.libraries import made_clip, small_config, trained
from helpers.own_sessions import CODED, PLACED, coded_values
from hypothesis import given, settings
from hypothesis import strategies as st

from pfnr_runtime.errors import LibraryError, UsageError
from pfnr_train.library.library import Library
from pfnr_train.library.values import CodedValues
from pfnr_train.machine.execution import DEFAULT
from pfnr_train.run.add_session import new_training
from pfnr_train.session.forms.coded import CodedForm
from pfnr_train.session.initialise import new_library
from pfnr_train.session.rate import tensor_bits
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.size_target import SizeTarget, packed_bytes, reached_target
from pfnr_train.session.training import SessionTraining

LARGER = small_config("none", channels=16, lower_width=12, stem_width=40)


def start(recipe: Recipe, frames: int = 5, seed: int = 0) -> SessionTraining:
    library = new_library(LARGER, 0)
    return new_training(library, made_clip(LARGER, seed, frames), recipe, DEFAULT)


def form_of(training: SessionTraining) -> CodedForm:
    assert isinstance(training.form, CodedForm)
    return training.form


def defined_bits(numbers: list[int]) -> float:
    """Bits of whole numbers under the two-sided geometric distribution of their mean magnitude, in float64."""
    m = sum(abs(n) for n in numbers) / len(numbers)
    if m == 0:
        return 0.0
    t = (math.sqrt(1 + m * m) - 1) / m
    return -sum(math.log2((1 - t) / (1 + t) * t ** abs(n)) for n in numbers)


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=30))
@settings(max_examples=300, deadline=None)
def test_bits_are_those_of_the_definition(numbers: list[int]) -> None:
    found = tensor_bits("stem.0.weight", torch.tensor(numbers, dtype=torch.float64)[:, None])
    assert float(found) == pytest.approx(defined_bits(numbers), rel=1e-6, abs=0.02)


def test_no_other_geometric_distribution_codes_them_in_fewer_bits() -> None:
    numbers = torch.tensor([0, 0, 3, -1, 0, 7, 1, 0, -2], dtype=torch.float64)
    best = float(tensor_bits("head.weight", numbers))
    for t in np.linspace(0.01, 0.99, 99):
        assert -float(torch.log2((1 - t) / (1 + t) * t ** numbers.abs()).sum()) >= best - 1e-9


@pytest.mark.parametrize(
    ("name", "shape"),
    [("block.0.conv.weight", (4, 3, 3, 3)), ("block.1.fourier.weight", (5, 3, 4)), ("stem.1.weight", (6, 4))],
)
def test_the_gradient_of_the_bits_is_exact(name: str, shape: tuple[int, ...]) -> None:
    symbols = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2
    assert torch.autograd.gradcheck(lambda q: tensor_bits(name, q), (symbols.requires_grad_(),))


def test_noise_stays_within_half_a_step_and_rounding_is_to_the_grid() -> None:
    form = form_of(start(CODED))
    noisy, _ = form.network(0.0)
    rounded, _ = form.network(None)
    for name, leaf in form.weights.items():
        step = float(torch.exp2(form.steps[name].detach()))
        assert float((noisy[name] - leaf).detach().abs().max()) <= step * 0.5001
        assert float((noisy[name] - leaf).detach().abs().max()) > step * 0.3
        grid = 2.0 ** round(float(form.steps[name].detach()))
        whole = rounded[name] / grid
        assert torch.equal(whole, whole.round())
        assert float((rounded[name] - leaf).detach().abs().max()) <= grid * 0.5001


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_gradients_go_straight_through_to_weights_and_tell_steps_their_error(progress: float) -> None:
    form = form_of(start(CODED))
    weights, _ = form.network(progress)
    name = "stem.1.weight"
    weights[name].sum().backward()
    leaf, step = form.weights[name], torch.exp2(form.steps[name].detach())
    assert torch.allclose(leaf.grad, torch.ones_like(leaf))
    # W = q·d with q = w/d + e: ∂W/∂ log2 d = e · d · ln 2, e being what noise or rounding added.
    added = (weights[name].detach() - leaf.detach()).sum() if progress == 0 else None
    if added is not None:
        assert float(form.steps[name].grad) == pytest.approx(float(added) * math.log(2), rel=1e-3, abs=1e-4)
    assert step > 0


def test_the_size_counted_at_the_end_is_the_file_s_within_two_per_cent() -> None:
    training = start(replace(CODED, epochs=12))
    *_, last = training.run()
    values = training.finish().values
    assert isinstance(values, CodedValues)
    assert last.size == pytest.approx(packed_bytes(values), rel=0.02)


@pytest.mark.parametrize(("kb", "rate"), [(6.0, 0.1), (7.0, 0.05)])
def test_a_target_is_met(kb: float, rate: float) -> None:
    training = start(replace(CODED, epochs=60, rate=rate, target_bytes=int(kb * 1000)))
    list(training.run())
    values = training.finish().values
    assert isinstance(values, CodedValues)
    assert packed_bytes(values) == pytest.approx(kb * 1000, rel=0.05)


def test_a_session_a_little_too_large_is_fitted_below_its_target() -> None:
    free = start(replace(CODED, epochs=12, rate=0.05))
    list(free.run())
    size = packed_bytes(free.finish().values)  # type: ignore[arg-type]
    for part, fits in ((0.97, True), (0.3, False)):
        held = start(replace(CODED, epochs=12, rate=0.05, target_bytes=int(part * size)))
        held.load_state_dict({**free.state_dict(), "form": held.form.state()})
        fitted = packed_bytes(held.finish().values)  # type: ignore[arg-type]
        assert (0.9 * part * size < fitted <= part * size) if fits else fitted == size


def test_a_higher_rate_gives_a_smaller_session() -> None:
    sizes = []
    for rate in (0.001, 0.02, 0.4):
        training = start(replace(CODED, epochs=30, rate=rate))
        list(training.run())
        sizes.append(training.finish().values.sizes()["values"])
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


def test_a_target_below_the_least_is_refused_with_the_least() -> None:
    with pytest.raises(UsageError, match=r"a target of 0\.2 KB cannot be reached: .* takes 0\.\d KB"):
        start(replace(CODED, target_bytes=200))
    with pytest.raises(UsageError, match="cannot be reached"):
        start(replace(CODED, target_bpp=0.001))


def test_a_missed_target_is_said_with_what_to_change() -> None:
    def said(reached: int) -> str:
        return SizeTarget(10_000.0, reached, 400).sentence()

    assert said(10_190) == "10.2 KB reached of a target of 10.0 KB (+1.9%)"
    assert said(12_000).startswith("warning: target missed: 12.0 KB reached of a target of 10.0 KB (+20.0%); give")
    assert "or a larger target; this network takes 0.4 KB at least" in said(12_000)
    assert "a larger network (`preset` of a new library), or a smaller target" in said(8_000)


def test_a_target_in_bits_a_pixel_is_one_in_bytes() -> None:
    values, pixels = coded_values(LARGER, 0), 5 * 20 * 12
    by_rate = reached_target(replace(CODED, target_bpp=8.0), pixels, LARGER, values)
    assert by_rate == reached_target(replace(CODED, target_bytes=pixels), pixels, LARGER, values)
    assert by_rate is not None
    assert by_rate.wanted == pixels
    assert reached_target(CODED, pixels, LARGER, values) is None


@pytest.mark.parametrize("recipe", [replace(CODED, epochs=8, target_bytes=3000), replace(PLACED, epochs=8)])
@pytest.mark.parametrize("stop", [3, 9, 20])
def test_a_training_goes_on_from_its_state_to_the_same_bits(recipe: Recipe, stop: int) -> None:
    whole = start(recipe)
    list(whole.run())
    first, second = start(recipe), start(recipe)
    list(itertools.islice(first.run(), stop))
    second.load_state_dict(first.state_dict())
    list(second.run())
    for name, tensor in whole.finish().values.tensors().items():
        assert tensor.tobytes() == second.finish().values.tensors()[name].tobytes()


@pytest.mark.parametrize("recipe", [CODED, PLACED], ids=["coded", "places"])
def test_what_is_trained_is_what_the_library_holds(recipe: Recipe) -> None:
    library = new_library(LARGER, 0)
    training = new_training(library, made_clip(LARGER, 0), recipe, DEFAULT)
    list(training.run())
    done = training.finish()
    held: Library = trained(library, [recipe])[-1]
    for name, weight in held.session_weights(0).materialised().items():
        assert np.array_equal(weight.numpy(), done.weights[name])
    assert not held.weights


def test_places_keep_the_share_of_values_asked_for() -> None:
    library = trained(new_library(LARGER, 0), [PLACED])[-1]
    kept = sum(len(v) for v in library.sessions[0].values.values.values())
    total = sum(math.prod(shape) for shape in LARGER.tensor_shapes().values())
    assert kept == pytest.approx(PLACED.density * total, rel=0.02)


def test_a_session_of_the_same_clip_is_a_small_difference_from_its_parent() -> None:
    first = trained(new_library(LARGER, 0), [replace(CODED, epochs=20)])[-1]
    clip, sizes = made_clip(LARGER, 0), {}
    for parent in ("", "video-0"):
        training = new_training(first, clip, replace(CODED, epochs=20, parent=parent), DEFAULT)
        list(training.run())
        done = training.finish()
        sizes[parent] = done.values.sizes()["values"]
        assert (done.values.parent == 0) == bool(parent)
    assert sizes["video-0"] < 0.7 * sizes[""]


def test_a_parent_that_cannot_be_is_refused_before_training() -> None:
    clip = made_clip(LARGER, 0)
    library = trained(new_library(LARGER, 0), [Recipe(epochs=1)])[-1]
    with pytest.raises(LibraryError, match="has shared values, and a parent needs values of its own"):
        new_training(library, clip, replace(CODED, parent="0"), DEFAULT)
    with pytest.raises(LibraryError, match="session 'nobody' does not exist"):
        new_training(library, clip, replace(CODED, parent="nobody"), DEFAULT)
    with pytest.raises(UsageError, match="places values have no parent"):
        replace(PLACED, parent="0")
