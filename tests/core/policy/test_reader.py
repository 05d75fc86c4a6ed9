"""A policy, read as Tailscale reads it: hujson, then Go's encoding/json.

What those two do was seen by running them. Here jsonvet (dialect jwcc) is the reference for the
syntax, and a model in a few lines is the one for the merging.
"""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctsdns_traefik.core.policy.reader import (
    TOO_DEEP,
    HostsMap,
    SnapshotError,
    fold,
    hosts_of_policy,
    is_policy,
)
from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot, hosts_of_text
from ctsdns_traefik.core.problems import LocatedError

JSONVET = str(Path(sysconfig.get_path("scripts")) / "jsonvet")

NOT_SAVED = "Tailscale would not save this: "


def refusal(policy: bytes) -> str:
    """Return why a policy is refused."""
    with pytest.raises(LocatedError) as caught:
        hosts_of_policy(policy)
    line, column = caught.value.location
    return f"{NOT_SAVED}line {line}, column {column}: {caught.value}"


@pytest.mark.parametrize(
    ("policy", "hosts"),
    [
        pytest.param('{"Hosts": {"a": "::1"}}', {"a": "::1"}, id="capital"),
        pytest.param('{"HOSTS": {"a": "::1"}}', {"a": "::1"}, id="capitals"),
        pytest.param('{"ho\u017ft\u017f": {"a": "::1"}}', {"a": "::1"}, id="long-s"),
        pytest.param('{"ho\\u017ft\\u0053": {"a": "::1"}}', {"a": "::1"}, id="escapes"),
        pytest.param('{"hoﬆs": {"a": "::1"}}', {}, id="a-ligature-is-not-two-letters"),
        pytest.param('{"ho-sts": {"a": "::1"}, "host": {"b": "::1"}}', {}, id="other-names"),
        pytest.param(
            '{"hosts": {"a": "1", "b": "1"}, "x": 1, "Hosts": {"b": "2", "c": "2"}}',
            {"a": "1", "b": "2", "c": "2"},
            id="merged-the-later-value-wins",
        ),
        pytest.param(
            '{"Hosts": {"a": "1"}, "hosts": {"a": "2"}, "HOSTS": {"a": "3"}}',
            {"a": "3"},
            id="merged-in-order-not-the-exact-name-first",
        ),
        pytest.param('{"hosts": {"a": "1", "a": "2"}}', {"a": "2"}, id="one-name-twice"),
        pytest.param('{"hosts": null}', {}, id="null"),
        pytest.param('{"hosts": {"a": "1"}, "Hosts": null}', {}, id="null-drops-those-before"),
        pytest.param('{"Hosts": null, "hosts": {"a": "1"}}', {"a": "1"}, id="null-before"),
        pytest.param("{}", {}, id="absent"),
        pytest.param(
            '{"hosts": {"a": null, "b": 1, "c": [1], "d": true}}',
            {"a": None, "b": 1, "c": [1], "d": True},
            id="values-are-for-the-grammar",
        ),
        pytest.param('{"hosts": {"a": %s}}' % ("9" * 5000), {"a": float("inf")}, id="many-digits"),
        pytest.param(
            '{"hosts": {"ü": "\\u00fc \\ud83d\\ude00"}}', {"ü": "ü \U0001f600"}, id="utf-8"
        ),
        pytest.param(
            '{"hosts": {"\\ud800": "\\udc00x"}}', {"\ufffd": "\ufffdx"}, id="lone-surrogates"
        ),
        pytest.param(
            '{"hosts": {"\\ud800": "1", "\\ud801": "2", "\\ud800": "3"}}',
            {"\ufffd": "3"},
            id="names-that-become-one",
        ),
    ],
)
def test_hosts_are_found_as_go_finds_them(policy: str, hosts: HostsMap) -> None:
    """Names match in any case, maps are merged in their order, null is none."""
    assert hosts_of_policy(policy.encode()) == hosts
    assert hosts_of_policy(b"// x\n" + policy.encode()) == hosts
    if hosts:
        assert hosts_of_text(policy.encode()) == hosts


