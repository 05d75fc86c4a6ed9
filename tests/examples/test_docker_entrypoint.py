"""The all-in-one image's entry script, run as it stands: real Traefik, real watch, real traffic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from local import free_ports, until
from support.backends import banner_backend, http_backend
from support.containers import (
    ENTRYPOINT,
    Container,
    children_of,
    confined,
    first_process,
)
from support.traefik import Answer, any_certificate
from support.worker import StandInWorker

from ctsdns_traefik.core.dynamic.rendering import render

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")

NOBODY = "http://127.0.0.1:9/api/config"
"""An endpoint that is down."""


def write_policy(folder: Path, hosts: dict[str, str]) -> Path:
    """Write a policy with some hosts; return its file."""
    policy = folder / "policy.hujson"
    policy.write_text(json.dumps({"hosts": hosts}))
    return policy


class Stage(NamedTuple):
    """A container that serves, and what leads through it."""

    container: Container
    banner: bytes


SECRETS = {
    "TRAEFIK_CONFIG_API_TOKEN": "secret",
    "TRAEFIK_CONFIG_API_HEADERS": "X-Key: secret",
    "TAILSCALE_OAUTH_CLIENT_SECRET": "secret",
    "traefik_log_level": "secret",
    "CF_DNS_API_TOKEN": "for ACME",
}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run a container with an entry of every kind, for the tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("container")
    with ExitStack() as stack:
        port = stack.enter_context(http_backend("app"))
        banner = stack.enter_context(banner_backend(b"ready"))
        hosts = {
            f"_web_http_{port}._tcp.plain.example.com": "127.0.0.1",
            f"_websecure_http_{port}._tcp.app.example.com": "127.0.0.1",
            f"_tcp_mysql_{banner}._tcp.db.example.com": "127.0.0.1",
            f"_web_http_{port}._tcp.closed.example.com": "127.0.0.1",
        }
        opened = ("plain.example.com", "app.example.com", "db.example.com")
        worker = stack.enter_context(StandInWorker(write_policy(folder, hosts), 0.1))
        container = stack.enter_context(Container(folder, worker.endpoint, SECRETS, public=opened))
        container.until(lambda: container.get("web", "plain.example.com") == Answer(200, "app"))
        yield Stage(container, b"ready")


def test_traffic_of_every_kind(stage: Stage) -> None:
    """Plain HTTP, HTTPS and TCP with TLS reach their backends through the three entrypoints."""
    container, tls = stage.container, any_certificate()
    assert container.get("web", "plain.example.com") == Answer(200, "app")
    assert container.get("websecure", "app.example.com", tls=tls) == Answer(200, "app")
    with container.connect_tls("tcp", "db.example.com", tls) as connection:
        assert connection.recv(4096) == stage.banner
    assert container.get("web", "other.example.com").status == 301
    assert container.get("web", "closed.example.com").status == 403
    assert container.get("traefik", "localhost", "/dashboard/").status == 200
    assert container.errors == []


def test_hangup_reaches_both(stage: Stage) -> None:
    """SIGHUP has watch connect again, and ends neither of the two."""
    container = stage.container
    before = container.log.count(" connected to ")
    both = [container.child("watch"), container.child("traefik")]
    os.kill(container.pid(), signal.SIGHUP)
    container.until(lambda: container.log.count(" connected to ") == before + 1)
    assert container.get("traefik", "localhost", "/api/version").status == 200
    assert both == [container.child("watch"), container.child("traefik")]


def test_traefik_gets_no_settings_of_watch(stage: Stage) -> None:
    """Traefik's environment has no variable that it would take for a setting, and no secret."""
    given = Path(f"/proc/{stage.container.child('traefik')}/environ").read_bytes()
    assert b"secret" not in given
    assert b"TRAEFIK_" not in given
    assert b"CF_DNS_API_TOKEN=for ACME" in given


def test_each_has_a_process_group_of_its_own(stage: Stage) -> None:
    """A Ctrl-C reaches the entry script alone, which then stops both as it stops them ever."""
    container = stage.container
    both = [container.child("watch"), container.child("traefik")]
    assert [os.getpgid(pid) for pid in both] == both


