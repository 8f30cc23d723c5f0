"""Target: bytes that a client sends to the server."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from helpers.serving import serving, write_artifacts

from fuzz.mutate import mutate_text
from fuzz.target import ReaderError, Ready

HEAD = b"Host: localhost\r\nConnection: close\r\n"
REQUESTS = [
    b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET /api/sessions HTTP/1.1\r\n" + HEAD + b"Accept: */*\r\n\r\n",
    b"GET /api/sessions/0/frames/3.png HTTP/1.1\r\n" + HEAD + b'If-None-Match: "abc"\r\n\r\n',
    b"GET /api/sessions/first/frames/11.jpg?quality=80 HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"GET /api/sessions/1/stream?start=2&end=5&fps=1000&loop=0 HTTP/1.1\r\n" + HEAD + b"\r\n",
    b"HEAD / HTTP/1.1\r\n" + HEAD + b"Range: bytes=0-10\r\n\r\n",
    b"POST /api/statistics HTTP/1.1\r\n" + HEAD + b"Content-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
]
MOST_READ = 1 << 16


class _Errors(logging.Handler):
    """Keeps what the server logs as an error: it has none of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


def server(folder: Path) -> Ready:
    """Sends bytes to a server that runs, and reads its answer; every hundredth time, whether it still works."""
    running = contextlib.ExitStack()
    address = urlsplit(running.enter_context(serving(write_artifacts(folder))).url)
    errors, crashed, count = _Errors(), [], 0
    logging.getLogger().addHandler(errors)
    logging.getLogger("uvicorn.error").addHandler(errors)
    threading.excepthook = lambda args: crashed.append(repr(args.exc_value))

    def ask(data: bytes) -> bytes:
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            got = b""
            with contextlib.suppress(ConnectionError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while len(got) < MOST_READ and (piece := connection.recv(1 << 16)):
                    got += piece
            return got

    def read(data: bytes) -> None:
        nonlocal count
        count += 1
        got = ask(data)
        if errors.seen or crashed:
            said = (errors.seen + crashed)[0]
            errors.seen.clear()
            crashed.clear()
            raise ReaderError(f"the server failed: {said[-600:]}")
        if got and not got.startswith(b"HTTP/1."):
            raise ReaderError(f"the answer begins with {got[:80]!r}")
        if got[9:10] == b"5" and got[9:12] not in (b"501", b"503", b"505"):
            raise ReaderError(f"the server failed: {got[:200]!r}")
        if count % 100 == 0 and not ask(REQUESTS[0]).startswith(b"HTTP/1.1 200"):
            raise ReaderError("the server answers nobody any more")

    return Ready(REQUESTS, read, mutate_text, close=running.close)
