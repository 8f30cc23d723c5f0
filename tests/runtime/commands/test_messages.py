"""What the toolkit says: on stderr while a command runs, to `logging` alone in a program that embeds it."""

from __future__ import annotations

import pytest
import typer

from pfnr_runtime.commands.console import reports_errors
from pfnr_runtime.errors import ParameterError, PfnrError
from pfnr_runtime.system.messages import LOGGER, say


def test_a_command_shows_bare_messages_on_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    @reports_errors
    def outer() -> None:
        say("100 % done")
        inner()
        say("after")

    @reports_errors
    def inner() -> None:
        say("within")

    outer()
    assert capsys.readouterr() == ("", "100 % done\nwithin\nafter\n")


def test_a_program_hears_nothing_before_and_after_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    @reports_errors
    def failing() -> None:
        raise OSError("broken")

    before = (LOGGER.level, list(LOGGER.handlers))
    with pytest.raises(typer.Exit):
        failing()
    assert (LOGGER.level, LOGGER.handlers) == before
    capsys.readouterr()
    say("nobody asked")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("parameter", "flag"), [("max_step", "--max-step"), ("factor", "--interpolate")])
def test_a_command_names_the_flag_and_the_api_the_parameter(
    parameter: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = ParameterError(parameter, "999 is outside 0 to 255")
    assert str(error) == f"{parameter} 999 is outside 0 to 255"

    @reports_errors
    def failing() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        failing()
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err == f"error: {flag} 999 is outside 0 to 255\n"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("use what is good with `frames=0:8`", "use what is good with --frames 0:8"),
        ("hold them with `tolerate_damage`", "hold them with --tolerate-damage"),
        ("a larger `planned`, or `fourier=none`", "a larger --plan, or --fourier none"),
        ("make it with `pfnr-train add CLIP`", "make it with `pfnr-train add CLIP`"),
    ],
)
def test_parameters_that_a_message_names_are_flags_on_a_command_line(
    message: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @reports_errors
    def failing() -> None:
        say(message)
        raise PfnrError(message)

    with pytest.raises(typer.Exit):
        failing()
    assert capsys.readouterr().err == f"{said}\nerror: {said}\n"
