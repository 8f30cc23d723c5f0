"""Listening sockets for an address, and clear errors where there are none."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket

from pfnr_runtime.errors import PfnrError

BACKLOG = 128
# The kernel sends what it buffers for a viewer however late it is: keep the buffer well below a second.
SEND_BUFFER_BYTES = 1 << 18
# A connection whose peer acknowledges nothing for this long is closed.
STALLED_MS = 30_000
# A name may resolve to an address this machine lacks, such as ::1 where IPv6 is off.
ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def listen(host: str, port: int) -> list[socket.socket]:
    """Listen on every address that `host` resolves to, on one port; 0 is any free one.

    A PfnrError names what is wrong: a port in use or reserved for root; a host that is unknown, or not an address
    of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE) if host else []
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise PfnrError(
            f"host {host!r} is unknown; use 127.0.0.1 for this machine only, 0.0.0.0 for all of its addresses"
        )
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            chosen = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_open(family, kind, protocol, (address[0], chosen, *address[2:])))
            except OSError as error:
                if error.errno not in ABSENT:
                    raise
                absent = error
        if absent is not None and not sockets:
            raise absent
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise PfnrError(_describe(error, host, port)) from None
    return sockets


def is_loopback(sockets: list[socket.socket]) -> bool:
    """Whether only this machine can reach the sockets."""
    return all(ipaddress.ip_address(s.getsockname()[0].partition("%")[0]).is_loopback for s in sockets)


def _open(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Connections inherit both options.
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        with contextlib.suppress(AttributeError, OSError):  # Linux only
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
        opened.bind(address)
        opened.listen(BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _describe(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use; choose another, or 0 for any free one"
        case errno.EACCES | errno.EPERM:
            return f"port {port} is reserved for root; choose one from 1024 to 65535"
        case number if number in ABSENT:
            return f"host {host} is not an address of this machine; use 0.0.0.0 for all of its addresses"
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"
