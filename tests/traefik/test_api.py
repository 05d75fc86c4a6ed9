"""Traefik's API as a client meets it: its pages, its faults, and whom it tells a password."""

from __future__ import annotations

import json
import logging
import time
from base64 import b64encode
from typing import Any

import pytest
from local import free_ports, until
from support.certificates import Authority
from support.endpoints import (
    Script,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    sending,
    trickling,
    unanswering,
)
from support.paths import ROOT

from ctsdns_traefik.core.dynamic.served import RouterError, Verdict
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.events import Event, TraefikAnswered, TraefikNotAnswering
from ctsdns_traefik.daemon.verifier import Patience, Verifier
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.traefik import api
from ctsdns_traefik.traefik.api import ApiError, TraefikApi, traefik_api_from

JSON = "application/json"

HASTY = Patience(
    loading=2.0, per_router=0.0, objections=0.3, failures=0.3, first_pause=0.02, longest_pause=0.1
)
LASTING = HASTY._replace(loading=60.0, objections=60.0, failures=60.0)
"""For what is found good in the end, however busy the machine is."""


def listing(*items: Any, following: int = 1) -> Script:
    """Return a script that answers with one page."""
    body = json.dumps(items).encode()
    return answering("200 OK", body, Content_Type=JSON, X_Next_Page=str(following))


def router(name: str, **fields: Any) -> dict[str, Any]:
    """Return a router as Traefik lists it."""
    return {"name": f"{name}@file", "provider": "file", "status": "enabled", **fields}


def api_at(server: ScriptedEndpoint, path: str = "", user: str = "") -> TraefikApi:
    """Return the API at a server."""
    url = server.url.removesuffix("/api/config").replace("://", f"://{user}")
    return traefik_api_from(url + path)


def test_pages_of_one_provider_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are read; what other providers have is left out."""
    monkeypatch.setattr(api, "PER_PAGE", 2)
    pages = [
        listing(router("a"), {"name": "api@internal"}, following=2),
        listing(router("b"), {"name": "b@redis"}),
    ]
    with ScriptedEndpoint(*pages) as server:
        assert api_at(server).read("http/routers", "file") == {
            "a": router("a"),
            "b": router("b"),
        }
    assert [head.split(b" ")[1] for head in server.requests] == [
        b"/api/http/routers?per_page=2&page=1",
        b"/api/http/routers?per_page=2&page=2",
    ]


@pytest.mark.parametrize(
    ("path", "prefix"),
    [("", ""), ("/", ""), ("/dashboard-prefix", "/dashboard-prefix"), ("/a/b/", "/a/b")],
)
def test_prefix_and_password(path: str, prefix: str) -> None:
    """The URL's path stands before /api; its password is sent, and shown nowhere."""
    with ScriptedEndpoint(listing()) as server:
        api = api_at(server, path, "me:s3cr%40t@")
        api.get("/api/version")
    head = server.requests[0].decode()
    assert head.startswith(f"GET {prefix}/api/version HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r")
    assert f"Authorization: Basic {b64encode(b'me:s3cr@t').decode()}\r\n" in head
    assert "s3cr" not in f"{api}"
    assert "me" not in f"{api}"


