"""pfnr-serve as a person runs it: what it says, how it ends, and mistakes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from helpers.commands import Run, command_line, environment, run_without

READY = 60


@contextlib.contextmanager
def started(*arguments: object, **variables: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    """The command with --json on a free port, once it listens, and what it printed."""
    process = subprocess.Popen(
        [*command_line("serve", *arguments), "--port", "0", "--json", "--threads", "1"],
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        text = ""
        while not text.endswith("}\n") or text.count("{") != text.count("}"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            text += line
        yield process, json.loads(text)
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, list[str]]:
    """Exit code and lines of stderr after a signal."""
    process.send_signal(number)
    _, stderr = process.communicate(timeout=READY)
    assert "Traceback" not in stderr, stderr
    return process.returncode, stderr.splitlines()


def test_it_says_where_it_is_and_ctrl_c_ends_it_with_130(artifacts: list[Path]) -> None:
    with started(*artifacts) as (process, printed):
        assert printed["sessions"] == {"0": "first", "1": "second"}
        url = str(printed["url"])
        assert httpx.get(f"{url}healthz").json() == {"status": "ok"}
        code, said = ended(process, signal.SIGINT)
    assert code == 130
    assert said[-1] == "interrupted"
    assert said[0].startswith("decoding with onnxruntime-cpu (1 thread)")
    assert "session 1: second, 30 frames, 48×32, from v1.onnx" in said
    assert f"open {url} in a browser; Ctrl-C stops the server" in said
    assert len(said) == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_viewers_look_on(number: int, artifacts: list[Path]) -> None:
    with started(*artifacts, "--quiet") as (process, printed):
        address = urlsplit(str(printed["url"]))
        with contextlib.ExitStack() as stack:
            for path in ("0/stream?loop=1", "1/stream?loop=1&format=png&speed=100"):
                connection = stack.enter_context(socket.create_connection((address.hostname, address.port)))
                connection.sendall(f"GET /api/sessions/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert connection.recv(100).startswith(b"HTTP/1.1 200")  # and reads no more
            code, said = ended(process, number)
    assert (code, said) == ((0, []) if number == signal.SIGTERM else (130, ["interrupted"]))


def test_another_address_gets_a_token_and_says_it(artifacts: list[Path]) -> None:
    with started(artifacts[0], "--host", "0.0.0.0", "--quiet") as (process, printed):
        base = f"http://127.0.0.1:{printed['port']}"
        assert httpx.get(f"{base}/api/sessions").status_code == 401
        assert "token" not in printed
        _, said = ended(process, signal.SIGTERM)
    (line,) = said
    match = re.search(rf"http://localhost:{printed['port']}/\?token=([\w-]{{32}})$", line)
    assert match is not None


def test_a_token_of_ones_own_is_asked_for_on_any_address_and_never_printed(artifacts: list[Path]) -> None:
    token = "one-of-my-own_7"
    with started(artifacts[0], PFNR_TOKEN=token) as (process, printed):
        url = f"{printed['url']}api/sessions"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200
        _, said = ended(process, signal.SIGTERM)
    assert token not in "\n".join(said) + json.dumps(printed)


def test_a_port_in_use_is_one_line(artifacts: list[Path], run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("serve", artifacts[0], "--port", port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"error: port {port} of 127.0.0.1 is in use; choose another, or 0 for any free one\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--host", "192.0.2.7"], 1, "host 192.0.2.7 is not an address of this machine"),
        (["--host", "no.such.invalid"], 1, "host 'no.such.invalid' is unknown"),
        (["--host", ""], 1, "host '' is unknown"),
        (["--token", "short"], 2, "a token needs 8 or more letters"),
        (["--token", "with space in it"], 2, "a token needs 8 or more letters"),
        (["--backend", "tpu"], 2, "choose auto, "),
        (["nowhere.onnx"], 1, "nowhere.onnx"),
    ],
)
def test_a_mistake_is_one_line_with_its_exit_code(
    arguments: list[str], code: int, message: str, artifacts: list[Path], run: Run, tmp_path: Path
) -> None:
    done = run("serve", artifacts[0], "--port", 0, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_it_names_it(missing: str, artifacts: list[Path]) -> None:
    done = run_without(missing, "serve", artifacts[0])
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert missing in done.stderr
    assert "pip install 'pfnr[serve]'" in done.stderr


def test_the_real_command_is_installed_with_its_page() -> None:
    path = Path(sys.executable).with_name("pfnr-serve")
    if not path.exists():
        pytest.skip("the package is not installed with this Python")
    done = subprocess.run([path, "--help"], capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert "--allow-host" in done.stdout
