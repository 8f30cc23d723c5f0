"""Own values that are trained for the bytes they take: whole numbers on grids whose steps are learnt.

leaf w, step d = 2^l ─▶ w / d ─ noise, later rounding ─▶ q ─┬─ q · d ─▶ network ─▶ ln rmse
                                                            └─ bits(q) ──────▶ + λ · bits / pixel

Noise of ± 1/2 stands for rounding at first, and has exact gradients. In the last part of the training steps stay
at the nearest powers of two, and symbols are rounded as in the file, with gradients that go straight through.
Zeros are symbols like any other, so there are no masks: λ makes most weights 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pfnr_runtime.coding.quantised import Quantised
from pfnr_train.library.values.coded import HEAD, CodedValues
from pfnr_train.session.forms.base import Form, Start, Trained
from pfnr_train.session.gains import first_step, gain
from pfnr_train.session.initialise import new_head
from pfnr_train.session.optimisers import SessionOptimiser
from pfnr_train.session.rate import tensor_bits
from pfnr_train.session.recipe import Recipe
from pfnr_train.session.size_target import SIDE_BYTES, checked_target, packed_bytes
from pfnr_train.session.steering import CanvasSteering, Steering

LEAST_EXPONENT, MOST_EXPONENT = -30, 10  # of steps
MOST_VALUE = 32767  # steps in a weight
# Part of the training over which λ rises to what it is to be, and the power by which: a canvas network's maps of
# time would die of bits before they have learnt anything, and do not come back.
RAMP, CANVAS_RAMP = (0.3, 1), (0.5, 2)
# To fit a target that was missed by a little, the dead zone around 0 may grow up to so many steps; found in so
# many halvings.
MOST_DEAD, TRIMS = 1.2, 8
MEASURE = 8  # times a training that real bytes are compared with the estimate


class CodedForm(Form):
    """The trained form of coded values.

    - steps: leaves by name of `stream_shapes`, log2 of each tensor's step.
    - rate: λ as it stands.
    - ratio: real bytes over estimated ones, when last measured.
    - inherits: tensors that are differences now.
    """

    def __init__(self, recipe: Recipe, start: Start, generator: torch.Generator) -> None:
        super().__init__(recipe, start)
        self._generator = generator
        self.parent = None if start.parent is None else start.parent[0]
        self._theirs: dict[str, Tensor] = {}
        first = {name: torch.from_numpy(w.copy()) for name, w in start.weights.items()}
        if start.parent is not None:
            self._theirs = {name: torch.from_numpy(w.copy()) for name, w in start.parent[1].items()}
            first = {name: w.clone() for name, w in self._theirs.items()}
            self._theirs = {name: w.to(self.device) for name, w in self._theirs.items()}
        self.inherits: tuple[str, ...] = ()
        self._gains = {
            n: g.to(self.device) for n, w in first.items() if (g := gain(n, tuple(w.shape))) is not None
        }
        self.weights = {
            n: self._leaf(w / g.cpu() if (g := self._gains.get(n)) is not None else w) for n, w in first.items()
        }
        self.head = {n: self._leaf(h) for n, h in new_head(start.config, generator).items()}
        self.steps = {}
        for name, leaf in self._tensors().items():
            self.steps[name] = self._leaf(torch.tensor(math.log2(first_step(name, leaf, recipe.levels))))
        nothing: dict[str, Tensor | None] = dict.fromkeys(self.weights)
        heads, steps = list(self.head.values()), list(self.steps.values())
        self.optimiser = SessionOptimiser(recipe, self.weights, nothing, heads, steps, frozenset(self._gains))
        self.rate = recipe.rate
        self.ratio = 1.0
        self._bits: Tensor | None = None
        self._measured = -1
        target = checked_target(recipe, start.pixels, start.config)
        kind = Steering if start.config.canvas is None else CanvasSteering
        self._steering = None if target is None else kind(target, recipe.rate)

    def _tensors(self) -> dict[str, Tensor]:
        """What the leaves stand for: weights and head, by the stream's names."""
        weights = {name: leaf * self._gains.get(name, 1.0) for name, leaf in self.weights.items()}
        return weights | {HEAD + name: h for name, h in self.head.items()}

    def leaves(self) -> dict[str, dict[str, Tensor]]:
        """See `Form`."""
        return {"weights": self.weights, "head": self.head, "steps": self.steps}

    def network(self, progress: float | None) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Form`: noisy, or rounded with straight-through gradients, as for a file."""
        rounded = progress is None or progress >= self.recipe.noise
        found, bits = {}, []
        for name, leaf in self._tensors().items():
            step = self._step(name, rounded)
            base = self._theirs[name] if name in self.inherits else None
            scaled = (leaf if base is None else leaf - base) / step
            if rounded:
                symbols = (scaled + (scaled.round() - scaled).detach()).clamp(-MOST_VALUE, MOST_VALUE)
                bits.append(tensor_bits(name, symbols))
            else:
                noise = torch.rand(leaf.shape, generator=self._generator) - 0.5
                symbols = scaled + noise.to(self.device)
                bits.append(tensor_bits(name, scaled))
            found[name] = symbols * step if base is None else base + symbols * step
        self._bits = torch.stack(bits).sum()
        head = {name: found.pop(HEAD + name) for name in self.head}
        return found, head

    def _step(self, name: str, rounded: bool) -> Tensor:
        exponent = self.steps[name].clamp(LEAST_EXPONENT, MOST_EXPONENT)
        # Once weights are rounded, a step that went to the next power of two would change the size at a stroke.
        return torch.exp2(exponent.detach().round() if rounded else exponent)

    def objective(self, distance: Tensor, progress: float) -> Tensor:
        """See `Form`: ln rmse + λ · bits / pixel."""
        assert self._bits is not None
        part, power = self._ramp
        rate = self.rate * min(1.0, progress / part) ** power
        return distance + rate * self.ratio * self._bits / self.start.pixels

    @property
    def _ramp(self) -> tuple[float, int]:
        return RAMP if self.start.config.canvas is None else CANVAS_RAMP

    @property
    def size(self) -> float | None:
        """See `Form`."""
        return None if self._bits is None else SIDE_BYTES + self.ratio * float(self._bits.detach()) / 8

    def observe(self, step: int, progress: float) -> None:
        """See `Form`: compare with real bytes now and then, and steer λ to the target."""
        due = int(progress * MEASURE)
        rounding = progress >= self.recipe.noise
        if due > self._measured or (rounding and progress == 1):
            self._measured = due
            if self._theirs and not rounding:
                self._choose_inherited()
            self._measure()
        size = self.size
        if self._steering is not None and size is not None:
            if self._steering.rounded:
                size = SIDE_BYTES + self.ratio * float(self._rounded_bits()) / 8
            self.rate = self._steering.rate(size, progress, progress / step)

    def _measure(self) -> None:
        estimated = float(self._rounded_bits()) / 8
        self.ratio = len(self._values().data) / max(estimated, 1.0)

    @torch.no_grad()
    def _rounded_bits(self) -> Tensor:
        kept = self._bits
        self.network(None)
        assert self._bits is not None
        bits, self._bits = self._bits, kept
        return bits

    @torch.no_grad()
    def _choose_inherited(self) -> None:
        """Take the parent's tensor as a base wherever that takes fewer bits now."""
        chosen = []
        for name, theirs in self._theirs.items():
            leaf, step = self.weights[name] * self._gains.get(name, 1.0), self._step(name, rounded=True)
            alone, different = ((w / step).round() for w in (leaf, leaf - theirs))
            if float(tensor_bits(name, different)) < float(tensor_bits(name, alone)):
                chosen.append(name)
        self.inherits = tuple(chosen)

    @torch.no_grad()
    def _values(self, dead_zone: float = 0.5) -> CodedValues:
        """The session as it stands. dead_zone: weights of fewer steps are 0."""
        tensors = {}
        for name, leaf in self._tensors().items():
            base = self._theirs[name] if name in self.inherits else 0.0
            scaled = (leaf - base) / self._step(name, rounded=True)
            symbols = torch.where(scaled.abs() < dead_zone, 0.0, scaled).round().clamp(-MOST_VALUE, MOST_VALUE)
            exponent = round(float(self.steps[name].clamp(LEAST_EXPONENT, MOST_EXPONENT)))
            tensors[name] = Quantised(symbols.to(torch.int32).cpu().numpy(), exponent)
        return CodedValues.of(tensors, self.parent, self.inherits)

    def finish(self) -> Trained:
        """See `Form`."""
        values = self._values() if self._steering is None else self._fitted(self._steering.target)
        theirs = {} if self.start.parent is None else self.start.parent[1]
        return Trained(values, values.materialise(self.start.config, {}, lambda _: theirs))

    def _fitted(self, target: float) -> CodedValues:
        """The values that fit into the target, by as small a dead zone as does; as they are where none does."""
        values, wide = self._values(), self._values(MOST_DEAD)
        if packed_bytes(values) <= target or packed_bytes(wide) > target:
            return values
        least, most = 0.5, MOST_DEAD
        for _ in range(TRIMS):
            middle = (least + most) / 2
            tried = self._values(middle)
            if packed_bytes(tried) <= target:
                most, wide = middle, tried
            else:
                least = middle
        return wide

    def state(self) -> dict[str, Any]:
        """See `Form`."""
        return {
            "rate": self.rate,
            "ratio": self.ratio,
            "measured": self._measured,
            "steering": None if self._steering is None else self._steering.state(),
            "inherits": list(self.inherits),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """See `Form`."""
        self.rate, self.ratio = float(state["rate"]), float(state["ratio"])
        self._measured = int(state["measured"])
        if self._steering is not None:
            self._steering.load_state([float(number) for number in state["steering"]])
        self.inherits = tuple(state["inherits"])
        if unknown := set(self.inherits) - self._theirs.keys():
            raise ValueError(f"a difference from no parent's {sorted(map(str, unknown))[:3]}")
