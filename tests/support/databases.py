"""Real database servers on ports of 127.0.0.1 that keep nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from local import free_ports, running, until
from support.ssh import listens

POSTGRES_USER = "postgres"
"""Whom Debian's package makes for the server, which refuses to run as root."""
POSTGRES_PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nowhere"))

needs_postgres = pytest.mark.skipif(
    not (shutil.which("psql") and (POSTGRES_PROGRAMS / "initdb").exists()),
    reason="there is no Postgres on this machine",
)

MARIADB = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_mariadb = pytest.mark.skipif(
    not (MARIADB and shutil.which("mariadb") and shutil.which("mariadb-install-db")),
    reason="there is no MariaDB on this machine",
)

Certificate = tuple[Path, Path]
"""The files of a certificate and its key."""


@contextmanager
def postgres(certificate: Certificate | None = None) -> Iterator[int]:
    """Run a Postgres server that trusts everybody on this machine; give its port.

    With a certificate it takes connections with TLS as well as without.
    """
    launcher: list[str] = []
    (port,) = free_ports(1)
    # The owner may not enter pytest's own folders.
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:
            owner = pwd.getpwnam(POSTGRES_USER)
            os.chown(folder, owner.pw_uid, owner.pw_gid)
            groups = [f"--regid={owner.pw_gid}", "--clear-groups"]
            launcher = ["setpriv", f"--reuid={POSTGRES_USER}", *groups]
        data = str(Path(folder) / "data")
        make = ["initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync"]
        make[0] = str(POSTGRES_PROGRAMS / "initdb")
        subprocess.run([*launcher, *make], capture_output=True, cwd="/", check=True, timeout=60)
        serve = [str(POSTGRES_PROGRAMS / "postgres"), "-D", data, "-p", str(port), "-k", folder]
        tls = _tls_of_postgres(certificate, Path(folder)) if certificate else []
        with running([*launcher, *serve, *tls, "-h", "127.0.0.1", "-F"], Path(folder) / "log"):
            until(lambda: listens(port), "Postgres does not listen")
            yield port


def _tls_of_postgres(certificate: Certificate, folder: Path) -> list[str]:
    """Give the server copies of its own, since nobody else may read its key."""
    options = ["-c", "ssl=on"]
    for setting, path in zip(("ssl_cert_file", "ssl_key_file"), certificate, strict=True):
        copy = folder / path.name
        shutil.copyfile(path, copy)
        copy.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(copy, POSTGRES_USER)
        options += ["-c", f"{setting}={copy}"]
    return options


@contextmanager
def mariadb(certificate: Certificate, folder: Path) -> Iterator[int]:
    """Run a MariaDB server whose root has no password, with and without TLS; give its port."""
    (port,) = free_ports(1)
    data = folder / "mariadb"
    user = [f"--user={pwd.getpwuid(os.geteuid()).pw_name}"]
    make = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", *user]
    make.append("--auth-root-authentication-method=normal")
    subprocess.run(make, capture_output=True, check=True, timeout=60)
    serve = [str(MARIADB), "--no-defaults", f"--datadir={data}", f"--port={port}", *user]
    serve += ["--bind-address=127.0.0.1", f"--socket={folder / 'mariadb.sock'}"]
    serve += [f"--ssl-cert={certificate[0]}", f"--ssl-key={certificate[1]}"]
    with running(serve, folder / "mariadb.log"):
        until(lambda: listens(port), "MariaDB does not listen")
        yield port
