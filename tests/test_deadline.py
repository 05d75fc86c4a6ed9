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
    with deadline(0.2, "too slow"):
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
                with deadline(60, "never"):
                    say(signal.getitimer(signal.ITIMER_REAL)[0] > 0)
                    if failing:
                        raise ValueError
            except ValueError:
                say("error")
            say(signal.getitimer(signal.ITIMER_REAL), signal.getsignal(signal.SIGALRM) is former)
    """
    assert output_of(text) == ["True", "(0.0, 0.0) True", "True", "error", "(0.0, 0.0) True"]
