"""A URL as a source: the content type of one answer decides what it is."""

from __future__ import annotations

import gzip
import json
import weakref
from pathlib import Path

import pytest
from support.endpoints import (
    STREAM,
    Script,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    sending,
    snapshot,
    trickling,
)
from support.headscale import HEADSCALE_KEY, StandInHeadscale
from support.nginx import Nginx, needs_nginx
from support.polls import HOSTS, POLICY, failure_of, first_of, headscale_at, source_at

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SourceText, UnlikelyHosts
from ctsdns_traefik.errors import Reason, SourceError
from ctsdns_traefik.source.base import Policy, Received, Untrusted
from ctsdns_traefik.source.endpoint import endpoint_from
from ctsdns_traefik.source.url import UrlSource

SNAPSHOT = json.dumps({"machines": [], "acl": {"hosts": HOSTS}}).encode()
HUJSON = POLICY.encode()


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(HUJSON, "text/plain; charset=utf-8", id="raw-file"),
        pytest.param(HUJSON, "application/json", id="hujson-labelled-json"),
        pytest.param(HUJSON, "application/hujson", id="hujson"),
        pytest.param(HUJSON, "application/octet-stream", id="unknown-suffix"),
        pytest.param(HUJSON, "text/plain; charset=utf-16", id="wrong-charset"),
        pytest.param(json.dumps({"hosts": HOSTS}).encode(), "application/json", id="json"),
        pytest.param(SNAPSHOT, "application/json", id="snapshot"),
    ],
)
def test_policy_whatever_its_label(body: bytes, content_type: str) -> None:
    """JSON, HuJSON and snapshots are read by one request; the text keeps the URL as its name."""
    with ScriptedEndpoint(answering("200 OK", body, Content_Type=content_type)) as server:
        source = source_at(f"{server.url}?key=s3cret")
        received = first_of(source)
        assert len(server.requests) == 1
    assert isinstance(received, Policy)
    assert (received.hosts, received.text) == (HOSTS, (server.url, body, 0, None))
    assert (source.interval, source.wording.begun) == (30, "reading the policy from")


def test_event_stream() -> None:
    """An event stream is followed by the same request, and is not polled."""
    with ScriptedEndpoint(sending(STREAM, snapshot(HOSTS), then=saying_nothing)) as server:
        source = source_at(server.url)
        received = first_of(source)
        assert len(server.requests) == 1
    assert isinstance(received, Policy)
    assert (received.hosts, source.interval) == (HOSTS, None)
    assert source.wording.begun == "connected to"
    head = server.requests[0].decode().lower()
    assert "\r\naccept: text/event-stream, application/hujson;" in head
    assert "\r\naccept-encoding: identity\r\n" in head


def test_what_a_url_answers_may_change() -> None:
    """A policy may become a stream and the other way round: the next run takes it as what it is."""
    stream = sending(STREAM, snapshot(HOSTS), then=saying_nothing)
    policy = answering("200 OK", HUJSON, Content_Type="text/plain")
    with ScriptedEndpoint(policy, stream, stream, policy) as server:
        source = source_at(server.url, poll_interval=0.1)
        with source.follow(Cancellation(), lambda _: None) as run:
            assert isinstance(next(run), Policy)
            with pytest.raises(SourceError, match="now answers with an event stream"):
                next(run)
        assert isinstance(first_of(source), Policy)
        assert source.interval is None
        assert isinstance(first_of(source), Policy)
        assert source.interval == 0.1


def test_compressed_policy_and_its_etag() -> None:
    """Once it is known to be a policy, it may be compressed; the ETag goes back as it came."""
    script = answering(
        "200 OK", gzip.compress(HUJSON), Content_Type="text/plain", Content_Encoding="gzip",
        ETag='W/"7"',
    )  # fmt: skip
    with ScriptedEndpoint(script, answering("304 Not Modified", ETag='W/"7"')) as server:
        source = source_at(server.url)
        one, other = first_of(source), first_of(source)
    assert isinstance(one, Policy)
    assert (one.hosts, other is one) == (HOSTS, True)
    assert b"\r\nAccept-Encoding: gzip\r\n" in server.requests[1]
    assert b'\r\nIf-None-Match: W/"7"\r\n' in server.requests[1]


