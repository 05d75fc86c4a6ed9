"""How one gets in at the endpoint: headers, tokens, and that nothing of them is ever shown."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from local import free_ports
from support.certificates import Authority
from support.endpoints import STREAM, Script, ScriptedEndpoint, answering, resetting, sending
from support.streams import end_of

from ctsdns_traefik.source.endpoint import Header, endpoint_from

SCRIPT = sending(STREAM, b"data: 1\n\n")


def headers_in(request: bytes) -> list[Header]:
    """Return the headers of a request, names in lower case."""
    lines = request.decode("latin-1").split("\r\n")[1:-2]
    pairs = (line.split(": ", 1) for line in lines)
    return [(name.lower(), value) for name, value in pairs]


def authorization_in(request: bytes) -> list[str]:
    """Return the values of all Authorization headers of a request."""
    return [value for name, value in headers_in(request) if name == "authorization"]


def basic(credentials: str) -> str:
    """Return what a browser would send for credentials."""
    return f"Basic {b64encode(credentials.encode()).decode()}"


def test_request_for_a_stream() -> None:
    """One GET of the path with its query asks for an uncompressed, uncached event stream."""
    with ScriptedEndpoint(SCRIPT) as server:
        end_of(endpoint_from(f"{server.url}?tailnet=a%20b&x=1#fragment"))
        (request,) = server.requests
    assert request.startswith(b"GET /api/config?tailnet=a%20b&x=1 HTTP/1.1\r\n")
    headers = dict(headers_in(request))
    assert headers["accept"] == "text/event-stream"
    assert headers["accept-encoding"] == "identity"
    assert headers["cache-control"] == "no-cache"
    assert headers["user-agent"].startswith("ctsdns-traefik/")
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert "authorization" not in headers


def test_headers_are_sent() -> None:
    """Headers that the user sets are sent as they are, and outrank those of the program."""
    own = [("CF-Access-Client-Id", "id.access"), ("X-Words", "two words: é"), ("Accept", "*/*")]
    with ScriptedEndpoint(SCRIPT) as server:
        end_of(endpoint_from(server.url, headers=own))
        sent = headers_in(server.requests[0])
    assert [(name.lower(), value) for name, value in own if (name.lower(), value) not in sent] == []
    assert len([name for name, _ in sent if name == "accept"]) == 1


def test_header_given_twice_is_sent_twice() -> None:
    """Each header goes out as often as it is given, whatever its case; the program's own do not."""
    own = [("X-Team", "one"), ("Accept", "a/b"), ("x-team", "two"), ("ACCEPT", "c/d")]
    with ScriptedEndpoint(SCRIPT) as server:
        end_of(endpoint_from(server.url, headers=own))
        sent = headers_in(server.requests[0])
    assert [value for name, value in sent if name == "x-team"] == ["one", "two"]
    assert [value for name, value in sent if name == "accept"] == ["a/b", "c/d"]
    assert len([name for name, _ in sent if name in ("host", "user-agent")]) == 2


def test_header_given_twice_reaches_a_proxy_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a proxy on the way get only the last."""
    own = [("X-Team", "one"), ("X-Team", "two")]
    with ScriptedEndpoint(SCRIPT) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:pass@127.0.0.1:{server.port}")
        end_of(endpoint_from("http://worker.invalid/api/config", headers=own))
        sent = headers_in(server.requests[0])
    assert [value for name, value in sent if name == "x-team"] == ["one", "two"]
    assert ("proxy-authorization", basic("me:pass")) in sent


@pytest.mark.parametrize(
    ("user_info", "token", "file", "header", "expected"),
    [
        pytest.param("", None, None, None, [], id="nothing"),
        pytest.param("", "abc", None, None, ["Bearer abc"], id="token"),
        pytest.param("", " abc\n", None, None, ["Bearer abc"], id="token-with-space-around"),
        pytest.param("", None, "abc\n", None, ["Bearer abc"], id="token-file"),
        pytest.param("me:pass@", None, None, None, [basic("me:pass")], id="url"),
        pytest.param("me:p%40s%C3%A9:%2F@", None, None, None, [basic("me:p@sé:/")], id="escapes"),
        pytest.param("me:p@ss@", None, None, None, [basic("me:p@ss")], id="at-sign"),
        pytest.param("key@", None, None, None, [basic("key:")], id="user-alone"),
        pytest.param("", "abc", "def", None, ["Bearer def"], id="file-before-token"),
        pytest.param("me:pass@", "abc", None, None, ["Bearer abc"], id="token-before-url"),
        pytest.param("me:pass@", "abc", "def", "Token x", ["Token x"], id="header-before-all"),
    ],
)
def test_authorization(
    tmp_path: Path,
    user_info: str,
    token: str | None,
    file: str | None,
    header: str | None,
    expected: list[str],
) -> None:
    """At most one Authorization header is sent: the user's own, else token file, token, URL."""
    token_file = tmp_path / "token"
    token_file.write_text(file or "")
    with ScriptedEndpoint(SCRIPT) as server:
        endpoint = endpoint_from(
            server.url.replace("//", f"//{user_info}"),
            headers=[("authorization", header)] if header else [],
            token=token,
            token_file=token_file if file else None,
        )
        end_of(endpoint)
        (request,) = server.requests
    assert authorization_in(request) == expected
    assert b"@" not in request


