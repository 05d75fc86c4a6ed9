"""What one document changes about another."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.dynamic.diff import Changes, compare, outline
from ctsdns_traefik.core.dynamic.document import Document, find_fresh, from_text


def document_of(*, app: str = "", db: str = "", shell: str = "") -> Document:
    """Make a document with a router for each backend that is given."""
    http = {"app": app} if app else {}
    tcp = {name: backend for name, backend in (("db", db), ("shell", shell)) if backend}
    return {
        section: {
            "routers": {name: {"service": f"service-{name}"} for name in backends},
            "services": {f"service-{name}": {"to": backend} for name, backend in backends.items()},
        }
        for section, backends in (("http", http), ("tcp", tcp))
        if backends
    }


def routers(count: int) -> Document:
    """Make a document with as many routers."""
    return {"http": {"routers": {f"router-{number}": {"rule": "x"} for number in range(count)}}}


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        pytest.param({}, {}, Changes((), (), (), 0), id="nothing"),
        pytest.param(
            document_of(app="a"), document_of(app="a"), Changes((), (), (), 1), id="the-same"
        ),
        pytest.param(
            {},
            document_of(db="a", app="a", shell="a"),
            Changes(("app", "db", "shell"), (), (), 0),
            id="added",
        ),
        pytest.param(
            {
                "tcp": {"routers": {"b": {"rule": "x"}, "a": {"rule": "x"}}},
                "http": {"routers": {"d": {"rule": "x"}, "c": {"rule": "x"}}},
            },
            {},
            Changes((), (), ("c", "d", "a", "b"), 4),
            id="removed-and-sorted-http-before-tcp",
        ),
        pytest.param(
            document_of(app="a", shell="a"),
            document_of(app="b", db="a"),
            Changes(("db",), ("app",), ("shell",), 2),
            id="changed-in-its-service-alone",
        ),
        pytest.param(
            {"http": {"routers": {"a": {"rule": "x"}}}},
            {"http": {"routers": {"a": {"rule": "y"}}}},
            Changes((), ("a",), (), 1),
            id="changed-in-its-router-alone",
        ),
        pytest.param(
            {"http": {"routers": {"a": {"rule": "x"}}}},
            {"tcp": {"routers": {"a": {"rule": "x"}}}},
            Changes(("a",), (), ("a",), 1),
            id="same-name-in-the-other-section",
        ),
        pytest.param(
            {"http": {"services": {"a": {"x": 1}}}}, {}, Changes((), (), (), 0), id="only-services"
        ),
        pytest.param(
            {"http": {"routers": {"a": {"service": ["x"]}}}},
            {"http": {"routers": {"a": {"service": "x"}}}},
            Changes((), ("a",), (), 1),
            id="service-that-is-no-name",
        ),
    ],
)
def test_changes_between_documents(old: Document, new: Document, changes: Changes) -> None:
    """Routers are identified by section and name; one has changed if it or its service has."""
    assert compare(outline(old), outline(new)) == changes
    assert outline(new, find_fresh(new, old), outline(old)) == outline(new)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("http: {routers: {1: {rule: a}, b: {rule: c}}}", id="numbers-as-names"),
        pytest.param("http: {routers: {~: {rule: a}, b: {rule: c}}}", id="null-as-a-name"),
        pytest.param("http: {routers: {true: {rule: a}, b: {rule: c}}}", id="true-as-a-name"),
        pytest.param("&a {http: {routers: {b: {c: *a}}}}", id="map-in-itself"),
    ],
)
def test_file_from_other_hands_can_be_compared(text: str) -> None:
    """Whatever names a file has, what replaces it can be told: a route more."""
    changes = compare(outline(from_text(text)), outline(document_of(app="a")))
    assert (changes.added, changes.changed) == (("app",), ())


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        pytest.param(3, 0, False, id="all-of-three"),
        pytest.param(4, 2, False, id="half-of-four"),
        pytest.param(4, 1, True, id="more-than-half-of-four"),
        pytest.param(5, 3, False, id="less-than-half-of-five"),
        pytest.param(5, 2, True, id="more-than-half-of-five"),
        pytest.param(100, 0, True, id="all-of-many"),
        pytest.param(4, 8, False, id="none-at-all"),
        pytest.param(0, 0, False, id="none-there"),
    ],
)
def test_removal_that_the_guard_holds(before: int, after: int, held: bool) -> None:
    """To lose more than half of at least four routers is held."""
    assert compare(outline(routers(before)), outline(routers(after))).exceeds_guard is held


def test_additions_do_not_make_up_for_removals() -> None:
    """Routers that go count, however many come."""
    others: Document = {"tcp": routers(10)["http"]}
    assert compare(outline(routers(4)), outline(others)).exceeds_guard is True
