"""An endpoint that plays a script, byte for byte, on a real socket."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
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

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        """Take the scripts, and a server's context to speak TLS."""
        self._scripts = list(scripts)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        """The head of each request so far."""
        self.stopping = threading.Event()

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
            self.requests.append(head)
            script = self._scripts[min(len(self.requests), len(self._scripts)) - 1]
            with connection:
                script(connection)


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
