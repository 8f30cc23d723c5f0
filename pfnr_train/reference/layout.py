"""The network of a reference checkpoint, from its flags and its tensors' shapes, which must agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from pfnr_runtime.errors import UsageError
from pfnr_train.model.config import BlockShape, FourierConfig, ModelConfig
from pfnr_train.reference.checkpoint import CheckpointError, ReferenceCheckpoint
from pfnr_train.reference.flags import ReferenceFlags

FC = ("stem.mlp_fc1", "stem.mlp_fc2")
# Scores and constants, irrelevant once the masks are known.
_TWINS = re.compile(r"\.(w_m|b_m|w_m_real\.\d|w_m_imag\.\d|ones_weight\.\d|zeros_weight\.\d)$")


def conv_name(block: int) -> str:
    """Name of a block's convolution in the file, without `.weight`."""
    return f"layers.{block}.conv.conv"


def fourier_name(block: int) -> str:
    """Name of a block's Fourier block in the file, without `.weight_real`."""
    return f"layers.{block}.conv.conv_freq"


@dataclass(frozen=True)
class ReferenceLayout:
    """A checkpoint's network in our terms. tasks: the planned number, and so the number of heads.

    modes: (m1, m2) its Fourier block keeps, which may be fewer than in our networks; (0, 0) without one.
    """

    config: ModelConfig
    tasks: int
    modes: tuple[int, int]


def find_layout(checkpoint: ReferenceCheckpoint, flags: ReferenceFlags) -> ReferenceLayout:
    """The network of a checkpoint; a CheckpointError names the tensor that contradicts the flags."""
    state = checkpoint.state
    blocks = {int(m[1]) for name in state if (m := re.match(r"layers\.(\d{1,4})\.", name))}
    if blocks != set(range(len(flags.strides))):
        raise CheckpointError(
            f"--strides {' '.join(map(str, flags.strides))} names {len(flags.strides)} blocks, and the checkpoint "
            f"has {len(blocks)}"
        )
    fourier = _fourier(state, flags)
    widths = [_width(state, flags, block, fourier) for block in range(len(flags.strides))]
    tasks = _count_tasks(state)
    try:
        config = ModelConfig(
            grid=flags.grid,
            strides=flags.strides,
            channels=flags.channels,
            lower_width=_lower_width(flags, widths),
            stem_width=_shape(state, f"{FC[0]}.weight", 2)[0],
            reduction=flags.reduction,
            bias=f"{FC[0]}.bias" in state,
            fourier=fourier,
            output="sigmoid" if flags.sigmoid else "tanh",
            embed_base=flags.embed_base,
            embed_levels=flags.embed_levels,
        )
    except UsageError as error:
        raise CheckpointError(f"the checkpoint and its flags do not make a network: {error}") from None
    modes = (0, 0)
    if fourier is not None:
        modes = _modes(state, config.blocks()[fourier.block])
    layout = ReferenceLayout(config, tasks, modes)
    _check_shapes(state, layout)
    return layout


