"""When the access file is in force: at once, whatever the endpoint does, and only as a whole."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.commands import COMMAND, Watch, run
from support.endpoints import (
    Feed,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    snapshot,
    unanswering,
)
from support.entries import hosts, names_in
from support.statuses import read_status, until_status

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.daemon import access_file
from ctsdns_traefik.daemon.access_file import (
    STEADY,
    FollowedAccess,
    follow_access_file,
    read_access_file,
)
from ctsdns_traefik.daemon.event_publisher import EventPublisher
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.daemon.status_reporter import MARGIN, Lease, StatusReporter
from ctsdns_traefik.errors import CheckRefused, SettingsError
from ctsdns_traefik.output.base import WriteResult
from ctsdns_traefik.output.file import FileOutput
from ctsdns_traefik.output.hooks import Check

PUBLIC = "default: public\n"
LOCKED = "default: tailscale-only\n"
RETRYING = """
import sys
from ctsdns_traefik.cli import main
from ctsdns_traefik.daemon import access_reloader
access_reloader.RETRY = 1.0
sys.exit(main(sys.argv[1:]))
"""
"""watch that tries each second to enforce an access that is not in force."""

NEVER = ("--retry-delay", "3600")
"""So that no other attempt to connect can be what brings a change."""


class SourceLocation:
    """Where a watch finds its files; the access file is public at first."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "dynamic.yml"
        self.status = folder / "status.json"
        self.access = folder / "access.yml"
        self.access.write_text(PUBLIC)

    def watch(self, endpoint: str, *options: str, program: Sequence[str] = COMMAND) -> Watch:
        """Return a watch that keeps the files."""
        files = ("--access-file", str(self.access), "--status-file", str(self.status))
        return Watch(endpoint, self.output, *files, *options, program=program)

    def guarded(self) -> str:
        """Return the letters of the routes that only the tailnet reaches."""
        routers = json.loads(self.output.read_text()).get("http", {}).get("routers", {})
        return "".join(
            name.split("-")[1]
            for name, router in routers.items()
            if router.get("middlewares") == ["access-tailnet"]
        )

    def write(self, text: str) -> None:
        """Replace the access file as an editor does: by renaming."""
        new = self.access.with_suffix(".new")
        new.write_text(text)
        new.rename(self.access)

    def health(self) -> str:
        """Return the verdict of --health."""
        return run("watch", "--health", "--status-file", self.status).stdout


@pytest.fixture
def place(tmp_path: Path) -> SourceLocation:
    """Return where the files are."""
    return SourceLocation(tmp_path)


@contextmanager
def refusing() -> Iterator[str]:
    """Give the URL of an endpoint that answers each request with an error."""
    with ScriptedEndpoint(answering("503 Service Unavailable")) as endpoint:
        yield endpoint.url


@contextmanager
def silent() -> Iterator[str]:
    """Give the URL of an endpoint that takes connections and never answers."""
    with ScriptedEndpoint(saying_nothing) as endpoint:
        yield endpoint.url


AWAY = [
    pytest.param(refusing, "retrying", id="waiting-for-the-next-attempt"),
    pytest.param(silent, "", id="waiting-for-an-answer"),
    pytest.param(unanswering, "", id="connecting"),
]


@pytest.mark.parametrize(("endpoint", "line"), AWAY)
def test_without_an_endpoint_a_restart_enforces(
    place: SourceLocation, endpoint: Callable[[], Any], line: str
) -> None:
    """The routes of an earlier run get the access before any snapshot, then each change of it."""
    place.output.write_text(render(hosts("ab")).text)
    place.access.write_text(LOCKED)
    with endpoint() as url, place.watch(url, *NEVER) as watch:
        watch.until(lambda: place.guarded() == "ab", "no access at the start")
        watch.until_logged(line)
        place.write(PUBLIC)
        watch.until(lambda: place.guarded() == "", "not public")
        place.write(LOCKED)
        watch.until(lambda: place.guarded() == "ab", "not locked again")
        assert watch.log.count("WARNING the access file has taken the protection from") == 1
        assert watch.stop() == 0
    assert names_in(place.output) == "ab"


