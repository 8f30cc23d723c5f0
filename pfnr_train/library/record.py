"""What a library remembers of one session besides its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pfnr_runtime.video.record import VideoRecord, require_fields


@dataclass(frozen=True)
class SessionRecord:
    """One session as the library's header holds it.

    - video: the video it decodes.
    - scalar: the s of its time embedding.
    - density: fraction of each tensor its masks keep.
    - seed, epochs: how it was trained.
    - psnr: against the source in dB, measured on its decoded uint8 frames when training ended; None if never
      measured.
    - ms_ssim: likewise, 0 to 1; None where frames are too small.
    - source_path: where the clip was, relative to the library.
    - source_sha256: of the frames it was trained on.
    - weights_sha256: of its materialised weights.
    """

    video: VideoRecord
    scalar: float
    density: float
    seed: int
    epochs: int
    psnr: float | None
    ms_ssim: float | None
    source_path: str
    source_sha256: str
    weights_sha256: str

    def quality(self) -> dict[str, float]:
        """What was measured, by name, for an artifact's contract."""
        return {
            name: value for name, value in (("psnr", self.psnr), ("ms_ssim", self.ms_ssim)) if value is not None
        }

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"video": self.video.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> SessionRecord:
        """The inverse of `to_json`; a ValueError names what is missing, unknown or out of range."""
        given = require_fields(value, cls)
        given["video"] = VideoRecord.from_json(given["video"])
        record = cls(**given)
        checks = {
            "scalar": (record.scalar, 0 <= record.scalar <= 1, "0 to 1"),
            "density": (record.density, 0 < record.density <= 1, "(0, 1]"),
            "psnr": (record.psnr, _is_figure(record.psnr, 0, 1000), "0 to 1000 dB"),
            "ms_ssim": (record.ms_ssim, _is_figure(record.ms_ssim, -1, 1), "-1 to 1"),
        }
        for what, (value, fine, allowed) in checks.items():
            if not fine:
                raise ValueError(f"{what} {value!r} is outside {allowed}")
        return record


def _is_figure(value: Any, least: float, most: float) -> bool:
    if value is None:
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most
