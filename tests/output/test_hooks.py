"""The user's commands: how they are run, how they end, and what they can and cannot do."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from local import until
from support.commands import bind_mounting
from support.paths import ROOT

from ctsdns_traefik import settings
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.errors import CheckRefused, OutputError, SettingsError
from ctsdns_traefik.output import hooks
from ctsdns_traefik.output.base import Outcome, WriteResult
from ctsdns_traefik.output.file import write_if_changed
from ctsdns_traefik.output.hooks import Check, Command, HookError, OnChange, command_from, run_hook

STRANGER = 12345
"""A user that owns nothing here."""

NEW = b'{"new": true}\n'


def python(code: str, *arguments: str) -> Command:
    """Return a command that runs Python code."""
    return (sys.executable, "-c", code, *arguments)


def shell(script: str, *arguments: str) -> Command:
    """Return a command that runs a script; the command itself needs no shell."""
    return ("sh", "-c", script, "sh", *arguments)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file in a folder of its own, whose path has a space."""
    (tmp_path / "a folder").mkdir()
    path = tmp_path / "a folder" / "dynamic.yml"
    path.write_bytes(b"{}\n")
    return path


def is_gone(process: int) -> bool:
    """Return whether a process has ended; one whose status was not read yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a b  c", ("a", "b", "c"), id="spaces"),
        pytest.param("a 'b c' \"d e\" f\\ g", ("a", "b c", "d e", "f g"), id="quotes"),
        pytest.param("a $HOME;b|c>d *", ("a", "$HOME;b|c>d", "*"), id="nothing-of-a-shell"),
        pytest.param("a # b", ("a", "#", "b"), id="no-comments"),
        pytest.param("a ''", ("a", ""), id="empty-word"),
    ],
)
def test_command_is_split_as_a_shell_splits_words(text: str, words: Command) -> None:
    """Quotes and backslashes hold words together, and nothing else means anything."""
    assert command_from(text) == words


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "it names no program", id="empty"),
        pytest.param("  ", "it names no program", id="blank"),
        pytest.param("'' a", "it names no program", id="empty-name"),
        pytest.param("a\0b", "it names no program", id="null"),
        pytest.param("a 'b", "no closing quotation", id="open-quote"),
        pytest.param("a \\", "no escaped character", id="backslash-at-the-end"),
    ],
)
def test_bad_command(text: str, reason: str) -> None:
    """What is no command is refused with the reason."""
    with pytest.raises(SettingsError, match=reason):
        command_from(text)


def test_path_is_replaced_after_the_splitting(path: Path) -> None:
    """A path with a space stays in its word, whole and absolute; other braces mean nothing."""
    code = "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[1:]))"
    words = ("{path}", "--file={path}:{path}", "{}", "{{x}}", "{other}")
    relative = Path(os.path.relpath(path))
    run_hook(python(code, *words), relative)
    assert path.read_text() == repr([str(path), f"--file={path}:{path}", "{}", "{{x}}", "{other}"])


FAILURES = [
    pytest.param(
        ("no-such-program",), "no-such-program cannot be run: no such file or directory", id="none"
    ),
    pytest.param(("/dev/null",), "/dev/null cannot be run: permission denied", id="no-program"),
    pytest.param(shell("exit 3"), "sh exited with status 3", id="status"),
    pytest.param(
        shell("echo out; echo one >&2; echo two >&2; exit 1"),
        "sh exited with status 1: one; two",
        id="words",
    ),
    pytest.param(shell("echo out; exit 1"), "sh exited with status 1: out", id="output"),
    pytest.param(
        shell("printf 'a\\033[31m\\377b' >&2; exit 1"),
        "sh exited with status 1: a\\x1b[31m\ufffdb",
        id="unprintable",
    ),
    pytest.param(shell("kill -9 $$"), "sh was killed by SIGKILL", id="killed"),
]


@pytest.mark.parametrize(("command", "logged"), FAILURES)
def test_failure_is_one_line(path: Path, command: Command, logged: str) -> None:
    """However a command fails, one line says how, with its last words."""
    with pytest.raises(HookError) as caught:
        run_hook(command, path)
    assert str(caught.value) == logged


def test_only_the_end_of_long_output_is_reported() -> None:
    """Of a flood the last 400 characters are reported, and it is not kept in memory."""
    code = "import sys\nfor _ in range(3000): sys.stderr.write('x' * 100_000)\nsys.exit('end')"
    peak = "print(tracemalloc.get_traced_memory()[1] // 1000)"
    program = (
        "import sys, tracemalloc\nfrom pathlib import Path\n"
        "from ctsdns_traefik.output.hooks import *\n"
        "tracemalloc.start()\n"
        "try: run_hook((sys.executable, '-c', sys.argv[1]), Path('x'))\n"
        f"except HookError as why: print(why)\n{peak}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, code], capture_output=True, text=True, check=True
    )
    logged, kilobytes = done.stdout.splitlines()
    name = f"{sys.executable} exited with status 1: ..."
    assert logged.startswith(name + "xxx")
    assert logged.endswith("xend")
    assert len(logged) == len(name) + 397
    assert int(kilobytes) < 10_000  # of 300 MB said


def test_time_limit_ends_the_whole_group(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that takes too long is ended with all that it has started, whatever they ignore."""
    monkeypatch.setattr(hooks, "_GRACE", 0.3)
    script = 'trap "" TERM; sleep 600 & echo $! >"$1"; echo waiting >&2; wait; wait; sleep 600'
    with pytest.raises(HookError) as caught:
        run_hook(shell(script, "{path}"), path, limit=2)
    assert str(caught.value) == "sh took longer than 2 s: waiting"
    until(lambda: is_gone(int(path.read_text())), "what it started is still there")


