"""What each video takes: as raw pixels, packed, and as H.264 of the same quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pfnr_runtime import VideoDecoder
from pfnr_train.clips import read_clip
from pfnr_train.comparison.rate import RatePoint, bytes_at, rate_point
from pfnr_train.comparison.video_codecs import EncoderSetting, codec_curve
from pfnr_train.evaluation.quality import measure_quality

CODECS = {chroma: EncoderSetting("libx264", "medium", chroma) for chroma in ("444", "420")}


def weigh(out: Path, name: str, clip: Path) -> dict[str, Any]:
    """Bytes and quality of `<name>.pfnv`, and what x264 takes for its PSNR: None where it never gets there."""
    packed = out / f"{name}.pfnv"
    with VideoDecoder(packed) as decoder:
        video, decoded = decoder.metadata, decoder[:].data
    span = slice(video.source_start, video.source_start + video.frames)
    source = read_clip(clip, span, (video.width, video.height))
    point: RatePoint = rate_point("packed", packed.stat().st_size, decoded, source.frames)
    found: dict[str, Any] = {"raw": source.frames.nbytes, "packed": point.size, "psnr": point.psnr}
    found["worst_psnr"] = min(measure_quality(decoded, source.frames, similarity=False).psnr_per_frame)
    for chroma, codec in CODECS.items():
        curve = codec_curve(codec, source.frames, source.fps)
        found[f"h264_{chroma}"] = bytes_at(curve, point.psnr)
    return found
