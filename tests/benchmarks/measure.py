"""Taking times: CPU or wall, one candidate at a time, and what several of them say together."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any, NamedTuple, Self

from support.progress import LINE


class Spread(NamedTuple):
    """Several measurements of one thing."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Sum up some values."""
        found = list(values)
        return cls(median(found), min(found), max(found))


def cpu_seconds(act: Callable[..., Any], *arguments: Any, times: int = 1) -> float:
    """Take the CPU time of a call, the mean of some in a row, with nothing left from before."""
    return _seconds(time.process_time, act, arguments, times)


def wall_seconds(act: Callable[..., Any], *arguments: Any, times: int = 1) -> float:
    """Take the time on the clock of a call, waiting included, the mean of some in a row."""
    return _seconds(time.perf_counter, act, arguments, times)


def _seconds(
    clock: Callable[[], float], act: Callable[..., Any], arguments: tuple[Any, ...], times: int
) -> float:
    gc.collect()
    began = clock()
    for _ in range(times):
        act(*arguments)
    seconds = (clock() - began) / times
    LINE.step(getattr(act, "__name__", ""))  # between the measurements, which it does not disturb
    return seconds


def ratios(ours: Callable[[], float], other: Callable[[], float], pairs: int) -> list[float]:
    """Measure two things by turns; return what one takes of the other, pair by pair."""
    ours()  # warm up
    other()
    return [ours() / other() for _ in range(pairs)]
