"""Proving that a decoder is exact: no sum of any layer, in any frame, leaves what float32 holds.

Operands are whole numbers times powers of two. If the magnitudes of a sum's terms add up to less than 2^24 of the
smallest step among them, every partial sum is exact in float32, and so is the whole whatever the order, the
blocking, or the use of fused multiply-adds. A video has N frames, so the largest sums are measured, not estimated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pfnr_export.layers import Branches, Decoder, Layer
from pfnr_runtime.artifact.exactness import MANTISSA_BITS, Exactness, FramesDigest
from pfnr_runtime.errors import VerificationError
from pfnr_runtime.system.progress import SILENT, Progress
from pfnr_train.model.decode import decode_frames
from pfnr_train.model.network import SessionWeights, to_uint8

BATCH = 4  # frames at once, as PyTorch decodes them
DIGITS = 2  # of bits, as they are recorded


def prove(decoder: Decoder, session: SessionWeights, progress: Progress = SILENT) -> Exactness:
    """The proof that a decoder of this session is exact; a VerificationError names what is not, and why."""
    refuse_inexact(decoder)
    proof = measure(decoder, len(session.time_table), progress)
    pictures = FramesDigest()
    for decoded in decode_frames(session, BATCH):
        pictures.add_all(decoded)
    if proof.frames_sha256 != pictures.sha256:
        raise VerificationError("the decoder's frames are not the session's; export it as fp32, and report this")
    return proof


def refuse_inexact(decoder: Decoder) -> None:
    """A VerificationError if a layer has no exact form."""
    if (named := _inexact(decoder)) is not None:
        raise VerificationError(
            f"{named}, so it has no exact form; one would decode at half the speed (docs/lossless.md). Train the "
            "session with the default network (preset canvas), or export it as fp32, a step off at most"
        )


def measure(decoder: Decoder, frames: int, progress: Progress = SILENT) -> Exactness:
    """The digest of a decoder's frames and the bits of its sums; a VerificationError for sums of too many bits."""
    bits: dict[str, float] = {}
    digest = FramesDigest()
    progress.stage("proving exactness", frames)
    for batch in torch.arange(frames).split(BATCH):
        with torch.no_grad():
            digest.add_all(to_uint8(_measure(decoder, batch, "", bits)))
        for _ in batch:
            progress.advance()
    return Exactness(digest.sha256, digest.checks, {name: round(most, DIGITS) for name, most in bits.items()})


def _measure(layers: nn.Sequential, x: Tensor, scope: str, bits: dict[str, float]) -> Tensor:
    """Run layers, and note the bits of each one's largest sum so far."""
    for name, layer in layers.named_children():
        assert isinstance(layer, Layer)
        if isinstance(layer, Branches):
            parts = [_measure(branch, x, f"{scope}{name}/", bits) for branch in (layer.left, layer.right)]
            x = parts[0] + parts[1] if layer.combine == "add" else torch.cat(parts, 1)
            continue
        sums = layer.sums(x)
        if sums is not None:
            if sums.bits >= MANTISSA_BITS - 10**-DIGITS:
                raise VerificationError(
                    f"layer {scope}{name}, channel {sums.channel}: its sums reach 2^{sums.bits:.1f} of their "
                    f"smallest step, and float32 is exact below 2^{MANTISSA_BITS}: train with a higher rate, "
                    "whose steps are larger, or export it as fp32"
                )
            bits[f"{scope}{name}"] = max(bits.get(f"{scope}{name}", 0.0), sums.bits)
        x = layer(x)
    return x


def _inexact(layers: nn.Sequential, scope: str = "") -> str | None:
    """The first layer that has no exact form, and what it computes."""
    for name, layer in layers.named_children():
        assert isinstance(layer, Layer)
        if not layer.exact:
            return f"layer {scope}{name} {layer.inexact}"
        if isinstance(layer, Branches):
            for branch in (layer.left, layer.right):
                if (found := _inexact(branch, f"{scope}{name}/")) is not None:
                    return found
    return None
