"""From a session of a library to a plain decoder: masks folded into weights, the Fourier block lowered."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from pfnr_export.canvas import canvas_layers
from pfnr_export.layers import (
    Branches,
    Conv,
    Decoder,
    Head,
    Linear,
    OutputActivation,
    PixelShuffle,
    Relu,
    Silu,
    Table,
    ToMap,
)
from pfnr_export.lowerings import Lowering
from pfnr_train.model.config import BlockShape, ModelConfig
from pfnr_train.model.network import SessionWeights, spectral_plan


def materialise(
    session: SessionWeights,
    lowering: type[Lowering],
    dtype: torch.dtype = torch.float32,
    *,
    continuous: bool = False,
) -> Decoder:
    """The decoder of one session as a list of layers, without masks, FFTs or complex numbers.

    continuous: without the time table, so that it takes the embedding [B, 4L] in place of frame numbers.
    """
    config = session.config
    weights = {name: w.to(dtype) for name, w in session.materialised().items()}
    head = {name: w.to(dtype) for name, w in session.head.items()}
    table = torch.from_numpy(session.time_table).to(dtype)
    if config.canvas is not None:
        return Decoder(canvas_layers(config, table, weights, head))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if not continuous:
        layers["time"] = Table(table)
    for i in (0, 1):
        layers[f"stem_{i}"] = Linear(weights[f"stem.{i}.weight"], weights.get(f"stem.{i}.bias"))
        layers[f"stem_{i}_relu"] = Relu()
    layers["map"] = ToMap(config.channels, *config.grid)
    for block in config.blocks():
        layers |= _block(config, block, weights, lowering)
        layers[f"block_{block.index}_silu"] = Silu()
    layers["head"] = Head(head["weight"], head.get("bias"))
    layers["output"] = OutputActivation(config.output)
    return Decoder(layers)


def _block(
    config: ModelConfig, block: BlockShape, weights: dict[str, Tensor], lowering: type[Lowering]
) -> OrderedDict[str, nn.Module]:
    name, scope = f"block.{block.index}", f"block_{block.index}"
    conv: OrderedDict[str, nn.Module] = OrderedDict()
    fourier: OrderedDict[str, nn.Module] = OrderedDict()
    if block.conv_channels:
        conv[f"{scope}_conv"] = Conv(weights[f"{name}.conv.weight"], weights.get(f"{name}.conv.bias"))
        conv[f"{scope}_shuffle"] = PixelShuffle(block.stride, (block.rows, block.columns))
    if block.fourier_channels:
        plan = spectral_plan(config, block)
        fourier[f"{scope}_fourier"] = lowering(plan, weights[f"{name}.fourier.weight"])
    if conv and fourier:
        assert config.fourier is not None
        both = Branches(nn.Sequential(conv), nn.Sequential(fourier), config.fourier.combine)
        return OrderedDict({f"{scope}_branches": both})
    return conv or fourier
