"""The network as a function of its weights: frame = f(embedding, weights, head), and a session of it.

Data flow of one frame (C_i×h_i×w_i at block i):

    embedding [4L] ─ Linear ─ ReLU ─ Linear ─ ReLU ─ reshape ─▶ C_0×h×w
    C_i×h_i×w_i ─┬─ conv 3×3 ─ PixelShuffle(r) ─┐
                 └─ Fourier block ──────────────┴─ combine ─ SiLU ─▶ C_{i+1}×r·h_i×r·w_i
    C_n×H×W ─ 1×1 head of the session ─ (tanh+1)/2 or sigmoid ─▶ 3×H×W in [0, 1]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from pfnr_train.model.canvas import CanvasNetwork
from pfnr_train.model.config import BlockShape, ModelConfig
from pfnr_train.model.precision import kept_exact
from pfnr_train.model.spectral import MatmulMixer, SpectralPlan, mix_by_definition

Mixer = Callable[[Tensor, Tensor], Tensor]


def spectral_plan(config: ModelConfig, block: BlockShape) -> SpectralPlan:
    """The sizes of the Fourier block of `block`."""
    assert config.fourier is not None
    return SpectralPlan(block.rows, block.columns, block.stride, config.fourier.placement)


class Network(nn.Module):
    """The network of a library; it holds no weights.

    `forward(embedding [B, 4L], weights, head)` gives frames [B, 3, H, W] in [0, 1]; weights are by the names
    of `ModelConfig.tensor_shapes`, already masked. `fast` runs the Fourier block as real matrix products
    (what training uses); otherwise it is the definition through FFTs, which parity is checked against.
    """

    def __init__(self, config: ModelConfig, *, fast: bool, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        self.blocks = config.blocks()
        self.mixers = nn.ModuleDict()
        self.fast = fast
        for block in self.blocks:
            if block.fourier_channels and fast:
                self.mixers[str(block.index)] = MatmulMixer(spectral_plan(config, block), dtype)

    def forward(self, embedding: Tensor, weights: Mapping[str, Tensor], head: Mapping[str, Tensor]) -> Tensor:
        """See the class."""
        x = F.relu(F.linear(embedding, weights["stem.0.weight"], weights.get("stem.0.bias")))
        x = F.relu(F.linear(x, weights["stem.1.weight"], weights.get("stem.1.bias")))
        x = x.view(-1, self.config.channels, *self.config.grid)
        if self.fast:  # convolutions of a training step take two thirds of the time in this layout
            x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks[:-1]:
            x = F.silu(self._block(block, x, weights))
        last = self.blocks[-1]
        if self.fast and not last.fourier_channels:
            rgb = self._last_block_and_head(last, x, weights, head)
        else:
            x = F.silu(self._block(last, x, weights))
            rgb = F.conv2d(x, head["weight"][:, :, None, None], head.get("bias"))
        return torch.sigmoid(rgb) if self.config.output == "sigmoid" else (torch.tanh(rgb) + 1) * 0.5

    def _last_block_and_head(
        self, block: BlockShape, x: Tensor, weights: Mapping[str, Tensor], head: Mapping[str, Tensor]
    ) -> Tensor:
        # The activation and the 1×1 head act on each position alone, so they commute with the shuffle:
        # applied before it, three channels are shuffled instead of all. The head on each of the r² sub-pixels
        # is one linear layer whose zeros cost less than a copy of its input would.
        name, r = f"block.{block.index}.conv", block.stride
        y = F.silu(F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), padding=1))
        each = torch.kron(head["weight"], torch.eye(r * r, dtype=y.dtype, device=y.device))
        bias = head["bias"].repeat_interleave(r * r) if "bias" in head else None
        # Channels are innermost, so it is one matrix product; as a convolution its backward pass takes longer.
        return F.pixel_shuffle(F.linear(y.permute(0, 2, 3, 1), each, bias).permute(0, 3, 1, 2), r)

    def _block(self, block: BlockShape, x: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        name = f"block.{block.index}"
        parts = []
        if block.conv_channels:
            y = F.conv2d(x, weights[f"{name}.conv.weight"], weights.get(f"{name}.conv.bias"), padding=1)
            parts.append(F.pixel_shuffle(y, block.stride))
        if block.fourier_channels:
            parts.append(self._mix(block, x, weights[f"{name}.fourier.weight"]))
        if len(parts) == 1:
            return parts[0]
        assert self.config.fourier is not None
        return torch.cat(parts, 1) if self.config.fourier.combine == "concat" else parts[0] + parts[1]

    def _mix(self, block: BlockShape, x: Tensor, weight: Tensor) -> Tensor:
        if self.fast:
            with kept_exact(x.device):
                mixed: Tensor = self.mixers[str(block.index)](x.to(weight.dtype), weight)
            return mixed.contiguous(memory_format=torch.channels_last)
        return mix_by_definition(x, weight, spectral_plan(self.config, block))


def make_network(config: ModelConfig, *, fast: bool, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The network of a configuration: `Network`, or `pfnr_train.model.canvas.CanvasNetwork`."""
    return Network(config, fast=fast, dtype=dtype) if config.canvas is None else CanvasNetwork(config, fast=fast)


