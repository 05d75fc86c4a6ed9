"""``/traefik.json?wait=``: an answer that waits for a change."""

from __future__ import annotations

import gc
import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from local import until

from ctsdns_traefik.core.durations import LONGEST_HUB_WAIT
from ctsdns_traefik.server.address import listen_address_from, open_listener
from ctsdns_traefik.server.application import Application, Request, Settings
from ctsdns_traefik.server.guard import SecretFile
from ctsdns_traefik.server.handover import Handover
from ctsdns_traefik.server.server import Server

DOCUMENTS = (b"{}\n", b'{"a": 1}\n', b'{"b": 2}\n')


class Hub:
    """A server in a thread of this process, and its documents."""

    def __init__(self, settings: Settings) -> None:
        self.handover = Handover()
        listener = open_listener(listen_address_from("0"))
        self.port = listener.getsockname()[1]
        application = Application(self.handover, settings)
        self.server = Server(listener, application, self.handover, interval=3600)

    def publish(self, content: bytes) -> None:
        """Serve another document."""
        self.handover.publish_document(content, {}, trusted=True)

    def get(self, path: str = "/metrics") -> int:
        """Ask on a connection of its own; return the status."""
        with client(self.port) as connection:
            connection.request("GET", path)
            return connection.getresponse().status


@contextmanager
def client(port: int) -> Iterator[http.client.HTTPConnection]:
    """Give a connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def answer(
    connection: http.client.HTTPConnection, query: str = "", **headers: str
) -> tuple[int, bytes]:
    """Ask for the document, and return the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", f"/traefik.json{query}", headers=named)
    response = connection.getresponse()
    return response.status, response.read()


def connections_known() -> int:
    """Return how many connections the server has not forgotten."""
    gc.collect()
    return sum(type(each).__name__ == "_Stream" for each in gc.get_objects())


