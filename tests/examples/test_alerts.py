"""The alerts in examples/prometheus, tried with Prometheus' own promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.paths import ROOT

from ctsdns_traefik.core.status.prometheus import PREFIX, metrics_to_text
from ctsdns_traefik.core.status.status import Status

RULES = ROOT / "examples" / "prometheus" / "ctsdns-traefik.rules.yml"
README = RULES.with_name("README.md")

ALERTS = [
    rule["alert"]
    for group in YAML(typ="safe").load(RULES.read_text())["groups"]
    for rule in group["rules"]
]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool on this machine"
)

LIVING = {"updated_timestamp_seconds": "0+60x60", "up": "1x60", "start_time_seconds": "0x60"}
"""A watch that writes its metrics every minute, in promtool's notation, and is well otherwise."""

WELL = {
    **LIVING,
    "last_snapshot_timestamp_seconds": "0+60x60",
    "output_error": "0x60",
    "access_error": "0x60",
    'routes{entrypoint="web"}': "4x60",
    "traefik_error": "0x60",
    'traefik_routers{state="loaded"}': "4x60",
    'traefik_routers{state="disabled"}': "0x60",
    "hook_error": "0x60",
    "refused_entries": "0x60",
}


def series(values: dict[str, str]) -> list[dict[str, str]]:
    """Return the series as promtool wants them, all of one host."""
    found = []
    for name, numbers in values.items():
        metric, _, labels = name.rstrip("}").partition("{")
        of_host = ",".join(filter(None, [labels, 'instance="a"']))
        found.append({"series": f"{PREFIX}{metric}{{{of_host}}}", "values": numbers})
    return found


def firing(values: dict[str, str], folder: Path, minute: int) -> set[str]:
    """Return the alerts that fire then: those that promtool finds where it was told of none."""
    expected = [
        {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []} for alert in ALERTS
    ]
    content: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series(values), "alert_rule_test": expected}],
    }
    path = folder / "tests.yml"
    path.write_text(json.dumps(content))
    done = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    found = set(re.findall(r"alertname: *(\w+), time:", done.stderr + done.stdout))
    assert bool(done.returncode) == bool(found), done
    return found


@needs_promtool
@pytest.mark.parametrize(
    ("alerts", "changed"),
    [
        pytest.param(set(), {}, id="all-is-well"),
        pytest.param(
            {"CtsdnsTraefikNotRunning"}, {"updated_timestamp_seconds": "0x60"}, id="killed"
        ),
        pytest.param({"CtsdnsTraefikNotRunning"}, {"up": "0x60"}, id="stopped"),
        pytest.param(
            {"CtsdnsTraefikStale"}, {"last_snapshot_timestamp_seconds": "0x60"}, id="stale"
        ),
        pytest.param(
            {"CtsdnsTraefikStale"}, {"last_snapshot_timestamp_seconds": "_x60"}, id="no-snapshot"
        ),
        pytest.param({"CtsdnsTraefikCannotWrite"}, {"output_error": "1x60"}, id="cannot-write"),
        pytest.param({"CtsdnsTraefikAccessNotInForce"}, {"access_error": "1x60"}, id="access"),
        pytest.param(
            {"CtsdnsTraefikRoutesLost"},
            {'routes{entrypoint="web"}': "9x10 4x50"},
            id="most-routes-went",
        ),
        pytest.param(
            {"CtsdnsTraefikRoutesLost"},
            {'routes{entrypoint="web"}': "4x10 _x50"},
            id="all-routes-went",
        ),
        pytest.param(set(), {'routes{entrypoint="web"}': "4x10 2x50"}, id="half-of-them-went"),
        pytest.param(
            {"CtsdnsTraefikNotServed"},
            {'traefik_routers{state="disabled"}': "1x60"},
            id="traefik-objects",
        ),
        pytest.param({"CtsdnsTraefikApiSilent"}, {"traefik_error": "1x60"}, id="no-answer"),
        pytest.param({"CtsdnsTraefikHookFailed"}, {"hook_error": "1x60"}, id="hook-failed"),
        pytest.param({"CtsdnsTraefikEntriesRefused"}, {"refused_entries": "2x60"}, id="refused"),
    ],
)
def test_alerts_fire_when_they_should(
    alerts: set[str], changed: dict[str, str], tmp_path: Path
) -> None:
    """Each kind of trouble fires its own alert and no other; a watch that is well fires none."""
    assert firing({**WELL, **changed}, tmp_path, 40) == alerts


def test_alerts_name_metrics_that_there_are() -> None:
    """An alert asks only about what watch writes."""
    asked = set(re.findall(rf"{PREFIX}\w+", RULES.read_text()))
    source = ROOT / "ctsdns_traefik" / "core" / "status" / "prometheus.py"
    written = set(re.findall(rf"^# TYPE ({PREFIX}\w+)", metrics_to_text(Status(), 0), re.MULTILINE))
    declared = {PREFIX + name for name in re.findall(r'"([a-z_]+)"', source.read_text())}
    assert {f"{PREFIX}up", f"{PREFIX}output_error"} <= written & asked
    assert asked - declared == set()
