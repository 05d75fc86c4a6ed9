"""Completion of the command line in real shells: bash, and, if installed, zsh and fish."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

COMPLETED = [
    pytest.param("wat", "ch", id="command"),
    pytest.param("watch --no-rem", "oval-guard", id="option"),
    pytest.param("watch --format js", "on", id="choice"),
    pytest.param("watch pol", "icy.hujson", id="source"),
    pytest.param("watch -o pol", "icy.hujson", id="output"),
    pytest.param("validate pol", "icy.hujson", id="source-of-validate"),
    pytest.param("watch --access-file pol", "icy.hujson", id="file"),
]
"""What is typed after the program's name, and what the shell adds."""

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'"),
    "zsh": (["zsh", "-f", "-i"], "unsetopt zle_bracketed_paste; autoload -U compinit; compinit -D"),
}

WITHIN = 60.0


@contextmanager
def shell_on_terminal(name: str, folder: Path) -> Iterator[int]:
    """Run a shell with completion on a terminal, in a folder; give the terminal."""
    command, first = SHELLS[name]
    if not shutil.which(command[0]):
        pytest.skip(f"{name} is not installed")
    terminal, inner = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=folder,
        env=environment(),
        start_new_session=True,
    )
    os.close(inner)
    source = f'eval "$(_CTSDNS_TRAEFIK_COMPLETE={name}_source ctsdns-traefik)"'
    try:
        os.write(terminal, f"{first}; {source}; echo re''ady\n".encode())
        until_shown(terminal, r"ready\r\n.*prompt> ")  # what comes before the prompt is not edited
        yield terminal
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def environment() -> dict[str, str]:
    """Return an environment in which the installed script is found by its name."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb", "PS1": "prompt> "}


def until_shown(terminal: int, pattern: str) -> None:
    """Read what a terminal shows until it has a pattern."""
    shown, deadline = "", time.monotonic() + WITHIN
    while not re.search(pattern, shown, re.DOTALL):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            pytest.fail(f"no {pattern!r} in {shown!r}")
        shown += os.read(terminal, 65536).decode(errors="replace")


@pytest.mark.parametrize("name", list(SHELLS))
def test_tab_completes(name: str, tmp_path: Path) -> None:
    """The tabulator completes commands, options, choices and files, also where a URL may stand."""
    (tmp_path / "policy.hujson").write_text("{}")
    with shell_on_terminal(name, tmp_path) as terminal:
        for case in COMPLETED:
            typed, added = map(str, case.values)
            os.write(terminal, f"ctsdns-traefik {typed}\t".encode())
            until_shown(terminal, re.escape(f"{typed}{added}"))
            os.write(terminal, b"\x15")  # Ctrl-U: the line is dropped


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize(("typed", "added"), COMPLETED)
def test_fish_completes(typed: str, added: str, tmp_path: Path) -> None:
    """What fish offers for a command line has the word in question, and no sentence is cut."""
    (tmp_path / "policy.hujson").write_text("{}")
    script = (
        "_CTSDNS_TRAEFIK_COMPLETE=fish_source ctsdns-traefik | source;"
        f" complete -C 'ctsdns-traefik {typed}'"
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        cwd=tmp_path,
        env={**environment(), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    offered = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert typed.rpartition(" ")[2] + added in offered, (done.stdout, done.stderr)
    assert "..." not in done.stdout