FAULTS = (
    pytest.param(
        answering("200 OK", b"<!doctype html>", Content_Type="text/html"),
        "an HTML page: .*tailscale: as the source",
        Reason.UNEXPECTED_ANSWER,
        id="page",
    ),
    pytest.param(
        answering("200 OK", b"\n <html>", Content_Type="text/plain"),
        "an HTML page: .*tailscale: as the source",
        Reason.UNEXPECTED_ANSWER,
        id="page-labelled-text",
    ),
    pytest.param(
        answering("404 Not Found"), "404: .*tailscale: as the", Reason.NOT_FOUND, id="not-found"
    ),
    pytest.param(
        answering("200 OK", b'{"error": "no key"}', Content_Type="application/json"),
        r"it answers with application/json \(no key\), which is no usable policy: it is neither",
        Reason.UNTRUSTED_POLICY,
        id="another-object",
    ),
    pytest.param(
        answering("200 OK"),
        "content of no type, which is no usable policy: .*it is empty",
        Reason.UNTRUSTED_POLICY,
        id="empty",
    ),
    pytest.param(answering("304 Not Modified"), "304", Reason.UNEXPECTED_ANSWER, id="not-modified"),
    pytest.param(
        answering("206 Partial Content", HUJSON), "it answers 206", Reason.UNEXPECTED_ANSWER,
        id="part",
    ),
    pytest.param(
        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + HUJSON),
        "broke off",
        Reason.BROKEN_OFF,
        id="cut-by-length",
    ),
    pytest.param(
        sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n"),
        "broke off",
        Reason.BROKEN_OFF,
        id="cut-between-chunks",
    ),
    pytest.param(
        sending(b"HTTP/1.1 200 OK\r\n\r\n" + HUJSON[:-4]),
        "Tailscale would not save this",
        Reason.UNTRUSTED_POLICY,
        id="cut-without-a-length",
    ),
    pytest.param(
        answering("200 OK", b"no gzip", Content_Encoding="gzip"),
        "compressed answer is damaged",
        Reason.UNEXPECTED_ANSWER,
        id="bad-compression",
    ),
    pytest.param(
        answering("200 OK", gzip.compress(bytes(70 << 20)), Content_Encoding="gzip"),
        "larger than 64 MiB",
        Reason.TOO_LARGE,
        id="bomb",
    ),
)  # fmt: skip


@pytest.mark.parametrize(("script", "message", "reason"), FAULTS)
def test_answer_that_is_neither(script: Script, message: str, reason: Reason) -> None:
    """Each fault is one line with a reason, and is no policy."""
    with (
        ScriptedEndpoint(script) as server,
        pytest.raises(SourceError, match=message) as caught,
    ):
        first_of(source_at(server.url))
    assert caught.value.reason == reason
    assert str(caught.value).isprintable()


def test_body_that_trickles() -> None:
    """A whole answer has its time, however it is spread."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n"
    with ScriptedEndpoint(trickling(head, b" ")) as server:
        failure = failure_of(source_at(server.url, read_timeout=1.0))
    assert (str(failure), failure.reason) == (
        "its answer is not whole within 1 s", Reason.TIMEOUT,
    )  # fmt: skip


def test_policy_that_turns_bad_is_polled_on() -> None:
    """After a policy, a broken one is not the end of the run, and changes nothing."""
    good = answering("200 OK", HUJSON, Content_Type="text/plain")
    bad = answering("200 OK", b"{", Content_Type="text/plain")
    with ScriptedEndpoint(good, bad, good) as server:
        source = source_at(server.url, poll_interval=0.1)
        with source.follow(Cancellation(), lambda _: None) as run:
            kinds = [type(next(run)) for _ in range(3)]
    assert kinds == [Policy, Untrusted, Policy]


def test_policy_that_is_bad_after_a_stream() -> None:
    """What has been a policy once is polled on, even if a stream came in between."""
    good = answering("200 OK", HUJSON, Content_Type="text/plain")
    stream = sending(STREAM, snapshot(HOSTS), then=saying_nothing)
    bad = answering("200 OK", b"{", Content_Type="text/plain")
    with ScriptedEndpoint(good, stream, bad) as server:
        source = source_at(server.url)
        assert isinstance(first_of(source), Policy)
        assert isinstance(first_of(source), Policy)
        received = first_of(source)
    assert isinstance(received, Untrusted)
    assert "line 1, column 2: " in received.error
    assert "event-stream" not in received.error
    assert source.interval == 30


def test_failures_of_a_stream_are_not_slowed_down() -> None:
    """Only what was a policy backs off by itself; a worker is tried again after the usual delay."""
    away = answering("503 Service Unavailable")
    policy = answering("200 OK", HUJSON, Content_Type="text/plain")
    with ScriptedEndpoint(away, policy, away, away) as server:
        source = source_at(server.url)
        assert failure_of(source).retry_after == 0
        first_of(source)
        assert [failure_of(source).retry_after for _ in range(2)] == [30, 60]


def test_headscale_by_tailscales_api() -> None:
    """Headscale 0.30 answers at Tailscale's path as well, with HuJSON whatever its label."""
    with StandInHeadscale(POLICY, v2=True) as headscale:
        url = f"{headscale.url}/api/v2/tailnet/-/acl"
        source = source_at(url, token=HEADSCALE_KEY)
        received = first_of(source)
        assert isinstance(received, Policy)
        assert (received.hosts, first_of(source) is received) == (HOSTS, True)


