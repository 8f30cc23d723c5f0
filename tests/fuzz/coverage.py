"""A target guided by coverage, with Atheris: python -m fuzz.coverage NAME SECONDS FOLDER

libFuzzer keeps inputs that reach new code and changes them further, by our own mutations of the format half of the
time. It ends the process at the first finding.
"""

from __future__ import annotations

import importlib.util
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MEMORY_MIB = 2048  # of the whole process, of which PyTorch and ONNX Runtime take some 600
LONGEST_SECONDS = 10


def why_not() -> str | None:
    """Why Atheris cannot be used here, or None."""
    return None if importlib.util.find_spec("atheris") else "atheris is not installed; pip install '.[fuzz]'"


def guided(name: str, seconds: float) -> dict[str, Any]:
    """A target for so many seconds: how many runs, and what was found."""
    if reason := why_not():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "fuzz.coverage", name, str(max(1, int(seconds))), folder]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        counts = [int(n) for n in re.findall(r"^#(\d+)\s", done.stderr, re.MULTILINE)]
        covered = [int(n) for n in re.findall(r"cov: (\d+)", done.stderr)]
        findings = []
        if done.returncode:
            crash = [path.read_bytes().hex() for path in Path(folder).glob("crash-*")][:1]
            findings.append({"number": -1, "error": done.stderr[-3000:], "input": "".join(crash)[:20000]})
        return {"runs": max(counts, default=0), "covered": max(covered, default=0), "findings": findings}


def _main(name: str, seconds: str, folder: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["pfnr_runtime", "pfnr_train"]):
        from fuzz.targets import TARGETS

    ready = TARGETS[name](folder)
    corpus = folder / "corpus"
    corpus.mkdir()
    for i, seed in enumerate(ready.seeds):
        (corpus / str(i)).write_bytes(seed)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return atheris.Mutate(data, most)
        try:
            return ready.changed(data, chance)[:most]
        except Exception:  # not of the format
            return atheris.Mutate(data, most)

    arguments = [
        f"-max_total_time={seconds}",
        f"-timeout={LONGEST_SECONDS}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-artifact_prefix={folder}/",
        "-max_len=1048576",
        "-print_final_stats=1",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *arguments], ready.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
