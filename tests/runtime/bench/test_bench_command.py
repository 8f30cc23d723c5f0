"""pfnr-bench as a person runs it: figures that fit one another, and H.264 always next to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.tiny_artifacts import FRAMES, save, table_model
from typer.testing import CliRunner

from pfnr_runtime import VideoDecoder
from pfnr_runtime.bench import compare, engines, report
from pfnr_runtime.bench.engines import Asked, engines_to_run
from pfnr_runtime.bench.timing import Latencies, at_random, in_order, time_runs
from pfnr_runtime.commands.bench import app
from pfnr_runtime.errors import BackendError


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return save(table_model(), tmp_path / "v.onnx")


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pfnr_runtime.commands.bench", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = save(table_model(), tmp_path_factory.mktemp("bench") / "v.onnx")
    options = (
        "--seconds",
        0.02,
        "--batches",
        "1,3",
        "--threads",
        1,
        "--backend",
        "onnxruntime-cpu",
        "--json",
        "--cold-starts",
        1,
    )
    done = bench(path, *options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["measuring onnxruntime-cpu", "measuring H.264"]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_all_figures_of_an_engine_are_there_and_fit(result: dict[str, Any]) -> None:
    engine = result["engines"]["onnxruntime-cpu"]
    for order in ("sequential", "random"):
        times = engine[order]
        assert times["count"] >= 3
        assert 0 < times["p50_ms"] <= times["p90_ms"] <= times["p99_ms"] <= times["max_ms"]
        assert times["fps"] == pytest.approx(1000 / times["mean_ms"])
    assert set(engine["batches"]) == {"1", "3"}
    assert engine["split"]["compute_ms"] > 0
    cold = engine["cold"]
    assert cold["first_frame_s"] > cold["import_s"] + cold["open_s"] + cold["decode_s"] > 0
    assert cold["peak_bytes"] >= cold["resident_bytes"] > 10_000_000
    assert engine["energy"]
    assert "1 thread," in engine["description"]


def test_h264_of_the_same_frames_is_beside_it(result: dict[str, Any]) -> None:
    h264 = result["h264"]
    assert compare.LEAST_FRAMES <= h264["frames"] <= FRAMES
    assert h264["bytes"] == h264["frames"] * h264["bytes_per_frame"] > 0
    assert h264["psnr_to_artifact"] > 25
    assert h264["software"]["sequential"]["fps"] > 0
    assert h264["software"]["cold"]["first_frame_s"] > 0
    assert {*h264["hardware"], *h264["hardware_missing"]}


def test_the_table_has_a_column_for_each_and_says_what_h264_is(result: dict[str, Any]) -> None:
    assert list(report.columns(result))[:2] == ["onnxruntime-cpu", "H.264, software"]
    for figures in report.columns(result).values():
        cells = {label: text(figures) for label, text in report.rows()}
        assert "fps" in cells["in order"]
        assert cells["energy, per frame"]
    told = "\n".join(report.notes(result, verbose=True))
    assert "crf 18" in told
    assert f"{result['h264']['bytes']:,} bytes" in told


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--backend", "tpu"], 2, "choose all, tensorrt"),
        (["--seconds", "0"], 2, "--seconds 0 is outside"),
        (["--batches", "1,x"], 2, "--batches '1,x': write numbers"),
        (["--batches", "65"], 2, "--batches 65: each is 1 to 64"),
        (["--cold-starts", "0"], 2, "--cold-starts 0 is outside"),
    ],
)
def test_mistakes_are_one_line_with_their_exit_code(
    artifact: Path, arguments: list[str], code: int, message: str
) -> None:
    done = CliRunner().invoke(app, [str(artifact), *arguments, "--quiet"])
    assert (done.exit_code, done.stdout) == (code, "")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_no_engine_is_exit_code_4(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "why_not_here", lambda kind: f"{kind.name} is not here")
    here, left_out = engines_to_run("all")
    assert here == []
    assert left_out["onnxruntime-cpu"] == "onnxruntime-cpu is not here"
    asked = Asked(str(artifact), None, 1, 0.01, ())
    with pytest.raises(BackendError, match=r"no engine can decode it .*tensorrt is not here") as caught:
        report.run(asked, "all")
    assert caught.value.exit_code == 4


def test_an_engine_that_fails_is_told_and_the_others_are_measured(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(asked: Asked, name: str) -> dict[str, Any]:
        if name == "broken":
            raise BackendError("the driver is too old")
        times = Latencies((0.1,)).to_json()
        return {"sequential": times, "random": times}

    monkeypatch.setattr(report, "engines_to_run", lambda backend: (["broken", "onnxruntime-cpu"], {}))
    monkeypatch.setattr(report, "measure", measure)
    monkeypatch.setattr(report.compare, "measure", lambda *a: {"hardware": {}, "hardware_missing": {}})
    found = report.run(Asked(str(artifact), None, 1, 0.01, ()), "all")
    assert list(found["engines"]) == ["onnxruntime-cpu"]
    assert found["failed"] == {"broken": "the driver is too old"}


def test_runs_go_on_until_both_time_and_number_are_reached() -> None:
    seen: list[int] = []
    assert len(time_runs(seen.append, in_order(2), 0.0, least=5).seconds) == 5
    assert seen == [0, 1, 0, 1, 0]
    assert len(time_runs(seen.append, range(3), 60.0).seconds) == 3, "no more than there are"
    draw = at_random(7)
    assert {next(draw) for _ in range(200)} == set(range(7))


def test_percentiles_are_those_of_the_runs() -> None:
    told = Latencies(tuple(i / 1000 for i in range(1, 102))).to_json()
    assert (told["p50_ms"], told["p90_ms"], told["p99_ms"], told["max_ms"]) == pytest.approx((51, 91, 100, 101))


def test_stages_of_a_decode_are_all_of_it(artifact: Path) -> None:
    with VideoDecoder(artifact, threads=1) as decoder:
        stages = decoder.decode_in_stages(-1)
        assert stages.compute > 0
        assert stages.copy >= 0
        with pytest.raises(IndexError):
            decoder.decode_in_stages(FRAMES)
    assert np.isfinite([stages.compute, stages.copy]).all()
