"""How clients of TCP show a certificate of their own, as docs/tcp-clients.md has it.

psql's settings are libpq's, which test_postgres_client.py tries.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from local import free_ports, running, until
from support.accessed import authority_in
from support.certificates import Authority
from support.certified import CertifiedTraefik
from support.commands import run
from support.paths import ROOT
from support.ssh import listens

HERE, NAME = "127.0.0.1", "cache.example.com"
TOOLS = ("socat", "stunnel", "haproxy")
DOCUMENT = (ROOT / "docs" / "tcp-clients.md").read_text(encoding="utf-8")

pytestmark = [
    pytest.mark.skipif(shutil.which(name) is None, reason=f"there is no {name}")
    for name in (*TOOLS, "openssl", "redis-server", "redis-cli")
]


def added(client: str) -> list[str]:
    """Return what the document adds for a client, piece by piece."""
    (row,) = [line for line in DOCUMENT.splitlines() if line.startswith(f"| {client}")]
    return [each for each in re.findall("`(.*?)`", row.split(" | ")[1]) if "client" in each]


class Stage(NamedTuple):
    """A Redis server that Traefik serves to clients with a certificate, and the way to it."""

    folder: Path
    ca_file: Path
    entry: str
    port: int

    def printed(self, tool: str) -> str:
        """Return what parse-host prints for a tool, for this machine and a free local port."""
        command = ("parse-host", "--format=json", f"--ca-file={self.ca_file}")
        (said,) = json.loads(run(*command, f"--entrypoint=tcp={self.port}", self.entry).stdout)
        text = str(said["clients"][tool])
        for before in ("OPENSSL:", "connect = ", "server traefik "):
            text = text.replace(f"{before}{NAME}", f"{before}{HERE}")
        return text

    def with_files(self, text: str) -> str:
        """Replace the files of the document by those of this client."""
        return re.sub(r"\bclient[\w-]*\.(pem|key)", lambda found: f"{self.folder}/{found[0]}", text)

    def command(self, tool: str, local: int, *, shows: bool) -> list[str]:
        """Return what starts a tool on a local port, with a certificate or without."""
        (_, server_port), text = self.entry.split("._tcp.")[0].rsplit("_", 1), self.printed(tool)
        text = text.replace(f"TCP-LISTEN:{server_port},", f"TCP-LISTEN:{local},")
        text = text.replace(f"{HERE}:{server_port}\n", f"{HERE}:{local}\n")
        pieces = added(tool) if tool != "haproxy" else added("HAProxy")
        between = {"socat": "", "stunnel": "\n", "haproxy": " "}[tool]
        if shows:
            text = self.with_files(between.join((text, *pieces)))
        if tool == "socat":
            return shlex.split(text)
        file = self.folder / f"{tool}-{shows}.conf"
        file.write_text(f"foreground = yes\npid =\n{text}\n" if tool == "stunnel" else f"{text}\n")
        return [tool, str(file)] if tool == "stunnel" else [tool, "-f", str(file)]


@pytest.fixture(scope="module")
def stage(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run Redis, and Traefik with mtls-strict before it."""
    folder = tmp_path_factory.mktemp("client-certificates")
    home = authority_in(folder / "home")
    certificate, key = home.issue("client", folder=folder)
    (folder / "client-and-key.pem").write_text(certificate.read_text() + key.read_text())
    access = folder / "access.yml"
    access.write_text(
        f"clientAuth: {{home: {{caFiles: ['{home.ca_file}']}}}}\n"
        "default: {access: mtls-strict, clientAuth: home}\n"
    )
    dynamic = folder / "watched" / "dynamic.yml"
    dynamic.parent.mkdir()
    (port,) = free_ports(1)
    entry = f"_tcp_redis_{port}._tcp.{NAME}"
    policy = json.dumps({"hosts": {entry: HERE}}).encode()
    done = run("render-once", "-", "-o", dynamic, "--access-file", access, stdin=policy)
    assert done.returncode == 0, done.stderr
    with ExitStack() as stack:
        server = ["redis-server", "--bind", HERE, "--port", str(port), "--save", ""]
        stack.enter_context(running(server, folder / "redis.log"))
        traefik = CertifiedTraefik(folder, dynamic, authority.issue(NAME, HERE))
        stack.enter_context(traefik)
        until(lambda: traefik.routers() and listens(port), "no router or no Redis")
        yield Stage(folder, authority.ca_file, entry, traefik.ports["tcp"])


@pytest.mark.parametrize("tool", TOOLS)
def test_local_port(stage: Stage, tool: str) -> None:
    """Each tool leads to the server with a certificate, and nowhere without."""
    for shows in (True, False):
        (local,) = free_ports(1)
        log = stage.folder / f"{tool}-{shows}.log"
        with running(stage.command(tool, local, shows=shows), log):
            until(partial(listens, local), f"{tool} does not listen: {log}")
            assert ping(local) is shows


def ping(port: int) -> bool:
    """Return whether Redis answers at a port."""
    try:
        with socket.create_connection((HERE, port), timeout=60) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def test_redis_cli(stage: Stage) -> None:
    """redis-cli has options for it."""
    start = ["redis-cli", "-h", HERE, "-p", str(stage.port), "--tls", "--sni", NAME]
    start += ["--cacert", str(stage.ca_file)]
    options = shlex.split(stage.with_files(added("`redis-cli`")[0]))
    for more, answer in ((options, "PONG"), ([], "")):
        done = subprocess.run(
            [*start, *more, "PING"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.stdout.strip() == answer


def test_openssl(stage: Stage) -> None:
    """Openssl shows it, and names what is missing without."""
    start = ["openssl", "s_client", "-quiet", "-connect", f"{HERE}:{stage.port}"]
    start += ["-servername", NAME, "-CAfile", str(stage.ca_file), "-verify_return_error"]
    options = shlex.split(stage.with_files(added("`openssl s_client`")[0]))
    for more, answer in ((options, "+PONG"), ([], "certificate required")):
        with subprocess.Popen(
            [*start, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as client:
            assert client.stdin
            assert client.stdout
            client.stdin.write(b"PING\r\n")
            client.stdin.flush()
            lines = iter(client.stdout.readline, b"")
            assert any(answer.encode() in line for line in lines)
            client.terminate()
    assert "| `certificate required` |" in DOCUMENT
