"""HuJSON, blanked out to plain JSON."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

from ctsdns_traefik.core.policy.hujson import find_faults, may_have_faults, to_json

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        pytest.param("{} // a", "{}     ", id="comment-to-the-end"),
        pytest.param("{// a\n}", "{    \n}", id="comment-to-the-line-end"),
        pytest.param("{// a\r\n}", "{     \n}", id="comment-to-crlf"),
        pytest.param("{/* a\n b */}", "{    \n     }", id="comment-over-two-lines"),
        pytest.param("[1/**/]", "[1    ]", id="empty-comment"),
        pytest.param("[/* // */1]", "[        1]", id="comment-in-a-comment"),
        pytest.param("[// /*\n1]", "[     \n1]", id="comment-opened-in-a-comment"),
        pytest.param("[/* * / */1]", "[         1]", id="star-and-slash-apart"),
        pytest.param('[/* " */ 1 /* " */]', "[        1        ]", id="quote-in-a-comment"),
        pytest.param("[1,]", "[1 ]", id="trailing-comma-in-a-list"),
        pytest.param('{"a": 1,\n}', '{"a": 1 \n}', id="trailing-comma-in-an-object"),
        pytest.param("[1, // a\n]", "[1      \n]", id="comment-between-comma-and-bracket"),
        pytest.param("[1, /* , */ ]", "[1          ]", id="comma-in-a-comment"),
        pytest.param("[1 // a\n,]", "[1     \n ]", id="comment-before-the-comma"),
        pytest.param("[[1,],[2,],]", "[[1 ],[2 ] ]", id="trailing-commas-nested"),
        pytest.param('["// a"]', '["// a"]', id="slashes-in-text"),
        pytest.param('["/* a", "*/"]', '["/* a", "*/"]', id="comment-signs-in-texts"),
        pytest.param('["a,]", ",}"]', '["a,]", ",}"]', id="trailing-comma-in-text"),
        pytest.param(r'["\"// a"] // b', r'["\"// a"]     ', id="escaped-quote"),
        pytest.param(r'["\\"] // a', r'["\\"]     ', id="escaped-backslash-before-a-quote"),
        pytest.param('["a // b', '["a // b', id="text-that-does-not-end"),
        pytest.param('["a\\', '["a\\', id="text-that-ends-in-a-backslash"),
        pytest.param("[1, 2] / 3", "[1, 2] / 3", id="slash-alone"),
        pytest.param("", "", id="empty"),
    ],
)
def test_comments_and_trailing_commas_are_blanked_out(text: str, plain: str) -> None:
    """Comments and trailing commas become spaces; nothing else changes, nothing moves."""
    assert to_json(text) == plain


@given(JSON_VALUES, st.integers(0, 2) | st.none())
def test_plain_json_stays_as_it_is(value: Any, indent: int | None) -> None:
    """JSON is HuJSON, and comes out unchanged."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert to_json(text) == text


@given(st.text(st.sampled_from('{}[],:"\\/* \n\r\ta1\u2028')) | st.text())
def test_every_character_keeps_its_place(text: str) -> None:
    """Each character stays or becomes a space, and line ends always stay."""
    plain = to_json(text)
    assert len(plain) == len(text)
    moved = [pair for pair in zip(text, plain, strict=True) if pair[0] != pair[1]]
    assert all(after == " " and before != "\n" for before, after in moved)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("[,]", id="comma-alone-in-a-list"),
        pytest.param("{,}", id="comma-alone-in-an-object"),
        pytest.param("[1,,]", id="two-commas"),
        pytest.param("{} /* a", id="comment-that-does-not-end"),
        pytest.param('{"a": 1 /* }', id="comment-that-does-not-end-in-an-object"),
        pytest.param('["a // ]', id="text-that-does-not-end"),
        pytest.param("{} /", id="slash-alone"),
        pytest.param("# a\n{}", id="comment-of-another-language"),
    ],
)
def test_what_is_no_hujson_comes_out_as_no_json(text: str) -> None:
    """What HuJSON does not allow does not become valid on the way."""
    with pytest.raises(json.JSONDecodeError):
        json.loads(to_json(text))


TOKENS = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", '"a"', '"//"', "1", "NaN", "-Infinity", "\n", " ", '"'),
        *("// a\n", "// b", "/* c */", "/* d", "*/", "// \xff\n", "// \xc3\xa9\n", "\xef\xbb\xbf"),
    ]
)


@given(st.lists(TOKENS, max_size=12).map("".join))
def test_faults_are_searched_for_wherever_there_may_be_some(text: str) -> None:
    """What is JSON without its comments has no fault, unless the short look says it may."""
    try:
        json.loads(to_json(text))
    except json.JSONDecodeError:
        return
    assert may_have_faults(text) or find_faults(text) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param('"' + '\\"' * 400_000 + "\\", id="text-that-does-not-end"),
        pytest.param("/* " * 400_000, id="comments-that-do-not-end"),
        pytest.param("[ " * 400_000, id="lists-that-do-not-end"),
        pytest.param(", " * 400_000, id="commas"),
    ],
)
def test_work_is_linear_in_the_size_of_broken_text(text: str) -> None:
    """A search that started over at each sign would take hours for a megabyte of these."""
    assert len(to_json(text)) == len(text)


SYSTEMS_PYTHON = Path("/usr/bin/python3")
OF_ALL_KINDS = '{"a": [1,], /* x */ "b": "//", // y\n"c": "/*", "d": 1 / 2,}\n// z'


def test_every_python_reads_it_alike() -> None:
    """The Python of the system, Debian 12's 3.11.2 for one, blanks out and finds the same."""
    code = (
        "import json, sys; sys.version_info >= (3, 11) or sys.exit(77)\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from ctsdns_traefik.core.policy.hujson import find_faults, to_json\n"
        "print(json.dumps([to_json(sys.argv[2]), find_faults(sys.argv[2])]))"
    )
    if not SYSTEMS_PYTHON.exists():
        pytest.skip("this system has no Python of its own")
    command = [str(SYSTEMS_PYTHON), "-B", "-I", "-c", code, str(ROOT), OF_ALL_KINDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the system's Python is too old for this package")
    assert done.returncode == 0, done.stderr
    faults = [list(fault) for fault in find_faults(OF_ALL_KINDS)]
    assert json.loads(done.stdout) == [to_json(OF_ALL_KINDS), faults]
    assert len(faults) == 1
