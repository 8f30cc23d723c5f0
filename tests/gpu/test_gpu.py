"""On a real device: builds, parity at each precision, order and batches, switching, playback, speed."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pfnr_runtime import VideoDecoder
from pfnr_runtime.artifact.golden import read_golden
from pfnr_runtime.artifact.parity import rule_for
from pfnr_runtime.proof.golden_check import check_golden

pytestmark = pytest.mark.gpu
Table = Callable[..., None]
PRECISIONS = ("exact", "exact-int8", "fp32", "fp16", "int8", "int8-weights")
BATCHES = (1, 3, 8)


def open_it(path: Path, backend: str, max_batch: int = 1, **more: Any) -> VideoDecoder:
    return VideoDecoder(path, backend=backend, max_batch=max_batch, **more)


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", f"pfnr_runtime.commands.{name}", *map(str, arguments)]


def test_an_engine_is_built_once_and_then_found(tensorrt: str, artifacts: Path, table: Table) -> None:
    seen = []
    for _ in range(2):
        done = subprocess.run(
            command("build", artifacts / "fp32.onnx", "--backend", tensorrt, "--json"),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        seen.append(json.loads(done.stdout))
    assert [result["built_now"] for result in seen] == [True, False]
    assert "golden frames within the rule" in seen[0]["golden"]
    first = seen[0]
    table(what="build", backend=tensorrt, seconds=round(first["seconds"], 2), bytes=first["bytes"])
    table(what="device", backend=tensorrt, library=first["library"], device=first["device"])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_frames_are_those_of_pytorch(backend: str, artifacts: Path, table: Table, precision: str) -> None:
    path = artifacts / f"{precision}.onnx"
    with open_it(path, backend) as decoder:
        golden = read_golden(path.with_suffix(".golden"), decoder.contract)
        report = check_golden(decoder, golden, rule_for(decoder.contract))
    table(
        what="parity",
        backend=backend,
        precision=precision,
        identical=f"{report.identical} of {report.frames}",
        largest=report.largest,
        psnr=None if report.psnr is None or math.isinf(report.psnr) else round(report.psnr, 2),
    )
    assert report.passed, report.problems


@pytest.mark.parametrize("precision", PRECISIONS)
def test_order_never_changes_a_byte(backend: str, artifacts: Path, precision: str) -> None:
    with open_it(artifacts / f"{precision}.onnx", backend) as decoder:
        frames = np.stack([frame.data for frame in decoder])
        assert (decoder[::-1].data[::-1] == frames).all()
        seeks = np.random.default_rng(1).integers(0, len(frames), 50)
        assert all((decoder[int(i)].data == frames[i]).all() for i in seeks)
        for size in BATCHES:
            again = np.concatenate([batch.data for batch in decoder.iter(batch_size=size)])
            if backend.startswith("tensorrt"):
                assert (again == frames).all(), f"asked for in batches of {size}"
    with open_it(artifacts / f"{precision}.onnx", backend) as second:
        assert (second[:].data == frames).all(), "opened again"


def test_larger_batches_keep_the_rule(backend: str, artifacts: Path, table: Table) -> None:
    """Another batch size may choose other kernels: what that changes is in the table, and bounded."""
    path = artifacts / "fp32.onnx"
    with open_it(path, backend) as decoder:
        single = decoder[:].data
    for size in BATCHES[1:]:
        with open_it(path, backend, size) as decoder:
            batched = np.concatenate([batch.data for batch in decoder.iter(batch_size=size)])
        difference = np.abs(batched.astype(int) - single)
        differing = np.count_nonzero(difference) / difference.size
        table(what="batches", backend=backend, size=size, largest=int(difference.max()), differing=differing)
        assert difference.max() <= 1
        assert differing <= 0.0002


def test_sessions_switch(backend: str, artifacts: Path, table: Table) -> None:
    path = artifacts / "library.onnx"
    expected = []
    for k in range(2):
        with VideoDecoder(path, session=k, backend="onnxruntime-cpu") as reference:
            expected.append(reference[:].data.astype(int))
    with open_it(path, backend, session=0) as decoder:
        gaps = []
        for k in (0, 1, 0, 1, 1, 0):
            start = time.perf_counter()
            decoder.switch(k)
            frame = decoder[0].data
            gaps.append(time.perf_counter() - start)
            assert np.abs(frame - expected[k][0]).max() <= 1
            assert np.abs(decoder[:].data - expected[k]).max() <= 1
        period = 1000 / float(decoder.metadata.fps)
    ms = round(float(np.median(gaps)) * 1000, 2)
    table(what="switch", backend=backend, median_ms=ms, frame_period_ms=round(period, 2))


def test_frames_can_stay_on_the_device(backend: str, artifacts: Path) -> None:
    """The pointer holds the frames, and so does what PyTorch, where it is there for CUDA, makes of it."""
    if backend.startswith("onnxruntime-cpu"):
        pytest.skip("it has no device")
    from pfnr_runtime.backends.device.cuda import open_device

    device: Any = open_device()
    with open_it(artifacts / "fp32.onnx", backend, 2) as decoder:
        expected = decoder.get_frames_at([5, 9]).data
        host, view = device.allocate_host(expected.nbytes)
        stream = device.create_stream()
        try:
            with decoder.device_frames([5, 9]) as frames:
                assert frames.__cuda_array_interface__["shape"] == expected.shape
                assert frames.__dlpack_device__() == (2, 0)
                frames.__dlpack__(stream=int(stream))
                device.copy_out(host, frames.address, expected.nbytes, stream)
                device.synchronise_stream(stream)
                assert (view.reshape(expected.shape) == expected).all()
                with contextlib.suppress(ImportError):
                    import torch

                    if torch.cuda.is_available():
                        tensor = torch.from_dlpack(frames)
                        assert (tensor.cpu().numpy() == expected).all()
                        assert (torch.as_tensor(frames, device="cuda").cpu().numpy() == expected).all()
                        del tensor
        finally:
            device.free_host(host)
            device.destroy_stream(stream)
        assert (decoder.get_frames_at([5, 9]).data == expected).all()


def test_pictures_between_frames_are_those_of_the_cpu(backend: str, artifacts: Path, table: Table) -> None:
    path = artifacts / "continuous.onnx"
    places = [0.5, 3.25, 7.0, 14.75]
    with VideoDecoder(path, backend="onnxruntime-cpu") as reference:
        expected = reference.get_frames_at_positions(places)
    with open_it(path, backend) as decoder:
        report = check_golden(
            decoder, read_golden(path.with_suffix(".golden"), decoder.contract), rule_for(decoder.contract)
        )
        rule, found = rule_for(decoder.contract), decoder.get_frames_at_positions(places)
    pairs = zip(expected, found, strict=True)
    parity = [rule.compare(i, a.data, b.data) for i, (a, b) in enumerate(pairs)]
    table(what="between", backend=backend, largest=max(f.largest for f in parity), identical=report.identical)
    assert report.passed, report.problems
    assert all(parity)


def test_a_step_is_a_cuda_graph(tensorrt: str, artifacts: Path, table: Table) -> None:
    """Both ways give the same bytes; which one ran is in the table."""
    frames = []
    for wanted in (True, False):
        with open_it(artifacts / "fp32.onnx", tensorrt, cuda_graph=wanted) as decoder:
            frames.append(decoder[:].data)
            note = decoder.backend.description.rsplit(", ", 1)[-1]
            table(what="graph", backend=tensorrt, wanted=wanted, ran=note)
    assert (frames[0] == frames[1]).all()


def test_playback_reaches_the_end_on_time(backend: str, artifacts: Path, table: Table) -> None:
    done = subprocess.run(
        command("play", artifacts / "fp32.onnx", "null:", "--backend", backend, "--json"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["statistics"]
    decode_ms = round(found["decode_ms"]["median"], 3)
    table(
        what="playback",
        backend=backend,
        fps=round(found["fps"], 2),
        lost=found["lost_percent"],
        decode_ms=decode_ms,
    )
    assert found["shown"] + found["dropped"] > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_speed(backend: str, artifacts: Path, table: Table, precision: str) -> None:
    """No figure is demanded: the table is the result."""
    path = artifacts / f"{precision}.onnx"
    for size in BATCHES:
        with open_it(path, backend, size) as decoder:
            for batch in decoder.iter(batch_size=size):
                assert len(batch)
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < 1.0:
                for batch in decoder.iter(batch_size=size):
                    count += len(batch)
            fps = count / (time.perf_counter() - start)
            single = []
            for i in range(len(decoder)):
                begun = time.perf_counter()
                decoder.get_frame_at(i)
                single.append(time.perf_counter() - begun)
        table(
            what="speed",
            backend=backend,
            precision=precision,
            batch=size,
            fps=round(fps, 1),
            one_frame_ms=round(float(np.median(single)) * 1000, 3),
        )
