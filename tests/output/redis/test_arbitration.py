"""Whose turn it is to write: watches that agree do not wait, those that do not come to rest."""

from __future__ import annotations

import random
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.output.redis.arbitration import (
    AGAIN,
    LISTED,
    PATIENCE,
    Mark,
    Turn,
    Turns,
    mark_after,
)


class Shared:
    """A store, in little: what was written last, and by whom."""

    def __init__(self) -> None:
        self.mark: Mark | None = None
        self.writes: list[str] = []
        self._stamps = count()

    def show(self, turns: Turns, document: str, fault: str = "") -> Turn:
        """Let a watch take a snapshot, and write if it is its turn.

        The fault is that the write is ``refused``, or that it is done and its answer ``lost``.
        """
        turn = turns.take(document, self.mark)
        if turn is Turn.WRITE and (self.mark is None or self.mark.digest != document):
            mark = mark_after(self.mark, document, str(next(self._stamps)))
            turns.tries(mark)
            if fault != "refused":
                self.mark = mark
                self.writes.append(document)
            if not fault:
                turns.wrote(mark)
        return turn

    def start(self) -> Turns:
        """Let a watch begin with a look."""
        turns = Turns()
        turns.looked(self.mark)
        return turns


def test_single_watch_writes_news_at_once_and_what_comes_back_at_the_next_snapshot() -> None:
    """What was there before may be a snapshot that comes late, until the next one says it too."""
    store = Shared()
    watch = store.start()
    assert [store.show(watch, document) for document in "abcaa"] == [
        *(Turn.WRITE, Turn.WRITE, Turn.WRITE),
        *(Turn.WAIT, Turn.WRITE),
    ]
    assert store.writes == list("abca")


def test_what_the_operator_orders_waits_for_nothing() -> None:
    """Another access file is in force at once, also one that was in force before."""
    store = Shared()
    watch = store.start()
    for document in "ab":
        store.show(watch, document)
    assert watch.take("a", store.mark, ordered=True) is Turn.WRITE


def test_order_goes_through_where_watches_disagree_for_good() -> None:
    """A watch that leaves the store to another does not leave the operator's word."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    for _ in range(10 * PATIENCE):
        store.show(second, "b")
        turn = store.show(first, "a")
    assert turn is Turn.DISAGREE
    assert first.take("a", store.mark, ordered=True) is Turn.WRITE


def test_numbers_are_those_of_the_documents() -> None:
    """What docs/scaling.md says."""
    assert (AGAIN, PATIENCE, LISTED) == (2, 3, 16)


def test_news_that_could_not_be_written_in_time_are_no_news() -> None:
    """When another has written since, which of the two is newer, nobody can tell: they wait."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    store.show(first, "b", "refused")
    store.show(second, "c")
    assert store.show(first, "b") is Turn.WAIT


def test_older_snapshot_loses_without_flapping() -> None:
    """A watch that still hears the old policy leaves what another has written, and then agrees."""
    store = Shared()
    first, second = store.start(), store.start()
    for watch in (first, second):
        store.show(watch, "old")
    store.show(first, "new")
    assert [store.show(second, "old") for _ in range(PATIENCE - 1)] == [Turn.WAIT] * (PATIENCE - 1)
    store.show(second, "new")
    assert store.writes == ["old", "new"]


def test_snapshot_that_comes_out_of_order_is_not_written() -> None:
    """Polls that overlap bring the old after the new: that waits, and the next one clears it."""
    store = Shared()
    first, second = store.start(), store.start()
    for document in ("old", "new"):
        store.show(first, document)
        store.show(second, document)
    for watch in (first, second):
        assert store.show(watch, "old") is Turn.WAIT
        assert store.show(watch, "new") is Turn.WRITE
    assert store.writes == ["old", "new"]


def test_policy_that_is_taken_back_is_written_after_some_snapshots() -> None:
    """What all say twice is meant, though it has been there before."""
    store = Shared()
    first, second = store.start(), store.start()
    for document in ("old", "new", *["old"] * PATIENCE):
        store.show(first, document)
        store.show(second, document)
    assert store.writes == ["old", "new", "old"]


def test_what_a_dead_watch_left_is_put_right_in_the_end() -> None:
    """A watch that died over an old snapshot does not hold the store for ever."""
    store = Shared()
    dead, alive = store.start(), store.start()
    store.show(dead, "new")
    store.show(alive, "new")
    for _ in range(PATIENCE):
        store.show(dead, "old")
    assert [store.show(alive, "new") for _ in range(PATIENCE)][-1] is Turn.WRITE
    assert store.writes == ["new", "old", "new"]


def test_stuck_watch_takes_back_what_is_news_only_for_a_while() -> None:
    """One that never hears of changes replaces each once at the most, and is put right."""
    store = Shared()
    stuck, sound = store.start(), store.start()
    for document in ("a", "b", "c", "d"):
        for _ in range(4 * PATIENCE):
            store.show(stuck, "a")
            store.show(sound, document)
        assert store.mark
        assert store.mark.digest == document
    assert store.writes == ["a", *"bab", *"cac", *"dad"]


