"""A watch that listens, and what clients get from it."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from local import PATIENCE, free_ports
from support.commands import Watch


class Reply(NamedTuple):
    """An HTTP answer; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class Hub(Watch):
    """``watch --listen`` as a process, on a port of 127.0.0.1 unless told otherwise."""

    def __init__(
        self,
        endpoint: str,
        output: Path,
        *arguments: str,
        port: int = 0,
        context: ssl.SSLContext | None = None,
        **attributes: Any,
    ) -> None:
        self.port = port or free_ports(1)[0]
        self._context = context
        if "--listen" not in arguments:
            arguments = ("--listen", f"127.0.0.1:{self.port}", *arguments)
        super().__init__(endpoint, output, *arguments, **attributes)

    def __enter__(self) -> Self:
        super().__enter__()
        self.until_logged(r"INFO listening on|\bError: |ERROR")
        return self

    def url(self, path: str) -> str:
        """Return the URL of a path."""
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}{path}"

    def get(
        self,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Reply:
        """Send one request on a connection of its own."""
        connection = self._connection()
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            named: dict[str, str] = {}
            for name, value in answer.getheaders():
                named[name.lower()] = ", ".join(filter(None, (named.get(name.lower()), value)))
            return Reply(answer.status, named, answer.read())
        finally:
            connection.close()

    def until_served(self, part: str) -> Reply:
        """Wait until the document holds a text, and return its answer."""
        self.until(lambda: part in self.get("/traefik.json").text, f"no {part!r} served")
        return self.get("/traefik.json")

    def until_healthy(self) -> None:
        """Wait until it is."""
        self.until(lambda: self.get("/readyz").status == 200, "it is not healthy")

    def _connection(self) -> http.client.HTTPConnection:
        if self._context:
            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=PATIENCE, context=self._context
            )
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)


class Listener:
    """A client of the relay that keeps every byte; a context manager that ends it."""

    def __init__(
        self, port: int, *, version: str = "HTTP/1.1", buffer: int = 0, token: str = ""
    ) -> None:
        self.received = b""
        self._socket = socket.socket()
        if buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", port))
        head = f"GET /api/config {version}\r\nHost: 127.0.0.1\r\n"
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        self._socket.sendall(f"{head}{bearer}\r\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def is_open(self) -> bool:
        """Return whether the hub has not closed the connection; what has come is lost."""
        self._socket.settimeout(0.05)
        try:
            return bool(self._socket.recv(65536))
        except TimeoutError:
            return True
        except ConnectionError:
            return False

    def read(self, until: bytes) -> bytes:
        """Read on until what has come ends with or holds some bytes; return all since the last."""
        self._socket.settimeout(PATIENCE)
        while until not in self.received:
            piece = self._socket.recv(65536)
            if not piece:
                break
            self.received += piece
        taken, self.received = self.received, b""
        return taken
