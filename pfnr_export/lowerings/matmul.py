"""The `matmul` lowering: truncated DFTs as constant real matrices, mode mixing as one batched product."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from pfnr_export.graph import Graph
from pfnr_export.layers import as_float32
from pfnr_export.lowerings.base import Lowering
from pfnr_export.lowerings.cost import LoweringCost
from pfnr_train.model.spectral import MatmulMixer, SpectralPlan


class MatmulLowering(Lowering):
    """See `pfnr_train.model.spectral.MatmulMixer`, which it writes out product by product.

    The weights are stored once, [K, C, 2·O]: real and imaginary input rows are stacked along the batch.
    """

    name: ClassVar[str] = "matmul"
    stores_weights: ClassVar[bool] = True

    def __init__(self, plan: SpectralPlan, weight: Tensor) -> None:
        super().__init__(plan, weight)
        self.mixer = MatmulMixer(plan, weight.dtype)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mixer(x, self.weight)
        return mixed

    def emit(self, graph: Graph, x: str) -> str:
        plan, mixer = self.plan, self.mixer
        C, outputs = self.weight.shape[1], self.weight.shape[2] // 2
        rows, m2, rH, rW = 2 * plan.m1, plan.m2, plan.rows * plan.stride, plan.columns * plan.stride

        def multiply(left: str, matrix: Tensor, right: str) -> str:
            return graph.node("MatMul", [graph.constant(left, as_float32(matrix)), right], name=left + ".product")

        x = graph.reshape(graph.transpose(x, (2, 3, 0, 1)), (plan.rows, plan.columns, -1))
        x = graph.reshape(multiply("columns_in", mixer.columns_in, x), (plan.rows * 2, -1))
        x = graph.reshape(multiply("rows_in", mixer.rows_in, x), (rows, 2, m2, -1, C))
        x = graph.reshape(graph.transpose(x, (0, 2, 1, 3, 4)), (plan.mode_count, -1, C))
        x = graph.node("MatMul", [x, graph.weight("weight", as_float32(self.weight))], name="mix")
        x = graph.reshape(x, (rows, m2, 2, -1, 2, outputs))
        x = graph.reshape(graph.transpose(x, (0, 2, 4, 1, 3, 5)), (rows * 4, -1))
        x = graph.reshape(multiply("rows_out", mixer.rows_out, x), (rH, 2 * m2, -1))
        x = graph.reshape(multiply("columns_out", mixer.columns_out, x), (rH, rW, -1, outputs))
        return graph.transpose(x, (2, 3, 0, 1))

    @classmethod
    def cost(cls, plan: SpectralPlan, in_channels: int, out_channels: int) -> LoweringCost:
        H, W, rows, m2, K = plan.rows, plan.columns, 2 * plan.m1, plan.m2, plan.mode_count
        C, O, rH, rW = in_channels, out_channels, plan.rows * plan.stride, plan.columns * plan.stride  # noqa: E741
        matrices = 2 * m2 * W + 2 * rows * 2 * H + 2 * rH * 4 * rows + rW * 2 * m2
        products = (2 * m2 * W * H * C, 4 * rows * H * m2 * C, 8 * rH * rows * m2 * O, 2 * rH * rW * m2 * O)
        inputs, mixed, outputs = C * H * W, K * (2 * C + 4 * O), O * rH * rW
        return LoweringCost(
            nodes=9,
            weight_bytes=4 * (matrices + K * C * 2 * O),
            moved_bytes=4 * (inputs + 2 * H * m2 * C + mixed + 2 * rH * m2 * O + 2 * outputs),
            matrix_macs=sum(products) + K * 2 * C * 2 * O,
            conv_macs=0,
        )


LOWERING = MatmulLowering
