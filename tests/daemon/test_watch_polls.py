"""watch and the commands that end, following policies that are polled."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_in_tailscale import CLIENT_ID, CLIENT_SECRET, StandInTailscale, error
from support.commands import Watch, run
from support.endpoints import ScriptedEndpoint, answering
from support.entries import hosts, names_in
from support.headscale import HEADSCALE_KEY, StandInHeadscale
from support.statuses import until_status

from ctsdns_traefik.output.lock import lock_path

SCOPES = "policy_file:read, devices:core:read and devices:posture_attributes:read"


def policy(names: str) -> str:
    """Return a policy with an entry a letter."""
    return json.dumps({"hosts": hosts(names)})


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    """Run a stand-in for Tailscale's API."""
    with StandInTailscale(policy("ab")) as server:
        yield server


def test_watch_through_refusals(tailscale: StandInTailscale, tmp_path: Path) -> None:
    """Routes stay while Tailscale refuses; SIGHUP polls at once; no secret shows anywhere."""
    path, status = tmp_path / "d.yml", tmp_path / "status.json"
    options = ("--status-file", str(status), "--poll-interval", "60")
    with Watch("tailscale:", path, *options, environment=tailscale.environment) as watch:
        watch.until_logged("replaced")
        assert "INFO reading the policy from tailscale://-" in watch.lines
        tailscale.answer_next(error(403, f"no {CLIENT_SECRET}"), float("inf"))
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged(f"Tailscale answers 403 .*{SCOPES}.*REQ-.*; retrying in")
        failure = until_status(watch, status, state="waiting")
        error_shown = failure["last_error"]
        assert (failure["endpoint"], failure["poll_interval"]) == ("tailscale://-", 60)
        assert (error_shown["event"], error_shown["reason"]) == ("unreachable", "forbidden")
        assert names_in(path) == "ab"
        tailscale.answer_as_usual()
        tailscale.policy = policy("abc")
        watch.process.send_signal(signal.SIGHUP)
        watch.until(lambda: names_in(path) == "abc", "no new route")
        title = Path(f"/proc/{watch.process.pid}/cmdline")
        shown = watch.log + status.read_text() + (title.read_text() if title.exists() else "")
    assert [secret for secret in (CLIENT_SECRET, "tskey-access") if secret in shown] == []


def test_held_removal_is_confirmed_after_two_seconds(
    tailscale: StandInTailscale, tmp_path: Path
) -> None:
    """A policy that lost most entries is asked for again soon, not after the interval."""
    path = tmp_path / "d.yml"
    tailscale.policy = policy("abcd")
    options = ("--poll-interval", "600")
    with Watch("tailscale:", path, *options, environment=tailscale.environment) as watch:
        watch.until_logged("4 routes")
        tailscale.policy = "{}"
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("waiting for the next one to agree")
        watch.until_logged("0 routes; removed")
    first, second = tailscale.requests_for("/acl")[-2:]
    assert 1.9 <= second.at - first.at < 60
    assert names_in(path) == ""


@pytest.mark.parametrize("guard", [True, False])
def test_url_that_answers_an_empty_object(tmp_path: Path, guard: bool) -> None:
    """A polled ``{}`` waits for the next answer to agree, and an error's object is no policy."""
    path = tmp_path / "d.yml"
    good, empty, failed = (
        answering("200 OK", body.encode(), Content_Type="application/json")
        for body in (policy("a"), "{}", '{"message": "try later"}')
    )
    options = ["--poll-interval", "600", *(["--no-removal-guard"] * (not guard))]
    with (
        ScriptedEndpoint(good, failed, empty) as server,
        Watch(server.url, path, *options) as watch,
    ):
        watch.until_logged("1 route")
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("the policy cannot be trusted")
        assert names_in(path) == "a"
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("0 routes; removed")
        watch.stop()
    assert ("waiting for the next one to agree" in watch.log) == guard
    assert len(server.requests) == (4 if guard else 3)
    assert names_in(path) == ""


def test_unchanged_policy_puts_an_edited_file_right(tmp_path: Path) -> None:
    """A poll that brings nothing new still compares the file."""
    path = tmp_path / "d.yml"
    with StandInHeadscale(policy("ab")) as headscale:
        (tmp_path / "key").write_text(HEADSCALE_KEY)
        options = ("--token-file", str(tmp_path / "key"), "--poll-interval", "0.3")
        with Watch(f"headscale+{headscale.url}", path, *options) as watch:
            watch.until(lambda: path.exists() and names_in(path) == "ab", "no routes")
            path.unlink()
            watch.until(lambda: path.exists() and names_in(path) == "ab", "not put right")


def test_commands_that_end(tailscale: StandInTailscale) -> None:
    """render-once and validate read the same sources, and name the place of what is wrong."""
    tailscale.policy = '{"hosts": {\n  "_web_http_x._tcp.a.example.com": "100.64.0.1",\n}}\n'
    done = run("validate", "tailscale://example.com", environment=tailscale.environment)
    assert done.returncode == 1
    assert "tailscale://example.com:2:3: error bad-port" in done.stdout
    tailscale.policy = policy("a")
    done = run("render-once", "tailscale:", environment=tailscale.environment)
    assert (done.returncode, "router-a-example-com" in done.stdout) == (0, True)
    tailscale.policy = "{"
    done = run("render-once", "tailscale:", environment=tailscale.environment)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("ctsdns-traefik: error: tailscale://-: Tailscale would not save")


@pytest.mark.parametrize("hangs", [True, False], ids=["in-a-poll", "in-a-pause"])
def test_stop_comes_at_once(
    tailscale: StandInTailscale,
    tmp_path: Path,
    hangs: bool,
) -> None:
    """Neither an answer that does not come nor the interval keeps a stop waiting."""
    options = ("--poll-interval", "600")
    environment = tailscale.environment
    with Watch("tailscale:", tmp_path / "d.yml", *options, environment=environment) as watch:
        watch.until_logged("replaced")
        if hangs:
            tailscale.released.clear()
            before = len(tailscale.requests)
            watch.process.send_signal(signal.SIGHUP)
            watch.until(lambda: len(tailscale.requests) > before, "no poll")
        assert watch.stop(signal.SIGTERM) == 0
    assert not lock_path(tmp_path / "d.yml").exists()  # as after a forced end


def test_usage(tailscale: StandInTailscale) -> None:
    """What is missing or ambiguous ends with the exit code of bad usage, secrets left out."""
    both = {**tailscale.environment, "TAILSCALE_API_KEY": "s3cret"}
    done = run("watch", "tailscale:", environment=both)
    assert (done.returncode, "both set" in done.stderr) == (2, True)
    lone = {"TAILSCALE_OAUTH_CLIENT_ID": CLIENT_ID, "TAILSCALE_OAUTH_CLIENT_SECRET": ""}
    done = run("render-once", "tailscale:", environment=lone)
    assert (done.returncode, "is set alone" in done.stderr) == (2, True)
    options = ("--poll-interval", "2")
    done = run("watch", "tailscale:", *options, environment=tailscale.environment)
    assert (done.returncode, "needs 5 s or more" in done.stderr) == (2, True)
