"""A web server that hands out a folder's files and does nothing else, as any host of static pages."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@dataclass
class StaticServer:
    """url: without a slash at its end. sent: bytes of every body by path."""

    url: str
    sent: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def hand_out(folder: Path, headers: dict[str, str] | None = None) -> Iterator[StaticServer]:
    """Serve a folder from a thread on a loopback port. headers: sent with every answer."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def copyfile(self, source: Any, outputfile: Any) -> None:
            data = source.read()
            server.sent[self.path.lstrip("/")] = len(data)
            with contextlib.suppress(ConnectionError):
                outputfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server = StaticServer(f"http://127.0.0.1:{running.server_port}")
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
        thread.join(30)