class Hosts(dict[str, object]):
    """A hosts map that can be referred to weakly."""


class Releasing(UrlSource):
    """A source whose hosts can be referred to weakly."""

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read the hosts."""
        hosts, text = super().read(body)
        return Hosts(hosts), text


def test_former_policy_is_released() -> None:
    """Once another policy has come, nothing keeps the memory of the first one."""
    scripts = [answering("200 OK", HUJSON), answering("200 OK", b'{"acls": []}')]
    with ScriptedEndpoint(*scripts) as server:
        source = Releasing(endpoint_from(server.url), 0.1)
        with source.follow(Cancellation(), lambda _: None) as run:
            first = weakref.ref(hosts_in(next(run)))
            assert first() is not None
            assert hosts_in(next(run)) == {}
            assert first() is None


def hosts_in(received: Received) -> Hosts:
    """Return the hosts of a trusted policy."""
    assert isinstance(received, Policy)
    assert isinstance(received.hosts, Hosts)
    return received.hosts


@needs_nginx
def test_raw_file_behind_nginx(tmp_path: Path) -> None:
    """A real nginx: its ETag is sent back and answered with 304, compressed or not."""
    file = tmp_path / "policy.hujson"
    file.write_text(POLICY + "// padding for gzip_min_length\n" * 50)
    with Nginx(tmp_path) as nginx:
        source = source_at(f"{nginx.url}/policy.hujson")
        one = first_of(source)
        assert isinstance(one, Policy)
        assert (one.hosts, first_of(source) is one) == (HOSTS, True)
        file.write_text('{"acls": []}' + "// other padding, of another size\n" * 50)
        changed = first_of(source)
        assert isinstance(changed, Policy)
        assert (changed.hosts, first_of(source) is changed) == ({}, True)
        codes = nginx.statuses(4)
    assert codes == ["200", "304", "200 gzip", "304"]


def test_object_without_members() -> None:
    """From where policies have come an empty object is an unlikely one; an error is none."""
    empty = answering("200 OK", b"{ // all gone\n}", Content_Type="application/json")
    failed = answering("200 OK", b'{"message": "try later"}', Content_Type="application/json")
    policy = answering("200 OK", HUJSON, Content_Type="text/plain")
    with ScriptedEndpoint(empty, policy, empty, failed) as server:
        source = source_at(server.url)
        assert "it is neither a snapshot" in str(failure_of(source))
        assert first_of(source) == Policy(HOSTS, SourceText(server.url, HUJSON))
        received = first_of(source)
        assert isinstance(received, Policy)
        assert (received.hosts, type(received.hosts)) == ({}, UnlikelyHosts)
        assert isinstance(first_of(source), Untrusted)


def test_empty_policy_of_an_api_is_unlikely(tmp_path: Path) -> None:
    """An API's policy without members is marked likewise, one with a section is not."""
    for text, unlikely in (("{}", True), ('{"attrConfig": {}}', False), ('{"hosts": {}}', False)):
        with StandInHeadscale(text) as server:
            received = first_of(headscale_at(server.url, HEADSCALE_KEY, tmp_path))
        assert isinstance(received, Policy)
        assert (received.hosts, isinstance(received.hosts, UnlikelyHosts)) == ({}, unlikely)
