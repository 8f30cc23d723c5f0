"""What a network of a library is made of: sizes, strides, the Fourier block. One definition for all."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from pfnr_runtime.errors import UsageError
from pfnr_runtime.video.record import require_fields
from pfnr_train.model.canvas import LATENTS, OUTPUT, PANNED, CanvasConfig
from pfnr_train.model.stride_plan import find_plan, plan_strides

COMBINES = ("replace", "add", "concat")
PLACEMENTS = ("centered", "reference")
OUTPUTS = ("tanh", "sigmoid")
MAX_TENSOR = 1 << 31
MAX_BLOCKS = 32


def kept_modes(rows: int, columns: int) -> tuple[int, int]:
    """m1 rows in each of two bands and m2 columns that a Fourier block keeps of a map's spectrum."""
    return rows // 2, columns // 2


@dataclass(frozen=True)
class FourierConfig:
    """The Fourier block (FSO, arXiv 2306.11305 section 3.2) and how it joins its block's convolution.

    - block: index of the block that has it.
    - combine: `replace` the convolution (the authors' code), `add` to it (the paper's figure), or `concat`
      [convolution, Fourier] along channels.
    - placement: where the kept negative rows lie in the larger output spectrum (see `pfnr_train.model.spectral`).
    - concat_channels: Fourier channels of `concat`, 0 otherwise.
    """

    block: int = 1
    combine: str = "replace"
    placement: str = "centered"
    concat_channels: int = 0


