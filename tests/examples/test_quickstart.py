"""The quickstart: the whole chain on one machine, and nothing of it left behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from demonstration import Screen, show_chain
from local import free_ports, until
from support.paths import ROOT
from support.quickstarts import (
    EXIT_CODE,
    QUICKSTART,
    interrupt,
    left_behind,
    press_ctrl_c,
    printed,
    processes,
    quickstart,
)
from support.worker import StandInWorker

from ctsdns_traefik.errors import ExitCode

SHOWN = """A policy entry becomes a live route

╭─ source ──────╮   ╭─ watch ─────╮   ╭─ Traefik ───────╮   ╭─ backend ───────╮
│ policy.hujson │──▶│ dynamic.yml │──▶│ 127.0.0.1:18000 │──▶│ 127.0.0.1:13000 │
╰───────────────╯   ╰─────────────╯   ╰─────────────────╯   ╰─────────────────╯

1  Traefik 3.7.15 serves the policy's entry
  $ curl -H 'Host: app.example.com' http://127.0.0.1:18000/
  Hello from the backend: you asked for app.example.com

2  Add an entry to the policy, and save it
        "_web_http_13000._tcp.app.example.com": "127.0.0.1",
  +     "_web_http_13000._tcp.new.example.com": "127.0.0.1",
      },

3  watch has seen it
  12:00:00 INFO replaced dynamic.yml: 2 routes; added router-new-example-com

4  The route is live, 0.50 s after the save
  $ curl -H 'Host: new.example.com' http://127.0.0.1:18000/
  Hello from the backend: you asked for new.example.com

Next: save your own policy as policy.hujson here
  # what Traefik would do with it
  ctsdns-traefik validate policy.hujson
  # the routes that Traefik gets
  ctsdns-traefik render-once policy.hujson
  # live, while you edit it
  python run.py --stay --endpoint policy.hujson
"""
STOPPED = "\nStopped; nothing is left behind.\n"


def normal(shown: str) -> str:
    """Return what is shown, without colour, with the ports, times and paths of another run."""
    shown = re.sub(r"\x1b\[[\d;]*m", "", shown)
    ports = re.findall(r"127\.0\.0\.1:(\d{5}) │", shown)
    for port, other in zip(ports, ("18000", "13000"), strict=True):
        shown = shown.replace(port, other)
    for pattern, other in {
        r"Traefik 3\.[\d.]+": "Traefik 3.7.15",
        r"\d\d:\d\d:\d\d": "12:00:00",
        r"\d+\.\d\d s ": "0.50 s ",
        r"\S*/(?=ctsdns-traefik|run\.py)|\S*/(?=python)": "",
        r"python\S* (?=run\.py)": "python ",
    }.items():
        shown = re.sub(pattern, other, shown)
    return shown


@contextmanager
def terminal(columns: int) -> Iterator[tuple[int, int]]:
    """Make a terminal; give its two ends, the user's first."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


def on_terminal(
    folder: Path, *arguments: str, columns: int = 80, environment: Mapping[str, str] | None = None
) -> str:
    """Run the quickstart on a terminal to its end; return what it shows there."""
    shown = b""
    with terminal(columns) as (outer, inner):
        settings = {"TERM": "xterm-256color", **(environment or {})}
        with quickstart(folder, *arguments, stdout=inner, **settings) as process:
            os.set_blocking(outer, False)

            def has_ended() -> bool:
                nonlocal shown
                ended = process.poll() is not None
                try:
                    shown += os.read(outer, 65536)
                except BlockingIOError:
                    return ended
                return False

            until(has_ended, "it does not end")
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract sockets")
def test_free_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing listens on it yet, a port that was given is given to nobody else."""
    (one,) = free_ports(1)
    monkeypatch.setattr("random.sample", lambda ports, _: [one, *ports])
    (other,) = free_ports(1)
    assert other != one


def test_demonstration(tmp_path: Path) -> None:
    """Through a pipe it shows every step in plain text, no line wider than 80 columns."""
    with quickstart(tmp_path) as process:
        assert process.wait(timeout=60) == 0, printed(tmp_path)
    shown = printed(tmp_path)
    assert normal(shown) == SHOWN
    assert "\x1b" not in shown
    assert [line for line in SHOWN.splitlines() if len(line) > 80] == []
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("columns", [80, 120])
def test_demonstration_on_a_terminal(tmp_path: Path, columns: int) -> None:
    """On a terminal of either width it shows the same in colour: what is added is green."""
    shown = on_terminal(tmp_path, columns=columns)
    assert re.search(r"\x1b\[32m  \+     \"_web_http_\d+\._tcp\.new\.example\.com\"", shown)
    assert normal(shown) == SHOWN


@pytest.mark.parametrize(
    ("columns", "source", "lines"), [(80, "a.json", 3), (40, "a.json", 4), (80, "a" * 80, 4)]
)
def test_chain_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    columns: int,
    source: str,
    lines: int,
) -> None:
    """Boxes side by side, or a line each where these would be wider than the terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    show_chain(Screen(), source, "127.0.0.1:20160", "127.0.0.1:28399")
    assert (shown := capfd.readouterr().out).count("\n") == lines
    assert ("╭─ source" in shown) is (lines == 3)


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        pytest.param({}, True, id="a-terminal"),
        pytest.param({"NO_COLOR": "1"}, False, id="no-color"),
        pytest.param({"NO_COLOR": ""}, True, id="no-color-empty"),
        pytest.param({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, id="both"),
        pytest.param({"TERM": "dumb"}, False, id="dumb"),
        pytest.param({"TERM": "dumb", "FORCE_COLOR": "1"}, True, id="forced"),
    ],
)
def test_colour(tmp_path: Path, environment: dict[str, str], coloured: bool) -> None:
    """A terminal gets colour unless NO_COLOR is set or it is a dumb one; FORCE_COLOR means yes."""
    shown = on_terminal(tmp_path, "--endpoint", "ftp://127.0.0.1/", environment=environment)
    assert ("\x1b[" in shown) is coloured


