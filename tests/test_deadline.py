"""Deadlines: whatever the time is spent on, it is bounded."""

from __future__ import annotations

import textwrap

import pytest
from support.scripts import output_of


@pytest.mark.parametrize(
    "slow",
    [
        pytest.param("time.sleep(60)", id="one-long-call"),
        pytest.param("while True: time.sleep(0.01)", id="many-short-calls"),
        pytest.param("while True: pass", id="computing"),
        pytest.param("for byte in trickle(): time.sleep(0.01)", id="trickle"),
        pytest.param(
            "while True:\n    try: 1 / 0\n    except Exception: pass", id="swallowing-errors"
        ),
    ],
)
def test_deadline_bounds_everything_inside(slow: str) -> None:
    """However its content spends the time, the context ends with the message."""
    text = f"""
try:
    with deadline(0.2, SourceError("too slow")):
{textwrap.indent(slow, " " * 8)}
except SourceError as why:
    say(why, why.exit_code.name)
"""
    assert output_of(text) == ["too slow SOURCE"]


def test_deadline_that_is_met_leaves_nothing_behind() -> None:
    """After the context no alarm is set, and the former handler is back."""
    text = """
        former = signal.signal(signal.SIGALRM, lambda *_: say("former"))
        former = signal.getsignal(signal.SIGALRM)
        for failing in (False, True):
            try:
                with deadline(60, SourceError("never")):
                    say(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
                    if failing:
                        raise ValueError
            except ValueError:
                say("error")
            say(signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM) is former)
    """
    assert output_of(text) == ["True", "(0.0, 0.0) True", "True", "error", "(0.0, 0.0) True"]


@pytest.mark.parametrize(
    ("outer", "inner", "said"),
    [
        pytest.param(0.2, 60, "outer", id="outer-sooner"),
        pytest.param(60, 0.2, "inner", id="inner-sooner"),
    ],
)
def test_sooner_of_two_deadlines_counts(outer: float, inner: float, said: str) -> None:
    """A deadline inside another neither puts it off nor is put off by it."""
    text = f"""
        try:
            with deadline({outer}, SourceError("outer")):
                while True:
                    with deadline({inner}, SourceError("inner")):
                        time.sleep(0.3)
        except SourceError as why:
            say(why)
    """
    assert output_of(text) == [said]


def test_many_deadlines_do_not_put_off_the_one_around_them() -> None:
    """Short contexts with deadlines of their own, one after another, still end with the outer."""
    text = """
        try:
            with deadline(0.3, SourceError("outer")):
                while True:
                    with deadline(0.25, SourceError("inner")):
                        time.sleep(0.01)
        except SourceError as why:
            say(why)
    """
    assert output_of(text) == ["outer"]


def test_deadline_that_passes_just_as_its_content_ends_is_met_or_not() -> None:
    """Whichever comes first, there is nothing between the end of the content and the error."""
    text = """
        late = 0
        for _ in range(5000):
            end = time.perf_counter() + 0.0002
            try:
                with deadline(0.0002, SourceError("late")):
                    while time.perf_counter() < end:
                        pass
            except SourceError:
                late += 1
        say(0 < late <= 5000, signal.getitimer(signal.ITIMER_REAL))
    """
    assert output_of(text) == ["True (0.0, 0.0)"]
