"""Run ctsdns-traefik and Traefik in one container, as its first process.

    python entrypoint.py [COMMAND ...]

The settings are environment variables, listed in README.md beside this file. ``watch --check``
runs first, then ``watch``, and Traefik once there is a dynamic file. When one of the two ends, the
other is stopped, and this ends with the status of the one that ended by itself: 128 and its number
for a signal. SIGTERM stops both with status 0, SIGINT with 130; SIGHUP is passed on to both.
Settings in error end it with 2 before anything starts, a static file that cannot be written with 4.

With arguments it is ``ctsdns-traefik`` with these arguments, and runs neither.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ENDPOINT = "TRAEFIK_CONFIG_API_ENDPOINT"
DYNAMIC_FILE = "TRAEFIK_DYNAMIC_CONFIG_FILE"
STATIC_FILE = "TRAEFIK_STATIC_CONFIG_FILE"
TEMPLATE = "TRAEFIK_STATIC_CONFIG_TEMPLATE"
DASHBOARD = "DASHBOARD_ADDRESS"
PORTS = {"HTTP_PORT": 80, "HTTPS_PORT": 443, "TCP_PORT": 4433}

HIGHEST_PORT = 65535
BAD_SETTINGS, CANNOT_WRITE, NOT_FOUND = 2, 4, 127
STOPS = {signal.SIGTERM: 0, signal.SIGINT: 130}
"""The signals that end the container, and the status it then ends with."""
HEEDED = {*STOPS, signal.SIGHUP, signal.SIGCHLD}
CHECK = "check"
"""The name of the program that may end while the others go on."""

CHECKING = 10.0
"""Seconds after which nothing waits for it any more."""

GRACE = 8.0
"""Seconds in which both have to stop; after 10 the container engine would kill everything."""


class DiagnosticError(Exception):
    """Something that keeps the container from starting: one line, and the status to end with."""

    def __init__(self, message: str, status: int = BAD_SETTINGS) -> None:
        """Take both."""
        super().__init__(message)
        self.status = status


class Settings(NamedTuple):
    """What the environment says."""

    dynamic: Path
    static: Path
    template: Path
    values: dict[str, str]
    """What stands for each ``${NAME}`` of the template."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings; raise :class:`DiagnosticError` for the first that is missing or wrong.

    What watch alone uses is checked by watch, which ends with 2 as well.
    """
    if not environment.get(ENDPOINT, "").strip():
        raise DiagnosticError(f"{ENDPOINT} is not set; set it to tailscale: or another source")
    dynamic = Path(environment.get(DYNAMIC_FILE) or "/etc/traefik/dynamic.yml")
    if dynamic.suffix.lower() not in {".yml", ".yaml"}:
        raise DiagnosticError(
            f"{DYNAMIC_FILE}={dynamic}: Traefik reads no file that does not end in .yml"
        )
    ports = {name: _port(name, environment.get(name) or str(by)) for name, by in PORTS.items()}
    dashboard = environment.get(DASHBOARD) or ":8080"
    address = re.fullmatch(r"(?:[0-9.]*|\[[0-9A-Fa-f:.]+\]):([0-9]+)", dashboard)
    if not address:
        raise DiagnosticError(
            f"{DASHBOARD}={dashboard} is no address such as :8080 or 127.0.0.1:8080"
        )
    listening = {**ports, DASHBOARD: _port(DASHBOARD, address[1])}
    for one, other in itertools.combinations(listening, 2):
        if listening[one] == listening[other]:
            raise DiagnosticError(
                f"{one} and {other} both use port {listening[one]}; each needs its own"
            )
    return Settings(
        dynamic=dynamic,
        static=Path(environment.get(STATIC_FILE) or "/run/ctsdns-traefik/traefik.yml"),
        template=Path(
            environment.get(TEMPLATE) or "/usr/local/share/ctsdns-traefik/traefik.yml.template"
        ),
        values={**ports, DASHBOARD: dashboard, DYNAMIC_FILE: json.dumps(str(dynamic))},
    )


def _port(name: str, text: str) -> str:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= HIGHEST_PORT:
        raise DiagnosticError(
            f"{name}={text} is no port; it must be a number from 1 to {HIGHEST_PORT}"
        )
    return str(int(text))


def write_static(settings: Settings) -> None:
    """Write Traefik's static configuration: the template with its ``${NAME}`` filled in."""
    try:
        text = settings.template.read_text(encoding="utf-8")
    except (OSError, ValueError) as why:
        raise DiagnosticError(f"{TEMPLATE}={settings.template} cannot be read: {why}") from why
    for name, value in settings.values.items():
        text = text.replace(f"${{{name}}}", value)
    try:
        settings.static.parent.mkdir(parents=True, exist_ok=True)
        settings.static.write_text(text, encoding="utf-8")
    except OSError as why:
        message = f"cannot write {settings.static}: {why.strerror}; it may need a tmpfs there"
        raise DiagnosticError(message, CANNOT_WRITE) from why