def test_next_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three commands at the end work, from the folder in which they were shown."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(Path(QUICKSTART[1]).with_name("policy.hujson"), tmp_path / "policy.hujson")
    with quickstart(tmp_path) as process:
        assert process.wait(timeout=60) == 0, printed(tmp_path)
    commands = re.findall(r"^  (.+ policy\.hujson)$", printed(tmp_path), re.MULTILINE)
    check, render, again = map(shlex.split, commands)
    for command in (check, render, [part for part in again if part != "--stay"]):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "app.example.com" in done.stdout


def test_endpoint_from_the_environment(tmp_path: Path) -> None:
    """With the endpoint set it lists that one's routes and what Traefik makes of each."""
    policy = tmp_path / "policy.hujson"
    policy.write_text("""{"hosts": {
        "_web_http_80._tcp.app.example.com": "127.0.0.1",
        "_tcp_ssh_22._tcp.nas.example.com": "127.0.0.1",
        "_nowhere_http_80._tcp.lost.example.com": "127.0.0.1", // no such entrypoint
    }}""")
    with (
        StandInWorker(policy, 0.2) as worker,
        quickstart(tmp_path, TRAEFIK_CONFIG_API_ENDPOINT=worker.endpoint) as process,
    ):
        assert process.wait(timeout=60) == 0, printed(tmp_path)
    _, title, routes = printed(tmp_path).partition("\nTraefik's routes: 3\n")
    assert title, printed(tmp_path)
    lost, *served = sorted(line.strip() for line in routes.splitlines())
    assert re.fullmatch(r"nowhere: Host\(`lost\.example\.com`\): disabled; .*nowhere.*", lost)
    assert served == [
        "tcp: HostSNI(`nas.example.com`): enabled",
        "web: Host(`app.example.com`): enabled",
    ]
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_own_policy_and_an_edit(tmp_path: Path) -> None:
    """With --stay a file's routes answer this machine, and an edit is seen; SIGTERM ends it."""
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"hosts": {"_websecure_http_1._tcp.app.example.com": "127.0.0.1",}}')
    with quickstart(tmp_path, "--stay", "--endpoint", str(policy)) as process:
        until(lambda: "/dashboard/" in printed(tmp_path), "it does not get that far")
        (trial,) = re.findall(r"\$ (curl .+)", printed(tmp_path))
        done = subprocess.run([*shlex.split(trial), "-sS"], capture_output=True, check=True)
        assert done.stdout == b"Bad Gateway"  # the route is there, and nothing listens behind it
        policy.write_text(policy.read_text().replace("app.example.com", "new.example.com"))
        until(lambda: "added router-new-example-com" in printed(tmp_path), "the edit is not shown")
        assert len(processes(tmp_path)) == 2  # watch and Traefik
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert printed(tmp_path).endswith(STOPPED)
    assert left_behind(tmp_path) == []


