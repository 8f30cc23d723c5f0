"""Access control: the Host header, the token, and the browser restrictions of every answer.

An ASGI application around the real one. It checks, in order: the Host header, so that a name which an attacker
points at this machine (DNS rebinding) opens nothing; that another site's page is not making the request for its
visitor; the token, where there is one; that the request has no body, since no route takes one.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pfnr_runtime.serve.api import PAGE, refuse
from pfnr_runtime.serve.errors import RequestError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Open without a token: health checks hold none, and the page that asks for the token needs its style.
OPEN = re.compile(r"/healthz|/static/[a-z.]+")
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::[0-9]{1,5})?", re.ASCII)


class Guard:
    """Lets requests through to `app`.

    token: that a client must send as `Authorization: Bearer`, `?token=` or the cookie set by the page; None for no
    token. hosts: names allowed in the Host header, in addition to addresses, localhost and this machine's name.
    port: part of the cookie's name, since browsers share cookies between ports.
    """

    def __init__(self, app: Any, *, token: str | None, hosts: Iterable[str], port: int) -> None:
        self._app, self._token = app, token
        own = socket.gethostname().lower()
        self._hosts = {"localhost", own, f"{own}.local", *(host.lower() for host in hosts)}
        self._cookie = f"pfnr_token_{port}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                kept = [(name, value) for name, value in extra if name not in given]
                message = {**message, "headers": [*message["headers"], *kept]}
            await send(message)

        request = Request(scope, receive)
        try:
            answer = self._answer(request)
        except RequestError as refusal:
            answer = refuse(refusal)
        await (answer or self._app)(scope, receive, send_guarded)

    def _answer(self, request: Request) -> Response | None:
        """The guard's answer, or None to let the request through; raises a RequestError."""
        self._check_host(request)
        self._check_site(request)
        path = request.url.path
        if self._token is not None and OPEN.fullmatch(path) is None:
            if not self._knows_token(request):
                return self._ask_for_token(request)
            if path == "/" and "token" in request.query_params:
                return self._remember_token(request)
        length = request.headers.get("content-length", "0")
        if length != "0" or "transfer-encoding" in request.headers:
            raise RequestError(
                413,
                "requests here must not have a body",
                value=length,
                allowed="0",
                headers={"Connection": "close"},
            )
        return None

    def _check_host(self, request: Request) -> None:
        header = request.headers.get("host", "")
        match = HOST.fullmatch(header)
        name = match[1].lower().rstrip(".") if match else ""
        if name in self._hosts or _is_address(name.strip("[]")):
            return
        raise RequestError(
            421,
            f"the host {header[:100]!r} is not served here; start pfnr-serve with --allow-host NAME to add it",
            value=header,
            allowed=", ".join(sorted(self._hosts)),
        )

    def _check_site(self, request: Request) -> None:
        site = request.headers.get("sec-fetch-site", "none")
        if site == "cross-site" and request.headers.get("sec-fetch-mode") != "navigate":
            raise RequestError(403, "pages of other sites may not request this", value=site, allowed="same-origin")

    def _knows_token(self, request: Request) -> bool:
        shown = [value for name, value in request.query_params.multi_items() if name == "token"]
        kind, _, credentials = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            shown.append(credentials.strip())
        shown.append(request.cookies.get(self._cookie, ""))
        wanted = (self._token or "").encode()
        # All are compared, in constant time: timing reveals nothing.
        matches = [hmac.compare_digest(text.encode(errors="replace"), wanted) for text in shown]
        return any(matches)

    def _ask_for_token(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        headers = {"WWW-Authenticate": 'Bearer realm="pfnr"', "Cache-Control": "no-store"}
        if request.url.path == "/" and "text/html" in request.headers.get("accept", ""):
            return FileResponse(PAGE / "token.html", 401, headers)
        raise RequestError(
            401,
            "this needs the token that pfnr-serve printed, as Authorization: Bearer TOKEN or ?token=TOKEN",
            headers=headers,
        )

    def _remember_token(self, request: Request) -> Response:
        """Move the token from the address, which people copy and browsers remember, into a cookie."""
        from starlette.responses import RedirectResponse

        rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
        answer = RedirectResponse("/" + (f"?{urlencode(rest)}" if rest else ""), 303)
        answer.headers["Cache-Control"] = "no-store"
        answer.set_cookie(self._cookie, self._token or "", httponly=True, samesite="lax", path="/")
        return answer


def _is_address(name: str) -> bool:
    """Whether a host is written as an IP address, which no name server can redirect."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
