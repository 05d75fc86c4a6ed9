"""Text to the hosts map: what the worker sends as a snapshot, or a Tailscale policy itself.

A snapshot is ``{"machines": [...], "acl": {...}}``, where ``acl`` is the tailnet's whole policy.
A policy is that inner object, in JSON or HuJSON. Its ``hosts`` maps names to addresses; a policy
without any has no ``hosts`` at all.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from ctsdns_traefik.core import hujson
from ctsdns_traefik.core.members import Member, members_of
from ctsdns_traefik.core.printable import json_type

HostsMap = Mapping[str, object]
"""Names of hosts to what stands for their addresses; nothing in it is checked yet."""

POLICY_SECTIONS = frozenset(
    (
        *("acls", "autoApprovers", "defaultSrcPosture", "derpMap", "disableIPv4", "grants"),
        *("groups", "hosts", "ipsets", "nodeAttrs", "OneCGNATRoute", "postures"),
        *("randomizeClientPort", "ssh", "sshTests", "tagOwners", "tests"),
    )
)
"""Top-level sections of a Tailscale policy (https://tailscale.com/kb/1337/policy-syntax)."""


_PIECE = 64 * 1024


class SnapshotError(Exception):
    """The text is no snapshot and no policy, so nothing may be concluded from it."""


def hosts_of_snapshot(data: bytes) -> HostsMap:
    """Return the hosts map of a ``machines-snapshot`` event's data.

    Raise :class:`SnapshotError` for anything short of a whole snapshot: bad UTF-8, bad JSON, a
    missing or non-object ``acl``, ``hosts`` that is not an object. An absent ``hosts`` is empty.
    """
    policies = [data[acl.start : acl.end] for acl in _members(data) if acl.name == "acl"]
    if not policies:
        _refuse("acl is missing")
    return _hosts_in_policy(_parse_json(policies[-1].decode()), "acl")


def hosts_of_text(data: bytes) -> HostsMap:
    """Return the hosts map of a file that holds a snapshot or a policy, in JSON or HuJSON.

    Raise :class:`SnapshotError` if it is neither.
    """
    text = _decode(data).removeprefix("\ufeff")
    try:
        root = _object(_parse_json(text))
    except SnapshotError:
        root = _object(_parse_json(hujson.to_json(text)))
    if "acl" in root or "machines" in root:
        return _hosts_in_snapshot(root)
    if POLICY_SECTIONS.isdisjoint(root):
        _refuse("it is neither a snapshot (with acl) nor a Tailscale policy (with hosts)")
    return _object(root.get("hosts", {}), "hosts")


def message_of_error(data: bytes) -> str:
    """Return the worker's own words from an ``error`` event's data, whatever its form."""
    text = data.decode("utf-8", "replace")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return text
    message = fields.get("message") if isinstance(fields, dict) else None
    return message if isinstance(message, str) else text


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as why:
        raise SnapshotError(f"it is not UTF-8: {why.reason} at byte {why.start + 1}") from why


def _members(snapshot: bytes) -> Iterator[Member]:
    """Walk the members of a snapshot by their places among its bytes.

    ISO 8859-1 makes a character of each byte, whereas one emoji in the name of a machine would
    make the text of UTF-8 four times as large. JSON's own characters are the same in both.
    """
    _require_utf8(snapshot)
    text = snapshot.decode("iso-8859-1")
    try:
        with _explained():
            yield from members_of(text)
    except TypeError:
        _object(_parse_json(text))


def _require_utf8(data: bytes) -> None:
    """Check piece by piece, without a text of it all."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(data), _PIECE):
            decoder.decode(data[at : at + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        _decode(data)


def _parse_json(text: str) -> object:
    if not text or text.isspace():
        _refuse("it is empty")
    with _explained():
        return json.loads(text)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except json.JSONDecodeError as why:
        where = f"line {why.lineno}, column {why.colno}"
        raise SnapshotError(f"it is not JSON: {why.msg} at {where}") from why
    except ValueError as why:
        raise SnapshotError("it is not usable JSON: it has a number of too many digits") from why
    except RecursionError as why:
        raise SnapshotError("it is not usable JSON: it is nested too deep") from why


def _object(root: object, name: str = "it") -> dict[str, Any]:
    if not isinstance(root, dict):
        _refuse(f"{name} is {json_type(root)}, not an object")
    return root


def _hosts_in_snapshot(snapshot: dict[str, Any]) -> HostsMap:
    if "acl" not in snapshot:
        _refuse("acl is missing")
    return _hosts_in_policy(snapshot["acl"], "acl")


def _hosts_in_policy(policy: object, name: str) -> HostsMap:
    return _object(_object(policy, name).get("hosts", {}), f"{name}.hosts")


def _refuse(message: str) -> NoReturn:
    raise SnapshotError(message)
