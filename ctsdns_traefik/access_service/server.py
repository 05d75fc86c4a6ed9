"""The server: waitress in threads, and signals that end it."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

from ctsdns_traefik.errors import SettingsError, Stop, listen_fault

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = logging.getLogger(__name__)

THREADS = 16
"""Requests served at a time; all but those that wait for keys take less than a millisecond."""

MOST_CONNECTIONS = 1000
LARGEST_HEAD = 256 * 1024
LARGEST_BODY = 1024 * 1024
PATIENCE = 1
"""Seconds that requests in progress have left when a signal has come."""

_BACKLOG = 1024

_FOR_TRAEFIK = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""``pkill -HUP traefik`` signals this program, too, without which Traefik refuses all requests."""


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address; raise :class:`.SettingsError` if that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as why:
        raise SettingsError(listen_fault(address_of(host, port), port, why)) from why


def address_of(host: str, port: int) -> str:
    """Write an address and a port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(
    application: WSGIApplication, listener: socket.socket, begin: Callable[[], object]
) -> NoReturn:
    """Answer requests until a signal comes, then raise :class:`.Stop`; for the main thread only.

    ``begin`` runs beside it, once. The threads take no signals, so that they reach this one, whose
    waiting they interrupt.
    """
    ends: SimpleQueue[int | None] = SimpleQueue()
    for signum in Stop.EXIT_CODES:
        signal.signal(signum, lambda signum, _frame: ends.put(signum))
    for signum in _FOR_TRAEFIK:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, Stop.EXIT_CODES)
    server = _server(application, listener)

    def run() -> None:
        try:
            server.run()
        finally:
            ends.put(None)

    Thread(target=run, name="server", daemon=True).start()
    Thread(target=begin, name="begin", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, Stop.EXIT_CODES)
    ended_by = ends.get()
    if ended_by is None:
        raise RuntimeError("the server has ended by itself")
    server.task_dispatcher.shutdown(timeout=PATIENCE)
    stop = Stop(ended_by)
    log.info("%s: stopped", stop.signal.name)
    raise stop


def _server(
    application: WSGIApplication, listener: socket.socket
) -> MultiSocketServer | BaseWSGIServer:
    """Make a server with its threads, which log nothing: errors would show what requests hold."""
    for name in ("waitress", "waitress.queue"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return create_server(
        application,
        sockets=[listener],
        threads=THREADS,
        connection_limit=MOST_CONNECTIONS,
        max_request_header_size=LARGEST_HEAD,
        max_request_body_size=LARGEST_BODY,
        clear_untrusted_proxy_headers=False,  # Traefik's are shown in the log, no more
        ident=None,
    )