def test_lost_endpoint(place: SourceLocation) -> None:
    """The last hosts get a changed access, those that the old one left out among them."""
    place.access.write_text(
        "forwardAuth: {x: {address: 'http://127.0.0.1:1'}}\n"
        "default: {access: forward-auth, forwardAuth: x}\n"
    )
    policy = {"_web_ssh_22._tcp.a.example.com": "100.64.0.1"}
    with ExitStack() as stack:
        feed = stack.enter_context(Feed())
        endpoint = stack.enter_context(ScriptedEndpoint(feed, answering("503 Busy")))
        watch = stack.enter_context(place.watch(endpoint.url, *NEVER))
        feed.send(snapshot(policy))
        watch.until_logged("access-not-applicable")
        feed.close()
        watch.until_logged("retrying")
        place.write(LOCKED)
        watch.until_content("access-tailnet")
        assert "router-a-example-com-ssh" in watch.content
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("SIGHUP")
        watch.until_logged("503")
        assert "access-tailnet" in watch.content


def test_silent_stream(place: SourceLocation) -> None:
    """A connection stays while the access changes: nothing is asked again."""
    with Feed() as feed, ScriptedEndpoint(feed) as endpoint, place.watch(endpoint.url) as watch:
        feed.send(snapshot(hosts("ab")))
        watch.until_logged("added router-a")
        place.write(LOCKED)
        watch.until(lambda: place.guarded() == "ab", "not locked")
        assert len(endpoint.requests) == 1
        watch.until(lambda: read_status(place.status)["access"]["error"] is None, "an error stays")


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_restart_with_the_same_access_writes_nothing(place: SourceLocation, form: Any) -> None:
    """What stands as it should is left alone, in either format, and is known to be in force."""
    access = read_access(LOCKED)
    place.access.write_text(LOCKED)
    place.output.write_text(render(hosts("ab"), form, access).text)
    before = place.output.stat()
    with refusing() as url, place.watch(url, *NEVER) as watch:
        watch.until_logged("retrying")
        until_status(watch, place.status, state="waiting")
    after = place.output.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    access_status = read_status(place.status)["access"]
    assert access_status["enforced"]
    assert (access_status["path"], access_status["error"]) == (str(place.access), None)


def test_check_that_refuses_is_unhealthy_until_it_agrees(
    place: SourceLocation, tmp_path: Path
) -> None:
    """Status and --health say that the access is not in force, once in the log, until it is."""
    refusal = tmp_path / "refusal"
    with Feed() as feed, ScriptedEndpoint(feed) as endpoint, ExitStack() as stack:
        check = f"sh -c 'test ! -e {refusal}' {{path}}"
        watch = place.watch(
            endpoint.url, "--check-command", check, program=[sys.executable, "-c", RETRYING]
        )
        stack.enter_context(watch)
        feed.send(snapshot(hosts("a")))
        watch.until_logged("added router-a")
        refusal.touch()
        place.write(LOCKED)
        watch.until_logged("ERROR the access file is not in force yet: the check command refuses")
        watch.until(
            lambda: "unhealthy: the access file is not in force: the check" in place.health(),
            "not unhealthy",
        )
        assert read_status(place.status)["access"]["error"]["event"] == "access-pending"
        refusal.unlink()
        watch.until(lambda: place.guarded() == "a", "not tried again")
        watch.until(lambda: place.health().startswith("healthy"), "not healthy")
        assert watch.log.count("not in force yet") == 1


def test_broken_file_is_unhealthy(place: SourceLocation) -> None:
    """A broken access file shows in the status, the metrics and --health, and so does its end."""
    metrics = place.output.with_name("m.prom")
    with Feed() as feed, ScriptedEndpoint(feed) as endpoint, ExitStack() as stack:
        watch = stack.enter_context(place.watch(endpoint.url, "--metrics-file", str(metrics)))
        feed.send(snapshot(hosts("a")))
        watch.until_logged("added router-a")
        watch.until(lambda: "access_error 0" in metrics.read_text(), "no metric")
        place.write("default: tailscale\n")
        watch.until(lambda: "access_error 1" in metrics.read_text(), "no metric")
        watch.until(lambda: "did you mean tailscale-only" in place.health(), "not unhealthy")
        status = until_status(watch, place.status, state="connected")
        assert status["access"]["error"]["event"] == "access-error"
        place.write(PUBLIC)
        watch.until(lambda: "access_error 0" in metrics.read_text(), "no metric")
        watch.until(lambda: place.health().startswith("healthy"), "not healthy")


