"""A Debian arm64 root that runs under qemu-user, with the runtime installed in it as on a Jetson's CPU.

Made in steps, each done once: debootstrap (minutes), wheels fetched outside for the root's Python, then
installed inside with no index. A step that was interrupted is begun again. Every mount is made in a mount
namespace that ends with this process, however it ends; a kill leaves nothing mounted.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from helpers.paths import ROOT as REPOSITORY

HANDLER = "qemu-aarch64"
TOOLS = {
    "debootstrap": "debootstrap",
    "qemu-aarch64-static": "qemu-user-static",
    "update-binfmts": "binfmt-support",
    "unshare": "util-linux",
}
# What wheels for this root may be tagged with, newest first: pip takes exactly what it is told.
PLATFORMS = [f"manylinux_2_{minor}_aarch64" for minor in (36, 35, 34, 31, 28, 27, 26, 24, 17)] + [
    "manylinux2014_aarch64"
]
EXTRAS = "ort"
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
NAMESPACE = "PFNR_AARCH64_NAMESPACE"


# Orin's core in the kernel's files, and for qemu the nearest that it knows, which has the same instructions.
CPU_MODEL = "cortex-a76"
CPU_INFO = """\
processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd42
CPU revision\t: 1

"""


def enter_namespace() -> None:
    """Continue in a mount and process namespace of our own; `SystemExit` names what is missing here."""
    if os.environ.get(NAMESPACE):
        return
    lacking = sorted(package for tool, package in TOOLS.items() if shutil.which(tool) is None)
    if lacking:
        raise SystemExit(f"error: this needs Debian's or Ubuntu's {', '.join(lacking)}: apt install them")
    if os.geteuid() != 0:
        raise SystemExit("error: making a Debian root takes root's rights: sudo make test-aarch64")
    os.environ[NAMESPACE] = "1"
    unshare = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvp("unshare", [*unshare, sys.executable, "-m", "aarch64", *sys.argv[1:]])


class ArmRoot:
    """The root at `folder`, with the runtime in /opt/pfnr. suite, mirror: Debian release and server."""

    def __init__(self, folder: Path, suite: str, mirror: str) -> None:
        self.folder = folder.resolve()
        self.suite, self.mirror = suite, mirror
        self._system = self.folder / "root"
        self._wheels = self.folder / "wheels"
        self._enabled = False

    def __enter__(self) -> ArmRoot:
        binfmt = Path("/proc/sys/fs/binfmt_misc")
        if not (binfmt / "register").exists():
            _call("mount", "-t", "binfmt_misc", "binfmt_misc", str(binfmt))
        if not (binfmt / HANDLER).exists():
            _call("update-binfmts", "--enable", HANDLER)
            self._enabled = True
        return self

    def __exit__(self, *error: object) -> None:
        if self._enabled:
            _call("update-binfmts", "--disable", HANDLER)

    def make(self) -> None:
        """Every step that is not done yet. The wheels are looked up each time: new ones are installed anew."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._done("system", f"{self.suite} {self.mirror}"):
            self._make_system()
        shutil.rmtree(self._wheels, ignore_errors=True)
        self._wheels.mkdir()
        distribution = self._make_distribution()
        self._mount()
        self._fetch_wheels(distribution)
        self.share(self._wheels, "/wheels", writable=False)
        needed = " ".join(sorted(path.name for path in self._wheels.iterdir()))
        if not self._done("installed", needed):
            self._install(distribution)
            self._finish("installed", needed)
        if not self._done("project", _digest_of(distribution)):
            _tell("installing the project's wheel")
            self._pip(distribution.name, "--no-deps", "--force-reinstall")
            self._finish("project", _digest_of(distribution))

    def run(self, *command: str, user: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, as an ordinary user with the runtime's commands first on its path."""
        spec = ["--userspec", "1000:1000"] if user else []
        environment = {
            "PATH": "/opt/pfnr/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "OMP_NUM_THREADS": "1",
            "QEMU_CPU": CPU_MODEL,
        }
        return subprocess.run(
            ["chroot", *spec, str(self._system), *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def has(self, program: str) -> bool:
        """Whether the runtime brought this command along."""
        return (self._system / "opt/pfnr/bin" / program).exists()

    def share(self, folder: Path, place: str, *, writable: bool) -> None:
        """Show a folder of this machine in the root at `place`."""
        inside = self._system / place.lstrip("/")
        inside.mkdir(parents=True, exist_ok=True)
        _call("mount", "--bind", str(folder), str(inside))
        if not writable:
            _call("mount", "-o", "remount,bind,ro", str(inside))

    def _done(self, step: str, key: str) -> bool:
        """Whether a step was finished for this key; before it is begun again its mark is taken away."""
        mark = self.folder / f".{step}"
        if mark.exists() and mark.read_text() == key:
            return True
        mark.unlink(missing_ok=True)
        return False

    def _finish(self, step: str, key: str) -> None:
        (self.folder / f".{step}").write_text(key)

    def _make_system(self) -> None:
        shutil.rmtree(self._system, ignore_errors=True)
        include = "--include=python3,python3-venv,ca-certificates"
        _tell(f"debootstrap {self.suite} arm64 from {self.mirror}: a few minutes")
        first = ["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", include]
        _call(*first, self.suite, str(self._system), self.mirror)
        _tell("its second stage, under qemu")
        _call("chroot", str(self._system), "/debootstrap/debootstrap", "--second-stage")
        for archive in (self._system / "var/cache/apt/archives").glob("*.deb"):
            archive.unlink()
        self._finish("system", f"{self.suite} {self.mirror}")

    def _mount(self) -> None:
        """What programs expect to be mounted. The kernel's own files tell of this machine's x86-64, on which the
        aarch64 build of ONNX Runtime ends in a segmentation fault; those made here tell of an aarch64 core.
        """
        _call("mount", "-t", "proc", "proc", str(self._system / "proc"))
        for folder in ("sys", "tmp"):
            _call("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(self._system / folder))
        cpu_info = self.folder / "cpuinfo"
        cpu_info.write_text(CPU_INFO)
        _call("mount", "--bind", str(cpu_info), str(self._system / "proc/cpuinfo"))
        cores = self._system / "sys/devices/system/cpu"
        cores.mkdir(parents=True)
        for name in ("possible", "present"):
            (cores / name).write_text("0\n")

    def _make_distribution(self) -> Path:
        """The project's own wheel."""
        # A build folder left by another build would put modules into the wheel that are gone.
        shutil.rmtree(REPOSITORY / "build" / "lib", ignore_errors=True)
        # The same files make the same wheel, which need not be installed again.
        os.environ["SOURCE_DATE_EPOCH"] = "315532800"
        _call(*PIP, "wheel", "--no-deps", "--wheel-dir", str(self._wheels), str(REPOSITORY))
        (distribution,) = self._wheels.glob("pfnr-*.whl")
        return distribution

    def _fetch_wheels(self, distribution: Path) -> None:
        """All that the project needs in the root, for the root's Python."""
        version = self.run("python3", "-c", "import sys; print('%d%d' % sys.version_info[:2])").stdout.strip()
        if not version:
            raise SystemExit(f"error: no Python runs in {self._system}; delete {self.folder} and start again")
        _tell("fetching wheels for aarch64")
        abis = (f"cp{version}", "abi3", "none")
        target = [
            *(f"--platform={platform}" for platform in PLATFORMS),
            *(f"--abi={abi}" for abi in abis),
            "--implementation=cp",
            f"--python-version={version}",
        ]
        constraints = ["--constraint", str(REPOSITORY / "constraints.txt")]
        wanted = ["--dest", str(self._wheels), f"{distribution}[{EXTRAS}]"]
        _call(*PIP, "download", "--only-binary=:all:", *target, *constraints, *wanted)

    def _install(self, distribution: Path) -> None:
        """A new environment. As on a Jetson it sees the system's packages, where JetPack's TensorRT would be."""
        _tell("installing the wheels, under qemu")
        self._must("python3", "-m", "venv", "--clear", "--system-site-packages", "/opt/pfnr")
        self._pip(f"{distribution.name}[{EXTRAS}]")

    def _pip(self, wheel: str, *options: str) -> None:
        pip = ["/opt/pfnr/bin/pip", "install", "-q", "--no-index", "--find-links", "/wheels"]
        self._must(*pip, *options, f"/wheels/{wheel}")

    def _must(self, *command: str) -> None:
        done = self.run(*command, user=False)
        if done.returncode:
            raise SystemExit(f"error: {shlex.join(command)}\n{done.stdout}{done.stderr}")


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _call(*command: str) -> None:
    """Run a command of this machine, its output shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)} ended with {done.returncode}\n{done.stdout[-4000:]}")