def test_endpoint_that_is_down_at_the_start(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik starts all the same, with no routes, and has them once the worker appears."""
    port = stack.enter_context(http_backend("app"))
    policy = write_policy(tmp_path, {f"_web_http_{port}._tcp.app.example.com": "127.0.0.1"})
    (late,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{late}/api/config"
    container = stack.enter_context(Container(tmp_path, endpoint))
    container.until_up()
    container.until(container.dynamic.exists)
    assert container.dynamic.read_text() == "{}\n"
    static = container.environment["TRAEFIK_STATIC_CONFIG_FILE"]
    assert container.log.splitlines()[:4] == [
        f"ok access file: {container.access} can be used",
        f"ok source: {endpoint} was not asked (--offline)",
        f"ok output: {container.dynamic} does not exist yet, and can be created",
        f"ok static configuration: Traefik with {static} reads {container.dynamic}",
    ]
    stack.enter_context(StandInWorker(policy, 0.1, address=("127.0.0.1", late)))
    container.until(lambda: container.get("web", "app.example.com") == Answer(200, "app"))


def test_last_routes_are_served_after_a_restart(tmp_path: Path, stack: ExitStack) -> None:
    """With a file from before and the endpoint down, the routes in the file are live."""
    port = stack.enter_context(http_backend("app"))
    container = Container(tmp_path, NOBODY)
    hosts = {f"_web_http_{port}._tcp.app.example.com": "127.0.0.1"}
    container.dynamic.write_text(render(hosts).text)
    stack.enter_context(container)
    container.until(lambda: container.get("web", "app.example.com") == Answer(200, "app"))


def test_failed_check_keeps_nothing_from_starting(tmp_path: Path, stack: ExitStack) -> None:
    """With a template that has Traefik read another file the log says so, and both run."""
    container = Container(tmp_path, NOBODY)
    template = Path(container.environment["TRAEFIK_STATIC_CONFIG_TEMPLATE"])
    text = template.read_text().replace(
        "filename: ${TRAEFIK_DYNAMIC_CONFIG_FILE}", "filename: x.yml"
    )
    template.write_text(text)
    stack.enter_context(container)
    container.until_up()
    container.until(lambda: "retrying in" in container.log)
    assert "failed static configuration: " in container.log


@pytest.mark.parametrize(
    ("name", "signum", "status"),
    [
        ("watch", signal.SIGKILL, 137),
        ("watch", signal.SIGINT, 130),
        ("traefik", signal.SIGTERM, 0),
    ],
)
def test_end_of_either_is_the_end_of_the_container(
    tmp_path: Path, name: str, signum: signal.Signals, status: int
) -> None:
    """The container ends with the status of whichever ended by itself, and the other is stopped."""
    with Container(tmp_path, NOBODY) as container:
        container.until_up()
        both = [container.child("watch"), container.child("traefik")]
        os.kill(container.child(name), signum)
        assert container.process.wait(timeout=60) == status
    assert [pid for pid in both if Path(f"/proc/{pid}").exists()] == []
    assert f"entrypoint: {name} ended with {status}; so does the container" in container.log


def test_signal_stops_both(tmp_path: Path) -> None:
    """SIGTERM stops Traefik and watch gracefully, and nothing is left running."""
    with Container(tmp_path, NOBODY) as container:
        container.until_up()
        both = [container.child("watch"), container.child("traefik")]
        assert container.stop() == 0
    assert [pid for pid in both if Path(f"/proc/{pid}").exists()] == []
    assert "Server stopped" in container.log
    assert "entrypoint:" not in container.log


PATIENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
name = "check" if "--check" in sys.argv else "watch"
open(f"{sys.argv[0]}.{name}", "w").close()
time.sleep(600)
"""

HURRIED = f"""
import sys
sys.path.insert(0, {str(ENTRYPOINT.parent)!r})
sys.dont_write_bytecode = True
import entrypoint
entrypoint.GRACE = entrypoint.CHECKING = 0.3
sys.exit(entrypoint.main())
"""


def test_program_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    """A check that hangs is not waited for; the first signal counts, and ends what ignores it."""
    container = Container(tmp_path, NOBODY, program=[sys.executable, "-c", HURRIED])
    program = tmp_path / "bin" / "ctsdns-traefik"
    program.unlink()
    program.write_text(f"#!{sys.executable}\n{PATIENT}")
    program.chmod(0o755)
    with container:
        for name in ("check", "watch"):  # both ignore the signal by then
            container.until(Path(f"{program}.{name}").exists)
        watch = container.child("watch")
        family = [watch, *children_of(watch).values()]
        assert len(family) == 2
        os.kill(container.pid(), signal.SIGINT)
        assert container.stop() == 130
    until(lambda: not any(_lives(pid) for pid in family), "something is left")
    assert "check did not stop within 0.3 s; killing it" in container.log
    assert "watch did not stop within 0.3 s; killing it" in container.log


def _lives(pid: int) -> bool:
    """Return whether a process runs; a zombie that is not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def test_first_process_of_a_container(tmp_path: Path) -> None:
    """As process 1 it obeys signals, for which there is no default then, and collects orphans."""
    with Container(tmp_path, NOBODY, launcher=first_process()) as container:
        container.until_up()
        pid = container.pid()
        enter = ["nsenter", "--pid", f"--target={pid}", "sh", "-c", "sh -c 'sleep 0.05 &'"]
        subprocess.run(enter, check=True, timeout=60)
        container.until(lambda: len(children_of(pid)) == 2)
        assert container.stop() == 0


def test_confined_container(tmp_path: Path, stack: ExitStack) -> None:
    """With a read-only root and no capabilities it serves, writing to its two folders alone."""
    port = stack.enter_context(http_backend("app"))
    hosts = {f"_web_http_{port}._tcp.app.example.com": "127.0.0.1"}
    worker = stack.enter_context(StandInWorker(write_policy(tmp_path, hosts), 0.1))
    folder = tmp_path / "writable"
    folder.mkdir()
    container = stack.enter_context(Container(folder, worker.endpoint, launcher=confined(folder)))
    container.until(lambda: container.get("web", "app.example.com") == Answer(200, "app"))
    status = Path(f"/proc/{container.child('traefik')}/status").read_text()
    assert "CapEff:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    root = subprocess.run(
        ["nsenter", "--mount", f"--target={container.pid()}", "touch", "/etc/written"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Read-only file system" in root.stderr
    assert container.stop() == 0
