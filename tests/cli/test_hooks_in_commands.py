"""The user's commands around a change, in ``watch`` and ``render-once`` as real processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local import PATIENCE, until
from support.commands import COMMAND, Watch, run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts, names_in, streaming
from support.statuses import read_status
from support.traefik import Traefik

POLICY = b'{"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1"}}'


def script(folder: Path, text: str) -> str:
    """Write a shell script; return its path, fit for a command."""
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def is_gone(process: int) -> bool:
    """Return whether a process has ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_on_change_runs_after_each_replacement(path: Path, tmp_path: Path) -> None:
    """It runs with the file as it then is: created, replaced, put right; not when it stays."""
    printed = tmp_path / "printed"
    hook = script(tmp_path, f'cat "$1" >>{printed}; echo "== $1" >>{printed}')

    def runs() -> int:
        return printed.read_text().count("==") if printed.exists() else 0

    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--on-change", f"{hook} {{path}}") as watch,
    ):
        watch.until_logged("created")
        feed.send(snapshot(hosts("a")))
        watch.until(lambda: runs() == 2, "no second run")
        first = path.read_text()
        feed.send(snapshot(hosts("a")), snapshot(hosts("ab")))
        watch.until_logged("added router-b")
        second = path.read_text()
        watch.until(lambda: runs() == 3, "no third run")
        path.write_text("edited: {}\n")
        feed.send(snapshot(hosts("ab")))
        watch.until(lambda: runs() == 4, "no fourth run")
        assert watch.stop() == 0
    end = f"== {path}\n"
    assert printed.read_text() == "".join(
        f"{text}{end}" for text in ("{}\n", first, second, second)
    )


NUDGE = """
import os, signal, sys, time, urllib.request
_, url, process, before = sys.argv
time.sleep(1)
open(before, "wb").write(urllib.request.urlopen(url + "/api/http/routers").read())
os.kill(int(process), signal.SIGHUP)
"""


def test_traefik_that_notices_nothing_is_signalled(tmp_path: Path) -> None:
    """Where Traefik notices no change, here in a folder in the place of another, SIGHUP helps."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "dynamic.yml"
    path.write_text("{}\n")
    before = tmp_path / "before"
    with Traefik(tmp_path, path) as traefik:
        folder.rename(tmp_path / "former")
        folder.mkdir()
        url, process = f"http://127.0.0.1:{traefik.ports['traefik']}", traefik._process.pid
        words = [sys.executable, "-c", NUDGE, url, str(process), str(before)]
        with (
            ScriptedEndpoint(streaming("a")) as server,
            Watch(server.url, path, "--on-change", shlex.join(words)) as watch,
        ):
            watch.until(lambda: "router-a-example-com" in traefik.routers(), "not loaded")
            assert watch.stop() == 0
        traefik._process.kill()  # it has nothing to finish
    assert "router-a-example-com" not in before.read_text()


def test_failure_of_on_change_changes_nothing(path: Path, tmp_path: Path) -> None:
    """A command that fails is one line in the log each time, and in the status; watch goes on."""
    status = tmp_path / "status.json"
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(
            *(server.url, path, "--on-change", "sh -c 'echo oh no >&2; exit 3'"),
            *("--status-file", str(status)),
        ) as watch,
    ):
        for names in ("a", "ab"):
            feed.send(snapshot(hosts(names)))
            watch.until(lambda names=names: path.exists() and names_in(path) == names, "not there")
        watch.until_logged("the on-change command failed", 3)
        assert watch.stop() == 0
    error = read_status(status)["hook"]["error"]
    assert (error["event"], error["message"]) == ("hook-failed", "sh exited with status 3: oh no")
    lines = [line for line in watch.lines if "on-change" in line]
    assert lines == ["WARNING the on-change command failed: sh exited with status 3: oh no"] * 3


def test_refused_content_is_logged_once_and_tried_again(path: Path, tmp_path: Path) -> None:
    """The old file stays while the check refuses; the line comes once until it says otherwise."""
    verdict, count = tmp_path / "verdict", tmp_path / "count"
    hook = script(
        tmp_path, f"cat {verdict} >&2; test ! -s {verdict}; code=$?; echo >>{count}; exit $code"
    )
    verdict.write_text("not today\n")
    path.write_text("{}\n")

    def checks() -> int:
        return len(count.read_text()) if count.exists() else 0

    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--check-command", f"{hook} {{path}}") as watch,
    ):
        for number in range(1, 4):
            feed.send(snapshot(hosts("a")))
            watch.until(lambda number=number: checks() == number, "not checked")
        verdict.write_text("nor tomorrow\n")
        feed.send(snapshot(hosts("a")))
        watch.until_logged("nor tomorrow")
        assert path.read_text() == "{}\n"
        verdict.write_text("")
        feed.send(snapshot(hosts("a")))
        watch.until_logged("added router-a")
        verdict.write_text("nor tomorrow\n")
        feed.send(snapshot(hosts("ab")))
        watch.until_logged("nor tomorrow", 2)
        assert watch.stop() == 0
    refusal = f"ERROR the check command refuses the new {path}, the old stays: {hook} exited"
    assert [line for line in watch.lines if "refuses" in line] == [
        f"{refusal} with status 1: {words}" for words in ("not today", *["nor tomorrow"] * 2)
    ]
    assert names_in(path) == "a"
    assert [other.name for other in path.parent.glob(".*")] == []


LASTING = 'trap "" TERM; echo $$ >{0}.new; mv {0}.new {0}; while :; do sleep 0.2; done'
"""A script that writes its process's number to a file and then ignores that it is to end."""


