"""The server: tornado in a thread of its own, which never makes the loop wait."""

from __future__ import annotations

import asyncio
import logging
import re
import resource
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from itertools import chain
from typing import Protocol, Self, cast

from tornado.http1connection import (
    HTTP1Connection,
    HTTP1ConnectionParameters,
    HTTP1ServerConnection,
)
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, SSLIOStream
from tornado.tcpserver import TCPServer

from ctsdns_traefik.cancellation import start_thread
from ctsdns_traefik.errors import SettingsError, internal_error
from ctsdns_traefik.server.application import (
    DOCUMENT,
    RELAY,
    WEBHOOK,
    Application,
    Request,
)
from ctsdns_traefik.server.handover import Handover
from ctsdns_traefik.server.relay import COMMENT_INTERVAL, Relay
from ctsdns_traefik.server.representation import Answer, text_answer
from ctsdns_traefik.server.waiting import Waiting
from ctsdns_traefik.server.webhook import LARGEST_BODY

MOST_CONNECTIONS = 1024
"""Followers included; another connection takes the place of the one that is idle longest.

If none is idle, it takes that of the one whose request takes longest.
"""

FOLLOWERS_IN_8 = 7
"""Of eight connections so many may be followers: Traefik, probes and webhooks find room."""

LARGEST_HEAD = 32 * 1024
"""Bytes of a request's line and headers."""

IDLE = 30.0
"""Seconds for the head of a request, and between two requests."""

SLOWEST_BODY = 15.0
"""Seconds in which the body of a request has to come."""

SLOWEST_READER = 60.0
"""Seconds in which a client has to read an answer."""

MOST_BODIES = 8
"""Bodies that are read at a time; another takes the place of the one that takes longest."""

CONFIRMATION = 2.0
"""Seconds after which a change is repeated: followers hold some removals until they come again."""

RELOAD_INTERVAL = 30.0
"""Seconds after which certificate, tokens and secrets are read again."""

_ABSOLUTE = re.compile(r"https?://(?P<host>[^/?]*)(?P<path>.*)", re.IGNORECASE | re.DOTALL)

_SPARE_FILES = 128
"""Open files that the rest of watch needs."""

_SWITCH_INTERVAL = 0.001
"""Seconds that another thread may compute before the server's runs; Python's default is 0.005,
which 500 followers would wait for one after another while the loop renders."""

_ENDING = 0.3
"""Seconds that the end of watch waits for the server."""

_SECURITY = (
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
)


class Reloadable(Protocol):
    """A file whose content may be renewed while the server runs."""

    def reload(self) -> None:
        """Read it again; raise :class:`.SettingsError` if it cannot be used."""


