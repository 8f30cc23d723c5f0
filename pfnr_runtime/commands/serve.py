"""pfnr-serve: exported videos in a browser, and over HTTP."""

from __future__ import annotations

import contextlib
import secrets
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pfnr_runtime.commands.console import make_app, print_json, reports_errors, run_app
from pfnr_runtime.errors import BackendError, UsageError
from pfnr_runtime.system.messages import say

if TYPE_CHECKING:
    import socket

    from pfnr_runtime.serve.catalogue import Catalogue

SHORTEST_TOKEN = 8

app = make_app("Show exported videos in a browser: pfnr-serve library.onnx, then open http://127.0.0.1:8080/")


@app.command()
@reports_errors
def serve(
    artifacts: Annotated[
        list[Path],
        typer.Argument(
            help="The .onnx or .pfnv files that pfnr-export wrote; a shared graph brings all its sessions.",
            readable=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; a token is required unless it is loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 is any free one.", min=0, max=65535)] = 8080,
    token: Annotated[
        str | None,
        typer.Option(
            help="Token that clients must send.",
            envvar="PFNR_TOKEN",
            show_default="none on loopback, otherwise a new one",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host name that browsers may use for this machine.")
    ] = None,
    browser: Annotated[
        bool,
        typer.Option("--browser", help="Also hand out a page that decodes in viewers' browsers, at /browser/."),
    ] = False,
    cache_mb: Annotated[int, typer.Option(help="Megabytes of pictures to keep.", min=0, max=1 << 20)] = 128,
    backend: Annotated[str, typer.Option(help="Inference engine by name, or auto.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of the engine.", show_default="all available")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print address and sessions as JSON on stdout once listening.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages, except a new token.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show why other engines do not decode.")
    ] = False,
) -> None:
    """Serve ARTIFACTS until Ctrl-C."""
    _check_extra()
    from pfnr_runtime.serve.catalogue import Catalogue
    from pfnr_runtime.serve.listen import is_loopback, listen

    if token is not None:
        _check_token(token)
    sockets = listen(host, port)  # finds a port in use before an engine is started
    try:
        port = sockets[0].getsockname()[1]
        made = token is None and not is_loopback(sockets)
        token = secrets.token_urlsafe(24) if made else token
        with (
            _own_page(artifacts, browser) as own_page,
            Catalogue(artifacts, backend=backend, threads=threads) as catalogue,
        ):
            url = f"http://{_for_browsers(host)}:{port}/"
            if made:
                say(f"token, new at every start: {url}?token={token}")
            if not quiet:
                _introduce(catalogue, url, verbose)
                if browser:
                    say(f"viewers decode for themselves at {url}browser/")
            if as_json:
                sessions = {number: s.contract.video.name for number, s in catalogue.sessions.items()}
                print_json({"url": url, "port": port, "sessions": sessions, "damaged": catalogue.damaged})
                sys.stdout.flush()
            _run(catalogue, sockets, token, [host, *(allow_host or [])], port, cache_mb * 1_000_000, own_page)
    finally:
        for opened in sockets:
            opened.close()


@contextlib.contextmanager
def _own_page(artifacts: list[Path], wanted: bool) -> Iterator[Path | None]:
    """A folder of the page that decodes in browsers, for as long as the server runs; None where not wanted."""
    if not wanted:
        yield None
        return
    from pfnr_runtime.web.site import write_site

    with tempfile.TemporaryDirectory(prefix="pfnr-serve-") as folder:
        write_site(artifacts, Path(folder), say=say)
        yield Path(folder)


def _check_extra() -> None:
    try:
        import starlette
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise BackendError(
            f"the browser view needs {error.name}, which is not installed: pip install 'pfnr[serve]'"
        ) from None
    del starlette


def _check_token(token: str) -> None:
    if (
        len(token) < SHORTEST_TOKEN
        or not token.isascii()
        or not token.replace("-", "a").replace("_", "a").isalnum()
    ):
        raise UsageError(
            f"a token needs {SHORTEST_TOKEN} or more letters, digits, - and _; "
            "without --token, a good one is generated and printed"
        )


def _for_browsers(host: str) -> str:
    """The host as written in a URL: this machine for the wildcard address, IPv6 in brackets."""
    if host in ("0.0.0.0", "::", ""):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _introduce(catalogue: Catalogue, url: str, verbose: bool) -> None:
    for text in dict.fromkeys(backend.text(verbose) for backend in catalogue.backends):
        say(text)
    for reason in catalogue.damaged:
        say(f"left out: {reason}")
    for number, session in catalogue.sessions.items():
        video = session.contract.video
        say(
            f"session {number}: {video.name}, {video.frames} frames, {video.width}×{video.height}, "
            f"from {session.path.name}"
        )
    say(f"open {url} in a browser; Ctrl-C stops the server")


def _run(
    catalogue: Catalogue,
    sockets: list[socket.socket],
    token: str | None,
    hosts: list[str],
    port: int,
    capacity: int,
    own_page: Path | None,
) -> None:
    """Serve until a signal."""
    from pfnr_runtime.serve.api import Api
    from pfnr_runtime.serve.decode_queue import DecodeQueue
    from pfnr_runtime.serve.server import make_server
    from pfnr_runtime.serve.shared_frames import SharedFrames

    videos = [session.contract.video for session in catalogue.sessions.values()]
    frame_bytes = max(video.width * video.height * 3 for video in videos)
    with DecodeQueue(catalogue.frame) as decoding:
        frames = SharedFrames(decoding, capacity, frame_bytes)
        try:
            api = Api(catalogue, decoding, frames, own_page)
            server = make_server(api, token=token, hosts=hosts, port=port)
            server.run(sockets=sockets)
        finally:
            frames.close()


def main() -> None:
    """Entry point of pfnr-serve."""
    run_app(app)


if __name__ == "__main__":
    main()
