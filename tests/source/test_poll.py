"""Polls: when they are made, what is parsed, and how long a source is left alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from local import until
from stand_in_tailscale import API_KEY, Answer, StandInTailscale, error
from support.endpoints import ScriptedEndpoint
from support.entries import streaming
from support.polls import POLICY, failure_of, first_of, source_at

from ctsdns_traefik.cancellation import Cancellation, Cancelled
from ctsdns_traefik.core.policy import HostsMap, SourceText
from ctsdns_traefik.core.sse import poll_backoff
from ctsdns_traefik.errors import Reason, SourceError
from ctsdns_traefik.source import poll
from ctsdns_traefik.source.base import BY_ITSELF, Expect, Policy, Received, Source, Untrusted
from ctsdns_traefik.source.poll import GRACE, NotModified, PollSource


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    """Run a stand-in for Tailscale's API."""
    with StandInTailscale(POLICY) as server:
        yield server


def source(tailscale: StandInTailscale) -> Source:
    """Build a source with an API key."""
    environment = {"TAILSCALE_API_KEY": API_KEY, "TAILSCALE_BASE_URL": tailscale.url}
    return source_at("tailscale:", environment)


def test_equal_body_is_not_parsed(tailscale: StandInTailscale) -> None:
    """The ETag is sent, and an answer that does not heed it but is the same yields the same."""
    built = source(tailscale)
    one, other = first_of(built), first_of(built)
    assert one is other
    first, second = tailscale.requests
    assert "If-None-Match" not in first.headers
    assert second.headers["If-None-Match"].startswith('"')
    tailscale.policy = POLICY.replace("100.64.0.1", "100.64.0.2")
    changed = first_of(built)
    assert isinstance(changed, Policy)
    assert list(changed.hosts.values()) == ["100.64.0.2"]


def test_not_modified(tailscale: StandInTailscale) -> None:
    """304 yields the same policy, and after a failure still."""
    tailscale.not_modified = True
    built = source(tailscale)
    one = first_of(built)
    assert first_of(built) is one
    tailscale.answer_next(error(500, "oh"))
    failure_of(built)
    assert first_of(built) is one
    assert len({request.headers["If-None-Match"] for request in tailscale.requests[1:]}) == 1


def test_not_modified_of_another_policy(tailscale: StandInTailscale) -> None:
    """304 about what was not asked for is a failure; then the whole policy is asked for."""
    built = source(tailscale)
    tailscale.answer_next(Answer(304))
    assert "304" in str(failure_of(built))
    one = first_of(built)
    tailscale.answer_next(Answer(304, b"", {"ETag": '"other"'}))
    assert "304" in str(failure_of(built))
    again = first_of(built)
    assert again == one
    assert "If-None-Match" not in tailscale.requests[-1].headers


@pytest.mark.parametrize("etag", ["W/", ""], ids=["weak", "strong"])
def test_weak_etags_are_the_same(tailscale: StandInTailscale, etag: str) -> None:
    """A server that compresses makes an ETag weak: that is no other policy."""
    tailscale.answer_next(Answer(200, POLICY.encode(), {"ETag": f'{etag}"a"'}))
    tailscale.answer_next(Answer(304, b"", {"ETag": 'W/"a"'}))
    built = source(tailscale)
    assert first_of(built) is first_of(built)
    assert tailscale.requests[1].headers["If-None-Match"] == f'{etag}"a"'


def test_untrusted_body_is_not_parsed_again(tailscale: StandInTailscale) -> None:
    """It stays untrusted, also by 304, until another comes."""
    tailscale.not_modified = True
    tailscale.policy = "{"
    built = source(tailscale)
    one = first_of(built)
    assert isinstance(one, Untrusted)
    assert first_of(built) is one
    tailscale.policy = POLICY
    assert isinstance(first_of(built), Policy)


def test_backoff_grows_with_failures_in_a_row(tailscale: StandInTailscale) -> None:
    """Overload doubles the delay up to five minutes, and a success ends that."""
    built = source(tailscale)
    tailscale.answer_next(error(429, "slow"), 6)
    assert [failure_of(built).retry_after for _ in range(6)] == [30, 60, 120, 240, 300, 300]
    first_of(built)
    tailscale.answer_next(error(503, "oh", Retry_After="77"), 2)
    assert [failure_of(built).retry_after for _ in range(2)] == [77, 77]


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 30), (2, 60), (5, 300), (10_000, 300)], ids=str
)
def test_backoff(failures: int, seconds: float) -> None:
    """It doubles from the interval up to five minutes, however many failures there were."""
    assert poll_backoff(30, failures) == seconds


def test_unreachable_is_tried_again_after_the_usual_delay() -> None:
    """What does not connect costs nobody anything: only the loop's own delay counts."""
    environment = {"TAILSCALE_API_KEY": API_KEY, "TAILSCALE_BASE_URL": "http://127.0.0.1:9"}
    failure = failure_of(source_at("tailscale:", environment))
    assert (failure.reason, failure.retry_after) == (Reason.UNREACHABLE, 0)


