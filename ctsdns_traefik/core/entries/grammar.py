"""The entry grammar: a name and address of the policy's ``hosts`` map, read or refused.

    _<entrypoint>_<scheme>_<port>._<transport>.<domain>   ->   <address>
    _websecure_http_3000._tcp.app.example.com             ->   100.64.0.1

The shape is that of an SRV owner name (RFC 2782) with the entrypoint in front. A name without
a leading ``_`` is an ordinary host alias and none of this tool's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import intern
from typing import NamedTuple

from ctsdns_traefik.core.entries.address import address_text, read_address
from ctsdns_traefik.core.entries.domain import read_domain
from ctsdns_traefik.core.problems import Diagnostic, DiagnosticError
from ctsdns_traefik.core.text import quoted

EXAMPLE = "_websecure_http_3000._tcp.app.example.com"
LARGEST_PORT = 65535

# Bounded, so that no name made of them is longer than a YAML key may be, 1,024 bytes: one longer
# key, and Traefik refuses the whole file.
LONGEST_ENTRYPOINT = 255
LONGEST_SCHEME = 63

_SERVICE_PARTS = 3
_KNOWN_TRANSPORT = re.compile(r"\._(tcp|udp)(?:\.|\Z)")
_ANY_TRANSPORT = re.compile(r"\._([^.]*)(?:\.|\Z)")
ENTRYPOINT_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_ENTRYPOINT - 1}}}")
_SCHEME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_PORT = re.compile(r"0*([0-9]{1,5})")

# The form of almost all names, read in one go; others take the way that can say what is wrong.
_PLAIN = re.compile(
    r"_([A-Za-z0-9][A-Za-z0-9_-]{0,63})_([a-z0-9]{1,32})_([1-9][0-9]{0,3})"
    r"\._tcp\.((?:[a-z0-9-]{1,40}\.){0,5}[a-z0-9-]{1,40})"
)


class HostEntry(NamedTuple):
    """One service entry, read: where Traefik listens and where the traffic goes."""

    name: str
    """The entry's name, as it stands in the policy."""
    entrypoint: str
    scheme: str
    """In lower case: ``http``, ``https``, ``tls``, or the name of another TCP protocol."""
    port: int
    """1 to 65535."""
    domain: str
    """ASCII, in lower case, without a trailing dot; ``*.`` in front makes it a wildcard."""
    address: str
    """An IPv4 or IPv6 address in its shortest form; ``""`` if only the name is known."""

    @property
    def is_http(self) -> bool:
        """Whether it becomes an HTTP router, not a TCP router."""
        return self.scheme in ("http", "https")


class Hosts(NamedTuple):
    """The service entries of a hosts map and what is wrong with the others, sorted by name."""

    entries: tuple[HostEntry, ...]
    problems: tuple[Diagnostic, ...]


def read_hosts(hosts: Mapping[str, object]) -> Hosts:
    """Read every service entry of a hosts map; a bad one never costs another."""
    entries: list[HostEntry] = []
    problems: list[Diagnostic] = []
    for name in sorted(hosts):
        if not name.startswith("_"):
            continue
        try:
            parts = _parts(name)
            address = read_address(hosts[name], at=len(name) + 1)
            entries.append(HostEntry(name, *parts, address))
        except DiagnosticError as refusal:
            problems.append(refusal.diagnostic_for(name, address_text(hosts[name])))
    return Hosts(tuple(entries), tuple(problems))


def parse_host(name: str, address: str | None = None) -> HostEntry | Diagnostic | None:
    """Read one entry, or its name alone if no address is given; ``None`` is an ordinary alias."""
    if not name.startswith("_"):
        return None
    try:
        parts = _parts(name)
        read = "" if address is None else read_address(address, at=len(name) + 1)
        return HostEntry(name, *parts, read)
    except DiagnosticError as refusal:
        return refusal.diagnostic_for(name, address)


def _parts(name: str) -> tuple[str, str, int, str]:
    """Read entrypoint, scheme, port and domain from a name that starts with ``_``."""
    if plain := _PLAIN.fullmatch(name):
        return intern(plain[1]), intern(plain[2]), int(plain[3]), plain[4]
    transport = _KNOWN_TRANSPORT.search(name) or _ANY_TRANSPORT.search(name)
    if transport is None:
        message = "the name has no ._tcp. between the port and the domain"
        raise DiagnosticError("bad-name", (0, len(name)), message, f"write it like {EXAMPLE}")
    parts = name[1 : transport.start()].rsplit("_", 2)
    if len(parts) < _SERVICE_PARTS:
        message = "entrypoint, scheme and port do not all stand before the transport"
        raise DiagnosticError(
            "bad-name", (0, transport.start()), message, f"write it like {EXAMPLE}"
        )
    scheme_at = len(parts[0]) + 2
    port_at = scheme_at + len(parts[1]) + 1
    entrypoint = intern(_entrypoint(parts[0], at=1))
    scheme = intern(_scheme(parts[1], at=scheme_at))
    port = _port(parts[2], at=port_at)
    _require_tcp(transport[1], at=transport.start() + 1)
    domain = read_domain(name[transport.end() :], at=transport.end())
    return entrypoint, scheme, port, domain


def _entrypoint(text: str, at: int) -> str:
    _require_at_most(LONGEST_ENTRYPOINT, text, at, "entrypoint")
    if ENTRYPOINT_NAME.fullmatch(text):
        return text
    message = f"{quoted(text)} is not an entrypoint name" if text else "the entrypoint is missing"
    hint = "write one of Traefik's: letters, digits, - and _, a letter or digit first"
    raise DiagnosticError("bad-entrypoint", (at, at + len(text)), message, hint)


def _scheme(text: str, at: int) -> str:
    _require_at_most(LONGEST_SCHEME, text, at, "scheme")
    scheme = text.lower()
    if text.isascii() and _SCHEME.fullmatch(scheme):
        return scheme
    message = f"{quoted(text)} is not a scheme" if text else "the scheme is missing"
    hint = "write http, https, tls, or the name of another TCP protocol, such as ssh"
    raise DiagnosticError("bad-scheme", (at, at + len(text)), message, hint)


def _require_at_most(longest: int, text: str, at: int, part: str) -> None:
    if len(text) > longest:
        message = f"the {part} is longer than {longest} characters"
        raise DiagnosticError(f"bad-{part}", (at, at + len(text)), message, "shorten it")


def _port(text: str, at: int) -> int:
    digits = _PORT.fullmatch(text)
    if digits and 1 <= int(digits[1]) <= LARGEST_PORT:
        return int(digits[1])
    message = f"{quoted(text)} is not a port" if text else "the port is missing"
    hint = f"write a number from 1 to {LARGEST_PORT} in plain digits"
    raise DiagnosticError("bad-port", (at, at + len(text)), message, hint)


def _require_tcp(transport: str, at: int) -> None:
    if transport == "tcp":
        return
    span = (at, at + len(transport) + 1)
    if transport == "udp":
        message = "UDP entries are not supported"
        hint = "let clients connect without Traefik, or write _tcp if the service speaks TCP"
        raise DiagnosticError("udp-not-supported", span, message, hint)
    message = f"{quoted('_' + transport)} is not a transport"
    raise DiagnosticError("bad-transport", span, message, "write _tcp")
