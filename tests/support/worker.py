"""A stand-in for the cloudflare-tailscale-dns worker: the same bytes, from a policy in a file.

It answers ``GET /api/config`` with Server-Sent Events: ``connected`` once, then at every interval a
``machines-snapshot`` of the policy as it then is, or an ``error`` if that cannot be read.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self

from ctsdns_traefik.core.policy import hujson

INTERVAL = 30.0
"""Seconds between two snapshots; the worker's own default."""


class StandInWorker(ThreadingHTTPServer):
    """The worker as a server; use it as a context manager to run it in a thread."""

    daemon_threads = True

    def __init__(
        self,
        policy: Path,
        interval: float = INTERVAL,
        *,
        address: tuple[str, int] = ("127.0.0.1", 0),
        chunked: bool = True,
    ) -> None:
        """Take the policy's file, the seconds between snapshots, and where to listen.

        ``chunked`` frames the body as the worker does; else only the end of the connection ends it.
        """
        super().__init__(address, _Handler)
        self.policy = policy
        self.interval = interval
        self.chunked = chunked
        self.stopping = threading.Event()

    @property
    def endpoint(self) -> str:
        """The URL to follow."""
        return f"http://127.0.0.1:{self.server_port}/api/config"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()

    def events(self) -> Iterator[bytes]:
        """Yield the events of one connection, until the server stops."""
        yield _event("connected", {"message": "SSE stream established"}, 0)
        number = 1
        while not self.stopping.is_set():
            yield self._snapshot(number)
            number += 1
            self.stopping.wait(self.interval)

    def _snapshot(self, number: int) -> bytes:
        try:
            policy = json.loads(hujson.to_json(self.policy.read_text(encoding="utf-8")))
        except (OSError, ValueError) as why:
            message = f"Tailscale API error: 500 Internal Server Error - {why}"
            return _event("error", {"event": "machines-snapshot", "message": message}, number)
        machines = [_machine(name, address) for name, address in policy.get("hosts", {}).items()]
        snapshot = {"machines": [machine for machine in machines if machine], "acl": policy}
        return _event("machines-snapshot", snapshot, number)


class _Handler(BaseHTTPRequestHandler):
    """Answers as the worker does, without the Date and Server headers of Python's own servers."""

    protocol_version = "HTTP/1.1"
    server: StandInWorker

    _NOT_FOUND: ClassVar = b"404 Not Found"

    def do_GET(self) -> None:
        """Stream events on the one path that the worker has."""
        if self.path.partition("?")[0] != "/api/config":
            self._answer_not_found()
            return
        self.send_response_only(200)
        if self.server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.close_connection = True
        with suppress(ConnectionError):
            for event in self.server.events():
                self.wfile.write(
                    b"%x\r\n%b\r\n" % (len(event), event) if self.server.chunked else event
                )

    def _answer_not_found(self) -> None:
        self.send_response_only(404)
        self.send_header("Content-Type", "text/plain;charset=UTF-8")
        self.send_header("Content-Length", str(len(self._NOT_FOUND)))
        self.end_headers()
        self.wfile.write(self._NOT_FOUND)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _event(name: str, data: dict[str, Any], number: int) -> bytes:
    line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {line}\nid: {number}\n\n".encode()


def _machine(name: str, address: object) -> dict[str, Any] | None:
    """Invent the machine behind an ordinary host alias."""
    if name.startswith("_") or not isinstance(address, str) or "/" in address:
        return None
    device = {"addresses": [address], "name": f"{name}.tailnet.ts.net", "hostname": name}
    return {"device": device, "classifiedIPs": {"tailscaleIP": address}}
