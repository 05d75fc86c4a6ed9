"""What holds for every hosts map: no crash, no injection, unique names, no matter the order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.dynamic.diff import Changes, compare, outline
from ctsdns_traefik.core.dynamic.document import Document, Format, from_text, to_text
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host, read_hosts
from ctsdns_traefik.core.policy.reader import HostsMap, SnapshotError
from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot, hosts_of_text
from ctsdns_traefik.core.problems import count_entries

RULE = re.compile(r"(?:Host|HostSNI)\(`(?:\*\.)?[a-z0-9.-]+`\)|HostSNI\(`\*`\)|")
"""The rule of a router; a UDP router has none."""

FORMATS = get_args(Format)

HOSTILE = [
    *("`", "a`) || Host(`b", "{{", "}}", '{{env "HOME"}}', "{%", '"', "'", "\\", "\n", "\r\n"),
    *("\x00", "\x85", "\u2028", "\ufeff", "\u202e", "\ud800", "\udfff", "\u212a", "\u0430"),
    *("\u3002", "\uff0e", "\u00df", "\u0130", "e\u0301", "\u200d", "\U0001f600", "\u0661"),
    *("_", "._tcp.", "._udp.", "._", ".", "..", "*", "*.", "/32", "%", "=", ":", "# ", "- ", "&a"),
    *("-", "a" * 64, "a." * 130, "on", "~", "0x1F", "1_000", "\u00fc" * 60),
]

PLAIN = st.text(st.sampled_from("abcxyz0189-+.*_ABC"), max_size=8)
ANY_TEXT = st.text(st.characters()) | st.lists(st.sampled_from(HOSTILE) | PLAIN).map("".join)
ENTRY_LIKE = st.builds(
    "_{}_{}_{}.{}.{}".format,
    st.sampled_from(["web", "tcp", "on", "a_b"]) | ANY_TEXT,
    st.sampled_from(["http", "https", "tls", "ssh"]) | ANY_TEXT,
    st.integers(-1, 70_000) | st.sampled_from(["80"]) | ANY_TEXT,
    st.sampled_from(["_tcp", "_tcp", "_tcp", "_udp", "_TCP"]),
    st.sampled_from(["app.de", "*.de"]) | ANY_TEXT,
)
NAMES = ENTRY_LIKE | ANY_TEXT | ANY_TEXT.map("_{}".format)

ADDRESS_LIKE = st.ip_addresses().map(str) | st.builds(
    "{}{}".format, st.ip_addresses(), st.sampled_from(["/32", "/128", "/0", "%a", " ", "`"])
)


def json_values(
    text: st.SearchStrategy[str], floats: st.SearchStrategy[float]
) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | text,
        lambda values: st.lists(values, max_size=3) | st.dictionaries(text, values, max_size=3),
        max_leaves=5,
    )


JSON_VALUES = json_values(ANY_TEXT, st.floats())
VALID_JSON_VALUES = json_values(st.text(), st.floats(allow_nan=False, allow_infinity=False))
ANY_HOSTS = st.dictionaries(NAMES, ADDRESS_LIKE | JSON_VALUES, max_size=5)

GOOD_ADDRESSES = ["100.64.0.1", "100.64.0.2/32", "fd7a:115c:a1e0::1", "::ffff:100.64.0.1"]
GOOD_NAMES = st.builds(
    "_{}_{}_{}._{}.{}".format,
    st.sampled_from(["web", "ws", "web-http-80", "http_80", "ssh", "on"]),
    st.sampled_from(["http", "https", "HTTP", "tls", "TLS", "ssh", "mysql", "a.", "http-80"]),
    st.sampled_from(["80", "080", "443"]),
    st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    st.sampled_from(
        [
            *("a.b.de", "a-b.de", "a.b-de", "a-b-de", "A.b.de.", "*.b.de", "wildcard.b.de"),
            *("a.b.de-web", "a.b.de.ssh", "a-b-de-ssh", "b\u00fc.de", "xn--b-xga.de", "*.b-de"),
            *("*", "any", "any-b-de"),
        ]
    ),
)
"""From pools so small that names clash, entries conflict and services are shared."""
GOOD_HOSTS = st.dictionaries(
    GOOD_NAMES.filter(lambda name: isinstance(parse_host(name), HostEntry)),
    st.sampled_from(GOOD_ADDRESSES),
    max_size=12,
)

PARTS = st.sampled_from(["http", "tcp", "routers", "services", "service", "rule", "a", "b"])
FILE_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | PARTS,
    lambda values: st.lists(values, max_size=2) | st.dictionaries(PARTS, values),
    max_leaves=20,
)
YAML_TEXT = st.text(st.sampled_from("abh1:,-?#&*!|>'\"%@`[]{}~.<= \n\t"))
FILES = (
    ANY_TEXT
    | YAML_TEXT
    | st.dictionaries(PARTS, st.dictionaries(PARTS, FILE_VALUES)).map(json.dumps)
)
"""Contents of a dynamic file from other hands."""


def rules_of(document: Document) -> list[str]:
    """Return the rules of all routers."""
    return [
        router.get("rule", "")
        for parts in document.values()
        for router in parts["routers"].values()
    ]


@given(NAMES, ADDRESS_LIKE | JSON_VALUES)
def test_any_entry_is_refused_ignored_or_one_safe_rule(name: str, value: Any) -> None:
    """No name and address crash, and a rule holds one plain domain and nothing else."""
    rendering = render({name: value})
    rules = rules_of(rendering.document)
    assert len(rules) + count_entries(rendering.diagnostics) == int(name.startswith("_"))
    assert [rule for rule in rules if not RULE.fullmatch(rule)] == []


@given(ANY_HOSTS)
def test_any_hosts_become_text_that_traefik_takes(hosts: dict[str, Any]) -> None:
    """Text has no template action, no line that is not ASCII, and no map that is empty."""
    for form in FORMATS:
        rendering = render(hosts, form)
        assert rendering.text.isascii()
        assert "{{" not in rendering.text
        assert ("{}" in rendering.text) == (rendering.routes == ())


@given(ANY_HOSTS)
def test_every_service_entry_is_a_route_or_a_problem(hosts: dict[str, Any]) -> None:
    """Each name with a leading ``_`` is served or reported, and no other name is."""
    rendering = render(hosts)
    names = [route.entry.name for route in rendering.routes]
    names += {problem.entry for problem in rendering.diagnostics}
    assert sorted(names) == sorted(name for name in hosts if name.startswith("_"))


@given(NAMES, st.none() | ADDRESS_LIKE | ANY_TEXT)
def test_span_lies_in_the_source(name: str, address: str | None) -> None:
    """What is refused is a part of the entry, and its problem fits on one line."""
    read = parse_host(name, address)
    for fault in () if read is None or isinstance(read, HostEntry) else read:
        start, end = fault.span
        assert 0 <= start <= end <= len(fault.source)
        assert str(fault).isprintable()


@given(NAMES, ADDRESS_LIKE)
def test_entry_alone_reads_as_in_a_map(name: str, address: str) -> None:
    """A single entry is read or refused as it is among others."""
    entries, problems = read_hosts({name: address})
    read = parse_host(name, address)
    assert (entries, problems) == (
        ((read,), ()) if isinstance(read, HostEntry) else ((), read or ())
    )


@given(GOOD_HOSTS)
def test_good_entries_are_served_or_conflict(hosts: dict[str, str]) -> None:
    """Entries that are well formed are refused for a conflict alone."""
    assert {problem.code for problem in render(hosts).diagnostics} <= {"conflict"}


@given(GOOD_HOSTS)
def test_every_route_has_a_router_of_its_own(hosts: dict[str, str]) -> None:
    """No two routes share a router, and each router is that of its entry."""
    _, routes, _, document, *_ = render(hosts)
    assert len(rules_of(document)) == len(routes)
    for route in routes:
        router = document[route.protocol]["routers"][route.router]
        assert router.get("rule", "") == route.rule
        assert router["entryPoints"] == [route.entry.entrypoint]


@given(GOOD_HOSTS)
def test_every_router_leads_to_its_backend(hosts: dict[str, str]) -> None:
    """Each router's service is there and leads to the backend of the entry; none is left over."""
    _, routes, _, document, *_ = render(hosts)
    used = {(route.protocol, route.service) for route in routes}
    assert used == {
        (section, name) for section in document for name in document[section]["services"]
    }
    for route in routes:
        parts = document[route.protocol]
        service = parts["services"][parts["routers"][route.router]["service"]]
        (server,) = service["loadBalancer"]["servers"]
        assert list(server.values()) == [route.backend]


