"""Read the address of an entry: one machine that Traefik can connect to."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple, NoReturn

from ctsdns_traefik.core.problems import DiagnosticError
from ctsdns_traefik.core.text import json_type, quoted

TAILNET_RANGES = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")
"""The addresses of machines in a tailnet (https://tailscale.com/kb/1015/100.x-addresses)."""

_EXAMPLES = "100.64.0.1 or fd7a:115c:a1e0::1"
_ONE_MACHINE = f"write one machine's address: {_EXAMPLES}"

# A unicast IPv4 address in dotted decimal, as most are: a pattern is far faster than ipaddress.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_UNICAST = r"(?:22[0-3]|2[01][0-9]|1[0-9][0-9]|[1-9][0-9]?)"
_PLAIN_IPV4 = re.compile(rf"{_UNICAST}(?:\.{_BYTE}){{3}}")

_WITH_PORT = re.compile(r"(.+):([0-9]+)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_LONGEST_NAME = 253
_NAME = re.compile(r"(?!-)(?:[A-Za-z0-9_-]+\.)*[0-9-]*[A-Za-z][A-Za-z0-9-]*\.?")


def read_address(value: object, at: int) -> str:
    """Return an IPv4 or IPv6 address in its shortest form.

    ``/32`` and ``/128`` are dropped, and an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2)
    becomes the IPv4 address. ``at`` is the value's offset in the entry. Raise
    :class:`DiagnosticError` for anything but one machine's address.
    """
    if isinstance(value, str) and _PLAIN_IPV4.fullmatch(value):
        return value
    if not isinstance(value, str):
        message = f"the address is {address_text(value)}, not text"
        _reject(value, at, message, 'write an address between quotes: "100.64.0.1"')
    host, slash, prefix = value.partition("/")
    try:
        if slash:  # for its check of the prefix length
            ipaddress.ip_network(value, strict=False)
        address = ipaddress.ip_address(host)
    except ValueError:
        _reject(value, at, *_explain(value))
    kind = _undialable(address)
    if slash and prefix != str(address.max_prefixlen):
        kind = "a network, not one machine"
    if kind:
        _reject(value, at, f"{quoted(value)} is {kind}", _ONE_MACHINE)
    return str(_unmapped(address))


def address_text(value: object) -> str:
    """Return the value of an entry as text; for one that is no text, its JSON type."""
    return value if isinstance(value, str) else json_type(value)


def looks_like_address(text: str) -> bool:
    """Return whether a text was meant as an address.

    It is an address, a network, an address with a port, or a URL; not a machine's name.
    """
    if _is_ip(text.partition("/")[0]):
        return True
    location = _read_location(text)
    return location is not None and (location.is_url or _is_ip(location.host))


class _Location(NamedTuple):
    """An address or a name, possibly with a port, in brackets or in a URL."""

    host: str
    """Without brackets."""
    port: str
    is_url: bool

    @property
    def kind(self) -> str:
        """A description with its article, such as ``a name with a port``."""
        if self.is_url:
            return "a URL"
        noun = "an address" if _is_ip(self.host) else "a name"
        if self.port:
            return f"{noun} with a port"
        return f"{noun} in brackets" if noun == "an address" else f"{noun}, not an address"

    @property
    def address(self) -> str:
        """The address, or how to find it."""
        if _is_ip(self.host):
            return self.host
        if self.host.lower() == "localhost":
            return "127.0.0.1"
        return f"the machine's address, which 'tailscale ip -4 {self.host}' prints"


def _read_location(text: str) -> _Location | None:
    """Split a text into an address or a name and what surrounds it; ``None`` if it has neither."""
    scheme, scheme_end, rest = text.rpartition("://")
    authority, slash, _ = rest.partition("/")
    authority = authority.rpartition("@")[2]
    host, port = authority, ""
    if with_port := _WITH_PORT.fullmatch(authority):
        host, port = with_port.groups()
    if _is_ip(authority):  # an IPv6 address, not one with a port
        host, port = authority, ""
    host = host.removeprefix("[").removesuffix("]")
    if (slash and not (scheme_end or port)) or (scheme_end and not _SCHEME.fullmatch(scheme)):
        return None
    if not _is_ip(host) and not (_NAME.fullmatch(host) and len(host) <= _LONGEST_NAME):
        return None
    return _Location(host, port, bool(scheme_end))


def _explain(text: str) -> tuple[str, str]:
    """Return a message and a hint for a text that is not an address."""
    stripped, location = text.strip(), _read_location(text)
    if not text:
        return "the address is missing", f"write an IPv4 or IPv6 address: {_EXAMPLES}"
    inner = stripped if _is_ip(stripped) or not location else location.host
    if _is_ip(inner) and (kind := _undialable(ipaddress.ip_address(inner))):
        return f"{quoted(text)} is {kind}", _ONE_MACHINE
    if _is_ip(stripped):
        return f"{quoted(text)} has white space beside the address", f"write {stripped}"
    if location is None:
        return f"{quoted(text)} is not an address", f"write an IPv4 or IPv6 address: {_EXAMPLES}"
    belongs = "scheme and port" if location.is_url else "the port"
    rest = f", and {belongs} in the entry's name" if location.is_url or location.port else ""
    return f"{quoted(text)} is {location.kind}", f"write {location.address}{rest}"


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _undialable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """Name the kind of an address that no proxy can connect to, with its article."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "a scoped address"
    address = _unmapped(address)
    if address.is_unspecified:
        return "the unspecified address"
    return "a multicast address" if address.is_multicast else None


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _reject(value: object, at: int, message: str, hint: str) -> NoReturn:
    raise DiagnosticError("bad-address", message, hint, (at, at + len(address_text(value))))
