"""Every message that a user can bring about: the table in messages.txt, row by row.

A row is a command as in a shell, ``$ NAME=VALUE PROGRAM ARGUMENT... [<<< STANDARD-INPUT]``, which
is run as a process of its own, and what it prints:

    2: MESSAGE      "PROGRAM: error: MESSAGE" alone on standard error, and exit code 2
    > LINE          a line of standard output
    ! LINE          a line of standard error
    1               the exit code, after such lines

``[NAME] TEXT`` before the command makes a file for it, ``[NAME/]`` a folder; where no command
follows they are there for all rows. Backslashes are those of Python's strings. ``/here`` is the
folder, and ``...`` stands for what differs from one run to the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from stand_in_tailscale import StandInTailscale, device
from support.headscale import StandInHeadscale
from support.transcripts import Row, agrees, read_table, run_row

ROWS = read_table()

ANSWERS = {
    "/html": (200, "text/html", b"<html>Log in</html>"),
    "/text": (200, "text/plain", b"hello"),
    "/json": (200, "application/json", b'{"a": 1}'),
    "/error": (500, "application/json", b'{"error": "Configuration error", "message": "no key"}'),
    "/br": (200, "application/json", b"\x0b\x02"),
    "/stream": (200, "text/event-stream", b"event: connected\ndata: {}\n\n"),
    "/late": (200, "application/json", b'{"hosts": {}}'),
    "/page/api/v2/tailnet/-/acl": (200, "text/html", b"<html></html>"),
    "/other/api/v2/tailnet/-/acl": (200, "application/hujson", b'{"name": "x"}'),
    "/token/api/v2/oauth/token": (200, "application/json", b"{}"),
    "/scope/api/v2/tailnet/-/acl": (200, "application/hujson", b'{"hosts": {}}'),
    "/scope/api/v2/tailnet/-/devices": (403, "application/json", b'{"message": "no"}'),
    "/text/api/v1/policy": (200, "text/plain", b"hello"),
    "/html/api/v1/policy": (200, "text/html", b"<html></html>"),
    "/null/api/v1/policy": (200, "application/json", b'{"policy": null}'),
}
"""What the server answers by the path; to any other one, such as /404, with that status."""


MACHINES = """{"hosts": {
  "_web_http_80._tcp.off.example.com": "100.64.0.1",
  "_web_http_80._tcp.old.example.com": "100.64.0.2",
  "_web_http_80._tcp.gone.example.com": "100.64.0.3"}}"""
"""The policy of the stand-in for Tailscale, whose machines are off, expired and unknown."""


class Handler(BaseHTTPRequestHandler):
    """Answers GET by the path alone."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/silent":
            time.sleep(30)  # far longer than anybody waits
            return
        status, kind, body = ANSWERS.get(path) or (int(path[1:4]), "text/plain", b"")
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if path == "/br":
            self.send_header("Content-Encoding", "br")
        if path.startswith(("/302", "/303")):
            login = "https://team.cloudflareaccess.com/cdn-cgi/access/login/x?s3cret"
            self.send_header(
                "Location", login if path.startswith("/302") else "https://example.com/s3cret"
            )
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815  (http.server's own name)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the time, or a quarter of an hour later."""
        late = 900 if getattr(self, "path", "") == "/late" else 0
        return super().date_time_string((timestamp or time.time()) + late)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Mapping[str, str]]:
    """Run the servers that the table speaks of; return their addresses by those in the table."""
    with ExitStack() as stack:
        server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        serve = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serve.start()
        stack.callback(serve.join)
        stack.callback(server.shutdown)
        tailscale = stack.enter_context(StandInTailscale(MACHINES))
        offline = {"connectedToControl": False, "lastSeen": "2026-11-01T10:00:00Z"}
        tailscale.devices = [
            device("off", "100.64.0.1", **offline),
            device("old", "100.64.0.2", expires="2026-01-01T00:00:00Z"),
        ]
        headscale = stack.enter_context(StandInHeadscale("{}"))
        yield {
            "127.0.0.1:8001": f"127.0.0.1:{server.server_port}",
            "http://tailscale.test": tailscale.url,
            "//headscale.test": headscale.url.removeprefix("http:"),
        }


@pytest.mark.parametrize("row", [pytest.param(row, id=f"line-{row.line}") for row in ROWS])
def test_message(row: Row, tmp_path: Path, servers: Mapping[str, str]) -> None:
    """The command ends with this code and prints this, no secret, and leaves all files alone."""
    printed = run_row(row, tmp_path, servers)
    assert agrees(row.expected, printed), printed
    assert "s3cret" not in "".join(row.expected[1:])
    assert all(line.isprintable() for text in printed[1:] for line in text.split("\n"))
    if printed.code > 1:
        kept = {name for name in row.files if not name.endswith("/")}
        there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
        assert there == kept
        assert all((tmp_path / name).read_bytes() == row.files[name] for name in kept)
