"""A client of Postgres needs no helper: Traefik answers when it asks for TLS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from local import until
from support.certificates import Authority
from support.certified import CertifiedTraefik
from support.commands import run
from support.databases import needs_postgres, postgres
from support.libpq import PostgresStage, check_libpq, installed_libpq

NAME, OTHER = "db.example.com", "other.example.com"

pytestmark = needs_postgres


class Way(NamedTuple):
    """How psql gets to the server."""

    port: int
    authority: Authority

    def ask(self, name: str, mode: str) -> subprocess.CompletedProcess[str]:
        """Have a name's server multiply, with one of libpq's modes of TLS."""
        settings = {
            "host": name,
            "hostaddr": "127.0.0.1",
            "port": self.port,
            "user": "me",
            "dbname": "postgres",
            "sslmode": mode,
            "sslrootcert": self.authority.ca_file,
            "connect_timeout": 15,
        }
        conninfo = " ".join(f"{key}={value}" for key, value in settings.items())
        return subprocess.run(
            ["psql", conninfo, "-Atc", "select 6 * 7"],
            env={key: value for key, value in os.environ.items() if not key.startswith("PG")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="module")
def way(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Run Postgres, and Traefik in front of it with a certificate for its name and another."""
    folder = tmp_path_factory.mktemp("postgres")
    dynamic = folder / "watched" / "dynamic.yml"
    dynamic.parent.mkdir()
    with ExitStack() as stack:
        port = stack.enter_context(postgres())
        policy = json.dumps({"hosts": {f"_tcp_postgres_{port}._tcp.{NAME}": "127.0.0.1"}})
        assert run("render-once", "-", "-o", dynamic, stdin=policy.encode()).returncode == 0
        certificate = authority.issue(NAME, OTHER)
        traefik = stack.enter_context(CertifiedTraefik(folder, dynamic, certificate))
        until(lambda: len(traefik.routers()) == 1, "no router")
        yield Way(traefik.ports["tcp"], authority)


@pytest.mark.parametrize("mode", ["verify-full", "require"])
def test_psql_gets_through_by_itself(way: Way, mode: str) -> None:
    """With TLS asked for, psql is led by the name it sends; verify-full checks the certificate."""
    done = way.ask(NAME, mode)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


def test_psql_without_tls_does_not_get_through(way: Way) -> None:
    """Without TLS there is no name to be led by."""
    done = way.ask(NAME, "disable")
    assert (done.returncode, done.stdout) == (2, "")


def test_psql_does_not_reach_a_name_without_a_route(way: Way) -> None:
    """A name that the certificate has but no entry leads nowhere."""
    done = way.ask(OTHER, "verify-full")
    assert (done.returncode, done.stdout) == (2, "")


def test_psql_refuses_an_authority_that_is_not_trusted(way: Way, tmp_path: Path) -> None:
    """With somebody else's authority verify-full makes no connection."""
    done = way._replace(authority=Authority(tmp_path)).ask(NAME, "verify-full")
    assert (done.returncode, done.stdout) == (2, "")


def test_clients_that_offer_their_own_protocol(authority: Authority, tmp_path: Path) -> None:
    """Libpq 17 and newer, which offer ALPN postgresql alone, get through with an access file."""
    with PostgresStage(tmp_path, authority) as stage:
        check_libpq(installed_libpq(), stage, 17)
        assert Way(stage.port, authority).ask(NAME, "verify-full").stdout == "42\n"
