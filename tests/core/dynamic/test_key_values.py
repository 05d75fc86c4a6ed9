"""The document as pairs of a path and a text, as Traefik's key-value providers read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.entries import hosts
from support.paths import TESTS

from ctsdns_traefik.core.dynamic.document import from_text, to_plain_text
from ctsdns_traefik.core.dynamic.key_values import (
    ANCHOR,
    Difference,
    difference,
    digest,
    find_guarded,
    from_key_values,
    to_key_values,
)
from ctsdns_traefik.core.dynamic.rendering import render

CASES = sorted((TESTS / "cases").glob("*/dynamic.yml"))


def test_values_have_a_path_each_and_lists_an_index() -> None:
    """The worked example of Traefik's documentation: fields by name, list items by index."""
    document = {
        "tcp": {
            "routers": {
                "r": {"rule": "x", "entryPoints": ["a", "b"], "tls": {"passthrough": False}}
            }
        },
        "http": {"routers": {"q": {"priority": 7, "tls": {"options": "default"}}}},
    }
    assert to_key_values(document) == ANCHOR | {
        "http/routers/q/priority": "7",
        "http/routers/q/tls/options": "default",
        "tcp/routers/r/entryPoints/0": "a",
        "tcp/routers/r/entryPoints/1": "b",
        "tcp/routers/r/rule": "x",
        "tcp/routers/r/tls/passthrough": "false",
    }


def test_nothing_but_the_anchor_stands_for_no_routes() -> None:
    """An empty document is the anchor alone, and the anchor alone is an empty document."""
    assert to_key_values({}) == ANCHOR
    assert from_key_values(ANCHOR) == {}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.parent.name)
def test_document_is_read_back_from_its_pairs(case: Path) -> None:
    """KeyValues hold all that a golden document says, kinds of values included."""
    document = from_text(case.read_text())
    assert from_key_values(to_key_values(document)) == document


@pytest.mark.parametrize("name", ["true", "0", "8080", "a-1"])
def test_entrypoint_stays_a_text(name: str) -> None:
    """The name of an entrypoint that looks like a number or a flag is read back as a name."""
    document = render({f"_{name}_http_80._tcp.a.example.com": "100.64.0.1"}).document
    plain = from_text(to_plain_text(document))
    assert from_key_values(to_key_values(plain)) == plain


@pytest.mark.parametrize("name", ["true", "2024"])
def test_resolver_stays_a_text(name: str) -> None:
    """The name of a resolver that looks like a number or a flag is read back as a name."""
    router = {"rule": "x", "priority": 7, "tls": {"certResolver": name, "passthrough": True}}
    document = {"tcp": {"routers": {"r": router}}}
    assert from_key_values(to_key_values(document)) == document


def test_empty_text_is_not_an_empty_value() -> None:
    """Traefik's providers pass over a key without a value, so a space stands for nothing."""
    document = {"http": {"middlewares": {"m": {"headers": {"customRequestHeaders": {"X": ""}}}}}}
    pairs = to_key_values(document)
    assert pairs["http/middlewares/m/headers/customRequestHeaders/X"] == " "
    assert from_key_values(pairs) == document


def test_text_of_what_stands_is_the_text_of_what_was_written() -> None:
    """A document that went through pairs says the same, in whatever order of its fields."""
    document = render(hosts("abc")).document
    text = to_plain_text(from_key_values(to_key_values(document)))
    assert to_plain_text(from_key_values(to_key_values(from_text(text)))) == text
    assert from_text(text) == document


def test_long_list_keeps_its_order() -> None:
    """More than ten items, whose indexes as text are in another order, are read back as a list."""
    document = {"http": {"routers": {"r": {"entryPoints": [f"e{number}" for number in range(12)]}}}}
    assert from_key_values(to_key_values(document)) == document


@pytest.mark.parametrize("indexes", ["1", "02", "12", "013"])
def test_list_with_a_gap_is_none(indexes: str) -> None:
    """What others have removed from a list shows as what it is: a map of some indexes."""
    pairs = {f"http/routers/r/entryPoints/{index}": "web" for index in indexes}
    found = from_key_values(pairs)["http"]["routers"]["r"]["entryPoints"]
    assert found == dict.fromkeys(indexes, "web")


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["0", "1", "2", "a", "http"]), min_size=1).map("/".join), st.text()
    )
)
def test_pairs_from_other_hands_are_read_somehow(pairs: dict[str, str]) -> None:
    """No pairs that others leave below the root make reading fail."""
    from_text(to_plain_text(from_key_values(pairs)))


def test_difference_touches_only_what_differs() -> None:
    """Missing and different values are set, owned paths that are not wanted go, no other."""
    standing = {"same": "1", "other": "2", "gone": None}
    wanted = {"same": "1", "other": "3", "gone": "4"}
    found = difference(standing, {"same", "stale"}, wanted)
    assert found == Difference({"other": "3", "gone": "4"}, ("stale",))
    assert not difference(wanted, {"same"}, wanted)


def test_digest_is_of_the_content_not_of_its_order() -> None:
    """Two watches with the same pairs agree; a value moved to another path is something else."""
    assert digest({"a": "1", "b": "2"}) == digest({"b": "2", "a": "1"})
    assert digest({"a": "1", "b": "2"}) != digest({"a": "2", "b": "1"})


def test_rules_to_hold_back_are_those_of_protected_routers() -> None:
    """New or changed rules beside middlewares or TLS options; no rule that stays, and no other."""
    wanted = {
        "http/middlewares/m/addPrefix/prefix": "/",
        "http/routers/a/middlewares/0": "m",
        "http/routers/a/rule": "x",
        "http/routers/b/rule": "x",
        "http/routers/b/tls/certResolver": "r",
        "http/routers/c/middlewares/0": "m",
        "http/routers/c/rule": "x",
        "http/routers/d/rule": "x",
        "http/routers/d/tls/options": "o",
        "tcp/routers/e/middlewares/0": "m",
        "tcp/routers/e/rule": "x",
    }
    changed = {path: value for path, value in wanted.items() if "/c/" not in path}
    rules = {"http/routers/a/rule", "http/routers/d/rule", "tcp/routers/e/rule"}
    assert find_guarded(changed, wanted) == rules