def test_token_file_is_read_at_each_connection(tmp_path: Path) -> None:
    """A token that was renewed in its file is used by the next connection."""
    token_file = tmp_path / "token"
    with ScriptedEndpoint(SCRIPT) as server:
        endpoint = endpoint_from(server.url, token_file=token_file)
        for token in ("first", "second"):
            token_file.write_text(token)
            end_of(endpoint)
        sent = [authorization_in(request) for request in server.requests]
    assert sent == [["Bearer first"], ["Bearer second"]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "no such file or directory", id="missing"),
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"two s3cret words", "has a space", id="spaces"),
        pytest.param(b"s3cret\nX-Other: 1", "has a space", id="lines"),
        pytest.param(b"s3cret\xff", "not text", id="not-utf-8"),
        pytest.param("s3crét".encode(), "outside ASCII", id="not-ascii"),
    ],
)
def test_token_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A bad token file is blamed by name, without its content, and no request is made."""
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    with ScriptedEndpoint(SCRIPT) as server:
        _, error = end_of(endpoint_from(server.url, token_file=token_file))
        assert server.requests == []
    assert str(token_file) in str(error)
    assert reason in str(error)
    assert "s3cr" not in str(error)


@pytest.mark.parametrize("header", [None, "Token x"], ids=["no-header", "own-header"])
def test_netrc_is_not_consulted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str | None
) -> None:
    """Credentials that ~/.netrc has for the host neither appear nor replace the user's own."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    with ScriptedEndpoint(SCRIPT) as server:
        own = [("Authorization", header)] if header else []
        end_of(endpoint_from(server.url, headers=own))
        (request,) = server.requests
    assert authorization_in(request) == ([header] if header else [])


FAILURES = [
    pytest.param(sending(STREAM, b"data: 1\n\n"), id="end"),
    pytest.param(sending(), id="no-answer"),
    pytest.param(resetting, id="reset"),
    pytest.param(sending(b"nonsense\r\n"), id="no-http"),
    pytest.param(sending(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"), id="bad-header"),
    pytest.param(answering("302 Found", Location="/?s3cret"), id="redirect"),
    pytest.param(answering("302 Found", Location="https://s3cret@[::1"), id="bad-redirect"),
    pytest.param(answering("401 Unauthorized"), id="unauthorized"),
    pytest.param(answering("404 Not Found"), id="not-found"),
    pytest.param(answering("200 OK", b"<html>", Content_Type="text/html"), id="html"),
]


def require_no_secret(url: str, ca_file: Path | None = None) -> None:
    """Fail if an endpoint full of secrets, or the error it ends with, shows one."""
    endpoint = endpoint_from(
        url.replace("//", "//s3cret-user:s3cret-pass@") + "?key=s3cret-query#s3cret-fragment",
        headers=[("CF-Access-Client-Secret", "s3cret-header")],
        token="s3cret-token",
        ca_file=ca_file,
    )
    _, error = end_of(endpoint)
    shown = [str(error), repr(error), str(endpoint), repr(endpoint)]
    assert [text for text in shown if "s3cret" in text] == []
    assert str(endpoint) == url


@pytest.mark.parametrize("script", FAILURES)
def test_failed_connection_shows_no_secret(script: Script) -> None:
    """However the server misbehaves, neither the error nor the endpoint shows a secret."""
    with ScriptedEndpoint(script) as server:
        require_no_secret(server.url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:{port}/api/config", id="refused"),
        pytest.param("http://worker.invalid/api/config", id="unresolvable"),
        pytest.param("http://a..b/api/config", id="empty-label"),
        pytest.param(f"http://{'a' * 64}.example.com/api/config", id="long-label"),
    ],
)
def test_impossible_connection_shows_no_secret(url: str) -> None:
    """Where no connection can be made neither the error nor the endpoint shows a secret."""
    (port,) = free_ports(1)
    require_no_secret(url.format(port=port))


def test_failed_tls_shows_no_secret(authority: Authority) -> None:
    """With a certificate that cannot be trusted nothing secret is shown either."""
    with ScriptedEndpoint(SCRIPT, tls=authority.server_context("other.example.com")) as server:
        require_no_secret(server.url)
        require_no_secret(server.url, authority.ca_file)
