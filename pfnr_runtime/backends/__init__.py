"""The inference engines: which exist, which one runs, and why the others do not.

A module of this package that has a `BACKEND` record is a backend; adding one is adding a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pfnr_runtime.artifact.open import ArtifactFile
from pfnr_runtime.backends.base import Backend, BackendKind
from pfnr_runtime.errors import BackendError, UsageError
from pfnr_runtime.system.records import find_records

# Options that change how, not what, a backend computes: one that lacks them runs all the same.
ADVICE = frozenset({"threads", "max_batch"})


@dataclass(frozen=True)
class Selection:
    """Which backend runs, and why not those that `auto` prefers.

    - name, description: of the backend that runs.
    - requested: what was asked for.
    - rejected: name and reason of each backend tried before it.
    - failed: names of those that are installed but could not open the artifact.
    - brief: what runs in a few words.

    Print it for all of this.
    """

    name: str
    description: str
    requested: str = "auto"
    rejected: tuple[tuple[str, str], ...] = ()
    failed: tuple[str, ...] = ()
    brief: str = ""

    def __str__(self) -> str:
        return "\n".join([f"{self.name}: {self.description}", *self._reasons(dict(self.rejected))])

    def text(self, verbose: bool = False) -> str:
        """What a command prints: everything, or one line.

        Installed engines that could not open the artifact are listed either way.
        """
        if verbose:
            return str(self)
        line = f"decoding with {self.name}"
        if self.brief:
            line += f" ({self.brief})"
        if self.rejected:
            line += "; run pfnr-doctor to see why other engines are unavailable"
        return "\n".join([line, *self._reasons(self.failed)])

    def _reasons(self, names: Iterable[str]) -> list[str]:
        reasons = dict(self.rejected)
        return [f"  not {name}: {reasons[name]}" for name in names]


def backend_kinds() -> tuple[BackendKind, ...]:
    """Every backend, the most preferred first, whether or not its engine is installed."""
    kinds = find_records(__name__, __path__, "BACKEND")
    return tuple(sorted(kinds, key=lambda kind: (kind.preference, kind.name)))


def open_backend(artifact: ArtifactFile, name: str = "auto", **options: Any) -> tuple[Backend, Selection]:
    """Load an artifact into the backend called `name`, or into the first that works for 'auto'.

    The backend chooses options left at None; those in `ADVICE` go to the backends that have them, and any other
    option rules out the backends that lack it. A UsageError for an unknown name or option; a BackendError that
    says what to install where no engine runs.
    """
    kinds = backend_kinds()
    given = {key: value for key, value in options.items() if value is not None}
    known = set().union(*(kind.options for kind in kinds))
    if unknown := given.keys() - known:
        raise UsageError(
            f"no backend has an option {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}"
        )
    names = [kind.name for kind in kinds]
    if name != "auto" and name not in names:
        raise UsageError(f"no backend is called {name!r}; choose auto, {', '.join(names)}")
    rejected: list[tuple[str, str]] = []
    failed: list[str] = []
    for kind in kinds:
        if name not in ("auto", kind.name):
            continue
        reason = _reason_against(kind, artifact, given)
        if reason is None:
            try:
                backend = kind.open(artifact, **{key: given[key] for key in given.keys() & kind.options})
                return backend, Selection(
                    kind.name, backend.description, name, tuple(rejected), tuple(failed), backend.brief
                )
            except BackendError as error:
                reason = str(error)
                failed.append(kind.name)
        rejected.append((kind.name, reason))
    if name == "auto" and all(kind.probe() for kind in kinds):
        raise BackendError(
            f"{artifact.path}: no inference engine is installed ({kinds[-1].name}: {kinds[-1].probe()}); get the "
            f"one that runs on any CPU with pip install '{kinds[-1].extra}'; pfnr-doctor lists the others"
        )
    reasons = "; ".join(f"{tried}: {reason}" for tried, reason in rejected)
    raise BackendError(f"{artifact.path}: no backend can run it ({reasons})")


def _reason_against(kind: BackendKind, artifact: ArtifactFile, given: dict[str, Any]) -> str | None:
    if artifact.sidecar is not None and not kind.shared:
        return "it does not run shared graphs; export the session alone"
    if foreign := given.keys() - kind.options - ADVICE:
        return f"it has no option {', '.join(sorted(foreign))}"
    return why_not_here(kind)


def why_not_here(kind: BackendKind) -> str | None:
    """Why this machine cannot run a backend, whatever the artifact, and how to install it; or None."""
    if reason := kind.probe():
        return f"{reason}; install it with: pip install '{kind.extra}'"
    return kind.device()