def test_watches_that_disagree_for_good_come_to_rest_and_say_so() -> None:
    """Two policies, access files or versions: each overwrites the other once at the most."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    turns = [(store.show(first, "a"), store.show(second, "b")) for _ in range(10 * PATIENCE)]
    assert len(store.writes) <= 4
    assert Turn.DISAGREE in turns[-1]
    assert store.writes.count("a") <= 2


def test_restarted_watch_writes_what_has_never_stood_at_once() -> None:
    """A policy that changed while the only watch was down waits for nothing."""
    store = Shared()
    store.show(store.start(), "a")
    store.show(store.start(), "b")
    assert store.writes == ["a", "b"]


def test_restarted_watch_does_not_bring_back_what_others_have_left() -> None:
    """Its first snapshot may be an old one: what has stood before waits, and is then believed."""
    store = Shared()
    other = store.start()
    for document in "ab":
        store.show(other, document)
    restarted = store.start()
    assert [store.show(restarted, "a") for _ in range(PATIENCE)] == [
        *[Turn.WAIT] * (PATIENCE - 1),
        Turn.WRITE,
    ]


def test_watch_that_lags_does_not_bring_what_is_news_to_it_alone() -> None:
    """A version that it has not had yet, and that others have had and left, is old."""
    store = Shared()
    first, second = store.start(), store.start()
    for watch in (first, second):
        store.show(watch, "a")
    for document in "bc":
        store.show(first, document)
    assert store.show(second, "b") is Turn.WAIT
    store.show(second, "c")
    assert store.writes == list("abc")


def test_store_lists_some_former_documents_each_once() -> None:
    """What stands now is none of them, and the oldest are forgotten."""
    mark = None
    for document in "aba":
        mark = mark_after(mark, document, "")
    assert mark == Mark("a", "", ("b",))
    for document in (*"b", *map(str, range(LISTED))):
        mark = mark_after(mark, document, "")
    assert mark == Mark(str(LISTED - 1), "", ("b", *map(str, range(LISTED - 1)))[-LISTED:])
    assert mark_after(None, "a", "s") == Mark("a", "s", ())


@pytest.mark.parametrize("fault", ["refused", "lost"])
def test_failed_write_over_another_watch_is_tried_again(fault: str) -> None:
    """Only what was written counts as a try: a store out of memory makes no disagreement."""
    store = Shared()
    dead, alive = store.start(), store.start()
    for watch in (dead, alive):
        store.show(watch, "new")
    store.show(dead, "stale")
    for _ in range(PATIENCE + 2):
        store.show(alive, "new", fault)
    assert store.show(alive, "new") is Turn.WRITE
    assert store.writes == ["new", "stale", "new"]


def test_correction_is_possible_again_after_each_change_of_policy() -> None:
    """What was put right once, long ago, is not taken for a disagreement for ever."""
    store = Shared()
    broken, sound = store.start(), store.start()
    for _ in range(3):
        for document in ("a", "c", "a"):
            for _ in range(PATIENCE):
                store.show(sound, document)
                store.show(broken, document)
        for _ in range(PATIENCE):
            store.show(broken, "b")
        assert store.mark
        assert store.mark.digest == "b"
        for _ in range(PATIENCE):
            store.show(sound, "a")
        assert store.mark.digest == "a"


def test_news_that_could_not_be_written_are_written_at_the_next_snapshot() -> None:
    """A failed write does not turn news into something old."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    store.show(second, "a")
    store.show(second, "b")
    store.show(first, "b")
    assert first.take("c", store.mark) is Turn.WRITE  # and then the connection breaks
    assert store.show(first, "c") is Turn.WRITE


def test_write_whose_answer_was_lost_is_known_for_ones_own() -> None:
    """It is not taken for another watch's: nothing waits."""
    store = Shared()
    watch = store.start()
    store.show(watch, "a")
    lost = Mark("b", "lost")
    watch.take("b", store.mark)
    watch.tries(lost)
    assert not watch.moved(lost)
    assert watch.take("c", lost) is Turn.WRITE
    assert watch.take("c", lost) is Turn.WRITE


def test_look_in_between_does_not_begin_the_wait_anew() -> None:
    """Reading what stands, as for the guard, is no news."""
    store = Shared()
    watch = store.start()
    for document in "ab":
        turn = watch.take(document, store.mark)
        assert turn is Turn.WRITE
        store.mark = Mark(document, document)
        watch.tries(store.mark)
        watch.wrote(store.mark)
    turns = []
    for _ in range(2):
        turns.append(watch.take("a", store.mark))
        watch.looked(store.mark)
    assert turns == [Turn.WAIT, Turn.WRITE]


