"""From FFmpeg's colour codes to the colour of a video record."""

from __future__ import annotations

from pfnr_runtime.video.record import Colour

# AVColorSpace codes. 4 (FCC) and 7 (SMPTE 240M) are converted with their matrices; records have no name for them
# and keep the nearest one.
NAMED = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
NEAREST = {4: "bt601", 7: "bt709"}
UNSPECIFIED = 2
FULL_RANGE = 2
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}


def describe_colour(
    matrix: int, colour_range: int, pixel_format: str, is_rgb: bool, height: int
) -> tuple[Colour, tuple[str, ...]]:
    """The Colour of a stream from its AVColorSpace and AVColorRange codes, and notes on what was assumed.

    An untagged YCbCr stream is recorded as BT.601, whatever its size: FFmpeg's converter, and so every frame set
    made with it, uses that matrix for such streams, and only with it does a YCbCr writer reproduce the samples
    that were read. RGB sources have no matrix: like players, we guess by height.
    """
    full = colour_range == FULL_RANGE or pixel_format.startswith("yuvj")
    if is_rgb:
        return Colour("bt709" if height >= 720 else "bt601", "limited"), ()
    span = "full" if full else "limited"
    if matrix in NAMED:
        notes: tuple[str, ...] = ()
        if matrix == 10:
            notes = ("constant-luminance BT.2020 is read with the ordinary BT.2020 matrix",)
        return Colour(NAMED[matrix], span), notes
    if matrix in NEAREST:
        return Colour(NEAREST[matrix], span), (f"its colour matrix is recorded as {NEAREST[matrix]}",)
    if height >= 720 and not pixel_format.startswith(("gray", "yuvj")):
        return Colour("bt601", span), (
            "no colour matrix in the file: read as BT.601, as FFmpeg does (some players take BT.709 here)",
        )
    return Colour("bt601", span), ()


def with_curve(colour: Colour, transfer: int, primaries: int) -> Colour:
    """`colour` with the stream's AVColorTransferCharacteristic and AVColorPrimaries codes, where unusual."""
    return Colour.from_tags(colour.matrix, colour.range, transfer=transfer, primaries=primaries)
