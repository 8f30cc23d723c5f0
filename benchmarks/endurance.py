"""Long runs: memory and file descriptors of opening, decoding and serving over time.

    python benchmarks/endurance.py --json benchmarks/results/endurance.json [--seconds 600] [--viewers 200]

*Cycles*: a decoder is opened, decodes a frame and is closed, 10,000 times. *Decoding*: frames at random, for so
long. *Serving*: pfnr-serve in a process of its own, with viewers who stream. Every third is slow, every fourth
leaves in the middle and comes back, some only begin a request or send nonsense. At the end a frame must be the
decoder's. Memory and files: what the process holds after 200 steps, at most, and at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
from numpy.typing import NDArray
from report import machine, parser, show, store

from pfnr_runtime import VideoDecoder
from pfnr_runtime.doctor.trial import ARTIFACT

PAGE = os.sysconf("SC_PAGE_SIZE")


def held(process: int) -> tuple[int, int]:
    """Bytes of memory and file descriptors of a process."""
    with open(f"/proc/{process}/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    return resident, len(os.listdir(f"/proc/{process}/fd"))


def over_time(process: int, step: Callable[[], object], done: Callable[[float, int], bool]) -> dict[str, Any]:
    """Repeat `step` until it is done (seconds, count): what the process holds early, at most and at the end."""
    start, count, early = time.monotonic(), 0, held(process)
    most = early
    samples = 0
    while not done(time.monotonic() - start, count):
        step()
        count += 1
        if count % 50 == 0:
            now = held(process)
            most = max(most[0], now[0]), max(most[1], now[1])
            samples += 1
            if samples == 4:
                early = now
    last = held(process)
    return {
        "count": count,
        "seconds": time.monotonic() - start,
        "memory": {"early": early[0], "most": most[0], "end": last[0]},
        "files": {"early": early[1], "most": most[1], "end": last[1]},
    }


def cycle() -> None:
    """Open, decode, close."""
    with VideoDecoder(ARTIFACT, threads=1) as decoder:
        decoder[0]


class Viewer(threading.Thread):
    """One client of the server, of the kind that its number says."""

    def __init__(self, number: int, address: tuple[str, int], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number, self.address, self.stop, self.read = number, address, stop, 0

    def run(self) -> None:
        chance = random.Random(self.number)
        while not self.stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=30) as connection:
                kind = self.number % 12
                if kind == 10:
                    connection.sendall(b"GET / HT")
                    self.stop.wait(2)
                    continue
                if kind == 11:
                    connection.sendall(chance.randbytes(200) + b"\r\n\r\n")
                    connection.recv(1000)
                    self.stop.wait(1)
                    continue
                connection.sendall(b"GET /api/sessions/0/stream?loop=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                end = time.monotonic() + chance.uniform(2, 10) if kind % 4 == 0 else float("inf")
                while not self.stop.is_set() and time.monotonic() < end:
                    if not (piece := connection.recv(1 << 14)):
                        break
                    self.read += len(piece)
                    if kind % 3 == 0:
                        self.stop.wait(0.5)


def get(address: tuple[str, int], path: str) -> bytes:
    """The body of an answer."""
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while piece := connection.recv(1 << 16):
            got += piece
    return got.partition(b"\r\n\r\n")[2]


def pixels(png: bytes) -> NDArray[np.uint8]:
    """The picture of a PNG file, uint8 [H, W, 3]."""
    decoder: Any = av.CodecContext.create("png", "r")
    frames = [*decoder.decode(av.Packet(png)), *decoder.decode(None)]
    picture: NDArray[np.uint8] = frames[0].to_ndarray(format="rgb24")
    return picture


def serve(seconds: float, viewers: int) -> dict[str, Any]:
    """The server's memory and files under load, and whether its frames are right at the end."""
    command = [sys.executable, "-m", "pfnr_runtime.commands.serve", str(ARTIFACT), "--port", "0", "--json"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        text = ""
        while not text.rstrip().endswith("}"):
            text += server.stdout.readline()
        url = urlsplit(json.loads(text)["url"])
        address = (url.hostname or "127.0.0.1", url.port or 80)
        stop = threading.Event()
        crowd = [Viewer(i, address, stop) for i in range(viewers)]
        for viewer in crowd:
            viewer.start()
        answered = 0

        def ask() -> None:
            nonlocal answered
            with contextlib.suppress(OSError):
                answered += b"ok" in get(address, "/healthz").lower()
            time.sleep(0.1)

        found = over_time(server.pid, ask, lambda passed, _: passed >= seconds)
        stop.set()
        for viewer in crowd:
            viewer.join(timeout=40)
        with VideoDecoder(ARTIFACT, threads=1) as decoder:
            served_frame = pixels(get(address, "/api/sessions/0/frames/3.png"))
            right = np.array_equal(served_frame, decoder[3].data)
        served = sum(viewer.read for viewer in crowd)
        return found | {"viewers": viewers, "answered": answered, "bytes": served, "right": bool(right)}
    finally:
        server.terminate()
        server.wait(timeout=30)


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, default=600.0, help="of decoding, and of serving")
    made.add_argument("--cycles", type=int, default=10_000)
    made.add_argument("--viewers", type=int, default=200)
    options = made.parse_args()
    result: dict[str, Any] = {"machine": machine()}
    result["cycles"] = over_time(os.getpid(), cycle, lambda _, count: count >= options.cycles)
    store(result, options.json)
    with VideoDecoder(ARTIFACT, threads=1) as decoder:
        numbers = np.random.default_rng(0).integers(0, len(decoder), 1 << 16)
        position = iter(range(1 << 60))
        step: Callable[[], object] = lambda: decoder[int(numbers[next(position) % len(numbers)])]  # noqa: E731
        result["decoding"] = over_time(os.getpid(), step, lambda passed, _: passed >= options.seconds)
    store(result, options.json)
    result["serving"] = serve(options.seconds, options.viewers)
    store(result, options.json)
    rows = [
        (
            name,
            f"{result[name]['count']:,}",
            f"{result[name]['seconds']:.0f} s",
            " / ".join(f"{result[name]['memory'][when] / 1e6:.0f}" for when in ("early", "most", "end")),
            " / ".join(str(result[name]["files"][when]) for when in ("early", "most", "end")),
        )
        for name in ("cycles", "decoding", "serving")
    ]
    show("Over time: early / most / end", ("what", "times", "time", "MB", "files"), rows)
    print(json.dumps({key: result["serving"][key] for key in ("viewers", "answered", "bytes", "right")}))
    return int(not result["serving"]["right"])


if __name__ == "__main__":
    sys.exit(main())
