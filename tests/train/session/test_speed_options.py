"""bfloat16 changes how a training computes, not what it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.libraries import made_clip, made_library, small_config

from pfnr_runtime.errors import UsageError
from pfnr_train.machine.execution import Execution
from pfnr_train.model.spectral import MatmulMixer
from pfnr_train.run.add_session import add_session, new_training
from pfnr_train.session.recipe import Recipe


def test_bfloat16_rounds_the_network_but_not_its_fourier_block(monkeypatch: pytest.MonkeyPatch) -> None:
    library = made_library(small_config("add", bias=True), 1)
    clip = made_clip(library.config)
    seen: list[torch.dtype] = []
    mix = MatmulMixer.forward

    def watched(mixer: MatmulMixer, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        mixed = mix(mixer, x, weight)
        seen.extend((x.dtype, mixed.dtype))
        return mixed

    monkeypatch.setattr(MatmulMixer, "forward", watched)
    losses = {}
    for precision in ("fp32", "bf16"):
        training = new_training(library, clip, Recipe(epochs=8, batch=2, precision=precision), Execution())
        losses[precision] = [result.loss for result in training.run()]
        assert {t.dtype for t in (*training.form.weights.values(), *training.form.scores.values())} == {
            torch.float32
        }
    assert set(seen) == {torch.float32}
    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"][0] == pytest.approx(losses["fp32"][0], rel=0.02)
    assert np.mean(losses["bf16"][-6:]) < np.mean(losses["bf16"][:6])


def test_bfloat16_keeps_frozen_weights_to_the_bit() -> None:
    library = made_library(small_config("add"), 2)
    recipe = Recipe(epochs=3, precision="bf16")
    grown, _ = add_session(library, made_clip(library.config), "third", "", recipe, lambda *_: None)
    for name, used in library.used().items():
        assert grown.weights[name][used].tobytes() == library.weights[name][used].tobytes()


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="precision fp8 is not allowed; choose fp32 or bf16"):
        Recipe(precision="fp8")
