"""A document beside what Traefik's API lists: which routers it serves, in values alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.dynamic.served import (
    Listed,
    RouterError,
    Verdict,
    errors_of,
    judge,
    kinds_of,
    routers_of,
)

ENABLED = {"status": "enabled"}

DOCUMENT: dict[str, Any] = {
    "http": {
        "routers": {
            "a": {
                "rule": "Host(`a`)",
                "service": "s",
                "entryPoints": ["web"],
                "middlewares": ["in", "out@docker"],
                "priority": 5,
                "tls": {"options": "strict"},
            },
            "b": {"rule": "Host(`b`)", "service": "api@internal", "entryPoints": ["web"]},
        },
        "services": {"s": {"loadBalancer": {"servers": [{"url": "http://1"}]}}},
    },
    "tcp": {
        "routers": {"t": {"rule": "HostSNI(`t`)", "service": "s", "tls": {"passthrough": True}}},
        "services": {"s": {"loadBalancer": {"servers": [{"address": "1:1"}]}}},
    },
}

A: dict[str, Any] = {
    "rule": "Host(`a`)",
    "service": "s",
    "entryPoints": ["web"],
    "middlewares": ["front@file", "in@file", "out@docker"],
    "priority": 5,
    "tls": {"options": "strict", "certResolver": "le"},
    **ENABLED,
}
S: dict[str, Any] = {
    "loadBalancer": {"servers": [{"url": "http://1", "weight": 1}], "strategy": "wrr"},
    **ENABLED,
}

LISTED: dict[str, dict[str, Any]] = {
    "http/routers": {
        "a": A,
        "b": {
            "rule": "Host(`b`)",
            "service": "api@internal",
            "entryPoints": ["web"],
            "priority": 9,
            **ENABLED,
        },
        "somebody-else": {"rule": "Host(`c`)", **ENABLED},
    },
    "http/services": {"s": S},
    "tcp/routers": {
        "t": {
            "rule": "HostSNI(`t`)",
            "service": "s",
            "entryPoints": ["x"],
            "tls": {"passthrough": True},
            **ENABLED,
        }
    },
    "tcp/services": {"s": {"loadBalancer": {"servers": [{"address": "1:1"}]}, **ENABLED}},
}


def but(kind: str, name: str, **fields: Any) -> Mapping[str, Listed]:
    """Return the lists with one item changed."""
    return {**LISTED, kind: {**LISTED[kind], name: {**LISTED[kind][name], **fields}}}


def without(kind: str, name: str) -> Mapping[str, Listed]:
    """Return the lists with one item left out."""
    return {**LISTED, kind: {key: item for key, item in LISTED[kind].items() if key != name}}


def test_all_is_served_as_written() -> None:
    """What Traefik adds by itself, and what others have there, does not matter."""
    verdict = judge(DOCUMENT, LISTED)
    assert verdict == Verdict(3)
    assert (verdict.good, verdict.settled, verdict.loaded) == (True, True, 3)


@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        pytest.param({}, ("a", "b", "t"), id="nothing"),
        pytest.param(without("http/routers", "a"), ("a",), id="router"),
        pytest.param(without("tcp/routers", "t"), ("t",), id="tcp-router"),
        pytest.param(without("http/services", "s"), ("a",), id="service"),
        pytest.param(but("http/routers", "a", rule="Host(`z`)"), ("a",), id="rule"),
        pytest.param(but("http/routers", "a", service="z"), ("a",), id="service-named"),
        pytest.param(but("http/routers", "a", entryPoints=["z"]), ("a",), id="entrypoint"),
        pytest.param(but("http/routers", "a", priority=6), ("a",), id="priority"),
        pytest.param(but("http/routers", "a", middlewares=["in@file"]), ("a",), id="middleware"),
        pytest.param(but("http/routers", "a", middlewares=None), ("a",), id="no-middlewares"),
        pytest.param(but("http/routers", "a", tls={"options": "z"}), ("a",), id="tls-options"),
        pytest.param(but("http/routers", "a", tls=None), ("a",), id="no-tls"),
        pytest.param(but("tcp/routers", "t", tls={"passthrough": False}), ("t",), id="passthrough"),
        pytest.param(
            but("http/services", "s", loadBalancer={"servers": [{"url": "http://2"}]}),
            ("a",),
            id="backend",
        ),
        pytest.param(
            but(
                "http/services", "s", loadBalancer={"servers": [*S["loadBalancer"]["servers"], {}]}
            ),
            ("a",),
            id="a-backend-more",
        ),
        pytest.param(but("http/services", "s", loadBalancer={}), ("a",), id="no-servers"),
        pytest.param(but("http/services", "s", loadBalancer=None), ("a",), id="other-service"),
    ],
)
def test_former_router_is_not_the_written_one(
    listed: Mapping[str, Listed], missing: tuple[str, ...]
) -> None:
    """A router that is listed otherwise than it was written, or with another service, is old."""
    verdict = judge(DOCUMENT, listed)
    assert verdict == Verdict(3, missing=missing)
    assert (verdict.good, verdict.settled, verdict.loaded) == (False, False, 3 - len(missing))


@pytest.mark.parametrize(
    ("listed", "objection"),
    [
        pytest.param(
            but("http/routers", "a", status="disabled", error=["one", "two\n"]),
            RouterError("a", "one; two\\n"),
            id="router",
        ),
        pytest.param(
            but("http/services", "s", status="disabled", error=["no"]),
            RouterError("a", "no"),
            id="service",
        ),
        pytest.param(
            but("tcp/routers", "t", status="warning"),
            RouterError("t", "Traefik says only: warning"),
            id="no-words",
        ),
    ],
)
def test_what_traefik_has_against_a_router(
    listed: Mapping[str, Listed], objection: RouterError
) -> None:
    """A router as written, with anything but the status enabled, is an objection in its words."""
    verdict = judge(DOCUMENT, listed)
    assert verdict == Verdict(3, errors=(objection,))
    assert (verdict.good, verdict.settled, verdict.loaded) == (False, True, 2)


def test_removed_routers_have_to_go() -> None:
    """Of the routers that are no longer written, those that are still listed linger."""
    gone = {("http", "somebody-else"), ("http", "away"), ("tcp", "away")}
    verdict = judge(DOCUMENT, LISTED, gone)
    assert verdict == Verdict(3, lingering=("somebody-else",))
    assert (verdict.good, verdict.settled) == (False, False)


def test_other_provider() -> None:
    """Names of middlewares are completed by the provider that the document comes from."""
    listed = but("http/routers", "a", middlewares=["in@redis", "out@docker"])
    assert judge(DOCUMENT, listed, provider="redis").good
    assert not judge(DOCUMENT, listed).good


def test_only_the_lists_that_matter_are_needed() -> None:
    """Lists of a protocol are asked for if there are routers of it, or were."""
    http = {"http": DOCUMENT["http"]}
    assert kinds_of(http, ()) == ("http/routers", "http/services")
    assert kinds_of(http, {("tcp", "t")}) == ("http/routers", "http/services", "tcp/routers")
    assert kinds_of({}, ()) == ()
    assert list(routers_of(DOCUMENT)) == [("http", "a"), ("http", "b"), ("tcp", "t")]


def test_documents_of_our_own_and_of_others() -> None:
    """The lazy document of a rendering is judged like any, and other hands break nothing."""
    own = render({"_web_http_80._tcp.a.example.com": "100.64.0.1"}).document
    assert judge(own, {}) == Verdict(1, missing=("router-a-example-com",))
    strange: dict[str, Any] = {
        "http": {"routers": {"x": {"tls": True, "middlewares": 5}}, "services": {"x": {}}}
    }
    assert judge(strange, {"http/routers": {"x": ENABLED}}) == Verdict(1)


def test_errors_are_reported_once() -> None:
    """What a router and its service say alike is logged once."""
    flawed = {"status": "disabled", "error": ["no", "no"]}
    assert errors_of([flawed, ENABLED, flawed]) == ["no"]


@pytest.mark.parametrize(
    ("listed", "good"),
    [
        pytest.param(
            {"path": "/x", "interval": "9s", "timeout": "5s", "mode": "http"}, True, id="it"
        ),
        pytest.param({"path": "/x", "interval": "8s", "timeout": "5s"}, False, id="former"),
        pytest.param(None, False, id="none"),
    ],
)
def test_health_check_is_compared(listed: object, good: bool) -> None:
    """A service with the same servers and another health check is not the written one."""
    balancer = {"servers": [{"url": "http://1"}]}
    check = {"path": "/x", "interval": "9s", "timeout": "5s"}
    router = {"rule": "Host(`a`)", "service": "s", "entryPoints": ["web"]}
    written: Any = {
        "http": {
            "routers": {"a": router},
            "services": {"s": {"loadBalancer": {**balancer, "healthCheck": check}}},
        }
    }
    there: Any = {
        "http/routers": {"a": {**router, **ENABLED}},
        "http/services": {"s": {"loadBalancer": {**balancer, "healthCheck": listed}, **ENABLED}},
    }
    assert judge(written, there).good == good
