"""The cost model behind `--fourier auto`: predicts the time of a lowering.

A lowering states its arithmetic and traffic for one frame at batch 1 as a `LoweringCost`; the time is

    nodes · NODE + weight bytes · WEIGHT + moved bytes · MOVE + matrix MACs · MATRIX + convolution MACs · CONV

with one constant per kind of work. They were fitted by least squares of relative error to ONNX Runtime on one core
of a server CPU with AVX-512 (`benchmarks/fourier_lowerings.py --fit` prints new ones and how well they predict).
Other machines differ more by a common factor than in their ratios, and only ratios matter. The choice depends on
sizes alone, never on the machine, and so do an artifact's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

# Seconds per unit, in the order of `LoweringCost.terms`.
NODE = 1.9e-6
WEIGHT = 4.1e-11
MOVE = 4.0e-11
MATRIX = 4.4e-11
CONV = 2.0e-11


@dataclass(frozen=True)
class LoweringCost:
    """One frame of a lowered Fourier block.

    - nodes: operators run, except Reshape, which moves nothing.
    - weight_bytes: stored constants, read once per frame.
    - moved_bytes: activations written in another order or place (transpositions, padding, results), counted once.
    - matrix_macs: multiply-adds in matrix products.
    - conv_macs: multiply-adds in convolutions.
    """

    nodes: int
    weight_bytes: int
    moved_bytes: int
    matrix_macs: int
    conv_macs: int

    @property
    def macs(self) -> int:
        """All multiply-adds."""
        return self.matrix_macs + self.conv_macs

    def terms(self) -> tuple[int, int, int, int, int]:
        """The amounts multiplied by this module's constants."""
        return self.nodes, self.weight_bytes, self.moved_bytes, self.matrix_macs, self.conv_macs

    @property
    def seconds(self) -> float:
        """Predicted time of one frame on the machine that the constants are from."""
        rates = (NODE, WEIGHT, MOVE, MATRIX, CONV)
        return sum(amount * rate for amount, rate in zip(self.terms(), rates, strict=True))
