"""What each precision costs on trained videos: loss against the source, bytes, export and decode time.

    python benchmarks/precision.py library.pfnr [--sessions 0,1] [--precisions fp16,int8] [--json FILE]

The library remembers its clips; train one first, for instance

    for clip in clips/*.mkv; do pfnr-train add $clip --library library.pfnr; done

Decoding takes turns with the fp32 file in one run. Loss is of the worst frame, and PSNR the mean over frames.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from report import interleaved, machine, parser, show, store, summarise

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_export.precisions import PRECISIONS
from pfnr_runtime import VideoDecoder
from pfnr_runtime.errors import VerificationError
from pfnr_train.evaluation.sources import source_frames
from pfnr_train.library.file import read_library
from pfnr_train.library.library import Library

FRAMES_A_ROUND = 4


def measure(
    library: Library, path: Path, index: int, names: list[str], rounds: int, threads: int
) -> list[dict[str, Any]]:
    """One session in fp32 and in every precision of `names`."""
    record = library.sessions[index].record
    source = source_frames(record, path)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        decoders = {}
        for name in ["fp32", *names]:
            artifact, start = Path(folder) / f"{name}.onnx", perf_counter()
            row: dict[str, Any] = {"session": index, "name": record.video.name, "precision": name}
            rows.append(row)
            try:
                done = export_session(library, index, artifact, ExportOptions(precision=name), source)
            except VerificationError as error:
                row["problem"] = str(error)
                continue
            row |= {"export_s": perf_counter() - start, "bytes": done.file_bytes}
            if report := done.contract.precision_report:
                row |= {key: report[key] for key in ("loss_worst", "loss_mean", "budget")}
                row["psnr_between"] = float(np.mean(report["psnr_between"]))
                row["psnr"] = float(np.mean(report["source_psnr"]))
                row["psnr_fp32"] = float(np.mean(report["source_psnr_fp32"]))
                row["layers"] = report.get("layers", [])
            decoders[name] = VideoDecoder(artifact, threads=threads)
        chosen = range(min(FRAMES_A_ROUND, record.video.frames))
        times = interleaved({n: (lambda d=d: d.get_frames_at(chosen)) for n, d in decoders.items()}, rounds)
        for name, found in summarise(times, "fp32").items():
            row = next(row for row in rows if row["precision"] == name)
            row |= {"ms_a_frame": 1000 * found["median_s"] / len(chosen), "time_ratio": found["ratio"]}
        for decoder in decoders.values():
            decoder.close()
    return rows


def main() -> None:
    """See the module."""
    arguments = parser(__doc__)
    arguments.add_argument("library", type=Path)
    arguments.add_argument("--sessions", help="indices such as 0,2; all by default")
    arguments.add_argument("--precisions", default=",".join(n for n, p in PRECISIONS.items() if p.budget))
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    library = read_library(options.library)
    chosen = map(int, options.sessions.split(",")) if options.sessions else range(len(library.sessions))
    names = options.precisions.split(",")
    rows = []
    for index in chosen:
        rows += measure(library, options.library, index, names, options.rounds, options.threads)
    lines = [
        [
            row["name"],
            row["precision"],
            *(
                "-" if row.get(key) is None else f"{row[key]:{form}}"
                for key, form in (
                    ("psnr", ".3f"),
                    ("loss_mean", "+.4f"),
                    ("loss_worst", "+.4f"),
                    ("psnr_between", ".2f"),
                    ("ms_a_frame", ".1f"),
                    ("time_ratio", ".3f"),
                    ("export_s", ".1f"),
                )
            ),
            "-" if "bytes" not in row else f"{row['bytes'] / 1e6:.2f}",
        ]
        for row in rows
    ]
    columns = ["video", "precision", "PSNR", "loss", "worst", "to fp32", "ms", "of fp32", "export s", "MB"]
    show("Precisions: PSNR and losses in dB", columns, lines)
    store({"machine": machine(), "threads": options.threads, "rows": rows}, options.json)


if __name__ == "__main__":
    main()
