"""An exported decoder on disk, checked before any engine sees it.

Imports inside functions are of what only one kind of file needs: sidecars, packed videos. Opening the other
kinds does not wait for them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pfnr_runtime.artifact.contract import (
    FRAME_INDEX,
    INPUT_NAME,
    METADATA_KEY,
    OUTPUT_NAME,
    ArtifactContract,
    ArtifactInput,
    SharedContract,
    frame_shape,
    parse_contract,
)
from pfnr_runtime.artifact.onnx.file import OnnxSummary, ValueInfo, summarise, summarise_bytes
from pfnr_runtime.artifact.onnx.seal import check_seal
from pfnr_runtime.artifact.operators import ALLOWED_OPERATORS, NEWEST_OPSET
from pfnr_runtime.artifact.packed.signature import is_packed
from pfnr_runtime.artifact.sizes.limits import check_needs, dynamic_sizes, frames_at_once
from pfnr_runtime.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from pfnr_runtime.artifact.packed.file import Unpacked
    from pfnr_runtime.artifact.sidecar import Sidecar

KINDS = ("video",)
MOST_FRAMES, MOST_PIXELS = 8, 1 << 22  # in one run of an engine, the larger of the two


@dataclass(frozen=True)
class _OnnxFile:
    path: Path
    size: int
    summary: OnnxSummary

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole .onnx in hex, computed at the first use."""
        return self._digest()

    def _digest(self) -> str:
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


@dataclass(frozen=True)
class SharedFile(_OnnxFile):
    """A shared graph that passed every check: one network, with a sidecar next to it for each session."""

    contract: SharedContract

    @property
    def sessions(self) -> tuple[int, ...]:
        """Indices of the sessions that have a sidecar next to the graph, in order."""
        from pfnr_runtime.artifact.sidecar import list_sidecars

        return tuple(list_sidecars(self.path))

    def find(self, which: str | int | None) -> int:
        """Index of the session `which` (index or name); None for the only one. A UsageError lists the sessions
        next to the graph.
        """
        from pfnr_runtime.artifact.sidecar import list_sidecars, sidecar_path

        known = list_sidecars(self.path)
        text = "" if which is None else str(which)
        if text.isdecimal() and len(text) <= 9 and int(text) in known:
            return int(text)
        named = {index: self._name(path) for index, path in known.items()}
        found = [index for index, name in named.items() if which is not None and name == text]
        if len(found) == 1:
            return found[0]
        if found:
            both = ", ".join(map(str, found))
            raise UsageError(f"{self.path}: {text!r} is the name of sessions {both}; choose by index")
        if which is None and len(known) == 1:
            return next(iter(known))
        listed = ", ".join(f"{index} ({name or 'damaged'})" for index, name in named.items())
        there = f"available: {listed}" if listed else f"there is no sidecar such as {sidecar_path(self.path, 0)}"
        if which is None:
            raise UsageError(f"{self.path}: a shared graph of several videos; choose a session; {there}")
        raise UsageError(f"{self.path}: no session {text!r}; {there}")

    def open_session(self, which: str | int | None) -> ArtifactFile:
        """One of its sessions, by index or name, with its sidecar checked against this graph."""
        from pfnr_runtime.artifact.sidecar import read_sidecar, sidecar_path

        index = self.find(which)
        sidecar = read_sidecar(sidecar_path(self.path, index), index, self.contract, self.summary.inputs)
        check_frame_needs(self.path, self.summary, sidecar.contract, FRAME_INDEX, sidecar.contract.video.frames)
        return ArtifactFile(self.path, self.size, self.summary, sidecar.contract, self, sidecar)

    def _name(self, path: Path) -> str:
        from pfnr_runtime.artifact.sidecar import read_record

        try:
            return read_record(path).contract.video.name
        except ArtifactError:
            return ""


