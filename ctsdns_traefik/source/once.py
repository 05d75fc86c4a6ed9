"""One policy for a command that ends then: from any source, a file, or standard input."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from io import FileIO
from itertools import chain

from ctsdns_traefik.cancellation import Cancellation, run_within
from ctsdns_traefik.core.policy import SnapshotError, SourceText, hosts_of_text, kind_of
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import SourceError, map_os_errors, os_reason
from ctsdns_traefik.followed_file import LARGEST
from ctsdns_traefik.logs import as_event
from ctsdns_traefik.source.base import MachineList, Policy, Received, Source, Untrusted, WorkerError
from ctsdns_traefik.source.stream import read_events, read_received

log = logging.getLogger(__name__)

STANDARD_INPUT = "-"

_PIECE = 64 * 1024

_STARTS_OF_POLICIES = (b"{", b"[", b"/", b"", b"#", b"'", b'"', b"\xc2")
"""How JSON and HuJSON start, with the usual errors; an event stream starts with none of these."""


def read_policy(source: Source | str, timeout: float) -> Policy:
    """Read the first policy that can be trusted.

    A source is one that can be followed, the path of a file, or ``-`` for standard input; the
    latter two hold a snapshot, a captured stream, or a Tailscale policy. Raise
    :class:`SourceError` if there is none within ``timeout`` seconds.
    """
    name = "standard input" if source == STANDARD_INPUT else shown(str(source))
    late = SourceError(f"{name}: no policy came within {timeout:g} s")
    stdin = standard_input() if source == STANDARD_INPUT else None
    return run_within(timeout, partial(_read, source, stdin, name), late)


def _read(source: Source | str, stdin: FileIO | None, name: str) -> Policy:
    try:
        if not isinstance(source, str):
            return _from_source(source)
        with stdin or _open(source) as file:
            return policy_of_file(_pieces(file), "<stdin>" if stdin else source)
    except (SnapshotError, SourceError) as why:
        error = str(why).removeprefix(f"{name}: ")  # a file that is followed names itself
        raise SourceError(f"{name}: {error}") from why
    except (OSError, ValueError) as why:
        raise SourceError(f"cannot read {name}: {os_reason(why)}") from why


def list_machines(source: Source, timeout: float) -> MachineList:
    """List the machines of Tailscale's API; an error, or ``timeout``, is a value here."""
    from ctsdns_traefik.source.tailscale import TailscaleSource

    if not isinstance(source, TailscaleSource):
        return MachineList(error="only Tailscale's API lists machines")
    late = SourceError(f"no list came within {timeout:g} s")
    try:
        return run_within(
            timeout, lambda: source.list_machines(Cancellation(), lambda _seconds: None), late
        )
    except SourceError as why:
        return MachineList(error=str(why))


def scopes_of(source: Source) -> str:
    """Return the scopes that Tailscale's last answer gave to an OAuth client, ``""`` if unknown."""
    from ctsdns_traefik.source.tailscale import TailscaleSource

    return source.scopes if isinstance(source, TailscaleSource) else ""


def standard_input() -> FileIO:
    """Open standard input for bytes; raise :class:`SourceError` if there is none.

    It is not Python's own file object, whose lock a thread that still reads would hold at the end
    of the process, which then cannot end in order.
    """
    if sys.stdin is None:
        raise SourceError("cannot read standard input: it is closed")
    return FileIO(sys.stdin.fileno(), closefd=False)


def _open(path: str) -> FileIO:
    """Open a file, a pipe or a terminal; raise :class:`ValueError` for a device without an end."""
    file = FileIO(path)
    if stat.S_ISCHR(os.fstat(file.fileno()).st_mode) and not file.isatty():
        file.close()
        raise ValueError("it is not a regular file")
    return file


def read_standard_input() -> bytes:
    """Return all of standard input; raise :class:`SourceError` if there is none, or too much."""
    with map_os_errors("cannot read standard input", SourceError):
        return b"".join(_pieces(standard_input()))


def _pieces(file: FileIO) -> Iterator[bytes]:
    """Yield what a file holds; raise :class:`ValueError` for more than fits into memory."""
    size = 0
    while piece := file.read(_PIECE):
        size += len(piece)
        if size > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        yield piece


def _from_source(source: Source) -> Policy:
    with source.follow(Cancellation(), lambda _seconds: None) as received:
        return _first_policy(received)


def policy_of_file(pieces: Iterator[bytes], path: str) -> Policy:
    """Read JSON or a captured stream, by the first character.

    Raise :class:`.SnapshotError` or :class:`SourceError` if it holds no policy.
    """
    start = b""
    for piece in pieces:
        start += piece
        if start.removeprefix(b"\xef\xbb\xbf").strip():
            break
    if start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in _STARTS_OF_POLICIES:
        content = start + b"".join(pieces)
        return Policy(hosts_of_text(content, is_file=True), SourceText(path, content))
    return _from_capture(chain([start], pieces), path)


def _from_capture(pieces: Iterator[bytes], path: str) -> Policy:
    """Read a captured stream up to its first snapshot, and find its position."""
    seen: list[bytes] = []
    try:
        policy = _first_policy(read_received(read_events(_recording(pieces, seen))))
    except SourceError as why:
        if kind := kind_of(b"".join(seen)):
            raise SourceError(kind) from why
        raise
    data, content = policy.text.content, b"".join(seen)
    at = content.find(data)
    return (
        policy._replace(text=SourceText(path, content, at, at + len(data))) if at >= 0 else policy
    )


def _recording(pieces: Iterator[bytes], seen: list[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        seen.append(piece)
        yield piece


def _first_policy(received: Iterable[Received]) -> Policy:
    """Return the first policy that can be trusted; log why others of a stream cannot."""
    for each in received:
        match each:
            case Policy():
                return each
            case WorkerError(error):
                extra = as_event("worker-error", error=error)
                log.warning("the worker reports an error: %s", error, extra=extra)
            case Untrusted(error, more=True):
                extra = as_event("untrusted", error=error)
                log.warning("the policy cannot be trusted: %s", error, extra=extra)
            case Untrusted(error):
                raise SourceError(error)
    raise SourceError("it holds no whole snapshot, captured stream of snapshots, or policy")
