"""The budgets of the specification: what was allowed, what was measured, pass or short."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import memory, starts, table
from benchmarks.data import edit, make_sample, policy_of, with_comments
from benchmarks.former import COMMIT, FormerBuild, NoFormerBuild
from benchmarks.measure import Spread, cpu_seconds, ratios
from benchmarks.paths import (
    Poller,
    keep,
    time_of_floor,
    time_of_keeping,
    time_of_parsing,
    time_of_polling,
    time_of_text,
)
from benchmarks.scale import Scale

from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.output.file import FileOutput


class Row(NamedTuple):
    """One budget and what was measured."""

    name: str
    budget: float
    measured: Spread | None
    note: str = ""
    """Why nothing was measured, or what else is to be reported."""

    @property
    def verdict(self) -> str:
        """Compare the median with the budget."""
        if self.measured is None:
            return "skipped"
        return "pass" if self.measured.median <= self.budget else "short"


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
    measured = table.spread(row.measured) if row.measured else "-"
    verdict = row.verdict if scale.judged or row.measured is None else "not judged"
    return row.name, f"at most {row.budget:g}", measured, verdict


def _text(scale: Scale, _: Path) -> Iterator[Row]:
    sample = make_sample(scale.hosts)
    measured = ratios(time_of_text(sample), time_of_floor(sample), scale.repeat)
    name = f"event of {scale.hosts:,} hosts to text / json.loads + json.dumps(indent=2)"
    yield Row(name, 1.0, Spread.of(measured))


def _edited(scale: Scale, folder: Path) -> Iterator[Row]:
    polled = f"one of {scale.hosts:,} entries edited, polled policy to file / {COMMIT[:7]}, event"
    streamed = f"one of {scale.hosts:,} entries edited, event to file / {COMMIT[:7]}, event"
    try:
        times = _times_of_edits(scale, folder)
    except NoFormerBuild as why:
        yield Row(polled, 0.35, None, str(why))
        yield Row(streamed, 0.5, None, str(why))
        return
    policy = "The policy has a comment at each tenth line."
    yield Row(polled, 0.35, Spread.of(poll / former for poll, _, former in times), policy)
    yield Row(streamed, 0.5, Spread.of(stream / former for _, stream, former in times))


def _times_of_edits(scale: Scale, folder: Path) -> list[tuple[float, float, float]]:
    """Measure the polled policy, the event, and the former build, with one edit after another."""
    sample = make_sample(scale.hosts)
    reconciler = Reconciler(FileOutput(folder / "streamed.yml"))
    times = []
    with FormerBuild(folder / "former") as former, Poller(folder / "polled.yml") as poller:
        for version in range(scale.repeat + 2):  # the first two warm up
            poller.offer(with_comments(policy_of(sample)))
            gc.collect()
            taken = poller.poll(), cpu_seconds(keep, reconciler, sample.pieces)
            times.append((*taken, former.take(sample)))
            sample = edit(sample, version)
        texts = {path.read_text() for path in folder.rglob("*.yml")}
        if len(texts) > 1:
            raise RuntimeError("the builds have written different routes")
    return times[2:]


def _unchanged(scale: Scale, folder: Path) -> Iterator[Row]:
    sample, polled = make_sample(scale.hosts), folder / "unchanged.yml"
    with Poller(polled) as poller:
        polling = time_of_polling(sample, poller, polled, scale.polls)
        measured = ratios(polling, time_of_parsing(policy_of(sample)), scale.repeat)
    name = f"unchanged poll of {scale.hosts:,} entries, body there / json.loads"
    yield Row(name, 0.05, Spread.of(measured), "The file was not written again, nor in the next.")
    keeping = time_of_keeping(sample, folder / "kept.yml")
    measured = ratios(keeping, time_of_parsing(sample.data), scale.repeat)
    yield Row(f"unchanged event of {scale.hosts:,} hosts / json.loads", 1.0, Spread.of(measured))


def _hub(_scale: Scale, _folder: Path) -> Iterator[Row]:
    note = "It takes minutes: see the section of the hub."
    yield Row("event to live on three Traefiks by the HTTP provider / by one file", 0.9, None, note)


def _growth(scale: Scale, _: Path) -> Iterator[Row]:
    few, many = scale.growth
    large, small = (time_of_text(make_sample(number)) for number in (many, few))
    measured = ratios(large, small, scale.repeat)
    yield Row(f"event to text, {many:,} hosts / {few:,} hosts", 11, Spread.of(measured))


def _start(scale: Scale, folder: Path) -> Iterator[Row]:
    cache = folder / "bytecode"
    ours = starts.time_of_process(starts.PARSE_HOST, cache)
    click = starts.time_of_process(starts.IMPORT_CLICK, cache)
    measured = ratios(ours, click, scale.starts)
    yield Row("parse-host ENTRY / python -c 'import click'", 1.4, Spread.of(measured))


def _memory(scale: Scale, folder: Path) -> Iterator[Row]:
    few, many = scale.snapshots
    resting = "memory of watch at rest, 100 routes / import click, requests, sseclient"
    grown = f"memory after {many:,} snapshots of {scale.snapshot_hosts:,} hosts / after {few}"
    if memory.NO_PROC:
        yield Row(resting, 1.15, None, memory.NO_PROC)
        yield Row(grown, 1.05, None, memory.NO_PROC)
        return
    runs = range(scale.processes)
    ratio = [memory.at_rest(folder / f"rest-{run}") / memory.of_libraries() for run in runs]
    yield Row(resting, 1.15, Spread.of(ratio))
    ratio = [memory.growth_with_snapshots(scale, folder / f"grown-{run}") for run in runs]
    yield Row(grown, 1.05, Spread.of(ratio))


_MEASURES: tuple[Callable[[Scale, Path], Iterator[Row]], ...] = (
    _text,
    _edited,
    _unchanged,
    _hub,
    _growth,
    _start,
    _memory,
)
