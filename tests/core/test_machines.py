"""The checks of entries against the machines of a tailnet."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stand_in_tailscale import device

from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.machines import (
    Machine,
    MachineListError,
    check_machines,
    read_machines,
)

NOW = 1_800_000_000.0
"""2027-01-15 08:00 UTC"""

ENTRY = "_web_http_80._tcp.nas.example.com"
UNKNOWN = "belongs to no machine and no advertised route of the tailnet"


def problems(address: str, *devices: dict[str, Any]) -> list[str]:
    """Return code, message and hint of each problem of one entry with an address."""
    machines = read_machines(json.dumps({"devices": devices}).encode())
    found = check_machines(read_hosts({ENTRY: address}).entries, machines, NOW)
    assert all((each.entry, each.severity) == (ENTRY, "warning") for each in found)
    return [f"{each.code}: {each.message}; {each.hint}" for each in found]


NAS = device("nas", "100.64.0.1", "fd7a:115c:a1e0::1")
OFFLINE = {"connectedToControl": False, "lastSeen": "2027-01-01T00:00:00Z"}
EXPIRED = {"expires": "2027-01-01T10:00:00Z"}
ROUTES = {"advertisedRoutes": ["192.168.1.0/24", "fd00::/64", "0.0.0.0/0", "::/0"]}


@pytest.mark.parametrize(
    "address",
    [
        "100.64.0.1",
        "fd7a:115c:a1e0::1",
        "FD7A:115C:A1E0:0::1",
        "192.168.1.77",
        "fd00::7",
        "127.0.0.1",
    ],
)
def test_address_that_leads_somewhere(address: str) -> None:
    """A machine's addresses, advertised or enabled routes, and this machine's own are fine."""
    assert problems(address, NAS | ROUTES) == []
    enabled = {"enabledRoutes": ROUTES["advertisedRoutes"]}
    assert problems(address, NAS | enabled) == []


@pytest.mark.parametrize(
    ("address", "nearest"),
    [
        ("100.64.0.3", "nas (100.64.0.1)"),
        ("100.64.0.99", "pi (100.64.0.9)"),
        ("1.2.3.4", "nas (100.64.0.1)"),
        ("fd7a:115c:a1e0::ffff", "nas (fd7a:115c:a1e0::1)"),
    ],
)
def test_unknown_machine(address: str, nearest: str) -> None:
    """An address of nobody is named, with the machine whose address is the nearest."""
    pi = device("pi", "100.64.0.9") | ROUTES
    hint = f"the nearest machine is {nearest}; correct the address, or remove the entry"
    assert problems(address, pi, NAS) == [f"unknown-machine: {address} {UNKNOWN}; {hint}"]


def test_unknown_machine_of_a_tailnet_without_any() -> None:
    """Without a machine of the address's family none is suggested; an exit node routes nothing."""
    expected = [f"unknown-machine: fd00::1 {UNKNOWN}; correct the address, or remove the entry"]
    assert problems("fd00::1") == expected
    assert problems("fd00::1", device("v4", "100.64.0.1", advertisedRoutes=["::/0"])) == expected


def test_machine_that_is_offline() -> None:
    """A machine without a connection to Tailscale is named, with the time if that is known."""
    start = "start it, or remove the entry"
    assert problems("100.64.0.1", NAS | OFFLINE) == [
        f"machine-offline: machine nas is offline since 2027-01-01T00:00:00Z; {start}"
    ]
    assert problems("100.64.0.1", NAS | OFFLINE | {"lastSeen": None}) == [
        f"machine-offline: machine nas is offline; {start}"
    ]


def test_machine_whose_key_has_expired() -> None:
    """An expired key counts, offline or not, unless key expiry is disabled."""
    renew = "renew it, or disable key expiry, in Tailscale's admin console"
    expected = [f"machine-expired: the key of machine nas expired 2027-01-01 10:00 UTC; {renew}"]
    assert problems("100.64.0.1", NAS | EXPIRED) == expected
    assert problems("100.64.0.1", NAS | EXPIRED | OFFLINE) == expected
    assert problems("100.64.0.1", NAS | EXPIRED | {"keyExpiryDisabled": True}) == []
    assert problems("100.64.0.1", NAS | {"expires": "0001-01-01T00:00:00Z"}) == []
    assert problems("100.64.0.1", NAS | {"expires": "2027-01-15T08:00:01Z"}) == []


def test_machines_that_route_an_address() -> None:
    """An address behind subnet routers is lost only with the last of them."""
    one, two = (device(name, f"100.64.0.{at}") | ROUTES for at, name in enumerate("ab", 1))
    assert problems("192.168.1.7", one | OFFLINE, two) == []
    message = "machine a and 1 more, which routes 192.168.1.7, is offline since"
    assert problems("192.168.1.7", one | OFFLINE, two | EXPIRED) == [
        f"machine-offline: {message} 2027-01-01T00:00:00Z; start it, or remove the entry"
    ]


def test_problems_are_in_the_order_of_the_entries() -> None:
    """Whatever the order of the hosts, that of the problems is by name."""
    entries = read_hosts({f"_web_http_80._tcp.{name}": "100.64.0.9" for name in "cab"}).entries
    found = check_machines(reversed(entries), (), NOW)
    assert [each.entry[-1] for each in found] == ["a", "b", "c"]


def test_unexpected_parts_are_passed_over() -> None:
    """A device or field of another form than expected costs none of the others."""
    odd: list[Any] = [
        None,
        {},
        device("a", "100.64.0.1", "nonsense", connectedToControl=None, expires=7),
        {
            "hostname": "b",
            "addresses": ["100.64.0.2", 7],
            "advertisedRoutes": ["x", 1, "10.0.0.0/8"],
        },
        {"nodeId": "n1", "addresses": "100.64.0.3", "expires": "soon"},
    ]
    machines = read_machines(json.dumps({"devices": odd}).encode())
    assert [(each.name, each.addresses, list(map(str, each.routes))) for each in machines] == [
        ("?", (), []),
        ("a", ("100.64.0.1",), []),
        ("b", ("100.64.0.2",), ["10.0.0.0/8"]),
        ("n1", (), []),
    ]
    assert machines[1] == Machine("a", ("100.64.0.1",))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"devices": null}', '{"devices": 7}', "<html>", "\xff", "[" * 10**5]
)
def test_what_is_no_list_of_machines(text: str) -> None:
    """Any other answer is refused as a whole."""
    with pytest.raises(MachineListError):
        read_machines(text.encode("latin-1"))