@pytest.mark.parametrize("option", ["--on-change", "--check-command"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 0, id="SIGTERM"),
        pytest.param(signal.SIGINT, 130, id="SIGINT"),
    ],
)
def test_stop_of_watch_ends_the_command(
    path: Path, tmp_path: Path, option: str, number: signal.Signals, code: int
) -> None:
    """A stop comes through within its time, whatever runs, and leaves neither it nor its file."""
    running = tmp_path / "running"
    hook = script(tmp_path, LASTING.format(running))
    path.write_text("{}\n")
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, option, f"{hook} {{path}}") as watch,
    ):
        watch.until(running.exists, "the command does not run")
        assert watch.stop(number) == code
    assert watch.lines[-1] == f"INFO {number.name}: stopped"
    assert not [line for line in watch.lines if "ERROR" in line or "WARNING" in line]
    until(lambda: is_gone(int(running.read_text())), "the command is still there")
    assert names_in(path) == ("a" if option == "--on-change" else "")
    assert list(path.parent.glob(".*")) == []


SLOW_TO_STOP = """
import sys
from ctsdns_traefik.output import hooks
from ctsdns_traefik.cli import main
hooks._GRACE_AT_STOP = 60
sys.exit(main(sys.argv[1:]))
"""


def test_watchdog_ends_the_command_too(path: Path, tmp_path: Path) -> None:
    """Also when a stop is not obeyed in time, no command is left behind."""
    running = tmp_path / "running"
    hook = script(tmp_path, LASTING.format(running))
    path.write_text("{}\n")
    program = [sys.executable, "-c", SLOW_TO_STOP]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, "--on-change", hook, program=program) as watch,
    ):
        watch.until(running.exists, "the command does not run")
        assert watch.stop() == 0
    until(lambda: is_gone(int(running.read_text())), "the command is still there")


def test_hangup_waits_for_the_command(path: Path, tmp_path: Path) -> None:
    """SIGHUP ends no command half way: it connects again when that has ended."""
    running, done = tmp_path / "running", tmp_path / "done"
    hook = script(tmp_path, f"echo >{running}; sleep 1; echo >{done}")
    path.write_text("{}\n")
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, "--on-change", hook) as watch,
    ):
        watch.until(running.exists, "the command does not run")
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("SIGHUP: connecting again")
        assert done.exists()
        assert watch.stop() == 0


def test_hangup_amid_the_check_loses_no_change(path: Path, tmp_path: Path) -> None:
    """What is written although SIGHUP came is reported, and the command after the change runs."""
    running, done = tmp_path / "running", tmp_path / "done"
    hook = script(tmp_path, f"echo >{running}; sleep 0.5")
    path.write_text("{}\n")
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(
            *(server.url, path, "--check-command", f"{hook} {{path}}"),
            *("--on-change", f"touch {done}"),
        ) as watch,
    ):
        feed.send(snapshot(hosts("a")))
        watch.until(running.exists, "the command does not run")
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("connected to", 2)
        assert (names_in(path), done.exists()) == ("a", True)
        assert "1 route; added router-a-example-com" in watch.log


def test_render_once_runs_the_commands(path: Path, tmp_path: Path) -> None:
    """The check comes before the file is there, the other command after."""
    printed = tmp_path / "printed"
    hook = script(tmp_path, f'echo "$1" "$(test -e {path} && echo there)" >>{printed}')
    done = run(
        *("render-once", "-", "-o", path),
        *("--check-command", f"{hook} check={{path}}", "--on-change", f"{hook} {{path}}"),
        stdin=POLICY,
    )
    assert (done.returncode, names_in(path)) == (0, "a")
    first, second = printed.read_text().splitlines()
    assert first.startswith(f"check={path.parent}/.dynamic.yml.")
    assert second == f"{path} there"


