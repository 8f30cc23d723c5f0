"""What is checked in the root: every precision and a shared graph, by the commands a user would type there.

What the root decodes is compared on this machine: the md5 with the bytes it stands for, the y4m with what this
machine's sink writes of the same frames, and the frames with those of this machine's engine.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aarch64.root import ArmRoot
from pfnr_export.precisions import PRECISIONS
from pfnr_runtime import Frame, VideoDecoder
from pfnr_runtime.artifact.contract import PROVED
from pfnr_runtime.artifact.describe import report
from pfnr_runtime.artifact.open import examine_artifact
from pfnr_runtime.sinks import open_sink
from pfnr_runtime.video.record import VideoRecord

ARTIFACTS, OUT = "/artifacts", "/out"
SESSIONS = (0, 1)
MOST_STEPS = {"fp32": 2, "int8-weights": 2} | dict.fromkeys(PROVED, 0)
WITHOUT = ("torch", "onnx", "safetensors", "polygraphy")


@dataclass(frozen=True)
class Row:
    """One check: the command as typed in the root, whether it did right, what it said, seconds it took there."""

    command: str
    passed: bool
    result: str
    seconds: float


class Checks:
    """The checks of artifacts in `artifacts`; what the root writes comes to `out`. Both lie on this machine."""

    def __init__(self, root: ArmRoot, artifacts: Path, out: Path) -> None:
        self._root, self._artifacts, self._out = root, artifacts, out
        out.chmod(0o777)
        root.share(artifacts, ARTIFACTS, writable=False)
        root.share(out, OUT, writable=True)

    def rows(self) -> Iterator[Row]:
        """Every check in turn."""
        machine = "import platform as p; print(p.machine(), 'Python', p.python_version(), *p.libc_ver())"
        yield self._python("machine", machine)
        versions = "', '.join(f'{n} {m.version(n)}' for n in ('numpy', 'av', 'typer', 'onnxruntime'))"
        bare = f"assert not any(map(u.find_spec, {WITHOUT}))"
        packages = f"import importlib.util as u, importlib.metadata as m; {bare}; print({versions})"
        yield self._python("packages, without torch and onnx", packages)
        if self._root.has("pfnr-doctor"):
            yield self._doctor()
        videos = [f"{precision}.onnx" for precision in PRECISIONS]
        for name in videos:
            yield self._verify(name)
        for name in (f"{precision}.onnx" for precision in PROVED):
            yield self._prove(name)
        for name in videos:
            yield from self._decode(name)
        for session in SESSIONS:
            yield from self._decode("library.onnx", session)
        for name in (*videos, "library.onnx"):
            yield self._inspect(name)

    def _run(self, command: str) -> tuple[int, str, str, float]:
        """Exit code, stdout, stderr and seconds of a command line in the root."""
        start = time.monotonic()
        done = self._root.run(*shlex.split(command))
        return done.returncode, done.stdout, done.stderr, time.monotonic() - start

    def _python(self, what: str, program: str) -> Row:
        code, out, error, seconds = self._run(f"python -c {shlex.quote(program)}")
        return Row(what, code == 0, (out if code == 0 else error).strip(), seconds)

    def _doctor(self) -> Row:
        code, out, error, seconds = self._run("pfnr-doctor --json")
        if code not in (0, 3):
            return Row("pfnr-doctor", False, error.strip(), seconds)
        golden = json.loads(out)["engines"]["onnxruntime-cpu"]["golden"]
        result = f"onnxruntime-cpu: {golden['identical_frames']} of {golden['frames']} built-in frames identical"
        return Row("pfnr-doctor", code == 0 and golden["passed"], result, seconds)

    def _inspect(self, name: str) -> Row:
        """Reading an artifact is arithmetic on bytes: every value must be this machine's."""
        command = f"pfnr-inspect {ARTIFACTS}/{name}"
        code, out, error, seconds = self._run(f"{command} --json")
        if code:
            return Row(command, False, error.strip(), seconds)
        here = json.loads(json.dumps(report(examine_artifact(str(self._artifacts / name)))))
        there = json.loads(out.replace(f"{ARTIFACTS}/", f"{self._artifacts}/"))
        same = here == there
        return Row(command, same, "every value as on x86-64" if same else "NOT as on x86-64", seconds)

    def _decode(self, name: str, session: int | None = None) -> Iterator[Row]:
        chosen = "" if session is None else f" --session {session}"
        decode = f"pfnr-decode {ARTIFACTS}/{name}{chosen} -q"
        code, _, error, seconds = self._run(f"{decode} rgb24:{OUT}/frames.rgb")
        if code:
            yield Row(decode, False, error.strip(), seconds)
            return
        raw = (self._out / "frames.rgb").read_bytes()
        yield self._against_here(f"{decode} rgb24:", name, session, raw, seconds)

        code, out, error, seconds = self._run(f"{decode} md5:")
        expected = f"MD5={hashlib.md5(raw).hexdigest()}"
        yield Row(f"{decode} md5:", out.strip() == expected, out.strip() or error.strip(), seconds)

        code, out, error, seconds = self._run(f"{decode} {OUT}/frames.y4m")
        yield self._y4m(f"{decode} .y4m", name, session, raw, error if code else "", seconds)

    def _y4m(self, command: str, name: str, session: int | None, raw: bytes, error: str, seconds: float) -> Row:
        """The sink asks swscale for the same rounding on every processor."""
        if error:
            return Row(command, False, error.strip(), seconds)
        there = np.frombuffer((self._out / "frames.y4m").read_bytes(), np.uint8).astype(int)
        here = np.frombuffer(self._y4m_here(name, session, raw), np.uint8)
        if there.size != here.size:
            return Row(command, False, f"{there.size:,} bytes, not {here.size:,}", seconds)
        off = np.abs(there - here)
        count, most = np.count_nonzero(off), int(off.max())
        result = (
            f"{count:,} of {off.size:,} bytes differ from what x86-64 writes of these frames, by {most} at most"
        )
        return Row(command, not count, result, seconds)

    def _against_here(self, command: str, name: str, session: int | None, raw: bytes, seconds: float) -> Row:
        """The frames against this machine's. Those of a proved precision must be equal. For others there is no
        rule but sense: precision's own rules hold against PyTorch, in `_verify`; two engines of one file may each
        be that far off, so twice a step is what fp32 may differ."""
        with VideoDecoder(
            self._artifacts / name, session=session, backend="onnxruntime-cpu", threads=1
        ) as decoder:
            here = decoder[:].data.astype(int)
            allowed = MOST_STEPS.get(decoder.contract.precision, 255)
        there = np.frombuffer(raw, np.uint8).reshape(here.shape)
        off = np.abs(here - there)
        result = f"{np.count_nonzero(off):,} of {off.size:,} samples differ from x86-64's, by {off.max()} at most"
        return Row(command, bool(off.max() <= allowed), result, seconds)

    def _y4m_here(self, name: str, session: int | None, raw: bytes) -> bytes:
        with VideoDecoder(self._artifacts / name, session=session, backend="onnxruntime-cpu") as decoder:
            video = decoder.metadata
        path = self._out / "here.y4m"
        with open_sink(str(path), video, video.frames) as sink:
            for index, data in enumerate(_frames(raw, video)):
                sink.write(Frame(data, index, index / float(video.fps), 1 / float(video.fps)))
        return path.read_bytes()

    def _prove(self, name: str) -> Row:
        command = f"pfnr-verify {ARTIFACTS}/{name} --exact"
        code, out, error, seconds = self._run(f"{command} --json")
        if code not in (0, 3):
            return Row(command, False, error.strip(), seconds)
        found: dict[str, Any] = json.loads(out)
        result = (
            f"SHA-256 of all frames {found['frames_sha256'][:16]}…, PyTorch's {found['expected_sha256'][:16]}…"
        )
        return Row(command, code == 0 and found["passed"], result, seconds)

    def _verify(self, name: str) -> Row:
        command = f"pfnr-verify {ARTIFACTS}/{name}"
        code, out, error, seconds = self._run(f"{command} --json")
        if code not in (0, 3):
            return Row(command, False, error.strip(), seconds)
        found: dict[str, Any] = json.loads(out)
        likeness = "" if found["psnr_between"] is None else f", at least {found['psnr_between']:.1f} dB"
        identical = f"{found['identical_frames']} of {found['frames']} frames are PyTorch's"
        result = f"{identical}, others differ by {found['largest_difference']} at most{likeness}"
        return Row(command, code == 0 and found["passed"], result, seconds)


def _frames(raw: bytes, video: VideoRecord) -> NDArray[np.uint8]:
    return np.frombuffer(raw, np.uint8).reshape(video.frames, video.height, video.width, 3)
