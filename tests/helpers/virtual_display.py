"""A display that no one sees: Xvfb, its pixels, and keys typed into it by xdotool."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

SECONDS = 60


class VirtualDisplay:
    """name: for DISPLAY. pixels(): uint8 [H, W, 3]. type(keys): as xdotool names them."""

    def __init__(self, name: str, framebuffer: Path) -> None:
        self.name, self._framebuffer = name, framebuffer

    def pixels(self) -> NDArray[np.uint8]:
        """What is on the screen now. Xvfb keeps it in a file, as the X window dump format has it."""
        data = self._framebuffer.read_bytes()
        fields = struct.unpack(">25I", data[:100])
        header, width, height, line, colours = fields[0], fields[4], fields[5], fields[12], fields[19]
        assert (fields[7], fields[11]) == (0, 32)  # little-endian, 32 bits per pixel: blue, green, red, unused
        rows = np.frombuffer(data, np.uint8, line * height, header + 12 * colours).reshape(height, line // 4, 4)
        return rows[:, :width, 2::-1]

    def type(self, *keys: str) -> None:
        subprocess.run(["xdotool", "key", *keys], check=True, env={**os.environ, "DISPLAY": self.name})

    def wait_for(self, condition: Callable[[NDArray[np.uint8]], bool], what: str) -> NDArray[np.uint8]:
        """The pixels once `condition` holds for them."""
        deadline = time.monotonic() + SECONDS
        while not condition(pixels := self.pixels()):
            assert time.monotonic() < deadline, f"never seen: {what}"
            time.sleep(0.05)
        return pixels


@contextlib.contextmanager
def virtual_display(folder: Path, size: tuple[int, int]) -> Iterator[VirtualDisplay]:
    """Start Xvfb with a screen of `size` (width, height); skips the test where it or xdotool is missing."""
    for program in ("Xvfb", "xdotool"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine (Debian: apt-get install xvfb xdotool)")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size[0]}x{size[1]}x24"]
    with subprocess.Popen(
        [*command, "-fbdir", str(folder), "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL
    ) as server:
        os.close(write)
        try:
            with os.fdopen(read) as pipe:
                number = pipe.readline().strip()
            if not number:
                pytest.skip("Xvfb does not start on this machine")
            yield VirtualDisplay(f":{number}", folder / "Xvfb_screen0")
        finally:
            server.terminate()