class Server:
    """Serves an application and a relay on a listening socket; a context manager.

    ``interval`` is in seconds, between two events that repeat an unchanged policy. ``report`` gets
    what goes wrong, one line each.
    """

    def __init__(
        self,
        listener: socket.socket,
        application: Application,
        handover: Handover,
        *,
        interval: float,
        context: ssl.SSLContext | None = None,
        reloadable: tuple[Reloadable, ...] = (),
        report: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._listener = listener
        self._application = application
        self._handover = handover
        self._interval = interval
        self._context = context
        self._reloadable = reloadable
        self._report = report
        self._failed: dict[Reloadable, str] = {}
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._on_defect)
        self._ended = asyncio.Event()
        self._relay = Relay(self._loop.time, application.why_stale)
        self._confirmation: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        for name in ("tornado.general", "tornado.application", "tornado.access", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they would show requests
        self._thread = start_thread("server", self._run)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_ENDING)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as defect:  # noqa: BLE001  (nothing here may disturb watch)
            self._report(internal_error(defect))

    async def _serve(self) -> None:
        connections = _Connections(self._application, self._relay, self._context)
        self._answer_waiting = connections.answer_waiting
        connections.add_socket(self._listener)
        self._handover.subscribe(self._notify)
        self._on_change()
        self._every(self._interval, self._relay.repeat)
        self._every(COMMENT_INTERVAL, self._relay.keep_alive)
        self._every(RELOAD_INTERVAL, self._reload)
        await self._ended.wait()
        connections.stop()

    def _notify(self) -> None:
        """Wake the server's thread; called in others."""
        with suppress(RuntimeError):  # its loop has ended
            self._loop.call_soon_threadsafe(self._on_change)

    def _on_change(self) -> None:
        self._answer_waiting()
        hosts = self._handover.take_hosts()
        if hosts is None or not self._relay.change(hosts):
            return
        if self._confirmation:
            self._confirmation.cancel()
        self._confirmation = self._loop.call_later(CONFIRMATION, self._relay.repeat)

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        def act() -> None:
            self._loop.call_later(seconds, act)
            action()

        self._loop.call_later(seconds, act)

    def _reload(self) -> None:
        """Read what may have been renewed; report once what cannot be used, and keep the old."""
        for each in self._reloadable:
            try:
                each.reload()
                self._failed.pop(each, None)
            except SettingsError as why:
                if self._failed.get(each) != str(why):
                    self._report(f"{why}; the old content stays in use")
                self._failed[each] = str(why)

    def _on_defect(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        defect = context.get("exception")
        if isinstance(defect, Exception) and not isinstance(defect, OSError):
            self._report(internal_error(defect))


class _Stream(IOStream):
    """A connection of which the client may end its own side once it has asked.

    ``on_end`` is called then; tornado would drop the request. A client that has gone looks the same
    until it is answered.
    """

    on_end: Callable[[], object] | None = None

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        size = super().read_from_fd(buf)
        if size == 0 and self.on_end and not self.reading():  # a request has come, all of it
            self.io_loop.add_callback(self.on_end)
            return None
        return size


class _Connections(TCPServer, HTTPServerConnectionDelegate):
    """Accepts connections, at most so many, and reads requests."""

    def __init__(
        self, application: Application, relay: Relay, context: ssl.SSLContext | None
    ) -> None:
        super().__init__(ssl_options=context, max_buffer_size=2 * LARGEST_BODY)
        self.application = application
        self.relay = relay
        self.bodies: dict[IOStream, None] = {}
        """Connections of which a body is being read, the one that takes longest first."""
        self._most = _most_connections()
        self._open: set[HTTP1ServerConnection] = set()
        self._idle: dict[IOStream, None] = {}
        """Connections without a request, the one that is idle longest first."""
        self._busy: dict[IOStream, None] = {}
        """Those with one, the oldest request first."""
        self.waiting = Waiting()

    @property
    def has_room_for_followers(self) -> bool:
        """Whether another follower leaves enough connections to others."""
        return len(self.relay) < self._most * FOLLOWERS_IN_8 // 8

    def handle_stream(self, stream: IOStream, address: object) -> None:  # noqa: ARG002
        if len(self._open) + len(self.relay) >= self._most:
            self._make_room()
        if not isinstance(stream, SSLIOStream):  # TLS ends both sides at once
            stream = _Stream(stream.socket, max_buffer_size=stream.max_buffer_size)
            stream.on_end = partial(self.waiting.answer, stream)
        self._idle[stream] = None  # at once: many may come in one moment
        connection = HTTP1ServerConnection(stream, _PARAMETERS)
        self._open.add(connection)
        connection.start_serving(self)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> _Exchange:  # noqa: ARG002
        connection = cast("HTTP1Connection", request_conn)
        self._note(connection.stream, self._idle)
        return _Exchange(self, connection)

    def on_close(self, server_conn: object) -> None:
        connection = cast("HTTP1ServerConnection", server_conn)
        self._open.discard(connection)
        self.forget(connection.stream)
        self.waiting.forget(connection.stream)

    def answer_waiting(self) -> None:
        """Send the answers that wait for the document that there is now."""
        if self.waiting:
            self.waiting.release(self.application.version)

    def mark_busy(self, stream: IOStream) -> None:
        """Note that a request has begun."""
        self._note(stream, self._busy)

    def _note(self, stream: IOStream, streams: dict[IOStream, None]) -> None:
        self.forget(stream)
        if not stream.closed():  # of a closed one tornado still reads what has come
            streams[stream] = None

    def forget(self, stream: IOStream) -> None:
        """Note that a connection has ended, or is the relay's."""
        self._idle.pop(stream, None)
        self._busy.pop(stream, None)

    def _make_room(self) -> None:
        for stream in chain(self._idle, self._busy):
            self.forget(stream)
            stream.close()
            return


_PARAMETERS = HTTP1ConnectionParameters(
    max_header_size=LARGEST_HEAD,
    header_timeout=IDLE,
    max_body_size=LARGEST_BODY,
    body_timeout=SLOWEST_BODY,
)


_RELAY_HEAD = Answer(HTTPStatus.OK, content_type="text/event-stream")
_TOO_MANY = text_answer(
    HTTPStatus.SERVICE_UNAVAILABLE, "there are too many followers", ("Retry-After", "30")
)


class _Exchange(HTTPMessageDelegate):
    """One request and its answer."""

    def __init__(self, connections: _Connections, connection: HTTP1Connection) -> None:
        self._connections = connections
        self._connection = connection
        self._body: list[bytes] = []

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        start_line = cast("RequestStartLine", start_line)
        self._connections.mark_busy(self._connection.stream)
        target = start_line.path
        if absolute := _ABSOLUTE.fullmatch(target):  # as proxies are asked (RFC 9112, 3.2.2)
            headers["Host"], target = absolute["host"], absolute["path"]
        path, _, query = target.partition("?")
        path = path or "/"
        self._request = Request(start_line.method, path, headers, query=query)
        self._head = start_line.method == "HEAD"
        check = partial(self._connections.application.check, self._request)
        refusal = check() or self._check_body()
        if refusal:
            self._answer(refusal)
        elif path == RELAY and not self._head and self._connections.has_room_for_followers:
            stream = self._connection.detach()
            if isinstance(stream, _Stream):
                stream.on_end = None  # a follower that ends its side has gone
            self._connections.forget(stream)
            chunked = start_line.version != "HTTP/1.0"
            self._connections.relay.follow(stream, lambda: check() is None, chunked=chunked)

    def data_received(self, chunk: bytes) -> None:
        self._body.append(chunk)

    def finish(self) -> None:
        self._end_body()
        if self._request.path == RELAY:
            self._answer(_RELAY_HEAD if self._head else _TOO_MANY)
            return
        request = self._request._replace(body=b"".join(self._body))
        application, waiting = self._connections.application, self._connections.waiting
        stream = self._connection.stream
        version = application.version  # once: the loop may publish another one meanwhile
        seconds = application.seconds_to_wait(request, had=waiting.had(stream) == version)
        if seconds:
            waiting.hold(stream, version, seconds, partial(self._respond, request))
        else:
            self._respond(request)

    def _respond(self, request: Request) -> None:
        application = self._connections.application
        version = application.version  # first: the answer may be of a later one
        try:
            answer = application.check(request) or application.answer(request)
        except Exception:
            self._answer(text_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"))
            raise
        if request.path == DOCUMENT and answer.status == HTTPStatus.OK and not self._head:
            self._connections.waiting.note(self._connection.stream, version)
        self._answer(answer)

    def on_connection_close(self) -> None:
        self._end_body()

    def _check_body(self) -> Answer | None:
        """Refuse a body where none belongs, and end one that takes long if there are too many.

        Anybody can send bodies slowly; a webhook that Tailscale sends comes in a moment.
        """
        headers = self._request.headers
        length = headers.get("Content-Length", "0")
        if length == "0" and "Transfer-Encoding" not in headers:
            return None
        if self._request.path != WEBHOOK or not length.isdecimal() or int(length) > LARGEST_BODY:
            return text_answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too large")
        bodies = self._connections.bodies
        if len(bodies) >= MOST_BODIES:
            oldest = next(iter(bodies))
            del bodies[oldest]
            oldest.close()
        bodies[self._connection.stream] = None
        return None

    def _end_body(self) -> None:
        self._connections.bodies.pop(self._connection.stream, None)

    def _answer(self, answer: Answer) -> None:
        connection, status = self._connection, answer.status
        headers = HTTPHeaders()
        headers["Date"] = formatdate(usegmt=True)
        if answer.content_type:
            headers["Content-Type"] = answer.content_type
        for name, value in (*_SECURITY, *answer.headers):
            headers.add(name, value)
        if status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            headers["Content-Length"] = str(len(answer.body))
        stream = connection.stream
        late = stream.io_loop.call_later(SLOWEST_READER, stream.close)
        written = connection.write_headers(
            ResponseStartLine("HTTP/1.1", status.value, status.phrase), headers
        )
        if answer.body and not self._head:
            written = connection.write(answer.body)
        written.add_done_callback(lambda _: stream.io_loop.remove_timeout(late))
        connection.finish()


def _most_connections() -> int:
    """Return how many connections may be open, after raising the limit of files if that helps."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return files - min(_SPARE_FILES, files // 2)