def test_endless_output_does_not_outlast_the_limit(path: Path) -> None:
    """The limit holds also while there is always something to read."""
    with pytest.raises(HookError, match=r"yes took longer than 1 s: .*y; y"):
        run_hook(("yes",), path, limit=1)


def test_background_process_with_our_pipes_is_not_waited_for(path: Path) -> None:
    """What a command leaves running, with its output still open, neither delays nor is ended."""
    run_hook(shell('sleep 600 & echo $! >"$1"', "{path}"), path, limit=60)
    left = int(path.read_text())
    assert not is_gone(left)
    os.kill(left, signal.SIGKILL)


def test_command_that_closes_its_output_is_waited_for(path: Path) -> None:
    """It has ended when it has ended, not when it has no more to say."""
    with pytest.raises(HookError, match="exited with status 4"):
        run_hook(shell("exec >&- 2>&-; sleep 0.5; exit 4"), path)


def test_stop_ends_the_command(path: Path) -> None:
    """When the process stops, a command is ended, also one that ignores SIGTERM."""
    with pytest.raises(HookError, match="this process is stopping"):
        run_hook(
            shell('trap "" TERM; echo $$ >"$1"; while :; do sleep 1; done', "{path}"),
            path,
            stopping=lambda: path.read_text().strip().isdigit(),
        )
    assert is_gone(int(path.read_text()))


TAILSCALE = ("TAILSCALE_API_KEY", "TAILSCALE_OAUTH_CLIENT_SECRET", "TAILSCALE_IDENTITY_TOKEN")


