"""The text of a file, written by this tool or by other hands, back to a document."""

from __future__ import annotations

from typing import get_args

import pytest

from ctsdns_traefik.core.dynamic.document import (
    Document,
    Format,
    build_document,
    from_text,
    to_text,
)
from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts


@pytest.mark.parametrize("form", get_args(Format))
def test_text_is_read_back(form: Format) -> None:
    """What is written in either format comes back the same."""
    hosts = {
        "_web_http_80._tcp.*.de": "100.64.0.1",
        "_web_http_80._tcp.a.de": "fd7a:115c:a1e0::1",
        "_tcp_tls_443._tcp.app.de": "100.64.0.1",
    }
    document = build_document(plan_routes(read_hosts(hosts).entries).routes)
    assert from_text(to_text(document, form)) == document


@pytest.mark.parametrize(
    ("text", "document"),
    [
        *(
            pytest.param(text, {}, id=case)
            for text, case in [
                ("", "empty"),
                ("# nothing here\n", "comment"),
                ("null", "null"),
                ("[]", "list"),
                ("3", "number"),
                ('"text"', "text"),
                ("{{", "template"),
                ('{{ env "HOME" }}', "template-action"),
                ("http: [", "cut-off-yaml"),
                ('{"http": {', "cut-off-json"),
                ("a: b: c", "bad-yaml"),
                ("\ta: b", "tab"),
                ("a: 1\na: 2", "duplicate-key"),
                ("? [a]\n: b", "list-as-a-key"),
                ("a: *b", "undefined-alias"),
                ("a\n---\nb", "two-documents"),
                ("!!python/object:os.system x", "foreign-tag"),
                ('!!int ""', "empty-integer"),
                ("!!bool perhaps", "no-boolean"),
                ("2001-99-99", "no-date"),
                ("\x00\x07", "control-characters"),
                ("\ud800", "lone-surrogate"),
                ("[" * 1_100, "deep-lists"),
                ('{"a":' * 1_100, "deep-objects"),
                ("9" * 5000, "huge-number"),
                ('{"plugins": {"routers": {"a": {"b": 1}}}}', "section-of-no-interest"),
                ("[http]\n[http.routers]\n", "toml"),
            ]
        ),
        pytest.param('{"http": null, "tcp": []}', {}, id="no-sections"),
        pytest.param(
            '{"http": {"routers": null, "services": [], "models": {"a": {"b": 1}}}}',
            {"http": {}},
            id="no-maps-of-interest",
        ),
        pytest.param(
            '{"http": {"routers": {"a": null, "b": [], "c": 1, "d": {"rule": 2}}}}',
            {"http": {"routers": {"d": {"rule": 2}}}},
            id="names-without-a-map",
        ),
        pytest.param(
            "http:\n  services: {a: {b: 1}}\ntcp: 3\n",
            {"http": {"services": {"a": {"b": 1}}}},
            id="edited-by-hand",
        ),
    ],
)
def test_text_from_other_hands(text: str, document: Document) -> None:
    """Whatever is in the file, only maps by name in maps of routers and services come back."""
    assert from_text(text) == document


def test_name_that_is_no_text_is_left_out() -> None:
    """YAML allows numbers and null for names; this tool writes none of them, and reads none."""
    text = "http:\n  routers:\n    1: {rule: a}\n    b: {rule: c}\n    ~: {rule: d}\n"
    assert from_text(text) == {"http": {"routers": {"b": {"rule": "c"}}}}
