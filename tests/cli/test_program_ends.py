"""How a command ends when something around it fails: streams and signals; and what it loads."""

from __future__ import annotations

import array
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from local import until
from support.commands import COMMAND, run
from support.endpoints import STREAM, Script, ScriptedEndpoint, saying_nothing, sending

ENTRY = "_web_http_80._tcp.a.example.com=100.64.0.1"

POLICY = json.dumps({"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1"}}).encode()

PRINTING = (
    pytest.param(("render-once", "-"), id="render-once"),
    pytest.param(("parse-host", ENTRY), id="parse-host"),
    pytest.param(("parse-host", ENTRY, "--format=json"), id="parse-host-as-json"),
    pytest.param(("validate", "-"), id="validate"),
    pytest.param(("validate", "-", "--format=json"), id="validate-as-json"),
    pytest.param(("render-once", "-", "-o", "missing.yml", "--diff"), id="diff"),
    pytest.param(("--help",), id="help"),
    pytest.param(("--version",), id="version"),
)


def shell(script: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a shell script in which ``"$@"`` is the command with some arguments."""
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *COMMAND, *arguments],
        input=POLICY.decode(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@full_device
@pytest.mark.parametrize("arguments", PRINTING)
def test_full_standard_output_is_reported(arguments: tuple[str, ...]) -> None:
    """Output that cannot be written, as on a full disk, ends with 4 and one line."""
    done = shell('exec "$@" >/dev/full', arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.lower() == (
        "ctsdns-traefik: error: cannot write standard output: no space left on device\n"
    )


@pytest.mark.parametrize("arguments", PRINTING[:-2])
def test_closed_standard_output_is_reported(arguments: tuple[str, ...]) -> None:
    """Without a standard output at all, data that has nowhere to go ends with 4 and one line."""
    done = shell('exec "$@" >&-', arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == "ctsdns-traefik: error: cannot write standard output: it is closed\n"


def test_file_needs_no_standard_output(tmp_path: Path) -> None:
    """With -o nothing is printed, so a closed standard output is no matter."""
    output = tmp_path / "dynamic.yml"
    done = shell('exec "$@" >&-', ("render-once", "-", "-o", str(output)))
    assert (done.returncode, "router-a-example-com" in output.read_text()) == (0, True)


@pytest.mark.parametrize("arguments", PRINTING)
def test_reader_that_goes_away_is_no_drama(arguments: tuple[str, ...]) -> None:
    """A broken pipe, as "| head" leaves, ends it in silence: nothing is written, so it is 4."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=POLICY,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (4, b"")


def test_reader_of_the_first_line_gets_it() -> None:
    """In a pipeline with head the first line arrives, and nothing is logged on stderr."""
    hosts = {f"_web_http_80._tcp.host{number}.example.com": "::1" for number in range(5000)}
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" | head -n 1', "sh", *COMMAND, "render-once", "-"],
        input=json.dumps({"hosts": hosts}).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"{\n", b"")


