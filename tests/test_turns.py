"""Whose turn it is to write: watches that agree do not wait, those that do not come to rest."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.turns import PATIENCE, Mark, Turn, Turns


class Shared:
    """A store, in little: what was written last, and by whom."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.mark: Mark | None = None
        self.writes: list[str] = []
        self._stamps = count()

    def show(self, turns: Turns, document: str) -> Turn:
        """Let a watch take a snapshot, and write if it is its turn."""
        turn = turns.take(document, self.mark)
        if turn is Turn.WRITE and (self.mark is None or self.mark.digest != document):
            self.mark = Mark(document, str(next(self._stamps)))
            turns.wrote(self.mark)
            self.writes.append(document)
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


def test_watches_that_disagree_for_good_come_to_rest_and_say_so() -> None:
    """Two policies, access files or versions: each overwrites the other once at the most."""
    store = Shared()
    first, second = store.start(), store.start()
    store.show(first, "a")
    turns = [(store.show(first, "a"), store.show(second, "b")) for _ in range(10 * PATIENCE)]
    assert len(store.writes) <= 4
    assert Turn.DISAGREE in turns[-1]
    assert store.writes.count("a") <= 2


def test_restarted_watch_writes_what_it_finds_changed_at_once() -> None:
    """A policy that changed while the only watch was down waits for nothing."""
    store = Shared()
    store.show(store.start(), "a")
    store.show(store.start(), "b")
    assert store.writes == ["a", "b"]


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