def test_bad_utf_8_in_a_string_becomes_the_replacement_character() -> None:
    """Each byte that is no UTF-8 becomes one U+FFFD, as in Go."""
    policy = b'{"tests": ["\xff"], "hosts": {"\xe2\x82a": "\xed\xa0\x80", "b": "\xc3\xbc"}}'
    assert hosts_of_policy(policy) == {"\ufffd\ufffda": "\ufffd" * 3, "b": "ü"}
    assert hosts_of_text(policy) == hosts_of_policy(policy)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        pytest.param(
            b'\xef\xbb\xbf{"hosts": {}}',
            "line 1, column 1: it starts with a byte order mark; save it as UTF-8 without one",
            id="byte-order-mark",
        ),
        pytest.param(
            b'{"hosts": {}}\n // end',
            "line 2, column 2: the last // comment has no line end; add one",
            id="last-comment-without-a-line-end",
        ),
        pytest.param(
            b'{"hosts": {}} // end\r',
            "line 1, column 15: the last // comment has no line end; add one",
            id="a-carriage-return-is-no-line-end",
        ),
        pytest.param(
            b'{"hosts": {}} /*/',
            "line 1, column 15: the /* comment has no end",
            id="comment-without-an-end",
        ),
        pytest.param(
            b'{"hosts": {},\n"x": NaN}', "line 2, column 6: NaN is not a number in JSON", id="nan"
        ),
        pytest.param(
            b'{"hosts": {"a": Infinity}}',
            "line 1, column 17: Infinity is not a number in JSON",
            id="infinity",
        ),
        pytest.param(
            b'{"hosts": -Infinity}',
            "line 1, column 11: -Infinity is not a number in JSON",
            id="minus-infinity",
        ),
        pytest.param(
            b'{"hosts": {"\xff": ""}, /* \xff */}',
            "line 1, column 22: the comment is not UTF-8",
            id="bad-utf-8-in-a-comment",
        ),
        pytest.param(
            b'{/* \xc3\xbc */ "hosts" {}}',
            "line 1, column 19: the colon between name and value is missing",
            id="columns-count-bytes",
        ),
        pytest.param(
            b'{"hosts": {}}\xff',
            "line 1, column 14: there is something after the end",
            id="bad-byte-outside",
        ),
        pytest.param(
            b'{"hosts": {}}{}',
            "line 1, column 14: there is something after the end",
            id="two-documents",
        ),
        pytest.param(b'# x\n{"hosts": {}}', "line 1, column 1: # starts no", id="hash"),
        pytest.param(b"{'hosts': {}}", "line 1, column 2: a name in double quotes", id="quotes"),
        pytest.param(b"{hosts: {}}", "line 1, column 2: a name in double quotes", id="bare-name"),
        pytest.param(b'{"tests": [1,,]}', "line 1, column 14: a value is missing", id="two-commas"),
        pytest.param(
            b'{\xc2\xa0"hosts": {}}',
            "line 1, column 2: a name in double quotes",
            id="no-break-space",
        ),
        pytest.param(
            b'{\x0c"hosts": {}}', "line 1, column 2: a name in double quotes", id="form-feed"
        ),
        pytest.param(
            b'{"hosts": {"a": "\t"}}',
            "line 1, column 18: a line end or control character",
            id="tab",
        ),
        pytest.param(b'{"a": "', "line 1, column 7: the text has no closing quote", id="cut-off"),
        pytest.param(b"", "line 1, column 1: it is empty", id="empty"),
        pytest.param(b"// x\n", "line 2, column 1: it is empty", id="comment-alone"),
        pytest.param(b"null", "line 1, column 1: it is null, not an object", id="null"),
        pytest.param(
            b'{\n  "Hosts": ["a"]}', "line 2, column 12: Hosts is a list, not an object", id="list"
        ),
        pytest.param(b'{"hosts": [], "a": NaN}', "line 1, column 20: NaN", id="syntax-comes-first"),
    ],
)
def test_what_tailscale_would_not_save_is_refused(policy: bytes, why: str) -> None:
    """The first fault is named, with its line and column in bytes."""
    assert refusal(policy).startswith(f"{NOT_SAVED}{why}")


def test_nesting_that_python_does_not_read() -> None:
    """A limit that is not Tailscale's is not called so."""
    deep = b"[" * 100_000 + b"]" * 100_000
    for policy in (b'{"tests": %b}' % deep, b'{"tests": %b,}' % deep):
        with pytest.raises(SnapshotError, match=f"^{TOO_DEEP}$"):
            hosts_of_policy(policy)


def test_letters_that_match() -> None:
    """Of all letters only those match another in ASCII that Unicode's simple folding joins."""
    letters = [chr(code) for code in range(0x110000)]
    assert [each for each in letters if fold(each) in set("host")] == list("HOSThost\u017f")
    joined = {each for each in letters if not each.isascii() and fold(each).isascii()}
    assert joined == {"\u017f", "\u212a"}


def test_policy_is_known_by_sections_in_any_case() -> None:
    """A policy may have all its names in another case."""
    assert is_policy(["ACLs"])
    assert is_policy(["x", "TAGOWNERS"])
    assert not is_policy(["acl", "machines", "error"])


NAMES = st.sampled_from(["hosts", "Hosts", "HOSTS", "ho\u017fts", "host", "tests"])
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["a", "_b", "ü", "\ud800", "\ufffd"]),
        st.sampled_from(["1", "ü", "\udfff", None, 3, [1]]),
    )
)
SECTIONS = st.lists(st.tuples(NAMES, st.none() | ENTRIES))


def written(pairs: list[tuple[str, object]]) -> str:
    """Write an object member by member, names that come twice too."""
    return f"{{{','.join(f'{json.dumps(name)}: {text}' for name, text in pairs)}}}"


