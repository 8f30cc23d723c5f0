"""The artifact contract: what an exported file says about itself, defined once.

The exporter writes it into the ONNX model's metadata under one key, `METADATA_KEY`, as JSON with sorted
keys; the runtime reads it before any engine sees the file. Nothing in it depends on the library's later
sessions, on the machine or on the clock, so the same session and options always give the same bytes.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from pfnr_runtime.video_record import VideoRecord, require_fields

METADATA_KEY = "pfnr"
FORMAT_VERSION = 1

INPUT_NAME = "frame_index"  # int64 [B], each in [0, N)
OUTPUT_NAME = "frames"
OUTPUT_KINDS = {
    "uint8": "uint8 [B, H, W, 3], RGB, full range",
    "float32": "float32 [B, 3, H, W], RGB in [0, 1]",
}


@dataclass(frozen=True)
class ArtifactContract:
    """What one exported decoder is.

    video: the video it decodes. session: its index in the library it came from. output: a key of
    `OUTPUT_KINDS`. precision, lowering: names of what the exporter chose. passes: graph passes, in order.
    weights_sha256: of the session's materialised weights, as the library records it. quality: what the
    trainer measured against the source (PSNR in dB, MS-SSIM), empty if unknown. producer: who wrote the file.
    """

    video: VideoRecord
    session: int
    output: str
    precision: str
    lowering: str
    passes: tuple[str, ...]
    weights_sha256: str
    quality: dict[str, float] = field(default_factory=dict)
    producer: str = ""
    kind: str = "video"
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise ValueError(
                f"artifact format {self.format_version}; this version of pfnr reads {FORMAT_VERSION}: "
                "install a matching pfnr, or export the session again"
            )
        if self.output not in OUTPUT_KINDS:
            raise ValueError(f"output {self.output!r} is none of {', '.join(OUTPUT_KINDS)}")
        if self.session < 0:
            raise ValueError(f"session {self.session} must be 0 or more")
        if not all(isinstance(name, str) for name in self.passes):
            raise ValueError(f"passes must be names, not {self.passes!r}")
        if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in self.quality.values()):
            raise ValueError(f"quality must be finite numbers by name, not {self.quality!r}")

    def to_json(self) -> str:
        """One line of JSON with sorted keys."""
        value = asdict(self)
        value["video"] = self.video.to_json()
        value["passes"] = list(self.passes)
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> ArtifactContract:
        """The inverse of `to_json`; a ValueError names what is wrong."""
        value: Any = json.loads(text)
        if isinstance(value, dict) and value.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise ValueError(
                f"artifact format {value['format_version']}; this version of pfnr reads {FORMAT_VERSION}: "
                "install a matching pfnr, or export the session again"
            )
        given = require_fields(value, cls)
        given["video"] = VideoRecord.from_json(given["video"])
        if not isinstance(given["passes"], list) or not isinstance(given["quality"], dict):
            raise ValueError("passes must be a list and quality an object")
        given["passes"] = tuple(given["passes"])
        return cls(**given)
