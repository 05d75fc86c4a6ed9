"""One file, one watch: the lock beside the output, and what is seen where there is none."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local import until
from support.commands import Watch, run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts, names_in, streaming

from ctsdns_traefik.output.lock import (
    CHECKS_UNTIL_RESOLVED,
    FileLock,
    LockHeld,
    LockUnavailable,
    WriterConflict,
    lock_path,
)

NOWHERE = "http://127.0.0.1:9/"
"""An endpoint that answers no request; watch waits for it for ever."""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def first(path: Path) -> Iterator[Watch]:
    """Run a watch that has begun to keep the file."""
    with Watch(NOWHERE, path) as watch:
        watch.until_logged("cannot connect")
        yield watch


def test_second_watch_ends_and_names_the_first(path: Path, first: Watch) -> None:
    """It exits with 4 and one line with the other's process; the file and the lock stay."""
    done = run("watch", "--endpoint", NOWHERE, "-o", path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.partition(" error: ")[2] == (
        f"cannot write {path}: a watch keeps it, process {first.process.pid}; stop that one, or"
        " name another --output\n"
    )
    assert (path.read_text(), lock_path(path).exists(), first.process.poll()) == (
        "{}\n",
        True,
        None,
    )


def test_second_watch_leaves_the_status_file_of_the_first(path: Path, tmp_path: Path) -> None:
    """With all the same settings it does not report its own failure as the first one's."""
    status = tmp_path / "status.json"
    options = ("--status-file", str(status))
    with Watch(NOWHERE, path, *options) as watch:
        watch.until(status.exists, "no status file")
        done = run("watch", "--endpoint", NOWHERE, "-o", path, *options)
        assert (done.returncode, "a watch keeps it" in done.stderr) == (4, True)
        assert f'"pid": {watch.process.pid}' in status.read_text()
        assert "a watch keeps it" not in status.read_text()


@pytest.mark.parametrize("through_a_link", [False, True], ids=["first", "second"])
def test_link_and_its_target_have_one_lock(path: Path, *, through_a_link: bool) -> None:
    """A watch of a symbolic link and one of the file that it leads to find each other."""
    link = path.parent.parent / "link.yml"
    link.symlink_to(path)
    one, other = (link, path) if through_a_link else (path, link)
    with Watch(NOWHERE, one) as watch:
        watch.until_logged("cannot connect")
        assert lock_path(path).exists()
        assert run("watch", "--endpoint", NOWHERE, "-o", other).returncode == 4


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_lock_ends_with_an_orderly_end(path: Path, first: Watch, signum: int) -> None:
    """A watch that is stopped leaves no lock file, and the next one starts."""
    assert first.stop(signum) in {0, 130}
    assert not lock_path(path).exists()
    with Watch(NOWHERE, path) as watch:
        watch.until_logged("cannot connect")
        assert watch.stop() == 0


def test_lock_ends_with_a_kill(path: Path, first: Watch) -> None:
    """The kernel releases the lock of a killed watch; the file that it leaves is taken over."""
    first.stop(signal.SIGKILL)
    assert lock_path(path).read_text().split()[0] == str(first.process.pid)
    with Watch(NOWHERE, path) as watch:
        watch.until_logged("cannot connect")
        assert lock_path(path).read_text() == f"{watch.process.pid} {os.uname().nodename}\n"
        assert "WARNING no lock" not in watch.log
        assert watch.stop() == 0
    assert not lock_path(path).exists()


def test_name_of_the_lock_is_not_loaded_by_traefik(path: Path) -> None:
    """Beside the file in a folder that Traefik loads, the lock has no ending that counts."""
    assert lock_path(path).name == ".dynamic.yml.lock"


def test_lock_file_is_readable_whatever_the_umask(path: Path) -> None:
    """A watch of another user has to be able to see who has the lock."""
    command = ["sh", "-c", 'umask 077 && exec "$@"', "sh"]
    with Watch(NOWHERE, path, launcher=command) as watch:
        watch.until_logged("cannot connect")
        assert lock_path(path).stat().st_mode & 0o777 == 0o644


def test_hooks_do_not_keep_the_lock(path: Path) -> None:
    """A command after a change that outlives a killed watch does not keep the next one away."""
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, "--on-change", "sleep 20") as watch,
    ):
        watch.until_content("{}")
        child = _until_child(watch.process.pid)
        try:
            watch.stop(signal.SIGKILL)
            FileLock(path).require_free()
        finally:
            os.kill(child, signal.SIGKILL)