def test_flushed_store_is_filled_by_whoever_comes_first() -> None:
    """Nothing stands, so nobody's turn is taken."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    store.show(second, "a")
    store.mark = None
    assert store.show(second, "a") is Turn.WRITE
    assert store.show(first, "a") is Turn.WRITE
    assert store.writes == ["a", "a"]


def test_what_another_wrote_is_noticed_once_it_is_there() -> None:
    """Another's write moves the store for a watch until it has looked; its own does not."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    assert (first.moved(store.mark), second.moved(store.mark)) == (False, True)
    second.looked(store.mark)
    assert not second.moved(store.mark)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from("abc")), max_size=60),
    st.lists(st.sampled_from("abc"), min_size=3, max_size=3),
)
def test_watches_come_to_rest_whatever_came_before(
    before: list[tuple[int, str]], last: list[str]
) -> None:
    """When no watch's snapshots change any more, writing ends; if all agree, with what they say."""
    store = Shared()
    watches = [store.start() for _ in range(3)]
    for index, document in before:
        store.show(watches[index], document)
    for _ in range(20 * PATIENCE):
        for watch, document in zip(watches, last, strict=True):
            store.show(watch, document)
    settled = len(store.writes)
    for _ in range(4 * PATIENCE):
        for watch, document in zip(watches, last, strict=True):
            store.show(watch, document)
    assert len(store.writes) == settled
    if len(set(last)) == 1:
        assert store.mark
        assert store.mark.digest == last[0]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_change_that_all_hear_is_written_once(number: int) -> None:
    """However many watches there are, one of them writes."""
    store = Shared()
    watches = [store.start() for _ in range(number)]
    for document in "abcd":
        for watch in watches:
            store.show(watch, document)
    assert store.writes == list("abcd")


Steps = st.lists(
    st.tuples(
        st.sampled_from(["", "", "", "", "refused", "lost", "restart", "flush", "change"]),
        st.integers(0, 3),
        st.integers(0, 2),
    ),
    max_size=80,
)
"""What happens, to which watch, and by how many versions of the policy its snapshot lags."""


class Play:
    """Some watches over one store, while the policy changes."""

    def __init__(self, number: int) -> None:
        self.store = Shared()
        self.watches = [self.store.start() for _ in range(number)]
        self.policy = ["a"]

    def step(self, what: str, who: int, lag: int) -> None:
        """Let one thing happen."""
        who %= len(self.watches)
        if what == "change":
            self.policy.append("abcd"[(ord(self.policy[-1]) + who) % 4])
        elif what == "flush":
            self.store.mark = None
        elif what == "restart":
            self.watches[who] = self.store.start()
        else:
            version = self.policy[max(0, len(self.policy) - 1 - lag)]
            self.store.show(self.watches[who], version, what)


@given(st.integers(1, 4), Steps, st.randoms(use_true_random=False))
def test_all_come_to_the_last_policy_whatever_came_before(
    number: int, steps: list[tuple[str, int, int]], chance: random.Random
) -> None:
    """Once each has had it a few times, in whatever order, it stands, and nobody writes again.

    Before that come late and old snapshots, restarts, flushes, failed writes and lost answers.
    """
    play = Play(number)
    for step in steps:
        play.step(*step)
    before = len(play.store.writes)
    last = [who for who in range(number) for _ in range(PATIENCE)]
    chance.shuffle(last)
    for who in last:
        play.step("", who, 0)
    assert play.store.mark
    assert play.store.mark.digest == play.policy[-1]
    assert len(play.store.writes) <= before + 2 * number
    settled = len(play.store.writes)
    for who in last:
        assert play.store.show(play.watches[who], play.policy[-1]) is Turn.WRITE
    assert len(play.store.writes) == settled


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc"))))
def test_writes_are_bounded_in_any_order_of_what_stays(
    number: int, order: list[tuple[int, str]]
) -> None:
    """Watches that each say one thing for ever replace each other's a few times, then rest."""
    store = Shared()
    watches = [store.start() for _ in range(number)]
    says = {who % number: document for who, document in order}
    for who, _ in order * 20:
        store.show(watches[who % number], says[who % number])
    assert len(store.writes) <= len(says) * (1 + len(set(says.values())))


@given(st.integers(1, 3), Steps, st.randoms(use_true_random=False))
def test_stuck_watch_does_not_win_over_those_that_follow(
    healthy: int, steps: list[tuple[str, int, int]], chance: random.Random
) -> None:
    """After a change of policy that it does not hear of, it is left alone with its opinion."""
    play = Play(healthy)
    stuck = play.store.start()
    play.store.show(stuck, "stuck")
    for what, who, lag in steps:
        play.step(what, who, lag)
        play.store.show(stuck, "stuck")
    play.policy.append("new")
    order = [who for who in range(healthy + 1) for _ in range(10 * PATIENCE)]
    chance.shuffle(order)
    for who in (*range(healthy), *order):
        if who < healthy:
            play.step("", who, 0)
        else:
            play.store.show(stuck, "stuck")
    for who in order:
        if who < healthy:
            play.step("", who, 0)
    assert play.store.mark
    assert play.store.mark.digest == "new"
