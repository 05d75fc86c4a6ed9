"""The line that shows what takes long: on a terminal alone, and gone without a trace."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest
from support.commands import COMMAND, LINELESS, run
from support.endpoints import (
    STREAM,
    Feed,
    ScriptedEndpoint,
    event,
    saying_nothing,
    sending,
    snapshot,
)
from support.entries import hosts
from support.terminals import Terminal, on_terminal, screen

from ctsdns_traefik.traefik import find_traefik

LOADING = "a real Traefik is loading 2 routes ... "


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Write a policy with two entries."""
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"hosts": hosts("ab")}))
    return str(path)


@pytest.fixture
def slow(tmp_path: Path) -> dict[str, str]:
    """Return an environment with a Traefik that takes a while to start."""
    path = tmp_path / "slow-traefik"
    path.write_text(f'#!/bin/sh\nsleep 1.6\nexec "{find_traefik()}" "$@"\n')
    path.chmod(0o755)
    return {"CTSDNS_TRAEFIK": str(path)}


def prove(policy: str, output: Path, environment: dict[str, str]) -> Terminal:
    """Start a proof with standard error on a terminal and standard output in a file."""
    with output.open("wb") as file:
        command = [*COMMAND, "validate", "--prove", policy]
        return Terminal(command, 60, environment, stdout=file.fileno())


def test_proof_shows_its_progress(policy: str, slow: dict[str, str], tmp_path: Path) -> None:
    """A proof that takes long says so on a terminal, and leaves nothing of it."""
    output = tmp_path / "output"
    terminal = prove(policy, output, slow)
    terminal.until(LOADING)
    assert terminal.until_end() == 0
    assert screen(terminal.shown) == [""]
    assert terminal.shown.count("\x1b[?25h") >= terminal.shown.count("\x1b[?25l")
    assert "2 routes, 0 errors, 0 warnings; proved by Traefik" in output.read_text()


def test_interrupted_proof_leaves_no_line(
    policy: str, slow: dict[str, str], tmp_path: Path
) -> None:
    """SIGINT while the line is shown removes it, and nothing else is shown."""
    terminal = prove(policy, tmp_path / "output", slow)
    terminal.until(LOADING)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.until_end() == 130
    assert screen(terminal.shown) == [""]


def test_pipe_and_dumb_terminal_get_none() -> None:
    """Without a terminal that can erase a line nothing is shown, however long it takes."""
    with ScriptedEndpoint(sending(STREAM, then=saying_nothing)) as server:
        arguments = ["render-once", server.url, "--timeout", "2"]
        forced = {"TERM": "xterm", "FORCE_COLOR": "1"}
        terminal = Terminal([*COMMAND, *arguments], 80, {**forced, "TERM": "dumb"})
        done = run(*arguments, environment=forced)
        assert terminal.until_end() == 3
    assert terminal.shown == done.stderr
    assert "waiting" not in done.stderr


def test_quick_commands_show_none(policy: str, tmp_path: Path) -> None:
    """What ends before its time draws no line."""
    output = str(tmp_path / "dynamic.yml")
    command = [sys.executable, "-c", LINELESS]
    for arguments in (["render-once", policy], ["watch", "--check", policy, "-o", output]):
        code, shown = on_terminal([*command, *arguments], 80)
        assert code == 0
        assert "\x1b[2K" not in shown


def test_waiting_for_a_source_is_shown(tmp_path: Path) -> None:
    """What waits for a policy says for which source and how long at most, without its secrets."""
    output = str(tmp_path / "dynamic.yml")
    with ScriptedEndpoint(sending(STREAM, then=saying_nothing)) as server:
        url = server.url.replace("//", "//user:secret@")
        for arguments, text in (
            (["render-once", url, "--timeout", "2.2"], f"waiting up to 2.2 s for {server.url}"),
            (["watch", "--check", url, "-o", output, "--read-timeout", "2.2"], "checking: source"),
        ):
            terminal = Terminal([*COMMAND, *arguments], 40)
            terminal.until(f"{text[:32]} ... 1 s")
            assert terminal.until_end() == 3
            drawn = re.findall(r"(?:waiting up|checking:)[^\r\n\x1b]*", terminal.shown)
            assert max(map(len, drawn)) <= 40
            last = screen(terminal.shown)
            assert "..." not in "".join(last)
            assert f"{server.url}: no policy came within 2.2 s" in "".join(last)
            assert "secret" not in terminal.shown


def test_messages_appear_above_the_line() -> None:
    """A message of the log does not run into the line, which is drawn again below it."""
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        terminal = Terminal([*COMMAND, "render-once", "-o", "-", server.url], 80)
        terminal.until("waiting up to 60 s for ")
        feed.send(event("error", {"message": "Tailscale API error: 500"}))
        terminal.until("Tailscale API error")
        feed.send(snapshot(hosts("a")))
        assert terminal.until_end() == 0
    lines = screen(terminal.shown)
    assert lines[:2] == ["WARNING: the worker reports an error: Tailscale API error: 500", "{"]
    assert "waiting" not in "".join(lines)


def test_typed_input_is_not_written_over() -> None:
    """While a person types a policy, nothing is drawn into it."""
    terminal = Terminal([*COMMAND, "render-once", "-", "--timeout", "1.2"], 80)
    assert terminal.until_end() == 3
    assert "\x1b[2K" not in terminal.shown
