"""The artifact contract: what an exported file says about itself, defined once.

The exporter writes it into the ONNX model's metadata under one key, `METADATA_KEY`, as JSON with sorted
keys; the runtime reads it before any engine sees the file. Nothing in it depends on the library's later
sessions, on the machine or on the clock, so the same session and options always give the same bytes.

There are two kinds of file. A per-video artifact carries an `ArtifactContract`. A shared graph carries a
`SharedContract`, and takes each session's data as inputs; each of its sessions is a sidecar file with an
`ArtifactContract` of kind `session` (`pfnr_runtime.artifact.sidecar`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pfnr_runtime.artifact.exactness import Exactness
from pfnr_runtime.video.record import MAX_SIDE, VideoRecord, require_fields
from pfnr_runtime.video.time_table import TimeEmbedding

METADATA_KEY = "pfnr"
FORMAT_VERSION = 1
EXACT, EXACT_INT8 = "exact", "exact-int8"
PROVED = (EXACT, EXACT_INT8)  # precisions whose artifacts carry a proof

INPUT_NAME = "frame_index"  # int64 [B], each in [0, N)
EMBEDDING_NAME = "time_embedding"  # float32 [B, 4·L], instead of it where an artifact decodes any time
OUTPUT_NAME = "frames"
MOST_LEVELS = 12  # of objects and lists in a precision report
# Suffixes in a shared graph of a weight's bool mask input and of the masked weight.
MASK_SUFFIX = ".mask"
MASKED_SUFFIX = ".masked"
OUTPUT_KINDS = {
    "uint8": "uint8 [B, H, W, 3], RGB, full range",
    "float32": "float32 [B, 3, H, W], RGB in [0, 1]",
}


class ArtifactInput(NamedTuple):
    """The input that selects what to decode. row: its shape for one frame, without the batch axis."""

    name: str
    dtype: str
    row: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype} [{', '.join(('B', *map(str, self.row)))}]"


FRAME_INDEX = ArtifactInput(INPUT_NAME, "int64")


def frame_shape(output: str, height: int, width: int) -> tuple[int, int, int]:
    """The sizes of one frame as an artifact gives it. output: a key of `OUTPUT_KINDS`."""
    return (height, width, 3) if output == "uint8" else (3, height, width)


@dataclass(frozen=True)
class ArtifactContract:
    """Describes one exported decoder.

    - video: the video it decodes.
    - session: its index in the library it came from.
    - output: a key of `OUTPUT_KINDS`.
    - precision, lowering: names of what the exporter chose.
    - passes: graph passes, in order.
    - weights_sha256: of the session's materialised weights, as the library records it.
    - quality: what the trainer measured against the source (PSNR in dB, MS-SSIM), empty if unknown.
    - producer: who wrote the file.
    - precision_report: what a lower precision cost, as its exporter measured it (see
      `pfnr_runtime.artifact.parity`).
    - time_embedding: set where the artifact decodes any time of the video, not only whole frames.
    - exactness: of an artifact of a precision in `PROVED`, why its frames are the same bytes on every engine.
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
    precision_report: dict[str, Any] = field(default_factory=dict)
    time_embedding: TimeEmbedding | None = None
    exactness: Exactness | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _check_version(self.format_version)
        if self.output not in OUTPUT_KINDS:
            raise ValueError(f"output {self.output!r} is none of {', '.join(OUTPUT_KINDS)}")
        if self.session < 0:
            raise ValueError(f"session {self.session} must be 0 or more")
        if not all(isinstance(name, str) for name in self.passes):
            raise ValueError(f"passes must be names, not {self.passes!r}")
        if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in self.quality.values()):
            raise ValueError(f"quality must be finite numbers by name, not {self.quality!r}")
        if self.time_embedding is not None and self.kind != "video":
            raise ValueError(f"an artifact of kind {self.kind!r} decodes whole frames only")
        if (self.exactness is not None) != (self.precision in PROVED):
            raise ValueError(f"precision {self.precision!r} and a proof of exactness do not go together")
        if self.exactness is not None and len(self.exactness.frame_checks) != 2 * self.video.frames:
            raise ValueError(f"checks of another number of frames than {self.video.frames}")

    @property
    def input(self) -> ArtifactInput:
        """The input that selects what to decode: frame numbers, or the time embedding."""
        if self.time_embedding is None:
            return FRAME_INDEX
        return ArtifactInput(EMBEDDING_NAME, "float32", (self.time_embedding.width,))

    def inputs_at(self, positions: NDArray[Any]) -> NDArray[Any]:
        """The values of that input for positions in the video, int64 [B] or, where any time can be decoded,
        float64 [B].
        """
        if self.time_embedding is None:
            return np.ascontiguousarray(positions, dtype=np.int64)
        return self.time_embedding.rows(positions, self.video.frames)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        value = asdict(self)
        value["video"] = self.video.to_json()
        value["passes"] = list(self.passes)
        if self.time_embedding is None:  # absent from ordinary artifacts, for their bytes and readers predate it
            del value["time_embedding"]
        elif not self.time_embedding.coarse:  # likewise
            del value["time_embedding"]["coarse"]
        value["exactness"] = None if self.exactness is None else self.exactness.to_json()
        if self.exactness is None:  # likewise
            del value["exactness"]
        return value

    def to_text(self) -> str:
        """What a file holds: one line of JSON with sorted keys."""
        return one_line(self.to_json())

    @classmethod
    def from_json(cls, value: Any) -> ArtifactContract:
        """The inverse of `to_json`; a ValueError names what is wrong."""
        if isinstance(value, dict):
            value = {"time_embedding": None, "exactness": None} | value
        given = _given_fields(value, cls)
        if given["exactness"] is not None:
            given["exactness"] = Exactness(**require_fields(given["exactness"], Exactness))
        if given["time_embedding"] is not None:
            embedding = given["time_embedding"]
            if isinstance(embedding, dict):
                embedding = {"coarse": False} | embedding
            given["time_embedding"] = TimeEmbedding(**require_fields(embedding, TimeEmbedding))
        given["video"] = VideoRecord.from_json(given["video"])
        if not isinstance(given["passes"], list) or not isinstance(given["quality"], dict):
            raise ValueError("passes must be a list and quality an object")
        if not isinstance(given["precision_report"], dict):
            raise ValueError("precision_report must be an object")
        _check_depth(given["precision_report"])
        given["passes"] = tuple(given["passes"])
        return cls(**given)


