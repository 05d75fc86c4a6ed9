"""The commands that ``ctsdns-traefik parse-host`` prints, run for real against a TLS server."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from local import free_ports, running, until
from support.certificates import Authority
from support.commands import run

DOMAIN = "db.example.com"
BANNER = b"5.5.5-10.11.6-MariaDB\n"
TRUST = "/etc/ssl/certs/ca-certificates.crt"

TOOLS = tuple(
    pytest.param(
        name,
        marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"),
    )
    for name in ("socat", "stunnel", "haproxy")
)

BEFORE = {
    "stunnel": "foreground = yes\npid =\n",
    "haproxy": "defaults\n    retries 0\n",
}
"""What a configuration file of the tool needs above the printed section."""

START = {"stunnel": ["stunnel"], "haproxy": ["haproxy", "-db", "-f"]}


class Server:
    """Speaks first, over TLS, as Traefik does for a MySQL backend; keeps the names it is asked."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.names: list[str | None] = []
        """The name (SNI) in each handshake so far."""
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve in a thread."""
        threading.Thread(target=self._serve, daemon=True).start()
        try:
            yield
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            plain.settimeout(60)
            with suppress(OSError), self._context.wrap_socket(plain, server_side=True) as tls:
                tls.sendall(BANNER)
                tls.recv(1)


def printed(tool: str) -> tuple[str, int]:
    """Return what parse-host prints for a tool, and the local port in it."""
    done = run("parse-host", "--format", "json", f"_tcp_mysql_3306._tcp.{DOMAIN}")
    (entry,) = json.loads(done.stdout)
    return entry["clients"][tool], entry["clients"]["port"]


def start(tool: str, text: str, folder: Path) -> list[str]:
    """Return the command that starts a tool with a printed text."""
    if tool not in START:
        return shlex.split(text)
    configuration = folder / f"{tool}.conf"
    configuration.write_text(f"{BEFORE[tool]}{text}\n")
    return [*START[tool], str(configuration)]


def greeting(port: int) -> list[bytes]:
    """Return what a plain client on this machine gets first; no item if nothing listens."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            return [plain.recv(len(BANNER), socket.MSG_WAITALL)]
    except ConnectionRefusedError:
        return []
    except ConnectionResetError:
        return [b""]


def greeted_through(tool: str, server: Server, authority: Authority, folder: Path) -> bytes:
    """Run what is printed for a tool; return what a plain client gets through it.

    Only where it connects to, which port it opens and whom it trusts are replaced: the name is
    not known to this machine's resolver, and the authority is the test's own.
    """
    text, port = printed(tool)
    (local,) = free_ports(1)
    for old, new, times in (
        (f"{DOMAIN}:4433", f"127.0.0.1:{server.port}", 1),
        (TRUST, str(authority.ca_file), 1),
        (f":{port}", f":{local}", 1),
    ):
        assert text.count(old) == times
        text = text.replace(old, new)
    log = folder / f"{tool}.log"
    with server.serving(), running(start(tool, text, folder), log):
        (got,) = until(lambda: greeting(local), f"{tool} does not listen")
        return got


@pytest.mark.parametrize("tool", TOOLS)
def test_plain_client_gets_through_with_the_right_name(
    tool: str, authority: Authority, tmp_path: Path
) -> None:
    """A client without TLS gets the server's banner, and the server sees the domain as SNI."""
    # socat checks the certificate against where it connects to, here 127.0.0.1.
    server = Server(authority.server_context(DOMAIN, "127.0.0.1"))
    assert greeted_through(tool, server, authority, tmp_path) == BANNER
    assert server.names == [DOMAIN]


@pytest.mark.parametrize("tool", TOOLS)
def test_certificate_for_another_name_is_refused(
    tool: str, authority: Authority, tmp_path: Path
) -> None:
    """A server with somebody else's certificate is asked by name, but nothing gets through."""
    server = Server(authority.server_context("other.example.com"))
    assert greeted_through(tool, server, authority, tmp_path) == b""
    assert server.names == [DOMAIN]


@pytest.mark.parametrize("tool", TOOLS)
def test_certificate_of_another_authority_is_refused(
    tool: str, authority: Authority, tmp_path: Path
) -> None:
    """A certificate for the right name from an authority that is not trusted is refused too."""
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    server = Server(Authority(stranger).server_context(DOMAIN, "127.0.0.1"))
    assert greeted_through(tool, server, authority, tmp_path) == b""
    assert server.names == [DOMAIN]
