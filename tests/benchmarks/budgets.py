"""The budgets of the specification: what was allowed, what was measured, pass or short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import memory, starts, table
from benchmarks.chain import Chain
from benchmarks.data import make_sample
from benchmarks.followers import FIRST_ATTEMPT, Follower, start_watch
from benchmarks.measure import Spread, ratios
from benchmarks.paths import time_of_floor, time_of_keeping, time_of_parsing, time_of_text
from benchmarks.scale import Scale


class Row(NamedTuple):
    """One budget and what was measured."""

    name: str
    budget: float
    measured: Spread | None
    note: str = ""
    """Why nothing was measured, or what else is to be reported."""
    at_least: bool = False
    """Whether the budget is a least, not a most."""
    unfinished: bool = False
    """Whether the truth is more than what was measured."""

    @property
    def verdict(self) -> str:
        """Compare the median with the budget."""
        if self.measured is None:
            return "skipped"
        ratio = self.measured.median
        kept = ratio >= self.budget if self.at_least else ratio <= self.budget
        return "pass" if kept else "short"


def show_budgets(scale: Scale, folder: Path) -> None:
    """Measure every budget, and print the table."""
    rows = [row for measure in _MEASURES for row in measure(scale, folder)]
    notes = ["CPU time in this process; time on the clock for processes and the whole way."]
    notes += [f"{row.name}: {row.note}" for row in rows if row.note]
    if not scale.judged:
        notes.append("Too few hosts to judge by: the budgets are meant for full sizes.")
    head = ("ratio", "budget", "median (least to most)", "verdict")
    table.show("Budgets", head, [_cells(row, scale) for row in rows], *notes)


def _cells(row: Row, scale: Scale) -> tuple[str, str, str, str]:
    budget = f"{'at least' if row.at_least else 'at most'} {row.budget:g}"
    measured = table.spread(row.measured) if row.measured else "-"
    verdict = row.verdict if scale.judged or row.measured is None else "not judged"
    return row.name, budget, f"> {measured}" if row.unfinished else measured, verdict


def _text(scale: Scale, _: Path) -> Iterator[Row]:
    sample = make_sample(scale.hosts)
    measured = ratios(time_of_text(sample), time_of_floor(sample), scale.repeat)
    name = f"event of {scale.hosts:,} hosts to text / json.loads + json.dumps(indent=2)"
    yield Row(name, 1.25, Spread.of(measured))


def _unchanged(scale: Scale, folder: Path) -> Iterator[Row]:
    sample = make_sample(scale.hosts)
    ours = time_of_keeping(sample, folder / "kept.yml")
    measured = ratios(ours, time_of_parsing(sample), scale.repeat)
    name = f"unchanged snapshot of {scale.hosts:,} hosts / json.loads"
    yield Row(name, 1.3, Spread.of(measured), "The file kept its inode and its time each time.")


def _growth(scale: Scale, _: Path) -> Iterator[Row]:
    few, many = scale.growth
    large, small = (time_of_text(make_sample(number)) for number in (many, few))
    measured = ratios(large, small, scale.repeat)
    yield Row(f"event to text, {many:,} hosts / {few:,} hosts", 11, Spread.of(measured))


def _start(scale: Scale, _: Path) -> Iterator[Row]:
    ours = starts.time_of_process(starts.PARSE_HOST)
    click = starts.time_of_process(starts.IMPORT_CLICK)
    measured = ratios(ours, click, scale.starts)
    yield Row("parse-host ENTRY / python -c 'import click'", 1.5, Spread.of(measured))


def _memory(scale: Scale, folder: Path) -> Iterator[Row]:
    few, many = scale.snapshots
    grown = f"memory after {many:,} snapshots of {scale.snapshot_hosts:,} hosts / after {few}"
    taken = f"memory that a snapshot of {scale.hosts:,} hosts takes at most / its size"
    if memory.NO_PROC:
        yield Row(grown, 1.05, None, memory.NO_PROC)
        yield Row(taken, 4.0, None, memory.NO_PROC)
        return
    runs = range(scale.processes)
    ratio = [memory.growth_with_snapshots(scale, folder / f"grown-{run}") for run in runs]
    yield Row(grown, 1.05, Spread.of(ratio))
    sample = make_sample(scale.hosts)
    peaks = [memory.peak_of_snapshot(sample, folder / f"peak-{run}") for run in runs]
    shown = (peaks[0].event, peaks[0].idle, peaks[0].highest, peaks[0].after)
    event, idle, highest, after = map(table.megabytes, shown)
    note = f"event {event} MB; watch idle {idle} MB, at most {highest} MB, afterwards {after} MB."
    yield Row(taken, 4.0, Spread.of(peak.ratio for peak in peaks), note)


def _traefik(scale: Scale, folder: Path) -> Iterator[Row]:
    name = f"event of {scale.hosts:,} hosts to file / Traefik's file to last route live"
    with Chain(folder / "chain", scale.hosts, scale.limit) as chain:
        pairs = [chain.pair() for _ in range(scale.repeat)]
    measured = [each.to_file / each.traefik for each in pairs if each.to_file and each.traefik]
    missed = scale.repeat - len(measured)
    note = f"{missed} of {scale.repeat} not done within {scale.limit:g} s." if missed else ""
    yield Row(name, 0.10, Spread.of(measured) if measured else None, note)


def _first_attempt(scale: Scale, folder: Path) -> Iterator[Row]:
    name = f"SSEClient(requests.get()) + ruamel.yaml / watch, {scale.hosts:,} hosts"
    samples = [make_sample(scale.hosts, version) for version in range(1, scale.repeat + 1)]
    with Follower(start_watch, folder / "ours.yml") as watch:
        times = [watch.take(sample, scale.limit) for sample in samples]
    ours = [seconds for seconds in times if seconds]
    with Follower(FIRST_ATTEMPT, folder / "first.yml") as first:
        theirs = first.take(samples[0], scale.limit)
    measured = Spread.of((theirs or scale.limit) / each for each in ours)
    note = "" if theirs else f"It was stopped unfinished after {scale.limit:g} s."
    yield Row(name, 100, measured, note, at_least=True, unfinished=theirs is None)


_MEASURES: tuple[Callable[[Scale, Path], Iterator[Row]], ...] = (
    _text,
    _unchanged,
    _growth,
    _start,
    _memory,
    _traefik,
    _first_attempt,
)
