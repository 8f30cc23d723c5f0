"""Sixty-four sessions in one library: whether the last eight are as good as the same eight alone.

    python benchmarks/many_sessions.py --data FOLDER --work out/many --json many.json

The clips are those of uvg8mini and davis8, whole, their halves, and mirrored. All are trained for bytes into one
library by `pfnr-train run`; then the last eight again, into a library of eight. A run continues where it stopped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from statistics import mean
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from report import machine, parser, show, store

from pfnr_train.sequence.clips import data_folder, find_clips
from pfnr_train.sequence.sequence import read_sequence

SEQUENCES = ("uvg8mini_bytes", "davis8_bytes")
LAST = 8


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--data", type=Path)
    made.add_argument("--work", type=Path, default=Path("out/many"))
    made.add_argument("--epochs", type=int, default=12)
    made.add_argument("--rate", type=float, default=4.0)
    options = made.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    videos = make_clips(data_folder(options.data), options.work)
    several = train("many", videos, options.work, options)
    alone = train("alone", videos[-LAST:], options.work, options)
    last = several["sessions"][-LAST:]
    rows = [
        {
            "name": a["name"],
            "psnr": b["psnr"],
            "bytes": b["bytes"],
            "psnr_alone": a["psnr"],
            "bytes_alone": a["bytes"],
        }
        for a, b in zip(alone["sessions"], last, strict=True)
    ]
    result: dict[str, Any] = {
        "machine": machine(),
        "epochs": options.epochs,
        "rate": options.rate,
        "library_bytes": several["library_bytes"],
        "mean_psnr": several["mean_psnr"],
        "sessions": [
            {k: s[k] for k in ("name", "frames", "psnr", "bytes", "seconds")} for s in several["sessions"]
        ],
        "last": rows,
        "last_mean_psnr": mean(r["psnr"] for r in rows),
        "last_mean_psnr_alone": mean(r["psnr_alone"] for r in rows),
        "last_bytes": sum(r["bytes"] for r in rows),
        "last_bytes_alone": sum(r["bytes_alone"] for r in rows),
    }
    show(
        f"the last {LAST} of {len(videos)} sessions, and alone",
        ["clip", "PSNR", "bytes", "PSNR alone", "bytes alone"],
        [
            [r["name"], f"{r['psnr']:.2f}", f"{r['bytes']:,}", f"{r['psnr_alone']:.2f}", f"{r['bytes_alone']:,}"]
            for r in rows
        ]
        + [
            [
                "mean, sum",
                f"{result['last_mean_psnr']:.2f}",
                f"{result['last_bytes']:,}",
                f"{result['last_mean_psnr_alone']:.2f}",
                f"{result['last_bytes_alone']:,}",
            ]
        ],
    )
    print(f"{len(videos)} sessions: {several['library_bytes'] / 1e3:,.0f} KB, mean {several['mean_psnr']:.2f} dB")
    store(result, options.json)


def make_clips(data: Path, work: Path) -> list[tuple[str, str, str]]:
    """Lossless files of all clips and their mirror images; (name, file, frames) of all videos in order."""
    folder = work / "clips"
    folder.mkdir(exist_ok=True)
    whole, halves, mirrored = [], [], []
    for name in SEQUENCES:
        sequence = read_sequence(Path(__file__).parent / "sequences" / f"{name}.toml")
        for found in find_clips(sequence, data):
            clip = found.read(sequence)
            count, title = len(clip.frames), found.video.name
            for suffix, frames in (("", clip.frames), ("-mirrored", clip.frames[:, :, ::-1])):
                path = folder / f"{title}{suffix}.mkv"
                if not path.exists():
                    write_lossless(path, frames, clip.fps)
            whole.append((title, f"{title}.mkv", f"0:{count}"))
            halves += [
                (f"{title}-{which}", f"{title}.mkv", span)
                for which, span in (("first", f"0:{count // 2}"), ("second", f"{count // 2}:{count}"))
            ]
            mirrored.append((f"{title}-mirrored", f"{title}-mirrored.mkv", f"0:{count}"))
    return [*whole, *halves, *mirrored]


def write_lossless(path: Path, frames: NDArray[np.uint8], fps: Fraction) -> None:
    """Frames uint8 [N, H, W, 3] as FFV1 in RGB."""
    part = path.with_suffix(".part.mkv")
    with av.open(str(part), "w") as file:
        stream = file.add_stream("ffv1", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            file.mux(stream.encode(picture.reformat(format="bgr0")))
        file.mux(stream.encode(None))
    part.replace(path)


def train(name: str, videos: list[tuple[str, str, str]], work: Path, options: Any) -> dict[str, Any]:
    """The results of `pfnr-train run` on these videos."""
    lines = [f'name = "{name}"', 'size = "320x180"', 'folders = ["clips"]', "[network]", 'preset = "canvas"']
    lines += ["[recipe]", 'name = "default"', f"epochs = {options.epochs}", f"rate = {options.rate}"]
    for title, file, frames in videos:
        lines += ["[[video]]", f'name = "{title}"', f'clip = "{file}"', f'frames = "{frames}"']
    sequence = work / f"{name}.toml"
    sequence.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-c", "import pfnr_train; pfnr_train.main()", "run", sequence, "--data", work]
    command += ["--library", work / f"{name}.pfnr", "--threads", options.threads, "--json"]
    done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, env=os.environ)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