@pytest.mark.parametrize(
    "arguments", [("render-once", "-"), ("validate", "-"), ("parse-host", "-")], ids=lambda a: a[0]
)
def test_closed_standard_input_is_reported(arguments: tuple[str, ...]) -> None:
    """A process without a standard input that is to read it ends with 3 and one line."""
    done = shell('exec "$@" <&-', arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("ctsdns-traefik: error: cannot read standard input: ")


GONE = (
    pytest.param(
        ("watch", "http://127.0.0.1:9/", "-o", "here.yml", "--status-file", "there.json"),
        (4, "cannot write here.yml: no such file or directory"),
        id="watch",
    ),
    pytest.param(
        ("render-once", "-", "-o", "here.yml"),
        (4, "cannot write here.yml: no such file or directory"),
        id="render-once",
    ),
    pytest.param(
        ("render-once", "-", "--access-file", "access.yml"),
        (2, "cannot read access.yml: no such file or directory"),
        id="access-file",
    ),
    pytest.param(
        ("validate", "here.json"),
        (3, "cannot read here.json: no such file or directory"),
        id="validate",
    ),
)


@pytest.mark.parametrize(("arguments", "end"), GONE)
def test_working_directory_that_is_gone(arguments: tuple[str, ...], end: tuple[int, str]) -> None:
    """Where relative paths lead nowhere, the file is named, and the code is that of the file."""
    done = shell('cd "$(mktemp -d)" && rmdir "$PWD" && exec "$@"', arguments)
    code, reason = end
    printed = f"ctsdns-traefik: error: {reason}"
    assert (done.returncode, done.stdout, done.stderr.splitlines()[-1]) == (code, "", printed)


def test_no_room_for_temporary_files_is_reported() -> None:
    """A proof that has nowhere to put its files fails for that reason."""
    done = shell('ulimit -f 0 && exec "$@"', ("validate", "-", "--prove"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    printed = "ctsdns-traefik: error: cannot make the temporary files of a proof (see TMPDIR): "
    assert done.stderr.startswith(printed)


WITHOUT_TALK = (
    pytest.param(("render-once", "-"), 0, id="fine"),
    pytest.param(("render-once", "none.json"), 3, id="no-source"),
    pytest.param(("render-once", "-", "-o", "/none/x.yml"), 4, id="no-output"),
    pytest.param(("--nonsense",), 2, id="bad-usage"),
    pytest.param((), 2, id="no-command"),
    pytest.param(("watch", "http://127.0.0.1:9/", "-o", "/none/x.yml"), 4, id="watch"),
)


@pytest.mark.parametrize(("arguments", "code"), WITHOUT_TALK)
@pytest.mark.parametrize(
    "redirection", ["2>&-", pytest.param("2>/dev/full", marks=full_device)], ids=["closed", "full"]
)
def test_exit_code_needs_no_standard_error(
    arguments: tuple[str, ...], code: int, redirection: str
) -> None:
    """What cannot be reported changes nothing about how it ends."""
    done = shell(f'exec "$@" {redirection}', arguments)
    assert (done.returncode, done.stderr) == (code, "")


@contextmanager
def started(*arguments: str, stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command with pipes for what it says, and see that it ends."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


SILENT = (
    pytest.param(saying_nothing, id="before-its-answer"),
    pytest.param(sending(STREAM, then=saying_nothing), id="within-the-stream"),
)


@pytest.mark.parametrize("script", SILENT)
@pytest.mark.parametrize("command", ["render-once", "validate"])
def test_interrupt_ends_the_wait_for_an_endpoint(command: str, script: Script) -> None:
    """SIGINT while an endpoint is silent ends the command with 130, and not a word."""
    with ScriptedEndpoint(script) as endpoint, started(command, endpoint.url) as process:
        until(lambda: endpoint.requests, "no request came")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def unread(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    number = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, number)
    return number[0]


@pytest.mark.parametrize("command", ["render-once", "parse-host"])
def test_interrupt_ends_the_wait_for_standard_input(command: str) -> None:
    """SIGINT while standard input is silent ends the command with 130, and not a word."""
    reader, writer = os.pipe()
    os.write(writer, b" \n")
    with started(command, "-", stdin=reader) as process:
        until(lambda: not unread(reader), "it does not read")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    os.close(reader)
    os.close(writer)
    assert (process.returncode, out, err) == (130, b"", b"")


HEAVY = ("requests", "urllib3", "sseclient", "rich", "ruamel", "idna")

LIGHT = (
    pytest.param(("parse-host", ENTRY), (), id="parse-host"),
    pytest.param(("parse-host", "_tcp_ssh_22._tcp.nas.example.com"), (), id="parse-host-for-tcp"),
    pytest.param(("parse-host", "_web_http_0._tcp.a", "--format=json"), (), id="malformed"),
    pytest.param(("parse-host", "_web_http_80._tcp.b\u00fccher.a"), ("idna",), id="another-script"),
    pytest.param(("--help",), (), id="help"),
    pytest.param(("render-once", "-"), (), id="render-once"),
    pytest.param(("render-once", "-", "--format=yaml"), ("ruamel",), id="render-once-as-yaml"),
    pytest.param(("validate", "-"), (), id="validate-off-a-terminal"),
)


@pytest.mark.parametrize(("arguments", "loaded"), LIGHT)
def test_heavy_modules_wait_until_they_are_needed(
    arguments: tuple[str, ...], loaded: tuple[str, ...]
) -> None:
    """A command loads no module that it does not need for what it was asked."""
    program = (
        "import sys; from ctsdns_traefik.cli import main; main(sys.argv[1:]);"
        f"print(*(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        input=POLICY,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.decode().split() == list(loaded)


def test_heavy_modules_are_what_an_endpoint_needs() -> None:
    """The names above are right: reading an endpoint does load the ones for HTTP."""
    with ScriptedEndpoint(saying_nothing) as endpoint:
        program = (
            "import sys; from ctsdns_traefik.cli import main;"
            f"main(['render-once', '{endpoint.url}', '--timeout=0.5', '-qq']);"
            "print('requests' in sys.modules, 'urllib3' in sys.modules)"
        )
        done = run_python(program)
    assert done.stdout == "True True\n"


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a few lines."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )


def test_module_can_be_run() -> None:
    """``python -m ctsdns_traefik`` ends with the command's exit code under the command's name."""
    assert run("parse-host", "_x").returncode == 1
    assert "ctsdns-traefik: error: " in run("nonsense").stderr
