"""What a Jetson could decode at most, and what to expect: a calculation, nothing is run.

    python benchmarks/roofline.py [--compute 0.35] [--memory 0.7] [--markdown] [--json FILE]
    python benchmarks/roofline.py --processors [--compute 0.6] [--memory 0.5]

Every step of the network takes as long as the slower of its arithmetic and its memory traffic (a roofline for
each step), at the stated fraction of the published peaks. Arithmetic: multiply-adds from the network's shapes,
which add up to `ModelConfig.macs()`, and the cost model's for the Fourier block with its transforms. Traffic:
every step reads its input and weights and writes its output once; pixel shuffle and activation are one pass more,
on processors, where engines fuse less, as many as ONNX Runtime makes; no step finds its input in a cache, which is
pessimistic for small frames. As in the artifacts, the Fourier block stays fp32 in fp16 and int8, and an int8
convolution reads 8 bits and writes 32, which are quantised again after its activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from report import parser, show, store

from pfnr_export.lowerings.matmul import MatmulLowering
from pfnr_train.model.canvas import LATENTS, PANNED, CanvasConfig
from pfnr_train.model.config import PRESETS, ModelConfig, preset_config
from pfnr_train.model.network import spectral_plan

ELEMENT = {"fp32": 4, "fp16": 2, "int8": 1}
# Passes over a map that ONNX Runtime makes on a processor, in addition to those counted for every device.
SILU_PASSES, SWISH_PASSES, OUTPUT_PASSES = 1, 4, 7
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}


@dataclass(frozen=True)
class Device:
    """Published peaks. cores: CUDA cores. clock: of the GPU in GHz at the highest power mode. int8: dense tensor
    TOPS of the GPU alone. memory: GB/s. source: where they are from and what was derived.
    """

    name: str
    cores: int
    clock: float
    int8: float
    memory: float
    source: str

    def peak(self, precision: str) -> float:
        """Operations a second, a multiply-add being two. fp32 is that of all `cores` (TF32 is off)."""
        if precision == "fp32":
            return 2e9 * self.cores * self.clock
        return self.int8 * 1e12 / (2 if precision == "fp16" else 1)


DEVICES = (
    Device("Orin Nano 8GB, 15 W", 1024, 0.625, 20, 68, "data sheet: 40 sparse, 20 dense INT8 TOPS"),
    Device("Orin Nano 8GB Super, 25 W", 1024, 1.02, 33.5, 102, "data sheet: 67 sparse INT8 TOPS; dense is half"),
    Device("Orin NX 16GB, 25 W", 1024, 0.918, 30, 102, "data sheet: 100 sparse INT8 TOPS, 40 of them DLA"),
    Device("AGX Orin 64GB, MAXN", 2048, 1.3, 85, 204.8, "data sheet: 275 sparse INT8 TOPS, 105 of them DLA"),
    Device(
        "Thor T5000, MAXN",
        2560,
        1.575,
        517,
        273,
        "data sheet: 2070 sparse FP4 TFLOPS; int8 assumed a quarter of it",
    ),
)

# Here `cores` are lanes: cores · pipes of fused multiply-adds · numbers in a vector. ONNX Runtime has no fp16 for
# them.
PROCESSORS = (
    Device(
        "Raspberry Pi 5, 4 cores", 32, 2.4, 0.61, 17.1, "Cortex-A76: 2 pipes of 128 bits; LPDDR4X-4267, 32 bits"
    ),
    Device("Intel N100, 4 cores", 32, 2.9, 0.74, 38.4, "Gracemont: 2 pipes of 128 bits; DDR5-4800, one channel"),
)


@dataclass(frozen=True)
class Step:
    """One step of a frame: multiply-adds and bytes, and the type it computes in."""

    name: str
    macs: int
    bytes: int
    precision: str

    def seconds(self, device: Device, compute: float, memory: float) -> float:
        """The slower of arithmetic and traffic at these fractions of the peaks."""
        arithmetic = 2 * self.macs / (compute * device.peak(self.precision))
        return max(arithmetic, self.bytes / (memory * device.memory * 1e9))


def steps(config: ModelConfig, precision: str, fused: bool = True) -> Iterator[Step]:
    """Every step of one frame at batch 1. fused: whether activation and shuffle are one pass, the output one."""
    size = ELEMENT[precision]
    result = 4 if precision == "int8" else size
    stem = [prod(shape) for name, shape in config.tensor_shapes().items() if name.startswith("stem")]
    # int8 converts convolutions and the head only.
    dense = "fp32" if precision == "int8" else precision
    if config.canvas is None:
        yield Step("stem", sum(stem), ELEMENT[dense] * sum(stem), dense)
    else:
        yield from _canvases(config, config.canvas, dense)
    blocks = config.blocks()
    for block in blocks:
        pixels, scale = block.rows * block.columns, block.stride**2
        read = block.in_channels * pixels
        if config.canvas is not None and config.canvas.joined(block.index):
            yield Step(f"join {block.index}", 0, 2 * size * read, precision)
        if block.conv_channels:
            made = block.conv_channels * scale * pixels
            weights = block.conv_channels * scale * block.in_channels * block.kernel**2
            yield Step(f"conv {block.index}", weights * pixels, size * (read + weights) + result * made, precision)
            unfused = 0 if fused else (SILU_PASSES if config.canvas is None else SWISH_PASSES)
            moved = result + size + 2 * ELEMENT["fp32"] * unfused
            yield Step(f"shuffle and activation {block.index}", 0, moved * made, precision)
        if block.fourier_channels:
            cost = MatmulLowering.cost(spectral_plan(config, block), block.in_channels, block.fourier_channels)
            yield Step(f"Fourier {block.index}", cost.macs, cost.weight_bytes + 2 * cost.moved_bytes, "fp32")
    pixels = prod(config.size)
    made = blocks[-1].out_channels * pixels
    yield Step("head", 3 * made, size * made + 4 * 3 * pixels, precision)
    yield Step("to uint8", 0, (4 + 1 + (0 if fused else 8 * OUTPUT_PASSES)) * 3 * pixels, "fp32")


def _canvases(config: ModelConfig, canvas: CanvasConfig, precision: str) -> Iterator[Step]:
    """The first maps of a canvas network, and the window of its panned canvas."""
    shapes, size = config.tensor_shapes(), ELEMENT[precision]
    maps, (channels, rows, columns) = prod(shapes[LATENTS]), shapes[PANNED]
    yield Step("maps", maps, size * maps, precision)
    block = config.blocks()[canvas.panned_block]
    across, down = channels * rows * columns * block.columns, channels * block.rows * rows * block.columns
    moved = channels * (rows * columns + 2 * rows * block.columns + block.rows * block.columns)
    yield Step("window", across + down, size * moved, precision)


def frames_per_second(config: ModelConfig, precision: str, device: Device, compute: float, memory: float) -> float:
    """Frames per second at these fractions of the peaks, one frame at a time."""
    made = steps(config, precision, device not in PROCESSORS)
    return 1 / sum(step.seconds(device, compute, memory) for step in made)


def table(
    compute: float,
    memory: float,
    devices: tuple[Device, ...] = DEVICES,
    precisions: tuple[str, ...] = tuple(ELEMENT),
) -> list[dict[str, Any]]:
    """Every preset at every size: GMAC and MB per frame, and frames per second by device and precision."""
    rows = []
    for preset in PRESETS:
        for label, (width, height) in SIZES.items():
            config = preset_config(preset, width, height)
            rates = {
                device.name: {p: frames_per_second(config, p, device, compute, memory) for p in precisions}
                for device in devices
            }
            fused = devices is not PROCESSORS
            moved = {p: sum(step.bytes for step in steps(config, p, fused)) / 1e6 for p in ELEMENT}
            rows.append({"preset": preset, "size": label, "gmac": config.macs() / 1e9, "mb": moved, "fps": rates})
    return rows


def short(value: float) -> str:
    """Two digits, which is more than the assumptions bear."""
    return f"{float(f'{value:.2g}'):g}"


def main() -> None:
    """See the module."""
    options = parser(__doc__)
    options.add_argument("--processors", action="store_true", help="small processors in place of Jetsons")
    options.add_argument(
        "--compute", type=float, help="share of the peak arithmetic reached: 0.35, processors 0.6"
    )
    options.add_argument("--memory", type=float, help="share of the peak memory rate reached: 0.7, processors 0.5")
    options.add_argument("--markdown", action="store_true", help="print the table as the docs have it")
    given = options.parse_args()
    devices, precisions, compute, memory = (
        (PROCESSORS, ("fp32", "int8"), 0.6, 0.5) if given.processors else (DEVICES, tuple(ELEMENT), 0.35, 0.7)
    )
    compute, memory = given.compute or compute, given.memory or memory
    rows = table(compute, memory, devices, precisions)
    shown = precisions[-2]
    columns = ["preset", "size", "GMAC", f"MB {shown}", *(device.name for device in devices)]
    cells = [
        [
            row["preset"],
            row["size"],
            f"{row['gmac']:.1f}",
            f"{row['mb'][shown]:.0f}",
            *(" / ".join(short(rate) for rate in row["fps"][device.name].values()) for device in devices),
        ]
        for row in rows
    ]
    title = (
        f"frames per second, {' / '.join(precisions)}, calculated at {compute:.0%} of peak arithmetic and "
        f"{memory:.0%} of peak memory rate"
    )
    peaks = [
        [
            device.name,
            *(f"{device.peak(precision) / 1e12:.3g}" for precision in precisions),
            f"{device.memory:g}",
            device.source,
        ]
        for device in devices
    ]
    heads = ["board and mode", *(f"{precision}, T/s" for precision in precisions), "GB/s", "from"]
    for about, names, lines in (title, columns, cells), ("published peaks", heads, peaks):
        if given.markdown:
            print("\n".join(f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *lines)), "\n")
        else:
            show(about, names, lines)
    assumed = {"compute": compute, "memory": memory}
    store({"assumed": assumed, "devices": [asdict(device) for device in devices], "rows": rows}, given.json)


if __name__ == "__main__":
    main()