def test_misspelt_pattern_is_reported(place: SourceLocation) -> None:
    """A pattern that no entry has is a warning with what may have been meant, once."""
    text = "routes: {b.exampel.com: {access: tailscale-only}}\n"
    place.access.write_text(text)
    expected = (
        "access-unused: routes.b.exampel.com: no entry has this name, or a more specific one"
        " covers all that have; did you mean b.example.com?"
    )
    with Feed() as feed, ScriptedEndpoint(feed) as endpoint, place.watch(endpoint.url) as watch:
        feed.send(snapshot(hosts("b")), snapshot(hosts("bc")))
        watch.until_logged("added router-c")
        assert watch.lines.count(f"WARNING {expected}") == 1
    policy = json.dumps({"hosts": hosts("b")}).encode()
    done = run("render-once", "-", "--access-file", place.access, "--strict", stdin=policy)
    assert (done.returncode, done.stderr) == (0, f"WARNING: {expected}\n")


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_half_a_file_does_not_count(place: SourceLocation) -> None:
    """What is read while the file is written does not count, be it valid, empty or broken."""
    whole = "routes:\n  a.example.com: {access: tailscale-only}\n  b.example.com: {access: public}"
    clock = Clock()
    place.access.write_text(whole)
    followed = FollowedAccess(place.access, whole.encode(), clock)
    new = whole.replace("public", "tailscale-only")
    for length in range(len(new)):
        place.access.write_text(new[:length])
        assert followed.read_change() is None
        clock.now += 0.9 * STEADY
    place.access.write_text(new)
    assert followed.read_change() is None
    clock.now += 2 * STEADY
    news = followed.read_change()
    assert news
    assert news.access == followed.access == read_access(new)
    assert followed.read_change() is None


