"""Names and schemes that probably mean something else: which are warned of, and which are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host, read_hosts
from ctsdns_traefik.core.entries.near_misses import find_near_misses
from ctsdns_traefik.core.problems import Diagnostic, Severity

ADDRESS = "100.64.0.1"


def warnings_of(*names: str) -> tuple[Diagnostic, ...]:
    """Return the warnings about some names, all with one address."""
    hosts = dict.fromkeys(names, ADDRESS)
    return find_near_misses(hosts, read_hosts(hosts).entries)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("web_http_80._tcp.a.de", "write _web_http_80._tcp.a.de", id="plain"),
        pytest.param("my_web_http_80._tcp.a.de", "write _my_web_http_80._tcp.a.de", id="four"),
        pytest.param("ns_dns_53._udp.a.de", "write _ns_dns_53._udp.a.de", id="udp"),
        pytest.param(" _web_http_80._tcp.a.de", "write _web_http_80._tcp.a.de", id="white-space"),
        pytest.param(
            "web_http_0._tcp.a.de",
            "write it like _websecure_http_3000._tcp.app.example.com",
            id="not-an-entry-with-it-either",
        ),
    ],
)
def test_missing_underscore(name: str, hint: str) -> None:
    """A name of an entry's shape without the underscore is a warning that names the right one."""
    message = (
        "the name has the form of an entry, but does not start with an underscore, and is ignored"
        " as an ordinary alias"
    )
    wanted = Diagnostic(
        "missing-underscore", name, message, hint, (0, 0), ADDRESS, Severity.WARNING
    )
    assert warnings_of(name) == (wanted,)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("laptop", id="alias"),
        pytest.param("app.example.com", id="alias-with-dots"),
        pytest.param("my_web_laptop", id="alias-with-underscores"),
        pytest.param("sip._tcp.example.com", id="one-part"),
        pytest.param("http_80._tcp.example.com", id="two-parts"),
        pytest.param("web_http_80._tcp.", id="no-domain"),
        pytest.param("_web_http_80._tcp.a.de", id="entry"),
        pytest.param("_web_http_0._tcp.a.de", id="refused-entry"),
    ],
)
def test_no_missing_underscore(name: str) -> None:
    """Ordinary aliases and entries are left alone."""
    assert warnings_of(name) == ()


@pytest.mark.parametrize("address", [None, 3, [], ADDRESS])
def test_missing_underscore_whatever_its_address(address: object) -> None:
    """The address of a name that is ignored is not judged."""
    (found,) = find_near_misses({"web_http_80._tcp.a.de": address}, ())
    assert found.code == "missing-underscore"


@pytest.mark.parametrize(
    ("scheme", "meant"),
    [
        *((each, "http") for each in ("htp", "htttp", "htpp", "hhtp", "xttp")),
        *((each, "http") for each in ("htto", "HTP", "shttp", "thtp")),
        *((each, "https") for each in ("htps", "htttps", "htpps", "httos", "httpss")),
        *((each, "http or https") for each in ("httpa", "httpd", "httpp", "httsp")),
        *((each, "tls") for each in ("tl", "ls", "tsl", "lts", "tlss", "tks", "mtls", "tls1")),
    ],
)
def test_unusual_scheme(scheme: str, meant: str) -> None:
    """A scheme one slip away from http, https or tls is a warning under it, with what is meant."""
    name = f"_web_{scheme}_80._tcp.a.de"
    wanted = Diagnostic(
        code="unusual-scheme",
        entry=name,
        message=f'"{scheme.lower()}" is taken for the name of a TCP protocol, and makes a TCP route'
        " whose TLS ends at Traefik",
        hint=f"did you mean {meant}? if not, give the protocol a less similar name",
        span=(5, 5 + len(scheme)),
        address=ADDRESS,
        severity=Severity.WARNING,
    )
    assert warnings_of(name) == (wanted,)


