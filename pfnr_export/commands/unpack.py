"""`pfnr-export v5.pfnv -o v5.onnx`: unpacks a packed video into the .onnx that it was made from."""

from __future__ import annotations

from pathlib import Path

from pfnr_runtime.artifact.describe import size
from pfnr_runtime.artifact.open import ArtifactFile, examine_artifact
from pfnr_runtime.artifact.packed.signature import SUFFIX
from pfnr_runtime.commands.console import print_json
from pfnr_runtime.errors import UsageError
from pfnr_runtime.system.part_file import write_atomically


def run_unpack(packed: Path, output: Path, json: bool) -> None:
    """Write the .onnx atomically. An ArtifactError if the packed video is damaged."""
    if output.suffix == SUFFIX:
        raise UsageError(f"{output}: a packed video unpacks to an .onnx; choose a name such as v5.onnx")
    opened = examine_artifact(packed)
    if not isinstance(opened, ArtifactFile) or opened.packed is None:
        raise UsageError(
            f"{packed}: not a packed video; pack one from its library: pfnr-export --session 0 -o v0{SUFFIX}"
        )
    data = opened.read()
    write_atomically(output, data)
    if json:
        print_json({"artifact": str(output), "bytes": len(data), "sha256": opened.sha256, "packed": str(packed)})
        return
    print(f"{packed} ({size(opened.size)}) -> {output} ({size(len(data))}), sha256 {opened.sha256[:16]}…")
