"""Which network a session is trained in: a new library's, by the options given, or the one there is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from pfnr_runtime.errors import UsageError
from pfnr_train.model.config import FourierConfig, ModelConfig, preset_config


@dataclass(frozen=True)
class ModelOptions:
    """Options that shape a network; None where the person said nothing."""

    preset: str | None = None
    fourier: str | None = None
    fourier_block: int | None = None
    fourier_channels: int | None = None
    placement: str | None = None
    bias: bool | None = None


def model_config(
    options: ModelOptions,
    library: ModelConfig | None,
    size: tuple[int, int] | None,
    clip_size: tuple[int, int],
    values: str = "coded",
) -> ModelConfig:
    """The network to train in.

    - library: the network of the library there is, if any.
    - size, clip_size: (width, height) asked for, and of the clip.
    - values: what its sessions keep, a kind of `pfnr_train.library.values`.

    A UsageError for a canvas network with values other than coded ones. A library keeps its network, so one says
    so when an option asks for a different one.
    """
    if library is None:
        return _fitting(_new_config(options, *(size or clip_size), values), values)
    config = _fitting(library, values)
    if size is not None and size != config.size:
        raise UsageError(
            f"`size={size[0]}x{size[1]}`: this library's frames are {config.size[0]}x{config.size[1]}; leave "
            "`size` out (clips are cropped and scaled to it), or start another library"
        )
    given = {name: value for name, value in asdict(options).items() if value is not None}
    if given:
        asked = _new_config(options, *config.size, values) if "preset" in given else _adjust(config, options)
        if asked != config:
            named = ", ".join(f"`{name}={value}`" for name, value in given.items())
            raise UsageError(f"{named} asks for another network than this library has; start another library")
    return config


def _new_config(options: ModelOptions, width: int, height: int, values: str) -> ModelConfig:
    preset = options.preset or default_preset(options, width, height, values)
    return _adjust(preset_config(preset, width, height), options)


def _fitting(config: ModelConfig, values: str) -> ModelConfig:
    if config.canvas is not None and values != "coded":
        raise UsageError(
            f"a canvas network keeps coded values, not {values} ones: use the default recipe, or another preset"
        )
    return config


def default_preset(options: ModelOptions, width: int, height: int, values: str) -> str:
    """`canvas` for coded values; where a Fourier block is asked for or shared, `s` up to 640×360, `m` above."""
    asked = (options.fourier_block, options.fourier_channels, options.placement)
    if values == "coded" and options.fourier in (None, "none") and asked == (None, None, None):
        return "canvas"
    return "s" if width * height <= 640 * 360 else "m"


def _adjust(config: ModelConfig, options: ModelOptions) -> ModelConfig:
    fourier = config.fourier
    if options.fourier == "none":
        if any(v is not None for v in (options.fourier_block, options.fourier_channels, options.placement)):
            raise UsageError("`fourier=none` leaves nothing for `fourier_block`, `fourier_channels`, `placement`")
        fourier = None
    elif fourier is not None or options.fourier is not None:
        fourier = fourier or FourierConfig()
        combine = options.fourier or fourier.combine
        block = fourier.block if options.fourier_block is None else options.fourier_block
        channels = options.fourier_channels
        if combine == "concat" and channels is None:
            shapes = config.blocks()
            if not 0 <= block < len(shapes):
                raise UsageError(f"`fourier_block={block}`: this network has blocks 0 to {len(shapes) - 1}")
            channels = fourier.concat_channels or shapes[block].out_channels // 2
        if combine != "concat" and options.fourier_channels is not None:
            raise UsageError("`fourier_channels` needs `fourier=concat`")
        fourier = FourierConfig(block, combine, options.placement or fourier.placement, channels or 0)
    bias = config.bias if options.bias is None else options.bias
    return replace(config, fourier=fourier, bias=bias)