def test_environment_is_passed_on_without_settings(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command has our environment but for our settings, secrets among them, and systemd's."""
    ours = [each.variable for each in vars(settings).values() if isinstance(each, settings.Setting)]
    assert {"TRAEFIK_CONFIG_API_TOKEN", "TRAEFIK_CONFIG_API_HEADERS"} < set(ours)
    for variable in (*ours, "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", *TAILSCALE):
        monkeypatch.setenv(variable, "s3cret")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
    run_hook(python(code, "{path}"), path)
    passed = json.loads(path.read_text())
    assert passed["DOCKER_HOST"] == "tcp://127.0.0.1:1"
    assert passed["PATH"] == os.environ["PATH"]
    assert "s3cret" not in passed.values()


def test_standard_streams_and_signals_are_usual(path: Path) -> None:
    """Standard input is empty; no signal is blocked or ignored that a command relies on."""
    code = (
        "import json, signal as s, sys\n"
        "ignored = [n.name for n in (s.SIGTERM, s.SIGHUP, s.SIGINT) if s.getsignal(n) == 1]\n"
        "pipe = open('/proc/self/status').read().split('SigIgn:')[0]\n"
        "json.dump([sys.stdin.read(), ignored, [*s.pthread_sigmask(0, [])]], "
        "open(sys.argv[1], 'w'))"
    )
    run_hook(python(code, "{path}"), path)
    assert json.loads(path.read_text()) == ["", [], []]


def test_pipe_signal_is_usual(path: Path) -> None:
    """A command's pipeline ends as in a shell: SIGPIPE is not ignored."""
    run_hook(shell('grep SigIgn /proc/self/status >"$1"', "{path}"), path)
    ignored = int(path.read_text().split()[1], 16)
    assert not ignored & 1 << (signal.SIGPIPE - 1)


def test_on_change_reports_how_it_ended_unless_stopping(path: Path) -> None:
    """How a command ended is reported; that a stop has ended it is no news."""
    ends: list[str] = []

    def ended(why: object | None) -> None:
        ends.append(str(why))

    OnChange(("false",), path, ended)()
    OnChange(("true",), path, ended)()
    OnChange(("sleep", "5"), path, ended, stopping=lambda: True)()
    assert ends == ["false exited with status 1", "None"]


def leftovers(path: Path) -> list[str]:
    """Return what stands beside a file."""
    return [other.name for other in path.parent.iterdir() if other != path]


def test_check_sees_the_new_content_beside_the_old(path: Path) -> None:
    """What is checked is the new content, flushed and beside the old, which still stands."""
    seen = path.parent / "seen"
    script = 'test "$(cat "$1")" = "$2" && echo "$1" >"$3" && cat "$4" >>"$3"'
    check = Check(shell(script, "{path}", NEW.decode().strip(), str(seen), str(path)))
    assert write_if_changed(path, NEW, check) == WriteResult(Outcome.REPLACED)
    staged, old = seen.read_text().splitlines()
    assert (Path(staged).parent, old) == (path.parent, "{}")
    assert not staged.endswith((".yml", ".yaml", ".toml"))
    assert path.read_bytes() == NEW
    assert leftovers(path) == ["seen"]


def test_refused_content_leaves_the_old(path: Path) -> None:
    """A non-zero exit keeps the old file; the staged one is gone, and its name is not reported."""
    before = path.stat()
    with pytest.raises(CheckRefused) as caught:
        write_if_changed(path, NEW, Check(shell('echo "$1: bad" >&2; exit 1', "{path}")))
    assert str(caught.value) == (
        f"the check command refuses the new {path}, the old stays: "
        f"sh exited with status 1: {path}: bad"
    )
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert leftovers(path) == []


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param(("no-such", "{path}"), "no-such cannot be run", id="no-program"),
        pytest.param(shell("kill $$"), "sh was killed by SIGTERM", id="killed"),
        pytest.param(shell('echo >>"$1"', "{path}"), "it changed what", id="changed"),
        pytest.param(shell('chmod 600 "$1"', "{path}"), "it changed what", id="mode"),
        pytest.param(
            shell('cp -p "$1" "$1.x" && mv "$1.x" "$1"', "{path}"), "it changed what", id="replaced"
        ),
        pytest.param(
            shell('mv "$1" "$1.x" && ln -s "$1.x" "$1"', "{path}"), "it changed what", id="link"
        ),
        pytest.param(shell('rm "$1"', "{path}"), "it removed what", id="removed"),
        pytest.param(shell('rm "$1"; mkdir "$1"', "{path}"), "it changed what", id="folder"),
    ],
)
def test_only_what_was_checked_is_written(path: Path, command: Command, words: str) -> None:
    """A check that cannot be run, breaks off or meddles with the file is a refusal."""
    with pytest.raises(CheckRefused, match=words):
        write_if_changed(path, NEW, Check(command))
    assert path.read_bytes() == b"{}\n"


def test_working_directory_that_is_gone_is_the_hooks_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command whose relative path leads nowhere cannot be run, and nothing else happens."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(HookError, match="true cannot be run: no such file or directory"):
        run_hook(("true", "{path}"), Path("dynamic.yml"))


def test_unchanged_content_is_not_checked(path: Path) -> None:
    """Where nothing would be written, there is nothing to check."""
    assert write_if_changed(path, b"{}\n", Check(("false",))) == WriteResult(Outcome.UNCHANGED)


def test_first_file_without_routes_is_not_checked(path: Path) -> None:
    """Traefik needs some file to start, and there is no old one that could stay."""
    path.unlink()
    assert write_if_changed(path, b"{}\n", Check(("false",))) == WriteResult(Outcome.CREATED)
    path.unlink()
    with pytest.raises(CheckRefused):
        write_if_changed(path, NEW, Check(("false",)))
    assert not path.exists()


WRITE_IN_PLACE = """
import sys
from pathlib import Path
from ctsdns_traefik.output.hooks import Check
from ctsdns_traefik.output.file import write_if_changed
print(write_if_changed(Path(sys.argv[1]), sys.argv[2].encode(), Check(tuple(sys.argv[3:]))))
"""


