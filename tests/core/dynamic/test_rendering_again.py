"""A rendering that uses the previous one: the same as from nothing, and only new parts are made."""

from __future__ import annotations

from types import ModuleType
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import FULL

from ctsdns_traefik.core.access.model import Access
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic import document, rendering
from ctsdns_traefik.core.dynamic.diff import Outline, outline
from ctsdns_traefik.core.dynamic.document import Format
from ctsdns_traefik.core.dynamic.rendering import Basis, Rendering, render

NAMES = st.builds(
    "{}_{}_{}_{}._{}.{}".format,
    st.sampled_from(["_", "_", "_", "_", ""]),
    st.sampled_from(["web", "web", "ws", "web-http-80"]),
    st.sampled_from(["http", "http", "https", "tls", "ssh", "htp"]),
    st.sampled_from(["80", "80", "443", "0"]),
    st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    st.sampled_from(["a.b.de", "aa.b.de", "*.b.de"])
    | st.sampled_from(
        [
            *("a.b.de", "a-b.de", "a.b-de", "aa.b.de", "*.b.de", "wildcard.b.de", "x.y.de"),
            *("a.b.de-web", "a-b-de-ssh", "*", "*.de", "A.b.de.", "b\u00fc.de"),
        ]
    ),
)
"""From pools so small that names clash, conflicts come and go, and wildcards meet their names."""
ADDRESSES = st.sampled_from(["100.64.0.1", "100.64.0.2", "fd7a::1", "100.64.0.0/10"])
VALUES = ADDRESSES | ADDRESSES | st.sampled_from([True, 1.0, 1, [], {"a": 1}])
Settings = tuple[Format, Access | None]
Step = tuple[dict[str, Any], Settings]
"""Entries to set, ``None`` for those to remove, and how to render the result."""

DEFINED = """\
forwardAuth: {oidc: {address: "http://127.0.0.1:4181"}}
clientAuth: {home: {caFiles: [ca.pem]}}
"""
ACCESS_FILES = [
    None,
    read_access("default: {access: tailscale-only}"),
    read_access("routes: {a.b.de: {balance: true}, '*.b.de': {balance: true, sticky: true}}"),
    read_access(
        f"{DEFINED}routes:\n"
        "  a.b.de: {access: mtls-strict, clientAuth: home}\n"
        "  '*.b.de': {access: tailscale-bypass, forwardAuth: oidc}\n"
        "  x.y.de: {backend: {serverName: z.de}, acmeChallenge: {entryPoint: web, port: 80}}\n"
        "dashboard: {domain: aa.b.de, entryPoint: web, access: tailscale-only}\n"
    ),
    read_access(
        "tailnet: {entryPoints: [ws]}\n"
        "routes:\n"
        "  '*.b.de': {access: tailscale-only, balance: true, healthCheck: {interval: 9s}}\n"
        "  a.b.de: {access: public, balance: true, sticky: true}\n"
        "  aa.b.de: {access: public}\n"
        "raw: {web: {access: tailscale-only, balance: true}, ws: {healthCheck: {interval: 9s}}}\n"
    ),
]
SETTINGS = st.tuples(st.sampled_from(get_args(Format)), st.sampled_from(ACCESS_FILES))


@st.composite
def sequences(draw: st.DrawFn) -> list[Step]:
    """Draw steps over a few entries that are added, changed and removed."""
    names = st.sampled_from(draw(st.lists(NAMES, min_size=2, max_size=8, unique=True)))
    edits = st.dictionaries(names, st.none() | VALUES, min_size=1, max_size=4)
    one = draw(SETTINGS)
    steps = st.tuples(edits, draw(st.sampled_from([SETTINGS, st.just(one)])))
    return draw(st.lists(steps, min_size=2, max_size=8))


@given(sequences())
@settings(max_examples=2_000 if FULL else 150)
def test_edits_give_the_same_as_from_nothing(steps: list[Step]) -> None:
    """Text, routes, diagnostics, warnings and outline do not depend on what came before."""
    hosts: dict[str, Any] = {}
    basis: Basis | None = None
    before: Outline = {}
    for edit, settings_of_step in steps:
        hosts = {name: value for name, value in (hosts | edit).items() if value is not None}
        again = render(hosts, *settings_of_step, basis)
        assert compared(again) == compared(render(hosts, *settings_of_step))
        before, basis = outline(again.document, again.fresh, before), again.basis
        assert before == outline(again.document)


WILDCARD, NAME = "_web_http_80._tcp.*.b.de", "_web_http_80._tcp.a.b.de"
FIRST, SECOND = "_tls1_tls_443._tcp.x.y.de", "_tls2_tls_443._tcp.x.y.de"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([WILDCARD], [WILDCARD, NAME], id="name-below-a-wildcard-comes"),
        pytest.param([WILDCARD, NAME], [WILDCARD], id="name-below-a-wildcard-goes"),
        pytest.param([FIRST, SECOND], [SECOND], id="first-with-a-challenge-goes"),
        pytest.param([SECOND], [FIRST, SECOND], id="another-with-a-challenge-comes"),
    ],
)
def test_what_depends_on_other_entries_is_protected_anew(
    before: list[str], after: list[str]
) -> None:
    """A wildcard's routers depend on the names below it, a challenge's on other challenges."""
    access = ACCESS_FILES[-1]
    basis = render(dict.fromkeys(before, "100.64.0.1"), access=access).basis
    hosts = dict.fromkeys(after, "100.64.0.1")
    again = render(hosts, access=access, previous=basis)
    assert compared(again) == compared(render(hosts, access=access))


def compared(result: Rendering) -> tuple[object, ...]:
    """Return what a rendering is for, without what only the next one needs."""
    return result._replace(fresh={}, basis=None)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is read, made and written."""
    calls: list[str] = []

    def record(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        def recording(value: object) -> object:
            calls.append(name)
            return function(value)

        monkeypatch.setattr(module, name, recording)

    record(rendering, "make_route")
    record(document, "_router")
    record(document, "_service")
    return calls


def test_only_what_is_new_is_made(made: list[str]) -> None:
    """One edited entry among many costs one route, and the rows of its router and service."""
    hosts = {f"_web_http_80._tcp.a{number}.de": "100.64.0.1" for number in range(100)}
    first = render(hosts)
    assert made.count("make_route") == made.count("_router") == made.count("_service") == 100
    made.clear()
    second = render(hosts | {"_web_http_80._tcp.a7.de": "100.64.0.2"}, previous=first.basis)
    assert made == ["make_route", "_router", "_service"]
    made.clear()
    render(dict(reversed(hosts.items())), previous=first.basis)
    assert made == []
    assert second.text != first.text
