"""Whatever the endpoint does, what is live stays live, and the next good snapshot is applied.

One Traefik serves through all of it, and a client requests a route all the time.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from campaign.event_faults import (
    BAD_EVENTS,
    BAD_VALUES,
    FORMS,
    MORE_BAD_VALUES,
    BadEvent,
    Form,
    framed,
    wrapped,
)
from campaign.live_stage import CONSTANT, Case, Stage
from campaign.stream_faults import CONNECTIONS, IMPATIENT, Fault
from campaign.upstream import PATIENCE, Upstream
from local import until
from support.campaigns import FULL
from support.certificates import Authority
from support.commands import bind_mounting
from support.endpoints import ScriptedEndpoint, event, snapshot

WAITING = "WARNING the snapshot would remove %d of 13 routes: waiting for the next one to agree"
NAME = "worker.invalid"
LOCAL = "127.0.0.1"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give one stage to all cases, one after another."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.mark.parametrize("fault", CONNECTIONS, ids=lambda fault: fault.name)
def test_connection_that_goes_wrong(stage: Stage, fault: Fault) -> None:
    """A failed connection is one line in the log; the file stays, and the next one is followed."""
    with stage.case(fault.name, *fault.options) as case:
        case.upstream.play_next(fault.script)
        case.connect_again()
        case.explained(fault.line)
        case.untouched()
        case.recover()
        case.explained_once(fault.line)


@pytest.mark.parametrize("bad", BAD_EVENTS, ids=lambda bad: bad.name)
def test_event_that_goes_wrong(stage: Stage, bad: BadEvent) -> None:
    """A bad event is one line in the log; file and connection stay, and the next is applied."""
    with stage.case(bad.name) as case:
        connections = len(stage.server.requests)
        case.upstream.send(bad.sent)
        case.explained(bad.line)
        case.untouched()
        case.recover()
        case.explained_once(bad.line)
        assert len(stage.server.requests) == connections


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_form_that_is_unusual(stage: Stage, form: Form) -> None:
    """A good snapshot is applied without a word, whatever its form."""
    with stage.case(form.name) as case:
        sent = case.upstream.newest = snapshot(stage.hosts())
        case.upstream.play_next(form.script(sent))
        case.connect_again()
        case.applied()
        case.upstream.gate.set()
        case.connect_again()
        stage.watch.until(lambda: case.connections == 2, "not connected twice")
        assert case.logged == []


@pytest.mark.parametrize(
    "value",
    BAD_VALUES + MORE_BAD_VALUES if FULL else BAD_VALUES,
    ids=lambda value: ascii(value)[:20],
)
def test_value_that_is_refused(stage: Stage, value: object) -> None:
    """An entry whose address is none costs one line, and no other entry, be it new or old."""
    with stage.case("refused value") as case:
        hosts = stage.hosts()
        hosts |= {stage.entry(f"bad.{stage.newest_name}"): value}
        case.upstream.publish(framed(wrapped(json.dumps(hosts).encode())))
        case.applied()
        case.explained_once(r"WARNING bad-address: _web_http_\d+\._tcp\.bad\.v\d+\.example\.com=")


def test_connection_refused(stage: Stage) -> None:
    """While nothing listens each attempt is one line, and the first answer is followed."""
    line = "cannot connect to http.*: connection refused; retrying in 0.1 s"
    with stage.case("connection refused") as case:
        case.upstream.gate.clear()
        stage.server.__exit__()
        case.connect_again()
        stage.watch.until(lambda: len(case.logged) >= 3, "not three attempts")
        case.explained(line)
        case.untouched()
        stage.server = ScriptedEndpoint(case.upstream, port=stage.server.port)
        stage.server.__enter__()
        case.recover()
        case.explained_each_time(line)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("untrusted", "its certificate cannot be trusted: (certificate signature|unable to get)"),
        ("wrong name", "its certificate cannot be trusted: IP address mismatch.*'127.0.0.1'"),
        ("no TLS", "it does not answer: the TLS handshake timed out"),
    ],
)
def test_tls_that_cannot_be_trusted(
    stage: Stage, authority: Authority, tmp_path: Path, name: str, line: str
) -> None:
    """A server that does not prove who it is costs a line an attempt, until one does again."""
    line = f"cannot connect to https.*: {line}.*; retrying in 0.1 s"
    good = authority.server_context("127.0.0.1")
    bad: dict[str, Callable[[], ssl.SSLContext | None]] = {
        "untrusted": lambda: Authority(tmp_path).server_context("127.0.0.1"),
        "wrong name": lambda: authority.server_context("other.example.com"),
        "no TLS": lambda: None,
    }
    options = ("--ca-file", str(authority.ca_file), *IMPATIENT)
    upstream = Upstream()
    with (
        ScriptedEndpoint(upstream, tls=good) as server,
        stage.case(name, *options, url=server.url, upstream=upstream) as case,
    ):
        upstream.gate.clear()
        server._tls = bad[name]()
        case.connect_again()
        case.explained(line)
        case.untouched()
        server._tls = good
        case.recover()
        case.explained_each_time(line)


def test_name_that_does_not_resolve(stage: Stage, tmp_path: Path) -> None:
    """A name that is lost and found again costs lines in the log, and nothing else."""
    line = f"cannot connect to http.*: the name {NAME} does not resolve; retrying in"
    names = tmp_path / "hosts"
    names.write_text(f"127.0.0.1 localhost {NAME}\n")
    launcher = bind_mounting(names, Path("/etc/hosts"))
    url = stage.server.url.replace("127.0.0.1", NAME)
    with stage.case("name not resolving", url=url, launcher=launcher) as case:
        case.upstream.gate.clear()
        names.write_text("127.0.0.1 localhost\n")
        case.connect_again()
        case.explained(line)
        case.untouched()
        names.write_text(f"127.0.0.1 localhost {NAME}\n")
        case.recover()
        case.explained_each_time(line)


def test_retry_field_counts_once(stage: Stage) -> None:
    """The server's own reconnection time counts for one connection, if the next one delivers."""
    with stage.case("retry") as case:
        case.upstream.send(b"retry: 700\n\n")
        case.upstream.drop()
        case.explained("the endpoint closed the stream; retrying in 0.[78]")
        case.untouched()
        case.recover()
        case.upstream.drop()
        case.explained("the endpoint closed the stream; retrying in 0.1 s")
        case.recover()
        assert len(case.logged) == 2


