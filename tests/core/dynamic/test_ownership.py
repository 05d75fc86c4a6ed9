"""Which contents of a file are this tool's, and what is set about the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core.access.test_access_apply import DASHBOARD, DEFINED, ENTRY_NAMES, ROUTES
from core.test_cases import CASES
from core.test_properties import ANY_HOSTS, FILES, FORMATS, GOOD_HOSTS
from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import FULL

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.document import Format, from_text, to_text
from ctsdns_traefik.core.dynamic.ownership import examine
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.problems import LocatedError

ADDRESSES = ("100.64.0.1", "100.64.0.2")


def foreign(text: str) -> str:
    """Return what in a text is not this tool's."""
    return examine(text.encode()).foreign


@pytest.mark.parametrize("form", FORMATS)
@given(hosts=ANY_HOSTS | GOOD_HOSTS)
def test_every_rendering_is_recognized(form: Format, hosts: dict[str, Any]) -> None:
    """Whatever the hosts, what is written for them is this tool's, in either format."""
    rendering = render(hosts, form)
    assert examine(rendering.text.encode()) == (from_text(rendering.text), "")


@settings(max_examples=1000 if FULL else 100, deadline=None)
@given(
    hosts=st.dictionaries(ENTRY_NAMES, st.sampled_from(ADDRESSES), max_size=10),
    routes=ROUTES,
    more=st.sampled_from(["", DASHBOARD]),
)
def test_every_rendering_with_an_access_file_is_recognized(
    hosts: dict[str, str], routes: dict[str, Any], more: str
) -> None:
    """The routers, services and definitions that an access file brings are this tool's, too."""
    try:
        access = read_access(f"{DEFINED}routes: {routes}\n{more}")
    except LocatedError:
        return
    assert foreign(render(hosts, access=access).text) == ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_file_of_every_case_is_recognized(case: Path) -> None:
    """The golden files, which earlier versions wrote as well, are this tool's."""
    assert foreign((case / "dynamic.yml").read_text("utf-8")) == ""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("\n \n", id="line-ends"),
        pytest.param("{}\n", id="no-sections"),
        pytest.param("# written by hand\n", id="comment-alone"),
        pytest.param("null\n", id="null"),
        pytest.param("http:\n", id="section-of-nothing"),
        pytest.param("http: {routers: {}, services: }\ntls: {}\n", id="maps-of-nothing"),
    ],
)
def test_empty_content_is_not_foreign(text: str) -> None:
    """A file that says nothing has nothing to lose."""
    assert foreign(text) == ""


DOCUMENTED_DASHBOARD = "Host(`a.b`) && (PathPrefix(`/api`) || PathPrefix(`/dashboard`))"


def with_router(name: str, **fields: Any) -> str:
    """Return a document with one router of this tool's, but for some fields."""
    router = {"rule": "Host(`a.b.de`)", "service": "service-a-b-de-http-80", **fields}
    return json.dumps({"http": {"routers": {name: router}}})