def before_each_wait(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once it is decided that an answer waits, in the server's thread."""
    seconds_to_wait = Application.seconds_to_wait

    def decide(*arguments: Any, **had: Any) -> float:
        seconds = seconds_to_wait(*arguments, **had)
        if seconds:
            action()
        return seconds

    monkeypatch.setattr(Application, "seconds_to_wait", decide)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Serve; there is no document yet."""
    hub = Hub(Settings())
    with hub.server:
        yield hub


def test_answer_waits_for_a_change(hub: Hub) -> None:
    """A connection gets what is new to it at once, and then waits, if it asks for that."""
    hub.publish(DOCUMENTS[0])
    with client(hub.port) as connection:
        assert answer(connection, "?wait=60s") == (200, DOCUMENTS[0])
        for content in DOCUMENTS[1:]:
            connection.request("GET", "/traefik.json?x=1&wait=20s&wait=60s")
            assert hub.get() == 200  # the request before this one has been read, too
            hub.publish(content)
            response = connection.getresponse()
            assert (response.status, response.read()) == (200, content)
        hub.publish(DOCUMENTS[0])
        assert answer(connection, "?wait=60s") == (200, DOCUMENTS[0])
        assert answer(connection) == (200, DOCUMENTS[0])  # waits only if asked to


def test_wait_ends(hub: Hub) -> None:
    """After its time an answer comes without a change, and the next one waits again."""
    hub.publish(DOCUMENTS[0])
    with client(hub.port) as connection:
        assert answer(connection) == (200, DOCUMENTS[0])
        for _ in range(2):
            began = time.monotonic()
            assert answer(connection, "?wait=100ms") == (200, DOCUMENTS[0])
            assert time.monotonic() - began >= 0.1


def test_same_document_again_is_no_change(hub: Hub) -> None:
    """What watch writes once more, and a change of the hosts alone, releases no answer."""
    hub.publish(DOCUMENTS[0])
    with client(hub.port) as connection:
        assert answer(connection) == (200, DOCUMENTS[0])
        began = time.monotonic()
        connection.request("GET", "/traefik.json?wait=300ms")
        assert hub.get() == 200
        hub.publish(bytes(bytearray(DOCUMENTS[0])))
        hub.handover.publish_hosts({"_web_http_80._tcp.a.example.com": "100.64.0.1"})
        assert connection.getresponse().status == 200
        assert time.monotonic() - began >= 0.3


def test_first_document_is_waited_for(hub: Hub) -> None:
    """Before there is one even a new client waits, so that Traefik has the first one at once."""
    with client(hub.port) as connection:
        assert answer(connection, "?wait=10ms")[0] == 503
        connection.request("GET", "/traefik.json?wait=60s")
        assert hub.get() == 200
        hub.publish(DOCUMENTS[1])
        assert connection.getresponse().read() == DOCUMENTS[1]


def test_entity_tag_is_waited_for(hub: Hub) -> None:
    """A client that names what it has waits on a connection of its own: 304, or a change."""
    hub.publish(DOCUMENTS[0])
    with client(hub.port) as connection:
        connection.request("HEAD", "/traefik.json?wait=60s")
        tag = connection.getresponse().headers["ETag"]
    with client(hub.port) as connection:
        assert answer(connection, "?wait=10ms", If_None_Match=tag) == (304, b"")
        connection.request("GET", "/traefik.json?wait=60s", headers={"If-None-Match": tag})
        assert hub.get() == 200
        hub.publish(DOCUMENTS[1])
        assert connection.getresponse().read() == DOCUMENTS[1]


def test_entity_tag_counts_more_than_the_connection(hub: Hub) -> None:
    """A proxy sends two clients' requests on one connection: who names an older one has it not."""
    hub.publish(DOCUMENTS[0])
    with client(hub.port) as connection:
        connection.request("GET", "/traefik.json")
        response = connection.getresponse()
        assert response.read() == DOCUMENTS[0]
        hub.publish(DOCUMENTS[1])
        assert answer(connection, "?wait=60s") == (200, DOCUMENTS[1])
        older = response.headers["ETag"]
        assert answer(connection, "?wait=60s", If_None_Match=older) == (200, DOCUMENTS[1])


def test_change_while_an_answer_is_made(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that comes while the one before is compressed is news to who got that one."""
    compress = gzip.compress

    def publish_and_compress(content: bytes, *level: int, **options: Any) -> bytes:
        hub.publish(DOCUMENTS[1])
        return compress(content, *level, **options)

    hub.publish(DOCUMENTS[0])
    monkeypatch.setattr(gzip, "compress", publish_and_compress)
    with client(hub.port) as connection:
        for content in DOCUMENTS[:2]:
            status, body = answer(connection, "?wait=60s", Accept_Encoding="gzip")
            assert (status, gzip.decompress(body)) == (200, content)


def test_change_while_a_wait_begins(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that comes after the client's was looked up, and before it waits, is sent."""
    hub.publish(DOCUMENTS[0])
    before_each_wait(monkeypatch, lambda: hub.publish(DOCUMENTS[1]))
    with client(hub.port) as connection:
        for content in DOCUMENTS[:2]:
            assert answer(connection, "?wait=60s") == (200, content)


def test_head_never_waits(hub: Hub) -> None:
    """``HEAD`` is answered at once, again and again, and counts as nothing that was had."""
    hub.publish(DOCUMENTS[0])
    with client(hub.port) as connection:
        for _ in range(3):
            connection.request("HEAD", "/traefik.json?wait=60s")
            assert connection.getresponse().read() == b""
        assert answer(connection, "?wait=60s") == (200, DOCUMENTS[0])


@pytest.mark.parametrize("wait", ["", "3", "-1s", "1.5s", "3%73s", "soon", "\u0663s"])
def test_wait_is_a_duration(hub: Hub, wait: str) -> None:
    """Anything else is 400, and says what to write."""
    hub.publish(DOCUMENTS[0])
    quoted = quote(wait, safe="%")
    with client(hub.port) as connection:
        status, body = answer(connection, f"?wait={quoted}")
    assert (status, body) == (400, b"wait takes a duration such as 3s or 500ms\n")


def test_wait_is_bounded() -> None:
    """An hour is a minute."""
    request = Request("GET", "/traefik.json", {}, query="wait=1h")
    assert request.wait == LONGEST_HUB_WAIT
    assert Request("GET", "/traefik.json", {}, query="waits=x").wait == 0


def asked_and_ended(port: int, request: str, first: str = "") -> bytes:
    """Ask and end this side, after a first request if there is one; return the last answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        if first:
            connection.sendall(f"{first}\r\nHost: localhost\r\n\r\n".encode())
            while not connection.recv(65536).endswith(DOCUMENTS[0]):
                pass
        connection.sendall(f"{request}\r\nHost: localhost\r\n\r\n".encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(partial(connection.recv, 65536), b""))


def test_client_that_ends_its_side_is_answered(hub: Hub) -> None:
    """It has the answer at once, whether or not that would wait, and then the connection ends."""
    hub.publish(DOCUMENTS[0])
    waits = "GET /traefik.json?wait=60s HTTP/1.1"
    for _ in range(20):
        for request in ("GET /metrics HTTP/1.0", "GET /traefik.json HTTP/1.1", waits):
            assert asked_and_ended(hub.port, request).startswith(b"HTTP/1.1 200 OK\r\n")
        assert asked_and_ended(hub.port, waits, first=waits).endswith(DOCUMENTS[0])
    before = connections_known()
    followers = [socket.create_connection(("127.0.0.1", hub.port)) for _ in range(5)]
    for follower in followers:
        follower.sendall(b"GET /api/config HTTP/1.1\r\nHost: localhost\r\n\r\n")
        follower.shutdown(socket.SHUT_WR)
        while follower.recv(65536):
            pass
        follower.close()
    until(lambda: connections_known() <= before, "connections are kept")


def test_large_answer_for_a_client_that_ends_its_side(hub: Hub) -> None:
    """It comes whole, though it does not fit into the socket's buffer."""
    large = b'"' + b"x" * 50_000_000 + b'"\n'
    hub.publish(large)
    assert asked_and_ended(hub.port, "GET /traefik.json HTTP/1.1").endswith(large)


def test_clients_that_leave_are_forgotten(hub: Hub) -> None:
    """A client that goes while it waits leaves nothing behind."""
    hub.publish(DOCUMENTS[0])
    before = connections_known()
    for _ in range(50):
        with client(hub.port) as connection:
            assert answer(connection) == (200, DOCUMENTS[0])
            connection.request("GET", "/traefik.json?wait=60s")
            assert hub.get() == 200
    until(lambda: connections_known() <= before, "connections are kept")
    hub.publish(DOCUMENTS[1])
    with client(hub.port) as connection:
        assert answer(connection, "?wait=60s") == (200, DOCUMENTS[1])


def test_token_counts_when_the_answer_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not ask any more gets no document, however early the request, and had none."""
    waits = threading.Event()
    before_each_wait(monkeypatch, waits.set)
    file = tmp_path / "token"
    file.write_text("old\n")
    tokens = SecretFile(file, "token")
    hub = Hub(Settings(tokens=tokens))
    hub.publish(DOCUMENTS[0])
    with hub.server, client(hub.port) as connection:
        bearer = {"Authorization": "Bearer old"}
        assert answer(connection, **bearer) == (200, DOCUMENTS[0])
        connection.request("GET", "/traefik.json?wait=60s", headers=bearer)
        assert waits.wait(60)
        file.write_text("new\n")
        tokens.reload()
        hub.publish(DOCUMENTS[1])
        response = connection.getresponse()
        assert (response.status, response.read()) == (401, b"a token is needed\n")
        bearer = {"Authorization": "Bearer new"}
        assert answer(connection, "?wait=60s", **bearer) == (200, DOCUMENTS[1])
