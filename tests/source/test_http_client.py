"""One bounded GET: what it returns, what bounds it, and what it never does."""

from __future__ import annotations

import gzip
import socket
import threading
from typing import Any

import pytest
from local import free_ports
from support.endpoints import (
    Script,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    sending,
    trickling,
    unanswering,
)

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.source.endpoint import endpoint_from
from ctsdns_traefik.source.http_client import LARGEST_ERROR, HttpError, Response, http_get

OK = b"HTTP/1.1 200 OK\r\n\r\n"


def get(url: str, *, seconds: float = 60.0, largest: int = 1 << 20, **options: Any) -> Response:
    """Send a request with usual bounds."""
    return http_get(endpoint_from(url), seconds=seconds, largest=largest, **options)


def error_of(script: Script, **bounds: Any) -> str:
    """Return why a server's answer cannot be used."""
    with ScriptedEndpoint(script) as server, pytest.raises(HttpError) as caught:
        get(server.url, **bounds)
    return str(caught.value)


def test_status_headers_and_body() -> None:
    """All three are returned, the headers without regard to case."""
    script = answering("200 OK", b"{}", ETag='"abc"', Content_Type="application/hujson")
    with ScriptedEndpoint(script) as server:
        answer = get(server.url, headers=[("Accept", "a/b"), ("If-None-Match", '"abc"')])
        (request,) = server.requests
    assert (answer.status, answer.headers["etag"], answer.body) == (200, '"abc"', b"{}")
    lines = request.split(b"\r\n")
    assert {b"Accept: a/b", b'If-None-Match: "abc"', b"Accept-Encoding: identity"} <= {*lines}
    assert any(line.startswith(b"User-Agent: ctsdns-traefik/") for line in lines)


def test_not_modified_is_an_answer() -> None:
    """304 is returned: it is the only status of 3xx that leads nowhere else."""
    with ScriptedEndpoint(answering("304 Not Modified", ETag='"abc"')) as server:
        answer = get(server.url)
    assert (answer.status, answer.headers["ETag"], answer.body) == (304, '"abc"', b"")


def test_compressed_body_is_decompressed() -> None:
    """A body that a proxy has compressed comes out as it was, and is bounded as that."""
    script = answering("200 OK", gzip.compress(b"x" * 100_000), Content_Encoding="gzip")
    with ScriptedEndpoint(script) as server:
        assert get(server.url).body == b"x" * 100_000
    assert error_of(script, largest=50_000) == "its answer is larger than 48 KiB"


def test_error_is_returned_with_the_beginning_of_its_body() -> None:
    """The body of an error may explain it, but it is not read to its end."""
    script = answering("403 Forbidden", b"x" * (4 * LARGEST_ERROR), X_Request_Id="REQ-1")
    with ScriptedEndpoint(script) as server:
        answer = get(server.url, largest=10)
    assert (answer.status, answer.headers["x-request-id"]) == (403, "REQ-1")
    assert answer.body == b"x" * LARGEST_ERROR


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_an_error(status: int) -> None:
    """No request reaches where it leads, and a body that never ends is not read."""
    with ScriptedEndpoint(answering("200 OK")) as other:
        head = f"HTTP/1.1 {status} There\r\nLocation: {other.url}\r\n\r\n"
        error = error_of(trickling(head.encode()))
    target = "a redirect to 127.0.0.1, which is not followed: name the final URL"
    assert error == f"it answers {status}, {target}"
    assert other.requests == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(saying_nothing, id="silence"),
        pytest.param(sending(OK, then=saying_nothing), id="silence-amid-the-body"),
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\nX: "), id="trickling-head"),
        pytest.param(trickling(OK), id="trickling-body"),
        pytest.param(trickling(b"HTTP/1.1 500 Oops\r\n\r\n"), id="trickling-error"),
    ],
)
def test_time_is_bounded(script: Script) -> None:
    """However slowly an answer comes, it has one bound in all: these would come for ever."""
    assert error_of(script, seconds=0.4) == "it does not answer within 0.4 s"


def test_connecting_is_bounded() -> None:
    """The same holds where nothing takes the connection."""
    with (
        unanswering() as url,
        pytest.raises(HttpError, match=r"^it does not answer within 0\.4 s$"),
    ):
        get(url, seconds=0.4)


def test_name_look_up_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where a name look-up hangs."""
    released = threading.Event()

    def hang(*_: object, **__: object) -> None:
        released.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "try again")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        with pytest.raises(HttpError, match=r"^it does not answer within 0\.4 s$"):
            get("http://worker.example.com/", seconds=0.4)
    finally:
        released.set()


def test_body_is_bounded() -> None:
    """A body may have so many bytes, and no more, though it never ends."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(OK)
        while True:
            connection.sendall(b" " * 65536)

    assert error_of(flood) == "its answer is larger than 1 MiB"
    with ScriptedEndpoint(answering("200 OK", b"x" * 1000)) as server:
        assert len(get(server.url, largest=1000).body) == 1000


def test_it_can_be_cancelled() -> None:
    """Another thread ends it at once, with an error."""
    work = Cancellation()
    with ScriptedEndpoint(sending(OK, then=saying_nothing)) as server:
        threading.Timer(0.2, work.cancel).start()
        with pytest.raises(HttpError, match="cancelled"):  # and not that it does not answer
            get(server.url, seconds=60, largest=10, cancellation=work)


def test_proxies_can_be_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment is used unless the caller does not want it."""
    (port,) = free_ports(1)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with ScriptedEndpoint(answering("200 OK")) as server:
        with pytest.raises(HttpError, match="the proxy that http_proxy names cannot be"):
            get(server.url)
        assert get(server.url, proxies=False).status == 200
