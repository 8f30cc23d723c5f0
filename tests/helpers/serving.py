"""A real server on a loopback port, over artifacts whose frames are known."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
from numpy.typing import NDArray
from onnx import helper

from helpers.tiny_artifacts import contract, model_of, picture_table, save, video
from pfnr_runtime.serve.api import Api
from pfnr_runtime.serve.catalogue import Catalogue
from pfnr_runtime.serve.decode_queue import DecodeQueue
from pfnr_runtime.serve.listen import listen
from pfnr_runtime.serve.server import make_server
from pfnr_runtime.serve.shared_frames import SharedFrames

RECORDS = (video(name="first"), video(name="second", frames=30, width=48, height=32))
TABLES = tuple(picture_table(record, seed) for seed, record in enumerate(RECORDS))


@dataclass
class Serving:
    """A server that runs: its address, and what it is made of."""

    url: str
    api: Api
    catalogue: Catalogue
    frames: SharedFrames
    decoded: list[tuple[int, int]]

    def client(self, **options: Any) -> httpx.Client:
        """A client that sends what it is told to."""
        return httpx.Client(base_url=self.url, timeout=30, verify=False, **options)


def write_artifacts(folder: Path, sessions: Sequence[int] = (0, 1)) -> list[Path]:
    """A file for each of `RECORDS`, whose frames are those of `TABLES`; sessions: the numbers they carry."""
    paths = []
    for k, (record, table, session) in enumerate(zip(RECORDS, TABLES, sessions, strict=True)):
        node = helper.make_node("Gather", ["table", "frame_index"], ["frames"], axis=0, name="look_up")
        model = model_of([node], {"table": table}, contract(record, session=session))
        paths.append(save(model, folder / f"v{k}.onnx"))
    return paths


@contextlib.contextmanager
def serving(
    paths: Sequence[Path],
    *,
    token: str | None = None,
    hosts: Sequence[str] = (),
    capacity: int = 10_000_000,
    before_decode: Callable[[], object] = lambda: None,
    own_page: Path | None = None,
) -> Iterator[Serving]:
    """Serve `paths` from a thread of this process; before_decode: called by the decode thread each time.
    own_page: folder of the page that decodes in browsers.
    """
    decoded: list[tuple[int, int]] = []
    sockets = listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    with Catalogue(paths, threads=1) as catalogue:

        def decode(session: int, index: int) -> Any:
            before_decode()
            decoded.append((session, index))
            return catalogue.frame(session, index)

        with DecodeQueue(decode) as decoding:
            frames = SharedFrames(decoding, capacity, 64 * 36 * 3)
            api = Api(catalogue, decoding, frames, own_page)
            server = make_server(api, token=token, hosts=hosts, port=port)
            thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
            thread.start()
            try:
                yield Serving(f"http://127.0.0.1:{port}", api, catalogue, frames, decoded)
            finally:
                server.should_exit = True
                thread.join(timeout=30)
                assert not thread.is_alive()
                frames.close()


def pixels(data: bytes, kind: str = "png") -> NDArray[np.uint8]:
    """An image file as uint8 [H, W, 3]."""
    decoder: Any = av.CodecContext.create({"png": "png", "jpg": "mjpeg"}[kind], "r")
    (frame,) = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][:1]
    return frame.to_ndarray(format="rgb24")


@dataclass(frozen=True)
class Part:
    """One part of a stream."""

    headers: dict[str, str]
    data: bytes

    @property
    def frame(self) -> int:
        """The number of its frame."""
        return int(self.headers["x-frame"])


def read_parts(chunks: Iterator[bytes]) -> Iterator[Part]:
    """The parts of a multipart body; ends at its last delimiter, and fails where it ends before."""
    held = b""

    def more() -> None:
        nonlocal held
        held += next(chunks)

    while not held.startswith(b"--frame\r\n"):
        more()
    held = held.removeprefix(b"--frame\r\n")
    while True:
        while b"\r\n\r\n" not in held:
            more()
        head, _, held = held.partition(b"\r\n\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n"))
        size = int(headers["content-length"])
        while len(held) < size + len(b"\r\n--frame\r\n"):
            more()
        yield Part(headers, held[:size])
        held = held[size:]
        if held.startswith(b"\r\n--frame--\r\n"):
            return
        assert held.startswith(b"\r\n--frame\r\n"), held[:30]
        held = held.removeprefix(b"\r\n--frame\r\n")
