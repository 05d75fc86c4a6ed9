"""The address of an entry: what is read and what is refused."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.entries.grammar import HostEntry, Hosts, parse_host, read_hosts
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import quoted

NAME = "_web_http_80._tcp.app.example.com"
AN_ADDRESS = "write an IPv4 or IPv6 address: 100.64.0.1 or fd7a:115c:a1e0::1"
ONE_MACHINE = "write one machine's address: 100.64.0.1 or fd7a:115c:a1e0::1"

PRINTS = "the machine's address, which 'tailscale ip -4 {}' prints"
PORT = ", and the port in the entry's name"
SCHEME = ", and scheme and port in the entry's name"

SPACE = "has white space beside the address"

OTHERWISE = [
    (" 100.64.0.1", " 100.64.0.1", SPACE, "100.64.0.1", "space-before"),
    ("100.64.0.1\n", "100.64.0.1\\n", SPACE, "100.64.0.1", "line-end-after"),
    *(
        (address, address, f"is {kind}", hint, case)
        for address, kind, hint, case in [
            ("100.64.0.1:80", "an address with a port", f"100.64.0.1{PORT}", "port"),
            ("100.64.0.1:80/x", "an address with a port", f"100.64.0.1{PORT}", "port-and-path"),
            ("[fd7a::1]:80", "an address with a port", f"fd7a::1{PORT}", "ipv6-port"),
            ("1:2:3:4:5:6:7:8:80", "an address with a port", f"1:2:3:4:5:6:7:8{PORT}", "ninth"),
            ("[::1]", "an address in brackets", "::1", "brackets"),
            ("http://100.64.0.1", "a URL", f"100.64.0.1{SCHEME}", "url"),
            ("https://u:p@100.64.0.1:8/x?y", "a URL", f"100.64.0.1{SCHEME}", "url-with-all"),
            ("http://[fd7a::1]:80/", "a URL", f"fd7a::1{SCHEME}", "ipv6-url"),
            ("http://fd7a::1/", "a URL", f"fd7a::1{SCHEME}", "ipv6-url-without-brackets"),
            ("http://nas:80", "a URL", PRINTS.format("nas") + SCHEME, "url-with-a-name"),
            ("server1", "a name, not an address", PRINTS.format("server1"), "name"),
            ("1nas", "a name, not an address", PRINTS.format("1nas"), "name-with-digit-first"),
            ("a.b.ts.net", "a name, not an address", PRINTS.format("a.b.ts.net"), "full-name"),
            ("nas:80", "a name with a port", PRINTS.format("nas") + PORT, "name-and-port"),
            ("localhost", "a name, not an address", "127.0.0.1", "localhost"),
        ]
    ),
]
"""What was meant as an address: itself, as it is shown, what it is, what to write, and a name."""


def refused(address: str, message: str, hint: str) -> Diagnostic:
    """Make the problem with an address; the span counts in ``NAME=ADDRESS``."""
    span = len(NAME) + 1, len(NAME) + 1 + len(address)
    return Diagnostic("bad-address", NAME, message, hint, span, address, Severity.ERROR)


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
                ("100.64.0", "100.64.0", "three-parts"),
                ("100.64.0.256", "100.64.0.256", "part-too-large"),
                ("100.064.0.1", "100.064.0.1", "leading-zero"),
                ("\u0661.1.1.1", "\u0661.1.1.1", "arabic-digit"),
                ("/32", "/32", "prefix-alone"),
                ("100.64.0.1/33", "100.64.0.1/33", "prefix-too-long"),
                ("100.64.0.1:", "100.64.0.1:", "colon-without-a-port"),
                ("nas/32", "nas/32", "prefix-on-a-name"),
                ("my nas", "my nas", "words"),
                ("-nas", "-nas", "hyphen-first"),
                ("http://", "http://", "url-without-a-host"),
                ("a=http://100.64.0.1", "a=http://100.64.0.1", "no-scheme-before-a-url"),
                ("x" * 254, "x" * 254, "longer-than-any-name"),
            ]
        ),
        *(
            pytest.param(address, f'"{shown}" {kind}', f"write {hint}", id=case)
            for address, shown, kind, hint, case in OTHERWISE
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
            pytest.param(address, f"{quoted(address)} is {kind} address", ONE_MACHINE, id=case)
            for address, kind, case in [
                ("0.0.0.0", "the unspecified", "unspecified-ipv4"),
                ("::/128", "the unspecified", "unspecified-ipv6"),
                ("::ffff:0.0.0.0", "the unspecified", "unspecified-ipv4-mapped"),
                ("224.0.0.1", "a multicast", "multicast-ipv4"),
                ("ff02::1", "a multicast", "multicast-ipv6"),
                ("::ffff:224.0.0.1", "a multicast", "multicast-ipv4-mapped"),
                ("fe80::1%eth0", "a scoped", "scoped"),
                ("fe80::1%`", "a scoped", "scoped-by-a-backtick"),
                ("[fe80::1%a\r\nb", "a scoped", "scoped-in-brackets"),
                ("http://[::]:80/", "the unspecified", "unspecified-url"),
                (" ff02::1", "a multicast", "multicast-after-a-space"),
            ]
        ),
    ],
)
def test_address_is_refused(address: str, message: str, hint: str) -> None:
    """What is not one machine's address is refused, at its place in ``NAME=ADDRESS``."""
    problem = refused(address, message, hint)
    assert parse_host(problem.entry, problem.address) == (problem,)


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
    hint = 'write an address between quotes: "100.64.0.1"'
    message = f"the address is {kind}, not text"
    problem = refused(kind, message, hint)
    assert read_hosts({NAME: value}) == Hosts((), (problem,))
