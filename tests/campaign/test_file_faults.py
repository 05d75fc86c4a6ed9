"""The file under faults: each costs a line a snapshot while watch runs, and exit 4 at its start."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from campaign.live_stage import CONSTANT, LIVE, Client
from local import until
from support.backends import http_backend
from support.commands import COMMAND, Watch, tried
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts
from support.traefik import Traefik

from ctsdns_traefik.core.dynamic.rendering import render

STRANGER = 12345
"""A user and a group that own nothing here."""

ENOUGH = {f"_web_http_80._tcp.fill-{n}.example.com": "100.64.0.9" for n in range(300)}
"""Entries that make the file some 90 kB, more than the log will hold."""

LIMIT = 50_000
"""A file size that the log does not reach and the file exceeds."""


class Scene(NamedTuple):
    """A running watch, what it is fed, and its file as the test can reach it."""

    watch: Watch
    feed: Feed
    path: Path
    port: int
    """Of the backend behind the constant route."""

    def policy(self, names: str) -> dict[str, object]:
        """Return the constant route's entry, one for each letter, and enough others."""
        constant = {f"_web_http_{self.port}._tcp.{CONSTANT}": "127.0.0.1"}
        return ENOUGH | constant | hosts(names)

    def content(self, names: str) -> bytes:
        """Return what the file is to hold for these entries."""
        return render(self.policy(names)).text.encode()

    def until_applied(self, names: str) -> None:
        """Feed a snapshot, and wait until the file is exactly what it says."""
        self.feed.send(snapshot(self.policy(names)))
        wanted = self.content(names)
        self.watch.until(lambda: held_by(self.path) == wanted, f"the file does not say {names}")


def held_by(path: Path) -> bytes | None:
    """Return what a file holds, or nothing while it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


@pytest.fixture
def folder() -> Iterator[Path]:
    """Make a folder that every user can reach, inside another that holds the rest."""
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        folder = Path(base) / "traefik"
        folder.mkdir()
        yield folder


@contextmanager
def watching(folder: Path, launcher: list[str]) -> Iterator[Scene]:
    """Run watch with its log beside the folder, until the first snapshot is in the file."""
    path = folder / "dynamic.yml"
    with http_backend(LIVE.body) as port, Feed() as feed, ScriptedEndpoint(feed) as server:
        watch = Watch(server.url, path, launcher=launcher)
        watch._log = folder.with_name("log")
        with watch:
            watch.until_logged("connected to")
            root = f"/proc/{watch.process.pid}/root" if "unshare" in launcher else ""
            scene = Scene(watch, feed, Path(f"{root}{path}"), port)
            scene.until_applied("a")
            yield scene
            assert watch.stop() == 0
            assert "Traceback" not in watch.log
        assert len(server.requests) == 1


def as_one_who_may_be_refused(folder: Path) -> list[str]:
    """Start watch as a user whom permissions bind, and give the folder to that user."""
    if os.geteuid() != 0:
        return []
    os.chown(folder, STRANGER, STRANGER)
    launcher = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    return tried(launcher, [*COMMAND, "--version"])


def on_a_disk_of_its_own(folder: Path, setup: str = "true") -> list[str]:
    """Start watch where a small file system, which it alone sees, is mounted on the folder."""
    mount = 'folder=$1; file=$1/dynamic.yml; shift; mount -t tmpfs -o size=1m x "$folder"'
    script = f'{mount} && {setup} && exec "$@"'
    return tried(["unshare", "-m", "sh", "-c", script, "sh", str(folder)])


def fill(scene: Scene) -> None:
    """Write until the folder's own file system, of one megabyte, is full."""
    ballast = scene.path.with_name("ballast")
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match=r"No space left"):
        file.writelines([bytes(4096)] * 1024)


def limit(scene: Scene, size: int | None) -> None:
    """Limit the size of the files that watch writes, or let them have any size again."""
    if sys.platform != "linux":
        pytest.skip("this system does not limit a process that runs")
    pid = scene.watch.process.pid
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def close(path: Path) -> None:
    """Let no user write to a file, if there is one, or to its folder."""
    if path.exists():
        path.chmod(0o444)
    path.parent.chmod(0o555)


class Fault(NamedTuple):
    """What makes the file unwritable for a while, and the reason that the log is to give."""

    reason: str
    begin: Callable[[Scene], object]
    end: Callable[[Scene], object]
    launcher: Callable[[Path], list[str]] = lambda _: []
    stays: bool = True
    """The file can be read all the while, and holds what it held before."""


def replaced(reason: str, make: Callable[[Path], object], *, folder: bool = False) -> Fault:
    """Return a fault: something else is in the place of the file or its folder."""

    def begin(scene: Scene) -> None:
        place = scene.path.parent if folder else scene.path
        place.rename(place.with_name("put-aside"))
        make(place)

    def end(scene: Scene) -> None:
        place = scene.path.parent if folder else scene.path
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
        place.with_name("put-aside").rename(place)

    return Fault(reason, begin, end, stays=False)


READ_ONLY, FULL, REFUSED = (
    os.strerror(number).lower() for number in (errno.EROFS, errno.ENOSPC, errno.EACCES)
)
MISSING = "there is no folder "

IN_THE_WAY: dict[str, tuple[str, Callable[[Path], object]]] = {
    "file-is-a-folder": ("it is a directory", Path.mkdir),
    "file-is-a-pipe": ("it is not a regular file", os.mkfifo),
    "link-to-itself": ("too many levels of symbolic links", lambda path: path.symlink_to(path)),
    "link-into-nowhere": (MISSING, lambda path: path.symlink_to("nowhere/real.yml")),
}
"""What can be where the file should be, and what is then reported."""