def as_go_reads(sections: list[tuple[str, list[tuple[str, object]] | None]]) -> HostsMap:
    """Merge the sections of a policy, one after the other."""
    hosts: dict[str, object] = {}
    for name, entries in sections:
        if not re.fullmatch("hosts", name, re.IGNORECASE):
            continue
        if entries is None:
            hosts = {}
        for key, value in entries or ():
            clean = re.sub("[\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else value
            hosts[re.sub("[\ud800-\udfff]", "\ufffd", key)] = clean
    return hosts


@given(SECTIONS)
def test_one_policy_one_result(sections: list[tuple[str, list[tuple[str, object]] | None]]) -> None:
    """By itself, in a file and in a snapshot a policy has the hosts that the model has."""
    texts = [
        (
            name,
            "null"
            if entries is None
            else written([(key, json.dumps(value)) for key, value in entries]),
        )
        for name, entries in sections
    ]
    policy = written([*texts, ("acls", "[]")]).encode()
    snapshot = b'{"machines": [], "acl": %b}' % policy
    expected = as_go_reads(sections)
    assert hosts_of_policy(policy) == expected
    assert hosts_of_text(policy) == expected
    assert hosts_of_text(policy + b"// x\n") == expected
    assert hosts_of_snapshot(snapshot) == expected
    assert hosts_of_text(snapshot) == expected


# What jsonvet is known to judge otherwise than hujson and encoding/json: the three cases below. A
# key that comes twice it calls an error of its own, which is ignored here.
DIFFERENCES = [
    pytest.param(b'\xef\xbb\xbf{"hosts": {}}\n', True, False, id="byte-order-mark"),
    pytest.param(b'{"hosts": {}} // x', True, False, id="last-comment-without-a-line-end"),
    pytest.param(b'{"hosts": {"a": "\xff"}}\n', False, True, id="bad-utf-8-in-a-string"),
]


def jsonvet_takes(text: bytes) -> bool:
    """Ask jsonvet whether a text is HuJSON."""
    command = [JSONVET, "--no-config", "--dialect", "jwcc", "--ignore", "duplicate-key", "-"]
    done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def taken(text: bytes) -> bool:
    """Return whether a policy is read."""
    try:
        hosts_of_policy(text)
    except LocatedError:
        return False
    return True


@pytest.mark.parametrize(("text", "by_jsonvet", "by_tailscale"), DIFFERENCES)
def test_known_differences_to_the_reference(
    text: bytes, *, by_jsonvet: bool, by_tailscale: bool
) -> None:
    """Where jsonvet differs from Tailscale, it is Tailscale that is followed."""
    assert (jsonvet_takes(text), taken(text)) == (by_jsonvet, by_tailscale)


SPACES = st.sampled_from(["", "", " ", "\n", "\t", "\r\n", "/* ü * / */", "// ü \r\n", "/**/"])
SCALARS = st.sampled_from(
    ["null", "true", "0", "-1.5e+3", '"a"', '"ü"', '""', '"\\u00fc\\ud800"', '"// /* \\" ,]"']
)


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Write lists and objects, with white space, comments and trailing commas."""
    item = st.tuples(SPACES, values, SPACES).map("".join)
    member = st.tuples(SPACES, st.just('"n"'), SPACES, st.just(":"), item).map("".join)
    end = st.tuples(st.sampled_from(["", ","]), SPACES).map("".join)

    def bracketed(brackets: str, items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        inner = st.tuples(st.lists(items, min_size=1, max_size=3).map(",".join), end).map("".join)
        return (inner | SPACES).map(lambda text: f"{brackets[0]}{text}{brackets[1]}")

    return bracketed("[]", item) | bracketed("{}", member)


VALUES = st.recursive(SCALARS, arrays, max_leaves=6)
SIGNS = st.sampled_from(
    [
        *'{}[],:"\\/*#\n\r\t 01-+.eaN',
        *("", "//", "/*", "*/", "NaN", "Infinity", "'", "\u00a0", "\f", "\x01", "\x7f", "\ufeff"),
    ]
)


@given(
    VALUES, SPACES, st.lists(st.tuples(st.integers(0, 200), SIGNS, st.integers(0, 2)), max_size=2)
)
@example("[0]", "", [(1, "NaN", 1)])
@example("[0]", "", [(1, "-Infinity", 1)])
@example('"a"', "", [(1, "NaN // Infinity", 1)])
def test_the_reference_agrees(value: str, space: str, changes: list[tuple[int, str, int]]) -> None:
    """What jsonvet takes as HuJSON is taken, and nothing else, the known differences aside."""
    for at, sign, removed in changes:
        value = value[:at] + sign + value[min(at, len(value)) + removed :]
    text = f'{{"tests":{value}{space}}}\n'.encode()
    assert taken(text) == jsonvet_takes(text)


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        pytest.param(b'{"Hosts": []}', "acl.Hosts is a list, not an object", id="list"),
        pytest.param(b'{"x": NaN}', "NaN is not a number in JSON", id="nan"),
    ],
)
def test_policy_in_a_snapshot_is_refused_in_its_own_words(policy: bytes, why: str) -> None:
    """Tailscale has saved what a snapshot holds, and its lines are not those of the policy."""
    with pytest.raises(SnapshotError) as caught:
        hosts_of_snapshot(b'{"acl": %b}' % policy)
    assert str(caught.value) == why