def test_https(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Certificates are verified, against what the system or SSL_CERT_FILE trusts."""
    with ScriptedEndpoint(listing(), tls=authority.server_context("127.0.0.1")) as server:
        with pytest.raises(ApiError, match="its certificate cannot be trusted"):
            api_at(server).get("/api/version")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
        assert api_at(server).get("/api/version").content == []


def test_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment learns nothing."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    with ScriptedEndpoint(listing()) as server:
        assert api_at(server).get("/api/version").content == []


NOT_TRAEFIK = "its answer is not that of Traefik's API"

FAULTS = [
    pytest.param(
        answering("401 Unauthorized"), "it answers 401: it asks for credentials", id="no-password"
    ),
    pytest.param(answering("404 Not Found"), "it answers 404: no API of Traefik is", id="no-api"),
    pytest.param(answering("500 Oops"), "it answers 500", id="server-error"),
    pytest.param(
        answering("200 OK", b"<html>", Content_Type="text/html; charset=utf-8"),
        "it answers with an HTML page",
        id="html",
    ),
    pytest.param(answering("200 OK", b"{}", Content_Type=JSON), NOT_TRAEFIK, id="no-list"),
    pytest.param(answering("200 OK", b"[5]", Content_Type=JSON), NOT_TRAEFIK, id="no-object"),
    pytest.param(answering("200 OK", b'[{"name":5}]'), NOT_TRAEFIK, id="no-name"),
    pytest.param(answering("200 OK", b"[", Content_Type=JSON), NOT_TRAEFIK, id="no-json"),
    pytest.param(answering("200 OK", b"[" * 100_000), NOT_TRAEFIK, id="deep"),
    pytest.param(answering("200 OK", b"[]", X_Next_Page="x"), NOT_TRAEFIK, id="no-page"),
    pytest.param(sending(b"SSH-2.0\r\n"), "it does not speak HTTP", id="no-http"),
    pytest.param(sending(), "it closed the connection without an answer", id="closed"),
    pytest.param(
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["), "the connection broke|not that",
        id="cut-off",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("script", "reason"), FAULTS)
def test_fault_is_one_line(script: Script, reason: str) -> None:
    """Whatever answers in the place of Traefik's API, one line says what is wrong."""
    with ScriptedEndpoint(script) as server, pytest.raises(ApiError, match=reason) as caught:
        api_at(server).read("http/routers", "file")
    assert "\n" not in str(caught.value)


def test_redirect_is_not_followed() -> None:
    """A password goes to nobody but the one it was given for."""
    with ScriptedEndpoint(listing()) as other:
        moved = answering("302 Found", Location=other.url)
        with ScriptedEndpoint(moved) as server, pytest.raises(ApiError, match="302, a redirect"):
            api_at(server, user="me:s3cret@").get("/api/version")
    assert other.requests == []


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(saying_nothing, "it does not answer within", id="silent"),
        pytest.param(trickling(b"HTTP/1.1 200 OK\r\n\r\n"), "within 0.5 s", id="trickling"),
        pytest.param(
            trickling(b"HTTP/1.1 200 OK\r\nX: "),
            "within 0.5 s",
            id="trickling-head",
        ),
        pytest.param(
            trickling(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
            "within 0.5 s",
            id="trickling-size-of-a-chunk",
        ),
    ],
)
def test_slow_answer_has_an_end(script: Script, reason: str) -> None:
    """Neither silence nor a byte now and then holds the verifier for ever, wherever it comes."""
    with ScriptedEndpoint(script) as server, pytest.raises(ApiError, match=reason):
        api_at(server).get("/api/version", within=0.5)


def test_unanswered_connection_has_an_end() -> None:
    """Nor does a host that takes no connection."""
    with unanswering() as url, pytest.raises(ApiError, match="does not answer within"):
        traefik_api_from(url).get("/api/version", within=0.5)


def test_large_answer_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without end is not kept."""
    monkeypatch.setattr(api, "LARGEST_ANSWER", 1 << 20)

    def flood(connection: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with ScriptedEndpoint(flood) as server, pytest.raises(ApiError, match="larger than 1 MiB"):
        api_at(server).get("/api/version")


def test_pages_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that always has another page is left at some point."""
    monkeypatch.setattr(api, "MOST_PAGES", 3)
    pages = [listing(following=number) for number in range(2, 9)]
    with ScriptedEndpoint(*pages) as server:
        assert api_at(server).read("http/routers", "file") == {}
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3cret", "Traefik's API is not a URL like http://127.0.0.1:8080"),
        ("http://me:s3cret@[::1/", "the URL of Traefik's API has a bad host or port"),
        ("http://me:s3cret@h/ x", "the URL of Traefik's API has a space"),
        ("http://h/?s3cret", "the URL of Traefik's API has a query"),
    ],
)
def test_bad_url(url: str, reason: str) -> None:
    """What is no URL of an API is refused, and not repeated."""
    with pytest.raises(SettingsError, match=reason) as caught:
        traefik_api_from(url)
    assert "s3cret" not in str(caught.value)