@dataclass(frozen=True)
class SessionWeights:
    """What one session decodes with: the shared weights, its masks, its head and its time table.

    weights, masks (bool): by tensor name. head: by name. time_table: float32 [N, 4L].
    """

    config: ModelConfig
    weights: dict[str, Tensor]
    masks: dict[str, Tensor]
    head: dict[str, Tensor]
    time_table: NDArray[np.float32]

    def materialised(self) -> dict[str, Tensor]:
        """The shared weights with the session's masks folded in."""
        return {name: torch.where(self.masks[name], w, 0.0) for name, w in self.weights.items()}


class MaskedSession(nn.Module):
    """The masked PyTorch model of one session: masks applied at every call, FFTs by definition.

    `forward(frame_index int64 [B])` gives float frames [B, 3, H, W] in [0, 1]. The reference every exported
    file is verified against, in float32 as trained or in float64. All of it is buffers: `.to()` moves the whole.
    """

    table: Tensor

    def __init__(self, session: SessionWeights, dtype: torch.dtype = torch.float32, fast: bool = False) -> None:
        super().__init__()
        self.network = make_network(session.config, fast=fast, dtype=dtype)
        self._names = {"weights": list(session.weights), "masks": list(session.masks), "head": list(session.head)}
        for kind in self._names:
            for name, values in getattr(session, kind).items():
                moved = values if kind == "masks" else values.to(dtype)
                self.register_buffer(_buffer(kind, name), moved)
        self.register_buffer("table", torch.from_numpy(session.time_table).to(dtype))

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        return {name: getattr(self, _buffer(kind, name)) for name in self._names[kind]}

    @torch.no_grad()
    def forward(self, frame_index: Tensor) -> Tensor:
        """See the class."""
        masks = self._tensors("masks")
        # Not a product: a weight that is not this session's may be anything, and NaN · 0 is NaN.
        masked = {name: torch.where(masks[name], w, 0.0) for name, w in self._tensors("weights").items()}
        frames: Tensor = self.network(self.table[frame_index], masked, self._tensors("head"))
        return frames


def _buffer(kind: str, name: str) -> str:
    """A tensor's name as a buffer, which may not have dots."""
    return f"{kind}_{name.replace('.', '_')}"


def to_uint8(frames: Tensor) -> NDArray[np.uint8]:
    """Frames [B, 3, H, W] in [0, 1] as uint8 [B, H, W, 3]: scaled by 255, rounded half to even, clipped."""
    scaled = torch.round(frames * 255).clamp_(0, 255)
    pixels: NDArray[np.uint8] = scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels
