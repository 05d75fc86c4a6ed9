"""The document in the form that Traefik's key-value providers read: a path for each value.

``{"http": {"routers": {"r": {"entryPoints": ["web"]}}}}`` is ``http/routers/r/entryPoints/0`` =
``web``. Paths are relative to the provider's root key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ctsdns_traefik.core.text import quoted

_EMPTY = " "
"""How an empty text is written. Traefik's key-value providers skip a key with an empty value, and a
router would lack the middleware that it belongs to. The space is harmless: the empty texts are
values of headers, which Traefik trims."""

_GUARD = re.compile("((?:http|tcp)/routers/[^/]+)/(?:middlewares/|tls/options$)")
_NUMBER = re.compile("[0-9]{1,18}")

_NUMBERS = frozenset({"maxBodySize", "maxResponseBodySize", "priority"})
_FLAGS = frozenset(
    {
        "forwardBody",
        "httpOnly",
        "insecureSkipVerify",
        "passthrough",
        "preserveLocationHeader",
        "preserveRequestMethod",
        "trustForwardHeader",
    }
)
"""The fields that are not text, by name: the text of others, a resolver's name, may look like a
number."""

KeyValues = Mapping[str, str]
"""Values by path, relative to the root key."""

ANCHOR = {"http/middlewares/ctsdns-traefik-anchor/addPrefix/prefix": "/"}
"""A middleware that no router uses, in every document.

When the last key below its root goes, Traefik is not notified, and it discards a configuration that
is empty: it would serve the last routes for ever. With this key "no routes" arrives.
"""


class UnstorableText(ValueError):
    """Refuse a text that Traefik would read otherwise from a store."""


class Difference(NamedTuple):
    """The keys to set and to remove; those that stay the same are in neither."""

    changed: dict[str, str]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Return whether there is anything to change."""
        return bool(self.changed or self.removed)


def to_key_values(document: Mapping[str, Any]) -> dict[str, str]:
    """Return a document's keys and values with the anchor, sorted by path."""
    return dict(sorted([*ANCHOR.items(), *_flatten("", document)]))


def from_key_values(values: KeyValues) -> dict[str, Any]:
    """Return the document that keys and values stand for, without the anchor.

    A store has only text, so the type of a value follows from its field's name.
    """
    root: dict[str, Any] = {}
    for path in sorted(values.keys() - ANCHOR.keys()):
        parts, node = path.split("/"), root
        for part in parts[:-1]:
            inner = node.setdefault(part, {})
            node = inner if isinstance(inner, dict) else {}
        node[parts[-1]] = _value(parts[-1], values[path])
    return {name: _lists(value) for name, value in root.items()}


def digest(values: KeyValues) -> str:
    """Return a hash of keys and values, the same on every machine and in any order."""
    text = json.dumps(sorted(values.items()), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def difference(
    standing: Mapping[str, str | None], owned: set[str], wanted: KeyValues
) -> Difference:
    """Return what to set, and what to remove: all owned paths that are not wanted."""
    return Difference(
        {path: value for path, value in wanted.items() if standing.get(path) != value},
        tuple(sorted(owned - wanted.keys())),
    )


def find_guarded(changed: KeyValues, wanted: KeyValues) -> set[str]:
    """Return the paths of changed rules of routers that refer to middlewares or TLS options.

    Traefik lists keys while they are written and may miss new ones. Without its middlewares such a
    router would be open to everybody; without its rule it serves no request.
    """
    guarded = {match[1] for path in wanted if (match := _GUARD.match(path))}
    return {rule for router in guarded if (rule := f"{router}/rule") in changed}


def _flatten(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name in value:
            yield from _flatten(f"{path}/{name}" if path else str(name), value[name])
    elif isinstance(value, list | tuple):
        width = len(str(len(value) - 1))  # Traefik sorts the indexes as text
        for index, item in enumerate(value):
            if "," in str(item):
                what = (
                    f"{path} holds {quoted(str(item))}: Traefik splits a list in a store at commas"
                )
                raise UnstorableText(what)
            yield from _flatten(f"{path}/{index:0{width}}", item)
    else:
        yield path, (value or _EMPTY) if isinstance(value, str) else json.dumps(value)


def _value(field: str, text: str) -> str | bool | int:
    if field in _FLAGS and text in ("true", "false"):
        return text == "true"
    if field in _NUMBERS and _NUMBER.fullmatch(text):
        return int(text)
    return "" if text == _EMPTY else text


def _lists(node: object) -> object:
    """Return a node with each mapping whose names are 0, 1, 2 ... as a list."""
    if not isinstance(node, dict):
        return node
    if not node or not all(name.isdecimal() for name in node):
        return {name: _lists(inner) for name, inner in node.items()}
    indexes = sorted(node, key=int)
    if int(indexes[0]) or any(int(after) - int(before) != 1 for before, after in pairwise(indexes)):
        return {name: _lists(inner) for name, inner in node.items()}
    return [_lists(node[index]) for index in indexes]
