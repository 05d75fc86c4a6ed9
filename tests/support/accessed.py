"""A real Traefik whose routes an access file guards, and an auth server."""

from __future__ import annotations

import http.server
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.certificates import Authority
from support.checked import CheckedTraefik, Settings
from support.traefik import any_certificate, traefik_release

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.checks.access import check_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.problems import Diagnostic
from ctsdns_traefik.core.static_config.configuration import read_static

INTERNET, TAILNET = "127.0.0.1", "127.0.0.2"
"""Where clients come from: on Linux all of 127.0.0.0/8 is this machine's."""

RANGES = f"tailnet: {{ranges: [{TAILNET}/32]}}\n"


class GuardedTraefik(CheckedTraefik):
    """Traefik with some settings and the document of some hosts and an access file."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        hosts: Mapping[str, str],
        access: str,
        trusted: Path | None = None,
    ) -> None:
        super().__init__(folder, settings, hosts)
        self._launcher = ["env", f"SSL_CERT_FILE={trusted}"] if trusted else []
        self.access = read_access(RANGES + access)
        self.rendering = render(hosts, access=self.access)
        self._routes = list(self.rendering.routes)
        self.output.write_text(self.rendering.text)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What the checks say of the access file."""
        static = read_static(self._text, "yaml")
        entries, routes = self.rendering.entries, self.rendering.routes
        return self.rendering.diagnostics + check_access(
            entries, routes, self.access, static, traefik_release()
        )

    def status_behind(self, client: str, entrypoint: str, host: str) -> int:
        """Ask as a proxy does that names a client's address (PROXY protocol); 0 is no answer."""
        port = self.ports[entrypoint]
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(f"PROXY TCP4 {client} 127.0.0.1 5555 {port}\r\n{request}".encode())
            answer = connection.makefile("rb").readline().split()
        return int(answer[1]) if answer else 0


@contextmanager
def auth_server() -> Iterator[str]:
    """Admit requests with ``Authorization: friend``, as X-Forwarded-User; give the address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            friend = self.headers["Authorization"] == "friend"
            body = b"" if friend else b"who are you?"
            self.send_response(200 if friend else 401)
            self.send_header("X-Forwarded-User", "a friend")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _served(Handler) as port:
        yield f"http://127.0.0.1:{port}/verify?aud=AUD"


@contextmanager
def user_backend() -> Iterator[int]:
    """Answer with the user's name that came with the request, ``nobody`` if none; give the port.

    It reads headers as CGI does, where ``X_Forwarded_User`` is ``X-Forwarded-User``, too.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            variables = {
                re.sub("[^A-Z0-9]", "_", name.upper()): value
                for name, value in self.headers.items()
            }
            body = (variables.get("X_FORWARDED_USER") or "nobody").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _served(Handler) as port:
        yield port


@contextmanager
def _served(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


def client_with(authority: Authority, name: str = "client") -> ssl.SSLContext:
    """Return the context of a client with a certificate of an authority."""
    context = any_certificate()
    context.load_cert_chain(*authority.issue(name))
    return context


def authority_in(folder: Path) -> Authority:
    """Make an authority with a folder of its own."""
    folder.mkdir()
    return Authority(folder)
