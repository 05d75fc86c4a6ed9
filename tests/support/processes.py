"""The package's programs as processes, forked from a server that has imported them."""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

SERVER = Path(__file__).with_name("fork_server.py")


class Process(Protocol):
    """What a test needs of a process, be it a fork or not."""

    args: Any
    pid: int
    returncode: Any

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...
    def terminate(self) -> None: ...


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any],
    stderr: int | IO[Any],
) -> Process:
    """Start a command; a module or code of this Python is forked where that is the same."""
    if not can_fork(command, environment):
        return subprocess.Popen(command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr)
    with open(os.devnull, "r+b") as null:  # noqa: PTH123
        streams = [null if each == subprocess.DEVNULL else each for each in (stdin, stdout, stderr)]
        numbers = [each if isinstance(each, int) else each.fileno() for each in streams]
        return Fork(command, environment, os.getcwd(), numbers)  # noqa: PTH109


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: bytes = b"",
    timeout: float = 60,
    **attributes: Any,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; only a module without attributes of a process is forked."""
    if attributes.keys() - {"cwd"} or command[1] != "-m" or not can_fork(command, environment):
        return subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            env=environment,
            timeout=timeout,
            check=False,
            **attributes,
        )
    return _run_fork(command, environment, str(attributes.get("cwd", ".")), stdin, timeout)


def can_fork(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a fork is the same as a new process, whose start the environment can alter."""
    return (
        sys.platform == "linux"
        and command[0] == sys.executable
        and command[1] in ("-m", "-c")
        and _at_start(environment) == _fork_server()[1]
    )


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    prefixes = ("PYTHON", "LC_", "LANG", "LD_", "COVERAGE", "MALLOC_", "OPENSSL_")
    return {name: value for name, value in environment.items() if name.startswith(prefixes)}


@functools.cache
def _fork_server() -> tuple[socket.socket, dict[str, str]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with theirs:
        command = [sys.executable, str(SERVER), str(theirs.fileno())]
        process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, process_group=0
        )

    def stop() -> None:
        ours.close()
        process.wait(timeout=10)

    atexit.register(stop)
    return ours, _at_start(os.environ)


class Fork:
    """A process that the fork server started."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: str,
        streams: Sequence[int],
    ) -> None:
        request = {
            "command": command[1:],
            "environment": dict(environment),
            "cwd": os.path.abspath(cwd),  # noqa: PTH100
        }
        self.args = list(command)
        self.returncode: int | None = None
        reader, writer = os.pipe()
        socket.send_fds(_fork_server()[0], [json.dumps(request).encode()], [*streams, writer])
        os.close(writer)
        self._reports = open(reader, "rb")  # noqa: PTH123, SIM115
        self.pid = int(self._reports.readline())

    def poll(self) -> int | None:
        """Return the exit status, if it has ended."""
        return self._until(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended."""
        status = self._until(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended, which is not reported yet
                os.kill(self.pid, sig)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _until(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._reports], [], [], timeout)[0]:
            self.returncode = int(self._reports.readline())
            self._reports.close()
        return self.returncode


def _run_fork(
    command: Sequence[str], environment: Mapping[str, str], cwd: str, stdin: bytes, timeout: float
) -> subprocess.CompletedProcess[bytes]:
    (given, feed), (out, printed), (err, complained) = os.pipe(), os.pipe(), os.pipe()
    process = Fork(command, environment, cwd, [given, printed, complained])
    for each in (given, printed, complained):
        os.close(each)
    texts: dict[int, bytes] = {}

    def read(descriptor: int) -> None:
        with open(descriptor, "rb") as file:
            texts[descriptor] = file.read()

    def write() -> None:
        with open(feed, "wb", buffering=0) as file:  # noqa: PTH123
            left = memoryview(stdin)
            try:
                while left:
                    left = left[file.write(left) :]
            except BrokenPipeError:
                pass

    threads = [threading.Thread(target=read, args=(each,), daemon=True) for each in (out, err)]
    threads.append(threading.Thread(target=write, daemon=True))
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    for thread in threads[:2]:
        thread.join(max(0.0, deadline - time.monotonic()))
    return subprocess.CompletedProcess(command, status, texts[out], texts[err])
