"""The entry grammar: what is read, what is refused, and where the fault lies."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.entries import grammar as hosts_module
from ctsdns_traefik.core.entries.grammar import HostEntry, Hosts, parse_host, read_hosts
from ctsdns_traefik.core.problems import Diagnostic, Severity, count_entries

NAME = "_web_http_80._tcp.app.example.com"
LIKE_THIS = "write it like _websecure_http_3000._tcp.app.example.com"


def refused(marked: str, code: str, message: str, hint: str) -> Diagnostic:
    """Make the problem of ``NAME`` or ``NAME=ADDRESS`` whose wrong part stands in ``<>``."""
    span = marked.index("<"), marked.index(">") - 1
    name, equals, address = marked.replace("<", "").replace(">", "").partition("=")
    return Diagnostic(code, name, message, hint, span, address if equals else None, Severity.ERROR)


@pytest.mark.parametrize(
    ("prefix", "entrypoint", "scheme", "port"),
    [
        pytest.param("_web_http_80", "web", "http", 80, id="http"),
        pytest.param("_websecure_https_8443", "websecure", "https", 8443, id="https"),
        pytest.param("_tcp_tls_443", "tcp", "tls", 443, id="tls"),
        pytest.param("_tcp_mysql_3306", "tcp", "mysql", 3306, id="another-protocol"),
        pytest.param("_my_own_web_http_80", "my_own_web", "http", 80, id="entrypoint-with-_"),
        pytest.param("_web-2-_http_80", "web-2-", "http", 80, id="entrypoint-with-hyphens"),
        pytest.param("_w__http_80", "w_", "http", 80, id="entrypoint-ends-with-_"),
        pytest.param("_http_80_http_80", "http_80", "http", 80, id="last-two-parts-count"),
        pytest.param("_8_http_80", "8", "http", 80, id="entrypoint-of-one-digit"),
        pytest.param(f"_{'w' * 255}_http_80", "w" * 255, "http", 80, id="longest-entrypoint"),
        pytest.param(f"_web_{'s' * 63}_80", "web", "s" * 63, 80, id="longest-scheme"),
        pytest.param("_WebSecure_http_80", "WebSecure", "http", 80, id="entrypoint-keeps-case"),
        pytest.param("_web_HTTPS_80", "web", "https", 80, id="scheme-lower-cased"),
        pytest.param("_web_a+b.c-d_80", "web", "a+b.c-d", 80, id="scheme-with-signs"),
        pytest.param("_web_a._80", "web", "a.", 80, id="scheme-ends-with-dot"),
        pytest.param("_web_9p_564", "web", "9p", 564, id="scheme-starts-with-digit"),
        pytest.param("_web_http_1", "web", "http", 1, id="smallest-port"),
        pytest.param("_web_http_65535", "web", "http", 65535, id="largest-port"),
        pytest.param("_web_http_000080", "web", "http", 80, id="port-with-leading-zeros"),
    ],
)
def test_service_part_is_read(prefix: str, entrypoint: str, scheme: str, port: int) -> None:
    """The last two parts are scheme and port, and all before them is the entrypoint."""
    name = f"{prefix}._tcp.app.example.com"
    expected = HostEntry(name, entrypoint, scheme, port, "app.example.com", "100.64.0.1")
    assert parse_host(name, "100.64.0.1") == expected


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param(
            "<_web_http_80.app.example.com>",
            "the name has no ._tcp. between the port and the domain",
            id="no-transport",
        ),
        pytest.param("<_>", "the name has no ._tcp. between the port and the domain", id="only-_"),
        pytest.param(
            "<_http_80>._tcp.app.example.com",
            "entrypoint, scheme and port must all come before the transport",
            id="two-parts",
        ),
        pytest.param(
            "<_>._tcp.app.example.com",
            "entrypoint, scheme and port must all come before the transport",
            id="no-parts",
        ),
    ],
)
def test_name_of_another_shape_is_refused(marked: str, message: str) -> None:
    """A name without the parts of an entry is refused whole, or up to its transport."""
    problem = refused(marked, "bad-name", message, LIKE_THIS)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param("_<>_http_80._tcp.a.de", "the entrypoint is missing", id="missing"),
        pytest.param("_<-web>_http_80._tcp.a.de", '"-web" is not an entrypoint name', id="hyphen"),
        pytest.param("_<_web>_http_80._tcp.a.de", '"_web" is not an entrypoint name', id="_-first"),
        pytest.param("_<a.b>_http_80._tcp.a.de", '"a.b" is not an entrypoint name', id="dot"),
        pytest.param("_<a b>_http_80._tcp.a.de", '"a b" is not an entrypoint name', id="space"),
        pytest.param("_<w\n>_http_80._tcp.a.de", '"w\\n" is not an entrypoint name', id="line-end"),
        pytest.param("_<{{>_http_80._tcp.a.de", '"{{" is not an entrypoint name', id="template"),
        pytest.param("_<`>_http_80._tcp.a.de", '"`" is not an entrypoint name', id="backtick"),
        pytest.param("_<\u00fc>_http_80._tcp.a.de", '"\u00fc" is not an entrypoint name', id="ue"),
    ],
)
def test_entrypoint_is_refused(marked: str, message: str) -> None:
    """An entrypoint that is no name of letters, digits, ``-`` and ``_`` is refused."""
    hint = "write one of Traefik's: letters, digits, - and _, a letter or digit first"
    problem = refused(marked, "bad-entrypoint", message, hint)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param("_web_<>_80._tcp.a.de", "the scheme is missing", id="missing"),
        pytest.param("_web_<+h>_80._tcp.a.de", '"+h" is not a scheme', id="sign-first"),
        pytest.param("_web_<h2c/>_80._tcp.a.de", '"h2c/" is not a scheme', id="slash"),
        pytest.param("_web_<ssh\n>_80._tcp.a.de", '"ssh\\n" is not a scheme', id="line-end"),
        pytest.param("_web_<\u212a>_80._tcp.a.de", '"\u212a" is not a scheme', id="kelvin-sign"),
        pytest.param("_my_web_<ht`tp>_80._tcp.a.de", '"ht`tp" is not a scheme', id="backtick"),
    ],
)
def test_scheme_is_refused(marked: str, message: str) -> None:
    """A scheme that could be no protocol's name is refused."""
    hint = "write http, https, tls, or the name of another TCP protocol, such as ssh"
    problem = refused(marked, "bad-scheme", message, hint)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param("_web_http_<>._tcp.a.de", "the port is missing", id="missing"),
        pytest.param("_web_http_<0>._tcp.a.de", '"0" is not a port', id="zero"),
        pytest.param("_web_http_<65536>._tcp.a.de", '"65536" is not a port', id="too-large"),
        pytest.param("_web_http_<+80>._tcp.a.de", '"+80" is not a port', id="plus-sign"),
        pytest.param("_web_http_<-80>._tcp.a.de", '"-80" is not a port', id="minus-sign"),
        pytest.param("_web_http_<0x50>._tcp.a.de", '"0x50" is not a port', id="hexadecimal"),
        pytest.param("_web_http_<80 >._tcp.a.de", '"80 " is not a port', id="space"),
        pytest.param("_web_http_<80\n>._tcp.a.de", '"80\\n" is not a port', id="line-end"),
        pytest.param("_web_http_<\u0668>._tcp.a.de", '"\u0668" is not a port', id="arabic-digit"),
        pytest.param("_a_b_http_<x>._tcp.a.de", '"x" is not a port', id="letter"),
    ],
)
def test_port_is_refused(marked: str, message: str) -> None:
    """A port that is no decimal number from 1 to 65535 is refused."""
    hint = "write a number from 1 to 65535 in plain digits"
    problem = refused(marked, "bad-port", message, hint)
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("marked", "message"),
    [
        pytest.param("_web_http_80.<_TCP>.a.de", '"_TCP" is not a transport', id="upper-case"),
        pytest.param("_web_http_80.<_sctp>.a.de", '"_sctp" is not a transport', id="sctp"),
        pytest.param("_web_http_80.<_tcp6>.a.de", '"_tcp6" is not a transport', id="tcp6"),
        pytest.param("_web_http_80.<_>.a.de", '"_" is not a transport', id="empty"),
        pytest.param("_web_http_80.<_tcp\n>.a.de", '"_tcp\\n" is not a transport', id="line-end"),
    ],
)
def test_transport_is_refused(marked: str, message: str) -> None:
    """A transport other than ``_tcp`` and ``_udp`` is malformed."""
    problem = refused(marked, "bad-transport", message, "write _tcp or _udp")
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize(
    ("marked", "code", "message"),
    [
        pytest.param(
            f"_<{'w' * 256}>_http_80._tcp.a.de",
            "bad-entrypoint",
            "the entrypoint is longer than 255 characters",
            id="entrypoint",
        ),
        pytest.param(
            f"_web_<{'s' * 64}>_80._tcp.a.de",
            "bad-scheme",
            "the scheme is longer than 63 characters",
            id="scheme",
        ),
    ],
)
def test_part_that_is_too_long_is_refused(marked: str, code: str, message: str) -> None:
    """Parts are bounded, so that no name made of them is too long for a key in Traefik's file."""
    problem = refused(marked, code, message, "shorten it")
    assert parse_host(problem.entry) == (problem,)


