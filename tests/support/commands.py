"""The command under test, as a real process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from local import PATIENCE, until
from support import processes

COMMAND = [sys.executable, "-m", "ctsdns_traefik"]

PATIENT = """
import sys
from ctsdns_traefik import signals
from ctsdns_traefik.cli import main
signals.PATIENCE = 5.0
sys.exit(main(sys.argv[1:]))
"""
"""The same, but for seconds in which a stop has to end it before it is ended by force: on a busy
machine it may need more than usual, and less than what it might wait for."""

LINELESS = """
import sys
from ctsdns_traefik.cli import main
from ctsdns_traefik.cli.report import progress
progress.AFTER = 60.0
sys.exit(main(sys.argv[1:]))
"""
"""The same, but for the line of progress, which comes after a minute and not after a second: on a
busy machine everything takes a second."""

UNCHECKED = "; entrypoints were not checked (no --static-config or --entrypoint)"
"""How the summary of validate ends where it does not know which entrypoints Traefik has."""


def run(
    *arguments: str | Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    **attributes: Any,
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end and return what it reported."""
    done = processes.run(
        [*COMMAND, *map(str, arguments)],
        stdin=stdin,
        environment={**os.environ, **(environment or {})},
        **attributes,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def bind_mounting(source: Path, target: Path) -> list[str]:
    """Return what starts a command that finds one file in the place of another, mounted on its own.

    The mount is the command's alone. Skip the test where the machine does not allow it.
    """
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    return tried(["unshare", "-m", "sh", "-c", script, "sh", str(source), str(target)])


def tried(launcher: list[str], command: Sequence[str] = ("true",)) -> list[str]:
    """Return a launcher, or skip the test where it cannot start a command."""
    try:
        done = subprocess.run([*launcher, *command], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip(f"there is no {launcher[0]} on this machine")
    if done.returncode:
        pytest.skip(f"this machine does not allow {launcher[0]}: {done.stderr.decode().strip()}")
    return launcher


class Watch:
    """``ctsdns-traefik watch`` as a process; a context manager that ends it."""

    def __init__(
        self,
        endpoint: str,
        output: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-c", PATIENT),
    ) -> None:
        self.output = output
        self._log = output.parent / f"{output.name}.watch-log"
        self._command = [*launcher, *program, "watch", "--endpoint", endpoint, "-o", str(output)]
        self._command += ["--retry-delay", "0.2", *arguments]
        self._environment = {**os.environ, **(environment or {})}

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = processes.start(
                self._command,
                environment=self._environment,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """Everything it has logged so far."""
        return self._log.read_text()

    @property
    def lines(self) -> list[str]:
        """The lines that it has logged so far, without their dates."""
        return [line.partition(" ")[2] for line in self.log.split("\n")[:-1]]

    @property
    def content(self) -> str:
        """What the file holds now."""
        return self.output.read_text()

    def until_logged(self, pattern: str, times: int = 1) -> None:
        """Wait until a pattern has been logged some times."""
        self.until(
            lambda: len(re.findall(pattern, self.log)) >= times, f"no {pattern!r} in the log"
        )

    def until_content(self, part: str) -> None:
        """Wait until the file holds a text."""
        self.until(
            lambda: self.output.exists() and part in self.content, f"no {part!r} in the file"
        )

    def until(self, condition: Any, complaint: str, within: float = PATIENCE) -> None:
        """Wait until a condition holds; complain with the log."""
        try:
            until(condition, complaint, within)
        except TimeoutError as why:
            raise AssertionError(f"{why}; the log:\n{self.log}") from None

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(signum)
        return self.process.wait(timeout=PATIENCE)


class BareWatch(Watch):
    """The same with no options at all: what it has to know is in the environment."""

    def __init__(self, output: Path, environment: Mapping[str, str], *arguments: str) -> None:
        super().__init__("", output, environment=environment)
        self._command = [*COMMAND, "watch", *arguments]
