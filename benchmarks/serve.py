"""What viewers cost pfnr-serve: frames they see, frames lost, processor time and memory of the server.

    python benchmarks/serve.py [--seconds 10] [--artifact v5.onnx] [--threads 2]

Random weights at 320×180, preset tiny, 132 frames at 25 a second by default, since speed does not depend on them.
The server runs in a separate process; viewers are connections of this process that loop the whole video as JPEG.
They begin together with the usual cache, which soon holds the whole video, or spread over it without any cache, so
that every frame is decoded for every viewer.
The processor time is the server's for a second of the clock, in percent of one core.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from random_library import random_library
from report import machine, parser, show, store

from pfnr_export.export_session import ExportOptions, export_session
from pfnr_train.model.config import preset_config

VIEWERS = (1, 2, 4, 8)
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure, print, store."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=10.0, help="for each number of viewers")
    options.add_argument("--artifact", type=Path, help="in place of random weights")
    chosen = options.parse_args()
    result: dict[str, Any] = {"machine": machine(), "seconds": chosen.seconds, "runs": []}
    with tempfile.TemporaryDirectory() as folder:
        artifact = chosen.artifact or Path(folder) / "random.onnx"
        if chosen.artifact is None:
            library = random_library(preset_config("tiny", 320, 180))
            export_session(library, 0, artifact, ExportOptions())
        for name, cache in (("together", 128), ("apart", 0)):
            with Server(artifact, cache, chosen.threads) as server:
                for viewers in VIEWERS:
                    run = measure(server, viewers, chosen.seconds, spread=name == "apart")
                    result["runs"].append({"viewers": viewers, "mode": name, **run})
    columns = ("viewers", "fps of each", "lost", "decoded a second", "processor", "memory")
    rows = [
        (
            f"{run['viewers']} {run['mode']}",
            f"{run['fps']:.1f}",
            f"{run['lost_percent']:.1f} %",
            f"{run['decoded_fps']:.1f}",
            f"{run['processor_percent']:.0f} %",
            f"{run['resident_bytes'] / 1e6:.0f} MB",
        )
        for run in result["runs"]
    ]
    show("pfnr-serve", columns, rows)
    store(result, chosen.json)


class Server:
    """pfnr-serve in a separate process; a context manager."""

    def __init__(self, artifact: Path, cache_mb: int, threads: int) -> None:
        command = [
            sys.executable,
            "-m",
            "pfnr_runtime.commands.serve",
            str(artifact),
            "--port",
            "0",
            "--json",
            "-q",
        ]
        limits = ["--cache-mb", str(cache_mb), "--threads", str(threads)]
        self._process = subprocess.Popen([*command, *limits], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        text = ""
        while text.count("{") == 0 or text.count("{") != text.count("}"):
            line = self._process.stdout.readline()
            if not line:
                raise SystemExit("pfnr-serve did not start")
            text += line
        self.address = urlsplit(json.loads(text)["url"]).netloc

    def get(self, path: str) -> Any:
        """An answer in JSON."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    def usage(self) -> tuple[float, int]:
        """Seconds of processor time so far, and resident bytes."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE_BYTES

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()


def measure(server: Server, viewers: int, seconds: float, *, spread: bool) -> dict[str, float]:
    """`viewers` of the first session for `seconds`, after one second to begin; spread: each elsewhere in it."""
    session = server.get("/api/sessions")["sessions"][0]
    stop = threading.Event()

    def look(start: int) -> None:
        connection = http.client.HTTPConnection(server.address, timeout=60)
        connection.request("GET", f"{session['stream']}?loop=1&start={start}")
        answer = connection.getresponse()
        while not stop.is_set() and answer.read1(1 << 16):
            pass
        connection.close()

    step = session["frames"] // viewers if spread else 0
    threads = [threading.Thread(target=look, args=(k * step,)) for k in range(viewers)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    before, used_before = server.get("/api/statistics"), server.usage()[0]
    begin = time.monotonic()
    time.sleep(seconds)
    after, (used, resident) = server.get("/api/statistics"), server.usage()
    took = time.monotonic() - begin
    stop.set()
    for thread in threads:
        thread.join()
    count = {
        name: sum(s[name] for s in after["streams"]) - sum(s[name] for s in before["streams"])
        for name in ("shown", "skipped", "dropped")
    }
    lost = count["skipped"] + count["dropped"]
    return {
        "fps": count["shown"] / took / viewers,
        "lost_percent": 100 * lost / max(lost + count["shown"], 1),
        "decoded_fps": (after["decoding"]["decoded"] - before["decoding"]["decoded"]) / took,
        "processor_percent": 100 * (used - used_before) / took,
        "resident_bytes": resident,
    }


if __name__ == "__main__":
    main()
