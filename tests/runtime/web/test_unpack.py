"""The page's modules, run by Node.js: packed videos come out as from Python, frames are due in time."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.canvas_sessions import canvas_library
from helpers.libraries import COMBINES, small_config
from helpers.packing import grid_model
from helpers.tiny_artifacts import conv_model, table_model

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_runtime.artifact.onnx.seal import seal
from pfnr_runtime.artifact.packed import derivations
from pfnr_runtime.artifact.packed.derivations import KINDS
from pfnr_runtime.artifact.packed.file import unpack
from pfnr_runtime.artifact.packed.pack import Origin, pack
from pfnr_runtime.artifact.packed.sine import sine_and_cosine
from pfnr_runtime.web.assets import PAGE
from pfnr_runtime.web.site import dictionaries

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js here to run the page's modules")

READER = """
import { readFileSync } from "node:fs";
const [reader, folder, ...files] = process.argv.slice(2);
const { unpack } = await import(reader);
const dictionary = (number) => new Uint8Array(readFileSync(`${folder}/dictionary${number}.bin`));
for (const file of files) {
  try {
    const model = await unpack(new Uint8Array(readFileSync(file)), dictionary);
    const { createHash } = await import("node:crypto");
    console.log(createHash("sha256").update(model).digest("hex"));
  } catch (error) {
    console.log(`${error.constructor.name}: ${error.message}`);
  }
}
"""


def run_node(folder: Path, script: str, *arguments: object) -> list[str]:
    """The lines that a module prints; nothing may be said on stderr."""
    path = folder / "script.mjs"
    path.write_text(script)
    done = subprocess.run(["node", path, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def read_by_page(folder: Path, packed: list[bytes]) -> list[str]:
    """What the page's reader makes of packed videos: the digest of the .onnx, or an error."""
    for name, data in dictionaries().items():
        (folder / name).write_bytes(data)
    files = []
    for i, data in enumerate(packed):
        files.append(folder / f"{i}.pfnv")
        files[-1].write_bytes(data)
    return run_node(folder, READER, (PAGE / "unpack/packed.js").as_uri(), folder, *files)


def test_every_kind_of_network_comes_out_as_from_python(tmp_path: Path) -> None:
    models = [grid_model(small_config(combine)) for combine in COMBINES]
    models += [(seal(model), origin) for model, origin in models]
    models += [(model.SerializeToString(deterministic=True), Origin()) for model in (conv_model(), table_model())]
    packed = [pack(*model) for model in models]
    assert read_by_page(tmp_path, packed) == [hashlib.sha256(model).hexdigest() for model, _ in models]


def test_canvas_networks_and_old_files_come_out_as_from_python(tmp_path: Path) -> None:
    canvas = tmp_path / "canvas.pfnv"
    export_session(canvas_library(48, size=(320, 180)), 0, canvas, ExportOptions())
    old = Path(__file__).parents[1] / "artifact/packed/version1.pfnv"
    packed = [canvas.read_bytes(), old.read_bytes()]
    assert read_by_page(tmp_path, packed) == [unpack(data).sha256 for data in packed]


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    whole = pack(*grid_model(small_config("none")))
    rng = random.Random(0)
    damaged = [whole[:length] for length in rng.sample(range(len(whole)), 60)]
    for place in rng.sample(range(4, len(whole)), 150):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << rng.randrange(8)
        damaged.append(bytes(flipped))
    damaged += [whole + b"\0", whole[:5] + bytes(60), b"pfnv\2", b"pfnv\1" + b"\xff" * 80]
    found = read_by_page(tmp_path, damaged)
    assert len(found) == len(damaged)
    # An Error of the reader, with a sentence; anything else, such as a TypeError, is a check that it lacks.
    assert [line for line in found if not line.startswith("Error: ")] == []


def test_sines_are_pythons_bits(tmp_path: Path) -> None:
    angles = np.random.default_rng(0).uniform(-1e6, 1e6, 5000)
    angles = np.concatenate([angles, np.arange(64) * np.pi / 8])
    script = f"""
import {{ sineAndCosine }} from {json.dumps((PAGE / "unpack/sine.js").as_uri())};
const angles = {json.dumps(list(angles))};
console.log(Buffer.from(new Float64Array(angles.flatMap(sineAndCosine)).buffer).toString("hex"));
"""
    (line,) = run_node(tmp_path, script)
    assert bytes.fromhex(line) == np.stack(sine_and_cosine(angles), axis=-1).astype("<f8").tobytes()