def test_render_once_refused(path: Path) -> None:
    """A refusal is one line and exit code 4, the file stays, and nothing runs after no change."""
    path.write_text("{}\n")
    done = run(
        *("render-once", "-", "-o", path, "--on-change", "no-such-program"),
        *("--check-command", "sh -c 'echo bad >&2; exit 1' {path}"),
        stdin=POLICY,
    )
    assert done.returncode == 4
    assert done.stderr == (
        f"ctsdns-traefik: error: the check command refuses the new {path}, the old stays: "
        "sh exited with status 1: bad\n"
    )
    assert path.read_text() == "{}\n"


def test_render_once_goes_well_without_its_last_command(path: Path) -> None:
    """That the command after the change fails is a warning: the file is what it should be."""
    done = run("render-once", "-", "-o", path, "--on-change", "no-such-program", stdin=POLICY)
    assert (done.returncode, names_in(path)) == (0, "a")
    assert done.stderr.splitlines()[-1] == (
        "WARNING: the on-change command failed: no-such-program cannot be run: "
        "no such file or directory"
    )


def test_command_has_nothing_to_read(path: Path, tmp_path: Path) -> None:
    """A command that reads finds its end at once, not the standard input of this tool."""
    source = tmp_path / "policy.json"
    source.write_bytes(POLICY)
    words = [*COMMAND, "render-once", str(source), "-o", str(path), "--on-change", "cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=PATIENCE) == 0


@pytest.mark.parametrize(
    "arguments", [(), ("-o", "-"), ("-o", "{}", "--check"), ("-o", "{}", "--diff")]
)
def test_no_command_runs_where_nothing_is_written(
    path: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """With standard output, --check and --diff neither command runs."""
    ran = tmp_path / "ran"
    environment = {
        "TRAEFIK_CONFIG_ON_CHANGE": f"touch {ran}",
        "TRAEFIK_CONFIG_CHECK_COMMAND": f"touch {ran} {{path}}",
    }
    words = [word.format(path) for word in arguments]
    run("render-once", "-", *words, stdin=POLICY, environment=environment)
    assert not ran.exists()


def test_variables_set_the_commands(path: Path, tmp_path: Path) -> None:
    """Both commands can be set in the environment, and see nothing of it themselves."""
    printed = tmp_path / "printed"
    hook = script(tmp_path, f'echo "$1${{TRAEFIK_CONFIG_ON_CHANGE-}}" >>{printed}')
    environment = {
        "TRAEFIK_CONFIG_ON_CHANGE": f"{hook} 'on change'",
        "TRAEFIK_CONFIG_CHECK_COMMAND": f"{hook} check {{path}}",
    }
    run("render-once", "-", "-o", path, stdin=POLICY, environment=environment)
    assert printed.read_text() == "check\non change\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
def test_signal_to_render_once_ends_the_command(
    path: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """A signal ends the check with render-once; nothing of either is left."""
    running = tmp_path / "running"
    hook = script(tmp_path, LASTING.format(running))
    source = tmp_path / "policy.json"
    source.write_bytes(POLICY)
    with subprocess.Popen(
        [*COMMAND, "render-once", source, "-o", path, "--check-command", f"{hook} {{path}}"],
        stderr=subprocess.PIPE,
    ) as process:
        until(running.exists, "the command does not run")
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE) in {130, -signal.SIGTERM}
    until(lambda: is_gone(int(running.read_text())), "the command is still there")
    assert list(path.parent.iterdir()) == []


def test_commands_keep_memory_of_nothing_secret(path: Path, tmp_path: Path) -> None:
    """The token of the endpoint is not in the environment of a command, nor in the log."""
    printed = tmp_path / "printed"
    environment = {"TRAEFIK_CONFIG_API_TOKEN": "s3cret"}
    hook = f"{sys.executable} -c \"import os; open('{printed}', 'w').write(str(dict(os.environ)))\""
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, "--on-change", hook, environment=environment) as watch,
    ):
        watch.until_logged("added router-a")
        watch.until(lambda: printed.exists() and printed.read_text().endswith("}"), "no hook ran")
        assert watch.stop() == 0
    assert b"Bearer s3cret" in server.requests[0]
    assert "s3cret" not in printed.read_text() + watch.log
