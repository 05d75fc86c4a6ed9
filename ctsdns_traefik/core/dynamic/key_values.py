"""The document as Traefik's key-value providers read it: a path and a text for each value.

``{"http": {"routers": {"r": {"entryPoints": ["web"]}}}}`` is ``http/routers/r/entryPoints/0`` =
``web``. All paths stand below the provider's root key, which is not part of them here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

_EMPTY = " "
"""What an empty text is written as: Traefik's key-value providers pass over a key without a value,
and a router would stand without the middleware that has it. Traefik trims a header's value."""

_GUARD = re.compile("((?:http|tcp)/routers/[^/]+)/(?:middlewares/|tls/options$)")
_NUMBER = re.compile("[0-9]{1,18}")

_NUMBERS = frozenset({"priority"})
_FLAGS = frozenset({"insecureSkipVerify", "passthrough", "trustForwardHeader"})
"""The fields that are no texts; the name of a resolver may look like a number."""

Pairs = Mapping[str, str]
"""Values by path."""

ANCHOR = {"http/middlewares/ctsdns-traefik-anchor/addPrefix/prefix": "/"}
"""A middleware that nothing uses, and that always stands.

When the last key below its root goes, Traefik notices nothing: it serves the last routes on. And a
configuration with nothing in it at all it throws away. With this in it, "no routes" arrives.
"""


class Difference(NamedTuple):
    """What turns one set of pairs into another; what both have is not touched."""

    changed: dict[str, str]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.changed or self.removed)


def to_pairs(document: Mapping[str, Any]) -> dict[str, str]:
    """Return a document's pairs and the anchor, in the order of their paths."""
    return dict(sorted([*ANCHOR.items(), *_flatten("", document)]))


def from_pairs(pairs: Pairs) -> dict[str, Any]:
    """Return the document that pairs say, without the anchor.

    Kinds of values are read back as this tool writes them, by the names of fields.
    """
    root: dict[str, Any] = {}
    for path in sorted(pairs.keys() - ANCHOR.keys()):
        parts, node = path.split("/"), root
        for part in parts[:-1]:
            inner = node.setdefault(part, {})
            node = inner if isinstance(inner, dict) else {}
        node[parts[-1]] = _value(parts[-1], pairs[path])
    return {name: _lists(value) for name, value in root.items()}


def digest(pairs: Pairs) -> str:
    """Return a hash of pairs, the same for the same pairs on every machine."""
    text = json.dumps(sorted(pairs.items()), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def difference(standing: Mapping[str, str | None], owned: set[str], wanted: Pairs) -> Difference:
    """Find what to set and what to remove: of what is owned, all that is not wanted."""
    return Difference(
        {path: value for path, value in wanted.items() if standing.get(path) != value},
        tuple(sorted(owned - wanted.keys())),
    )


def find_guarded(changed: Pairs, wanted: Pairs) -> set[str]:
    """Find the changed rules of routers that refer to middlewares or TLS options.

    Of a key that appears while a reader lists all, the reader may see nothing. Such a router
    without its middlewares would let everybody in; without its rule it serves nobody.
    """
    guarded = {match[1] for path in wanted if (match := _GUARD.match(path))}
    return {rule for router in guarded if (rule := f"{router}/rule") in changed}


def _flatten(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name in value:
            yield from _flatten(f"{path}/{name}" if path else str(name), value[name])
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flatten(f"{path}/{index}", item)
    else:
        yield path, (value or _EMPTY) if isinstance(value, str) else json.dumps(value)


def _value(field: str, text: str) -> str | bool | int:
    if field in _FLAGS and text in ("true", "false"):
        return text == "true"
    if field in _NUMBERS and _NUMBER.fullmatch(text):
        return int(text)
    return "" if text == _EMPTY else text


def _lists(node: object) -> object:
    """Turn maps whose names are 0, 1, 2 ... into lists."""
    if not isinstance(node, dict):
        return node
    if not node or not all(name.isdecimal() for name in node):
        return {name: _lists(inner) for name, inner in node.items()}
    indexes = sorted(node, key=int)
    if int(indexes[0]) or any(int(after) - int(before) != 1 for before, after in pairwise(indexes)):
        return {name: _lists(inner) for name, inner in node.items()}
    return [_lists(node[index]) for index in indexes]