@pytest.mark.parametrize("scheme", ["dns", "http", "tls"])
@pytest.mark.parametrize("domain", ["ns.example.com", "*.example.com", "*"])
def test_udp_entry(scheme: str, domain: str) -> None:
    """Over UDP any domain is a label, and no scheme makes an HTTP or TLS route."""
    name = f"_dns_{scheme}_53._udp.{domain}"
    read = parse_host(name, "100.64.0.1")
    assert read == HostEntry(name, "dns", scheme, 53, domain, "100.64.0.1", "udp")
    assert (read.is_http, read.is_passthrough, read.is_raw) == (False, False, False)


@pytest.mark.parametrize(
    ("scheme", "raw"),
    [pytest.param("ssh", True, id="plain"), pytest.param("tls", False, id="passthrough")],
)
@pytest.mark.parametrize("domain", ["*", "*."])
def test_entry_without_a_name(scheme: str, domain: str, raw: bool) -> None:
    """A TCP entry whose domain is * is for all connections; with TLS to pass on it is not raw."""
    name = f"_ssh_{scheme}_22._tcp.{domain}"
    read = parse_host(name, "100.64.0.1")
    assert read == HostEntry(name, "ssh", scheme, 22, "*", "100.64.0.1")
    assert (read.is_raw, read.is_passthrough, read.is_wildcard) == (raw, not raw, False)


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
def test_http_entry_needs_a_name(scheme: str) -> None:
    """A catch-all for HTTP is refused, with what to write in its place."""
    problem = refused(
        f"_web_{scheme}_80._tcp.<*>",
        "bad-domain",
        "an HTTP route needs a name, and * is none",
        "write a wildcard such as *.example.com, or put a router for every name into a dynamic file"
        " of your own",
    )
    assert parse_host(problem.entry) == (problem,)


