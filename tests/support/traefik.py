"""A real Traefik with the example's static configuration or another, on ports of 127.0.0.1."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from local import find_traefik, running, until, write_static_configuration


def traefik_release() -> tuple[int, int, int]:
    """Return the release of the Traefik that the tests run, ``(3, 7, 15)`` for one."""
    logged = subprocess.run([find_traefik(), "version"], capture_output=True, text=True, check=True)
    version = re.search(r"Version:\s+v?(\d+)\.(\d+)\.(\d+)", logged.stdout)
    assert version, logged.stdout
    return int(version[1]), int(version[2]), int(version[3])


def traefik_version() -> tuple[int, int]:
    """Return its major and minor version, ``(3, 7)`` for one."""
    return traefik_release()[:2]


HAS_ALIAS_HEADERS = traefik_release() >= (3, 7, 12)
"""Whether its entrypoints have ``http.aliasHeadersStrategy``."""


needs_wildcards = pytest.mark.skipif(
    traefik_version() < (3, 7), reason="Traefik has wildcards in its rules since 3.7"
)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: str


class Traefik:
    """Traefik as a process; a context manager that ends it.

    The dynamic file must exist. The launcher is a command that starts the command behind it.
    """

    def __init__(self, folder: Path, dynamic: Path, launcher: Sequence[str] = ()) -> None:
        self._launcher = launcher
        self._folder = folder
        self._dynamic = dynamic
        self._log = folder / "traefik.log"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        static = self._folder / "traefik.yml"
        self.ports = self._write_static(static)
        command = [*self._launcher, find_traefik(), f"--configFile={static}"]
        self._process = self._stack.enter_context(running(command, self._log))
        until(lambda: self.get("traefik", "localhost", "/api/version").status == 200, "no Traefik")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _write_static(self, path: Path) -> dict[str, int]:
        """Write the static configuration; return the ports of its entrypoints."""
        ports = write_static_configuration(path, self._dynamic)
        if not HAS_ALIAS_HEADERS:  # it would not start
            path.write_text(re.sub("(?m)^ *aliasHeadersStrategy:.*\n", "", path.read_text()))
        return ports

    @property
    def errors(self) -> list[str]:
        """The lines of its log at the level of an error."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self._log.read_text())
        return [line for line in text.splitlines() if re.search(r"\b(ERR|FTL|PNC)\b", line)]

    def routers(self) -> dict[str, dict[str, Any]]:
        """Return the routers of the dynamic file by name, as Traefik's API shows them."""
        found = {}
        for kind in ("http", "tcp", "udp"):
            answer = self.get("traefik", "localhost", f"/api/{kind}/routers?per_page=100000")
            for router in json.loads(answer.body):
                if router["provider"] == "file":
                    found[router["name"].removesuffix("@file")] = router
        return found

    def get(
        self,
        entrypoint: str,
        host: str,
        path: str = "/",
        *,
        tls: ssl.SSLContext | None = None,
        source: str = "127.0.0.1",
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request for a host to an entrypoint; status 0 means no answer."""
        connection = _Connection(self.ports[entrypoint], host, tls, source)
        try:
            connection.request(method, path, headers={"Host": host, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.read().decode())
        except (OSError, http.client.HTTPException):
            return Answer(0, "")
        finally:
            connection.close()

    def connect_tls(
        self, entrypoint: str, name: str, context: ssl.SSLContext, source: str = "127.0.0.1"
    ) -> ssl.SSLSocket:
        """Open a TLS connection to an entrypoint with a name in the handshake (SNI)."""
        address = ("127.0.0.1", self.ports[entrypoint])
        plain = socket.create_connection(address, timeout=30, source_address=(source, 0))
        return context.wrap_socket(plain, server_hostname=name)


def any_certificate() -> ssl.SSLContext:
    """Return a client's context for Traefik's own, self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Connection(http.client.HTTPConnection):
    """HTTP to 127.0.0.1, over TLS with another name in the handshake if a context is given."""

    def __init__(self, port: int, name: str, tls: ssl.SSLContext | None, source: str) -> None:
        super().__init__("127.0.0.1", port, timeout=30, source_address=(source, 0))
        self._name, self._tls = name, tls

    def connect(self) -> None:
        super().connect()
        if self._tls:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)