def test_every_derivation_of_python_is_known(tmp_path: Path) -> None:
    script = f"""
import {{ KINDS }} from {json.dumps((PAGE / "unpack/derivations.js").as_uri())};
console.log(JSON.stringify(Object.entries(KINDS).map(([kind, {{ numbers, reals }}]) => [kind, numbers, reals])));
"""
    (line,) = run_node(tmp_path, script)
    assert json.loads(line) == [[str(key), kind.numbers, kind.reals] for key, kind in sorted(KINDS.items())]


def test_the_pages_limits_are_pythons(tmp_path: Path) -> None:
    table, sums, tables = derivations.MOST_TABLE, derivations.MOST_SUMS, derivations.MOST_TABLES
    path = "{ shape: [1, 1], values: new Float32Array(1) }"
    script = f"""
import {{ build, checkTables }} from {json.dumps((PAGE / "unpack/derivations.js").as_uri())};
const cases = [
  () => build({{ kind: {derivations.COSINES}, numbers: [11], reals: [] }}, [], [4096, {table // 4096 + 1}]),
  () => build({{ kind: {derivations.TIME}, numbers: [2, 11], reals: [1.25, 0.5] }}, [], [{table // 8 + 1}, 8]),
  () => build({{ kind: {derivations.PLACES}, numbers: [0, 11, 6], reals: [] }}, [{path}], [{sums + 1}, 1]),
  () => build({{ kind: {derivations.STEM}, numbers: [1, 11, 1, 0, 0, 0], reals: [1.25, 0.5] }},
              [{{ shape: [{sums // 4 + 1}, 4], values: new Float32Array(4) }}], [4, 4]),
  () => checkTables(Array({tables + 1}).fill({{ kind: {derivations.TIME} }})),
];
checkTables(Array({tables}).fill({{ kind: {derivations.TIME} }}));
const said = (run) => {{ try {{ run(); return "nothing"; }} catch (error) {{ return error.constructor.name; }} }};
console.log(JSON.stringify(cases.map(said)));
"""
    (line,) = run_node(tmp_path, script)
    assert json.loads(line) == ["Error"] * 5


def test_digests_are_sha256(tmp_path: Path) -> None:
    script = f"""
import {{ sha256 }} from {json.dumps((PAGE / "unpack/sha256.js").as_uri())};
for (let n = 0; n < 200; n++) console.log(sha256(Uint8Array.from({{ length: n }}, (_, i) => i * 7)));
console.log(sha256(new Uint8Array(1 << 20)));
"""
    expected = [hashlib.sha256(bytes(i * 7 % 256 for i in range(n))) for n in range(200)]
    expected.append(hashlib.sha256(bytes(1 << 20)))
    assert run_node(tmp_path, script) == [digest.hexdigest() for digest in expected]


def ordered(folder: Path, session: dict[str, Any], arguments: str, asked: str) -> Any:
    """What an order of play answers."""
    for source in ("order.js", "../shared/times.js"):
        shutil.copy(PAGE / source, folder)
    script = f"""
import {{ Order }} from "./order.js";
const order = new Order({json.dumps(session)}, {arguments});
console.log(JSON.stringify({asked}));
"""
    (folder / "package.json").write_text('{"type": "module"}')
    (line,) = run_node(folder, script)
    return json.loads(line)


def test_frames_are_due_by_their_times_and_late_ones_are_passed_over(tmp_path: Path) -> None:
    steady = {"fps": 10, "frames": 5, "seconds": 0.5, "video": {}}
    asked = "[order.count, order.frame(4), order.due(1), order.next(0, 0.25), order.next(3, 0), order.next(0, 9)]"
    assert ordered(tmp_path, steady, "0, 1, false", asked) == [5, 4, 0.1, 2, 3, 4]
    assert ordered(tmp_path, steady, "3, 2, false", "[order.count, order.frame(1), order.due(1)]") == [
        2,
        4,
        pytest.approx(0.05),
    ]
    # Round and round: frame 12 from frame 3 on is frame 0 of the third round.
    loop = "[order.count, order.frame(12), order.due(12), order.next(0, 1.25), order.frame(order.next(0, 1.25))]"
    assert ordered(tmp_path, steady, "3, 1, true", loop) == [None, 0, pytest.approx(1.2), 12, 0]
    uneven = {"fps": 1, "frames": 3, "seconds": 6, "video": {"times": {"time_base": "1/1", "durations": "3 1 2"}}}
    assert ordered(tmp_path, uneven, "0, 1, true", "[1, 2, 3, 4].map((k) => order.due(k))") == [3, 4, 6, 9]
    assert ordered(tmp_path, uneven, "0, 1, true", "[2.9, 3, 3.9, 5, 6.5].map((t) => order.next(0, t))") == [
        0,
        1,
        1,
        2,
        3,
    ]
