"""Clients of Postgres with a libpq of their own, newer than that of the system's psql."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from local import until
from support.accessed import authority_in
from support.certificates import Authority
from support.certified import CertifiedTraefik
from support.commands import run
from support.databases import postgres

_PROGRAM = """
import json, sys
import psycopg

def ask(settings):
    try:
        with psycopg.connect(**settings) as connection:
            return str(connection.execute("select 6 * 7").fetchone()[0])
    except psycopg.Error as why:
        return str(why)

print(json.dumps([psycopg.pq.version() // 10_000, [ask(each) for each in json.load(sys.stdin)]]))
"""


class Libpq(NamedTuple):
    """A libpq, in psycopg's packages in a folder or as installed here."""

    packages: str = ""

    def ask(self, *connections: dict[str, object]) -> tuple[int, list[str]]:
        """Have the server of each connection multiply; return libpq's release and the answers."""
        environment = {key: each for key, each in os.environ.items() if not key.startswith("PG")}
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env={**environment, "PYTHONPATH": self.packages},
            input=json.dumps(connections).encode(),
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        )
        release, answers = json.loads(done.stdout)
        return release, answers


def installed_libpq() -> Libpq:
    """Return the one that is installed here."""
    pytest.importorskip("psycopg")
    return Libpq()


def libpq_of(psycopg: str, folder: Path) -> Libpq:
    """Install a release of psycopg with its libpq into a folder; skip if there is none to have."""
    packages = [f"psycopg=={psycopg}", f"psycopg-binary=={psycopg}"]
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--target", str(folder)]
    command = [sys.executable, "-m", "pip", "install", *options, *packages]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"psycopg {psycopg} cannot be installed here")
    return Libpq(str(folder))


NAME, STRICT, EXPLICIT = "db.example.com", "strict.example.com", "explicit.example.com"
SCHEMES = {NAME: "postgres", STRICT: "postgresql", EXPLICIT: "pg"}


class PostgresStage:
    """A Postgres server behind Traefik by three names; a context manager that ends both."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._folder, self._authority = folder, authority
        self._home = authority_in(folder / "home")
        self._dynamic = folder / "watched" / "dynamic.yml"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            port = stack.enter_context(postgres())
            entries = [f"_tcp_{scheme}_{port}._tcp.{name}" for name, scheme in SCHEMES.items()]
            self._policy = json.dumps({"hosts": dict.fromkeys(entries, "127.0.0.1")}).encode()
            self._dynamic.parent.mkdir()
            self.serve("")
            certificate = self._authority.issue(*SCHEMES)
            self._traefik = CertifiedTraefik(self._folder, self._dynamic, certificate)
            stack.enter_context(self._traefik)
            until(lambda: len(self._traefik.routers()) == len(SCHEMES), "no routers")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def port(self) -> int:
        """The port of Traefik's entrypoint."""
        return self._traefik.ports["tcp"]

    def serve(self, access: str) -> list[str]:
        """Render the routes with an access file, or without; return the entries warned of."""
        file = self._folder / "access.yml"
        file.write_text(access)
        options = ("--access-file", file) if access else ()
        done = run("render-once", "-", "-o", self._dynamic, *options, stdin=self._policy)
        assert done.returncode == 0, done.stderr
        checked = run("validate", "-", "--format=json", *options, stdin=self._policy)
        found = json.loads(checked.stdout)["problems"]
        return sorted(each["entry"] for each in found if each["code"] == "alpn-missing")

    @property
    def access(self) -> str:
        """An access file by which each name knows the clients' protocol in another way."""
        return (
            f"clientAuth: {{home: {{caFiles: ['{self._home.ca_file}']}}}}\n"
            "default: public\n"
            f"routes: {{{STRICT}: {{access: mtls-strict, clientAuth: home}},"
            f" {EXPLICIT}: {{access: public, alpnProtocols: [postgresql, http/1.1]}}}}\n"
        )

    def ask(self, libpq: Libpq) -> tuple[int, dict[str, list[str]]]:
        """Return libpq's release, and the answers by name for both negotiations of TLS.

        Those for ``""`` are of a client without a certificate to the name that demands one.
        """
        certificate, key = self._home.issue("client")
        key.chmod(0o600)  # libpq uses no other
        shown = {"sslcert": str(certificate), "sslkey": str(key)}
        common = {
            "hostaddr": "127.0.0.1",
            "port": self.port,
            "user": "me",
            "dbname": "postgres",
            "sslmode": "verify-full",
            "sslrootcert": str(self._authority.ca_file),
            "connect_timeout": 15,
        }
        names = ("", *SCHEMES)
        asked = [
            {**common, "host": name or STRICT, "sslnegotiation": how, **(shown if name else {})}
            for how in ("postgres", "direct")
            for name in names
        ]
        release, answers = libpq.ask(*asked)
        pairs = zip(answers[: len(names)], answers[len(names) :], strict=True)
        return release, dict(zip(names, map(list, pairs), strict=True))


def check_libpq(libpq: Libpq, stage: PostgresStage, release: int) -> None:
    """Have a libpq refused by Traefik's default, and let through by the access file."""

    def is_refused() -> bool:
        found, answers = stage.ask(libpq)
        assert found >= release
        return all("no application protocol" in each for both in answers.values() for each in both)

    def gets_through() -> bool:
        _, answers = stage.ask(libpq)
        refused = all("certificate" in each for each in answers.pop(""))
        return refused and all(both == ["42", "42"] for both in answers.values())

    warned = stage.serve("")
    assert [entry.partition("._tcp.")[2] for entry in warned] == sorted([NAME, STRICT])
    until(is_refused, "Traefik's default does not refuse it")
    assert stage.serve(stage.access) == []
    until(gets_through, "the access file does not let it through")
