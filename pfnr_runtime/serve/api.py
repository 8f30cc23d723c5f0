"""The HTTP routes: sessions, frames, streams, statistics, health, and the page."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfnr_runtime.artifact.describe import for_page
from pfnr_runtime.errors import PfnrError
from pfnr_runtime.serve import queries
from pfnr_runtime.serve.browser_page import ADDRESS, browser_page
from pfnr_runtime.serve.catalogue import Catalogue, ServedSession
from pfnr_runtime.serve.decode_queue import DecodeQueue
from pfnr_runtime.serve.errors import RequestError
from pfnr_runtime.serve.shared_frames import MEDIA_TYPES, SharedFrames
from pfnr_runtime.serve.stream import MEDIA_TYPE, FrameStream
from pfnr_runtime.system.messages import LOGGER
from pfnr_runtime.web.assets import SHARED

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PAGE = Path(__file__).parent / "page"
MOST_STREAMS = 64
FOR_EVER = "private, max-age=31536000, immutable"
ASK_AGAIN = "private, no-cache"


class Api:
    """The routes over a catalogue; `app` is the Starlette application.

    own_page: folder of the page that decodes in viewers' browsers; None for none. stopping: set when the server
    goes down, to end the streams.
    """

    def __init__(
        self, catalogue: Catalogue, decoding: DecodeQueue, frames: SharedFrames, own_page: Path | None = None
    ) -> None:
        self.stopping = asyncio.Event()
        self._own_page = own_page
        self._catalogue, self._decoding, self._frames = catalogue, decoding, frames
        self._streams: set[FrameStream] = set()
        self._since = time.monotonic()

    def app(self) -> Starlette:
        """The application: routes, and errors as JSON."""
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.requests import ClientDisconnect
        from starlette.routing import Mount, Route
        from starlette.staticfiles import StaticFiles

        static = StaticFiles(directory=PAGE)
        static.all_directories = [PAGE, SHARED]
        routes: list[Any] = [
            Route("/", self.page),
            Route("/healthz", self.health),
            Route("/api/sessions", self.sessions),
            Route("/api/sessions/{session}", self.session),
            Route("/api/sessions/{session}/frames/{file}", self.frame),
            Route("/api/sessions/{session}/stream", self.stream),
            Route("/api/statistics", self.statistics),
            Mount("/static", static),
        ]
        handlers: dict[Any, Any] = {
            HTTPException: _on_http,
            RequestError: _on_refusal,
            PfnrError: _on_failure,
            ClientDisconnect: _on_nobody,
            Exception: _on_bug,
        }
        if self._own_page is not None:
            routes.append(Route(ADDRESS, self.own_page))
            routes.append(browser_page(self._own_page))
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return app

    async def page(self, request: Request) -> Response:
        """The page."""
        from starlette.responses import FileResponse

        return FileResponse(PAGE / "index.html", headers={"Cache-Control": ASK_AGAIN})

    async def own_page(self, request: Request) -> Response:
        """From /browser to /browser/, where the page's relative addresses are right."""
        from starlette.responses import RedirectResponse

        return RedirectResponse(f"{ADDRESS}/", 308)

    async def health(self, request: Request) -> Response:
        """200 while frames can be decoded, 503 otherwise."""
        healthy = self._decoding.healthy
        return json_response({"status": "ok" if healthy else "the decoder is stuck"}, 200 if healthy else 503)

    async def sessions(self, request: Request) -> Response:
        """All sessions, and which were left out."""
        described = [describe(session) for session in self._catalogue.sessions.values()]
        own_page = None if self._own_page is None else f"{ADDRESS}/"
        return json_response({"sessions": described, "damaged": self._catalogue.damaged, "browser": own_page})

    async def session(self, request: Request) -> Response:
        """One session."""
        return json_response(describe(self._find(request)))

    async def frame(self, request: Request) -> Response:
        """One frame as an image file, always the same bytes."""
        from starlette.responses import Response

        session = self._find(request)
        query = queries.read_query(request.query_params.multi_items(), ("v",))
        index, kind = queries.find_frame(request.path_params["file"], session)
        tag = f'"{session.version}-{index}-{kind}"'
        headers = {"ETag": tag, "Cache-Control": FOR_EVER if query.get("v") == session.version else ASK_AGAIN}
        if {tag, "*"} & _tags(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        picture = await _unless_gone(request, self._frames.picture(session.number, index, kind))
        name = f'inline; filename="session{session.number}-{index:05d}.{kind}"'
        return Response(
            picture.data, media_type=MEDIA_TYPES[kind], headers={**headers, "Content-Disposition": name}
        )

    async def stream(self, request: Request) -> Response:
        """Frames on time, for as long as the client stays connected."""
        from starlette.responses import StreamingResponse

        session = self._find(request)
        query = queries.read_query(request.query_params.multi_items(), ("start", "speed", "loop", "format"))
        settings = queries.stream_settings(query, session)
        headers = {"Cache-Control": "no-store"}
        if request.method == "HEAD":
            return StreamingResponse(iter(()), media_type=MEDIA_TYPE, headers=headers)  # without Content-Length
        if len(self._streams) >= MOST_STREAMS:
            message = f"{MOST_STREAMS} streams are already open; close one, or request single frames"
            raise RequestError(503, message, allowed=f"{MOST_STREAMS} streams", headers={"Retry-After": "5"})
        stream = FrameStream(self._frames, session, settings, self.stopping)
        self._streams.add(stream)

        async def body() -> Any:
            try:
                async for part in stream.parts():
                    yield part
            except (PfnrError, RequestError) as error:
                LOGGER.error("error: a stream of session %d ended: %s", session.number, error)
            finally:
                self._streams.discard(stream)

        return StreamingResponse(body(), media_type=MEDIA_TYPE, headers=headers)

    async def statistics(self, request: Request) -> Response:
        """What decodes, and how well."""
        backends = [
            {"name": backend.name, "description": backend.description, "rejected": dict(backend.rejected)}
            for backend in self._catalogue.backends
        ]
        return json_response(
            {
                "backends": backends,
                "decoding": self._decoding.to_json(),
                "cache": self._frames.to_json(),
                "streams": [stream.to_json() for stream in self._streams],
                "uptime_seconds": time.monotonic() - self._since,
            }
        )

    def _find(self, request: Request) -> ServedSession:
        return queries.find_session(request.path_params["session"], self._catalogue.sessions)


def describe(session: ServedSession) -> dict[str, Any]:
    """A session as JSON types: its video, its quality as the artifact records it, and the addresses of its
    frames.
    """
    base = f"/api/sessions/{session.number}"
    return {
        **for_page(session.contract, session.number, session.path.name),
        "version": session.version,
        "frame": f"{base}/frames/{{frame}}.png",
        "thumbnail": f"{base}/frames/{session.contract.video.frames // 2}.jpg",
        "stream": f"{base}/stream",
    }


def json_response(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer in JSON, not cached."""
    from starlette.responses import Response

    body = json.dumps(value, sort_keys=True, allow_nan=False) + "\n"
    return Response(body, status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")


def refuse(refusal: RequestError) -> Response:
    """A refused request as an answer."""
    return json_response(refusal.to_json(), refusal.status, refusal.headers)


async def _unless_gone(request: Request, work: Any) -> Any:
    """What `work` returns, unless the client disconnects first: then the work is cancelled."""
    from starlette.requests import ClientDisconnect

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        leaving.cancel()
        task.cancel()


def _tags(header: str) -> set[str]:
    """The entity tags of an If-None-Match header, weak ones as strong: they are compared weakly."""
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


async def _on_http(request: Request, error: Any) -> Response:
    path, status = request.url.path, error.status_code
    if status == 405:
        message = f"{request.method} is not allowed here; GET and HEAD are"
        return refuse(RequestError(405, message, value=request.method, allowed="GET, HEAD", headers=error.headers))
    if status == 404:
        places = "/, /healthz, /api/sessions, /api/sessions/N, /api/sessions/N/frames/K.png, /api/statistics"
        return refuse(RequestError(404, f"nothing at {path[:100]!r}", value=path, allowed=places))
    return refuse(RequestError(status, str(error.detail), headers=error.headers))


async def _on_refusal(request: Request, error: Any) -> Response:
    return refuse(error)


async def _on_failure(request: Request, error: Any) -> Response:
    LOGGER.error("error: %s", error)
    return refuse(RequestError(500, str(error)))


async def _on_nobody(request: Request, error: Any) -> Response:
    from starlette.responses import Response

    return Response(status_code=499)  # nobody is connected to hear it


async def _on_bug(request: Request, error: Any) -> Response:
    LOGGER.error("%s", "".join(traceback.format_exception(error)))
    return refuse(RequestError(500, "the server failed; its standard error says why"))
