"""What the units of the examples start, run for real, shut in as systemd would."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from stand_in_tailscale import CLIENT_ID, CLIENT_SECRET, StandInTailscale
from support.access_files import opening
from support.commands import Watch
from support.paths import ROOT, TESTS
from support.units import PREFIX, Unit, environment_file
from support.worker import StandInWorker

EXAMPLE = ROOT / "examples" / "systemd"
WATCH = Unit(EXAMPLE / "ctsdns-traefik.service")
RENDER = Unit(EXAMPLE / "ctsdns-traefik-render.service")
CONFINED = TESTS / "support" / "confined.py"

APP = '"_websecure_http_3000._tcp.app.example.com": "100.64.0.1"'
WIKI = '"_websecure_http_3001._tcp.wiki.example.com": "100.64.0.1"'

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("systemd-analyze", "setpriv"))),
    reason="Debian's packages systemd and util-linux are not installed",
)


class Machine:
    """A folder that stands for the machine's own: the state, the status, the secret."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls.json"
        self._places = {PREFIX: sysconfig.get_path("scripts")}
        for place, name in (
            ("/var/lib/ctsdns-traefik", "state"),
            ("/run/ctsdns-traefik", "run"),
            ("/etc/ctsdns-traefik", "etc"),
            ("%d", "credentials"),
        ):
            (folder / name).mkdir()
            self._places[place] = str(folder / name)
        access = opening(EXAMPLE / "access.yml", "app.example.com")
        (folder / "etc" / "access.yml").write_text(access)
        self.state = folder / "state"
        self.credentials = folder / "credentials"
        self.output = self.state / "dynamic.yml"

    def placed(self, text: str) -> str:
        """Return a text with the machine's paths replaced by those of the folder."""
        for place, there in self._places.items():
            text = text.replace(place, there)
        return text

    def environment(self, unit: Unit, endpoint: str) -> dict[str, str]:
        """Return the environment of a unit: the settings with another endpoint and client."""
        assert unit.value("EnvironmentFile") == "/etc/ctsdns-traefik/settings.env"
        settings = environment_file(EXAMPLE / "settings.env")
        assert settings["TRAEFIK_CONFIG_API_ENDPOINT"] == "tailscale:"
        assert settings["TAILSCALE_OAUTH_CLIENT_ID"] == "CHANGE-ME"
        assert settings["TRAEFIK_ACCESS_FILE"] == "/etc/ctsdns-traefik/access.yml"
        settings["TRAEFIK_CONFIG_API_ENDPOINT"] = endpoint
        settings["TAILSCALE_OAUTH_CLIENT_ID"] = CLIENT_ID
        settings["TRAEFIK_ACCESS_FILE"] = self.placed(settings["TRAEFIK_ACCESS_FILE"])
        return {**unit.environment(self._places), **settings}

    def command(self, unit: Unit, key: str = "ExecStart") -> list[str]:
        """Return what starts a unit's command without privileges, with its system calls alone."""
        families = unit.value("RestrictAddressFamilies").split()
        rules = {"calls": sorted(unit.allowed_calls()), "families": families}
        self._calls.write_text(json.dumps(rules))
        umask = ["sh", "-c", 'umask "$0" && exec "$@"', unit.value("UMask")]
        without = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
        if not _may_drop():
            without = without[:2]
        confined = [sys.executable, str(CONFINED), str(self._calls)]
        return [*umask, *without, *confined, *unit.command(self._places, key)]