def test_stay(tmp_path: Path) -> None:
    """With --stay an edit of the copy that it names becomes a route; Ctrl-C ends it with 130."""
    with quickstart(tmp_path, "--stay") as process:
        until(lambda: "/dashboard/" in printed(tmp_path), "it does not get that far")
        (named,) = re.findall(r"^  (/.+/policy\.hujson)$", printed(tmp_path), re.MULTILINE)
        policy = Path(named)
        policy.write_text(policy.read_text().replace("new.example.com", "other.example.com"))
        until(lambda: "added router-other-" in printed(tmp_path), "the edit is not shown")
        press_ctrl_c(process)
        assert process.wait(timeout=60) == EXIT_CODE
    assert printed(tmp_path).endswith(STOPPED)
    assert left_behind(tmp_path) == []


def test_ctrl_c_early(tmp_path: Path) -> None:
    """Ctrl-C ends it with 130 and nothing left, also while it starts; the campaign tries more."""
    moments = (0.0, 0.1, 0.6)
    with ThreadPoolExecutor(len(moments)) as pool:
        folders = [tmp_path / str(moment) for moment in moments]
        assert list(pool.map(interrupt, folders, moments)) == [[], [], []]


@pytest.mark.parametrize(
    ("endpoint", "code", "message"),
    [
        pytest.param("ftp://127.0.0.1/", ExitCode.USAGE, "the source is not a URL", id="no-url"),
        pytest.param("", ExitCode.USAGE, "the source is empty", id="empty"),
        pytest.param("http://127.0.0.1:1/", ExitCode.SOURCE, "connection refused", id="refused"),
        pytest.param("missing.hujson", ExitCode.SOURCE, "no such file", id="no-file"),
        pytest.param("policy.txt", ExitCode.SOURCE, "policy.txt", id="no-policy"),
    ],
)
def test_bad_endpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, code: int, message: str
) -> None:
    """An endpoint that gives no policy ends it at once, with watch's reason and exit code."""
    monkeypatch.chdir(tmp_path)
    Path("policy.txt").write_text('{"hosts": ')
    with quickstart(tmp_path, "--stay", "--endpoint", endpoint) as process:
        assert process.wait(timeout=60) == code, printed(tmp_path)
    assert message in printed(tmp_path).partition("run.py: error: ")[2]
    assert left_behind(tmp_path) == []


def test_silent_endpoint(tmp_path: Path) -> None:
    """An endpoint that does not answer is waited for visibly; Ctrl-C ends that, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with quickstart(tmp_path, "--endpoint", endpoint) as process:
            until(lambda: "waiting for the first policy, 15 s at" in printed(tmp_path), "silence")
            press_ctrl_c(process)
            assert process.wait(timeout=60) == EXIT_CODE
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("argument", ["--nonsense", "nonsense", "--sta", "--endpoint"])
def test_unknown_arguments(argument: str) -> None:
    """What is no argument of it is refused before anything starts."""
    done = subprocess.run([*QUICKSTART, argument], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"usage: run\.py .+\nrun\.py: error: .+\n", done.stderr)


def test_help() -> None:
    """--help names the options and the exit codes."""
    done = subprocess.run([*QUICKSTART, "--help"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    for part in ("--endpoint SOURCE", "--stay", "130: Ctrl-C"):
        assert part in done.stdout


@pytest.mark.parametrize("last", ["A policy entry becomes a live route\n", "  Traefik's dashboard"])
def test_reader_that_goes(tmp_path: Path, last: str) -> None:
    """A pipe that closes, early or while it stays, ends it without a message; nothing is left."""
    reader, writer = os.pipe()
    with quickstart(tmp_path, "--stay", stdout=writer) as process:
        os.close(writer)
        with os.fdopen(reader) as lines:
            assert any(line.startswith(last) for line in lines)
        assert process.wait(timeout=60) == ExitCode.OUTPUT
    assert printed(tmp_path) == ""
    assert left_behind(tmp_path) == []


def test_missing_traefik(tmp_path: Path) -> None:
    """Without a Traefik it says so at once."""
    with quickstart(tmp_path, CTSDNS_TRAEFIK="/nowhere/traefik") as process:
        assert process.wait(timeout=60) == ExitCode.FINDINGS
    assert printed(tmp_path).endswith(
        "\nrun.py: error: /nowhere/traefik: No such file or directory\n"
    )
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("script", ["run.py", "stand_in_tailscale.py"])
def test_python_without_the_package(script: str) -> None:
    """A Python that has no packages, as the system's, costs one line that says what to run."""
    path = ROOT / "examples" / "quickstart" / script
    command = [sys.executable, "-S", str(path), "policy.hujson"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"{script}: error: No module named")
    assert ".venv/bin/python" in done.stderr