def test_snapshots_out_of_order(stage: Stage) -> None:
    """Older snapshots that come after newer ones are applied as they come, and break nothing."""
    with stage.case("out of order") as case:
        older = snapshot(stage.hosts())
        old_name = stage.newest_name
        newer = snapshot(stage.hosts())
        for sent, name in [(newer, stage.newest_name), (older, old_name)] * 3:
            case.upstream.publish(sent)
            stage.watch.until(lambda name=name: f"`{name}`" in case.content(), "not applied")
        case.served(old_name)
        case.recover()
        assert case.logged == []


def test_the_same_snapshot_for_ever(stage: Stage) -> None:
    """Twenty snapshots that say nothing new lead to no write and to no line in the log."""
    with stage.case("the same for ever") as case:
        case.upstream.publish(snapshot(stage.hosts()))
        case.applied()
    with stage.case("the same again") as case:
        for _ in range(20):
            case.upstream.send(case.upstream.newest)
        case.upstream.send(event("error", {"message": "the end"}))
        case.explained("the end")
        case.untouched()
        case.explained_once("the end")


@contextmanager
def thirteen(stage: Stage, name: str) -> Iterator[tuple[Case, dict[str, object]]]:
    """Give a case that begins with thirteen routes, and the hosts of eleven of them."""
    more: dict[str, object] = {stage.entry(f"n{number}.example.com"): LOCAL for number in range(11)}
    with stage.case(f"before {name}") as case:
        case.recover(**more)
    with stage.case(name) as case:
        yield case, more
    with stage.case(f"after {name}") as case:
        case.upstream.publish(snapshot(stage.hosts()))
        case.upstream.send(case.upstream.newest)
        case.applied()


@pytest.mark.parametrize("left", ["constant", "other", "none"])
def test_hosts_that_shrink_for_a_moment(stage: Stage, left: str) -> None:
    """Thirteen routes that become one or none in a single snapshot all stay."""
    with thirteen(stage, f"shrinking to {left} once") as (case, more):
        keep = {"constant": [CONSTANT], "other": ["n0.example.com"]}.get(left, [])
        line = WAITING % (13 - len(keep))
        case.upstream.send(snapshot({stage.entry(name): LOCAL for name in keep}))
        case.explained(line)
        case.untouched()
        case.recover(**more)
        case.explained_once(line)


def test_hosts_that_shrink_for_good(stage: Stage) -> None:
    """Thirteen routes become one when a second snapshot agrees."""
    with thirteen(stage, "shrinking for good") as (case, more):
        fragment = snapshot({stage.entry(CONSTANT): LOCAL})
        case.upstream.send(fragment)
        case.explained(WAITING % 12)
        case.untouched()
        case.upstream.send(fragment)
        stage.watch.until(lambda: "n1.example.com" not in case.content(), "nothing removed")
        case.recover(**more)
        case.explained_once(WAITING % 12)


def test_hosts_that_go_for_good(stage: Stage) -> None:
    """Thirteen routes become none when a second snapshot agrees, and come back."""
    with (
        thirteen(stage, "shrinking to none for good") as (case, more),
        stage.client.paused(),
    ):
        case.upstream.send(snapshot({}))
        case.explained(WAITING % 13)
        case.untouched()
        case.upstream.send(snapshot({}))
        stage.watch.until(lambda: case.content() == "{}\n", "not emptied")
        case.recover(**more)
        case.served(CONSTANT)
        case.explained_once(WAITING % 13)


@pytest.mark.skipif(not FULL, reason="only in full: CTSDNS_CAMPAIGN=full")
def test_a_million_hosts(stage: Stage) -> None:
    """A snapshot of a million aliases and a few entries is applied as any other."""
    with stage.case("a million hosts") as case:
        entries = json.dumps(stage.hosts())[1:-1]
        aliases = (f'"host-{number}":"100.64.0.1",' for number in range(10**6))
        case.upstream.publish(framed(wrapped(f"{{{''.join(aliases)}{entries}}}".encode())))
        case.applied()
        case.recover()
        assert case.logged == []


def test_no_route_was_lost(
    stage: Stage, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Through all cases not one request failed, and Traefik had nothing to complain about."""
    until(lambda: stage.client.polls > 0, "nothing was requested", PATIENCE)
    figures = stage.figures
    record_testsuite_property("stream_faults", figures)
    assert (stage.client.failures, stage.traefik.errors, stage.spoiled) == ([], [], 0), figures
