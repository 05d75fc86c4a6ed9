"""Write a status in Prometheus' text format, which node_exporter's textfile collector reads.

The format is ten lines, for which Prometheus' own client would be one more package to install.

https://prometheus.io/docs/instrumenting/exposition_formats/ has the format (version 0.0.4),
https://prometheus.io/docs/practices/naming/ the rules for names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ctsdns_traefik.core.problems import count_entries
from ctsdns_traefik.core.status.status import Role, State, Status
from ctsdns_traefik.core.text import printable

PREFIX = "ctsdns_traefik_"

_MACHINE_PROBLEMS = ("unknown-machine", "machine-offline", "machine-expired")

Labels = dict[str, str]
Sample = tuple[Labels, float]
Value = Callable[[Status], float | None]


class Metric(NamedTuple):
    """A metric, and how its samples are derived from a status."""

    name: str
    """Without :data:`PREFIX`."""
    kind: str
    """``gauge`` or ``counter``."""
    text: str
    samples: Callable[[Status], Iterable[Sample]]
    """No sample while the value is unknown."""


def metrics_to_text(status: Status, updated: float) -> str:
    """Return the text of all metrics with a value, each with its help and its type."""
    update = _gauge("updated_timestamp_seconds", "When all of this last held.", lambda _: updated)
    return "".join(line for metric in (update, *METRICS) for line in _lines(metric, status))


def _lines(metric: Metric, status: Status) -> Iterator[str]:
    samples = list(metric.samples(status))
    if not samples:
        return
    name = PREFIX + metric.name
    yield f"# HELP {name} {metric.text}\n# TYPE {name} {metric.kind}\n"
    for labels, value in samples:
        shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{'{' + shown + '}' if shown else ''} {_number(value)}\n"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", r"\\").replace('"', r"\"")


def _gauge(name: str, text: str, value: Value) -> Metric:
    return Metric(name, "gauge", text, _single(value))


def _counter(name: str, text: str, value: Value) -> Metric:
    return Metric(name, "counter", text, _single(value))


def _single(value: Value) -> Callable[[Status], Iterable[Sample]]:
    def samples(status: Status) -> Iterator[Sample]:
        number = value(status)
        if number is not None:
            yield {}, number

    return samples


def _build(status: Status) -> Iterator[Sample]:
    yield {"version": status.version}, 1


def _routes(status: Status) -> Iterator[Sample]:
    for entrypoint, number in status.routes.items():
        yield {"entrypoint": entrypoint}, number


def _snapshots(status: Status) -> Iterator[Sample]:
    yield {"result": "trusted"}, status.counters.snapshots_trusted
    yield {"result": "untrusted"}, status.counters.snapshots_untrusted


def _traefik(status: Status) -> Iterator[Sample]:
    verdict = status.traefik.verdict if status.traefik else None
    if verdict:
        yield {"state": "loaded"}, verdict.loaded
        yield {"state": "missing"}, len(verdict.missing)
        yield {"state": "lingering"}, len(verdict.lingering)
        yield {"state": "disabled"}, len(verdict.errors)


def _machines(status: Status) -> Iterator[Sample]:
    if status.machines and status.machines.checked is not None:
        codes = Counter(each.code for each in status.machines.problems)
        for code in _MACHINE_PROBLEMS:
            yield {"problem": code}, codes[code]


METRICS = (
    Metric("build_info", "gauge", "The version, as a label.", _build),
    _gauge("up", "1 while watch runs, 0 once it ends.", lambda s: s.state is not State.STOPPED),
    _gauge("start_time_seconds", "When watch started.", lambda s: s.started),
    _gauge("connected", "1 while there is a connection.", lambda s: s.state is State.CONNECTED),
    _gauge(
        "last_event_timestamp_seconds", "When an event of any kind came.", lambda s: s.last_event
    ),
    _gauge(
        "last_snapshot_timestamp_seconds",
        "When the last snapshot came that could be trusted.",
        lambda s: s.last_snapshot,
    ),
    _gauge(
        "last_applied_timestamp_seconds",
        "When the output was last known to hold what the last trusted snapshot wants.",
        lambda s: s.last_applied,
    ),
    _gauge(
        "last_write_timestamp_seconds", "When the output was last replaced.", lambda s: s.last_write
    ),
    Metric("routes", "gauge", "Routes in the output, by entrypoint.", _routes),
    _gauge(
        "refused_entries",
        "Entries of the last snapshot without a route.",
        lambda s: count_entries(s.refused),
    ),
    _gauge(
        "held_routes",
        "Routes whose removal waits for the next snapshot to agree.",
        lambda s: len(s.pending_removal.removed) if s.pending_removal else 0,
    ),
    _gauge(
        "output_error",
        "1 while the output does not hold what it should.",
        lambda s: s.output_error is not None,
    ),
    Metric(
        "machine_problems", "gauge", "Entries that lead to no live machine, by code.", _machines
    ),
    _gauge(
        "machines_error",
        "1 while Tailscale's list of machines cannot be read.",
        lambda s: s.machines.error is not None if s.machines else None,
    ),
    _gauge(
        "writer",
        "1 while this watch holds the writer lease of a store, 0 while it stands by.",
        lambda s: s.lease.role is Role.WRITER if s.lease else None,
    ),
    _gauge(
        "access_error",
        "1 while what the access file says is not in force.",
        lambda s: (s.access.error is not None or s.access.enforced is None) if s.access else None,
    ),
    _gauge(
        "hook_error",
        "1 if the command after the last change failed.",
        lambda s: s.hook.error is not None if s.hook else None,
    ),
    _gauge(
        "traefik_checked_timestamp_seconds",
        "When Traefik's API was last read.",
        lambda s: s.traefik.checked if s.traefik else None,
    ),
    _gauge(
        "traefik_error",
        "1 if Traefik's API gave no answer then.",
        lambda s: s.traefik.error is not None if s.traefik else None,
    ),
    Metric("traefik_routers", "gauge", "Routers written, by what Traefik made of them.", _traefik),
    _gauge(
        "consecutive_failures",
        "Connections that ended since the last trusted snapshot.",
        lambda s: s.consecutive_failures,
    ),
    Metric("snapshots_total", "counter", "Snapshots, by result.", _snapshots),
    _counter(
        "worker_errors_total",
        "Events in which the worker reports an error.",
        lambda s: s.counters.worker_errors,
    ),
    _counter("connections_total", "Connections made.", lambda s: s.counters.connections),
    _counter(
        "connection_failures_total",
        "Connections that ended, or could not be made.",
        lambda s: s.counters.connection_failures,
    ),
    _counter("writes_total", "Replacements of the output.", lambda s: s.counters.writes),
    _counter(
        "write_errors_total",
        "Snapshots that could not be written.",
        lambda s: s.counters.write_errors,
    ),
)
"""All metrics but the time of the text itself, which comes first."""