@dataclass(frozen=True)
class BlockShape:
    """Block i: in_channels×(rows×columns) → out_channels×(rows·stride × columns·stride)."""

    index: int
    in_channels: int
    out_channels: int
    stride: int
    rows: int
    columns: int
    conv_channels: int  # output channels the convolution makes before the combination; 0 where it has none
    fourier_channels: int  # likewise for the Fourier block
    kernel: int = 3  # side of the convolution

    @property
    def modes(self) -> tuple[int, int]:
        """m1 rows in each band and m2 columns kept of the spectrum."""
        return kept_modes(self.rows, self.columns)

    @property
    def mode_count(self) -> int:
        """K = 2·m1·m2, the number of mixing matrices."""
        m1, m2 = self.modes
        return 2 * m1 * m2


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the one network a library holds. Raises UsageError for what cannot work.

    - grid: rows and columns of the stem's output.
    - channels: C of the stem's output.
    - lower_width: least channels of a block; from block 1 on, channels halve down to it (NeRV's rule).
    - stem_width: hidden units of the stem.
    - fourier: the Fourier block, or None (the WSN baseline).
    - canvas: what makes it a canvas network (see `pfnr_train.model.canvas`), whose stem is one linear layer; None
      for the published one.
    """

    grid: tuple[int, int]
    strides: tuple[int, ...]
    channels: int
    lower_width: int
    stem_width: int
    reduction: int = 2
    bias: bool = False
    fourier: FourierConfig | None = FourierConfig()
    output: str = "tanh"
    embed_base: float = 1.25
    embed_levels: int = 40
    canvas: CanvasConfig | None = None

    def __post_init__(self) -> None:
        if len(self.strides) > MAX_BLOCKS:
            raise UsageError(f"{len(self.strides)} blocks are more than {MAX_BLOCKS}")
        if len(self.grid) != 2 or min(self.grid) < 1 or not self.strides or min(self.strides) < 1:
            raise UsageError(f"grid {self.grid} and strides {self.strides} must be positive")
        for what in ("channels", "lower_width", "stem_width", "reduction", "embed_levels"):
            if not 1 <= getattr(self, what) <= 65536:
                raise UsageError(f"{what} {getattr(self, what)} is outside 1 to 65536")
        outputs = OUTPUTS if self.canvas is None else (OUTPUT,)
        if self.output not in outputs:
            raise UsageError(
                f"output {self.output!r} is none of {', '.join(outputs)}"
                + "; a canvas network of another output is an early one: train it again"
                * (self.canvas is not None)
            )
        if not 1 < self.embed_base <= 10:
            raise UsageError(f"embedding base {self.embed_base} is outside (1, 10]")
        if self.fourier is not None:
            self._check_fourier(self.fourier)
        if self.canvas is not None and (self.fourier is not None or len(self.canvas.widths) != len(self.strides)):
            raise UsageError(
                f"a canvas network of {len(self.canvas.widths)} blocks with {len(self.strides)} strides, and with "
                "a Fourier block" * (self.fourier is not None)
            )
        if self.canvas is not None and self.canvas.enlarge > 1 and self.strides[-1] > 1:
            raise UsageError(
                f"a head that enlarges by {self.canvas.enlarge} needs a last stride of 1, not {self.strides[-1]}"
            )
        for name, shape in self.tensor_shapes().items():
            if prod(shape) > MAX_TENSOR:
                raise UsageError(f"{name} would have {prod(shape):,} weights; choose a smaller preset or size")

    def _check_fourier(self, fourier: FourierConfig) -> None:
        if not 0 <= fourier.block < len(self.strides):
            raise UsageError(
                f"Fourier block index {fourier.block}: this network has blocks 0 to {len(self.strides) - 1}"
            )
        if fourier.combine not in COMBINES:
            raise UsageError(f"Fourier combination {fourier.combine!r} is none of {', '.join(COMBINES)}")
        if fourier.placement not in PLACEMENTS:
            raise UsageError(f"Fourier placement {fourier.placement!r} is none of {', '.join(PLACEMENTS)}")
        block = self.blocks()[fourier.block]
        if min(block.rows, block.columns) < 2:
            raise UsageError(f"block {block.index} works on {block.rows}x{block.columns}: too small for Fourier")
        if fourier.combine == "concat" and not 0 < fourier.concat_channels < block.out_channels:
            raise UsageError(
                f"{fourier.concat_channels} Fourier channels of {block.out_channels}: "
                f"concat needs 1 to {block.out_channels - 1}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame."""
        scale = prod(self.strides) * (1 if self.canvas is None else self.canvas.enlarge)
        return self.grid[1] * scale, self.grid[0] * scale

    def blocks(self) -> tuple[BlockShape, ...]:
        """The shape of every block, in order."""
        shapes = []
        (rows, columns), width = self.grid, self.channels
        for index, stride in enumerate(self.strides):
            halved = width // (1 if stride == 1 else self.reduction)
            out = width if index == 0 else max(halved, self.lower_width)
            kernel, joined = 3, 0
            if self.canvas is not None:
                out, kernel = self.canvas.widths[index], self.canvas.kernels[index]
                joined = self.canvas.joined(index)
            conv, fourier = out, 0
            if self.fourier is not None and self.fourier.block == index:
                conv, fourier = {
                    "replace": (0, out),
                    "add": (out, out),
                    "concat": (out - self.fourier.concat_channels, self.fourier.concat_channels),
                }.get(self.fourier.combine, (out, 0))
            shapes.append(BlockShape(index, width + joined, out, stride, rows, columns, conv, fourier, kernel))
            rows, columns, width = rows * stride, columns * stride, out
        return tuple(shapes)

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every shared (masked) tensor by name, in the order the network uses them."""
        rows, columns = self.grid
        stem_out = rows * columns * self.channels
        shapes: dict[str, tuple[int, ...]] = {
            "stem.0.weight": (self.stem_width, 4 * self.embed_levels),
            "stem.1.weight": (stem_out, self.stem_width),
        }
        if self.canvas is not None:
            shapes = self.canvas.shapes(self.grid, self.channels, self.strides)
        elif self.bias:
            shapes |= {"stem.0.bias": (self.stem_width,), "stem.1.bias": (stem_out,)}
        for block in self.blocks():
            if block.conv_channels:
                out = block.conv_channels * block.stride**2
                shapes[f"block.{block.index}.conv.weight"] = (out, block.in_channels, block.kernel, block.kernel)
                if self.bias:
                    shapes[f"block.{block.index}.conv.bias"] = (out,)
            if block.fourier_channels:
                shapes[f"block.{block.index}.fourier.weight"] = (
                    block.mode_count,
                    block.in_channels,
                    2 * block.fourier_channels,
                )
        return shapes

    def head_shapes(self) -> dict[str, tuple[int, ...]]:
        """A session's own, unmasked tensors: the convolution to RGB."""
        channels = self.blocks()[-1].out_channels
        weight = (3, channels) if self.canvas is None else self.canvas.head_shape(channels)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def macs(self) -> int:
        """Multiply-adds of one frame in convolutions, mode mixing, stem and head (transforms left out)."""
        shapes = self.tensor_shapes()
        total = sum(prod(shape) for name, shape in shapes.items() if name.startswith(("stem", LATENTS)))
        if self.canvas is not None:
            block, (channels, rows, columns) = self.blocks()[self.canvas.panned_block], shapes[PANNED]
            total += channels * block.columns * (rows * columns + block.rows * rows)  # the window's two products
        for block in self.blocks():
            total += (
                block.conv_channels
                * block.stride**2
                * block.in_channels
                * block.kernel**2
                * block.rows
                * block.columns
            )
            total += block.mode_count * block.in_channels * 4 * block.fourier_channels
        # Where the head enlarges by r, it has r² times the weights at 1/r² of the places.
        return total + 3 * self.blocks()[-1].out_channels * prod(self.size)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        value = asdict(self)
        if self.canvas is None:  # absent from the published network, whose libraries are older
            del value["canvas"]
        else:
            value["canvas"] = self.canvas.to_json()
        value["grid"], value["strides"] = list(self.grid), list(self.strides)
        return value

    @classmethod
    def from_json(cls, value: Any) -> ModelConfig:
        """The inverse of `to_json`; ValueError or UsageError names what is wrong."""
        if isinstance(value, dict):
            value = {"canvas": None, **value}
        given = require_fields(value, cls)
        for key in ("grid", "strides"):
            if not isinstance(given[key], list) or not all(type(n) is int for n in given[key]):
                raise ValueError(f"ModelConfig.{key} must be a list of whole numbers, not {given[key]!r}")
            given[key] = tuple(given[key])
        if given["fourier"] is not None:
            given["fourier"] = FourierConfig(**require_fields(given["fourier"], FourierConfig))
        if given["canvas"] is not None:
            given["canvas"] = CanvasConfig.from_json(given["canvas"])
        return cls(**given)


# `l` is exactly the paper's network for 720p (fc 9_16_112, lower width 96, stem 512, Fourier at block 1,
# in place of the convolution); the others keep its proportions at less width.
PRESETS: dict[str, ModelConfig] = {
    "tiny": ModelConfig((9, 16), (5, 2, 2), channels=16, lower_width=16, stem_width=128),
    "s": ModelConfig((9, 16), (5, 2, 2), channels=32, lower_width=32, stem_width=256),
    "m": ModelConfig((9, 16), (5, 2, 2, 2, 2), channels=64, lower_width=48, stem_width=512),
    "l": ModelConfig((9, 16), (5, 2, 2, 2, 2), channels=112, lower_width=96, stem_width=512),
    # For few bytes, and for sessions that own their values.
    "canvas": ModelConfig(
        (9, 16), (5, 2, 2), 16, 16, 1, bias=True, fourier=None, output=OUTPUT, canvas=CanvasConfig()
    ),
    # For processors and browsers. What costs there is work at the frame's size, so the head enlarges by 4; widths
    # are multiples of 16, the numbers of a vector, where there are many places. At 720p at most 0.4 and 0.6 GMAC.
    "cpu-s": ModelConfig(
        *((9, 16), (5, 2, 2, 1), 16, 16, 1),
        bias=True,
        fourier=None,
        output=OUTPUT,
        canvas=CanvasConfig(widths=(16, 12, 16, 16), kernels=(1, 3, 3, 3), enlarge=4),
    ),
    "cpu-m": ModelConfig(
        *((9, 16), (5, 2, 2, 1), 16, 16, 1),
        bias=True,
        fourier=None,
        output=OUTPUT,
        canvas=CanvasConfig(widths=(16, 12, 16, 32), kernels=(1, 3, 3, 3), enlarge=4),
    ),
    # For real time on a GPU: the last blocks hold nearly all multiply-adds, so these are narrow there and keep the
    # stem and the Fourier block wide. At 720p at most 12, 25 and 50 GMAC a frame.
    "edge-s": ModelConfig((9, 16), (5, 2, 2, 2, 2), channels=64, lower_width=32, stem_width=256),
    "edge-m": ModelConfig((9, 16), (5, 2, 2, 2, 2), channels=96, lower_width=44, stem_width=512),
    "edge-l": ModelConfig((9, 16), (5, 2, 2, 2, 2), channels=112, lower_width=64, stem_width=512),
}


def preset_config(preset: str, width: int, height: int) -> ModelConfig:
    """The network of a preset for a frame size; UsageError names unknown presets and sizes without a plan."""
    if preset not in PRESETS:
        raise UsageError(f"preset {preset!r} is none of {', '.join(PRESETS)}")
    base = PRESETS[preset]
    if base.canvas is not None and base.canvas.enlarge > 1:
        return _enlarging(base, base.canvas, width, height)
    plan, fourier, canvas = plan_strides(width, height), base.fourier, base.canvas
    strides = plan.strides
    if fourier is not None and fourier.block >= len(strides):
        fourier = replace(fourier, block=len(strides) - 1)
    if canvas is not None:  # small frames have fewer blocks than it needs
        strides = (1,) * (canvas.panned_block + 1 - len(strides)) + strides
        canvas = canvas.stretched(len(strides))
    return replace(base, grid=plan.grid, strides=strides, fourier=fourier, canvas=canvas)


def _enlarging(base: ModelConfig, canvas: CanvasConfig, width: int, height: int) -> ModelConfig:
    """The network of a preset whose head enlarges; where there is no plan, by half as much, and so on."""
    plan, enlarge = None, canvas.enlarge
    while plan is None:
        if width % enlarge == 0 and height % enlarge == 0:
            plan = find_plan(width // enlarge, height // enlarge)
        if plan is None:
            if enlarge == 1:
                plan_strides(width, height)  # says which sizes have a plan
            enlarge //= 2
    missing = len(canvas.widths) - len(plan.strides)
    strides = plan.strides + (1,) * max(1, missing)
    canvas = replace(canvas.stretched(len(strides)), enlarge=enlarge)
    return replace(base, grid=plan.grid, strides=strides, canvas=canvas)