@pytest.mark.parametrize(
    "scheme",
    [
        *("http", "https", "tls", "HTTPS", "dls", "htcp", "htsp", "ils", "tds", "tl1", "tns"),
        *("ftp", "ftps", "sftp", "tftp", "smtp", "nntp", "sstp", "rtsp", "mqtt", "mqtts", "ldaps"),
        *("ssh", "ssl", "dns", "rdp", "vnc", "mysql", "postgres", "redis", "amqp", "imaps", "irc"),
        *("h", "tcp", "hxxp", "ptth", "httpsss"),
    ],
)
def test_usual_scheme(scheme: str) -> None:
    """Protocols are left alone, and so is what is two slips away or more."""
    assert warnings_of(f"_web_{scheme}_80._tcp.a.de") == ()


@pytest.mark.parametrize(
    ("scheme", "hint"),
    [
        ("ws", "write http, over which Traefik passes WebSocket on"),
        (
            "WSS",
            "write http, over which Traefik passes WebSocket on, or https for a backend with TLS",
        ),
        ("grpc", "write h2c, or https for a backend with TLS"),
        ("grpcs", "write https"),
        ("h2", "write https, or h2c for a backend without TLS"),
        ("http2", "write https, or h2c for a backend without TLS"),
    ],
)
def test_scheme_of_what_goes_over_http(scheme: str, hint: str) -> None:
    """A scheme such as ws makes a TCP route, and the hint names the scheme to write."""
    (found,) = warnings_of(f"_web_{scheme}_80._tcp.a.de")
    assert (found.code, found.hint) == ("unusual-scheme", hint)
    (raw,) = warnings_of(f"_web_{scheme}_80._tcp.*")
    assert raw.hint == f"{hint}, with a name in place of *"


@pytest.mark.parametrize("scheme", ["http", "https", "tls", "HTTPS", "h2c", "wss", "grpc"])
def test_special_scheme_over_udp(scheme: str) -> None:
    """Over UDP a scheme that selects a kind of TCP route is only a label, which is a warning."""
    (found,) = warnings_of(f"_ws_{scheme}_443._udp.a.de")
    assert (found.code, found.span) == ("unusual-scheme", (4, 4 + len(scheme)))
    assert "every datagram of entrypoint ws goes to the backend as it is" in found.message
    assert "http3" in found.hint


@pytest.mark.parametrize("scheme", ["dns", "htp", "tlss", "quic", "wireguard"])
def test_usual_scheme_over_udp(scheme: str) -> None:
    """Any other scheme over UDP is a label like another."""
    assert warnings_of(f"_ws_{scheme}_443._udp.a.de") == ()


def test_unusual_scheme_without_a_name() -> None:
    """A raw entry's scheme is judged too, though its TLS ends nowhere."""
    (found,) = warnings_of("_ws_tlss_443._tcp.*")
    assert found.message.endswith("makes a TCP route without TLS")


def test_warnings_stand_in_the_order_of_names() -> None:
    """Whatever the order of the hosts, the warnings are sorted by name, and cost no route."""
    names = ("web_http_1._tcp.b.de", "_web_tsl_1._tcp.c.de", "a_tls_1._tcp.b.de")
    rendering = render(dict.fromkeys(names, ADDRESS))
    assert [warning.entry for warning in rendering.warnings] == sorted(names)
    assert [route.entry.name for route in rendering.routes] == ["_web_tsl_1._tcp.c.de"]
    assert (rendering.diagnostics, render(dict.fromkeys(names[::-1], ADDRESS))) == ((), rendering)


@given(st.text("_.htpsl1 ", max_size=12).map("{}_http_80._tcp.a.de".format))
def test_hint_names_an_entry(name: str) -> None:
    """Each name that a hint wants written is one that the grammar accepts."""
    for problem in warnings_of(name):
        if problem.code == "missing-underscore" and " like " not in problem.hint:
            assert isinstance(parse_host(problem.hint.removeprefix("write ")), HostEntry)
