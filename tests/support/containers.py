"""What would run in the all-in-one image, run on this machine: its entry script and template."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from local import find_traefik, free_ports, until
from support.access_files import opening
from support.commands import tried
from support.traefik import Traefik

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "docker"
ENTRYPOINT = EXAMPLE / "entrypoint.py"
TEMPLATE = EXAMPLE / "traefik.yml.template"
PROGRAM = [sys.executable, "-I", str(ENTRYPOINT)]

PORTS = {"web": "HTTP_PORT", "websecure": "HTTPS_PORT", "tcp": "TCP_PORT"}


def first_process() -> list[str]:
    """Return what starts a command as the first process of a container; skip if that is barred."""
    return tried(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])


def confined(folder: Path) -> list[str]:
    """Return what starts a command as ``--read-only --cap-drop ALL`` and no-new-privileges do.

    One folder can be written to. Skip the test where the machine does not allow it.
    """
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"'
    nothing = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return tried(["unshare", "--mount", "sh", "-c", script, "sh", str(folder), *nothing])


def children_of(pid: int) -> dict[str, int]:
    """Return the processes that a process has started, by their commands."""
    numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {_command_of(int(number)): int(number) for number in numbers}


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:  # it has just ended
        return ""


class Container(Traefik):
    """The entry script with the real Traefik and watch, on ports of 127.0.0.1 and in one folder."""

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
        launcher: Sequence[str] = (),
        public: Sequence[str] = ("app.example.com",),
    ) -> None:
        """Take a folder for all files, the endpoint, more variables, and the names to open."""
        super().__init__(folder, folder / "routes # all" / "dynamic.yml", launcher)
        self.dynamic = self._dynamic
        self.dynamic.parent.mkdir(exist_ok=True)
        self.ports = dict(zip((*PORTS, "traefik"), free_ports(4), strict=True))
        self._command = [*launcher, *program]
        self.access = folder / "access.yml"
        self.access.write_text(opening(EXAMPLE / "access" / "access.yml", *public))
        self.environment = {
            **os.environ,
            "PATH": f"{self._programs()}:{os.environ['PATH']}",
            "TRAEFIK_CONFIG_API_ENDPOINT": endpoint,
            "TRAEFIK_DYNAMIC_CONFIG_FILE": str(self.dynamic),
            "TRAEFIK_ACCESS_FILE": str(self.access),
            "TRAEFIK_CONFIG_RETRY_DELAY_SECONDS": "0.2",
            "TRAEFIK_CONFIG_STATUS_FILE": str(folder / "run" / "status.json"),
            "TRAEFIK_STATIC_CONFIG_FILE": str(folder / "run" / "traefik.yml"),
            "TRAEFIK_STATIC_CONFIG_TEMPLATE": str(self._loopback_template()),
            "DASHBOARD_ADDRESS": f"127.0.0.1:{self.ports['traefik']}",
            **{variable: str(self.ports[name]) for name, variable in PORTS.items()},
            **(environment or {}),
        }

    def _programs(self) -> Path:
        """Make the folder that stands first on the PATH, as /usr/local/bin does in the image."""
        folder = self._folder / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "traefik").symlink_to(find_traefik())
        scripts = Path(sysconfig.get_path("scripts"))
        (folder / "ctsdns-traefik").symlink_to(scripts / "ctsdns-traefik")
        return folder

    def _loopback_template(self) -> Path:
        """Copy the template, bound to 127.0.0.1 where a container's would be to all addresses."""
        copy = self._folder / "template"
        text = TEMPLATE.read_text()
        assert text.count('address: ":${') == 3
        copy.write_text(text.replace('address: ":${', 'address: "127.0.0.1:${'))
        return copy

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def until_up(self) -> None:
        """Wait until Traefik answers."""
        self.until(lambda: self.get("traefik", "localhost", "/api/version").status == 200)

    def until(self, condition: object) -> None:
        """Wait until a condition holds; complain with the log."""
        assert callable(condition)
        try:
            until(condition, "not what was waited for")
        except TimeoutError as why:
            raise AssertionError(f"{why}; the log:\n{self.log}") from None

    @property
    def log(self) -> str:
        """Everything that the container has logged so far."""
        return self._log.read_text()

    def pid(self) -> int:
        """Return the entry script's own number, also if a launcher started it."""
        number = self.process.pid
        if not _command_of(number).startswith("unshare "):
            return number
        return next(iter(children_of(number).values()))

    def child(self, name: str) -> int:
        """Return the number of "watch" or of "traefik", once it runs."""
        sought = {"watch": "ctsdns-traefik watch", "traefik": "traefik --configFile"}[name]

        def found() -> list[int]:
            children = children_of(self.pid()).items()
            return [pid for cmd, pid in children if sought in cmd and "--check" not in cmd]

        (number,) = until(found, f"no {name}")
        return number

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal to the first process; return the status that the container ends with."""
        os.kill(self.pid(), signum)
        return self.process.wait(timeout=60)
