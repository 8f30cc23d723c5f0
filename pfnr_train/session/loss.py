"""What training minimises: (1 − w)·D + w·(1 − SSIM) between decoded frames and a clip's.

D is each frame's root mean square error (`rmse`), whose relative change is that of the frame's PSNR; its natural
logarithm (`log-rmse`), in which 1 is always 8.7 dB of PSNR, so that bits have one price; or the mean
absolute error (`l1-ssim`, with w = 0.3 the loss of arXiv 2306.11305).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pfnr_train.session.ssim import Blur, TargetStatistics, ssim

# Targets as floats and their SSIM statistics are kept for all frames while they fit in this: it saves a third
# of SSIM's time.
KEPT_BYTES = 1 << 30
LEAST_SQUARE = 1e-10


class FrameLoss:
    """The loss against the frames of one clip.

    frames: uint8 [N, H, W, 3], kept as bytes. kind: `rmse`, `log-rmse` or `l1-ssim`. ssim_weight: w, in [0, 1].
    """

    def __init__(self, frames: NDArray[np.uint8], kind: str, ssim_weight: float, device: torch.device) -> None:
        self.kind, self.ssim_weight = kind, ssim_weight
        self._frames = torch.from_numpy(frames).permute(0, 3, 1, 2).to(device)
        self._blur = Blur(frames.shape[1], frames.shape[2], device, torch.float32)
        self._targets: dict[int, TargetStatistics] = {}

    def __call__(self, decoded: Tensor, batch: Tensor) -> tuple[Tensor, float]:
        """Loss and mean squared error of `decoded` [B, 3, H, W] against frames `batch`, int64 [B]."""
        targets = [self._target(int(i)) for i in batch]
        frames = torch.stack([t.frame for t in targets])
        difference = decoded - frames
        squares = difference.square().mean((1, 2, 3))
        # The square root has no gradient at 0, which a frame of one colour can reach.
        if self.kind == "l1-ssim":
            distance = difference.abs().mean()
        elif self.kind == "log-rmse":
            distance = 0.5 * (squares + LEAST_SQUARE).log().mean()
        else:
            distance = (squares + LEAST_SQUARE).sqrt().mean()
        loss = (1 - self.ssim_weight) * distance
        if self.ssim_weight:
            means, variances = (torch.stack([getattr(t, n) for t in targets]) for n in ("mean", "variance"))
            similarity = ssim(decoded, frames, means, variances, self._blur)
            loss = loss + self.ssim_weight * (1 - similarity)
        return loss, float(squares.detach().mean())

    def _target(self, index: int) -> TargetStatistics:
        if index in self._targets:
            return self._targets[index]
        frame = self._frames[index].float().div_(255)
        target = TargetStatistics(frame, self._blur)
        if (len(self._targets) + 1) * frame.numel() * 12 < KEPT_BYTES:
            self._targets[index] = target
        return target
