"""A server that speaks the worker's protocol and knows when it sent an event's first byte."""

from __future__ import annotations

import queue
import socket
import time
from typing import Self

from support.endpoints import CHUNKED_STREAM, ScriptedEndpoint, chunk, event

HELLO = chunk(event("connected", {"message": "SSE stream established"}, 0))


class Source:
    """Sends one connection what it is given, in whole chunks; a context manager that ends it."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue()
        self._server = ScriptedEndpoint(self._play)
        self.began = 0.0
        """When the first byte of the newest chunk was about to go."""

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._chunks.put(None)
        self._server.__exit__()

    @property
    def url(self) -> str:
        """Where to connect."""
        return self._server.url

    def send(self, framed: bytes) -> None:
        """Send a chunk, framed already, from another thread."""
        self._chunks.put(framed)

    def _play(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(CHUNKED_STREAM + HELLO)
        while (framed := self._chunks.get()) is not None:
            self.began = time.perf_counter()
            connection.sendall(framed)
