"""What a request names, parsed strictly: every value has one spelling, and any other is refused by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from pfnr_runtime.playback.player import FASTEST, SLOWEST
from pfnr_runtime.serve.catalogue import ServedSession
from pfnr_runtime.serve.errors import RequestError
from pfnr_runtime.serve.shared_frames import KINDS
from pfnr_runtime.serve.stream import StreamSettings

NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
SPEED = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,4})?", re.ASCII)
FRAME_FILE = re.compile(r"([^.]*)\.([^.]*)", re.ASCII)
SWITCH = {"0": False, "1": True, "false": False, "true": True}


def find_session(text: str, sessions: Mapping[int, ServedSession]) -> ServedSession:
    """The session that a path names by number; a RequestError lists the sessions."""
    known = ", ".join(map(str, sessions))
    if NUMBER.fullmatch(text) is None:
        raise RequestError(
            400, f"session {text[:50]!r} is not a number; there are {known}", value=text, allowed=known
        )
    if int(text) not in sessions:
        raise RequestError(404, f"no session {text}; there are {known}", value=text, allowed=known)
    return sessions[int(text)]


def find_frame(file: str, session: ServedSession) -> tuple[int, str]:
    """The frame number and kind of image that '17.png' names; a RequestError lists the valid ones."""
    match = FRAME_FILE.fullmatch(file)
    if match is None or match[2] not in KINDS:
        allowed = " or ".join(f"NUMBER.{kind}" for kind in KINDS)
        raise RequestError(404, f"a frame is {allowed}, not {file[:50]!r}", value=file, allowed=allowed)
    return frame_number(match[1], session, 404), match[2]


def frame_number(text: str, session: ServedSession, missing: int) -> int:
    """A frame's number; a RequestError with status 400 if it is not a number, with `missing` if outside the
    video.
    """
    video = session.contract.video
    allowed = f"0 to {video.frames - 1}"
    if NUMBER.fullmatch(text) is None:
        message = f"frame {text[:50]!r} is not a frame number; {video.name!r} has {allowed}"
        raise RequestError(400, message, value=text, allowed=allowed)
    if int(text) >= video.frames:
        raise RequestError(
            missing, f"frame {text} is outside {allowed} of {video.name!r}", value=text, allowed=allowed
        )
    return int(text)


def stream_settings(query: Mapping[str, str], session: ServedSession) -> StreamSettings:
    """What the query of a stream asks for; a RequestError names what is wrong."""
    speed = query.get("speed", "1")
    if SPEED.fullmatch(speed) is None or not SLOWEST <= float(speed) <= FASTEST:
        allowed = f"{SLOWEST:g} to {FASTEST:g}"
        raise RequestError(
            400, f"speed {speed[:50]!r} is not a number from {allowed}", value=speed, allowed=allowed
        )
    start = frame_number(query.get("start", "0"), session, 400)
    loop = _choice("loop", query.get("loop", "0"), SWITCH)
    kind = _choice("format", query.get("format", "jpg"), KINDS)
    return StreamSettings(start, float(speed), SWITCH[loop], kind)


def read_query(given: Iterable[tuple[str, str]], known: Collection[str]) -> dict[str, str]:
    """The `known` parameters of a query; a RequestError for one that is given twice.

    Others are ignored: mail programs and proxies add parameters to links.
    """
    query: dict[str, str] = {}
    for name, value in given:
        if name in query:
            raise RequestError(400, f"parameter {name} is given twice", value=name, allowed="once")
        if name in known:
            query[name] = value
    return query


def _choice(name: str, value: str, allowed: Iterable[str]) -> str:
    names = ", ".join(allowed)
    if value not in allowed:
        raise RequestError(400, f"{name} {value[:50]!r} is none of {names}", value=value, allowed=names)
    return value
