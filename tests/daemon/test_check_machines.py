"""--check-machines: entries whose machine is gone are warned of, and no route goes for it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_tailscale import MACHINE_SCOPES, POLICY_SCOPES, StandInTailscale, device, error
from support.commands import Watch, run
from support.statuses import read_status

NAS, OLD, GONE = (f"_web_http_80._tcp.{name}.example.com" for name in ("nas", "old", "gone"))
POLICY = json.dumps({"hosts": {NAS: "100.64.0.1", OLD: "100.64.0.2", GONE: "100.64.0.9"}})
OFFLINE = {"connectedToControl": False, "lastSeen": "2026-11-01T10:00:00Z"}
UNKNOWN_LINE = (
    f"unknown-machine: {GONE}=100.64.0.9: 100.64.0.9 belongs to no machine and no advertised route"
    " of the tailnet; the nearest machine is old (100.64.0.2); correct the address, or remove the"
    " entry"
)
OFFLINE_LINE = (
    f"machine-offline: {OLD}=100.64.0.2: machine old is offline since 2026-11-01T10:00:00Z;"
    " start it, or remove the entry"
)


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    """Run a stand-in with two machines, one of them offline."""
    with StandInTailscale(POLICY) as server:
        server.devices = [device("nas", "100.64.0.1"), device("old", "100.64.0.2", **OFFLINE)]
        yield server


def validate(tailscale: StandInTailscale, *options: str) -> tuple[int, str, str]:
    """Validate the policy; return the exit status and what is printed."""
    arguments = ("validate", "tailscale:", "--check-machines", *options)
    done = run(*arguments, environment=tailscale.environment)
    return done.returncode, done.stdout, done.stderr


def test_validate_warns_of_machines_that_are_gone(tailscale: StandInTailscale) -> None:
    """Each is a warning with its entry, which --strict turns into a failure."""
    status, shown, errors = validate(tailscale)
    assert (status, errors) == (0, "")
    warnings = [line.partition("warning ")[2] for line in shown.splitlines() if "warning " in line]
    assert warnings == [OFFLINE_LINE, UNKNOWN_LINE]
    assert validate(tailscale, "--strict")[0] == 1
    problems = json.loads(validate(tailscale, "--format=json")[1])["problems"]
    assert [(each["code"], each["entry"], each["severity"]) for each in problems] == [
        ("machine-offline", OLD, "warning"),
        ("unknown-machine", GONE, "warning"),
    ]
    assert [each.query for each in tailscale.requests_for("/devices")] == [{"fields": "all"}] * 3


def test_validate_lists_no_machines_unless_asked(tailscale: StandInTailscale) -> None:
    """Without the option there is no request for them; the variable is the same as the option."""
    done = run("validate", "tailscale:", environment=tailscale.environment)
    assert (done.returncode, "warning " in done.stdout) == (0, False)
    assert tailscale.requests_for("/devices") == []
    variables = {**tailscale.environment, "TRAEFIK_CONFIG_CHECK_MACHINES": "true"}
    done = run("validate", "tailscale:", environment=variables)
    assert UNKNOWN_LINE in done.stdout


def test_validate_without_a_list(tailscale: StandInTailscale) -> None:
    """A refused list is one line with the scope that it takes, and the policy is validated."""
    tailscale.answer_next(error(403, "no"), part="/devices")
    status, shown, errors = validate(tailscale)
    assert (status, "3 routes, 0 errors, 0 warnings" in shown) == (0, True)
    assert errors.startswith(
        "WARNING: the machines cannot be checked: Tailscale answers 403 (no): the credential needs"
        " the scope devices:core:read [REQ-"
    )
    assert errors.count("\n") == 1
    tailscale.answer_next(error(500, "no"), part="/devices")
    assert validate(tailscale, "--strict")[0] == 1


@pytest.mark.parametrize("source", ["policy.hujson", "http://127.0.0.1/x", "-"])
@pytest.mark.parametrize("command", ["validate", "watch"])
def test_other_sources_have_no_machines(tmp_path: Path, command: str, source: str) -> None:
    """For any other source the option is bad usage."""
    done = run(command, source, "--check-machines", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")


def codes_in(status: Path) -> list[str]:
    """Return the problems of machines that a status file lists."""
    machines = read_status(status)["machines"]
    return [each["code"] for each in machines["entries"]] if machines else []


def test_watch_shows_machines_that_are_gone(
    tailscale: StandInTailscale, path: Path, tmp_path: Path
) -> None:
    """The status has them, the log one line each until it changes, and the routes all stay."""
    status = tmp_path / "status.json"
    options = ("--check-machines", "--poll-interval", "600", "--status-file", str(status))
    with Watch("tailscale:", path, *options, environment=tailscale.environment) as watch:

        def poll(times: int) -> None:
            """Wait until the machines have been listed so many times."""
            watch.until(
                lambda: len(tailscale.requests_for("/devices")) >= times, "no list of machines"
            )

        watch.until_logged("unknown-machine")
        poll(1)
        watch.process.send_signal(signal.SIGHUP)
        poll(2)
        tailscale.devices[1] = device("old", "100.64.0.2")
        tailscale.devices.append(device("gone", "100.64.0.9", expires="2026-01-01T00:00:00Z"))
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("machine-expired")
        watch.until(lambda: codes_in(status) == ["machine-expired"], "not in the status")
        lines = [line.partition(" ")[2] for line in watch.lines if line.startswith("WARNING")]
        assert lines[:2] == [UNKNOWN_LINE, OFFLINE_LINE]
        assert len(lines) == 3
        for name in ("nas", "old", "gone"):
            assert f"router-{name}-example-com" in watch.content


def test_list_that_fails_costs_watch_nothing(
    tailscale: StandInTailscale, path: Path, tmp_path: Path
) -> None:
    """A refused list is a line and in the status, and the policy is followed all the same."""
    tailscale.answer_next(error(429, "slow down", Retry_After="3600"), part="/devices")
    status = tmp_path / "status.json"
    options = ("--check-machines", "--poll-interval", "600", "--status-file", str(status))
    with Watch("tailscale:", path, *options, environment=tailscale.environment) as watch:
        watch.until_logged(r"WARNING the machines cannot be checked, the routes stay: .*429")
        tailscale.policy = POLICY.replace("nas", "new")
        watch.process.send_signal(signal.SIGHUP)
        watch.until_content("router-new-example-com")
        watch.until(lambda: read_status(status)["machines"], "not in the status")
        machines = read_status(status)["machines"]
        assert (machines["checked"], machines["entries"]) == (None, [])
        assert "429 (slow down)" in machines["error"]["message"]
        assert watch.log.count("cannot be checked") == 1
        assert len(tailscale.requests_for("/devices")) == 1, "it does not heed Retry-After"
        assert watch.stop() == 0


def test_credential_for_the_policy_can_list_machines() -> None:
    """The scopes that the policy needs are enough for the machines, too."""
    assert MACHINE_SCOPES <= POLICY_SCOPES
