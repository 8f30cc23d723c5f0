"""The page of `pfnr-web` under /browser/: viewers decode for themselves, and the server only hands out files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.routing import Mount

ADDRESS = "/browser"
# The page runs its modules from blob addresses, and threads where it is isolated from other sites' pages.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; "
    "worker-src 'self' blob:; style-src 'self' blob:; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "private, no-cache",
}


def browser_page(folder: Path) -> Mount:
    """The route of a folder that `pfnr_runtime.web.site.write_site` wrote."""
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    files = StaticFiles(directory=folder, html=True)

    async def with_headers(scope: Any, receive: Any, send: Any) -> None:
        async def send_more(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await files(scope, receive, send_more)

    return Mount(ADDRESS, with_headers)