@dataclass(frozen=True)
class SharedContract:
    """Describes one shared graph: the network of a whole library, for all sessions that have a sidecar.

    - width, height: of every frame.
    - output, precision, lowering, passes, producer: as in `ArtifactContract`.
    - graph_sha256: `graph_digest` of the file's graph.
    - extends: digests of the graphs that the library had after fewer sessions, oldest first; sessions made for
      those decode identically with this one.
    """

    width: int
    height: int
    output: str
    precision: str
    lowering: str
    passes: tuple[str, ...]
    graph_sha256: str
    extends: tuple[str, ...] = ()
    producer: str = ""
    kind: str = "shared"
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _check_version(self.format_version)
        if self.output not in OUTPUT_KINDS:
            raise ValueError(f"output {self.output!r} is none of {', '.join(OUTPUT_KINDS)}")
        for what, side in (("width", self.width), ("height", self.height)):
            if not 1 <= side <= MAX_SIDE:
                raise ValueError(f"{what} {side} is outside 1 to {MAX_SIDE}")
        if not all(isinstance(name, str) for name in self.passes):
            raise ValueError(f"passes must be names, not {self.passes!r}")
        check_digests((self.graph_sha256, *self.extends))

    def serves(self, graph_sha256: str) -> bool:
        """Whether a session exported for the graph with this digest decodes with this one."""
        return graph_sha256 == self.graph_sha256 or graph_sha256 in self.extends

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"passes": list(self.passes), "extends": list(self.extends)}

    def to_text(self) -> str:
        """What a file holds: one line of JSON with sorted keys."""
        return one_line(self.to_json())

    @classmethod
    def from_json(cls, value: Any) -> SharedContract:
        """The inverse of `to_json`; a ValueError names what is wrong."""
        given = _given_fields(value, cls)
        for key in ("passes", "extends"):
            if not isinstance(given[key], list):
                raise ValueError(f"{key} must be a list")
            given[key] = tuple(given[key])
        return cls(**given)


def parse_contract(text: str) -> ArtifactContract | SharedContract:
    """The contract of either kind of file, from its `to_text`; a ValueError names what is wrong."""
    value = json.loads(text)
    shared = isinstance(value, dict) and value.get("kind") == "shared"
    return SharedContract.from_json(value) if shared else ArtifactContract.from_json(value)


def one_line(value: dict[str, Any]) -> str:
    """JSON as files hold it and digests cover it: one line, keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def graph_digest(ir_version: int, opset: int, graph: bytes | memoryview) -> str:
    """The digest that names a shared graph, in hex: SHA-256 of the ONNX versions and of the graph message as
    stored in the file, with every node, name and weight, but not the model's metadata.
    """
    digest = hashlib.sha256(f"pfnr shared graph\nir {ir_version} opset {opset}\n".encode())
    digest.update(graph)
    return digest.hexdigest()


def check_digests(digests: tuple[Any, ...]) -> None:
    """A ValueError for anything other than SHA-256 digests in lower-case hex."""
    for digest in digests:
        if not isinstance(digest, str) or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
            raise ValueError(f"{str(digest)[:80]!r} is not a SHA-256 in hex")


def _check_depth(value: Any) -> None:
    """A ValueError for JSON nested deeper than any report: writing it out again would exhaust the stack."""
    level = [value]
    for _ in range(MOST_LEVELS):
        below = [part for part in level if isinstance(part, (dict, list))]
        level = [inner for part in below for inner in (part.values() if isinstance(part, dict) else part)]
        if not level:
            return
    raise ValueError(f"precision_report is nested deeper than {MOST_LEVELS} levels")


def _given_fields(value: Any, cls: type) -> dict[str, Any]:
    if isinstance(value, dict):
        _check_version(value.get("format_version", FORMAT_VERSION))
    return require_fields(value, cls)


def _check_version(version: Any) -> None:
    if version != FORMAT_VERSION:
        raise ValueError(
            f"artifact format {version}; this version of pfnr reads {FORMAT_VERSION}: "
            "install a matching pfnr, or export the session again"
        )
