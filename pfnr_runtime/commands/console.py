"""Conventions of every command: results on stdout, messages on stderr, one line and an exit code per error.

Exit codes: 0 ok, 1 bad input or run-time failure, 2 usage, 3 verification failed, 4 backend or device
missing, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import typer

from pfnr_runtime.errors import ParameterError, PfnrError
from pfnr_runtime.system.interrupts import interrupt_on_signals
from pfnr_runtime.system.messages import LOGGER
from pfnr_runtime.system.os_errors import describe_os_error
from pfnr_runtime.system.terminal import accept_all_text, open_standard_streams, printable_lines

# Help of --verbose in every command that opens an engine.
VERBOSE_HELP = "Show what runs, and why other engines do not."

# Parameters of the Python API whose flag has a different name.
FLAGS = {"factor": "--interpolate", "planned": "--plan", "folder": "--out"}
# How a message names a parameter: `frames`, or with a value `frames=0:8`.
PARAMETER = re.compile(r"`([a-z][a-z_]*)(?:=([^`]*))?`")

P = ParamSpec("P")
R = TypeVar("R")


def make_app(help_text: str) -> typer.Typer:
    """A Typer application with the settings that every command shares."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        no_args_is_help=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def launch(module: str, extra: str) -> None:
    """Run the `app` of a command's module; where a package it needs is missing, name the extra that installs it.

    A playback install has all the commands but neither torch nor onnx: there they end with one line.
    """
    try:
        app = importlib.import_module(module).app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing.startswith("pfnr_"):
            raise
        _print_error(f"error: this command needs {missing}, which is not installed: pip install 'pfnr[{extra}]'")
        sys.exit(4)
    except KeyboardInterrupt:
        _print_error("interrupted")
        sys.exit(130)
    run_app(app)


class _OnStderr(logging.Handler):
    """Prints the bare message on the current stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        _print_error(record.getMessage())


_HANDLER = _OnStderr()


@contextmanager
def shows_messages() -> Iterator[None]:
    """Show the toolkit's messages on stderr inside the block; no effect when nested."""
    if _HANDLER in LOGGER.handlers:
        yield
        return
    level = LOGGER.level
    LOGGER.addHandler(_HANDLER)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.setLevel(level)
        LOGGER.removeHandler(_HANDLER)


def in_flags(message: str) -> str:
    """A message of the Python API as a command says it: `frames=0:8` is --frames 0:8."""

    def flag(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        given = FLAGS.get(name, "--" + name.replace("_", "-"))
        return given if value is None else f"{given} {value}"

    return PARAMETER.sub(flag, message)


def _print_error(message: str) -> None:
    with contextlib.suppress(OSError):  # whoever cannot hear may still get the result
        print(printable_lines(in_flags(message)), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a result as JSON on stdout: sorted keys, no NaN, one document per command."""
    print(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command so that a user's mistake ends with one line on stderr and the right exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with shows_messages():
                return command(*args, **kwargs)
        except ParameterError as error:
            _print_error(f"error: `{error.parameter}` {error.rest}")
            raise typer.Exit(error.exit_code) from None
        except PfnrError as error:
            _print_error(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            _print_error("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader closed our stdout (`| head`): stop quietly, and keep Python from complaining when it
            # flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            _print_error(f"error: {describe_os_error(error)}")
            raise typer.Exit(1) from None

    return run


def run_app(app: typer.Typer) -> None:
    """Run a command as a console script; an interrupt outside the command itself also exits with 130."""
    interrupt_on_signals()
    open_standard_streams()
    accept_all_text()
    try:
        app()
    except KeyboardInterrupt:
        _print_error("interrupted")
        sys.exit(130)
