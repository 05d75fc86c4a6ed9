"""Where the entries of a policy stand in its file, in lines and bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.checks.diagnostics import locate_in_policy, locate_in_settings
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.policy.locations import Lines, SourceText, locate_entries
from ctsdns_traefik.core.policy.snapshot import hosts_of_text
from ctsdns_traefik.core.problems import Diagnostic, SourceLocation
from ctsdns_traefik.core.static_config.configuration import read_static

NAME = "_web_http_80._tcp.a"


def place_in(content: bytes, name: str = NAME) -> SourceLocation:
    """Return the place of the one entry of a policy that has a name."""
    entries = locate_entries(SourceText("p", content))
    return Lines(content).location(entries.by_name[name].name_start)


@pytest.mark.parametrize(
    ("before", "place"),
    [
        pytest.param('{"hosts": {', SourceLocation(1, 12), id="first-line"),
        pytest.param('{"hosts": {\n', SourceLocation(2, 1), id="new-line"),
        pytest.param('{"hosts": {\n\t\t', SourceLocation(2, 3), id="a-tab-is-one"),
        pytest.param('{"hosts": {\n/* \u00fc */', SourceLocation(2, 9), id="bytes-not-characters"),
        pytest.param('{"hosts": { // \U0001f600\n ', SourceLocation(2, 2), id="comment-line"),
        pytest.param(
            '// x\n/* y\n */ {"hosts": {', SourceLocation(3, 16), id="comments-before-all"
        ),
        pytest.param('{"hosts": {"\u00fc": "::1",', SourceLocation(1, 24), id="other-names"),
        pytest.param('{"hosts": {\r\n  ', SourceLocation(2, 3), id="crlf"),
        pytest.param('\ufeff{"acl": {"hosts": {', SourceLocation(1, 23), id="byte-order-mark"),
        pytest.param(
            f'{{"tests": [{{"hosts": {{"{NAME}": 1}}}}], "hosts": {{',
            SourceLocation(1, 62),
            id="other-map",
        ),
        pytest.param('{"acl": {"x": [1, {}], "hosts": {', SourceLocation(1, 34), id="snapshot"),
    ],
)
def test_place_of_an_entry(before: str, place: SourceLocation) -> None:
    """Lines and columns count from 1, columns bytes; comments and what else there is count too."""
    behind = "}" * (before.count("{") - before.count("}"))
    content = f'{before}"{NAME}": "::1"{behind}'.encode()
    assert hosts_of_text(content)[NAME] == "::1"
    assert place_in(content) == place


def test_name_with_escapes_is_found() -> None:
    """A name written with escapes, or in UTF-8, is the one that the hosts map has."""
    content = b'{"hosts": {"_web_http_80._tcp.\\u0061": "::1", "_w_\xc3\xbc": "::1"}}'
    assert set(locate_entries(SourceText("p", content)).by_name) == set(hosts_of_text(content))
    assert place_in(content) == SourceLocation(1, 12)


COMMENTS = st.sampled_from(
    ["", " ", "\n", "\t", "\r\n", '// \u00e4 { " \n', "/* \u2019 } */", "/**/"]
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda text: f"_{text}")


@given(st.lists(st.tuples(COMMENTS, NAMES, COMMENTS, COMMENTS), max_size=6), st.booleans())
def test_place_is_that_of_the_name(rows: list[tuple[str, str, str, str]], ascii_only: bool) -> None:
    """At the place of a problem stands the name of its entry, whatever is around it."""
    members = [
        f'{one}{json.dumps(name, ensure_ascii=ascii_only)}{two}:{three}"x"'
        for one, name, two, three in rows
    ]
    content = f'/**/{{"hosts": {{{",".join(members)}}}}}'.encode()
    diagnostics = render(hosts_of_text(content)).diagnostics
    located = locate_in_policy(diagnostics, SourceText("p", content))
    assert {diagnostic.entry for diagnostic in located} == {name for _, name, _, _ in rows}
    for diagnostic in located:
        assert diagnostic.location
        line = content.split(b"\n")[diagnostic.location.line - 1]
        name, _ = json.JSONDecoder().raw_decode(line[diagnostic.location.column - 1 :].decode())
        assert name == diagnostic.entry


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        pytest.param(b'"_w_http_80._tcp.a":"::1"', [], id="once"),
        pytest.param(
            b'"_w_http_80._tcp.a":"::1","_w_http_80._tcp.a":"::2"', ["error 1"], id="other-address"
        ),
        pytest.param(
            b'"_w_http_80._tcp.a":"::1","_w_http_80._tcp.a":"::1"', ["warning 1"], id="the-same"
        ),
        pytest.param(b'"a":"::1","a":"::2"', ["warning 1"], id="alias"),
        pytest.param(b'"a":"::1",\n"a":"::2",\n"a":"::3"', ["warning 1", "warning 2"], id="thrice"),
        pytest.param(b'"a":1,\n"\\u0061":2', ["warning 1"], id="written-otherwise"),
    ],
)
def test_name_that_is_there_twice(text: bytes, codes: list[str]) -> None:
    """Each but the last of several entries with one name is a problem where it stands."""
    content = b'{"hosts": {' + text + b"}}"
    located = locate_in_policy([], SourceText("p", content))
    assert {each.code for each in located} <= {"duplicate-key"}
    assert [f"{each.severity} {each.location.line}" for each in located if each.location] == codes


HOSTS_AGAIN = "hosts is repeated in line 2, and only the last one counts"


def lines_of(content: bytes) -> list[str]:
    """Return severity, location, code and message of each diagnostic for the file itself."""
    return [
        f"{each.severity} {each.location.line}:{each.location.column} {each.code}: {each.message}"
        for each in locate_in_policy([], SourceText("p", content))
        if each.location
    ]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(
            b'{"hosts": {"_a": "::1"},\n "Hosts": {}}',
            ["warning 1:2 merged-section: hosts is merged with Hosts in line 2"],
            id="two-maps",
        ),
        pytest.param(
            b'{"hosts": {"_a": "::1"},\n "HOSTS": {"_b": "::1"},\n "ho\xc5\xbfts": {"_a": "::2"}}',
            [
                "warning 1:2 merged-section: hosts is merged with ho\u017fts in line 3",
                "error 1:12 duplicate-key: _a is repeated in line 3, and only the last one counts",
                "warning 2:2 merged-section: HOSTS is merged with ho\u017fts in line 3",
            ],
            id="three-maps-and-a-name-in-two",
        ),
        pytest.param(
            b'{"hosts": {"_a": "::1"},\n "Hosts": null}',
            ["error 1:2 duplicate-key: hosts is repeated in line 2, and only the last one counts"],
            id="null-drops-what-was-before",
        ),
        pytest.param(
            b'{"hosts": null,\n "Hosts": {"_a": "::1"}}',
            [
                (
                    "warning 1:2 duplicate-key:"
                    " hosts is repeated in line 2, and only the last one counts"
                )
            ],
            id="null-before",
        ),
        pytest.param(
            b'{"hosts": {"_a": "::1"},\n "hosts": null, "hosts": {"_b": "::1"}}',
            [
                (
                    "error 1:2 duplicate-key: hosts is repeated in line 2,"
                    " and only the last one counts"
                ),
                (
                    "warning 2:2 duplicate-key: hosts is repeated in line 2,"
                    " and only the last one counts"
                ),
            ],
            id="null-between",
        ),
        pytest.param(
            b'{"hosts": {"_a": "::1"}, "hosts": null,\n "hosts": {"_a": "::2"}}',
            [
                f"error 1:2 duplicate-key: {HOSTS_AGAIN}",
                f"warning 1:26 duplicate-key: {HOSTS_AGAIN}",
            ],
            id="entries-of-a-lost-section-are-not-reported-again",
        ),
        pytest.param(
            b'{"acl": {"hosts": {"_w": 1}},\n "acl": {"hosts": {}}}',
            ["error 1:2 duplicate-key: acl is repeated in line 2, and only the last one counts"],
            id="acl",
        ),
        pytest.param(b'{"acl": {"hosts": {"_w": 1}},\n "ACL": {}}', [], id="acl-in-another-case"),
        pytest.param(
            b'{"acl": {"Hosts": {"_w": 1},\n "hosts": {"_w": 1}}}',
            [
                "warning 1:10 merged-section: Hosts is merged with hosts in line 2",
                (
                    "warning 1:20 duplicate-key: _w is repeated in line 2,"
                    " and only the last one counts"
                ),
            ],
            id="two-maps-in-a-snapshot",
        ),
        pytest.param(
            b'{"tests": [{"src": "_w"}],\n "Tests": [], "hosts": {}}',
            [
                (
                    "warning 1:2 duplicate-key: tests is repeated in line 2,"
                    " and only the last one counts"
                )
            ],
            id="lists-are-not-merged",
        ),
    ],
)
def test_section_that_is_there_twice(content: bytes, lines: list[str]) -> None:
    """What is merged and what is lost is reported where it stands."""
    assert lines_of(content) == lines


def test_entry_of_hosts_that_are_there_twice() -> None:
    """An entry is placed where the value that counts stands."""
    hosts = b'"hosts": {"' + NAME.encode() + b'": "::1"}'
    again = b'"Hosts": {"' + NAME.encode() + b'": "::1"}'
    assert place_in(b"{" + hosts + b",\n" + again + b"}") == (2, 11)
    assert place_in(b"{" + hosts + b',\n"Hosts": {}}') == (1, 12)


LONG_LINE = (
    f'{{"hosts": {{"a": "{"y" * 500}", "_{"e" * 150}_http_0._tcp.{"x." * 75}": "::1", "b": "1"}}}}'
).encode()


@pytest.mark.parametrize(
    ("content", "excerpt"),
    [
        pytest.param(
            b'{"hosts": {"_web_http_80._tcp.a": [\n1\n]}}',
            ('{"hosts": {"_web_http_80._tcp.a": ', "[", ""),
            id="value-over-lines",
        ),
        pytest.param(
            b'{"hosts": {\n "": "a", "": "b"}}', ('"', "", '": "a", "": "b"}}'), id="empty-name"
        ),
        pytest.param(
            LONG_LINE,
            (f'..."_{"e" * 150}_http_', "0", f'._tcp.{"x." * 75}": "::1",...'),
            id="all-of-a-long-entry",
        ),
    ],
)
def test_excerpt(content: bytes, excerpt: tuple[str, str, str]) -> None:
    """What is wrong is shown with what stands around it on its line."""
    diagnostics = render(hosts_of_text(content)).diagnostics
    diagnostic, *_ = locate_in_policy(diagnostics, SourceText("p", content))
    assert diagnostic.excerpt == excerpt


def test_problems_are_in_the_order_of_the_file() -> None:
    """Not in that of the names, and problems with entries and doubled names stand together."""
    content = b'{"hosts": {\n"_z": "::1",\n"_y": "::1",\n"_y": "::1",\n"_a": "::1"}}'
    diagnostics = render(hosts_of_text(content)).diagnostics
    lines = [
        f.location.line
        for f in locate_in_policy(diagnostics, SourceText("p", content))
        if f.location
    ]
    assert lines == [2, 3, 4, 5]


def test_setting_behind_letters_outside_ascii() -> None:
    """Columns of settings count bytes too, and their excerpts start where they do."""
    text = "{'é': 1, api: {insecure: true}}"
    problem = Diagnostic("c", "", "m", "h", (0, 0), setting="api.insecure")
    static = read_static(text, "yaml")
    (diagnostic,) = locate_in_settings([problem], "s", text, static.locations)
    assert diagnostic.location == (1, 17)
    assert diagnostic.excerpt == ("{'é': 1, api: {", "insecure: true}}", "")


def test_captured_stream_has_places(data: Path) -> None:
    """Entries in a captured stream are found where they stand in its file."""
    content = (data / "worker-stream.txt").read_bytes()
    start = content.index(b'{"machines"')
    source = SourceText("s", content, start, content.index(b"\n", start))
    member = locate_entries(source).by_name["_dns_udp_53._udp.server1.wan.example.com"]
    assert (
        content[member.name_start : member.name_end]
        == b'"_dns_udp_53._udp.server1.wan.example.com"'
    )
