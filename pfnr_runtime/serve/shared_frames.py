"""Frames as image files, decoded and encoded once for all viewers, within a bounded number of bytes."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.serve.byte_cache import ByteCache
from pfnr_runtime.serve.decode_queue import Decoded, DecodeQueue
from pfnr_runtime.serve.errors import RequestError
from pfnr_runtime.serve.single_flight import SingleFlight
from pfnr_runtime.sinks.images import FORMATS, ImageFormat, encode_image

# FFmpeg's default compression takes five times as long for files 5 % smaller.
PNG = ImageFormat("png", "rgb24", "lossless", {"compression_level": "1", "pred": "up"})
KINDS = {"png": PNG, "jpg": FORMATS[".jpg"]}
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
FEWEST_UNDER_WAY, MOST_UNDER_WAY = 4, 64
MOST_WAITING = 512
ENCODERS = 2

Key = tuple[int, int, str]


@dataclass(frozen=True)
class EncodedPicture:
    """One frame as an image file. decode_seconds: what decoding took; 0 where it came from the cache."""

    data: bytes
    decode_seconds: float


class SharedFrames:
    """Pictures for all viewers; for use by one event loop.

    capacity: bytes of encoded pictures to keep. frame_bytes: size of the largest raw frame; as many are under way
    at a time as fit in `capacity`, within `FEWEST_UNDER_WAY` to `MOST_UNDER_WAY`.
    """

    def __init__(self, decoding: DecodeQueue, capacity: int, frame_bytes: int) -> None:
        self.cache: ByteCache[Key] = ByteCache(capacity)
        self._decoding = decoding
        self._encoders = ThreadPoolExecutor(ENCODERS, thread_name_prefix="pfnr serve encode")
        self._frames: SingleFlight[tuple[int, int], Decoded] = SingleFlight()
        self._pictures: SingleFlight[Key, EncodedPicture] = SingleFlight()
        self._slots = asyncio.Semaphore(min(max(capacity // frame_bytes, FEWEST_UNDER_WAY), MOST_UNDER_WAY))

    async def picture(self, session: int, index: int, kind: str) -> EncodedPicture:
        """A frame as a file of `kind`, one of `KINDS`; raises what the decoder raises.

        A RequestError (503) where too many requests wait for frames.
        """
        key = (session, index, kind)
        if (data := self.cache.get(key)) is not None:
            return EncodedPicture(data, 0.0)
        if len(self._pictures) >= MOST_WAITING:
            raise RequestError(503, f"{MOST_WAITING} requests are already waiting; try again in a second")
        return await self._pictures.run(key, lambda: self._make(key))

    def to_json(self) -> dict[str, Any]:
        """The state of the cache."""
        return self.cache.to_json()

    def close(self) -> None:
        """Let the encoders finish."""
        self._encoders.shutdown(wait=True, cancel_futures=True)

    async def _make(self, key: Key) -> EncodedPicture:
        session, index, kind = key
        loop = asyncio.get_running_loop()
        async with self._slots:
            decoded = await self._frames.run((session, index), lambda: self._decode(session, index))
            data = await loop.run_in_executor(self._encoders, encode_image, decoded.frame.data, KINDS[kind])
        self.cache.put(key, data)
        return EncodedPicture(data, decoded.seconds)

    async def _decode(self, session: int, index: int) -> Decoded:
        return await asyncio.wrap_future(self._decoding.submit(session, index))
