"""Targets: what a device opens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from helpers.libraries import made_library, small_config
from helpers.packing import grid_model
from helpers.tiny_artifacts import between_model, contract, conv_model, float_table_model, uneven_video

from fuzz.formats import Parts, mutate_onnx, mutate_safetensors, mutate_zip
from fuzz.mutate import Chance, mutate_bytes, mutate_json, mutate_text, to_json
from fuzz.target import Ready
from pfnr_export.shared.build import SharedOptions
from pfnr_export.shared.export_shared import export_shared
from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.contract import METADATA_KEY, parse_contract
from pfnr_runtime.artifact.golden import make_golden, read_golden, write_golden
from pfnr_runtime.artifact.onnx.seal import seal
from pfnr_runtime.artifact.open import SharedFile, examine_artifact
from pfnr_runtime.artifact.packed.pack import pack
from pfnr_runtime.artifact.sidecar import SidecarRecord, checksum, read_sidecar, sidecar_path
from pfnr_runtime.backends.trt.engine_cache import EngineCache
from pfnr_runtime.coding.decode import decode_tensors
from pfnr_runtime.coding.encode import encode_tensors
from pfnr_runtime.coding.quantised import Quantised
from pfnr_runtime.errors import CodingError

NUMPY = {"U8": "u1", "F32": "<f4"}


def onnx(folder: Path) -> Ready:
    """Opens an .onnx, and decodes a frame of what is accepted."""
    path = folder / "v.onnx"
    models = [conv_model(), between_model(), float_table_model()]
    seeds = [seal(model.SerializeToString(deterministic=True)) for model in models]
    seeds.append(seal(grid_model(small_config("replace"))[0]))

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with VideoDecoder(path, backend="onnxruntime-cpu", threads=1) as decoder:
            decoder[0]

    return Ready(seeds, read, mutate_onnx)


def packed(folder: Path) -> Ready:
    """Opens a .pfnv."""
    path = folder / "v.pfnv"
    seeds = [pack(*grid_model(small_config(combine))) for combine in ("none", "concat")]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        examine_artifact(path)

    return Ready(seeds, read, mutate_bytes)


def coded(folder: Path) -> Ready:
    """Decodes a coded stream, behind which no digest stands in the way."""
    rng = np.random.default_rng(0)
    tensors = {
        "a": Quantised(np.rint(rng.laplace(0, 2, (12, 5, 3, 3))).astype(np.int32), -3),
        "b": Quantised(np.rint(rng.laplace(0, 40, (9, 31))).astype(np.int32), 2),
        "c": np.arange(7, dtype=np.float32),
        "d": Quantised(np.zeros(40, np.int32), 0),
    }
    shapes = {n: t.integers.shape if isinstance(t, Quantised) else t.shape for n, t in tensors.items()}
    return Ready(
        [encode_tensors(tensors)], lambda data: decode_tensors(data, shapes), mutate_bytes, (CodingError,)
    )


def golden(folder: Path) -> Ready:
    """Reads a golden file."""
    about, path = contract(), folder / "v.golden"
    frames = np.random.default_rng(0).integers(0, 256, (12, 36, 64, 3), dtype=np.uint8)
    frames[:] = frames[:, :1, :1]
    write_golden(make_golden(iter(frames), about, 2), path)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_golden(path, about)

    return Ready([path.read_bytes()], read, mutate_zip)


def sidecar(folder: Path) -> Ready:
    """Reads a session's sidecar for its shared graph."""
    export_shared(made_library(small_config("add"), 1, 3), [0], folder / "g.onnx", SharedOptions())
    graph, path = examine_artifact(folder / "g.onnx"), sidecar_path(folder / "g.onnx", 0)
    assert isinstance(graph, SharedFile)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        read_sidecar(path, 0, graph.contract, graph.summary.inputs)

    return Ready([path.read_bytes()], read, lambda data, chance: mutate_safetensors(data, chance, _with_checksum))


def _with_checksum(parts: Parts) -> Parts:
    header, body = parts
    about = json.loads(header["__metadata__"][METADATA_KEY])
    tensors = {}
    for name, spec in header.items():
        if name != "__metadata__":
            start, end = spec["data_offsets"]
            tensors[name] = np.frombuffer(body[start:end], NUMPY[spec["dtype"]]).reshape(spec["shape"])
    about["sha256"] = checksum(SidecarRecord.from_json(about["record"]), tensors)
    header["__metadata__"][METADATA_KEY] = json.dumps(about)
    return header, body


def contracts(folder: Path) -> Ready:
    """Parses a contract, with its video record and frame times, as a file's metadata holds it."""
    seeds = [contract(uneven_video()).to_text().encode(), contract().to_text().encode()]
    named: tuple[type[Exception], ...] = (ValueError, TypeError, ArithmeticError, RecursionError)

    def mutate(data: bytes, chance: Chance) -> bytes:
        if chance.random() < 0.2:
            return mutate_text(data, chance)
        return to_json(mutate_json(json.loads(data), chance))

    def read(data: bytes) -> None:
        about: Any = parse_contract(data.decode("utf-8", "replace"))
        assert parse_contract(about.to_text()) == about
        if about.video.times is not None:
            about.video.times.index_at(about.video.times.start(len(about.video.times) - 1))

    return Ready(seeds, read, mutate, named)


def engine_cache(folder: Path) -> Ready:
    """Reads an entry of the engine cache: another's bytes are never given back as an engine."""
    key = {"gpu": "x", "version": [10, 3], "model": "0" * 64}
    cache = EngineCache(folder / "cache")
    entry = cache.write("engine", key, b"engine", {"seconds": 1.5})
    notes = entry.path.with_name(entry.path.name + ".json")

    def read(data: bytes) -> None:
        notes.write_bytes(data)
        found = cache.read("engine", key)
        assert found is None or found.data == b"engine"

    def mutate(data: bytes, chance: Chance) -> bytes:
        if chance.random() < 0.3:
            return mutate_bytes(data, chance)
        return to_json(mutate_json(json.loads(data), chance))

    return Ready([notes.read_bytes()], read, mutate)