def with_name(section: str, part: str, name: str) -> str:
    """Return a document with one name."""
    return json.dumps({section: {part: {name: {"x": 1}}}})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            "entryPoints: {web: {address: ':80'}}", 'the section "entryPoints"', id="static"
        ),
        pytest.param('{"hosts": {"a": "100.64.0.1"}}', 'the section "hosts"', id="policy"),
        pytest.param("udp: {routers: {a: {}}}", '"a" in udp.routers', id="udp-router"),
        pytest.param("udp: {middlewares: {}}", 'the section "udp.middlewares"', id="udp-map"),
        pytest.param("1: 2", 'the section "1"', id="number-as-a-name"),
        pytest.param("http: {x: {}}", 'the section "http.x"', id="unknown-map"),
        pytest.param(
            "tls: {certificates: []}", 'the section "tls.certificates"', id="certificates"
        ),
        pytest.param(with_router("app"), '"app" in http.routers', id="router"),
        pytest.param(
            with_router("router-app", service="app@docker"),
            '"router-app" in http.routers',
            id="router-to-another-service",
        ),
        pytest.param(
            with_router("router-app", service=None), '"router-app" in http.routers', id="no-service"
        ),
        pytest.param(
            '{"http": {"routers": {"router-app": 1}}}',
            '"router-app" in http.routers',
            id="no-router",
        ),
        pytest.param(
            with_router("dashboard", rule=DOCUMENTED_DASHBOARD, service="api@internal"),
            '"dashboard" in http.routers',
            id="dashboard-as-traefik-documents-it",
        ),
        pytest.param(
            with_router("dashboard", rule="PathPrefix(`/`) || Host(`a`)", service="api@internal"),
            '"dashboard" in http.routers',
            id="dashboard-by-hand",
        ),
        pytest.param(with_name("http", "services", "a"), '"a" in http.services', id="service"),
        pytest.param(
            with_name("http", "services", "service-app"),
            '"service-app" in http.services',
            id="no-port",
        ),
        pytest.param(
            with_name("http", "services", f"service-{'a' * 1100}-80"),
            f'"service-{"a" * 389}..." in http.services',
            id="longer-than-any",
        ),
        pytest.param(
            with_name("http", "middlewares", "auth"), '"auth" in http.middlewares', id="middleware"
        ),
        pytest.param(
            with_name("http", "middlewares", "access-tailnet-2"),
            '"access-tailnet-2" in http.middlewares',
            id="almost-a-middleware",
        ),
        pytest.param(
            with_name("http", "serversTransports", "a"),
            '"a" in http.serversTransports',
            id="transport",
        ),
        pytest.param(with_name("tcp", "middlewares", "a"), '"a" in tcp.middlewares', id="tcp"),
        pytest.param(
            with_name("tls", "options", "default"), '"default" in tls.options', id="options"
        ),
        pytest.param("http: text", "a section http that is not a map", id="text-for-a-section"),
        pytest.param(
            "http: {routers: [a]}", "a section http.routers that is not a map", id="list-for-a-map"
        ),
        pytest.param("[]", "something other than a map of sections", id="list"),
        pytest.param("text", "something other than a map of sections", id="text"),
        pytest.param('// x\n{"a": 1,}', "text that is neither JSON nor YAML", id="commented-json"),
        pytest.param("[http]\n  [http.routers]\n", "text that is neither JSON nor YAML", id="toml"),
        pytest.param('{{ env "HOME" }}', "text that is neither JSON nor YAML", id="template"),
        pytest.param("{}\n---\na: 1\n", "text that is neither JSON nor YAML", id="two-documents"),
        pytest.param(
            '{"http": {"routers": {"mine": {}}}, "http": {}}',
            "text that is neither JSON nor YAML",
            id="one-name-twice",
        ),
    ],
)
def test_what_is_foreign_is_named(text: str, found: str) -> None:
    """The first thing that this tool would not write is found, and named for its owner."""
    assert foreign(text) == found


def test_foreign_beside_own_is_found() -> None:
    """One route of somebody's among many of this tool's is enough."""
    document = json.loads(render({"_w_http_80._tcp.a.b.de": "100.64.0.1"}).text)
    document["http"]["routers"]["z"] = document["http"]["routers"]["router-a-b-de"]
    assert foreign(to_text(document)) == '"z" in http.routers'


def test_bytes_that_are_no_text() -> None:
    """What is not UTF-8 is no document of this tool."""
    assert examine(b"\xff\xfe") == ({}, "bytes that are not UTF-8 text")


@given(FILES)
def test_any_text_is_own_or_foreign(text: str) -> None:
    """No content crashes, what is foreign is reported in one line, and the document is as ever."""
    found = examine(text.encode("utf-8", "replace"))
    assert found.foreign.isprintable()
    assert len(found.foreign) < 400


@pytest.mark.parametrize(
    ("old", "new"),
    [("0.1:80", "0.2:80"), ('["web"]', '["web", "x"]'), ("Host(`a", "Host(`z")],
    ids=["backend", "entrypoint", "rule"],
)
def test_edited_values_leave_it_own(old: str, new: str) -> None:
    """A value that somebody has edited is no reason to refuse a file with this tool's names."""
    text = render({"_web_http_80._tcp.a.b.de": "100.64.0.1"}).text
    assert old in text
    assert foreign(text.replace(old, new)) == ""
