"""Variables that keep a request from being sent, and proxies that refuse it, are named."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.certificates import Authority
from support.commands import run
from support.endpoints import ScriptedEndpoint, answering

AWAY = "https://policy.example.com/acl"


def failure(url: str, **environment: str) -> str:
    """Return the one line of a render-once that fails."""
    unset = dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "no_proxy", "NO_PROXY"), "")
    done = run("render-once", "--timeout", "20", url, environment={**unset, **environment})
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.skipif(find_spec("socks") is not None, reason="PySocks is there")
def test_proxy_of_another_kind() -> None:
    """A SOCKS proxy needs a package that is not there, which is named."""
    needs = "HTTPS_PROXY names a SOCKS proxy, which needs PySocks: "
    fix = f"{sys.executable} -m pip install pysocks"
    assert failure(AWAY, HTTPS_PROXY="socks5://127.0.0.1:1").endswith(needs + fix)


def test_file_without_certificates(authority: Authority, tmp_path: Path) -> None:
    """Nor is a file that has none taken for a fault of the server."""
    (tmp_path / "ca.pem").write_text("nothing\n")
    with ScriptedEndpoint(tls=authority.server_context("127.0.0.1")) as server:
        line = failure(server.url, REQUESTS_CA_BUNDLE=str(tmp_path / "ca.pem"))
    assert line.endswith("REQUESTS_CA_BUNDLE names no file with certificates")


@pytest.mark.parametrize(
    ("status", "what"),
    [
        pytest.param("403 Forbidden", "does not allow this connection (403)", id="forbidden"),
        pytest.param("407 Proxy Authentication Required", "asks for credentials (407)", id="auth"),
        pytest.param("502 Bad Gateway", "answers 502", id="other"),
    ],
)
def test_proxy_that_refuses(stack: ExitStack, status: str, what: str) -> None:
    """What a proxy answers in place of a tunnel is told from an answer of the source."""
    proxy = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

    def refuse() -> None:
        connection, _ = proxy.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    assert f"the proxy that HTTPS_PROXY names {what}" in failure(AWAY, HTTPS_PROXY=url)
    thread.join(60)


@pytest.mark.parametrize(
    ("status", "what"),
    [
        pytest.param(
            "403 Forbidden",
            "it answers 403: it refuses these credentials, or the proxy that HTTP_PROXY names does"
            " not allow this connection (403)",
            id="forbidden",
        ),
        pytest.param(
            "407 Proxy Authentication Required",
            "the proxy that HTTP_PROXY names asks for credentials (407)",
            id="auth",
        ),
    ],
)
def test_proxy_without_a_tunnel(status: str, what: str) -> None:
    """For an http URL the proxy's answer stands in place of the source's."""
    with ScriptedEndpoint(answering(status)) as proxy:
        url = proxy.url.removesuffix("/api/config")
        assert what in failure("http://policy.example.com/acl", HTTP_PROXY=url)
        assert "HTTP_PROXY" not in failure(proxy.url, HTTP_PROXY=url, NO_PROXY="127.0.0.1")
