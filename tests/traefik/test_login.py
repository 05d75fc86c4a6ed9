"""A browser's login by way of the examples' auth server, with the real Traefik.

The stand-in answers as the documentation of oauth2-proxy says it does with ``upstreams =
["static://202"]`` and ``skip_provider_button``.
"""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support.accessed import GuardedTraefik
from support.backends import http_backend
from support.checked import Settings
from support.paths import ROOT

HERE = "127.0.0.1"
SESSION = "_oauth2_proxy=session"
PROVIDER = "https://login.example.org/authorize"


@contextmanager
def oauth2_proxy() -> Iterator[int]:
    """Run a stand-in for oauth2-proxy; give its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/oauth2/callback"):
                cookie = f"{SESSION}; Domain=.example.com; Secure"
                self.answer(302, Location="https://sso.example.com/", Set_Cookie=cookie)
            elif self.path == "/oauth2/auth":
                self.answer(202 if self.headers["Cookie"] == SESSION else 401)
            elif self.headers["Cookie"] == SESSION:
                self.answer(202, X_Auth_Request_User="a friend")
            else:
                self.answer(302, Location=PROVIDER)

        def answer(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((HERE, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("example", "name"), [("forward-auth", "sso"), ("tailscale-bypass", "shared")]
)
def test_login_of_a_browser(tmp_path: Path, stack: ExitStack, example: str, name: str) -> None:
    """A browser without a session is led to the login, and is let in with a cookie."""
    proxy = stack.enter_context(oauth2_proxy())
    web = stack.enter_context(http_backend("web"))
    text = (ROOT / "examples" / "access" / f"{example}.yml").read_text()
    access = text.replace(f"{HERE}:4180", f"{HERE}:{proxy}")
    hosts = {
        f"_web_http_{web}._tcp.{name}.example.com": HERE,
        f"_web_http_{proxy}._tcp.auth.example.com": HERE,
    }
    settings: Settings = {"entryPoints": {"web": {}}}
    traefik = stack.enter_context(GuardedTraefik(tmp_path / "t", settings, hosts, access))
    traefik.until_routed()

    def get(host: str, path: str, cookie: str = "") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(HERE, traefik.ports["web"], timeout=60)
        stack.callback(connection.close)
        connection.request("GET", path, headers={"Host": f"{host}.example.com", "Cookie": cookie})
        return connection.getresponse()

    first = get(name, "/")
    assert (first.status, first.headers["Location"]) == (302, PROVIDER)
    back = get("auth", "/oauth2/callback?code=x")
    cookie = (back.headers["Set-Cookie"] or "").partition(";")[0]
    assert (back.status, cookie) == (302, SESSION)
    last = get(name, "/", cookie)
    assert (last.status, last.read()) == (200, b"web")
