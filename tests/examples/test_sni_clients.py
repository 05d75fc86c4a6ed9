"""examples/sni-clients: SSH and Redis through the real Traefik, by way of each tool."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from local import free_ports, running, until
from support.certificates import Authority
from support.certified import CertifiedTraefik
from support.commands import run
from support.paths import ROOT
from support.ssh import SshServer, listens, needs_ssh

EXAMPLE = ROOT / "examples" / "sni-clients"
NAS, CACHE = "nas.example.com", "cache.example.com"
SSH, REDIS = f"_tcp_ssh_22._tcp.{NAS}", f"_tcp_redis_6379._tcp.{CACHE}"
SSH_PORT, REDIS_PORT = 10022, 6379
NOBODY = "nobody.example.com"
"""A name that Traefik has a certificate for, but no route."""
CLOSED = "closed.example.com"
"""A name that the access file does not open."""
TRUST = "/etc/ssl/certs/ca-certificates.crt"

NEEDED = ("socat", "stunnel", "haproxy", "openssl", "redis-server", "redis-cli")

pytestmark = [
    needs_ssh,
    *(
        pytest.mark.skipif(shutil.which(name) is None, reason=f"there is no {name} on this machine")
        for name in NEEDED
    ),
]

SILENCE = 2.5
"""Seconds for which a connection is silent; Traefik's time-outs are shorter in these tests."""


Done = subprocess.CompletedProcess[bytes]