def _until_child(pid: int) -> int:
    """Return the process of the command, which has none of the watch's files once it runs."""
    children = Path(f"/proc/{pid}/task/{pid}/children")

    def running() -> int:
        found = children.read_text().split()
        return int(found[0]) if found and _name_of(found[0]) == "sleep" else 0

    return until(running, "no command runs")


def _name_of(pid: str) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_render_once_leaves_the_file_of_a_watch(path: Path, first: Watch) -> None:
    """It exits with 4 and the other's process, and writes nothing; --check and --diff compare."""
    source = b'{"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1"}}'
    done = run("render-once", "-", "-o", path, stdin=source)
    assert (done.returncode, done.stdout, path.read_text()) == (4, "", "{}\n")
    assert f"a watch keeps it, process {first.process.pid}; stop that one" in done.stderr
    for option, code, logged in (("--check", 1, "would change"), ("--diff", 0, "")):
        done = run("render-once", "-", "-o", path, option, stdin=source)
        assert done.returncode == code
        assert logged in done.stderr if logged else not done.stderr
    assert first.stop() == 0
    done = run("render-once", "-", "-o", path, stdin=source)
    assert (done.returncode, names_in(path)) == (0, "a")
    assert not lock_path(path).exists()


def test_health_takes_no_lock(path: Path, tmp_path: Path) -> None:
    """A health check beside a running watch, with the same settings, answers as ever."""
    status = tmp_path / "status.json"
    options = ("--status-file", str(status))
    with ScriptedEndpoint(streaming("a")) as server, Watch(server.url, path, *options) as watch:
        watch.until_logged("1 route")
        watch.until(
            lambda: run("watch", "--health", "-o", path, *options).returncode == 0, "never well"
        )


def test_lock_that_is_removed_at_that_moment_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Released between opening the lock file and locking it, the lock is had on a new file."""
    one, other = FileLock(path), FileLock(path)
    one.acquire()
    lock = fcntl.flock

    def release_and_lock(descriptor: int, kind: int) -> None:
        one.release()
        lock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", release_and_lock)
    other.acquire()
    monkeypatch.undo()
    with pytest.raises(LockHeld):
        FileLock(path).acquire()
    other.release()
    assert list(path.parent.iterdir()) == []


def test_release_leaves_the_lock_of_another(path: Path) -> None:
    """If somebody removed the lock file and another watch took its place, that one stays."""
    one, other = FileLock(path), FileLock(path)
    one.acquire()
    lock_path(path).unlink()
    other.acquire()
    one.release()
    with pytest.raises(LockHeld, match=f"process {os.getpid()}"):
        FileLock(path).require_free()
    other.release()


def test_lock_that_was_removed_is_taken_again(path: Path) -> None:
    """With its folder, too: at the next snapshot, unless another watch has the file by then."""
    target = path.parent / "folder" / "dynamic.yml"
    target.parent.mkdir()
    path.symlink_to(target)
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("a")))
        watch.until_content("a.example.com")
        for number, lost in enumerate((lock_path(target), target.parent)):
            lost.rename(path.parent / f"lost-{number}")
            target.parent.mkdir(exist_ok=True)
            feed.send(snapshot(hosts("abc"[: number + 2])))
            watch.until_content(f"{'bc'[number]}.example.com")
            with pytest.raises(LockHeld, match=f"process {watch.process.pid}"):
                FileLock(target).acquire()
        lock_path(target).unlink()
        other = FileLock(target)
        other.acquire()
        feed.send(snapshot(hosts("abcd")))
        watch.until_logged(f"cannot write .*: a watch keeps it, process {os.getpid()}")
        assert names_in(path) == "abc"
        other.release()


def test_owner_of_another_machine_is_named_with_it(path: Path) -> None:
    """In containers every watch is process 1; the host's name distinguishes them."""
    lock = FileLock(path)
    lock.acquire()
    lock_path(path).write_text("1 other-host\n")
    with pytest.raises(LockHeld, match=r"^process 1 on other-host$"):
        FileLock(path).require_free()
    for garbage in ("", "\x00\xff", "one host", "-1 x"):
        lock_path(path).write_text(garbage)
        with pytest.raises(LockHeld, match=r"^another process$"):
            FileLock(path).require_free()
    lock.release()


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_no_lock_file_is_left_alone(path: Path, kind: str) -> None:
    """Where something else has the lock's name there is no lock; nothing is followed or hangs."""
    there = lock_path(path)
    if kind == "folder":
        there.mkdir()
    elif kind == "link":
        there.symlink_to(path)
    else:
        os.mkfifo(there)
    with pytest.raises(LockUnavailable):
        FileLock(path).acquire()
    FileLock(path).require_free()
    assert list(path.parent.iterdir()) == [there]


