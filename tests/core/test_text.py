"""Values from outside, made fit to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.text import json_type, printable, quoted, shown

ANY_TEXT = st.text(st.characters())
"""Lone surrogates too."""


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("app.example.com", "app.example.com", id="ascii"),
        pytest.param("b\u00fccher \U0001f600", "b\u00fccher \U0001f600", id="other-scripts"),
        pytest.param("a\nb\r\tc", r"a\nb\r\tc", id="line-ends-and-tab"),
        pytest.param("\x1b[31m", r"\x1b[31m", id="escape-sequence"),
        pytest.param("\x00\x7f\x9b", r"\x00\x7f\x9b", id="control-characters"),
        pytest.param("\u202e\u200b\ufeff", r"\u202e\u200b\ufeff", id="invisible-marks"),
        pytest.param("\u2028\u2029\x85", r"\u2028\u2029\x85", id="unicode-line-ends"),
        pytest.param("\ud800", r"\ud800", id="lone-surrogate"),
        pytest.param("\U000e0001", r"\U000e0001", id="tag-character"),
        pytest.param("\u00a0\u3000", r"\xa0\u3000", id="other-spaces"),
        pytest.param(r"\n", r"\n", id="backslash-stays"),
    ],
)
def test_printable(text: str, visible: str) -> None:
    """What cannot be seen is written as an escape, all else stays."""
    assert printable(text) == visible


@given(ANY_TEXT)
def test_printable_text_is_one_line_of_utf_8(text: str) -> None:
    """Any text comes out as one printable line that can be encoded."""
    visible = printable(text)
    assert visible.isprintable()
    assert visible.encode().decode() == visible


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        pytest.param("x" * 400, "x" * 400, id="longest"),
        pytest.param("x" * 401, "x" * 397 + "...", id="too-long"),
        pytest.param("\n" * 1000, r"\n" * 397 + "...", id="cut-before-it-is-escaped"),
    ],
)
def test_shown_text_is_cut(text: str, cut: str) -> None:
    """Text of more than 400 characters ends in three dots."""
    assert shown(text) == cut


def test_quoted_text() -> None:
    """Quoted text is shown between double quotes."""
    assert quoted("a\nb") == r'"a\nb"'


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param(None, "null", id="null"),
        pytest.param(True, "true or false", id="true"),
        pytest.param(0, "a number", id="integer"),
        pytest.param(0.5, "a number", id="fraction"),
        pytest.param([], "a list", id="list"),
        pytest.param({}, "an object", id="object"),
        pytest.param("", "text", id="text"),
    ],
)
def test_json_type(value: object, name: str) -> None:
    """Each JSON type has a name that reads well in a sentence."""
    assert json_type(value) == name


def test_problem_in_one_line() -> None:
    """A problem as text says how bad, what kind, where, what and how to fix it."""
    problem = Diagnostic("bad-port", "_a", "it is wrong", "mend it", (1, 2), "::1")
    assert str(problem) == "bad-port: _a=::1: it is wrong; mend it"


def test_problem_with_a_name_alone() -> None:
    """Without an address the name stands alone; a warning is called one."""
    problem = Diagnostic("odd", "_a", "it is odd", "look", (0, 2), severity=Severity.WARNING)
    assert str(problem) == "odd: _a: it is odd; look"


@given(ANY_TEXT, st.none() | ANY_TEXT)
def test_problem_is_one_line_whatever_the_entry(entry: str, address: str | None) -> None:
    """A problem's text is one printable line of a bounded length."""
    text = str(Diagnostic("bad-name", entry, "message", "hint", (0, 0), address))
    assert text.isprintable()
    assert len(text) < 300 * len(r"\U000e0001") + 100
