"""Read the hosts map of a Tailscale policy as Tailscale does.

Tailscale reads HuJSON with Go's encoding/json: section names match case-insensitively, several
``hosts`` sections are merged in order, and the last value of a repeated name counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from json import JSONDecodeError
from operator import itemgetter
from typing import NoReturn

from ctsdns_traefik.core.policy import hujson
from ctsdns_traefik.core.policy.json_scanner import (
    after_space,
    decode_name,
    fault_of,
    members_of,
    read_value,
)
from ctsdns_traefik.core.problems import LocatedError, SourceLocation
from ctsdns_traefik.core.text import json_type, shown

HostsMap = Mapping[str, object]
"""Host names to addresses; neither is checked yet, and a value may be any JSON."""


class UnlikelyHosts(dict[str, object]):
    """No hosts, of an answer that is an object without members: it may have gone wrong."""


POLICY_SECTIONS = frozenset(
    (
        *("acls", "attrConfig", "autoApprovers", "defaultSrcPosture", "derpMap", "disableIPv4"),
        *("grants", "groups", "hosts", "ipsets", "nodeAttrs", "OneCGNATRoute", "postures"),
        *("randomizeClientPort", "ssh", "sshTests", "tagOwners", "tests"),
    )
)
"""Top-level sections of a Tailscale policy (https://tailscale.com/kb/1337/policy-syntax)."""

_SURROGATE = re.compile("[\ud800-\udfff]")

# Go compares with Unicode's simple case folding, which maps only two letters to ASCII: the long s
# and the Kelvin sign.
_FOLDED_TO_ASCII = str.maketrans({"\u017f": "s", "\u212a": "k"})

TOO_DEEP = "it is not usable JSON: it is nested too deep"
"""The error for a text that exceeds Python's recursion limit; Tailscale might read it."""


class SnapshotError(Exception):
    """Reject a text that is no snapshot or policy; the routes that are live must stay."""


def hosts_of_policy(policy: bytes, inside: str = "", json_text: str = "") -> HostsMap:
    """Return the hosts map of a policy in HuJSON; absent or null ``hosts`` is an empty map.

    ``inside`` is the dotted path to the policy for messages, such as ``acl.`` in a snapshot;
    ``json_text`` is the policy as :func:`hujson.blank_out` returns it, if that is known. Raise
    :class:`LocatedError` for what Tailscale would not save.
    """
    text = policy.decode("iso-8859-1")
    try:
        if json_text in ("", text) and not hujson.may_have_constants(text):
            return _hosts_in(text, inside)
    except JSONDecodeError:
        pass  # comments, trailing commas or errors
    except RecursionError as why:
        raise SnapshotError(TOO_DEEP) from why
    return _hosts_in_hujson(text, inside, json_text)


def fold(name: str) -> str:
    """Return the case-folded form in which section names are compared."""
    return name.translate(_FOLDED_TO_ASCII).lower()


def is_policy(names: Iterable[str]) -> bool:
    """Return whether an object with members of these names looks like a policy."""
    return not _FOLDED_SECTIONS.isdisjoint(map(fold, names))


_FOLDED_SECTIONS = frozenset(map(fold, POLICY_SECTIONS))


def _hosts_in_hujson(text: str, inside: str, json_text: str) -> HostsMap:
    """Read HuJSON that is not plain JSON; report the first syntax error before any other error."""
    faults = hujson.find_faults(text) if hujson.may_have_faults(text) else []
    try:
        hosts = _hosts_in(json_text or hujson.to_json(text), inside)
    except JSONDecodeError as why:
        hash_sign = text.startswith("#", why.pos)
        what = "# starts no comment in HuJSON: write //" if hash_sign else fault_of(why)
        found = [*hujson.find_faults(text), (why.pos, what)]
        _reject(text, *min(found, key=itemgetter(0)))
    except RecursionError as why:
        raise SnapshotError(TOO_DEEP) from why
    except LocatedError:
        if not faults:
            raise
    if faults:
        _reject(text, *faults[0])
    return hosts


def _hosts_in(text: str, inside: str) -> HostsMap:
    """Read JSON that has one character per byte; raise :class:`json.JSONDecodeError` if invalid."""
    hosts: dict[str, object] = {}

    def enter(raw: str, at: int, value_at: int) -> int | None:
        name = raw if raw.isascii() else decode_name(text, at)
        if fold(name) != "hosts":
            return None
        value, end = read_value(text, value_at)
        if value is None:  # in Go null resets the map that earlier sections have filled
            hosts.clear()
        elif isinstance(value, dict):
            hosts.update(_decoded(value, text, value_at, end))
        else:
            kind = f"{inside}{shown(name)} is {json_type(value)}, not an object"
            _reject(text, value_at, kind)
        return end

    try:
        for _ in members_of(text, enter):
            pass
    except TypeError:
        _reject_root(text, inside)
    return hosts


def _decoded(value: dict[str, object], text: str, start: int, end: int) -> HostsMap:
    r"""Return a map as Go decodes it: invalid UTF-8 and lone ``\ud800`` become U+FFFD."""
    part = text[start:end]
    if part.isascii() and "\\u" not in part:
        return value
    raw = part.encode("iso-8859-1").decode("utf-8", "surrogateescape")
    decoded: HostsMap = json.loads(raw, object_pairs_hook=_without_surrogates, parse_int=float)
    return decoded


def _without_surrogates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {
        _replaced(name): _replaced(value) if isinstance(value, str) else value
        for name, value in pairs
    }


def _replaced(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)


def _reject_root(text: str, inside: str) -> NoReturn:
    start = after_space(text, 0)
    if start == len(text):
        _reject(text, start, "it is empty")
    value, _ = read_value(text, start)
    kind = f"{inside.rstrip('.') or 'it'} is {json_type(value)}, not an object"
    _reject(text, start, kind)


def _reject(text: str, offset: int, reason: str) -> NoReturn:
    """Raise the error with the location of an offset of a text with one character per byte."""
    line = text.count("\n", 0, offset) + 1
    raise LocatedError(reason, SourceLocation(line, offset - text.rfind("\n", 0, offset)))
