"""Read a name and an address of the policy's ``hosts`` map by the entry grammar.

    _<entrypoint>_<scheme>_<port>._<transport>.<domain>   ->   <address>
    _websecure_http_3000._tcp.app.example.com             ->   100.64.0.1

The form is that of an SRV owner name (RFC 2782) with the entrypoint in front. A name without a
leading ``_`` is an ordinary host alias and is ignored. The grammar accepts only letters, digits and
a few signs that mean nothing in Traefik's rules and names, so that nothing needs escaping there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import intern
from typing import NamedTuple

from ctsdns_traefik.core.entries.address import address_text, read_address
from ctsdns_traefik.core.entries.domain import read_domain
from ctsdns_traefik.core.problems import Diagnostic, DiagnosticError, Severity
from ctsdns_traefik.core.text import quoted

EXAMPLE = "_websecure_http_3000._tcp.app.example.com"
LARGEST_PORT = 65535

# Bounded, because Traefik rejects a whole file with a YAML key longer than 1,024 bytes, and the
# names of routers and services are made of these.
LONGEST_ENTRYPOINT = 255
LONGEST_SCHEME = 63

ENTRYPOINT_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST_ENTRYPOINT - 1}}}")
"""The form of an entrypoint's name, in entries and in the access file."""

_SERVICE_PARTS = 3
_KNOWN_TRANSPORT = re.compile(r"\._(tcp|udp)(?:\.|\Z)")
_ANY_TRANSPORT = re.compile(r"\._([^.]*)(?:\.|\Z)")

_SCHEME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_PORT = re.compile(r"0*([0-9]{1,5})")

# Matches almost all names at once; the others are read part by part, which finds what is wrong.
_PLAIN = re.compile(
    r"_([A-Za-z0-9][A-Za-z0-9_-]{0,63})_([a-z0-9]{1,32})_([1-9][0-9]{0,3})"
    r"\._tcp\.((?:[a-z0-9-]{1,40}\.){0,5}[a-z0-9-]{1,40})"
)


class HostEntry(NamedTuple):
    """One valid service entry: where Traefik listens and where the traffic goes."""

    name: str
    """The entry's name as written in the policy."""
    entrypoint: str
    scheme: str
    """In lower case: ``http``, ``https``, ``tls``, or the name of another TCP protocol."""
    port: int
    """1 to 65535."""
    domain: str
    """ASCII, in lower case, without a trailing dot; a wildcard starts with ``*.``."""
    address: str
    """An IPv4 or IPv6 address in its shortest form; ``""`` if only the name is known."""

    @property
    def is_http(self) -> bool:
        """Whether the entry becomes an HTTP router, not a TCP router."""
        return self.scheme in ("http", "https")


class Hosts(NamedTuple):
    """The valid service entries of a hosts map and diagnostics for the others, sorted by name."""

    entries: tuple[HostEntry, ...]
    diagnostics: tuple[Diagnostic, ...]


def read_hosts(hosts: Mapping[str, object]) -> Hosts:
    """Read every service entry of a hosts map; an invalid one never costs a valid one."""
    entries: list[HostEntry] = []
    diagnostics: list[Diagnostic] = []
    for name in sorted(hosts):
        if not name.startswith("_"):
            continue
        try:
            parts = _parts(name)
            address = read_address(hosts[name], at=len(name) + 1)
            entries.append(HostEntry(name, *parts, address))
        except DiagnosticError as error:
            diagnostics.append(error.diagnostic_for(name, address_text(hosts[name])))
    return Hosts(tuple(entries), tuple(diagnostics))


def parse_host(name: str, address: str | None = None) -> HostEntry | Diagnostic | None:
    """Read one entry, or only its name if no address is given; ``None`` is an ordinary alias."""
    if not name.startswith("_"):
        return None
    try:
        parts = _parts(name)
        read = "" if address is None else read_address(address, at=len(name) + 1)
        return HostEntry(name, *parts, read)
    except DiagnosticError as error:
        return error.diagnostic_for(name, address)


def diagnose(
    code: str,
    entry: HostEntry,
    message: str,
    hint: str,
    severity: Severity = Severity.ERROR,
    span: tuple[int, int] | None = None,
) -> Diagnostic:
    """Return a diagnostic for a valid entry; without a span for all of its name."""
    span = span or (0, len(entry.name))
    return Diagnostic(code, entry.name, message, hint, span, entry.address or None, severity)


def entrypoint_span(entry: HostEntry) -> tuple[int, int]:
    """Return the span of the entrypoint in an entry's name."""
    return 1, 1 + len(entry.entrypoint)


def scheme_span(entry: HostEntry) -> tuple[int, int]:
    """Return the span of the scheme in an entry's name."""
    start = len(entry.entrypoint) + 2
    return start, start + len(entry.scheme)


def _parts(name: str) -> tuple[str, str, int, str]:
    """Read entrypoint, scheme, port and domain from a name that starts with ``_``."""
    if plain := _PLAIN.fullmatch(name):
        # Interned, because thousands of entries share a few entrypoints and schemes.
        return intern(plain[1]), intern(plain[2]), int(plain[3]), plain[4]
    transport = _KNOWN_TRANSPORT.search(name) or _ANY_TRANSPORT.search(name)
    if transport is None:
        message = "the name has no ._tcp. between the port and the domain"
        raise DiagnosticError("bad-name", message, f"write it like {EXAMPLE}")
    parts = name[1 : transport.start()].rsplit("_", 2)
    if len(parts) < _SERVICE_PARTS:
        message = "entrypoint, scheme and port must all come before the transport"
        hint = f"write it like {EXAMPLE}"
        raise DiagnosticError("bad-name", message, hint, (0, transport.start()))
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
    raise DiagnosticError("bad-entrypoint", message, hint, (at, at + len(text)))


def _scheme(text: str, at: int) -> str:
    _require_at_most(LONGEST_SCHEME, text, at, "scheme")
    scheme = text.lower()
    if text.isascii() and _SCHEME.fullmatch(scheme):
        return scheme
    message = f"{quoted(text)} is not a scheme" if text else "the scheme is missing"
    hint = "write http, https, tls, or the name of another TCP protocol, such as ssh"
    raise DiagnosticError("bad-scheme", message, hint, (at, at + len(text)))


def _require_at_most(longest: int, text: str, at: int, part: str) -> None:
    if len(text) > longest:
        message = f"the {part} is longer than {longest} characters"
        raise DiagnosticError(f"bad-{part}", message, "shorten it", (at, at + len(text)))


def _port(text: str, at: int) -> int:
    digits = _PORT.fullmatch(text)
    if digits and 1 <= int(digits[1]) <= LARGEST_PORT:
        return int(digits[1])
    message = f"{quoted(text)} is not a port" if text else "the port is missing"
    hint = f"write a number from 1 to {LARGEST_PORT} in plain digits"
    raise DiagnosticError("bad-port", message, hint, (at, at + len(text)))


def _require_tcp(transport: str, at: int) -> None:
    if transport == "tcp":
        return
    span = (at, at + len(transport) + 1)
    if transport == "udp":
        message = "UDP entries are not supported"
        hint = "let clients connect without Traefik, or write _tcp if the service speaks TCP"
        raise DiagnosticError("udp-not-supported", message, hint, span)
    message = f"{quoted('_' + transport)} is not a transport"
    raise DiagnosticError("bad-transport", message, "write _tcp", span)
