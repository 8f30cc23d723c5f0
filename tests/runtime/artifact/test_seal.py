"""An exported file that is not what was exported is refused when it is opened; files without a seal still open."""

from __future__ import annotations

import json
import random
from pathlib import Path

import onnx
import pytest
from helpers.libraries import made_library, small_config
from helpers.packing import grid_model
from helpers.tiny_artifacts import save, table_model
from onnx import helper

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime.artifact.onnx.file import summarise
from pfnr_runtime.artifact.onnx.seal import SEAL_BYTES, SEAL_KEY, seal, without_seal
from pfnr_runtime.artifact.open import examine_artifact
from pfnr_runtime.artifact.packed.file import unpack
from pfnr_runtime.artifact.packed.pack import pack
from pfnr_runtime.errors import ArtifactError

PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture(scope="module", params=PRECISIONS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "v.onnx"
    options = ExportOptions(precision=request.param, psnr_budget=None if request.param == "fp32" else 20.0)
    export_session(made_library(small_config("none"), 1, 4), 0, path, options)
    return path


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_export_is_sealed_and_says_what_its_bytes_are(exported: Path) -> None:
    data = exported.read_bytes()
    body = without_seal(data)
    assert body is not None
    assert seal(body) == data
    onnx.checker.check_model(onnx.load_from_string(data))
    assert summarise(exported).metadata.keys() == {"pfnr", SEAL_KEY}


def test_a_flipped_bit_of_an_export_is_always_refused(exported: Path, tmp_path: Path) -> None:
    data, chance, path = exported.read_bytes(), random.Random(0), tmp_path / "flipped.onnx"
    body = 8 * (len(data) - SEAL_BYTES)
    bits = [chance.randrange(body) for _ in range(300)] + list(range(8 * (len(data) - 64), 8 * len(data)))
    for bit in bits:
        path.write_bytes(flipped(data, bit))
        with pytest.raises(ArtifactError, match=r"flipped\.onnx"):
            examine_artifact(path)


def test_a_changed_contract_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    entries = {entry.key: entry for entry in model.metadata_props}
    contract = json.loads(entries["pfnr"].value)
    contract["video"]["frames"] -= 1
    entries["pfnr"].value = json.dumps(contract)
    with pytest.raises(ArtifactError, match="damaged or changed since it was exported"):
        examine_artifact(save(model, tmp_path / "shorter.onnx"))


def test_nothing_may_follow_a_seal(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    helper.set_model_props(model, {entry.key: entry.value for entry in model.metadata_props} | {"note": "mine"})
    with pytest.raises(ArtifactError, match="damaged or changed since it was exported"):
        examine_artifact(save(model, tmp_path / "noted.onnx"))


def test_files_that_predate_seals_still_open(tmp_path: Path) -> None:
    path = save(table_model(), tmp_path / "old.onnx")
    assert SEAL_KEY not in summarise(path).metadata
    examine_artifact(path)


def test_packing_keeps_the_seal_without_storing_it() -> None:
    model, origin = grid_model(small_config("none"))
    packed, sealed = pack(model, origin), pack(seal(model), origin)
    assert unpack(packed).model == model
    assert unpack(sealed).model == seal(model)
    assert len(sealed) <= len(packed) + 1