def environment_of_traefik(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what is meant for watch, secrets among it.

    Traefik would take each variable that begins with TRAEFIK_, in either case, for a setting.
    """
    mine = ("TRAEFIK_", "CTSDNS_", "TAILSCALE_")
    return {name: value for name, value in environment.items() if not name.upper().startswith(mine)}


class Supervisor:
    """The processes of the container. Signals in ``HEEDED`` must be blocked."""

    def __init__(self) -> None:
        """Begin with none."""
        self.status: int | None = None
        """What to end with; ``None`` while everything is to go on."""
        self._running: dict[int, str] = {}
        self._groups: list[int] = []

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start a program in a process group of its own, so that a Ctrl-C comes by here alone."""
        try:
            pid = os.posix_spawnp(
                command[0],
                command,
                environment,
                setpgroup=0,
                setsigmask=[],
                setsigdef=[*HEEDED, signal.SIGPIPE, signal.SIGQUIT],
            )
        except OSError as why:
            say(f"cannot start {command[0]}: {why.strerror}")
            self.status = NOT_FOUND
            return
        self._running[pid] = name
        self._groups.append(pid)

    def runs(self, name: str) -> bool:
        """Return whether a program has not ended."""
        return name in self._running.values()

    def wait(self, seconds: float) -> None:
        """Wait for a signal, at most for some seconds, and act on it."""
        received = signal.sigtimedwait(HEEDED, seconds)
        if received and received.si_signo == signal.SIGHUP:
            self._send(signal.SIGHUP)
        elif received and received.si_signo in STOPS and self.status is None:
            self.status = STOPS[signal.Signals(received.si_signo)]
        self._reap()

    def stop(self) -> None:
        """Stop everything that still runs: gracefully, and after ``GRACE`` seconds by force."""
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self._running and (left := deadline - time.monotonic()) > 0:
            self.wait(left)
        for name in self._running.values():
            say(f"{name} did not stop within {GRACE:g} s; killing it")
        for group in self._groups:  # with what it may have started and left behind
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        for pid in self._running:
            os.waitpid(pid, 0)

    def _send(self, signum: signal.Signals) -> None:
        for pid in self._running:
            os.kill(pid, signum)

    def _reap(self) -> None:
        """Collect the processes that have ended; a container's first process inherits orphans."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                name = self._running.pop(ended[0], None)
                if name == CHECK:
                    self._groups.remove(ended[0])  # the number may be another's by the end
                elif name and self.status is None:
                    code = os.waitstatus_to_exitcode(ended[1])
                    self.status = code if code >= 0 else 128 - code
                    say(f"{name} ended with {self.status}; so does the container")


def run(settings: Settings, environment: Mapping[str, str]) -> int:
    """Run both until one ends or a signal asks to stop; return the status to end with."""
    both = Supervisor()
    # What it finds is in the log. It keeps nothing from starting: watch itself ends for settings
    # and outputs that it cannot use, and waits for all else with the last routes live.
    static = f"--static-config={settings.static}"
    check = ["ctsdns-traefik", "watch", "--check", "--offline", static]
    both.start(CHECK, check, environment)
    deadline = time.monotonic() + CHECKING
    while both.status is None and both.runs(CHECK) and (left := deadline - time.monotonic()) > 0:
        both.wait(left)
    both.start("watch", ["ctsdns-traefik", "watch"], environment)
    # Traefik's file provider does not start without its file, which watch creates if it is missing.
    while both.status is None and not settings.dynamic.exists():
        both.wait(0.05)
    if both.status is None:
        traefik = ["traefik", f"--configFile={settings.static}"]
        both.start("traefik", traefik, environment_of_traefik(environment))
    while both.status is None:
        both.wait(3600)
    both.stop()
    return both.status


def say(message: str) -> None:
    """Say one line, as watch does, on standard error."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    print(f"{now} ERROR entrypoint: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Check the settings and run both; return the exit status."""
    if sys.argv[1:]:
        os.execvp("ctsdns-traefik", ["ctsdns-traefik", *sys.argv[1:]])
    for signum in HEEDED:  # a signal that was ignored at the start would be lost even if blocked
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
    try:
        settings = read_settings(os.environ)
        write_static(settings)
    except DiagnosticError as why:
        say(str(why))
        return why.status
    # Both get the same file, also where the variable is set but empty.
    environment = {**os.environ, DYNAMIC_FILE: str(settings.dynamic)}
    return run(settings, environment)


if __name__ == "__main__":
    sys.exit(main())
