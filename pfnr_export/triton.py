"""A model repository for NVIDIA Triton Inference Server, one model per video.

    DIR/<name>/config.pbtxt     this module's text form of Triton's ModelConfig
    DIR/<name>/1/model.onnx     the artifact; a changed one becomes version 2, 3, ...

Batches: the artifact's first axis is the batch, on its input and on its output, which is what Triton's dynamic
batching needs; so `max_batch_size` is above 0 and Triton joins requests into one call. Triton counts sizes
without the batch, and a size may not be empty: clients send frame_index as int64 [B, 1], `reshape` drops the 1.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pfnr_runtime.artifact.contract import INPUT_NAME, OUTPUT_NAME, ArtifactContract, frame_shape
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.system.part_file import write_atomically
from pfnr_runtime.video.record import VideoRecord

MAX_JOIN = 8  # requests that Triton runs as one batch
PREFERRED_BATCHES = (4, 8)
# How long a request may wait to be batched: an eighth of a frame at 60 fps.
QUEUE_DELAY_MICROSECONDS = 2000
_SIGNATURE = "# Written by pfnr-export; its next export replaces this file."
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


class RepositoryError(PfnrError):
    """A folder in a model repository that pfnr-export must not write to."""


@dataclass(frozen=True)
class TritonModel:
    """One model in a repository. written: False if this exact artifact was already there."""

    folder: Path
    name: str
    version: int
    written: bool

    def sentence(self) -> str:
        """Where it is, in words."""
        state = "" if self.written else ", unchanged"
        return f"Triton model {self.name}, version {self.version}{state} -> {self.folder}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"folder": str(self.folder)}


def model_name(video: str) -> str:
    """A video's name as a folder name: letters, digits, '.', '_' and '-'; others become '_'."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", video).lstrip(".-")
    return name or "video"


def write_model(repository: Path, contract: ArtifactContract, artifact: bytes) -> TritonModel:
    """Put an artifact into a repository atomically; creates the repository's folder if needed.

    A folder of that name that this module did not write, or wrote for another video, is a RepositoryError and is
    left alone. Raises OSError.
    """
    check_model_folder(repository, contract.video)
    name = model_name(contract.video.name)
    folder, config = repository / name, config_text(name, contract)
    if not folder.exists():
        repository.mkdir(parents=True, exist_ok=True)
        _make_folder(folder, {"config.pbtxt": config.encode(), "1/model.onnx": artifact})
        return TritonModel(folder, name, 1, True)
    versions = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())
    newest = versions[-1] if versions else 0
    same = newest and _holds(folder / str(newest) / "model.onnx", artifact)
    if same and _holds(folder / "config.pbtxt", config.encode()):
        return TritonModel(folder, name, newest, False)
    if not same:
        newest += 1
        _make_folder(folder / str(newest), {"model.onnx": artifact})
    write_atomically(folder / "config.pbtxt", config.encode())
    return TritonModel(folder, name, newest, True)


def config_text(name: str, contract: ArtifactContract) -> str:
    """The model's configuration, in the text form of Triton's `ModelConfig` message."""
    video = contract.video
    sizes = frame_shape(contract.output, video.height, video.width)
    about = {
        "pfnr_video": video.name,
        "pfnr_frames": str(video.frames),
        "pfnr_fps": f"{video.fps.numerator}/{video.fps.denominator}",
        "pfnr_precision": contract.precision,
        "pfnr_weights_sha256": contract.weights_sha256,
    }
    if video.times is not None:  # then the rate is the average
        about["pfnr_times"] = json.dumps(video.times.to_json(), sort_keys=True)
    parameters = "\n".join(_parameter(key, value) for key, value in about.items())
    return f"""{_SIGNATURE}
# Send {INPUT_NAME} as int64 [B, 1], each from 0 to {video.frames - 1}.
# {OUTPUT_NAME} comes back as {contract.output} [B, {", ".join(map(str, sizes))}].
# On a GPU, start the server with NVIDIA_TF32_OVERRIDE=0, so that single precision is single precision.
name: {_quote(name)}
backend: "onnxruntime"
max_batch_size: {MAX_JOIN}
input {{
  name: {_quote(INPUT_NAME)}
  data_type: TYPE_INT64
  dims: [ 1 ]
  reshape {{ shape: [ ] }}
}}
output {{
  name: {_quote(OUTPUT_NAME)}
  data_type: {_TYPES[contract.output]}
  dims: [ {", ".join(map(str, sizes))} ]
}}
dynamic_batching {{
  preferred_batch_size: [ {", ".join(map(str, PREFERRED_BATCHES))} ]
  max_queue_delay_microseconds: {QUEUE_DELAY_MICROSECONDS}
}}
version_policy {{ latest {{ num_versions: 1 }} }}
{parameters}
# With TensorRT instead: build model.plan from model.onnx on the server's own GPU, with a profile of {INPUT_NAME}
# from 1 to {MAX_JOIN}, put it into the version's folder, and change the backend above to "tensorrt". Engine files
# are executable code for one kind of GPU and one version of TensorRT: build them where they run.
"""


def _quote(text: str) -> str:
    """A string in protobuf's text form, with everything but plain ASCII as octal bytes."""
    plain = (chr(b) if 32 <= b < 127 and chr(b) not in '"\\' else f"\\{b:03o}" for b in text.encode())
    return f'"{"".join(plain)}"'


def check_model_folder(repository: Path, video: VideoRecord) -> None:
    """A RepositoryError if this module must not write to a video's folder in a repository."""
    if repository.exists() and not repository.is_dir():
        raise RepositoryError(f"{repository} is not a folder; name a model repository's folder")
    folder = repository / model_name(video.name)
    if not folder.exists():
        return
    config = folder / "config.pbtxt"
    text = config.read_text(errors="replace") if config.is_file() else ""
    if not text.startswith(_SIGNATURE):
        raise RepositoryError(
            f"{folder} exists and was not written by pfnr-export; name another repository, or move it away"
        )
    if _parameter("pfnr_video", video.name) not in text:
        raise RepositoryError(
            f"{folder} holds a video other than {video.name!r}; name another repository, or move it away"
        )


def _parameter(key: str, value: str) -> str:
    return f"parameters {{ key: {_quote(key)} value {{ string_value: {_quote(value)} }} }}"


def _holds(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _make_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Create a folder with these files, under its name only once it is complete."""
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        part.chmod(0o755)
        for name, data in files.items():
            path = part / name
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, data)
        os.rename(part, folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
