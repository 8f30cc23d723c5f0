"""An exported decoder on disk, checked before any engine sees it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pfnr_runtime.contract import INPUT_NAME, METADATA_KEY, OUTPUT_NAME, ArtifactContract
from pfnr_runtime.errors import ArtifactError
from pfnr_runtime.onnxfile import OnnxSummary, ValueInfo, summarise
from pfnr_runtime.operators import ALLOWED_OPERATORS, NEWEST_OPSET

KINDS = ("video",)


@dataclass(frozen=True)
class ArtifactFile:
    """An artifact that passed every check: its path, size in bytes, contract and the graph's summary."""

    path: Path
    size: int
    contract: ArtifactContract
    summary: OnnxSummary

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the whole file in hex, computed at the first use."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def open_artifact(path: str | Path) -> ArtifactFile:
    """The artifact at `path`; an ArtifactError names what is wrong with it and what to do.

    Checked here: the file's structure, the contract in its metadata, operators, and that inputs and outputs
    are what the contract promises. Weights are not read.
    """
    path = Path(path)
    if path.suffix == ".pfnr":
        raise ArtifactError(
            f"{path}: this is a library; export one of its videos first: "
            f"pfnr-export --library {path} --session 0 -o video.onnx"
        )
    summary = summarise(path)
    contract = read_contract(path, summary)
    _check_operators(path, summary)
    _check_input(path, summary)
    _check_output(path, summary, contract)
    return ArtifactFile(path, path.stat().st_size, contract, summary)


def read_contract(path: Path, summary: OnnxSummary) -> ArtifactContract:
    """The contract in a file's metadata; an ArtifactError if it is missing, damaged or of another version."""
    text = summary.metadata.get(METADATA_KEY)
    if text is None:
        raise ArtifactError(
            f"{path}: an ONNX file without pfnr's metadata, so not written by pfnr-export, or cut short; "
            "export the session again"
        )
    try:
        contract = ArtifactContract.from_json(text)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise ArtifactError(f"{path}: bad artifact metadata: {error}; export the session again") from None
    if contract.kind not in KINDS:
        raise ArtifactError(
            f"{path}: an artifact of kind {contract.kind!r}; this version of pfnr plays {', '.join(KINDS)}"
        )
    return contract


def _check_operators(path: Path, summary: OnnxSummary) -> None:
    for domain, version in summary.opsets.items():
        if domain:
            raise ArtifactError(
                f"{path}: needs operators of the domain {domain!r}, and only ONNX's own are accepted; "
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


def _check_input(path: Path, summary: OnnxSummary) -> None:
    wanted = f"{INPUT_NAME}: int64 [B] with a dynamic batch"
    got = ", ".join(map(str, summary.inputs)) or "none"
    match summary.inputs:
        case (ValueInfo(name, "int64", (size,)),) if name == INPUT_NAME and not isinstance(size, int):
            return
    raise ArtifactError(f"{path}: inputs are {got} where {wanted} is needed; export the session again")


def _check_output(path: Path, summary: OnnxSummary, contract: ArtifactContract) -> None:
    video = contract.video
    size: tuple[int, ...] = (
        (video.height, video.width, 3) if contract.output == "uint8" else (3, video.height, video.width)
    )
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
