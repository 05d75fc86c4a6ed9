"""The members of a JSON object, walked without keeping their values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctsdns_traefik.core.policy.json_scanner import Member, members_at, members_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(), VALUES)


def test_places_are_those_of_names_and_values() -> None:
    """Each member has its name, where that stands, and where its value starts and ends."""
    text = ' { "a" : [1, {"b": 2}] ,"c\\u0064":"x" } '
    assert list(members_of(text)) == [Member("a", 3, 6, 9, 22), Member("cd", 24, 33, 34, 37)]


def test_objects_inside_are_walked_alike() -> None:
    """A value that is an object is walked from where it starts."""
    text = '{"acl": {"hosts": {"a": 1}}}'
    (acl,) = members_of(text)
    (hosts,) = members_at(text, acl.start)
    assert text[hosts.start : hosts.end] == '{"a": 1}'


def test_name_that_comes_twice_comes_twice() -> None:
    """Nothing is decided here about a name that an object has twice."""
    assert [member.name for member in members_of('{"a": 1, "a": 2}')] == ["a", "a"]


@given(OBJECTS, st.sampled_from([{}, {"indent": 1}, {"indent": "\t", "ensure_ascii": False}]))
def test_members_are_those_of_json(root: dict[str, object], style: dict[str, Any]) -> None:
    """The values at the places found are those that json reads, in the same order."""
    text = json.dumps(root, **style)
    walked = {
        member.name: json.loads(text[member.start : member.end]) for member in members_of(text)
    }
    assert list(walked.items()) == list(root.items())


@given(OBJECTS.map(json.dumps), st.data())
@example('{"a": [1, 2]}', None)
def test_what_is_no_json_is_refused_as_json_refuses_it(
    text: str, data: st.DataObject | None
) -> None:
    """A text with one character changed, added or cut is an object to both or to neither."""
    for broken in _broken(text, data):
        try:
            expected = json.loads(broken)
        except ValueError:
            with pytest.raises((json.JSONDecodeError, TypeError)):
                list(members_of(broken))
        else:
            assert isinstance(expected, dict)
            assert {member.name for member in members_of(broken)} == set(expected)


def _broken(text: str, data: st.DataObject | None) -> list[str]:
    if data is None:  # every cut, and every character replaced by each that JSON knows
        cuts = [text[:at] for at in range(len(text))]
        changed = [
            text[:at] + char + text[at + 1 :] for at in range(len(text)) for char in '{}[]",: 1x\n'
        ]
        return [each for each in cuts + changed if each.lstrip()[:1] == "{"]
    at = data.draw(st.integers(1, len(text)))
    char = data.draw(
        st.sampled_from(['"', "{", "}", "[", "]", ",", ":", " ", "\n", "\\", "1", "\u00a0", ""])
    )
    return [text[:at] + char + text[at + data.draw(st.integers(0, 1)) :]]


@pytest.mark.parametrize("text", ["", " ", "[]", "3", '"a"', "nul"])
def test_another_value_is_no_object(text: str) -> None:
    """A text that holds no object has no members to walk."""
    with pytest.raises(TypeError):
        list(members_of(text))
