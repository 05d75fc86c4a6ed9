"""A proxy that can cut the connections it passes on, amid an answer."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class CuttingProxy:
    """Passes connections on to a port of 127.0.0.1; a context manager that ends it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.after: int | None = None
        """Bytes of answers after which a connection is cut; ``None`` for never."""
        self.cuts = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._target), timeout=60)
            with server:
                threading.Thread(target=self._pass, args=(client, server), daemon=True).start()
                self._pass(server, client, answers=True)

    def _pass(self, source: socket.socket, target: socket.socket, *, answers: bool = False) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                passed += len(piece)
                if answers and self.after is not None and passed > self.after:
                    target.sendall(piece[: max(0, self.after - passed + len(piece))])
                    self.cuts += 1
                    break
                target.sendall(piece)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