def test_half_a_file_at_the_start(place: SourceLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was changed just now is read twice, until both readings are the same."""
    pieces = iter([LOCKED, LOCKED + "routes: {}\n"])

    def write_on(seconds: float) -> None:
        assert seconds == STEADY
        text = next(pieces, "")
        if text:
            place.access.write_text(text)

    place.access.write_text(PUBLIC)
    assert read_access_file(place.access, write_on).text == LOCKED + "routes: {}\n"
    contents = iter(f"default: public # {number}\n" for number in range(99))
    with pytest.raises(SettingsError, match="changes all the time: replace it by renaming"):
        read_access_file(place.access, lambda _: print(place.access.write_text(next(contents))))
    long_ago = time.time() - 60
    os.utime(place.access, (long_ago, long_ago))
    monkeypatch.setattr(access_file, "STEADY", None)
    read_access_file(place.access, lambda _: pytest.fail("an old file is whole"))


def test_more_faults_than_can_be_read(place: SourceLocation) -> None:
    """The first twenty are listed, each with its place, and the others counted."""
    place.access.write_text("".join(f"a{number}: 1\n" for number in range(25)))
    with pytest.raises(SettingsError) as caught:
        read_access_file(place.access, lambda _: None)
    *listed, last = caught.value.faults
    assert [fault.split(" ")[0] for fault in listed] == [
        f"{place.access}:{line}:1:" for line in range(1, 21)
    ]
    assert last == f"{place.access}: 5 more faults"


def test_access_file_that_can_be_read_once(place: SourceLocation) -> None:
    """A pipe is refused by watch, which reads the file again, and taken by render-once."""
    pipe = place.access.with_name("pipe")
    os.mkfifo(pipe)
    with pytest.raises(SettingsError, match="pipe: it is not a regular file"):
        follow_access_file(pipe)
    policy = json.dumps({"hosts": hosts("a")}).encode()
    read, write = os.pipe()
    with os.fdopen(read, "rb") as end:
        os.write(write, LOCKED.encode())
        os.close(write)
        file = f"/dev/fd/{end.fileno()}"
        done = run("render-once", "-", "--access-file", file, stdin=policy, pass_fds=[end.fileno()])
    assert (done.returncode, "access-tailnet" in done.stdout) == (0, True)


def test_check_sees_the_final_document_first(tmp_path: Path) -> None:
    """An access that a check command refuses for the old hosts comes with hosts that it agrees to.

    The check refuses a document with a route to b that is not for the tailnet alone.
    """
    output = tmp_path / "dynamic.yml"
    check = Check(("sh", "-c", 'grep -q router-b "$0" || ! grep -q access-tailnet "$0"', "{path}"))
    reconciler = Reconciler(FileOutput(output, check), access=read_access(PUBLIC))
    reconciler.prepare()
    reconciler.reconcile(hosts("a"))
    locked = read_access(LOCKED)
    with pytest.raises(CheckRefused):
        reconciler.change_access(locked)
    with pytest.raises(CheckRefused):
        reconciler.reconcile(hosts("ac"))
    assert output.read_text() == render(hosts("a"), access=read_access(PUBLIC)).text
    reconciler.reconcile(hosts("ab"))
    assert output.read_text() == render(hosts("ab"), access=locked).text
    assert reconciler.has_enforced(locked)


def test_access_is_in_force_though_new_hosts_are_refused(tmp_path: Path) -> None:
    """If the check refuses the new hosts, the old ones get the access that waits."""
    output, refusal = tmp_path / "dynamic.yml", tmp_path / "refusal"
    check = Check(("sh", "-c", f'test ! -e {refusal} && ! grep -q router-b "$0"', "{path}"))
    reconciler = Reconciler(FileOutput(output, check), access=read_access(PUBLIC))
    reconciler.prepare()
    reconciler.reconcile(hosts("a"))
    refusal.touch()
    with pytest.raises(CheckRefused):
        reconciler.change_access(read_access(LOCKED))
    refusal.unlink()
    with pytest.raises(CheckRefused):
        reconciler.reconcile(hosts("ab"))
    assert output.read_text() == render(hosts("a"), access=read_access(LOCKED)).text


def test_no_stop_waits_for_a_check_of_the_access(place: SourceLocation, tmp_path: Path) -> None:
    """SIGTERM ends watch within a second, and the check command that runs beside the loop."""
    waiting = tmp_path / "waiting"
    script = f'grep -q access-tailnet "$0" || exit 0; echo $$ >{waiting}; exec sleep 60'
    with refusing() as url, ExitStack() as stack:
        place.output.write_text(render(hosts("a")).text)
        check = f"sh -c '{script}' {{path}}"
        watch = stack.enter_context(place.watch(url, *NEVER, "--check-command", check))
        watch.until_logged("retrying")
        place.write(LOCKED)
        watch.until(lambda: waiting.exists() and waiting.read_text().endswith("\n"), "no check")
        assert watch.stop() == 0
        assert "stopped" in watch.log
    number = int(waiting.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    assert place.guarded() == ""
    assert sorted(each.name for each in tmp_path.glob(".dynamic*")) == []


class Overlooked(FileOutput):
    """A file that notes when it is written by two threads at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.busy, self.clashes, self.waiting = 0, 0, threading.Event()

    def write(self, content: bytes) -> WriteResult:
        """Take a while for the first of two, so that the other can come."""
        self.clashes += self.busy
        self.busy += 1
        try:
            self.waiting.wait(0.2)
            return super().write(content)
        finally:
            self.busy -= 1


def test_hosts_and_access_come_one_at_a_time(tmp_path: Path) -> None:
    """A snapshot and a change of the access file at one time end with both."""
    target = Overlooked(tmp_path / "dynamic.yml")
    reconciler = Reconciler(target, access=read_access(PUBLIC))
    reconciler.prepare()
    reconciler.reconcile(hosts("a"))
    thread = threading.Thread(target=reconciler.change_access, args=(read_access(LOCKED),))
    thread.start()
    reconciler.reconcile(hosts("ab"))
    thread.join()
    assert target.clashes == 0
    assert target.read() == render(hosts("ab"), access=read_access(LOCKED)).text.encode()


def test_only_the_loop_promises_to_be_back() -> None:
    """What is written beside the loop changes nothing about when the loop hangs."""
    now = [0.0]
    reporter = StatusReporter()
    reporter.lease = Lease(lambda: now[0])
    publisher = EventPublisher(reporter=reporter)
    publisher.expect(500)
    thread = threading.Thread(target=publisher.expect)
    thread.start()
    thread.join()
    now[0] = 500 + MARGIN
    assert reporter.lease.is_valid


def test_raw_udp_and_balanced_routes_outlive_a_restart(tmp_path: Path) -> None:
    """Before any hosts have come, the access is in force over them and costs none of them."""
    access = read_access(
        "{default: tailscale-only, raw: {ssh: {access: public}}, routes: {ns.de: {access: public},"
        " app.de: {access: public, balance: true, healthCheck: {interval: 9s}}}}"
    )
    entries = (
        *("_ssh_ssh_22._tcp.*", "_dns_dns_53._udp.ns.de", "_games_tls_443._tcp.*"),
        *("_web_http_80._tcp.app.de", "_web_http_81._tcp.app.de"),
    )
    standing = render(dict.fromkeys(entries, "100.64.0.1"), access=access).text
    output = tmp_path / "dynamic.yml"
    output.write_text(standing)
    Reconciler(FileOutput(output), access=access).prepare()
    assert output.read_text() == standing
    Reconciler(FileOutput(output), access=read_access("default: tailscale-only")).prepare()
    document = json.loads(output.read_text())
    assert "udp" not in document
    assert {each["middlewares"][0] for each in document["tcp"]["routers"].values()} == {
        "access-tailnet"
    }
