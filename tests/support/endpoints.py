"""An endpoint that plays a script, byte for byte, on a real socket."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Self

Script = Callable[[socket.socket], None]
"""Plays one connection, from after the request; the connection is closed when it returns."""

STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Connection: close\r\n\r\n"
)
"""The head of a stream that only the end of the connection ends."""

CHUNKED_STREAM = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\n\r\n"
)
"""The head that the worker sends."""


class ScriptedEndpoint:
    """Plays one script for each connection, the last one again and again."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._scripts = list(scripts)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        """The head of each request so far."""
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The URL of /api/config."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/api/config"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def hold(self, _connection: socket.socket) -> None:
        """Keep a connection open and silent until the endpoint stops; for the end of a script."""
        self.stopping.wait()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._play, args=(connection,), daemon=True).start()

    def _play(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(30)
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = connection.recv(65536)
                if not piece:
                    return
                head += piece
            with self._lock:
                self.requests.append(head)
                script = self._scripts[min(len(self.requests), len(self._scripts)) - 1]
            with connection:
                script(connection)


class Feed:
    """A script that sends what a test feeds it, as soon as it does; a context manager to end it.

    All connections that play it share what is fed.
    """

    def __init__(self, head: bytes = STREAM) -> None:
        self._head = head
        self._framed = chunk if b"chunked" in head else bytes
        self._pieces: queue.Queue[bytes | None] = queue.Queue()
        self._ended = False

    def __call__(self, connection: socket.socket) -> None:
        """Play one connection."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(self._head)
        while (piece := self._pieces.get()) is not None:
            connection.sendall(piece)
        if self._ended:
            self.close()  # for whoever else waits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self.close()

    def send(self, *pieces: bytes) -> None:
        """Send pieces, each on its own."""
        for piece in pieces:
            self._pieces.put(self._framed(piece))

    def close(self) -> None:
        """End one connection, without the last chunk."""
        self._pieces.put(None)


def saying_nothing(connection: socket.socket) -> None:
    """Keep a connection open and silent until the client closes it; for the end of a script."""
    connection.settimeout(None)
    with suppress(OSError):
        while connection.recv(4096):
            pass


def resetting(connection: socket.socket) -> None:
    """Close a connection with a reset; for the end of a script."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickling(head: bytes, byte: bytes = b"x") -> Script:
    """Return a script that sends a head, then one byte at a time until the client has enough."""

    def play(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(byte)
            time.sleep(0.02)

    return play


@contextmanager
def unanswering() -> Iterator[str]:
    """Give a URL whose host leaves every attempt to connect unanswered: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/config"


def sending(*pieces: bytes, then: Script | None = None) -> Script:
    """Return a script that sends pieces, each on its own, and then does something else."""

    def play(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        if then:
            then(connection)

    return play


def answering(status: str, body: bytes = b"", **headers: str) -> Script:
    """Return a script that sends one whole HTTP answer; ``_`` in a header's name means ``-``."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return sending("\r\n".join([*lines, "", ""]).encode() + body)


def chunk(data: bytes) -> bytes:
    """Frame data as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(name: str, data: Any, number: int = 1) -> bytes:
    """Frame an event as the worker does: event, data, id."""
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {line}\nid: {number}\n\n".encode()


def snapshot(hosts: dict[str, Any]) -> bytes:
    """Frame a snapshot with these hosts."""
    return event("machines-snapshot", {"machines": [], "acl": {"hosts": hosts}})
