"""Whatever a polled source does, what is live stays live, and the next good policy is applied.

One Traefik serves through all of it, and a client requests a route all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from campaign.live_stage import CONSTANT, Case, Stage
from campaign.poll_faults import (
    BAD_POLICIES,
    CONNECTIONS,
    ERRORS,
    FORMS,
    MISTRUST,
    TEXTS,
    BadPolicy,
    Form,
    Text,
)
from campaign.stream_faults import Fault
from campaign.upstream import (
    PATIENCE,
    HeadscaleUpstream,
    PolledUpstream,
    TailscaleUpstream,
)
from local import until
from support.campaigns import FULL, some_of
from support.endpoints import ScriptedEndpoint, answering

LOCAL = "127.0.0.1"
OFTEN = ("--poll-interval", "0.2")

SOURCES: dict[str, tuple[type[PolledUpstream], str, tuple[str, ...]]] = {
    "url": (PolledUpstream, "http://127.0.0.1:{}/policy.hujson", OFTEN),
    "headscale": (HeadscaleUpstream, "headscale+http://127.0.0.1:{}", OFTEN),
    "tailscale": (TailscaleUpstream, "tailscale:", ("--poll-interval", "5")),
}
"""Tailscale is polled every five seconds at most, so that its cases take minutes."""


@pytest.fixture(scope="module", params=SOURCES if FULL else ["url"])
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """Give one stage to all cases of a source, one after another."""
    upstream, source, options = SOURCES[request.param]
    folder = tmp_path_factory.mktemp("stage")
    with Stage(folder, upstream(), *options, source=source) as stage:
        yield stage


def body_of(case: Case, policy: bytes) -> bytes:
    """Return the body of an answer with a policy, as the stage's source has it."""
    assert isinstance(case.upstream, PolledUpstream)
    return case.upstream.body(policy)


def answer_with(case: Case, policy: bytes) -> None:
    """Answer the next poll with a policy."""
    kind = case.upstream.content_type  # type: ignore[attr-defined]
    case.upstream.play_next(answering("200 OK", body_of(case, policy), Content_Type=kind))
    case.connect_again()


@pytest.mark.parametrize("fault", some_of(CONNECTIONS), ids=lambda fault: fault.name)
def test_poll_that_goes_wrong(stage: Stage, fault: Fault) -> None:
    """A failed poll is one line in the log; the file stays, and the next one is applied."""
    with stage.case(fault.name, *fault.options) as case:
        case.upstream.play_next(fault.script)
        case.connect_again()
        case.explained(fault.line)
        case.untouched()
        case.recover()
        case.explained_once(fault.line)


@pytest.mark.parametrize("bad", some_of(BAD_POLICIES), ids=lambda bad: bad.name)
def test_policy_that_cannot_be_trusted(stage: Stage, bad: BadPolicy) -> None:
    """A bad policy is one line in the log; the file stays, and the next policy is applied."""
    with stage.case(bad.name) as case:
        answer_with(case, bad.body)
        line = f"{MISTRUST}.*{bad.line}" if bad.line else "WARNING "
        case.explained(line)
        case.untouched()
        case.recover()
        case.explained_once(line)


@pytest.mark.parametrize("bad", ERRORS, ids=lambda bad: bad.name)
def test_error_that_comes_as_an_answer(stage: Stage, bad: BadPolicy) -> None:
    """An error with status 200 is no policy without hosts: it is a line, and routes stay."""
    with stage.case(bad.name) as case:
        kind = "application/json"
        case.upstream.play_next(answering("200 OK", bad.body, Content_Type=kind))
        case.connect_again()
        case.explained("WARNING ")
        case.untouched()
        case.recover()
        assert len(case.logged) == 1


@pytest.mark.parametrize("form", some_of(FORMS), ids=lambda form: form.name)
def test_form_that_is_unusual(stage: Stage, form: Form) -> None:
    """A good policy is applied without a line of complaint, whatever its form."""
    with stage.case(form.name) as case:
        policy = case.upstream.newest = case.upstream.framed(stage.hosts())
        case.upstream.play_next(form.script(body_of(case, policy)))
        case.connect_again()
        case.applied()
        case.upstream.gate.set()
        assert case.logged == []


@pytest.mark.parametrize("text", some_of(TEXTS), ids=lambda text: text.name)
def test_text_that_is_unusual(stage: Stage, text: Text) -> None:
    """A good policy is applied without a line of complaint, however it is written."""
    with stage.case(text.name) as case:
        case.upstream.publish(text.change(case.upstream.framed(stage.hosts())))
        case.connect_again()
        case.applied()
        assert case.logged == []


def test_connection_refused(stage: Stage) -> None:
    """While nothing listens each attempt is one line, and the first that succeeds is applied."""
    line = "cannot read the policy from .*: connection refused; retrying in 0.1 s"
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


def has_polled(stage: Stage, requests: int) -> bool:
    """Count the requests of a stage."""
    return len(stage.server.requests) >= requests


def test_the_same_policy_for_ever(stage: Stage) -> None:
    """Polls that bring nothing new lead to no write and to no line in the log."""
    with stage.case("the same for ever") as case:
        requests = len(stage.server.requests)
        for polls in range(1, 4):
            case.connect_again()
            until(partial(has_polled, stage, requests + polls), "no poll")
        case.untouched()
        assert case.logged == []


@contextmanager
def thirteen(stage: Stage, name: str) -> Iterator[tuple[Case, dict[str, object]]]:
    """Give a case that begins with thirteen routes, and the hosts of eleven of them."""
    more: dict[str, object] = {stage.entry(f"n{number}.example.com"): LOCAL for number in range(11)}
    with stage.case(f"before {name}") as case:
        case.upstream.publish(case.upstream.framed(stage.hosts() | more))
        case.connect_again()
        case.applied()
    with stage.case(name) as case:
        yield case, more
    with stage.case(f"after {name}") as case:
        case.upstream.publish(case.upstream.framed(stage.hosts()))
        case.connect_again()
        case.applied()


WAITING = "WARNING the snapshot would remove %d of 13 routes: waiting for the next one to agree"


@pytest.mark.parametrize("left", ["constant", "none"])
def test_hosts_that_shrink_for_a_moment(stage: Stage, left: str) -> None:
    """Thirteen routes that become one or none in a single answer all stay."""
    with thirteen(stage, f"shrinking to {left} once") as (case, more):
        keep = {"constant": [CONSTANT], "none": []}[left]
        answer_with(case, case.upstream.framed({stage.entry(name): LOCAL for name in keep}))
        case.explained(WAITING % (13 - len(keep)))
        case.untouched()
        case.recover(**more)
        case.explained_once(WAITING % (13 - len(keep)))


def test_hosts_that_shrink_for_good(stage: Stage) -> None:
    """Thirteen routes become one when the policy is asked for again, two seconds later."""
    with thirteen(stage, "shrinking for good") as (case, more):
        case.upstream.publish(case.upstream.framed({stage.entry(CONSTANT): LOCAL}))
        case.connect_again()
        case.explained(WAITING % 12)
        stage.watch.until(lambda: "n1.example.com" not in case.content(), "nothing removed")
        case.recover(**more)
        case.explained_once(WAITING % 12)


def test_no_route_was_lost(
    stage: Stage, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Through all cases not one request failed, and Traefik had nothing to complain about."""
    until(lambda: stage.client.polls > 0, "nothing was requested", PATIENCE)
    figures = stage.figures
    record_testsuite_property("poll_faults", figures)
    assert (stage.client.failures, stage.traefik.errors, stage.spoiled) == ([], [], 0), figures