class Stage(NamedTuple):
    """What the tools lead to, and how this machine differs from the example."""

    folder: Path
    authority: Authority
    ssh: SshServer
    entrypoint: int
    """The port of Traefik's entrypoint ``tcp``."""
    ports: Mapping[int, int] = MappingProxyType({})
    """This machine's local ports, by those of the example."""
    name: str | None = None
    """A name to ask for in place of the example's."""

    def localised(self, text: str) -> str:
        """Replace where a text connects to, whom it trusts, its local ports, and its names."""
        for name in (NAS, CACHE, "%h"):
            text = text.replace(f"{name}:4433", f"127.0.0.1:{self.entrypoint}")
        assert ":4433" not in text
        text = text.replace(TRUST, str(self.authority.ca_file))
        for old, new in self.ports.items():
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
            text = text.replace(f"TCP-LISTEN:{old},", f"TCP-LISTEN:{new},")
            text = text.replace(f"Port {old}\n", f"Port {new}\n")
        if self.name:
            text = text.replace(NAS, self.name).replace(CACHE, self.name)
        return text

    def file(self, name: str) -> Path:
        """Write a file of the example for this machine."""
        path = self.folder / name
        path.write_text(self.localised((EXAMPLE / name).read_text()))
        return path

    def run_ssh(self, host: str, *command: str, stdin: bytes = b"") -> Done:
        """Run a command by SSH with the example's configuration."""
        return self.run_client(["ssh", "-F", str(self.file("ssh_config")), host, *command], stdin)

    def run_client(self, command: list[str], stdin: bytes = b"") -> Done:
        """Run SSH's client as the present user, without the user's own settings."""
        command[1:1] = self.ssh.options(NAS)
        return subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)

    def run_redis(self, *command: str) -> str:
        """Run a command of Redis through the local port."""
        start = ["redis-cli", "-h", "127.0.0.1", "-p", str(self.ports[REDIS_PORT])]
        done = subprocess.run(
            [*start, *command], capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout.strip()


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Run a Redis server that keeps nothing; give its port."""
    (port,) = free_ports(1)
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    with running([*command, "--save", ""], folder / "redis.log"):
        until(lambda: listens(port), "Redis does not listen")
        yield port


def render(folder: Path, ssh_port: int, redis_port: int) -> Path:
    """Have the command render the example's entries, for servers on this machine's ports."""
    policy = (EXAMPLE / "policy.hujson").read_text()
    for entry, port in ((SSH, ssh_port), (REDIS, redis_port)):
        _, _, domain = entry.partition("._tcp.")
        stem = entry.partition("._tcp.")[0].rpartition("_")[0]
        assert policy.count(entry) == 1
        policy = policy.replace(entry, f"{stem}_{port}._tcp.{domain}")
    policy = policy.replace("100.64.0.2", "127.0.0.1").replace("100.64.0.3", "127.0.0.1")
    closed = f'"_tcp_redis_{redis_port}._tcp.{CLOSED}": "127.0.0.1",'
    policy = policy.replace('"hosts": {', f'"hosts": {{{closed}')
    dynamic, access = folder / "dynamic.yml", folder.parent / "access.yml"
    opened = f"  {CACHE}: {{access: public}}\n"  # requests come from this machine, not the tailnet
    access.write_text((EXAMPLE / "access.yml").read_text() + opened)
    options = ("-o", dynamic, "--access-file", access, "--strict")
    done = run("render-once", "-", *options, stdin=policy.encode())
    assert done.returncode == 0, done.stderr
    return dynamic


@pytest.fixture(scope="module")
def stage(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run both servers and Traefik in front of them, with a certificate for its names."""
    folder = tmp_path_factory.mktemp("sni-clients")
    watched = folder / "watched"
    watched.mkdir()
    with ExitStack() as stack:
        ssh = stack.enter_context(SshServer(folder))
        dynamic = render(watched, ssh.port, stack.enter_context(redis(folder)))
        # socat checks the certificate against where it connects to, here 127.0.0.1.
        certificate = authority.issue(NAS, CACHE, NOBODY, CLOSED, "127.0.0.1")
        traefik = stack.enter_context(CertifiedTraefik(folder, dynamic, certificate))
        until(lambda: len(traefik.routers()) == 3, "not all routers")
        assert traefik.errors == []
        yield Stage(folder, authority, ssh, traefik.ports["tcp"])


def commands(tool: str, stage: Stage) -> list[list[str]]:
    """Return what starts a tool, as the example's README has it."""
    if tool == "socat":
        lines = re.findall(r"^    (socat .*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
        assert len(lines) == 2
        return [shlex.split(stage.localised(line)) for line in lines]
    if tool == "stunnel":
        return [["stunnel", str(stage.file("stunnel.conf"))]]
    once = stage.folder / "once.cfg"  # it would try a refused connection again for seconds
    once.write_text("defaults\n    retries 0\n")
    return [["haproxy", "-f", str(once), "-f", str(stage.file("haproxy.cfg"))]]


@contextmanager
def listening(tool: str, stage: Stage, name: str) -> Iterator[Stage]:
    """Run a tool with both of the example's services on free ports."""
    stage = stage._replace(
        folder=stage.folder / name,
        ports=dict(zip((SSH_PORT, REDIS_PORT), free_ports(2), strict=True)),
    )
    stage.folder.mkdir()
    with ExitStack() as stack:
        for number, command in enumerate(commands(tool, stage)):
            log = stage.folder / f"{tool}-{number}.log"
            stack.enter_context(running(command, log))
        until(lambda: all(map(listens, stage.ports.values())), f"{tool} does not listen")
        yield stage


@pytest.fixture(scope="module", params=["socat", "stunnel", "haproxy"])
def local(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Stage]:
    """Give each tool in turn."""
    with listening(request.param, stage, request.param) as local:
        yield local


def printed(entry: str) -> dict[str, Any]:
    """Return the client commands that parse-host prints for an entry."""
    (reported,) = json.loads(run("parse-host", "--format", "json", entry).stdout)
    clients: dict[str, Any] = reported["clients"]
    return clients


def settings_in(name: str) -> str:
    """Return a file of the example without comments, blank lines and the space around it."""
    lines = (EXAMPLE / name).read_text().splitlines()
    return "\n".join(line for line in lines if line.strip() and line.strip()[0] not in "#;")


PROXIED = ("nas.example.com", "nas-openssl")
"""The hosts of the example's ssh_config that need no local port."""


@pytest.mark.parametrize("host", PROXIED)
def test_ssh_without_a_local_port(host: str, stage: Stage) -> None:
    """A command on the server gets a megabyte of any bytes and sends it back, unchanged."""
    megabyte = os.urandom(1_000_000)
    done = stage.run_ssh(host, "cat", stdin=megabyte)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == megabyte


def test_printed_ssh_command(stage: Stage) -> None:
    """What parse-host prints for an SSH entry gets through, with nothing configured."""
    command = [*shlex.split(stage.localised(printed(SSH)["ssh"])), "echo $((6 * 7))"]
    command[1:1] = ["-F", "none"]
    done = stage.run_client(command)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"42\n", b"")


def test_ssh_through_a_local_port(local: Stage) -> None:
    """The server is known by its own name, and a megabyte comes back unchanged."""
    megabyte = os.urandom(1_000_000)
    done = local.run_ssh("nas-port", "cat", stdin=megabyte)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == megabyte


def test_redis_through_a_local_port(local: Stage) -> None:
    """A client that speaks plain TCP stores a value and gets it back."""
    value = "x" * 100_000
    assert local.run_redis("PING") == "PONG"
    assert local.run_redis("SET", "key", value) == "OK"
    assert local.run_redis("GET", "key") == value


def test_redis_client_with_tls_needs_no_local_port(stage: Stage) -> None:
    """A client that sends SNI itself goes straight to the entrypoint, and only where it may."""
    start = ["redis-cli", "-h", "127.0.0.1", "-p", str(stage.entrypoint), "--tls"]
    start += ["--cacert", str(stage.authority.ca_file)]
    reported = [
        subprocess.run(
            [*start, "--sni", name, "PING"], capture_output=True, timeout=60, check=False
        )
        for name in (CACHE, NOBODY, CLOSED)
    ]
    assert [done.stdout for done in reported] == [b"PONG\n", b"", b""]


def test_two_sessions_at_once(local: Stage) -> None:
    """Two SSH sessions are open at once, and each gets its own lines."""
    command = ["ssh", "-F", str(local.file("ssh_config")), *local.ssh.options(NAS), "nas-port"]
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(
                subprocess.Popen([*command, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(2)
        ]
        for line in (b"first\n", b"second\n"):
            for number, session in enumerate(sessions):
                assert session.stdin
                assert session.stdout
                session.stdin.write(b"%d %s" % (number, line))
                session.stdin.flush()
                assert session.stdout.readline() == b"%d %s" % (number, line)
                assert all(session.poll() is None for session in sessions)


def test_silence_longer_than_the_time_outs_of_the_entrypoint(stage: Stage) -> None:
    """A session that says nothing for longer than respondingTimeouts allow goes on."""
    done = stage.run_ssh("nas.example.com", f"sleep {SILENCE}; echo awake")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"awake\n", b"")


@pytest.mark.parametrize("host", PROXIED)
def test_ssh_does_not_reach_a_name_without_a_route(host: str, stage: Stage) -> None:
    """A name that the certificate has but no entry leads nowhere; no login succeeds."""
    before = stage.ssh.logins
    (stage.folder / host).mkdir()
    other = stage._replace(folder=stage.folder / host, name=NOBODY)
    alias = "HostKeyAlias=nas.example.com"  # the server's key is not what is refused
    done = other.run_ssh(host.replace(NAS, NOBODY), "-o", alias, "echo reached")
    assert (done.returncode, done.stdout) == (255, b"")
    assert stage.ssh.logins == before


@pytest.mark.parametrize(
    ("host", "complaint"),
    [(PROXIED[0], b"E SSL_connect()"), (PROXIED[1], b"verify error")],
    ids=["socat", "openssl"],
)
def test_ssh_refuses_an_authority_that_is_not_trusted(
    host: str, complaint: bytes, stage: Stage, tmp_path: Path
) -> None:
    """Traefik's certificate is checked before anything is sent; no login succeeds."""
    before = stage.ssh.logins
    stranger = stage._replace(folder=tmp_path, authority=Authority(tmp_path))
    done = stranger.run_ssh(host, "echo reached")
    assert (done.returncode, done.stdout) == (255, b"")
    assert complaint in done.stderr
    assert stage.ssh.logins == before


def test_openssl_refuses_a_certificate_for_another_name(stage: Stage, tmp_path: Path) -> None:
    """The name in the certificate is checked, not its authority alone."""
    other = stage._replace(folder=tmp_path)
    path = other.file("ssh_config")
    path.write_text(path.read_text().replace("-verify_hostname %h", "-verify_hostname other.de"))
    done = stage.run_client(["ssh", "-F", str(path), "nas-openssl", "echo reached"])
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"hostname mismatch" in done.stderr


@pytest.mark.parametrize("tool", ["socat", "stunnel", "haproxy"])
def test_local_port_does_not_reach_a_name_without_a_route(tool: str, stage: Stage) -> None:
    """A name that the certificate has but no entry leads neither client anywhere."""
    before = stage.ssh.logins
    with listening(tool, stage._replace(name=NOBODY), f"{tool}-nobody") as local:
        assert local.run_redis("PING") != "PONG"
        done = local.run_ssh("nas-port", "-o", f"HostKeyAlias={NAS}", "echo reached")
    assert (done.returncode, done.stdout) == (255, b"")
    assert stage.ssh.logins == before


@pytest.mark.parametrize("tool", ["socat", "stunnel", "haproxy"])
def test_local_port_refuses_an_authority_that_is_not_trusted(
    tool: str, stage: Stage, tmp_path: Path
) -> None:
    """With somebody else's authority the client gets no answer."""
    before = stage.ssh.logins
    stranger = stage._replace(authority=Authority(tmp_path))
    with listening(tool, stranger, f"{tool}-stranger") as local:
        done = local.run_ssh("nas-port", "echo reached")
    assert (done.returncode, done.stdout) == (255, b"")
    assert stage.ssh.logins == before


def test_haproxy_has_nothing_to_warn_of(stage: Stage) -> None:
    """The sections alone are a whole configuration."""
    ports = dict(zip((SSH_PORT, REDIS_PORT), free_ports(2), strict=True))
    path = stage._replace(ports=ports).file("haproxy.cfg")
    done = subprocess.run(
        ["haproxy", "-c", "-f", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done
    assert "[" not in done.stdout + done.stderr  # as in "[WARNING]", "[ALERT]"


def test_files_hold_what_parse_host_prints() -> None:
    """The configurations are exactly the printed sections; the printed commands are in the rest."""
    ssh, redis = printed(SSH), printed(REDIS)
    assert (ssh["port"], redis["port"]) == (SSH_PORT, REDIS_PORT)
    assert settings_in("haproxy.cfg") == f"{ssh['haproxy']}\n{redis['haproxy']}"
    before = "foreground = yes\npid =\n"
    assert settings_in("stunnel.conf") == f"{before}{ssh['stunnel']}\n{redis['stunnel']}"
    assert f"ExecStart={redis['socat']}" in settings_in("sni-cache.service").splitlines()
    readme = (EXAMPLE / "README.md").read_text().splitlines()
    assert {f"    {ssh['socat']}", f"    {redis['socat']}"} < set(readme)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """Systemd has nothing to say about the unit of a user's own."""
    command = ["systemd-analyze", "verify", "--user", str(EXAMPLE / "sni-cache.service")]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ssh_config_holds_what_parse_host_prints() -> None:
    """The first ProxyCommand is that of the printed command."""
    _, option, value, host = shlex.split(printed(SSH)["ssh"])
    assert option == "-o"
    first = settings_in("ssh_config").splitlines()[:2]
    assert first == [f"Host {host}", f"    {value.replace('=', ' ', 1)}"]


def test_entries_are_those_of_the_policy() -> None:
    """The policy of the example has the two entries and nothing to complain of."""
    done = run("render-once", EXAMPLE / "policy.hujson", "--strict")
    routers = json.loads(done.stdout)["tcp"]["routers"]
    assert set(routers) == {"router-nas-example-com-ssh", "router-cache-example-com-redis"}
