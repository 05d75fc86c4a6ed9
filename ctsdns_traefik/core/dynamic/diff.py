"""What one document changes about another, in routers: added, changed, removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic.document import Document

NAMED_AT_MOST = 30
"""Routers that one line names; beyond that it counts them."""

Outline = Mapping[str, int]
"""A document in little: a number for each router with all that it refers to, by ``SECTION/NAME``.

What differs has different numbers, but for one chance in billions of billions. They mean nothing
outside the process: Python salts them.
"""

FEWEST_GUARDED = 4
"""A document with fewer routers may lose any number of them at once."""


class Changes(NamedTuple):
    """Names of routers, sorted, HTTP before TCP."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    before: int
    """How many routers there were."""

    @property
    def drastic(self) -> bool:
        """Tell whether more than half of at least :data:`FEWEST_GUARDED` routers go."""
        return self.before >= FEWEST_GUARDED and 2 * len(self.removed) > self.before


NO_CHANGES = Changes((), (), (), 0)


def outline(document: Document) -> Outline:
    """Return what of a document :func:`compare` needs, in a tenth of its memory.

    The names are new texts: one of the document's own, kept, would keep the memory around it.
    """
    return {
        _key(section, name): hash(repr((router, *_used_by(router, parts, document))))
        for section, parts in document.items()
        for name, router in parts.get("routers", {}).items()
    }


def find_removed(old: Outline, new: Document) -> Changes:
    """Find the routers that go, and nothing else: that takes a tenth of the time."""
    kept = {_key(section, name) for section in new for name in new[section].get("routers", ())}
    return Changes((), (), _names(key for key in old if key not in kept), before=len(old))


def compare(old: Outline, new: Outline) -> Changes:
    """Compare two documents; a router has changed if it or what it refers to has."""
    return Changes(
        added=_names(key for key in new if key not in old),
        changed=_names(key for key in new if key in old and old[key] != new[key]),
        removed=_names(key for key in old if key not in new),
        before=len(old),
    )


def count_by_entrypoint(document: Document) -> dict[str, int]:
    """Count the routers of each entrypoint in a document, whoever wrote that."""
    return Counter(
        str(entrypoint)
        for parts in document.values()
        for router in parts.get("routers", {}).values()
        for entrypoint in _list_in(router, "entryPoints")
    )


def _list_in(router: Mapping[str, Any], key: str) -> list[object]:
    value = router.get(key)
    return value if isinstance(value, list) else []


def listed(names: tuple[str, ...]) -> str:
    """Name routers in a line, at most :data:`NAMED_AT_MOST`."""
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _used_by(
    router: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]], document: Document
) -> Iterator[object]:
    """Yield what a router refers to, as far as it stands in the document, whoever wrote that."""
    service = parts.get("services", {}).get(str(router.get("service")))
    yield service
    if "middlewares" in parts:
        names = router.get("middlewares")
        for name in names if isinstance(names, list) else ():
            yield parts["middlewares"].get(str(name))
    if "serversTransports" in parts:
        yield parts["serversTransports"].get(_text_in(service, "loadBalancer", "serversTransport"))
    if "tls" in document:
        yield document["tls"].get("options", {}).get(_text_in(router, "tls", "options"))


def _text_in(value: object, outer: str, inner: str) -> str:
    """Return the text under two keys, or what stands for none."""
    within = value.get(outer) if isinstance(value, Mapping) else None
    return str(within.get(inner)) if isinstance(within, Mapping) else ""


def _key(section: str, name: str) -> str:
    return f"{section}/{name}"


def _names(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key.partition("/")[2] for key in sorted(keys))