class Results:
    """The results that a verifier publishes."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def until(self, number: int) -> list[Verdict | str]:
        """Wait for some results, and return all."""
        until(lambda: len(self.events) >= number, f"only {self.events}")
        return [
            each.verdict if isinstance(each, TraefikAnswered) else str(each) for each in self.events
        ]


def document(*names: str, rule: str = "") -> dict[str, Any]:
    """Return a document with some routers."""
    routers = {name: {"rule": rule or f"Host(`{name}`)"} for name in names}
    return {"http": {"routers": routers}} if names else {}


def served(*names: str, **fields: Any) -> Script:
    """Return a script that lists such routers."""
    return listing(*(router(name, rule=f"Host(`{name}`)", **fields) for name in names))


def begin(server: ScriptedEndpoint, results: Results, patience: Patience = HASTY) -> Verifier:
    """Begin an verifier that has little patience."""
    verifier = Verifier(api_at(server), results.events.append, patience=patience)
    verifier.start()
    return verifier


def test_patience_is_as_documented() -> None:
    """docs/hooks.md says how long it waits for what."""
    logged = (ROOT / "docs" / "hooks.md").read_text()
    usual = Patience()
    assert f"Waiting: {usual.loading:g} s, and {1000 * usual.per_router:g} ms more" in logged
    assert f"objection is believed after {usual.objections:g} s" in logged
    assert f"reported after {usual.failures:g} s" in " ".join(logged.split())


def test_time_to_load_grows_with_the_routes() -> None:
    """Thousands of routes get more time before they are reported as missing."""
    with ScriptedEndpoint(served("a")) as server:
        results = Results()
        patience = HASTY._replace(loading=0.0, per_router=0.6)
        verifier = Verifier(api_at(server), results.events.append, patience=patience)
        verifier.start()
        verifier.verify(document("a", "b"))
        assert results.until(1) == [Verdict(2, missing=("b",))]
        assert len(server.requests) > 2


def test_verifier_waits_until_all_is_loaded() -> None:
    """It asks again while the former routers stand there, and answers once."""
    with ScriptedEndpoint(served(), served("a"), served("a", "b")) as server:
        results = Results()
        begin(server, results, LASTING).verify(document("a", "b"))
        assert results.until(1) == [Verdict(2)]
        assert len(server.requests) == 3


def test_verifier_gives_up_in_the_end() -> None:
    """What is not loaded within its bound is reported as missing."""
    with ScriptedEndpoint(served("a")) as server:
        results = Results()
        begin(server, results).verify(document("a", "b"))
        assert results.until(1) == [Verdict(2, missing=("b",))]
        assert len(server.requests) > 3


def test_objection_of_the_former_document_is_not_believed() -> None:
    """A disabled router may still be what was there before: that takes a moment to believe."""
    bad, good = served("a", status="disabled", error=["no"]), served("a")
    with ScriptedEndpoint(bad, bad, good) as server:
        results = Results()
        begin(server, results, LASTING).verify(document("a"))
        assert results.until(1) == [Verdict(1)]
    with ScriptedEndpoint(bad) as server:
        results = Results()
        begin(server, results).verify(document("a"))
        assert results.until(1) == [Verdict(1, errors=(RouterError("a", "no"),))]


def test_newer_document_takes_the_place_of_an_older() -> None:
    """Nobody waits for the answer about a document that is no longer there."""
    with ScriptedEndpoint(served("b")) as server:
        results = Results()
        verifier = begin(server, results, LASTING)
        verifier.verify(document("a"))
        until(lambda: server.requests, "it did not ask")
        verifier.verify(document("b"))
        assert results.until(1) == [Verdict(1)]


def test_answer_during_which_a_newer_document_came_says_nothing() -> None:
    """It may be about the newer one already, so that it is no verdict of the older."""

    def replace_and_answer(connection: Any) -> None:
        verifier.verify(document("b"))
        served("b")(connection)

    with ScriptedEndpoint(served("a", status="disabled", error=["no"])) as server:
        results = Results()
        verifier = begin(server, results)
        verifier.verify(document("a"))
        results.until(1)
        until(lambda: not verifier._busy, "it still asks")
        server._scripts = [replace_and_answer] * len(server.requests)
        server._scripts += [replace_and_answer, served("b")]
        verifier.verify_again(written=False)
        assert results.until(2)[1:] == [Verdict(1)]


def test_removed_router_has_to_go() -> None:
    """All routers that were asked about before and are written no more have to go."""
    with ScriptedEndpoint(served("a", "b"), served("a", "b"), served("b"), served()) as server:
        results = Results()
        verifier = begin(server, results, LASTING)
        verifier.verify(document("a", "b"))
        results.until(1)
        verifier.verify(document("b"))
        results.until(2)
        assert len(server.requests) == 3
        verifier.verify(document())
        assert results.until(3) == [Verdict(2), Verdict(1), Verdict(0)]


def test_router_of_a_document_that_never_settled_has_to_go() -> None:
    """A router that was written once may be loaded, although a newer document came too early."""
    with ScriptedEndpoint(served("a", "b")) as server:
        results = Results()
        verifier = begin(server, results)
        verifier.verify(document("a"))
        assert results.until(1) == [Verdict(1)]
        verifier.verify(document("b"))
        until(lambda: len(server.requests) > 1, "it did not ask again")
        verifier.verify(document())
        assert results.until(2)[1:] == [Verdict(0, lingering=("a", "b"))]


def test_it_asks_again_only_after_a_bad_answer() -> None:
    """Each later snapshot asks once more whether things are better, until they are."""
    with ScriptedEndpoint(served("a", status="disabled", error=["no"])) as server:
        results = Results()
        verifier = begin(server, results)
        verifier.verify_again(written=False)
        assert server.requests == []
        verifier.verify(document("a"))
        results.until(1)
        for number in (2, 3):
            until(lambda: not verifier._busy, "it still asks")
            before = len(server.requests)
            verifier.verify_again(written=False)
            results.until(number)
            assert len(server.requests) == before + 1
        until(lambda: not verifier._busy, "it still asks")
        server._scripts = [served("a")]
        verifier.verify_again(written=False)
        results.until(4)
        until(lambda: not verifier._busy, "it still asks")
        before = len(server.requests)
        verifier.verify_again(written=False)
        verifier.verify_again(written=True)
        assert results.until(5)[3:] == [Verdict(1), Verdict(1)]
        assert len(server.requests) == before + 1


def test_traefik_that_starts_again_gets_its_time() -> None:
    """Its API answers 404 for a moment, and its routers are missing for another."""
    away = answering("404 Not Found")
    with ScriptedEndpoint(away) as server:
        results = Results()
        verifier = begin(server, results)
        verifier.verify(document("a"))
        results.until(1)
        until(lambda: not verifier._busy, "it still asks")
        verifier._patience = LASTING
        server._scripts = [away] * len(server.requests) + [away, served(), served("a")]
        verifier.verify_again(written=False)
        assert results.until(2)[1:] == [Verdict(1)]


def test_what_was_put_right_gets_its_time() -> None:
    """A file that was written again is waited for as a new one is, not judged at once."""
    with ScriptedEndpoint(served("a"), served(), served("a")) as server:
        results = Results()
        verifier = begin(server, results, LASTING)
        verifier.verify(document("a"))
        results.until(1)
        verifier.verify_again(written=True)
        assert results.until(2) == [Verdict(1), Verdict(1)]
        assert len(server.requests) == 3


def test_waiting_is_not_cut_short_by_another_snapshot() -> None:
    """While Traefik takes its time, asking again changes nothing."""
    with ScriptedEndpoint(answering("404 Gone"), answering("404 Gone")) as server:
        results = Results()
        verifier = begin(server, results)
        verifier.verify(document("a"))
        results.until(1)
        server._scripts = [served()]
        verifier.verify(document("a"))
        until(lambda: verifier._busy, "it does not ask")
        before = len(server.requests)
        verifier.verify_again(written=False)
        assert results.until(2)[1] == Verdict(1, missing=("a",))
        assert len(server.requests) > before + 3


def test_api_that_starts_late_is_waited_for() -> None:
    """An API that cannot be reached at first is no news if it soon can."""
    (port,) = free_ports(1)
    results = Results()
    verifier = Verifier(
        traefik_api_from(f"http://127.0.0.1:{port}"), results.events.append, patience=LASTING
    )
    verifier.start()
    verifier.verify(document("a"))
    time.sleep(0.2)
    with ScriptedEndpoint(served("a"), port=port):
        assert results.until(1) == [Verdict(1)]


def test_log_has_each_result_once_until_it_changes(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Traefik's answers only what is new becomes a line, and good news each time."""
    package = logging.getLogger("ctsdns_traefik")
    monkeypatch.setattr(package, "propagate", True)
    monkeypatch.setattr(package, "handlers", [])
    caplog.set_level(logging.INFO, "ctsdns_traefik")
    publish = EventPublisher().publish
    no, nay = RouterError("a", "no"), RouterError("a", "nay")
    for _ in range(2):
        publish(TraefikAnswered(Verdict(12), 1.26))
        for _ in range(2):
            publish(TraefikAnswered(Verdict(2, errors=(no,)), 1))
        for _ in range(2):
            publish(TraefikAnswered(Verdict(2, errors=(nay,), missing=("b",)), 1))
        for _ in range(2):
            publish(TraefikNotAnswering("http://h: why"))
    for verdict in (Verdict(1, lingering=("x", "y")), Verdict(1), Verdict(0)):
        publish(TraefikAnswered(verdict, 2))
    fix = "let it read this output; if it started before the output was there, restart it"
    each_round = [
        "INFO Traefik serves all 12 routes (after 1.3 s)",
        "WARNING Traefik does not serve a: no",
        "WARNING Traefik does not serve a: nay",
        f"WARNING Traefik has not loaded b: {fix}",
        "WARNING Traefik's API cannot be asked: http://h: why",
    ]
    assert [f"{record.levelname} {record.getMessage()}" for record in caplog.records] == [
        *each_round,
        *each_round,
        f"WARNING Traefik still has x, y: {fix}",
        "INFO Traefik serves the one route (after 2.0 s)",
        "INFO Traefik serves no routes, as was written (after 2.0 s)",
    ]
