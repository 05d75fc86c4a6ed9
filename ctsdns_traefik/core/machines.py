"""Check whether the machines that entries lead to are there, from Tailscale's list of them.

The list is the answer of ``GET /api/v2/tailnet/{tailnet}/devices?fields=all``:

    {"devices": [{"name": "nas.tail1234.ts.net", "addresses": ["100.64.0.1", "fd7a:..."],
                  "connectedToControl": false, "lastSeen": "2026-11-28T10:00:00Z",
                  "expires": "2027-01-01T00:00:00Z", "keyExpiryDisabled": false,
                  "advertisedRoutes": ["192.168.1.0/24"], "enabledRoutes": [...]}]}
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple

from ctsdns_traefik.core.entries.grammar import HostEntry, diagnose
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import shown

_NEVER = 0.0
"""The end of a key that has none: in JSON it is Go's zero time, or it is left out."""


class Machine(NamedTuple):
    """One machine of a tailnet."""

    name: str
    """Its MagicDNS name without the tailnet's domain."""
    addresses: tuple[str, ...]
    """In their shortest form."""
    routes: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks behind it, advertised or enabled; the whole internet, an exit node's, is none."""
    offline_since: str | None = None
    """``None`` if it is connected; the text may be empty."""
    key_end: float = _NEVER
    """When its key expires, in seconds since 1970."""


class MachineListError(Exception):
    """The answer is no list of machines."""


def read_machines(data: bytes) -> tuple[Machine, ...]:
    """Read Tailscale's answer; raise :class:`MachineListError` if it is no list of machines.

    A machine or a part of it that has another form than expected is passed over.
    """
    try:
        devices = json.loads(data)["devices"]
        return tuple(_machine(each) for each in devices if isinstance(each, dict))
    except (ValueError, KeyError, TypeError, RecursionError) as why:
        raise MachineListError("it is not a list of machines") from why


def check_machines(
    entries: Iterable[HostEntry], machines: Sequence[Machine], now: float
) -> tuple[Diagnostic, ...]:
    """Find entries whose machine is unknown, offline, or has a key that has expired; by name.

    ``now`` is in seconds since 1970. An address behind a subnet router is as well as the best of
    the machines that route it. Loopback addresses belong to the machine that Traefik runs on.
    """
    tailnet = _Tailnet(machines)
    found = (_check(entry, tailnet, now) for entry in sorted(entries))
    return tuple(each for each in found if each)


def _check(entry: HostEntry, tailnet: _Tailnet, now: float) -> Diagnostic | None:
    if ip_address(entry.address).is_loopback:
        return None
    owners = tailnet.owners(entry.address)
    if not owners:
        return _unknown(entry, tailnet.nearest(entry.address))
    if any(not _is_expired(each, now) and each.offline_since is None for each in owners):
        return None
    machine, *others = owners
    name = shown(machine.name) + (f" and {len(others)} more" if others else "")
    role = "" if entry.address in machine.addresses else f", which routes {entry.address},"
    if all(_is_expired(each, now) for each in owners):
        end = datetime.fromtimestamp(machine.key_end, UTC).strftime("%Y-%m-%d %H:%M UTC")
        message = f"the key of machine {name}{role} expired {end}"
        hint = "renew it, or disable key expiry, in Tailscale's admin console"
        return diagnose("machine-expired", entry, message, hint, Severity.WARNING)
    since = f" since {shown(machine.offline_since)}" if machine.offline_since else ""
    message = f"machine {name}{role} is offline{since}"
    hint = "start it, or remove the entry"
    return diagnose("machine-offline", entry, message, hint, Severity.WARNING)


def _unknown(entry: HostEntry, nearest: tuple[str, str] | None) -> Diagnostic:
    message = f"{entry.address} belongs to no machine and no advertised route of the tailnet"
    hint = "correct the address, or remove the entry"
    if nearest:
        hint = f"the nearest machine is {shown(nearest[0])} ({nearest[1]}); {hint}"
    span = len(entry.name) + 1, len(entry.name) + 1 + len(entry.address)
    return diagnose("unknown-machine", entry, message, hint, Severity.WARNING, span)


def _is_expired(machine: Machine, now: float) -> bool:
    return _NEVER < machine.key_end <= now


class _Tailnet:
    """The machines of a tailnet, by their addresses."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._by_address = {address: each for each in machines for address in each.addresses}
        self._numbers = sorted((*_number(text), text) for text in self._by_address)
        self._routers: dict[IPv4Network | IPv6Network, list[Machine]] = {}
        for machine in machines:
            for network in machine.routes:
                self._routers.setdefault(network, []).append(machine)

    def owners(self, address: str) -> list[Machine]:
        """Return the machine that has an address, or those that route it."""
        if machine := self._by_address.get(address):
            return [machine]
        parsed = ip_address(address)
        networks = [network for network in self._routers if parsed in network]
        return [machine for network in networks for machine in self._routers[network]]

    def nearest(self, address: str) -> tuple[str, str] | None:
        """Return name and address of the machine with the nearest address of the same family."""
        family, number = _number(address)
        at = bisect_left(self._numbers, (family, number))
        around = [each for each in self._numbers[max(0, at - 1) : at + 1] if each[0] == family]
        if not around:
            return None
        *_, found = min(around, key=lambda each: abs(each[1] - number))
        return self._by_address[found].name, found


def _number(address: str) -> tuple[int, int]:
    parsed = ip_address(address)
    return parsed.version, int(parsed)


def _machine(device: dict[str, Any]) -> Machine:
    offline = device.get("connectedToControl") is False
    last_seen = device.get("lastSeen")
    routes = (*_texts(device, "advertisedRoutes"), *_texts(device, "enabledRoutes"))
    expires = None if device.get("keyExpiryDisabled") is True else device.get("expires")
    return Machine(
        name=_name(device),
        addresses=tuple(_shortest(_texts(device, "addresses"))),
        routes=tuple(dict.fromkeys(_networks(routes))),
        offline_since=(last_seen if isinstance(last_seen, str) else "") if offline else None,
        key_end=_seconds(expires) if isinstance(expires, str) else _NEVER,
    )


def _name(device: dict[str, Any]) -> str:
    names = (device.get(key) for key in ("name", "hostname", "nodeId"))
    return next((name.partition(".")[0] for name in names if name and isinstance(name, str)), "?")


def _texts(device: dict[str, Any], key: str) -> list[str]:
    values = device.get(key)
    return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []


def _shortest(addresses: Iterable[str]) -> Iterator[str]:
    for text in addresses:
        with suppress(ValueError):
            yield str(ip_address(text))


def _networks(routes: Iterable[str]) -> Iterator[IPv4Network | IPv6Network]:
    for text in routes:
        with suppress(ValueError):
            network = ip_network(text, strict=False)
            if network.prefixlen:
                yield network


def _seconds(text: str) -> float:
    """Read a time; Go's zero time, and what is no time, count as never."""
    with suppress(ValueError, OverflowError):
        return max(_NEVER, datetime.fromisoformat(text).timestamp())
    return _NEVER
