"""The sources of one snapshot: the endpoint, a file, standard input."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from io import FileIO
from itertools import chain
from typing import NamedTuple

from ctsdns_traefik.cancellation import run_within
from ctsdns_traefik.core.policy import (
    HostsMap,
    SnapshotError,
    Source,
    hosts_of_snapshot,
    hosts_of_text,
    message_of_error,
)
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SourceError, os_reason
from ctsdns_traefik.logs import as_event
from ctsdns_traefik.source.endpoint import Endpoint
from ctsdns_traefik.source.stream import Event, open_stream, read_events

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"

_PIECE = 64 * 1024

_STARTS_OF_POLICIES = (b"{", b"[", b"/", b"", b"#", b"'", b'"', b"\xc2")
"""How JSON and HuJSON start, with the usual errors; an event stream starts with none of these."""


class Reading(NamedTuple):
    """One snapshot or policy that can be trusted."""

    hosts: HostsMap
    source: Source
    """What it was read from; the path is ``""`` where that is no piece of a file."""


def read_hosts(source: Endpoint | str, timeout: float) -> Reading:
    """Read the first snapshot that can be trusted.

    A source is an endpoint, the path of a file, or ``-`` for standard input; the latter two hold a
    snapshot, a captured stream, or a Tailscale policy. Raise :class:`SourceError` if there is
    none within ``timeout`` seconds.
    """
    name = "standard input" if source == STANDARD_INPUT else shown(str(source))
    late = SourceError(f"{name}: no snapshot came within {timeout:g} s")
    stdin = standard_input() if source == STANDARD_INPUT else None
    return run_within(timeout, partial(_read, source, stdin, name), late)


def _read(source: Endpoint | str, stdin: FileIO | None, name: str) -> Reading:
    try:
        if isinstance(source, Endpoint):
            return _from_endpoint(source)
        with stdin or FileIO(source) as file:
            return _from_file(_pieces(file), "<stdin>" if stdin else source)
    except (SnapshotError, SourceError) as why:
        raise SourceError(f"{name}: {why}") from why
    except (OSError, ValueError) as why:
        raise SourceError(f"cannot read {name}: {os_reason(why)}") from why


def standard_input() -> FileIO:
    """Open standard input for bytes; raise :class:`SourceError` if there is none.

    It is not Python's own file object, whose lock a thread that still reads would hold at the end
    of the process, which then cannot end in order.
    """
    if sys.stdin is None:
        raise SourceError("cannot read standard input: it is closed")
    return FileIO(sys.stdin.fileno(), closefd=False)


def _pieces(file: FileIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _from_endpoint(endpoint: Endpoint) -> Reading:
    with open_stream(endpoint) as events:
        hosts, data = _first_snapshot(events)
        return Reading(hosts, Source("", data))


def _from_file(pieces: Iterator[bytes], path: str) -> Reading:
    """Read JSON or a captured stream, which the first character tells apart."""
    start = b""
    for piece in pieces:
        start += piece
        if start.removeprefix(b"\xef\xbb\xbf").strip():
            break
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in _STARTS_OF_POLICIES:
        content = start + b"".join(pieces)
        return Reading(hosts_of_text(content), Source(path, content))
    return _from_capture(chain([start], pieces), path)


def _from_capture(pieces: Iterator[bytes], path: str) -> Reading:
    """Read a captured stream up to its first snapshot, and find its position."""
    seen: list[bytes] = []
    hosts, data = _first_snapshot(read_events(_recording(pieces, seen)))
    content = b"".join(seen)
    at = content.find(data)
    in_file = Source(path, content, at, at + len(data))
    return Reading(hosts, in_file if at >= 0 else Source("", data))


def _recording(pieces: Iterator[bytes], seen: list[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        seen.append(piece)
        yield piece


def _first_snapshot(events: Iterable[Event]) -> tuple[HostsMap, bytes]:
    """Return the first snapshot that can be trusted, and its text; log why others cannot."""
    for event in events:
        if event.name == "error" and event.data:
            error = shown(message_of_error(event.data))
            extra = as_event("worker-error", error=error)
            log.warning("the worker reports an error: %s", error, extra=extra)
        if event.name != "machines-snapshot" or not event.data:
            continue
        try:
            return hosts_of_snapshot(event.data), event.data
        except SnapshotError as why:
            extra = as_event("untrusted", error=why)
            log.warning("a snapshot cannot be trusted: %s", why, extra=extra)
    raise SourceError("it holds no whole snapshot, captured stream of snapshots, or policy")
