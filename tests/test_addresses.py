"""The address of an entry: what is read and what is refused."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.hosts import HostEntry, Hosts, parse_host, read_hosts
from ctsdns_traefik.core.problems import Problem, Severity

NAME = "_web_http_80._tcp.app.example.com"
AN_ADDRESS = "write an IPv4 or IPv6 address: 100.64.0.1 or fd7a:115c:a1e0::1"
ONE_MACHINE = "write one machine's address: 100.64.0.1 or fd7a:115c:a1e0::1"


def refused(address: str, message: str, hint: str) -> Problem:
    """Make the problem with an address; the span counts in ``NAME=ADDRESS``."""
    span = len(NAME) + 1, len(NAME) + 1 + len(address)
    return Problem("bad-address", NAME, message, hint, span, address, Severity.ERROR)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("100.64.0.1", "100.64.0.1", id="ipv4"),
        pytest.param("100.64.0.1/32", "100.64.0.1", id="ipv4-of-one-machine"),
        pytest.param("192.168.1.7", "192.168.1.7", id="behind-a-subnet-router"),
        pytest.param("127.0.0.1", "127.0.0.1", id="loopback"),
        pytest.param("fd7a:115c:a1e0::1", "fd7a:115c:a1e0::1", id="ipv6"),
        pytest.param("FD7A:115C:A1E0:0:0:0:0:1/128", "fd7a:115c:a1e0::1", id="ipv6-of-one-machine"),
        pytest.param("::ffff:100.64.0.1", "100.64.0.1", id="ipv4-mapped"),
        pytest.param("::ffff:6440:1/128", "100.64.0.1", id="ipv4-mapped-of-one-machine"),
    ],
)
def test_address_is_read(written: str, read: str) -> None:
    """An address comes out in its shortest form, without a prefix for one machine."""
    expected = HostEntry(NAME, "web", "http", 80, "app.example.com", read)
    assert parse_host(NAME, written) == expected


@pytest.mark.parametrize(
    ("address", "message", "hint"),
    [
        pytest.param("", "the address is missing", AN_ADDRESS, id="empty"),
        *(
            pytest.param(address, f'"{shown}" is not an address', AN_ADDRESS, id=case)
            for address, shown, case in [
                ("server1", "server1", "name"),
                ("100.64.0", "100.64.0", "three-parts"),
                ("100.64.0.256", "100.64.0.256", "part-too-large"),
                ("100.064.0.1", "100.064.0.1", "leading-zero"),
                (" 100.64.0.1", " 100.64.0.1", "space-before"),
                ("100.64.0.1\n", "100.64.0.1\\n", "line-end-after"),
                ("100.64.0.1:80", "100.64.0.1:80", "port"),
                ("[::1]", "[::1]", "brackets"),
                ("\u0661.1.1.1", "\u0661.1.1.1", "arabic-digit"),
                ("/32", "/32", "prefix-alone"),
            ]
        ),
        *(
            pytest.param(
                address, f'"{address}" is a network, not one machine', ONE_MACHINE, id=case
            )
            for address, case in [
                ("10.10.0.0/16", "ipv4-network"),
                ("100.64.0.1/31", "two-machines"),
                ("fd7a:115c:a1e0::/48", "ipv6-network"),
                ("fd7a:115c:a1e0::1/32", "ipv4-prefix-on-ipv6"),
            ]
        ),
        *(
            pytest.param(address, f'"{address}" is {kind} address', ONE_MACHINE, id=case)
            for address, kind, case in [
                ("0.0.0.0", "the unspecified", "unspecified-ipv4"),
                ("::/128", "the unspecified", "unspecified-ipv6"),
                ("::ffff:0.0.0.0", "the unspecified", "unspecified-ipv4-mapped"),
                ("224.0.0.1", "a multicast", "multicast-ipv4"),
                ("ff02::1", "a multicast", "multicast-ipv6"),
                ("::ffff:224.0.0.1", "a multicast", "multicast-ipv4-mapped"),
                ("fe80::1%eth0", "a scoped", "scoped"),
                ("fe80::1%`", "a scoped", "scoped-by-a-backtick"),
            ]
        ),
    ],
)
def test_address_is_refused(address: str, message: str, hint: str) -> None:
    """What is not one machine's address is refused, at its place in ``NAME=ADDRESS``."""
    problem = refused(address, message, hint)
    assert parse_host(problem.entry, problem.address) == problem


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true or false", id="true"),
        pytest.param(3, "a number", id="integer"),
        pytest.param(1.5, "a number", id="fraction"),
        pytest.param([], "a list", id="list"),
        pytest.param({}, "an object", id="object"),
    ],
)
def test_address_that_is_not_text_is_refused(value: object, kind: str) -> None:
    """Any other JSON value in place of an address is refused, called by its type."""
    hint = 'write it between quotes: "100.64.0.1"'
    message = f"the address is {kind}, not text"
    problem = refused(kind, message, hint)
    assert read_hosts({NAME: value}) == Hosts((), (problem,))
