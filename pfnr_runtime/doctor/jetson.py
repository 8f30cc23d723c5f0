"""Whether this machine is a Jetson, and which software release it runs, read from its own files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RELEASE, MODEL, POWER = "etc/nv_tegra_release", "proc/device-tree/model", "var/lib/nvpmodel/status"
PACKAGES = "var/lib/dpkg/status"


@dataclass(frozen=True)
class Jetson:
    """A Jetson board.

    - model: of the board.
    - l4t: release of Linux for Tegra, such as '36.4.3'.
    - jetpack: version of the package nvidia-jetpack, None where it is not installed.
    - power_mode: number of nvpmodel's mode, None if unknown.
    """

    model: str
    l4t: str
    jetpack: str | None
    power_mode: str | None

    @property
    def text(self) -> str:
        """One line to print."""
        jetpack = f"JetPack {self.jetpack}" if self.jetpack else "JetPack's packages not installed"
        power = f", power mode {self.power_mode}" if self.power_mode else ""
        return f"{self.model}, L4T {self.l4t}, {jetpack}{power}"


def find_jetson(root: Path = Path("/")) -> Jetson | None:
    """The Jetson that `root` is the file system of, or None."""
    release = _read(root / RELEASE)
    if not release:
        return None
    # "# R36 (release), REVISION: 4.3, GCID: ..."
    number = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", release)
    power = re.search(r"pmode:0*(\d+)", _read(root / POWER))
    return Jetson(
        _read(root / MODEL).strip("\0 \n") or "a Jetson without a device tree",
        f"{number[1]}.{number[2]}" if number else "unknown",
        _package_version(_read(root / PACKAGES), "nvidia-jetpack"),
        power[1] if power else None,
    )


def _package_version(status: str, name: str) -> str | None:
    """Version of an installed package in dpkg's own list."""
    entry = re.search(rf"^Package: {re.escape(name)}\n(?:.+\n)*", status, re.MULTILINE)
    if entry is None or "\nStatus: install ok installed\n" not in entry[0]:
        return None
    version = re.search(r"^Version: (.+)$", entry[0], re.MULTILINE)
    return version[1] if version else None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
