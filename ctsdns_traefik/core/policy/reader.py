"""A Tailscale policy to its hosts map, read as Tailscale reads it.

That is HuJSON, decoded as Go's encoding/json decodes it: names of sections match without regard
to case, several ``hosts`` sections are merged in their order, and of one name the last value
counts. Every source of policies comes through :func:`hosts_of_policy`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from json import JSONDecodeError
from operator import itemgetter
from typing import NoReturn

from ctsdns_traefik.core.policy import hujson
from ctsdns_traefik.core.policy.json_scanner import after_space, members_of, name_of, read_value
from ctsdns_traefik.core.policy.locations import SourceLocation, place_of
from ctsdns_traefik.core.text import json_type, shown

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

_SURROGATE = re.compile("[\ud800-\udfff]")

# Go folds by Unicode's simple case folding; these two are the only letters outside ASCII that it
# takes for letters of ASCII: the long s and the Kelvin sign.
_FOLDED_TO_ASCII = str.maketrans({"\u017f": "s", "\u212a": "k"})

TOO_DEEP = "it is not usable JSON: it is nested too deep"
"""Why a text is refused that Python does not read, though Tailscale might."""


class PolicyError(Exception):
    """The text is a policy that Tailscale would not save, or one that cannot be read."""

    def __init__(self, reason: str, place: SourceLocation | None = None) -> None:
        """Take what is wrong, and where if Tailscale would object to it."""
        where = f"line {place.line}, column {place.column}" if place else ""
        super().__init__(f"Tailscale would not save this: {where}: {reason}" if where else reason)
        self.reason = reason


def hosts_of_policy(policy: bytes, inside: str = "") -> HostsMap:
    """Return the hosts map of a policy in HuJSON; absent or null ``hosts`` is an empty one.

    ``inside`` is the dotted path to the policy, for messages: ``acl.`` of a snapshot. Raise
    :class:`PolicyError`, with line and column, for what Tailscale would not save.
    """
    text = policy.decode("iso-8859-1")
    try:
        if not hujson.may_have_constants(text):
            return _hosts_in(text, inside)
    except JSONDecodeError:
        pass  # as with comments or trailing commas, and with faults
    except RecursionError as why:
        raise PolicyError(TOO_DEEP) from why
    return _hosts_in_hujson(text, inside)


def fold(name: str) -> str:
    """Return the form that names of sections are compared in; those with the same form match."""
    return name.translate(_FOLDED_TO_ASCII).lower()


def is_policy(names: Iterable[str]) -> bool:
    """Tell whether an object with members of these names looks like a policy."""
    return not _FOLDED_SECTIONS.isdisjoint(map(fold, names))


_FOLDED_SECTIONS = frozenset(map(fold, POLICY_SECTIONS))


def _hosts_in_hujson(text: str, inside: str) -> HostsMap:
    """Read what is not JSON alone; report the first fault of the syntax before any other."""
    faults = hujson.find_faults(text)
    try:
        hosts = _hosts_in(hujson.to_json(text), inside)
    except JSONDecodeError as why:
        _refuse(text, *min([*faults, (why.pos, why.msg)], key=itemgetter(0)))
    except RecursionError as why:
        raise PolicyError(TOO_DEEP) from why
    except PolicyError:
        if not faults:
            raise
    if faults:
        _refuse(text, *faults[0])
    return hosts


def _hosts_in(text: str, inside: str) -> HostsMap:
    """Read JSON with a character a byte; raise :class:`json.JSONDecodeError` for what is none."""
    hosts: dict[str, object] = {}

    def enter(raw: str, at: int, value_at: int) -> int | None:
        name = raw if raw.isascii() else name_of(text, at)
        if fold(name) != "hosts":
            return None
        value, end = read_value(text, value_at)
        if value is None:
            hosts.clear()
        elif isinstance(value, dict):
            hosts.update(_decoded(value, text, value_at, end))
        else:
            kind = f"{inside}{shown(name)} is {json_type(value)}, not an object"
            _refuse(text, value_at, kind)
        return end

    try:
        for _ in members_of(text, enter):
            pass
    except TypeError:
        _refuse_root(text, inside)
    return hosts


def _decoded(value: dict[str, object], text: str, start: int, end: int) -> HostsMap:
    r"""Return a map as Go has it: each byte that is no UTF-8 is U+FFFD, each ``\ud800`` too."""
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


def _refuse_root(text: str, inside: str) -> NoReturn:
    start = after_space(text, 0)
    if start == len(text):
        _refuse(text, start, "it is empty")
    value, _ = read_value(text, start)
    kind = f"{inside.rstrip('.') or 'it'} is {json_type(value)}, not an object"
    _refuse(text, start, kind)


def _refuse(text: str, offset: int, reason: str) -> NoReturn:
    raise PolicyError(reason, place_of(text, offset))
