"""The status file of a real watch, and a socket like the service manager's."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from support.commands import Watch

from ctsdns_traefik.core.dynamic.diff import Changes
from ctsdns_traefik.core.dynamic.served import RouterError, Verdict
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.status.status import (
    AccessFile,
    Counters,
    ErrorRecord,
    Hook,
    MachineCheck,
    PendingRemoval,
    Role,
    State,
    Status,
    TraefikAnswer,
    WriterLease,
)
from ctsdns_traefik.daemon.events import Connected, SnapshotApplied, SnapshotTrusted

SCHEMA = json.loads(
    resources.files("ctsdns_traefik").joinpath("schemas/status.schema.json").read_text()
)
VALIDATOR = Draft202012Validator(SCHEMA)

QUICK = """
import sys, time
from ctsdns_traefik.daemon import events
from ctsdns_traefik.daemon import reconciler
from ctsdns_traefik.daemon import status_reporter
from ctsdns_traefik.cli import main
status_reporter.BEAT, status_reporter.MARGIN, events.LONGEST_STEP = 0.1, 0.3, 0.3
{}
sys.exit(main(sys.argv[1:]))
"""
"""watch with a quick pulse, and something done to it."""

HANGING = """
def hang(self, hosts):
    while True:
        time.sleep(1)
reconciler.Reconciler.reconcile = hang
"""

SILENT = 1.5
"""Seconds, fifteen times the quick pulse; nobody silent for so long has one."""


AT = 1_795_266_309.25
CONNECTED, TRUSTED, APPLIED = Connected("http://h/"), SnapshotTrusted(), SnapshotApplied()
REMOVAL = Changes((), (), ("router-a", "router-b", "router-c"), before=4)
REFUSED = Diagnostic("bad-port", "_web_http_x._tcp.a.example.com", "no port", "write one", (10, 11))


UNKNOWN = Diagnostic("unknown-machine", "_web_http_1._tcp.b.example.com", "none", "fix", (0, 1))


def of_entries(number: int, diagnostic: Diagnostic) -> tuple[Diagnostic, ...]:
    """Return one diagnostic for so many entries."""
    return tuple(diagnostic._replace(address=f"{each}") for each in range(number))


FULL = Status(
    version="1.2.3",
    pid=7,
    started=AT - 100,
    endpoint="https://worker.example.com/api/config",
    output="/etc/traefik/dynamic.yml",
    state=State.CONNECTED,
    connected_since=AT - 90,
    poll_interval=30.0,
    last_event=AT - 1,
    last_snapshot=AT - 2,
    last_applied=AT - 32,
    last_write=AT - 60,
    routes={"tcp": 1, "web": 3},
    refused=of_entries(102, REFUSED),
    consecutive_failures=2,
    last_error=ErrorRecord(AT - 3, "untrusted", "not\nJSON \udcff", "untrusted-policy"),
    output_error=ErrorRecord(AT - 4, "output-error", "disk full"),
    pending_removal=PendingRemoval(AT - 2, REMOVAL.removed, 4),
    hook=Hook(AT - 58, ErrorRecord(AT - 58, "hook-failed", "sh exited with status 1")),
    traefik=TraefikAnswer(
        AT - 57, Verdict(5, ("router-a",), ("router-z",), (RouterError("router-b", "no"),) * 2)
    ),
    access=AccessFile(
        "/etc/traefik/access.yml", AT - 80, pending=ErrorRecord(AT - 5, "access-pending", "no")
    ),
    machines=MachineCheck(
        AT - 6, of_entries(102, UNKNOWN), ErrorRecord(AT - 5, "machines-error", "no")
    ),
    lease=WriterLease(Role.STANDBY, AT - 70, "pid 12 on web-1"),
    counters=Counters(1, 2, 3, 4, 5, 6, 7),
)


def read_status(path: Path) -> dict[str, Any]:
    """Return what a status file says, once it fits the schema that the package brings."""
    status: dict[str, Any] = json.loads(path.read_text())
    VALIDATOR.validate(status)
    return status


def until_status(watch: Watch, path: Path, **wanted: object) -> dict[str, Any]:
    """Wait until the status file of a watch says some things; return all that it says."""
    found: dict[str, Any] = {}

    def says() -> bool:
        if path.exists():
            found.update(read_status(path))
        return bool(found) and all(found[name] == value for name, value in wanted.items())

    watch.until(says, f"the status never was {wanted}")
    return found


class Manager:
    """A socket that a watch reports to."""

    def __init__(self, listener: socket.socket, address: str) -> None:
        self._listener = listener
        self.address = address
        self.heard: list[str] = []
        """Every line so far."""

    def until(self, watch: Watch, line: str, times: int = 1) -> None:
        """Wait until a line that starts so has come some times."""
        watch.until(lambda: self.count(line) >= times, f"{line} did not come: {self.heard}")

    def drain(self) -> None:
        """Take in what has come."""
        try:
            while True:
                self.heard += self._listener.recv(65536).decode().split("\n")
        except BlockingIOError:
            return

    def count(self, line: str) -> int:
        """Return how many lines have come that start so."""
        self.drain()
        return sum(each.startswith(line) for each in self.heard)


@contextmanager
def managing(address: str) -> Iterator[Manager]:
    """Listen at an address, a path or an abstract one with ``@`` in front."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setblocking(False)
        listener.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield Manager(listener, address)