def expected_shapes(layout: ReferenceLayout) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every masked tensor the file must have."""
    config = layout.config
    rows, columns = config.grid
    stem_out = rows * columns * config.channels
    for name, shape in zip(
        FC, ((config.stem_width, 4 * config.embed_levels), (stem_out, config.stem_width)), strict=True
    ):
        yield f"{name}.weight", shape
        if config.bias:
            yield f"{name}.bias", shape[:1]
    for block in config.blocks():
        if block.conv_channels:
            out = block.conv_channels * block.stride**2
            yield f"{conv_name(block.index)}.weight", (out, block.in_channels, 3, 3)
            if config.bias:
                yield f"{conv_name(block.index)}.bias", (out,)
        if block.fourier_channels:
            for part in ("real", "imag"):
                for band in (0, 1):
                    name = f"{fourier_name(block.index)}.weight_{part}.{band}"
                    yield name, (block.in_channels, block.fourier_channels, *layout.modes)


def _shape(state: dict[str, Tensor], name: str, rank: int) -> tuple[int, ...]:
    if name not in state:
        raise CheckpointError(f"the checkpoint lacks {name}; it is no masked network of the reference code")
    if state[name].dim() != rank:
        raise CheckpointError(f"{name} has shape {_text(tuple(state[name].shape))}, where {rank} sides belong")
    return tuple(state[name].shape)


def _fourier(state: dict[str, Tensor], flags: ReferenceFlags) -> FourierConfig | None:
    found = sorted({int(m[1]) for name in state if (m := re.match(r"layers\.(\d+)\.conv\.conv_freq\.", name))})
    if len(found) > 1:
        raise CheckpointError(f"the checkpoint has Fourier blocks at {found}; pfnr's network has at most one")
    block = found[0] if found else -1
    if flags.freq is not None and max(flags.freq, -1) != block:
        where = f"its Fourier block at {block}" if found else "no Fourier block"
        raise CheckpointError(f"--freq {flags.freq}: the checkpoint has {where}; give --freq {block}")
    if not found:
        return None
    channels = _shape(state, f"{fourier_name(block)}.weight_real.0", 4)[1]
    joined = f"{conv_name(block)}.weight" in state
    if flags.cat_size is not None and (flags.cat_size if flags.cat_size > 0 else 0) != (channels if joined else 0):
        fact = f"joins {channels} Fourier channels" if joined else "has no convolution in that block"
        raise CheckpointError(
            f"--cat-size {flags.cat_size}: the checkpoint {fact}; give --cat-size {channels if joined else -1}"
        )
    return FourierConfig(block, "concat" if joined else "replace", "reference", channels if joined else 0)


def _width(state: dict[str, Tensor], flags: ReferenceFlags, block: int, fourier: FourierConfig | None) -> int:
    width = 0
    if fourier is not None and fourier.block == block:
        width = _shape(state, f"{fourier_name(block)}.weight_real.0", 4)[1]
        if fourier.combine == "replace":
            return width
    name, scale = f"{conv_name(block)}.weight", flags.strides[block] ** 2
    out = _shape(state, name, 4)[0]
    if out % scale:
        raise CheckpointError(
            f"--strides: block {block} has {out} convolution channels ({name}), not a multiple of {scale} as its "
            f"stride {flags.strides[block]} needs"
        )
    return width + out // scale


def _lower_width(flags: ReferenceFlags, widths: list[int]) -> int:
    if widths[0] != flags.channels:
        raise CheckpointError(
            f"block 0 gives {widths[0]} channels and --fc-hw-dim says {flags.channels}: the flags are of another "
            "checkpoint, or it was trained with an --expansion other than 1, which pfnr's network does not have"
        )
    derived = min(widths[1:], default=flags.channels)
    lower = derived if flags.lower_width is None else flags.lower_width
    width = flags.channels
    for block, stride in enumerate(flags.strides[1:], 1):
        width = max(width // (1 if stride == 1 else flags.reduction), lower)
        if width != widths[block]:
            raise CheckpointError(
                f"block {block} gives {widths[block]} channels, and --strides, --fc-hw-dim, --reduction "
                f"{flags.reduction} and lower width {lower} make {width}; check these flags"
            )
    return lower


def _count_tasks(state: dict[str, Tensor]) -> int:
    heads = sorted(int(m[1]) for name in state if (m := re.fullmatch(r"head_layers\.(\d{1,4})\.weight", name)))
    if not heads or heads != list(range(len(heads))):
        raise CheckpointError(f"the checkpoint has heads {heads}, where one a task from 0 on belongs")
    return len(heads)


def _modes(state: dict[str, Tensor], block: BlockShape) -> tuple[int, int]:
    name = f"{fourier_name(block.index)}.weight_real.0"
    *_, m1, m2 = _shape(state, name, 4)
    # The reference code sets modes by the block's number: fewer than the map has are expressible, more not.
    if not (1 <= m1 <= block.modes[0] and 1 <= m2 <= block.modes[1]):
        raise CheckpointError(
            f"{name} keeps {m1}x{m2} modes of a {block.rows}x{block.columns} map, which has {block.modes[0]}x"
            f"{block.modes[1]}; check --fc-hw-dim and --strides"
        )
    return m1, m2


def _check_shapes(state: dict[str, Tensor], layout: ReferenceLayout) -> None:
    expected = dict(expected_shapes(layout))
    head = layout.config.head_shapes()
    for task in range(layout.tasks):
        expected[f"head_layers.{task}.weight"] = (*head["weight"], 1, 1)
        if layout.config.bias:
            expected[f"head_layers.{task}.bias"] = head["bias"]
    for name, shape in expected.items():
        if name not in state:
            raise CheckpointError(f"the checkpoint lacks {name}, which the flags require")
        if tuple(state[name].shape) != shape:
            raise CheckpointError(
                f"{name} has shape {_text(tuple(state[name].shape))}, but the flags require {_text(shape)}; "
                "check --fc-hw-dim, --strides and --embed"
            )
    for name in state:
        if name not in expected and not _TWINS.search(name):
            raise CheckpointError(
                f"the checkpoint has {name[:100]}, which pfnr's network does not: norms, deconvolutions, spectral "
                "stems and several convolutions a block cannot be imported"
            )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "of a single number"
