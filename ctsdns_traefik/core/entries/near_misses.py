"""Names and schemes that are read as something else than they probably mean.

Neither costs a route: the policy is read as it stands, and a warning says what is likely meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ctsdns_traefik.core.entries.address import address_text
from ctsdns_traefik.core.entries.grammar import EXAMPLE, HostEntry, parse_host
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import quoted, shown

ROUTED_APART = ("http", "https", "tls")
"""Schemes with a meaning of their own; any other is just the name of a TCP protocol."""

PROTOCOLS = frozenset({"dls", "htcp", "htsp", "ils", "tds", "tl1", "tns"})
"""TCP protocols whose own names are one letter away from such a scheme.

Directory Location Service, Hyper Text Caching Protocol, Tvheadend's Home TV Streaming Protocol,
Internet Locator Service, SQL Server's Tabular Data Stream, Transaction Language 1 and Oracle's
Transparent Network Substrate.
"""

_TRANSPORT = "._tcp."
_UNDERSCORES = 2


def find_near_misses(
    hosts: Mapping[str, object], entries: Iterable[HostEntry]
) -> tuple[Diagnostic, ...]:
    """Return warnings about a hosts map and the entries read from it, sorted by name."""
    found = [*_missing_underscore(hosts), *_unusual_scheme(entries)]
    return tuple(sorted(found, key=lambda problem: problem.entry))


def _missing_underscore(hosts: Mapping[str, object]) -> Iterator[Diagnostic]:
    """Report names of the right shape that do not start with an underscore.

    Names with ``._udp.`` are left alone: an underscore would make them refused entries.
    """
    for name in hosts:
        if _TRANSPORT not in name or name.startswith("_"):
            continue
        before, _, domain = name.partition(_TRANSPORT)
        if domain and before.count("_") >= _UNDERSCORES:
            meant = f"_{name.strip().lstrip('_')}"
            fits = isinstance(parse_host(meant), HostEntry)
            yield _problem(
                "missing-underscore",
                (name, hosts[name]),
                "the name has the form of an entry, but does not start with an underscore, and is"
                " ignored as an ordinary alias",
                f"write {shown(meant)}" if fits else f"write it like {EXAMPLE}",
                (0, 0),
            )


def _unusual_scheme(entries: Iterable[HostEntry]) -> Iterator[Diagnostic]:
    """Report entries with a scheme that is one slip away from one with a meaning of its own."""
    entries = tuple(entries)
    meant = {scheme: _meant(scheme) for scheme in {entry.scheme for entry in entries}}
    for entry in entries:
        if schemes := meant[entry.scheme]:
            start = len(entry.entrypoint) + 2
            yield _problem(
                "unusual-scheme",
                (entry.name, entry.address or None),
                f"{quoted(entry.scheme)} is taken for the name of a TCP protocol, and makes a TCP"
                " route whose TLS ends at Traefik",
                f"did you mean {' or '.join(schemes)}? if not, give the protocol a less similar"
                " name",
                (start, start + len(entry.scheme)),
            )


def _meant(scheme: str) -> tuple[str, ...]:
    """Return the schemes with a meaning of their own that a scheme is one slip away from."""
    if scheme in ROUTED_APART or scheme in PROTOCOLS:
        return ()
    return tuple(each for each in ROUTED_APART if _one_slip_apart(scheme, each))


def _one_slip_apart(one: str, other: str) -> bool:
    """Return whether one letter added, left out, replaced, or swapped with the next is all."""
    longest = min(len(one), len(other))
    before = next((at for at in range(longest) if one[at] != other[at]), longest)
    one, other = one[before:], other[before:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) == 1 or (len(one) == 2 and one == other[::-1])  # noqa: PLR2004


def _problem(
    code: str, entry: tuple[str, object], message: str, hint: str, span: tuple[int, int]
) -> Diagnostic:
    name, value = entry
    address = None if value is None else address_text(value)
    return Diagnostic(code, name, message, hint, span, address, Severity.WARNING)
