"""Every error a user can cause, as exceptions that carry their exit code.

Each is a `PfnrError`: one line that names the bad value, what is allowed and how to fix it. The command line
prints that line and exits with `exit_code`; nothing here ever reaches a user as a traceback.
"""

from __future__ import annotations


class PfnrError(Exception):
    """Bad input or a failure at run time (exit code 1)."""

    exit_code = 1


class ClipError(PfnrError):
    """A video or image folder that cannot be read as asked."""


class LibraryError(PfnrError):
    """A library file that is missing, damaged, locked, of another version, or not pfnr's."""


class TrainingError(PfnrError):
    """Training that cannot go on, such as a loss that is no longer a number."""


class ArtifactError(PfnrError):
    """An exported file that is missing, damaged, of another version, or not pfnr's."""


class CodingError(PfnrError):
    """Coded weights that are truncated, damaged, or not what their reader expects."""


class SinkError(PfnrError):
    """An output that cannot be written."""


class CancelledError(PfnrError):
    """A decode that was cancelled because its frame is no longer wanted."""


class UsageError(PfnrError):
    """Options that contradict one another or name something unknown (exit code 2)."""

    exit_code = 2


class ParameterError(UsageError):
    """A parameter of the Python API with a value outside what is allowed.

    parameter: its name, with which the message begins; a command replaces it with its flag. rest: the value, what
    is allowed, and the fix.
    """

    def __init__(self, parameter: str, rest: str) -> None:
        super().__init__(f"{parameter} {rest}")
        self.parameter, self.rest = parameter, rest


class VerificationError(PfnrError):
    """A failed proof: frames, digests or quality that break their rule (exit code 3)."""

    exit_code = 3


class BackendError(PfnrError):
    """An inference engine or device that is missing or cannot run the artifact (exit code 4)."""

    exit_code = 4
