"""Where the time goes: every step from bytes to the file, and the whole way to the route."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks import memory, starts, table
from benchmarks.chain import Chain, Times
from benchmarks.data import Sample, make_sample
from benchmarks.measure import Spread, cpu_seconds, wall_seconds
from benchmarks.scale import Scale
from support.commands import COMMAND

from ctsdns_traefik.core.dynamic.diff import compare, outline
from ctsdns_traefik.core.dynamic.document import build_document, to_text
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot
from ctsdns_traefik.output.file import write_if_changed
from ctsdns_traefik.source.stream import read_events

_ENOUGH = 2_000
"""Hosts that one measurement is to handle: fewer are handled several times in a row."""


def show_pieces(scale: Scale, folder: Path) -> None:
    """Measure every step for each size, and print the table."""
    columns = [_column(size, scale, folder / "step.yml") for size in scale.sizes]
    names = list(columns[0])
    rows = [[name, *(column[name] for column in columns)] for name in names]
    head = ("milliseconds", *(f"{size:,} hosts" for size in scale.sizes))
    notes = "CPU time of each step on its own; time on the clock for the file."
    table.show("Pieces", head, rows, f"Medians of {scale.repeat}. {notes}")


def _column(size: int, scale: Scale, file: Path) -> dict[str, str]:
    sample = make_sample(size)
    taken = dict.fromkeys(_STEPS, 0.0)
    for name, prepare in _STEPS.items():
        act = prepare(sample)
        times = max(1, _ENOUGH // size)
        taken[name] = median(cpu_seconds(act, times=times) for _ in range(scale.repeat))
    taken["write + fsync"] = median(_time_of_write(sample, size, file) for _ in range(scale.repeat))
    total = sum(taken.values())
    return {
        "event, MB": table.megabytes(len(sample.event)),
        **{name: table.milliseconds(seconds) for name, seconds in taken.items()},
        "total": table.milliseconds(total),
        "total, µs a host": table.number(total / size * 1e6),
    }


def _time_of_write(sample: Sample, size: int, file: Path) -> float:
    """Replace another version, of the same length."""
    write_if_changed(file, render(make_sample(size, 2).hosts).text.encode())
    content = render(sample.hosts).text.encode()
    return wall_seconds(write_if_changed, file, content)


def _framing(sample: Sample) -> Callable[[], object]:
    pieces = sample.pieces
    return lambda: next(read_events(pieces))


def _json(sample: Sample) -> Callable[[], object]:
    return lambda: hosts_of_snapshot(sample.data)


def _hosts(sample: Sample) -> Callable[[], object]:
    return lambda: read_hosts(sample.hosts)


def _routes(sample: Sample) -> Callable[[], object]:
    entries, _ = read_hosts(sample.hosts)
    return lambda: plan_routes(entries)


def _document(sample: Sample) -> Callable[[], object]:
    routes = render(sample.hosts).routes
    return lambda: build_document(routes)


def _text(sample: Sample) -> Callable[[], object]:
    document = render(sample.hosts).document
    return lambda: to_text(document)


def _compare(sample: Sample) -> Callable[[], object]:
    new = render(sample.hosts).document
    old = render(make_sample(len(sample.hosts), 2).hosts).document
    before = outline(old)
    return lambda: compare(before, outline(new))


_STEPS: dict[str, Callable[[Sample], Callable[[], object]]] = {
    "framing": _framing,
    "UTF-8 + JSON": _json,
    "hosts": _hosts,
    "routes": _routes,
    "document": _document,
    "text": _text,
    "compare": _compare,
}


def show_starts(scale: Scale, folder: Path) -> None:
    """Measure commands that end by themselves and a watch that has nothing to do; print both."""
    snapshot = folder / "snapshot.json"
    snapshot.write_bytes(make_sample(10).data)
    commands = {
        "python -c 'import click'": starts.IMPORT_CLICK,
        "--version": [*COMMAND, "--version"],
        "parse-host ENTRY": starts.PARSE_HOST,
        "render-once FILE of 10 hosts": starts.render_once(snapshot),
    }
    measures = {
        name: starts.time_of_process(command, folder / "bytecode")
        for name, command in commands.items()
    }
    rounds = [{name: take() for name, take in measures.items()} for _ in range(scale.starts)]
    rows = [[name, *_three(Spread.of(each[name] * 1000 for each in rounds))] for name in measures]
    head = ("process from start to end", "median ms", "least", "most")
    table.show("Starts", head, rows, f"Of {scale.starts} by turns. {_at_rest(folder)}")


def _three(values: Spread) -> list[str]:
    return [table.number(value) for value in values]


def _at_rest(folder: Path) -> str:
    if memory.NO_PROC:
        return f"Memory of a watch at rest: not measured, {memory.NO_PROC}."
    resident = memory.at_rest(folder / "rest")
    return f"A watch at rest with 100 routes keeps {table.megabytes(resident)} MB resident."


def show_chain(scale: Scale, folder: Path) -> None:
    """Measure the way from the socket to the route for each size, and print the table."""
    rows = []
    for size in scale.sizes:
        with Chain(folder / f"chain-{size}", size, scale.limit) as chain:
            rounds = [chain.whole()]
            while len(rounds) < scale.repeat and sum(map(_known, rounds[0])) < 10:
                rounds.append(chain.whole())
        rows.append([f"{size:,} hosts", *_chain_cells(rounds, scale)])
    head = ("milliseconds", "event to file", "event to live route", "Traefik alone")
    notes = "By the clock, from the event's first byte; Traefik with no throttle, the last route."
    table.show("Whole way", head, rows, f"Medians of at most {scale.repeat}. {notes}")


def _known(seconds: float | None) -> float:
    return 1e9 if seconds is None else seconds


def _chain_cells(rounds: list[Times], scale: Scale) -> list[str]:
    columns = zip(*((each.to_file, each.to_route, each.traefik) for each in rounds), strict=True)
    return [
        f"> {scale.limit * 1000:,.0f}" if None in column else table.milliseconds(median(column))
        for column in columns
    ]
