"""Running the server until a signal: uvicorn, with limits on how long a connection may stall."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pfnr_runtime.serve.api import Api
from pfnr_runtime.serve.guard import Guard

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn

MOST_CONNECTIONS = 256
SPARE_CONNECTIONS = 32  # beyond the others, the one that has owed a request longest makes way for a new one
REQUEST_SECONDS = 10.0  # in which a client must complete a request
SHUTDOWN_SECONDS = 2


def make_server(api: Api, *, token: str | None, hosts: Sequence[str], port: int) -> uvicorn.Server:
    """A server of `api` for sockets that listen on `port`; token, hosts: as for `Guard`.

    `run(sockets=...)` returns after SIGTERM, and raises KeyboardInterrupt after Ctrl-C.
    """
    import uvicorn

    # uvicorn's logger reports every client's malformed request; the application reports real errors.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)

    class Server(uvicorn.Server):
        """Ends the streams before it waits for connections to close."""

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            api.stopping.set()
            await super().shutdown(sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if sig == signal.SIGTERM:  # the ordinary way to stop a service: nothing to raise again
                self.force_exit, self.should_exit = self.should_exit, True
            else:
                super().handle_exit(sig, frame)

    config = uvicorn.Config(
        Guard(api.app(), token=token, hosts=hosts, port=port),
        http=_connection_class(),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    return Server(config)


def _connection_class() -> Any:
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Connection(H11Protocol):
        """A connection that is closed when its client does not finish a request in time."""

        _deadline: asyncio.TimerHandle | None = None
        _waiting: ClassVar[dict[Any, None]] = {}  # those that owe something, the longest first

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            # Half-open connections must not keep others out until their time is up.
            if len(self.connections) >= MOST_CONNECTIONS - SPARE_CONNECTIONS and self._waiting:
                longest = next(iter(self._waiting))
                longest._stop_watching()
                longest.transport.abort()
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop_watching()

        def _watch(self) -> None:
            """Set the deadline while a request is incomplete, and lift it when the request is complete."""
            if not self._owes_something():
                self._stop_watching()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)
                self._waiting[self] = None

        def _owes_something(self) -> bool:
            if self.conn.their_state is h11.SEND_BODY:
                return True
            waiting = self.conn.their_state is h11.IDLE
            begun = self.cycle is None or bool(self.conn.trailing_data[0])
            return waiting and begun

        def _stop_watching(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
                self._waiting.pop(self, None)

    return Connection
