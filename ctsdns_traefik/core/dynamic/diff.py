"""Compare two documents by router: added, changed, removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.dynamic.document import (
    Document,
    Selection,
    find_affected,
    text_in,
    texts_in,
)

NAMED_AT_MOST = 30
"""How many routers one line names; it counts the others."""

Outline = Mapping[str, int]
"""A hash of each router with everything that it refers to, by ``SECTION/NAME``.

The hashes are valid only within the process: Python salts them.
"""

FEWEST_GUARDED = 4
"""The removal guard: a document with fewer routers may lose any number of them at once."""


class Changes(NamedTuple):
    """Names of routers, sorted, HTTP, then TCP, then UDP."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    before: int
    """The number of routers in the old document."""

    @property
    def exceeds_guard(self) -> bool:
        """Whether more than half of at least :data:`FEWEST_GUARDED` routers are removed.

        The worker reads a truncated policy without an error, so that a snapshot can lose most
        entries. Such a removal waits for the next snapshot to confirm it.
        """
        return self.before >= FEWEST_GUARDED and 2 * len(self.removed) > self.before


def outline(
    document: Document, fresh: Selection | None = None, previous: Outline | None = None
) -> Outline:
    """Return what :func:`compare` needs of a document, in a tenth of its memory.

    ``fresh`` selects how it differs from a previous document, with the same references, whose
    outline is given.
    """
    known = previous or {}
    found: dict[str, int] = {}
    for section, parts in document.items():
        routers = parts.get("routers", {})
        stale = set(routers) if fresh is None else find_affected(parts, fresh[section])
        for name in routers:
            key = f"{section}/{name}"
            if name in stale:
                router = routers[name]
                found[key] = hash(repr((router, *_used_by(router, parts, document))))
            else:
                found[key] = known[key]
    return found


def find_removed(old: Outline, new: Outline) -> Changes:
    """Find only the routers that are removed, in less time than :func:`compare`."""
    return Changes((), (), _names(old.keys() - new.keys()), before=len(old))


def compare(old: Outline, new: Outline) -> Changes:
    """Compare two documents; a router has changed if it or anything it refers to has."""
    return Changes(
        added=_names(new.keys() - old.keys()),
        changed=_names([key for key, value in new.items() if old.get(key, value) != value]),
        removed=_names(old.keys() - new.keys()),
        before=len(old),
    )


def count_by_entrypoint(document: Document) -> dict[str, int]:
    """Count the routers of each entrypoint in a document from any author."""
    return Counter(
        entrypoint
        for parts in document.values()
        for router in parts.get("routers", {}).values()
        for entrypoint in texts_in(router, "entryPoints")
    )


def udp_entrypoints(document: Document) -> frozenset[str]:
    """Return the entrypoints of the UDP routers in a document from any author."""
    return frozenset(count_by_entrypoint({"udp": document.get("udp", {})}))


def listed(names: tuple[str, ...]) -> str:
    """Return at most :data:`NAMED_AT_MOST` names as one line, with the number of the others."""
    more = len(names) - NAMED_AT_MOST
    return ", ".join(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _used_by(
    router: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]], document: Document
) -> Iterator[object]:
    """Yield what a router refers to in the same document, which may be from any author."""
    service = parts.get("services", {}).get(str(router.get("service")))
    yield service
    if middlewares := parts.get("middlewares"):
        yield from _found(middlewares, *texts_in(router, "middlewares"))
    if transports := parts.get("serversTransports"):
        yield from _found(transports, text_in(service, "loadBalancer", "serversTransport"))
    if options := document.get("tls", {}).get("options"):
        yield from _found(options, text_in(router, "tls", "options"))


def _found(items: Mapping[str, Any], *names: str) -> Iterator[object]:
    return (items[name] for name in names if name in items)


def _names(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key.partition("/")[2] for key in sorted(keys))
