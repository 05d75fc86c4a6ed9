"""Read the hosts map of a snapshot, or of a file that holds a snapshot or a Tailscale policy.

A snapshot is ``{"machines": [...], "acl": {...}}``, where ``acl`` is the tailnet's whole policy.
It is JSON written by a program, so its own names match exactly; the last of a repeated name counts.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from json import JSONDecodeError

from ctsdns_traefik.core.policy import hujson
from ctsdns_traefik.core.policy.json_scanner import Enter, Member, fault_of, members_of
from ctsdns_traefik.core.policy.other_files import kind_of, kind_of_answer
from ctsdns_traefik.core.policy.reader import (
    TOO_DEEP,
    HostsMap,
    SnapshotError,
    hosts_of_policy,
    is_policy,
)
from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.text import json_type

_PIECE = 64 * 1024
_SNAPSHOT_MEMBERS = frozenset(("acl", "machines"))


def hosts_of_snapshot(data: bytes) -> HostsMap:
    """Return the hosts map of a ``machines-snapshot`` event's data.

    Raise :class:`SnapshotError` for anything but a whole snapshot: bad UTF-8, bad JSON, a missing
    or non-object ``acl``, ``hosts`` that is neither an object nor null. Absent ``hosts`` is empty.
    """
    _require_utf8(data)
    text = data.decode("iso-8859-1")
    return _hosts_of_acl(text, _members(text))


def hosts_of_text(data: bytes, *, is_file: bool = False) -> HostsMap:
    """Return the hosts map of a file that holds a snapshot or a policy, in JSON or HuJSON.

    In a file, and from where policies have come before, an object without members is a policy, too;
    any other answer with one may be anything.
    Raise :class:`SnapshotError` for neither, and for a policy that Tailscale would not save.
    """
    try:
        text, members = hujson.root_members(data)
    except (JSONDecodeError, TypeError):
        if kind := kind_of(data):
            raise SnapshotError(kind) from None
        return _hosts_of_broken(data)
    except RecursionError as why:
        raise SnapshotError(TOO_DEEP) from why
    names = {member.name for member in members}
    if names & {"acl", "policy"} and (kind := kind_of_answer(text, members)):
        raise SnapshotError(kind)
    if not _SNAPSHOT_MEMBERS.isdisjoint(names):
        _require_utf8(data)
        return _hosts_of_acl(text, members)
    if not is_policy(names) and (names or not is_file):
        raise SnapshotError(
            "it is neither a snapshot (with acl) nor a Tailscale policy (with hosts)"
        )
    return _hosts_of_policy(data, json_text=text)


def hosts_of_saved_policy(data: bytes) -> HostsMap:
    """Return the hosts map of a policy as Tailscale or Headscale has saved it, in HuJSON.

    An object without members is a policy, too. Raise :class:`SnapshotError` for what Tailscale
    would not save, and for an object of other members only.
    """
    hosts = _hosts_of_policy(data)
    if not hosts:
        names = {member.name for member in hujson.root_members(data)[1]}
        if names and not is_policy(names):
            raise SnapshotError("it is not a Tailscale policy: it has none of a policy's sections")
    return hosts


def is_empty(policy: bytes) -> bool:
    """Return whether a text is an object without members."""
    try:
        return not hujson.root_members(policy)[1]
    except (JSONDecodeError, TypeError, RecursionError):
        return False


def message_of_error(data: bytes) -> str:
    """Return the message in an ``error`` event's data, or all of the data if it has none."""
    text = data.decode("utf-8", "replace")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    message = fields.get("message") if isinstance(fields, dict) else None
    return message if isinstance(message, str) else text


def _hosts_of_acl(text: str, members: Iterable[Member]) -> HostsMap:
    policies = [text[acl.start : acl.end] for acl in members if acl.name == "acl"]
    if not policies:
        raise SnapshotError("acl is missing")
    return _hosts_of_policy(policies[-1].encode("iso-8859-1"), "acl.")


def _hosts_of_policy(policy: bytes, inside: str = "", json_text: str = "") -> HostsMap:
    try:
        return hosts_of_policy(policy, inside, json_text)
    except LocatedError as why:
        if inside:  # the location counts from the start of the policy, not of the snapshot
            raise SnapshotError(why.message) from why
        where = f"line {why.location.line}, column {why.location.column}"
        raise SnapshotError(f"Tailscale would not save this: {where}: {why.message}") from why


def _hosts_of_broken(data: bytes) -> HostsMap:
    """Report the error in a file that is not HuJSON, or not an object."""
    text = hujson.blank_out(data)
    names: set[str] = set()

    def enter(name: str, *_: int) -> None:
        names.add(name)

    try:
        for _ in _walk(text, enter):
            pass
    except JSONDecodeError:
        # A snapshot is plain JSON, so its error is that of the text with its comments.
        if not _SNAPSHOT_MEMBERS.isdisjoint(names):
            _require_utf8(data)
            return _hosts_of_acl(text, _members(text))
    return _hosts_of_policy(data)


def _members(text: str) -> Iterator[Member]:
    """Walk the members of a snapshot that was decoded as ISO 8859-1, one character per byte.

    Decoded as UTF-8, one emoji in a machine's name would make Python's text four times as large.
    """
    try:
        yield from _walk(text)
    except JSONDecodeError as why:
        where = f"line {why.lineno}, column {why.colno}"
        raise SnapshotError(f"it is not JSON: {where}: {fault_of(why)}") from why


def _walk(text: str, enter: Enter | None = None) -> Iterator[Member]:
    """Walk the object that a text holds; reject all other values."""
    try:
        yield from members_of(text, enter)
    except TypeError:
        if not text.strip():
            raise SnapshotError("it is empty") from None
        raise SnapshotError(f"it is {json_type(_value(text))}, not an object") from None
    except RecursionError as why:
        raise SnapshotError(TOO_DEEP) from why


def _value(text: str) -> object:
    try:
        return json.loads(text, parse_int=float)
    except RecursionError as why:
        raise SnapshotError(TOO_DEEP) from why


def _require_utf8(data: bytes) -> None:
    """Check piece by piece: decoded at once, a snapshot would take its size in memory again."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), _PIECE):
            decoder.decode(data[at : at + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        try:
            data.decode()
        except UnicodeDecodeError as why:  # this one has the offset in all of the data
            raise SnapshotError(f"it is not UTF-8: {why.reason} at byte {why.start + 1}") from why