class Counted(PollSource):
    """A source that counts its polls, and can be held in one."""

    def __init__(self, interval: float) -> None:
        super().__init__(interval)
        self.asked = 0
        self.free = threading.Event()
        self.free.set()

    def fetch(self, etag: str, cancellation: Cancellation, expect: Expect) -> poll.Answer:
        """Count a poll."""
        del etag, cancellation, expect
        self.asked += 1
        self.free.wait(60)
        return poll.Answer(b"%d" % self.asked)

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read nothing."""
        return {}, SourceText("", body)


class Following(NamedTuple):
    """A source that is followed in a thread."""

    source: Counted
    cancellation: Cancellation
    waits: list[float]
    ended: threading.Event

    def until_polled(self, times: int) -> None:
        """Wait until there were so many polls, and the next pause."""
        until(lambda: len(self.waits) >= times, f"no {times} polls")


@contextmanager
def followed(
    interval: float, each: Callable[[Counted, Received], None] = lambda *_: None
) -> Iterator[Following]:
    """Follow a source in a thread, with something to do for each value."""
    running = Following(Counted(interval), Cancellation(), [], threading.Event())

    def run() -> None:
        with running.source.follow(running.cancellation, running.waits.append) as values:
            try:
                for value in values:
                    each(running.source, value)
            except Cancelled:
                running.ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield running
    finally:
        running.source.free.set()
        running.cancellation.cancel()
        thread.join(60)
    assert running.ended.is_set()


def test_interval_between_polls() -> None:
    """A poll follows the other after the interval, which is announced with some grace."""
    with followed(0.1) as running:
        running.until_polled(3)
    assert running.waits[:3] == [0.1 + GRACE] * 3


def test_refresh_polls_at_once() -> None:
    """A pause is cut short; the next one is whole again."""
    with followed(600) as running:
        running.until_polled(1)
        running.source.refresh()
        running.until_polled(2)
    assert (running.source.asked, running.waits) == (2, [600 + GRACE] * 2)


def test_refresh_during_a_poll_is_a_poll_more() -> None:
    """What changed after a poll had begun is not missed."""
    with followed(600) as running:
        running.until_polled(1)
        running.source.free.clear()
        running.source.refresh()
        until(lambda: running.source.asked == 2, "no second poll")
        running.source.refresh()
        running.source.free.set()
        running.until_polled(3)
    assert running.source.asked == 3


def test_refreshes_in_a_burst_are_few_polls() -> None:
    """Polls that are asked for one after another have some time between them."""
    with followed(600) as running:
        running.until_polled(1)
        began = time.monotonic()
        while time.monotonic() < began + 1.2:
            running.source.refresh()
            time.sleep(0.01)
        until(lambda: running.source.asked >= 3, "no polls")
        assert running.source.asked <= 5


@pytest.mark.parametrize(
    ("failure", "cut"),
    [
        pytest.param(error(401, "no"), True, id="401"),
        pytest.param(error(403, "no"), True, id="403"),
        pytest.param(error(404, "no"), True, id="404"),
        pytest.param(Answer(200, b""), True, id="no-policy"),
        pytest.param(error(429, "slowly"), False, id="429"),
        pytest.param(error(503, "oh"), False, id="503"),
        pytest.param(Answer(403, b"", {"Retry-After": "60"}), False, id="retry-after"),
    ],
)
def test_refresh_in_the_pause_after_a_failure(
    tailscale: StandInTailscale, failure: Answer, *, cut: bool
) -> None:
    """It ends the pause, unless the source wants to be left alone; a second one is no news."""
    tailscale.answer_next(failure)
    built = source(tailscale)
    if failure.status == 200:
        assert isinstance(first_of(built), Untrusted)
    else:
        failure_of(built)
    ended, cancellation = threading.Event(), Cancellation()

    def pause() -> None:
        built.pause(cancellation, 600)
        ended.set()

    thread = threading.Thread(target=pause)
    thread.start()
    try:
        assert built.refresh() == (poll.AT_ONCE if cut else poll.LATER)
        assert built.refresh() == ""
        assert ended.wait(60 if cut else 0.3) is cut
    finally:
        cancellation.cancel()
        thread.join(60)
    first_of(built)
    assert built.refresh() == poll.AT_ONCE


def test_unreachable_source_is_asked_at_once_on_a_refresh() -> None:
    """What does not connect has not asked for a pause."""
    environment = {"TAILSCALE_API_KEY": API_KEY, "TAILSCALE_BASE_URL": "http://127.0.0.1:9"}
    built = source_at("tailscale:", environment)
    failure_of(built)
    assert built.refresh() == poll.AT_ONCE
    began = time.monotonic()
    built.pause(Cancellation(), 600)
    assert time.monotonic() < began + 60


def test_refresh_does_nothing_during_a_stream() -> None:
    """It reports changes by itself; after its end a pause is cut short as any other."""
    with ScriptedEndpoint(streaming("a")) as server:
        built = source_at(server.url, {})
        with built.follow(Cancellation(), lambda _: None) as run:
            next(run)
            assert built.refresh() == BY_ITSELF
        assert built.refresh() == poll.AT_ONCE


def test_confirmation_comes_soon_but_not_twice_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What asks for confirmation again and again gets it every other time."""
    monkeypatch.setattr(poll, "CONFIRMATION", 0.05)
    with followed(600, lambda source, _: source.confirm()) as running:
        running.until_polled(2)
        assert running.waits == [0.05 + GRACE, 600 + GRACE]
        running.source.refresh()
        running.until_polled(4)
    assert running.waits == [0.05 + GRACE, 600 + GRACE, 0.05 + GRACE, 600 + GRACE]


def test_confirmation_is_no_later_than_the_interval() -> None:
    """A short interval is not made longer."""
    with followed(0.1, lambda source, _: source.confirm()) as running:
        running.until_polled(2)
    assert running.waits[0] == 0.1 + GRACE


def test_pause_ends_with_the_work() -> None:
    """A cancelled run ends at once, and another can follow."""
    with followed(600) as running:
        running.until_polled(1)
        running.cancellation.cancel()
        assert running.ended.wait(60)
    assert isinstance(first_of(running.source), Policy)


def test_not_modified_needs_an_etag() -> None:
    """A source that has nothing yet cannot be told that nothing has changed."""

    class Never(Counted):
        def fetch(self, *_: object) -> NotModified:  # type: ignore[override]
            return NotModified()

    with pytest.raises(SourceError, match="304"):
        first_of(Never(1))
