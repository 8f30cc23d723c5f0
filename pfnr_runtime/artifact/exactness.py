"""What makes an artifact exact: the digest of its frames, and how far its sums stay below what float32 holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANTISSA_BITS = 24  # of float32: whole numbers up to 2^24 are exact


@dataclass(frozen=True)
class Exactness:
    """The proof in an exact artifact: every engine that adds and multiplies as IEEE 754 says gives these frames.

    - frames_sha256: of all frames one after another, uint8 [H, W, 3] each, in hex.
    - frame_checks: the first byte of every frame's own SHA-256, in hex: it tells which frame is wrong.
    - bits: by layer, log2 of the largest sum of magnitudes over all frames, in the smallest step of its terms.
      Below 24, float32 holds every partial sum exactly, whatever the order.
    """

    frames_sha256: str
    frame_checks: str
    bits: Mapping[str, float]

    def __post_init__(self) -> None:
        if re.fullmatch(r"[0-9a-f]{64}", str(self.frames_sha256)) is None:
            raise ValueError(f"{str(self.frames_sha256)[:80]!r} is not a SHA-256 in hex")
        if re.fullmatch(r"(?:[0-9a-f]{2})+", str(self.frame_checks)) is None:
            raise ValueError(f"{str(self.frame_checks)[:80]!r} is not a byte for each frame in hex")
        if not isinstance(self.bits, Mapping) or not all(
            isinstance(name, str) and isinstance(bits, (int, float)) and 0 <= bits < MANTISSA_BITS
            for name, bits in self.bits.items()
        ):
            raise ValueError(f"bits must be numbers from 0 to {MANTISSA_BITS} by layer, not {str(self.bits)[:80]}")

    @property
    def margin(self) -> float:
        """Bits that the largest sum of any layer stays below what float32 holds."""
        return MANTISSA_BITS - max(self.bits.values(), default=0.0)

    def sentence(self) -> str:
        """The proof in words."""
        tightest = max(self.bits, key=lambda name: self.bits[name]) if self.bits else "none"
        return (
            f"exact: every sum stays {self.margin:.1f} bits below what float32 holds (tightest layer {tightest}); "
            f"SHA-256 of all frames {self.frames_sha256[:16]}…"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "frames_sha256": self.frames_sha256,
            "frame_checks": self.frame_checks,
            "bits": dict(self.bits),
        }


class FramesDigest:
    """The digest of frames that are added one after another."""

    def __init__(self) -> None:
        import hashlib  # loads OpenSSL, and playing a file needs no digest

        self._new = hashlib.sha256
        self._whole = hashlib.sha256()
        self._checks: list[str] = []

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Take in one more frame, uint8 [H, W, 3]."""
        data = np.ascontiguousarray(frame).data
        self._whole.update(data)
        self._checks.append(self._new(data).hexdigest()[:2])

    def add_all(self, frames: Iterable[NDArray[np.uint8]]) -> FramesDigest:
        """Take in frames one after another; returns itself."""
        for frame in frames:
            self.add(frame)
        return self

    @property
    def sha256(self) -> str:
        """Of all frames so far, in hex."""
        return self._whole.hexdigest()

    @property
    def checks(self) -> str:
        """A byte for each frame so far, in hex."""
        return "".join(self._checks)
