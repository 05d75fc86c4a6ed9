"""Warn about names and schemes that are valid but were probably meant to be something else.

A warning changes no route: the policy is read as written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from ctsdns_traefik.core.entries.address import address_text
from ctsdns_traefik.core.entries.grammar import (
    EXAMPLE,
    HostEntry,
    diagnose,
    parse_host,
    scheme_span,
)
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import quoted, shown

SPECIAL_SCHEMES = ("http", "https", "h2c", "tls")
"""Schemes that select the kind of route; any other is the name of a TCP protocol."""

PROTOCOLS = frozenset({"dls", "htcp", "htsp", "ils", "tds", "tl1", "tns"})
"""TCP protocols whose names are one letter away from a special scheme, and are not reported.

Directory Location Service, Hyper Text Caching Protocol, Tvheadend's Home TV Streaming Protocol,
Internet Locator Service, SQL Server's Tabular Data Stream, Transaction Language 1 and Oracle's
Transparent Network Substrate.
"""

_TRANSPORT = re.compile(r"\._(?:tcp|udp)\.")
_UNDERSCORES = 2


def find_near_misses(
    hosts: Mapping[str, object], entries: Iterable[HostEntry]
) -> tuple[Diagnostic, ...]:
    """Return warnings about a hosts map and the entries read from it, sorted by name."""
    found = [*_missing_underscore(hosts), *_unusual_scheme(entries)]
    return tuple(sorted(found, key=lambda diagnostic: diagnostic.entry))


def _missing_underscore(hosts: Mapping[str, object]) -> Iterator[Diagnostic]:
    """Report names of an entry's form that do not start with an underscore."""
    for name in hosts:
        if name.startswith("_") or not (transport := _TRANSPORT.search(name)):
            continue
        domain = name[transport.end() :]
        if domain and name.count("_", 0, transport.start()) >= _UNDERSCORES:
            meant = f"_{name.strip().lstrip('_')}"
            fits = isinstance(parse_host(meant), HostEntry)
            yield Diagnostic(
                code="missing-underscore",
                entry=name,
                message="the name has the form of an entry, but does not start with an underscore,"
                " and is ignored as an ordinary alias",
                hint=f"write {shown(meant)}" if fits else f"write it like {EXAMPLE}",
                span=(0, 0),
                address=None if hosts[name] is None else address_text(hosts[name]),
                severity=Severity.WARNING,
            )


def _unusual_scheme(entries: Iterable[HostEntry]) -> Iterator[Diagnostic]:
    """Report entries whose scheme is one typing error away from a special one."""
    entries = tuple(entries)
    meant = {scheme: _meant(scheme) for scheme in {entry.scheme for entry in entries}}
    for entry in entries:
        if entry.transport == "udp":
            if entry.scheme in SPECIAL_SCHEMES or entry.scheme in _OVER_HTTP:
                yield _special_over_udp(entry)
        elif hint := meant[entry.scheme]:
            tls = "without TLS" if entry.is_raw else "whose TLS ends at Traefik"
            if entry.is_raw and entry.scheme in _OVER_HTTP:
                hint += ", with a name in place of *"
            yield diagnose(
                "unusual-scheme",
                entry,
                f"{quoted(entry.scheme)} is taken for the name of a TCP protocol, and makes a TCP"
                f" route {tls}",
                hint,
                Severity.WARNING,
                scheme_span(entry),
            )


def _special_over_udp(entry: HostEntry) -> Diagnostic:
    """Report a scheme that selects a kind of TCP route, and over UDP is only a label."""
    return diagnose(
        "unusual-scheme",
        entry,
        f"over UDP {entry.scheme} makes no HTTP or TLS route: every datagram of entrypoint"
        f" {entry.entrypoint} goes to the backend as it is",
        "write _tcp for an HTTP or TLS route, to which http3 on the entrypoint adds HTTP/3, or name"
        " the protocol, such as quic",
        Severity.WARNING,
        scheme_span(entry),
    )


_OVER_HTTP = {
    "ws": "http, over which Traefik passes WebSocket on",
    "wss": "http, over which Traefik passes WebSocket on, or https for a backend with TLS",
    "grpc": "h2c, or https for a backend with TLS",
    "grpcs": "https",
    "h2": "https, or h2c for a backend without TLS",
    "http2": "https, or h2c for a backend without TLS",
}
"""Schemes of what goes over HTTP routes, with the scheme to write."""


def _meant(scheme: str) -> str:
    """Return what was probably meant by a scheme, ``""`` if nothing else was."""
    if scheme in SPECIAL_SCHEMES or scheme in PROTOCOLS:
        return ""
    if scheme in _OVER_HTTP:
        return f"write {_OVER_HTTP[scheme]}"
    close = [each for each in SPECIAL_SCHEMES if _one_edit_apart(scheme, each)]
    meant = f"did you mean {' or '.join(close)}? if not, give the protocol a less similar name"
    return meant if close else ""


def _one_edit_apart(one: str, other: str) -> bool:
    """Return whether one letter is added, left out, replaced, or swapped with the next."""
    longest = min(len(one), len(other))
    before = next((at for at in range(longest) if one[at] != other[at]), longest)
    one, other = one[before:], other[before:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) == 1 or (len(one) == 2 and one == other[::-1])  # noqa: PLR2004
