"""The address of an entry: one machine that Traefik can connect to."""

from __future__ import annotations

import ipaddress
import re
from typing import NoReturn

from ctsdns_traefik.core.printable import json_type, quoted
from ctsdns_traefik.core.problems import Refusal

_EXAMPLES = "100.64.0.1 or fd7a:115c:a1e0::1"

# One machine's IPv4 address in its only usual form: most addresses, read without more ado.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_UNICAST = r"(?:22[0-3]|2[01][0-9]|1[0-9][0-9]|[1-9][0-9]?)"
_PLAIN_IPV4 = re.compile(rf"{_UNICAST}(?:\.{_BYTE}){{3}}")


def read_address(value: object, at: int) -> str:
    """Return an IPv4 or IPv6 address in its shortest form.

    ``/32`` and ``/128`` say "this one machine" and are dropped; an IPv4-mapped IPv6 address
    (RFC 4291, section 2.5.5.2) is the IPv4 address that it maps. ``at`` is where the value
    stands in the entry. Raise :class:`Refusal` for anything that is not one machine's address.
    """
    if isinstance(value, str) and _PLAIN_IPV4.fullmatch(value):
        return value
    if not isinstance(value, str):
        message = f"the address is {address_text(value)}, not text"
        _refuse(value, at, message, 'write it between quotes: "100.64.0.1"')
    host, slash, prefix = value.partition("/")
    try:
        if slash:
            ipaddress.ip_network(value, strict=False)
        address = ipaddress.ip_address(host)
    except ValueError:
        message = f"{quoted(value)} is not an address" if value else "the address is missing"
        _refuse(value, at, message, f"write an IPv4 or IPv6 address: {_EXAMPLES}")
    if slash and prefix != str(address.max_prefixlen):
        message = f"{quoted(value)} is a network, not one machine"
        _refuse(value, at, message, f"write one machine's address: {_EXAMPLES}")
    kind = _undialable(address)
    if kind:
        message = f"{quoted(value)} is {kind} address"
        _refuse(value, at, message, f"write one machine's address: {_EXAMPLES}")
    return str(_unmapped(address))


def address_text(value: object) -> str:
    """Return what stands for an address in the policy, as text that can be shown."""
    return value if isinstance(value, str) else json_type(value)


def _undialable(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """Name the kind of address that no proxy can connect to, with its article."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "a scoped"
    address = _unmapped(address)
    if address.is_unspecified:
        return "the unspecified"
    return "a multicast" if address.is_multicast else None


def _unmapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _refuse(value: object, at: int, message: str, hint: str) -> NoReturn:
    raise Refusal("bad-address", (at, at + len(address_text(value))), message, hint)
