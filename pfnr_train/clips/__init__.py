"""Reading clips: any video file PyAV opens and any folder of images, as RGB frames of one size.

`probe` describes a clip, `read_clip` returns its frames, `fit_to` plans how a picture is cropped and scaled. Every
problem with a clip is a `ClipError`. PyAV itself is imported on first use.
"""

from pfnr_train.clips.fit import SCALINGS, Fit, fit_to
from pfnr_train.clips.info import DEFAULT_FPS, ClipInfo
from pfnr_train.clips.picture import READINGS
from pfnr_train.clips.probe import probe
from pfnr_train.clips.read import MIN_FRAMES, Clip, frames_digest, read_clip

__all__ = [
    "DEFAULT_FPS",
    "MIN_FRAMES",
    "READINGS",
    "SCALINGS",
    "Clip",
    "ClipInfo",
    "Fit",
    "fit_to",
    "frames_digest",
    "probe",
    "read_clip",
]