@given(GOOD_HOSTS, st.data())
def test_order_of_hosts_does_not_matter(hosts: dict[str, str], data: st.DataObject) -> None:
    """The same hosts in another order give the same routes, problems and bytes."""
    other = dict(data.draw(st.permutations(list(hosts.items()))))
    assert [render(other, form) for form in FORMATS] == [render(hosts, form) for form in FORMATS]


@pytest.mark.parametrize("form", FORMATS)
@given(hosts=GOOD_HOSTS)
def test_text_reads_back_as_the_document(form: Format, hosts: dict[str, str]) -> None:
    """What is written is what is read, so that nothing has changed."""
    rendering = render(hosts, form)
    document = from_text(rendering.text)
    assert document == rendering.document
    assert to_text(document, form) == rendering.text
    unchanged = Changes((), (), (), before=len(rendering.routes))
    assert compare(outline(document), outline(rendering.document)) == unchanged


@given(FILES)
def test_any_file_reads_as_some_document(text: str) -> None:
    """No file content crashes, and what comes back can be compared, router by router."""
    document = from_text(text)
    routers = [name for parts in document.values() for name in parts.get("routers", {})]
    assert compare(outline(document), outline(document)) == Changes((), (), (), before=len(routers))
    assert sorted(compare(outline(document), {}).removed) == sorted(routers)


@pytest.mark.parametrize("read", [hosts_of_snapshot, hosts_of_text])
@given(data=st.binary() | ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_hosts_or_refused(read: Callable[[bytes], HostsMap], data: bytes) -> None:
    """No bytes crash; they are a hosts map, or no snapshot for a reason in one line."""
    try:
        outcome: HostsMap | str = read(data)
    except SnapshotError as why:
        outcome = str(why)
    assert isinstance(outcome, dict) or str(outcome).isprintable()


@given(st.dictionaries(st.text(), VALID_JSON_VALUES, max_size=5))
def test_hosts_of_any_snapshot_come_through(hosts: dict[str, Any]) -> None:
    """A hosts map of any Unicode content is read as JSON reads it, its numbers as floats."""
    text = json.dumps({"machines": [], "acl": {"hosts": hosts}})
    read = json.dumps(hosts_of_snapshot(text.encode()))
    assert read == json.dumps(json.loads(json.dumps(hosts), parse_int=float))
