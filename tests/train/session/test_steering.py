"""Steering to a size: sizes above their course raise λ, sizes below it lower it, and a stop changes nothing."""

from __future__ import annotations

import math

import pytest

from pfnr_train.session.steering import BEGIN, LEFT, CanvasSteering, Steering


@pytest.mark.parametrize("kind", [Steering, CanvasSteering])
def test_lambda_rises_above_the_course_and_falls_below_it(kind: type[Steering]) -> None:
    for progress in (0.3, 0.5, 0.7, 0.9):
        rates = []
        for size in (2_000, 10_000, 50_000):
            steering = kind(10_000, 4.0)
            steering.rate(60_000, BEGIN, 0.01)
            rates.append(steering.rate(size, progress, 0.01))
        assert rates == sorted(rates)
        assert rates[0] < rates[2]


def test_a_size_on_the_course_of_a_canvas_network_keeps_lambda() -> None:
    steering = CanvasSteering(10_000, 4.0)
    steering.rate(80_000, BEGIN, 0.01)
    level = steering.level
    for progress, left in LEFT:
        assert steering.rate(10_000 * 8**left, progress, 0.01) == pytest.approx(math.exp(level))


def test_a_canvas_network_begins_with_the_given_rate_and_then_guesses_a_higher_one_for_smaller_files() -> None:
    guesses = []
    for target in (40_000, 20_000, 10_000, 5_000):
        steering = CanvasSteering(target, 4.0)
        assert steering.rate(90_000, BEGIN / 2, 0.01) == pytest.approx(4.0)
        steering.rate(90_000, BEGIN, 0.01)
        guesses.append(steering.level)
    assert guesses == sorted(guesses)
    assert guesses[0] < guesses[-1]


@pytest.mark.parametrize("kind", [Steering, CanvasSteering])
def test_it_goes_on_from_its_state(kind: type[Steering]) -> None:
    sizes = [90_000, 80_000, 60_000, 40_000, 12_000, 10_500]
    whole, first, second = (kind(10_000, 4.0) for _ in range(3))
    rates = [whole.rate(size, (i + 1) / 8, 1 / 8) for i, size in enumerate(sizes)]
    for i, size in enumerate(sizes[:3]):
        first.rate(size, (i + 1) / 8, 1 / 8)
    second.load_state(first.state())
    assert [second.rate(size, (i + 4) / 8, 1 / 8) for i, size in enumerate(sizes[3:])] == rates[3:]


def test_a_target_above_the_free_size_is_no_error() -> None:
    steering = CanvasSteering(1_000_000, 4.0)
    assert 0 < steering.rate(90_000, 0.5, 0.01) < 4.0
