"""Read a name and an address of the policy's ``hosts`` map by the entry grammar.

    _<entrypoint>_<scheme>_<port>._<transport>.<domain>   ->   <address>
    _websecure_http_3000._tcp.app.example.com             ->   100.64.0.1

The form is that of an SRV owner name (RFC 2782) with the entrypoint in front. A name without a
leading ``_`` is an ordinary host alias and is ignored. The domain ``*`` stands for all connections
of a TCP entrypoint; UDP has no names, so that there a domain is only a label. The grammar accepts
only letters, digits and a few signs that mean nothing in Traefik's rules and names, so that nothing
needs escaping there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import intern
from typing import Literal, NamedTuple, cast, get_args

from ctsdns_traefik.core.entries.address import address_text, read_address
from ctsdns_traefik.core.entries.domain import read_domain
from ctsdns_traefik.core.problems import Diagnostic, DiagnosticError, Faults, Severity
from ctsdns_traefik.core.text import quoted

Transport = Literal["tcp", "udp"]

ANY = "*"
"""The domain of a raw entry, which takes every connection of its entrypoint."""

EXAMPLE = "_websecure_http_3000._tcp.app.example.com"
LARGEST_PORT = 65535
HTTP_SCHEMES = ("http", "https", "h2c")
"""Those of HTTP backends; ``h2c`` is HTTP/2 without TLS, as gRPC servers often speak."""

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
    """In lower case: ``http``, ``https``, ``h2c``, ``tls``, or the name of another protocol."""
    port: int
    """1 to 65535."""
    domain: str
    """ASCII, in lower case, without a trailing dot; a wildcard starts with ``*.``, and
    :data:`ANY` alone is no name at all."""
    address: str
    """An IPv4 or IPv6 address in its shortest form; ``""`` if only the name is known."""
    transport: Transport = "tcp"

    @property
    def is_http(self) -> bool:
        """Whether the entry becomes an HTTP router, not a TCP or UDP router."""
        return self.scheme in HTTP_SCHEMES and self.transport == "tcp"

    @property
    def is_passthrough(self) -> bool:
        """Whether the backend, not Traefik, terminates the client's TLS."""
        return self.scheme == "tls" and self.transport == "tcp"

    @property
    def is_raw(self) -> bool:
        """Whether a TCP entry has neither a name nor TLS: it takes all plain connections."""
        return self.domain == ANY and self.transport == "tcp" and self.scheme != "tls"

    @property
    def is_recovered_udp(self) -> bool:
        """Whether the domain can be only a slug: that of a UDP entry read from a document."""
        return self.transport == "udp" and "-" in self.domain and "." not in self.domain

    @property
    def is_wildcard(self) -> bool:
        """Whether the domain stands for all names one label below it."""
        return self.domain.startswith("*.")


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
            entries.append(_read(name, hosts[name]))
        except DiagnosticError as error:
            diagnostics += error.diagnostics_for(name, address_text(hosts[name]))
    return Hosts(tuple(entries), tuple(diagnostics))


def parse_host(name: str, address: str | None = None) -> HostEntry | tuple[Diagnostic, ...] | None:
    """Read one entry, or only its name if no address is given; ``None`` is an ordinary alias."""
    if not name.startswith("_"):
        return None
    try:
        return _read(name, address, has_address=address is not None)
    except DiagnosticError as error:
        return error.diagnostics_for(name, address)


def _read(name: str, address: object, *, has_address: bool = True) -> HostEntry:
    """Read a name that starts with ``_``, and its address; one's faults hide none of the other."""
    at = len(name) + 1
    try:
        entrypoint, scheme, port, domain, transport = _parts(name)
    except DiagnosticError as error:
        faults = Faults((error, *error.others))
        if has_address:
            with faults.noted():
                read_address(address, at)
        raise faults.joined() from None
    read = read_address(address, at) if has_address else ""
    return HostEntry(name, entrypoint, scheme, port, domain, read, transport)


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


def _parts(name: str) -> tuple[str, str, int, str, Transport]:
    """Read entrypoint, scheme, port, domain and transport from a name that starts with ``_``."""
    if plain := _PLAIN.fullmatch(name):
        # Interned, because thousands of entries share a few entrypoints and schemes.
        return intern(plain[1]), intern(plain[2]), int(plain[3]), plain[4], "tcp"
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
    faults, at = Faults(), transport.end()
    kind = scheme = None
    with faults.noted():
        entrypoint = intern(_entrypoint(parts[0], at=1))
    with faults.noted():
        scheme = intern(_scheme(parts[1], at=scheme_at))
    with faults.noted():
        port = _port(parts[2], at=port_at)
    with faults.noted():
        kind = _transport(transport[1], at=transport.start() + 1)
    with faults.noted():
        is_http = kind == "tcp" and scheme in HTTP_SCHEMES
        domain = _domain(name[at:], at, is_http=is_http)
    if faults:
        raise faults.joined()
    return entrypoint, scheme, port, domain, kind


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


def _transport(text: str, at: int) -> Transport:
    if text in get_args(Transport):
        return cast("Transport", text)
    message = f"{quoted('_' + text)} is not a transport"
    raise DiagnosticError("bad-transport", message, "write _tcp or _udp", (at, at + len(text) + 1))


def _domain(text: str, at: int, *, is_http: bool) -> str:
    if text.removesuffix(".") != ANY:
        return read_domain(text, at)
    if not is_http:
        return ANY
    message = "an HTTP route needs a name, and * is none"
    hint = (
        "write a wildcard such as *.example.com, or put a router for every name into a dynamic file"
        " of your own"
    )
    raise DiagnosticError("bad-domain", message, hint, (at, at + len(text)))
