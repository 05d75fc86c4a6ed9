"""Ours beside what others would write: from the event on the socket to the whole file."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import table
from benchmarks.data import Sample, make_sample
from benchmarks.followers import (
    FIRST_ATTEMPT,
    SECOND_ATTEMPT,
    Follower,
    Start,
    missing_tools,
    start_shell,
    start_watch,
)
from benchmarks.measure import wall_seconds
from benchmarks.paths import document_of, parse_and_dump
from benchmarks.scale import Scale
from ruamel.yaml import YAML

OURS = "ctsdns-traefik watch"
SHELL = "curl -sN, sed -un, jq -c"
FLOOR = "json.loads + json.dumps alone"
FOLLOWERS: dict[str, Start] = {
    OURS: start_watch,
    "SSEClient(response) + ruamel.yaml": FIRST_ATTEMPT,
    "SSEClient(iter_content(None)) + json.dumps": SECOND_ATTEMPT,
    SHELL: start_shell,
}

_LONG = 5.0
"""Seconds that a peer may take to be measured again."""


def show_peers(scale: Scale, folder: Path) -> None:
    """Measure all for each size, see that they agree, and print the tables."""
    missing = missing_tools()
    starts = {name: start for name, start in FOLLOWERS.items() if name != SHELL or not missing}
    agreed = _require_same_routes(starts, folder / "agree", scale)
    columns = [_Column(size, scale, starts, folder / f"peers-{size}") for size in scale.sizes]
    rows = [[name, *(column.cell(name) for column in columns)] for name in [*FOLLOWERS, FLOOR]]
    if missing:
        for row in rows:
            row[1:] = [f"no {missing[0]}"] * len(columns) if row[0] == SHELL else row[1:]
    head = ("milliseconds (times ours)", *(f"{size:,} hosts" for size in scale.sizes))
    notes = "By the clock, all connected before, by turns; none but ours checks anything."
    table.show("Peers", head, rows, f"Medians of at most {scale.repeat}. {notes}", agreed)


class _Column:
    """What all take for one size."""

    def __init__(self, size: int, scale: Scale, starts: dict[str, Start], folder: Path) -> None:
        self._limit = scale.limit
        self._times: dict[str, list[float | None]] = {name: [] for name in [*starts, FLOOR]}
        folder.mkdir()
        with ExitStack() as stack:
            followers = {
                name: stack.enter_context(Follower(start, folder / f"{number}.yml"))
                for number, (name, start) in enumerate(starts.items())
            }
            for version in range(1, scale.repeat + 1):
                self._measure(make_sample(size, version), followers)

    def _measure(self, sample: Sample, followers: dict[str, Follower]) -> None:
        for name, follower in list(followers.items()):
            follower.require_life()
            seconds = follower.take(sample, self._limit)
            self._times[name].append(seconds)
            if seconds is None or seconds > _LONG:
                followers.pop(name).close()
        document = document_of(sample)
        self._times[FLOOR].append(wall_seconds(parse_and_dump, sample.data, document))

    def cell(self, name: str) -> str:
        """Return the time and its ratio to ours."""
        ours, times = self._median(OURS), self._times.get(name, [])
        if not times:
            return "-"
        taken, sign = (self._median(name), "") if None not in times else (self._limit, "> ")
        ratio = f" ({sign}{table.number(taken / ours)})" if name != OURS else ""
        return f"{sign}{table.milliseconds(taken)}{ratio}"

    def _median(self, name: str) -> float:
        return median(self._limit if each is None else each for each in self._times[name])


def _require_same_routes(starts: dict[str, Start], folder: Path, scale: Scale) -> str:
    """Raise :class:`RuntimeError` unless everyone's document holds the same."""
    folder.mkdir()
    sample = make_sample(100)
    wanted = _routes_in(document_of(sample))
    for name, start in starts.items():
        with Follower(start, folder / "document.yml") as follower:
            if follower.take(sample, scale.limit) is None:
                raise RuntimeError(f"{name} does not finish 100 hosts")
            if _routes_in(_read(follower.file)) != wanted:
                raise RuntimeError(f"{name} makes other routes")
        follower.file.unlink()
    return f"All documents of 100 hosts hold the same {len(wanted)} rules and backends."


def _read(file: Path) -> Any:
    text = file.read_text()
    try:
        return json.loads(text)
    except ValueError:
        last = text.splitlines()[-1]
        return json.loads(last) if last.startswith("{") else YAML(typ="safe").load(text)


def _routes_in(document: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    """Return each router's name, entrypoint, rule and backend."""
    return {
        (name, *router["entryPoints"], router["rule"], *backend)
        for parts in document.values()
        for name, router in parts["routers"].items()
        for backend in [parts["services"][router["service"]]["loadBalancer"]["servers"][0].values()]
    }