FAULTS = {
    **{name: replaced(*what) for name, what in IN_THE_WAY.items()},
    "folder-moved-away": replaced(MISSING, lambda _: None, folder=True),
    "folder-is-a-file": replaced("not a directory", Path.touch, folder=True),
    "folder-removed": Fault(
        MISSING,
        lambda scene: shutil.rmtree(scene.path.parent),
        lambda scene: scene.path.parent.mkdir(),
        stays=False,
    ),
    "not-permitted": Fault(
        REFUSED,
        lambda scene: close(scene.path),
        lambda scene: scene.path.parent.chmod(0o755),
        as_one_who_may_be_refused,
    ),
    "not-readable": Fault(
        REFUSED,
        lambda scene: scene.path.chmod(0),
        lambda scene: scene.path.chmod(0o644),
        as_one_who_may_be_refused,
        stays=False,
    ),
    "disk-full": Fault(
        FULL, fill, lambda scene: scene.path.with_name("ballast").unlink(), on_a_disk_of_its_own
    ),
    "file-too-large": Fault(
        "file too large", partial(limit, size=LIMIT), partial(limit, size=None)
    ),
}


@contextmanager
def served(scene: Scene, folder: Path) -> Iterator[Traefik]:
    """Run Traefik where it sees what watch sees, with a client that no request may fail."""
    inside = ["nsenter", "-t", str(scene.watch.process.pid), "-m"]
    launcher = inside if scene.path != scene.watch.output else []
    with Traefik(folder.parent, scene.watch.output, launcher) as traefik:
        until(lambda: traefik.get("web", CONSTANT) == LIVE, "no constant route")
        with Client(traefik) as client:
            yield traefik
        assert (client.polls > 0, client.failures) == (True, [])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_fault_costs_one_line_a_snapshot_and_is_got_over(folder: Path, fault: Fault) -> None:
    """An unwritable file is tried again at each snapshot, and a live route stays live all along."""
    with watching(folder, fault.launcher(folder)) as scene, served(scene, folder) as traefik:
        fault.begin(scene)
        for times, names in enumerate(("ab", "abc", "abc"), 1):
            scene.feed.send(snapshot(scene.policy(names)))
            scene.watch.until_logged(" ERROR ", times)
            assert not fault.stays or held_by(scene.path) == scene.content("a")
            assert left_in(scene.path.parent) == set()
        fault.end(scene)
        scene.until_applied("abc")
        scene.until_applied("abcd")
        assert left_in(scene.path.parent) == set()
        if fault.stays:
            newest = "router-d-example-com"
            until(lambda: newest in traefik.routers(), "the newest route is not live")
            assert traefik.errors == []
        reported = [line for line in scene.watch.lines if not line.startswith("INFO ")]
        assert reported == [reported[0]] * 3
        assert reported[0].startswith(f"ERROR cannot write {scene.watch.output}: {fault.reason}")
        assert reported[0].endswith("; trying again at the next snapshot")


def left_in(folder: Path) -> set[str]:
    """Return what is in a folder, if it is one, beside the file and what the test put there."""
    there = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    return there - {"dynamic.yml", ".dynamic.yml.lock", "put-aside", "ballast"}


def no_permission(path: Path) -> None:
    """Make a file, and close it and its folder."""
    path.touch()
    close(path)


class DiagnosticError(NamedTuple):
    """What keeps watch from starting, and the reason that it is to give."""

    reason: str
    prepare: Callable[[Path], object] = Path
    launcher: Callable[[Path], list[str]] = lambda _: []
    setup: str = ""
    """What happens to a file system of its own, if it has one, before watch starts."""


REFUSALS = {
    **{name: DiagnosticError(*what) for name, what in IN_THE_WAY.items()},
    "no-folder": DiagnosticError(MISSING, lambda path: path.parent.rmdir()),
    "not-permitted": DiagnosticError(REFUSED, no_permission, as_one_who_may_be_refused),
    "not-permitted-and-no-file": DiagnosticError(REFUSED, close, as_one_who_may_be_refused),
    "read-only": DiagnosticError(READ_ONLY, setup='touch "$file" && mount -o remount,ro "$folder"'),
    "read-only-and-no-file": DiagnosticError(READ_ONLY, setup='mount -o remount,ro "$folder"'),
    "disk-full-and-no-file": DiagnosticError(FULL, setup='fallocate -l 1m "$folder/ballast"'),
    "no-inode-left": DiagnosticError(
        FULL, setup='touch "$file" && mount -o remount,nr_inodes=2 "$folder"'
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_unwritable_file_at_the_start(folder: Path, refusal: DiagnosticError) -> None:
    """Where the file cannot be written watch says why in one line and exits without connecting."""
    path = folder / "dynamic.yml"
    launcher = refusal.launcher(folder)
    if refusal.setup:
        launcher = on_a_disk_of_its_own(folder, refusal.setup)
    refusal.prepare(path)
    before = left_in(folder)
    with ScriptedEndpoint(Feed()) as server:
        command = [*launcher, *COMMAND, "watch", "--endpoint", server.url, "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, server.requests) == (4, "", [])
    assert done.stderr.count("\n") == 1
    assert f" cannot write {path}: {refusal.reason}" in done.stderr
    assert left_in(folder) == before
