"""The symptoms in docs/tcp-clients.md, each brought about with the real Traefik and openssl."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from local import free_ports, until
from support.certificates import Authority
from support.certified import CertifiedTraefik
from support.commands import run
from support.databases import needs_postgres
from support.paths import ROOT

HERE = "127.0.0.1"
NAMES = ("open", "closed", "dead", "silent", "nowhere")
DOCUMENT = (ROOT / "docs" / "tcp-clients.md").read_text(encoding="utf-8")
NO_CERTIFICATE = "unexpected eof while reading"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")


class Stage(NamedTuple):
    """A Traefik, and the file of its certificate's authority."""

    traefik: CertifiedTraefik
    ca_file: Path
    log: Path

    def ask(self, name: str, *changes: tuple[str, str], seconds: float = 60) -> str | None:
        """Return what the document's command prints for a name, ``None`` if it does not end."""
        (command,) = re.findall("^    (openssl s_client .*) </dev/null$", DOCUMENT, re.MULTILINE)
        command = f"{command} -CAfile {self.ca_file}"
        connect = ("-connect nas.example.com:4433", f"-connect {HERE}:{self.traefik.ports['tcp']}")
        for old, new in (connect, ("nas.example.com", f"{name}.example.com"), *changes):
            assert old in command
            command = command.replace(old, new)
        try:
            done = subprocess.run(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        return done.stdout


@pytest.fixture(scope="module")
def stage(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run backends that close, that are dead and that do not answer, and Traefik before them."""
    folder = tmp_path_factory.mktemp("symptoms")
    with ExitStack() as stack:
        closing = stack.enter_context(socket.create_server((HERE, 0)))
        threading.Thread(target=_close_all, args=(closing,), daemon=True).start()
        stack.callback(closing.shutdown, socket.SHUT_RDWR)
        silent = stack.enter_context(socket.create_server((HERE, 0), backlog=0))
        address = silent.getsockname()
        stack.enter_context(socket.create_connection(address))  # the only one that it has room for
        ports = dict.fromkeys(NAMES[:-1], closing.getsockname()[1])
        ports |= {"dead": free_ports(1)[0], "silent": address[1]}
        hosts = {f"_tcp_x_{port}._tcp.{name}.example.com": HERE for name, port in ports.items()}
        access = folder / "access.yml"
        access.write_text(
            "default: public\nroutes: {closed.example.com: {access: tailscale-only}}\n"
        )
        dynamic = folder / "watched" / "dynamic.yml"
        dynamic.parent.mkdir()
        policy = json.dumps({"hosts": hosts}).encode()
        done = run("render-once", "-", "-o", dynamic, "--access-file", access, stdin=policy)
        assert done.returncode == 0, done.stderr
        certificate = authority.issue("*.example.com")
        traefik = stack.enter_context(CertifiedTraefik(folder, dynamic, certificate))
        until(lambda: len(traefik.routers()) == len(hosts), "not all routers")
        yield Stage(traefik, authority.ca_file, folder / "traefik.log")
        silent.close()  # Traefik waits at its end for what it still connects to


def _close_all(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            listener.accept()[0].close()


@pytest.mark.parametrize(
    ("name", "symptom"),
    [("open", "Verification: OK"), ("nowhere", "Verification: OK")],
    ids=["backend-ends-it", "no-route"],
)
def test_certificate_is_right(stage: Stage, name: str, symptom: str) -> None:
    """Where the name and the certificate are right, openssl prints so, route or not."""
    assert symptom in str(stage.ask(name))
    assert f"`{symptom}`" in DOCUMENT


@pytest.mark.parametrize(
    ("name", "logged"),
    [("closed", "rejected"), ("dead", "Error while dialing backend")],
)
def test_end_before_tls(stage: Stage, name: str, logged: str) -> None:
    """Traefik shows no certificate where it refuses the client or cannot reach the backend."""
    answer = str(stage.ask(name))
    assert NO_CERTIFICATE in answer
    assert "CONNECTION ESTABLISHED" not in answer
    until(lambda: logged in stage.log.read_text(), "Traefik does not log it")
    row = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `{NO_CERTIFICATE}`"))
    assert f"`{logged}`" in row


def test_backend_that_does_not_answer(stage: Stage) -> None:
    """Nor does Traefik show one while it waits for the backend's machine."""
    assert stage.ask("silent", seconds=2) is None


@pytest.mark.parametrize(
    ("right", "wrong", "symptom"),
    [
        ("-verify_hostname open.", "-verify_hostname a.b.", "hostname mismatch"),
        ("-servername open.example.com", "-servername other.de", "TRAEFIK DEFAULT CERT"),
    ],
    ids=["name", "no-certificate"],
)
def test_certificate_is_wrong(stage: Stage, right: str, wrong: str, symptom: str) -> None:
    """What is wrong with a certificate stands in what openssl prints."""
    assert symptom in str(stage.ask("open", (right, wrong)))
    assert f"`{symptom}`" in DOCUMENT


def test_authority_is_not_trusted(stage: Stage) -> None:
    """Without the authority's file openssl does not find the issuer."""
    usual = Path("/etc/ssl/certs/ca-certificates.crt")
    if not usual.exists():
        pytest.skip("this system has its authorities elsewhere")
    symptom = "unable to get local issuer certificate"
    assert symptom in str(stage._replace(ca_file=usual).ask("open"))
    assert f"`{symptom}`" in DOCUMENT


@needs_postgres
@pytest.mark.parametrize(
    ("name", "mode", "symptom"),
    [
        ("open", "disable", "received H"),
        ("closed", "verify-full", "SSL SYSCALL error: EOF detected"),
        ("dead", "verify-full", "SSL SYSCALL error: EOF detected"),
        ("nowhere", "verify-full", "SSL SYSCALL error: EOF detected"),
    ],
)
def test_psql(stage: Stage, name: str, mode: str, symptom: str) -> None:
    """Psql reports the same in its own terms."""
    port = stage.traefik.ports["tcp"]
    where = f"host={name}.example.com hostaddr={HERE} port={port} user=me dbname=postgres"
    how = f"sslmode={mode} sslrootcert={stage.ca_file} connect_timeout=15"
    done = subprocess.run(
        ["psql", f"{where} {how}", "-Atc", "select 1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert symptom in done.stderr
    assert f"`{symptom}`" in DOCUMENT