STRANGER = 12345


def as_stranger(path: Path, script: str) -> str:
    """Run a script about a path as a user who owns nothing; return what it prints."""
    head = f"""
import os, sys
from pathlib import Path
from ctsdns_traefik.output.lock import FileLock, lock_path
from ctsdns_traefik.output.file import FileOutput
os.setgroups([]), os.setgid({STRANGER}), os.setuid({STRANGER})
path = Path(sys.argv[1])
"""
    command = [sys.executable, "-c", head + script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


@needs_root
def test_lock_left_by_another_user_is_replaced(open_folder: Path) -> None:
    """A process that may not write the lock file of a killed one makes one of its own."""
    path = open_folder / "dynamic.yml"
    lock_path(path).write_text("1\n")
    script = """
FileLock(path).acquire()
there = lock_path(path)
print(there.stat().st_uid, there.read_text().split()[0] == str(os.getpid()))
"""
    assert as_stranger(path, script) == f"{STRANGER} True\n"


@needs_root
def test_lock_of_another_user_holds(open_folder: Path) -> None:
    """A process that may not write the lock file of a living one finds out who that is."""
    path = open_folder / "dynamic.yml"
    lock = FileLock(path)
    lock.acquire()
    script = """
try:
    FileLock(path).acquire()
except Exception as why:
    print(type(why).__name__, why)
"""
    assert as_stranger(path, script) == f"LockHeld process {os.getpid()}\n"
    lock.release()


@needs_root
def test_closed_folder_has_no_lock_which_is_reported_once(open_folder: Path) -> None:
    """Where no lock file can be made the file can be kept all the same."""
    path = open_folder / "dynamic.yml"
    path.write_text("{}\n")
    os.chown(path, STRANGER, STRANGER)
    open_folder.chmod(0o755)
    script = """
target = FileOutput(path)
with target.claim():
    print(*map(tuple, target.prepare()))
    print(target.prepare(), target.write(b"# x").outcome.value)
"""
    expected = "('no-lock', 'permission denied')\n() written in place\n"
    assert as_stranger(path, script) == expected
    assert list(open_folder.iterdir()) == [path]


def test_two_writers_without_a_lock_find_each_other(path: Path) -> None:
    """Where locks do not work, two watches with different results see that they take turns."""
    lock_path(path).mkdir()  # nothing can be locked under that name
    link = path.parent.parent / "link.yml"
    link.symlink_to(path)
    with (
        Feed() as feeds,
        Feed() as others,
        ScriptedEndpoint(feeds) as server,
        ScriptedEndpoint(others) as other_server,
        Watch(server.url, path) as watch,
        Watch(other_server.url, link) as other,
    ):
        for turn in range(6):
            feed, names = ((feeds, "a"), (others, "b"))[turn % 2]
            feed.send(snapshot(hosts(names)))
            watch.until_content(f"router-{names}-")
        for each in (watch, other):
            each.until_logged("no lock can be held beside it")
            each.until_logged("again and again, and this one puts its own back")
            assert len(re.findall("no lock can be held", each.log)) == 1
            assert len(re.findall("again and again", each.log)) == 1


def test_conflict_is_the_same_content_again() -> None:
    """One edit is none, and neither are several different ones; the same content again is."""
    conflict = WriterConflict()
    seen = []
    for digest in ("a", "b", "c", "b"):
        conflict.replaced(digest)
        seen.append(conflict.is_detected)
    assert seen == [False, False, False, True]


def test_conflict_ends_when_the_other_is_gone() -> None:
    """After a number of checks in a row that find nothing it is over, and begins anew."""
    conflict = WriterConflict()
    for digest in ("a", "a"):
        conflict.replaced(digest)
    seen = []
    for _ in range(CHECKS_UNTIL_RESOLVED):
        conflict.found_own()
        seen.append(conflict.is_detected)
    assert seen == [True] * (CHECKS_UNTIL_RESOLVED - 1) + [False]
    conflict.replaced("a")
    assert not conflict.is_detected