def _may_drop() -> bool:
    trial = ["setpriv", "--bounding-set=-all", "true"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


class Service(Watch):
    """The daemon as its unit starts it."""

    def __init__(self, machine: Machine, unit: Unit, endpoint: str, **more: str) -> None:
        environment = {**machine.environment(unit, endpoint), **more}
        super().__init__("", machine.output, environment=environment)
        self._log = machine.state.parent / "log"
        self._command = machine.command(unit)


class Manager:
    """The socket on which systemd receives messages from a service."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def until(self, beginning: str) -> str:
        """Wait for a message that begins so."""
        message = ""
        while not message.startswith(beginning):
            message = str(self._socket.recv(65536), "utf-8")
        return message


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Make a machine."""
    return Machine(tmp_path)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Write a policy with one entry."""
    path = tmp_path / "policy.hujson"
    path.write_text(f'{{"hosts": {{{APP}}}}}')
    return path


@pytest.fixture
def worker(policy: Path) -> Iterator[StandInWorker]:
    """Run a worker with that policy and a snapshot at every fifth of a second."""
    with StandInWorker(policy, 0.2) as worker:
        yield worker


def test_daemon_lives_within_its_bounds(
    machine: Machine, worker: StandInWorker, policy: Path
) -> None:
    """Shut in as the unit says, it follows the worker, replaces the file, and obeys a reload."""
    with Service(machine, WATCH, worker.endpoint) as service:
        service.until_content("app.example.com")
        new = policy.with_suffix(".new")
        new.write_text(f'{{"hosts": {{{APP}, {WIKI}}}}}')
        new.replace(policy)  # the worker reads it at any time
        service.until_content("wiki.example.com")
        reload = WATCH.value("ExecReload").replace("$MAINPID", str(service.process.pid)).split()
        subprocess.run(reload, check=True, timeout=60)
        service.until_logged("INFO connected to", times=2)
        assert service.stop() == 0
    assert [line for line in service.lines if not line.startswith("INFO")] == []
    assert [path.name for path in machine.state.iterdir()] == ["dynamic.yml"]


def test_check_before_the_start(machine: Machine) -> None:
    """Shut in as well, the check asks nobody and writes nothing, and no result stops the start."""
    assert WATCH.value("ExecStartPre").startswith("-/")
    command = machine.command(WATCH, "ExecStartPre")
    environment = {**os.environ, **machine.environment(WATCH, "http://127.0.0.1:1/")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"ok access file: {environment['TRAEFIK_ACCESS_FILE']} can be used",
        "ok source: http://127.0.0.1:1/ was not asked (--offline)",
        f"ok output: {machine.output} does not exist yet, and can be created",
    ]
    assert [*machine.state.iterdir()] == []


def test_others_can_read_the_file(machine: Machine, worker: StandInWorker) -> None:
    """Traefik, which runs as another user, can read the file, whatever the umask."""
    with Service(machine, WATCH, worker.endpoint) as service:
        service.until_content("app.example.com")
    assert machine.output.stat().st_mode & 0o777 == 0o644
    assert (WATCH.value("StateDirectoryMode"), WATCH.value("UMask")) == ("0755", "0077")


def test_it_is_ready_without_a_worker(machine: Machine) -> None:
    """Without a worker the file is created all the same, so Traefik does not wait for one."""
    with Service(machine, WATCH, "http://127.0.0.1:1/api/config") as service:
        service.until_logged("retrying in")
        assert service.content == "{}\n"


def test_it_reports_to_systemd(machine: Machine, worker: StandInWorker, tmp_path: Path) -> None:
    """Shut in, it says when it is ready (the file is there), lives, begins anew, and stops."""
    with Manager(tmp_path / "notify") as manager:
        reported = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
        with Service(machine, WATCH, worker.endpoint, **reported) as service:
            manager.until("READY=1")
            assert machine.output.exists()
            for beginning in ("STATUS=", "WATCHDOG=1"):
                manager.until(beginning)
            service.process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in manager.until("RELOADING=1")
            manager.until("READY=1")
            service.process.send_signal(signal.SIGTERM)
            manager.until("STOPPING=1")


def test_command_for_its_health(machine: Machine, worker: StandInWorker) -> None:
    """The README's command distinguishes a fresh daemon from none, and any user may ask."""
    readme = (EXAMPLE / "README.md").read_text()
    (command,) = re.findall(r"`(?:sudo )?(/opt/\S+ watch --health .*?)`", readme)
    asked = machine.placed(command).split()

    def healthy() -> bool:
        done = subprocess.run(asked, capture_output=True, timeout=60, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode == 0

    assert not healthy()
    with Service(machine, WATCH, worker.endpoint) as service:
        service.until(healthy, "unhealthy")
    assert (machine.state.parent / "run" / "status.json").stat().st_mode & 0o777 == 0o644


def test_secret_is_the_credential(machine: Machine, policy: Path) -> None:
    """With the drop-in, the secret that systemd hands over reads the policy from the API."""
    (machine.credentials / "secret").write_text(f"{CLIENT_SECRET}\n")
    unit = Unit(EXAMPLE / "ctsdns-traefik.service", EXAMPLE / "secret.conf")
    assert unit.value("LoadCredential") == "secret:/etc/ctsdns-traefik/secret"
    with StandInTailscale(policy) as api:
        base = {"TAILSCALE_BASE_URL": api.url}
        with Service(machine, unit, "tailscale:", **base) as service:
            service.until_content("app.example.com")


def test_command_before_the_first_start(machine: Machine, policy: Path) -> None:
    """The README's test reads the settings as systemd does, with headers in two lines, too."""
    readme = (EXAMPLE / "README.md").read_text()
    (script,) = re.findall(r"^    sudo sh -c '(set -a; .*?)'$", readme, re.DOTALL | re.MULTILINE)
    (headers,) = re.findall(r"^    (\w+_HEADERS='.*?')$", readme, re.DOTALL | re.MULTILINE)
    source = (EXAMPLE / "settings.env").read_text().replace("=tailscale:", f"={policy}")
    settings = machine.state.parent / "etc" / "settings.env"
    settings.write_text(machine.placed(f"{source}\n{headers}\n"))
    command = ["sh", "-c", machine.placed(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "app.example.com" in done.stdout) == (0, True), done.stderr


def test_unusable_settings_end_it(machine: Machine) -> None:
    """Settings that cannot be used end it with the status after which systemd does not retry."""
    with Service(machine, WATCH, "tailscale:") as service:  # without the drop-in for the secret
        status = service.process.wait(timeout=60)
    assert str(status) == WATCH.value("RestartPreventExitStatus")


def render(machine: Machine, endpoint: str) -> subprocess.CompletedProcess[str]:
    """Run the service of the timer once."""
    return subprocess.run(
        machine.command(RENDER),
        env=machine.environment(RENDER, endpoint),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_timer_renders(machine: Machine, worker: StandInWorker) -> None:
    """Shut in as its unit says, what the timer starts writes the file; a failure leaves it."""
    done = render(machine, worker.endpoint)
    assert (done.returncode, "app.example.com" in machine.output.read_text()) == (0, True)
    kept = machine.output.read_bytes()
    failed = render(machine, "http://127.0.0.1:1/api/config")
    assert (failed.returncode, machine.output.read_bytes()) == (3, kept)
    assert machine.output.stat().st_mode & 0o777 == 0o644


def test_bounds_are_bounds(machine: Machine) -> None:
    """What the unit does not allow fails: other families of sockets, other system calls."""
    script = """
import os, socket
for family in map(socket.AddressFamily, (*range(1, 3), socket.AF_INET6, socket.AF_NETLINK)):
    try:
        socket.socket(family, socket.SOCK_DGRAM).close()
        print(family.name)
    except OSError:
        pass
try:
    os.sched_setaffinity(0, os.sched_getaffinity(0))
except PermissionError:
    print("not permitted")
"""
    (*confined, _program, _watch) = machine.command(WATCH)
    command = [*confined, sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert set(done.stdout.split("\n")) == {
        *WATCH.value("RestrictAddressFamilies").split(),
        *("not permitted", ""),
    }