def test_no_fault_hides_another() -> None:
    """Every part that is wrong is reported, each label of the domain too, in the order of the name.

    A name without all its parts hides no wrong address, and no span overlaps another.
    """
    name = "_w.b_ht!tp_99999._TCP.a_b.ok.c..d"
    problems = read_hosts({name: "100.64.0.0/24"}).diagnostics
    wrong = [(each.code, each.source[slice(*each.span)]) for each in problems]
    assert wrong == [
        ("bad-entrypoint", "w.b"),
        ("bad-scheme", "ht!tp"),
        ("bad-port", "99999"),
        ("bad-transport", "_TCP"),
        ("bad-domain", "a_b"),
        ("bad-domain", ""),
        ("bad-address", "100.64.0.0/24"),
    ]
    assert parse_host(name, "100.64.0.0/24") == problems
    codes = [each.code for each in read_hosts({"_web_http": None}).diagnostics]
    assert codes == ["bad-name", "bad-address"]
    assert count_entries(problems) == 1


def test_span_is_exactly_the_wrong_text() -> None:
    """A span cuts the wrong part out of the source, in the name and in the address."""
    hosts = {"_web_http_99999._tcp.a.de": "::1", NAME: "10.0.0.0/8", "_w_h_1._tcp.a..b": "::1"}
    problems = read_hosts(hosts).diagnostics
    wrong = [problem.source[slice(*problem.span)] for problem in problems]
    assert wrong == ["", "10.0.0.0/8", "99999"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("server1", id="plain"),
        pytest.param("", id="empty"),
        pytest.param(" _web_http_80._tcp.a.de", id="space-before-the-underscore"),
        pytest.param("web_http_80._tcp.a.de", id="underscore-forgotten"),
    ],
)
def test_alias_is_ignored(name: str) -> None:
    """A name without a leading ``_`` is none of this tool's business, whatever it stands for."""
    hosts: dict[str, object] = {name: ["not", "an", "address"]}
    assert (parse_host(name, "x"), read_hosts(hosts)) == (None, Hosts((), ()))


def test_name_alone_has_no_address() -> None:
    """A name that is given without an address is read, its address left open."""
    assert parse_host(NAME) == HostEntry(NAME, "web", "http", 80, "app.example.com", "")


def test_bad_entry_never_costs_another() -> None:
    """Good entries among bad ones are all read; both come sorted by name."""
    bad_port, bad_address = "_web_http_0._tcp.b.de", "_web_http_2._tcp.b.de"
    good = ["_web_http_1._tcp.b.de", "_web_http_3._tcp.b.de"]
    hosts = {good[1]: "::1", bad_address: None, "alias": 3, good[0]: "::1", bad_port: "::1"}
    read = read_hosts(hosts)
    assert read.entries == tuple(
        HostEntry(name, "web", "http", port, "b.de", "::1")
        for name, port in zip(good, (1, 3), strict=True)
    )
    assert [(problem.code, problem.entry) for problem in read.diagnostics] == [
        ("bad-port", bad_port),
        ("bad-address", bad_address),
    ]


@given(
    st.builds(
        "_{}_{}_{}{}.{}".format,
        st.from_regex(r"[A-Za-z0-9_-]{0,4}", fullmatch=True),
        st.sampled_from(["http", "tls", "HTTP", "c++", "", "x" * 33]),
        st.sampled_from(["1", "80", "080", "9999", "10000", "65535", "65536", "0", ""]),
        st.sampled_from(["._tcp", "._udp", "._TCP", "._tcp._tcp", ""]),
        st.from_regex(r"[a-zA-Z0-9.*_-]{0,8}", fullmatch=True)
        | st.sampled_from(["a.example.com", "a." * 9 + "de", "x" * 41 + ".de", "\u00fc.de"]),
    )
)
def test_names_of_the_usual_form_are_read_like_all_others(name: str) -> None:
    """The short way through a name of the usual form leads to where the long way does."""
    short = parse_host(name, "::1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hosts_module, "_PLAIN", re.compile("(?!)"))
        assert parse_host(name, "::1") == short
