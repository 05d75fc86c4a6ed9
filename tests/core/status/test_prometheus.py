"""The metrics: read by the official parsers, named by Prometheus' rules, kept by the process."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from support.commands import Watch
from support.endpoints import Feed, ScriptedEndpoint, event, snapshot
from support.entries import hosts
from support.statuses import AT, FULL

from ctsdns_traefik.core.status.prometheus import METRICS, PREFIX, metrics_to_text
from ctsdns_traefik.core.status.status import Status
from ctsdns_traefik.daemon.events import RoutesCounted, Stopped


def families(text: str) -> dict[str, Metric]:
    """Read a text with the official client's parser; by name, counters without ``_total``."""
    return {each.name.removeprefix(PREFIX): each for each in text_string_to_metric_families(text)}


def values(text: str) -> dict[str, float]:
    """Return each sample's value by its name, with the values of its labels."""
    return {
        " ".join([sample.name.removeprefix(PREFIX), *sample.labels.values()]): sample.value
        for family in families(text).values()
        for sample in family.samples
    }


def test_every_value() -> None:
    """The parser finds each value of a status, under its name and labels."""
    assert values(metrics_to_text(FULL, AT)) == {
        "updated_timestamp_seconds": AT,
        "build_info 1.2.3": 1,
        "up": 1,
        "start_time_seconds": AT - 100,
        "connected": 1,
        "last_event_timestamp_seconds": AT - 1,
        "last_snapshot_timestamp_seconds": AT - 2,
        "last_applied_timestamp_seconds": AT - 32,
        "last_write_timestamp_seconds": AT - 60,
        "routes tcp": 1,
        "routes web": 3,
        "refused_entries": 102,
        "held_routes": 3,
        "output_error": 1,
        "machine_problems unknown-machine": 102,
        "machine_problems machine-offline": 0,
        "machine_problems machine-expired": 0,
        "machines_error": 1,
        "writer": 0,
        "access_error": 1,
        "hook_error": 1,
        "traefik_checked_timestamp_seconds": AT - 57,
        "traefik_error": 0,
        "traefik_routers loaded": 2,
        "traefik_routers missing": 1,
        "traefik_routers lingering": 1,
        "traefik_routers disabled": 2,
        "consecutive_failures": 2,
        "snapshots_total trusted": 3,
        "snapshots_total untrusted": 4,
        "worker_errors_total": 5,
        "connections_total": 1,
        "connection_failures_total": 2,
        "writes_total": 6,
        "write_errors_total": 7,
    }


def test_what_is_not_known_is_not_there() -> None:
    """Before the first snapshot there are no times of it, rather than times of 1970."""
    samples = values(metrics_to_text(Status(version="1", started=AT), AT))
    unknown = ("last_", "routes", "hook_", "traefik_", "access_", "machine")
    assert not any(name.startswith(unknown) for name in samples)
    assert (samples["connected"], samples["snapshots_total trusted"], samples["up"]) == (0, 0, 1)
    assert values(metrics_to_text(Status().after(Stopped("SIGTERM"), AT), AT))["up"] == 0


def test_every_metric_has_help_and_type_once() -> None:
    """Help and type stand before the samples, once each, and a counter's name says what it is."""
    text = metrics_to_text(FULL, AT)
    assert text.endswith("\n")
    for metric in METRICS:
        name = PREFIX + metric.name
        assert text.count(f"# HELP {name} ") == text.count(f"# TYPE {name} {metric.kind}\n") == 1
        assert (metric.kind == "counter") == name.endswith("_total")
        assert re.fullmatch("[a-z_]+", name)
    assert len(families(text)) == len(METRICS) + 1


@pytest.mark.parametrize(
    ("entrypoint", "label"),
    [
        pytest.param('a"} 5', 'a"} 5', id="quote"),
        pytest.param("a\\", "a\\", id="backslash"),
        pytest.param("a\nb 1", r"a\nb 1", id="line-end"),
        pytest.param("é", "é", id="beyond-ascii"),
        pytest.param("\udcff", r"\udcff", id="surrogate"),
    ],
)
def test_label_is_escaped(entrypoint: str, label: str) -> None:
    """Whatever an entrypoint in somebody's file is called, it is one label's value."""
    text = metrics_to_text(Status().after(RoutesCounted({entrypoint: 2}), AT), AT)
    text.encode()
    (sample,) = families(text)["routes"].samples
    assert (sample.labels, sample.value) == ({"entrypoint": label}, 2)


def test_file_is_kept(path: Path, tmp_path: Path) -> None:
    """The metrics of a running watch are in its file, readable to all, and nothing beside it."""
    metrics = tmp_path / "textfile" / "ctsdns_traefik.prom"
    metrics.parent.mkdir()
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--metrics-file", str(metrics)) as watch,
    ):
        watch.until(metrics.exists, "no metrics")
        feed.send(snapshot(hosts("abc")), event("error", {"message": "quota"}))
        feed.send(event("machines-snapshot", {"machines": []}))

        def reported() -> bool:
            samples = values(metrics.read_text())
            wanted = ("routes web", "worker_errors_total", "snapshots_total untrusted")
            return [samples.get(name) for name in wanted] == [3, 1, 1]

        watch.until(reported, "the metrics are not there")
        assert stat.S_IMODE(metrics.stat().st_mode) == 0o644
        assert watch.stop() == 0
        assert watch.log.count("WARNING") == 2
    samples = values(metrics.read_text())
    assert (samples["up"], samples["connected"], samples["writes_total"]) == (0, 0, 2)
    assert list(metrics.parent.iterdir()) == [metrics]


def test_temporary_file_is_none_that_the_collector_reads(path: Path, tmp_path: Path) -> None:
    """The collector loads every .prom file: no other name here ever ends so."""
    folder = tmp_path / "textfile"
    folder.mkdir()
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--metrics-file", str(folder / "x.prom")) as watch,
    ):
        watch.until((folder / "x.prom").exists, "no metrics")
        names = set()
        for number in range(40):
            feed.send(snapshot(hosts("ab"[: 1 + number % 2])))
            for _ in range(50):
                names |= {each.name for each in folder.iterdir() if each.suffix == ".prom"}
        assert names == {"x.prom"}


def test_name_that_no_collector_reads_is_warned_of(path: Path, tmp_path: Path) -> None:
    """A file that does not end in .prom is kept all the same, with one warning."""
    metrics = tmp_path / "metrics.txt"
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--metrics-file", str(metrics)) as watch,
    ):
        watch.until(metrics.exists, "no metrics")
        watch.until_logged("connected to")
        line = f"WARNING node_exporter reads metrics only from .prom files, not {metrics}"
        assert watch.lines.count(line) == 1
