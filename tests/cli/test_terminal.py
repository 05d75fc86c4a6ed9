"""What commands show on a terminal: whole lines at any width, and colour for severity alone."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.commands import LINELESS, run
from support.terminals import Terminal, on_terminal, plain

PROGRAM = [sys.executable, "-c", LINELESS]
WIDTHS = (60, 80, 120)

NAME = f"_web_http_3000._tcp.{'long-name.' * 12}example.com"
REFUSED = f"_websecure_http_99999._tcp.{'other-name.' * 10}example.com"
TCP = f"_tcp_ssh_22._tcp.{'some-machine.' * 9}example.com"
POLICY = f"""\
{{"hosts": {{
  "{NAME}": "fd7a:115c:a1e0::1",
  "{TCP}": "100.64.0.2",
  "{REFUSED}": "100.64.0.3",
}}}}
"""
DOMAIN, TCP_DOMAIN = (name.partition("._tcp.")[2] for name in (NAME, TCP))
FOREIGN = "log:\n  level: DEBUG\n"
FOLDER = "a-folder-of-a-name-that-is-longer-than-a-line/and-another-one-below-it-that-is-long-too"

RENDER = ["render-once", "policy.hujson"]
CHECK = ["watch", "--check", "policy.hujson", "--access-file", "foreign.yml"]

CASES = [
    pytest.param(["validate", "policy.hujson"], [DOMAIN, TCP_DOMAIN, REFUSED], id="validate"),
    pytest.param(["parse-host", "--all-clients", NAME, TCP, REFUSED], [NAME, TCP], id="parse-host"),
    pytest.param([*RENDER, "-o", "-"], [REFUSED, DOMAIN], id="render-once"),
    pytest.param([*RENDER, "-o", f"{FOLDER}/dynamic.yml"], [FOLDER], id="no-folder"),
    pytest.param(["render-once", f"http://127.0.0.1:1/{FOLDER}"], [FOLDER], id="no-source"),
    pytest.param(["render-once", "--" + "long" * 30], ["long" * 30], id="bad-usage"),
    pytest.param([*CHECK, "-o", f"{FOLDER}/dynamic.yml"], [FOLDER], id="watch-check"),
]
"""Commands, and what has to stand on a line of its own or of others, whole."""


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a policy with long names, and a file of others, into the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("policy.hujson").write_text(POLICY)
    Path("foreign.yml").write_text(FOREIGN)


@pytest.mark.parametrize(("arguments", "texts"), CASES)
def test_lines_are_whole_at_every_width(arguments: list[str], texts: list[str]) -> None:
    """The terminal gets the same lines however narrow it is, and wraps them itself."""
    shown = [on_terminal([*PROGRAM, *arguments], columns)[1] for columns in WIDTHS]
    assert shown[0] == shown[1] == shown[2]
    assert [text for text in texts if text not in shown[0]] == []


def test_log_is_whole_at_every_width() -> None:
    """A line of the log of watch is one line, on the narrowest terminal too."""
    logs = [list(log_of_watch(columns)) for columns in WIDTHS]
    assert logs[0] == logs[1] == logs[2]
    assert [line for line in logs[0] if REFUSED in line] != []
    assert [line for line in logs[0] if DOMAIN.replace(".", "-") in line] != []


def log_of_watch(columns: int) -> Iterator[str]:
    """Run watch on a terminal until it has rendered; yield its lines without their times."""
    output = f"routes-{columns:03}.yml"
    command = [*PROGRAM, "watch", "policy.hujson", "-o", output]
    terminal = Terminal(command, columns)
    terminal.until("INFO replaced")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.until_end() == 0
    for line in plain(terminal.shown).replace(output, "routes.yml").splitlines():
        yield re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} ", "", line)


@pytest.mark.parametrize("command", ["", "watch", "render-once", "parse-host", "validate"])
def test_help_breaks_no_word(command: str) -> None:
    """Help is wrapped between words alone: options, variables, URLs and commands stay whole."""
    arguments = [*PROGRAM, *filter(None, [command]), "--help"]
    shown = [on_terminal(arguments, columns)[1] for columns in (*WIDTHS, 1000)]
    assert [text.split() for text in shown[:-1]] == [shown[-1].split()] * len(WIDTHS)
    folded = re.compile(r"^ {6}(?!\d+  ).*", re.MULTILINE)
    assert max(map(len, folded.findall(shown[0]))) <= 60


EXPECTED = [
    pytest.param({}, (True, False), id="nothing-set"),
    pytest.param({"NO_COLOR": "1"}, (False, False), id="no-colour"),
    pytest.param({"NO_COLOR": "", "FORCE_COLOR": ""}, (True, False), id="empty"),
    pytest.param({"FORCE_COLOR": "1"}, (True, True), id="forced"),
    pytest.param({"FORCE_COLOR": "0"}, (True, True), id="forced-by-any-value"),
    pytest.param({"NO_COLOR": "1", "FORCE_COLOR": "1"}, (False, False), id="both"),
    pytest.param({"TERM": "dumb"}, (False, False), id="dumb"),
    pytest.param({"TERM": "dumb", "FORCE_COLOR": "1"}, (True, True), id="dumb-and-forced"),
]


@pytest.mark.parametrize(("environment", "coloured"), EXPECTED)
def test_conventions_of_colour(environment: dict[str, str], coloured: tuple[bool, bool]) -> None:
    """A terminal gets colour and a pipe none, unless NO_COLOR, FORCE_COLOR or TERM differ."""
    for arguments in (["validate", "policy.hujson"], ["render-once", "missing.json"]):
        _, shown = on_terminal([*PROGRAM, *arguments], 80, **environment)
        done = run(*arguments, environment=environment)
        assert ("\x1b" in shown, "\x1b" in done.stdout + done.stderr) == coloured


SEVERITIES = {"error", "ERROR", "warning", "WARNING", "failed", "ok"}

COLOURED = [
    ["validate", "policy.hujson"],
    ["parse-host", NAME, REFUSED],
    ["render-once", "policy.hujson"],
    ["render-once", "missing.json"],
    ["watch", "missing.json", "-o", "foreign.yml"],
    [*CHECK, "-o", "dynamic.yml"],
    ["validate", "--bad"],
]


@pytest.mark.parametrize("arguments", COLOURED, ids=" ".join)
def test_colour_is_for_severity_alone(arguments: Sequence[str]) -> None:
    """The name of a severity is in its colour, and nothing else is, at any place of a line."""
    plainly = run(*arguments)
    done = run(*arguments, environment={"FORCE_COLOR": "1"})
    both = done.stdout + done.stderr
    painted = re.findall(r"\x1b\[3[123]m(\w+)\x1b\[0m", both)
    assert set(painted) <= SEVERITIES
    assert both.count("\x1b") == 2 * len(painted) > 0
    assert undated(plain(both)) == undated(plainly.stdout + plainly.stderr)


def undated(text: str) -> str:
    """Take the times out of a log."""
    return re.sub(r"\d{4}-\d\d-\d\dT\S+", "", text)


PROGRAMS = [
    ["validate", "--format", "json", "policy.hujson"],
    ["validate", "--format", "github", "policy.hujson"],
    ["validate", "--format", "html", "policy.hujson"],
    ["parse-host", "--format", "json", REFUSED],
    ["render-once", "-q", "-q", "policy.hujson"],
    ["render-once", "--log-format", "json", "policy.hujson"],
    ["render-once", "-q", "-q", "policy.hujson", "-o", "dynamic.yml", "--diff"],
    ["--help"],
]


@pytest.mark.parametrize("arguments", PROGRAMS, ids=" ".join)
def test_data_has_no_colour(arguments: Sequence[str]) -> None:
    """What other programs read has no colour, however it is forced."""
    done = run(*arguments, environment={"FORCE_COLOR": "1"})
    assert "\x1b" not in done.stdout + done.stderr


def test_error_of_a_closed_stream(tmp_path: Path) -> None:
    """Closed standard streams change no exit code, colour forced or not."""
    script = 'exec "$@" >&- 2>&-'
    command = ["sh", "-c", script, "sh", *PROGRAM, "validate", str(tmp_path / "policy.hujson")]
    assert os.spawnve(os.P_WAIT, "/bin/sh", command, {**os.environ, "FORCE_COLOR": "1"}) == 4