@dataclass(frozen=True)
class ArtifactFile(_OnnxFile):
    """One video, ready for an engine: a per-video file, or a shared graph with one session's sidecar.

    - path: of the file.
    - size: of the file, in bytes.
    - summary: of the ONNX model.
    - contract: of the video.
    - graph, sidecar: where it is shared.
    - packed: what came out of the file, where it is a packed video.
    """

    contract: ArtifactContract
    graph: SharedFile | None = None
    sidecar: Sidecar | None = None
    packed: Unpacked | None = None

    @property
    def model(self) -> str | bytes:
        """What an engine loads: the path of an .onnx, or the bytes of one that was packed."""
        return str(self.path) if self.packed is None else self.packed.model

    def read(self) -> bytes:
        """The .onnx as bytes, exactly those that were checked; an ArtifactError if the file has changed since."""
        if self.packed is not None:
            return self.packed.model
        data = self.path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ArtifactError(f"{self.path}: changed while it was being opened; open it again")
        return data

    @cached_property
    def most_at_once(self) -> int:
        """How many frames an engine should decode in one run, however many are asked for: each takes memory for
        all that the graph computes.
        """
        video, asked = self.contract.video, self.contract.input
        pixels = video.width * video.height
        most = max(MOST_FRAMES, MOST_PIXELS // pixels)
        others = dynamic_sizes(self.summary.inputs[1:], video.frames)
        return frames_at_once(self.summary, asked.name, asked.row, others, most, pixels)

    def _digest(self) -> str:
        return super()._digest() if self.packed is None else self.packed.sha256


def open_artifact(path: str | Path, session: str | int | None = None) -> ArtifactFile:
    """The artifact at `path`; an ArtifactError says what is wrong with it and what to do.

    session: index or name, for a shared graph with more than one; a UsageError if there is no such session. Checks
    what `examine_artifact` checks, and the session's sidecar.
    """
    opened = examine_artifact(path)
    if isinstance(opened, SharedFile):
        return opened.open_session(session)
    contract = opened.contract
    if session is not None and str(session) not in (str(contract.session), contract.video.name):
        raise UsageError(
            f"{path}: holds session {contract.session} ({contract.video.name}) alone, not {str(session)!r}; "
            "name another file, or export a shared graph"
        )
    return opened


def examine_artifact(path: str | Path) -> ArtifactFile | SharedFile:
    """Open the file at `path`: one video, packed or not, or a graph shared by several. An ArtifactError says what
    is wrong.

    Checks the file's structure, the contract in its metadata, operators, that inputs and outputs match the
    contract, the digest of the whole file where it has one, and what one frame takes to compute.
    """
    path = Path(path)
    if path.suffix == ".pfnr":
        raise ArtifactError(
            f"{path}: this is a library; export one of its videos first: "
            f"pfnr-export --library {path} --session 0 -o video.onnx"
        )
    if path.suffix == ".safetensors":
        raise ArtifactError(f"{path}: a session's sidecar; name the .onnx file next to it, and the session")
    packed = None
    if is_packed(path):
        from pfnr_runtime.artifact.packed.file import read_packed  # loads what decodes weights

        packed = read_packed(path)
    summary = summarise(path) if packed is None else summarise_bytes(packed.model, path)
    if packed is None:  # what comes out of a packed video has its digest
        check_seal(path, summary)
    contract = read_contract(path, summary)
    _check_operators(path, summary)
    _check_output(path, summary, contract)
    if isinstance(contract, SharedContract):
        if packed is not None:
            raise ArtifactError(f"{path}: a packed shared graph; pack the sessions one by one")
        _check_input(path, summary.inputs[:1], FRAME_INDEX)
        _check_session_inputs(path, summary.inputs[1:])
        check_frame_needs(path, summary, contract, FRAME_INDEX, 1)
        return SharedFile(path, path.stat().st_size, summary, contract)
    _check_input(path, summary.inputs, contract.input)
    check_frame_needs(path, summary, contract, contract.input, 1)
    return ArtifactFile(path, path.stat().st_size, summary, contract, packed=packed)


def read_contract(path: Path, summary: OnnxSummary) -> ArtifactContract | SharedContract:
    """The contract in a file's metadata; an ArtifactError if it is missing, damaged or of another version."""
    text = summary.metadata.get(METADATA_KEY)
    if text is None:
        raise ArtifactError(
            f"{path}: an ONNX file without pfnr's metadata, so not written by pfnr-export, or cut short; "
            "export the session again"
        )
    try:
        contract = parse_contract(text)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise ArtifactError(f"{path}: bad artifact metadata: {error}; export the session again") from None
    if contract.kind not in KINDS and not isinstance(contract, SharedContract):
        raise ArtifactError(
            f"{path}: an artifact of kind {contract.kind!r}; this version of pfnr plays {', '.join(KINDS)}, shared"
        )
    return contract


def _check_operators(path: Path, summary: OnnxSummary) -> None:
    for domain, version in summary.opsets.items():
        if domain:
            raise ArtifactError(
                f"{path}: needs operators of the domain {domain!r}, and only ONNX's are accepted; "
                "export the session again"
            )
        if not 1 <= version <= NEWEST_OPSET:
            raise ArtifactError(
                f"{path}: ONNX opset {version} is outside 1 to {NEWEST_OPSET}; export the session again"
            )
    if unknown := [name for name in summary.operators if name not in ALLOWED_OPERATORS]:
        raise ArtifactError(
            f"{path}: operators that no pfnr decoder uses: {', '.join(unknown[:5])}; export the session again"
        )


def _check_input(path: Path, inputs: tuple[ValueInfo, ...], wanted: ArtifactInput) -> None:
    got = ", ".join(map(str, inputs)) or "none"
    match inputs:
        case (ValueInfo(name, dtype, (batch, *row)),) if not isinstance(batch, int):
            if ArtifactInput(name, dtype, tuple(row)) == wanted:  # type: ignore[arg-type]
                return
    raise ArtifactError(
        f"{path}: inputs are {got} where {wanted} with a dynamic batch is needed; export the session again"
    )


def _check_session_inputs(path: Path, inputs: tuple[ValueInfo, ...]) -> None:
    names = {INPUT_NAME} | {value.name for value in inputs}
    for value in inputs:
        free = [axis for axis, size in enumerate(value.shape) if not isinstance(size, int) or size < 1]
        if value.dtype not in ("bool", "float32") or free not in ([], [0] if value.dtype == "float32" else []):
            raise ArtifactError(
                f"{path}: input {value} is neither a mask nor a float32 tensor of a session; export it again"
            )
    if len(names) != len(inputs) + 1:
        raise ArtifactError(f"{path}: two inputs have the same name; export it again")


def check_frame_needs(
    path: Path,
    summary: OnnxSummary,
    contract: ArtifactContract | SharedContract,
    asked: ArtifactInput,
    frames: int,
) -> None:
    """Check what one frame takes to compute; an ArtifactError where that is over the limits.

    asked: the input that selects what to decode. frames: of the session, which a shared graph's inputs follow.
    """
    video = contract.video if isinstance(contract, ArtifactContract) else contract
    output = (1, *frame_shape(contract.output, video.height, video.width))
    sizes = {**dynamic_sizes(summary.inputs[1:], frames), asked.name: (1, *asked.row)}
    check_needs(path, summary, sizes, video.width * video.height, output)


def _check_output(path: Path, summary: OnnxSummary, contract: ArtifactContract | SharedContract) -> None:
    video = contract.video if isinstance(contract, ArtifactContract) else contract
    size = frame_shape(contract.output, video.height, video.width)
    got = ", ".join(map(str, summary.outputs)) or "none"
    match summary.outputs:
        case (ValueInfo(name, dtype, (batch, *rest)),) if (
            name == OUTPUT_NAME and dtype == contract.output and not isinstance(batch, int) and tuple(rest) == size
        ):
            return
    raise ArtifactError(
        f"{path}: outputs are {got} where {OUTPUT_NAME}: {contract.output} "
        f"[B, {', '.join(map(str, size))}] is needed; export the session again"
    )
