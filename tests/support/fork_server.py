"""Start a Python module in a fork of this process, which has imported the package already.

    python fork_server.py SOCKET_FD

A request on the socket holds a module's name, arguments, an environment, a working directory and
the descriptors of the standard streams and of a pipe. The pipe gets the process's id, and its exit
status when it has ended. The fork then is as ``python -m MODULE`` is, but for the time to start.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

LARGEST_REQUEST = 1 << 20


def main() -> None:
    """Import what all commands need, serve requests, and become the module that one names."""
    import_everything()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of memory
    control = socket.socket(fileno=int(sys.argv[1]))
    request = Server(control).wait_for_fork()
    become(request)
    os._exit(run_module(request["module"]))


def run_module(name: str) -> int:
    """Run a module and all that is left to its end but the clearing of memory, which takes long."""
    status: object = 1
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            status = 120
    assert isinstance(status, int)
    return status


def import_everything() -> None:
    """Import the package's modules and what they import when they are used."""
    import ctsdns_traefik  # noqa: PLC0415

    folder = Path(ctsdns_traefik.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        if path.name != "__main__.py":
            parts = path.relative_to(folder.parent).with_suffix("").parts
            __import__(".".join(part for part in parts if part != "__init__"))
    for name in ("click.shell_completion", "rich.console", "encodings.idna", "ruamel.yaml"):
        __import__(name)


class Server:
    """Forks at each request, and reports the end of each fork."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._pipes: dict[int, int] = {}
        self._wakeup, wakes = socket.socketpair()
        self._wakes = wakes
        wakes.setblocking(False)
        self._wakeup.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)

    def wait_for_fork(self) -> dict[str, Any]:
        """Serve until the socket is closed; return in a fork alone, with its request."""
        while True:
            ready, _, _ = select.select([self._control, self._wakeup], [], [])
            if self._wakeup in ready:
                self._wakeup.recv(4096)
                self._report_ends()
            if self._control in ready:
                request = self._fork()
                if request is not None:
                    return request

    def _fork(self) -> dict[str, Any] | None:
        message, descriptors, _, _ = socket.recv_fds(self._control, LARGEST_REQUEST, 4)
        if not message:
            sys.exit()
        *streams, pipe = descriptors
        pid = os.fork()
        if not pid:
            self._leave(pipe)
            for number, descriptor in enumerate(streams):
                os.dup2(descriptor, number)
            for descriptor in set(streams) - {0, 1, 2}:
                os.close(descriptor)
            request: dict[str, Any] = json.loads(message)
            return request
        for descriptor in streams:
            os.close(descriptor)
        os.write(pipe, b"%d\n" % pid)
        self._pipes[pid] = pipe
        return None

    def _leave(self, pipe: int) -> None:
        """Give up, in a fork, what is the server's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self._control, self._wakeup, self._wakes):
            each.close()
        for descriptor in (pipe, *self._pipes.values()):
            os.close(descriptor)

    def _report_ends(self) -> None:
        while self._pipes:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            pipe = self._pipes.pop(pid)
            with open(pipe, "wb") as file:  # noqa: PTH123
                file.write(b"%d\n" % os.waitstatus_to_exitcode(status))


def become(request: dict[str, Any]) -> None:
    """Take on the environment, folder, arguments and streams that a new process would have."""
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["cwd"])
    sys.argv = [request["module"], *request["arguments"]]
    sys.path[0] = request["cwd"]
    outward = sys.stdout.encoding
    sys.stdin = open(0, encoding=outward, errors=sys.stdin.errors)  # noqa: PTH123, SIM115
    sys.stdout = open(1, "w", encoding=outward, errors=sys.stdout.errors)  # noqa: PTH123, SIM115
    sys.stderr = open(  # noqa: PTH123, SIM115
        2, "w", buffering=1, encoding=outward, errors="backslashreplace"
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


if __name__ == "__main__":
    main()
