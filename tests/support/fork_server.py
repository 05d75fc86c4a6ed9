"""Start Python code in a fork of this process, which has imported the package already.

    python fork_server.py SOCKET_FD

A request on the socket holds ``-m`` and a module's name or ``-c`` and code, arguments, an
environment, a working directory, and the descriptors of the standard streams and of a pipe. The
pipe gets the process's id, and its exit status when it has ended. The fork is as a new Python is,
but for the time to start.
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
    """Import what all commands need, serve requests, and run what one of them names."""
    import_everything()
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all of memory
    control = socket.socket(fileno=int(sys.argv[1]))
    request = Server(control).wait_for_fork()
    become(request)
    os._exit(run(*request["command"][:2]))


def run(option: str, value: str) -> int:
    """Run a module or code to the end, all but the clearing of memory, which takes long."""
    status: object = 1
    try:
        if option == "-m":
            runpy.run_module(value, run_name="__main__", alter_sys=True)
        else:
            namespace = {"__name__": "__main__", "__builtins__": __builtins__}
            exec(compile(value, "<string>", "exec"), namespace)
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:  # noqa: BLE001
        sys.excepthook(*sys.exc_info())
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
    import ctsdns_traefik

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
    sys.argv = ["-c", *request["command"][2:]]
    sys.path[0] = request["cwd"]
    outward = sys.stdout.encoding
    sys.stdin = open(0, encoding=outward, errors=sys.stdin.errors)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=outward, errors=sys.stdout.errors)  # noqa: SIM115
    sys.stderr = open(  # noqa: SIM115
        2, "w", buffering=1, encoding=outward, errors="backslashreplace"
    )


if __name__ == "__main__":
    main()
