"""pfnr-verify: what passes, what fails and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from helpers.running import FRAMES, TRAIN, Outcome, run_here
from helpers.tampering import tamper
from onnx import numpy_helper

from pfnr_runtime.artifact.contract import METADATA_KEY


@pytest.fixture
def artifact(folder: Path) -> Path:
    assert run_here("pfnr-export", "-s", 2, "-o", "v2.onnx").code == 0
    return Path("v2.onnx")


def verify(*arguments: object) -> Outcome:
    return run_here("pfnr-verify", *arguments, "--threads", 1)


def scale_head(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name.startswith("head") and t.name.endswith("weight"))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.5), tensor.name))


@pytest.mark.parametrize("frames", ["uint8", "float32"])
def test_a_good_artifact_verifies_with_a_full_report(frames: str, folder: Path) -> None:
    assert run_here("pfnr-export", "-s", 2, "-o", "v2.onnx", "--frames", frames).code == 0
    done = verify("v2.onnx", "--json", "--source", "clip2.mkv")
    report = done.json
    assert (done.code, report["passed"], report["problems"]) == (0, True, [])
    assert (report["session"], report["name"], report["frames"], report["precision"]) == (
        2,
        "clip2",
        FRAMES,
        "fp32",
    )
    assert report["samples"] == FRAMES * 80 * 48 * 3
    assert report["largest_difference"] <= 1
    assert report["differing_samples"] <= 0.0002 * report["samples"]
    assert len(report["per_frame"]) == FRAMES
    assert abs(report["source"]["reference_psnr"] - report["source"]["artifact_psnr"]) <= 0.001
    # design's table: one step of 255 on at most 0.02 % of samples, PSNR within 0.001 dB
    rule = report["rule"]
    assert (rule["max_step"], rule["max_fraction"], rule["max_psnr_change"]) == (1, 0.0002, 0.001)


def test_changed_weights_fail_and_the_worst_frame_is_named(artifact: Path) -> None:
    tamper(artifact, scale_head)
    done = verify(artifact, "--json")
    report = done.json
    assert (done.code, report["passed"]) == (3, False)
    worst = max(report["per_frame"], key=lambda f: (f["largest"], f["differing"]))
    assert f"frame {worst['frame']} is worst: {worst['largest']} steps of 255" in done.stderr
    assert done.stderr.startswith(f"error: {artifact}: 5 of 5 frames break the rule")
    assert "NOT the same frames" in verify(artifact).stdout


def test_looser_limits_are_a_choice_and_impossible_ones_an_error(artifact: Path) -> None:
    tamper(artifact, scale_head)
    assert verify(artifact, "--max-step", 255, "--max-fraction", 1).code == 0
    for wrong in (("--max-step", 256), ("--max-step", -1), ("--max-fraction", 1.1), ("--max-fraction", "nan")):
        done = verify(artifact, *wrong)
        assert done.code == 2
        assert wrong[0] in done.error


def test_an_artifact_of_another_library_fails(artifact: Path) -> None:
    assert run_here("pfnr-train", "add", "clip0.mkv", "-l", "other.pfnr", *TRAIN).code == 0
    done = verify(artifact, "--library", "other.pfnr")
    assert (done.code, "this library has 1; name the library it was exported from" in done.error) == (3, True)
    for k in (1, 2):
        assert run_here("pfnr-train", "add", f"clip{k}.mkv", "-l", "other.pfnr", *TRAIN, "--seed", 5).code == 0
    done = verify(artifact, "--library", "other.pfnr")
    assert (done.code, "are not those of session 2 (clip2," in done.error) == (3, True)


@pytest.mark.parametrize(
    "claim",
    [
        {"session": 3},
        {"weights_sha256": "0" * 64},
        {"video": {"frames": 3}},
        {"video": {"name": "clip3"}},
        {"video": {"fps": "50/1"}},
    ],
)
def test_an_artifact_that_claims_to_be_another_fails(claim: dict, artifact: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        (entry,) = [p for p in model.metadata_props if p.key == METADATA_KEY]
        contract = json.loads(entry.value)
        for key, value in claim.items():
            contract[key] = {**contract[key], **value} if isinstance(value, dict) else value
        entry.value = json.dumps(contract)

    tamper(artifact, change)
    done = verify(artifact)
    assert done.code == 3
    assert "session" in done.error


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["missing.onnx"], 1, "missing.onnx: no such file"),
        (["cut.onnx"], 1, "cut.onnx: "),
        (["library.pfnr"], 1, "this is a library; export one of its videos first"),
        (["v2.onnx", "-l", "missing.pfnr"], 1, "missing.pfnr does not exist"),
        (["v2.onnx", "--source", "clip1.mkv"], 1, "are not those that 'clip2' was trained on"),
        (["v2.onnx", "--source", "missing.mkv"], 1, "missing.mkv: no such file"),
        (["v2.onnx", "--backend", "tpu"], 2, "tpu"),
    ],
)
def test_verify_says_what_it_lacks(arguments: list[str], code: int, says: str, artifact: Path) -> None:
    Path("cut.onnx").write_bytes(artifact.read_bytes()[:4000])
    done = verify(*arguments)
    assert done.code == code
    assert says in done.error