@pytest.mark.parametrize(
    ("script", "content", "checks"),
    [
        pytest.param('echo >>"$2"; grep -q new "$1"', NEW, 1, id="agrees"),
        pytest.param('echo >>"$2"; exit 1', b"{}\n", 1, id="refuses"),
    ],
)
def test_file_written_in_place_is_checked_once(
    path: Path, tmp_path: Path, script: str, content: bytes, checks: int
) -> None:
    """A file that cannot be renamed over is checked before it is written, too, and only once."""
    source, count = tmp_path / "source.yml", tmp_path / "count"
    source.write_bytes(b"{}\n")
    launcher = bind_mounting(source, path)
    command = [*launcher, sys.executable, "-c", WRITE_IN_PLACE, str(path), NEW.decode()]
    subprocess.run(
        [*command, *shell(script, "{path}", str(count))], capture_output=True, check=False
    )
    assert source.read_bytes() == content
    assert len(count.read_text().splitlines()) == checks


AS_ANOTHER = f"""
import os, sys
import subprocess  # now: another user may not be permitted to read the library
from pathlib import Path
from ctsdns_traefik.output.hooks import Check
from ctsdns_traefik.output.file import write_if_changed
os.setgroups([]), os.setgid({STRANGER}), os.setuid({STRANGER})
try:
    print(write_if_changed(Path(sys.argv[1]), sys.argv[2].encode(), Check(tuple(sys.argv[3:]))))
except Exception as why:
    print(why)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_content_in_a_closed_folder_is_checked_elsewhere() -> None:
    """Where nothing can stand beside the old file, the new content is staged in another folder."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "dynamic.yml"
        path.write_bytes(b"{}\n")
        os.chown(path, STRANGER, STRANGER)

        def write(command: Command) -> str:
            arguments = [AS_ANOTHER, str(path), NEW.decode(), *command]
            done = subprocess.run(
                [sys.executable, "-c", *arguments],
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
            return done.stdout

        assert '{"new": true}' in write(shell('cat "$1" >&2; exit 1', "{path}"))
        assert path.read_bytes() == b"{}\n"
        assert "WRITTEN_IN_PLACE" in write(("grep", "new", "{path}"))
        assert path.read_bytes() == NEW


def test_check_of_content_for_other_targets(tmp_path: Path) -> None:
    """A target that is no file has its content checked in a temporary folder, gone afterwards."""
    seen = tmp_path / "seen"

    def check(script: str) -> Check:
        return Check(shell(script, "{path}", str(seen)))

    check('echo "$1" >"$2"; cat "$1" >>"$2"').content(NEW, "redis")
    staged, content = seen.read_text().splitlines()
    assert content == NEW.decode().strip()
    assert not Path(staged).parent.exists()
    with pytest.raises(OutputError, match="refuses the new redis, the old stays: sh exited with"):
        check("exit 1").content(NEW, "redis")


DOCUMENTED = [
    shlex.split(line)[-1]
    for line in (ROOT / "docs" / "hooks.md").read_text().splitlines()
    if line.startswith("    ctsdns-traefik watch --check-command ")
]


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
@pytest.mark.parametrize(
    ("hosts", "agreed"),
    [
        pytest.param({}, [True] * 3, id="no-routes"),
        pytest.param({"_web_http_80._tcp.a.example.com": "100.64.0.1"}, [True] * 3, id="usual"),
        pytest.param(
            {"_tcp_ssh_22._tcp.a.example.com": "100.64.0.1"}, [True, False, True], id="entrypoint"
        ),
        pytest.param(
            {f"_web_http_80._tcp.h{n}.example.com": "100.64.0.1" for n in range(1001)},
            [True, True, False],
            id="many",
        ),
    ],
)
def test_documented_checks(path: Path, hosts: dict[str, str], agreed: list[bool]) -> None:
    """The examples of docs/hooks.md agree to what they should, and to nothing else."""
    content = render(hosts).text.encode()

    def agrees(text: str) -> bool:
        path.write_bytes(b"old\n")
        with suppress(CheckRefused):
            write_if_changed(path, content, Check(command_from(text)))
        return path.read_bytes() == content

    assert [agrees(text) for text in DOCUMENTED] == agreed


def test_command_begins_with_no_signal_blocked() -> None:
    """A thread that blocks all signals starts a command that a signal ends all the same."""
    caught: list[object] = []

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            run_hook(("sh", "-c", "kill -TERM $$; exit 3"), None)
        except HookError as why:
            caught.append(str(why))
        caught.append(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert caught == ["sh was killed by SIGTERM", True]
