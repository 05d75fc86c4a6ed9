"""An upstream that streams as the worker does, save on connections that play something else."""

from __future__ import annotations

import queue
import random
import socket
import threading
from collections import deque
from contextlib import suppress

from support.endpoints import STREAM, Script, event

HEARTBEAT = 0.1
"""Seconds between the comments of a good stream, so that a short read timeout can be set."""

PATIENCE = 30.0
"""Seconds for anything to happen."""


def steady_port() -> int:
    """Find a free port that no outgoing connection takes while nothing listens on it."""
    for port in random.sample(range(20_000, 30_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise OSError("no free port")


class Upstream:
    """Plays the scripts in its queue, one a connection; else it streams the newest snapshot."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        """Closed, it keeps good connections without an answer."""
        self._scripts: deque[Script] = deque()
        self._pieces: queue.Queue[bytes | None] = queue.Queue()
        self._streaming = object()
        self.newest = b""
        """The snapshot that each good connection gets."""
        self.reset()

    def __call__(self, connection: socket.socket) -> None:
        """Play one connection."""
        try:
            script = self._scripts.popleft()
        except IndexError:
            script = self._stream
        script(connection)

    def reset(self) -> None:
        """Forget what was to be played."""
        self._scripts.clear()
        self.gate.set()

    def play_next(self, script: Script) -> None:
        """Play a script on the next connection, and keep those behind it waiting at the gate."""
        self.gate.clear()
        self._scripts.append(script)

    def publish(self, newest: bytes) -> None:
        """Send a snapshot now, and to every later connection at once."""
        self.newest = newest
        self.send(newest)

    def send(self, piece: bytes) -> None:
        """Send bytes on the open stream."""
        self._pieces.put(piece)

    def drop(self) -> None:
        """Close the open stream, and keep the next connection waiting at the gate."""
        self.gate.clear()
        self._pieces.put(None)

    def _stream(self, connection: socket.socket) -> None:
        mine = self._streaming = object()
        self.gate.wait(PATIENCE)
        if self._streaming is not mine:
            return  # another connection has taken over
        pieces = self._pieces = queue.Queue()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hello = event("connected", {"message": "SSE stream established"}, 0)
        connection.sendall(STREAM + hello + self.newest)
        while self._streaming is mine:
            try:
                piece = pieces.get(timeout=HEARTBEAT)
            except queue.Empty:
                piece = b": alive\n\n"
            if piece is None:
                return
            connection.sendall(piece)
