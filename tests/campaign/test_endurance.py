"""What stays however long watch runs: its memory, and all of the file but the content."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from support.campaigns import rounds
from support.commands import COMMAND, Watch, bind_mounting
from support.endpoints import Feed, ScriptedEndpoint, event, snapshot
from support.entries import hosts

from ctsdns_traefik.core.dynamic.rendering import render

log = logging.getLogger(__name__)

STRANGER = 12345
"""A user and a group that own nothing here."""

ADDRESSES = ("100.64.0.1", "100.64.10.20")
THOUSAND = [
    {f"_web_http_80._tcp.a{n}.example.com": address for n in range(1000)} for address in ADDRESSES
]
"""Two policies with the same entries and other backends."""

ALLOCATOR = 1024
"""kB that come and go: from 10 to 1,000 changes 36.5 to 38.0 MB were seen, up and down without a
trend, as the allocator gives back what an event and its document took, in pieces of up to 1 MB."""

NOT_OURS = ".dynamic.yml.folder.tmp"  # a folder may have the name of a temporary file

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change a file's owner")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")


@pytest.fixture
def path() -> Iterator[Path]:
    """Return where the file is to be, in a folder that every user can reach."""
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        path = Path(base) / "traefik" / "dynamic.yml"
        path.parent.mkdir()
        yield path


class Scene(NamedTuple):
    """A running watch, what it is fed, and its file."""

    watch: Watch
    feed: Feed
    path: Path

    def until_applied(self, policy: Mapping[str, object]) -> None:
        """Feed a snapshot, and wait until the file is exactly what it says."""
        self.feed.send(snapshot({**policy}))
        wanted = render(policy).text.encode()
        self.watch.until(
            lambda: self.path.exists() and self.path.read_bytes() == wanted, "not applied"
        )

    def until_taken(self) -> None:
        """Wait until everything that was fed has been dealt with."""
        before = self.watch.log.count("fed so far")
        self.feed.send(event("error", {"message": "fed so far"}))
        self.watch.until(lambda: self.watch.log.count("fed so far") > before, "not taken", 300)


@contextmanager
def watching(path: Path, launcher: list[str] | None = None) -> Iterator[Scene]:
    """Run watch, its log beside the folder, until it is connected."""
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        apart = launcher or ["env"]  # a process that shares no memory with a fork server
        watch = Watch(server.url, path, "--retry-delay", "0.02", launcher=apart)
        watch._log = path.parent.with_name("log")
        with watch:
            watch.until_logged("connected to")
            yield Scene(watch, feed, path)
            assert watch.stop() == 0
            assert "Traceback" not in watch.log
    assert set(path.parent.glob(".dynamic.yml.?*.tmp")) <= {path.with_name(NOT_OURS)}


def resident(watch: Watch) -> int:
    """Return the kB of memory that a process has."""
    status = Path(f"/proc/{watch.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def held_open(watch: Watch) -> dict[str, str]:
    """Return the descriptors of a process, each with its kind or file, and its threads."""
    process = Path(f"/proc/{watch.process.pid}")
    opened = {each.name: str(each.readlink()) for each in (process / "fd").iterdir()}
    kinds = {number: what.partition(":[")[0] for number, what in opened.items()}
    return kinds | {"threads": str(len(list((process / "task").iterdir())))}


@needs_proc
@pytest.mark.timeout(600)
def test_memory_and_descriptors_stay(path: Path) -> None:
    """After many snapshots watch has as much memory as after ten, and as much open."""
    with watching(path) as scene:

        def take(numbers: range) -> tuple[int, dict[str, str]]:
            scene.feed.send(*[snapshot(THOUSAND[number % 2]) for number in numbers])
            scene.until_taken()
            return resident(scene.watch), held_open(scene.watch)

        memory, opened = take(range(1, 11))
        memory_at_last, opened_at_last = take(range(11, rounds(100, 1000) + 1))
        changes = scene.watch.log.count(" INFO replaced ")
    log.info("%d changes; kB %d, then %d; %s", changes, memory, memory_at_last, opened)
    assert changes == rounds(100, 1000)
    assert opened_at_last == opened
    assert memory_at_last <= 1.05 * memory + ALLOCATOR


def reconnect(scene: Scene) -> None:
    """End the connection, and wait for the next."""
    before = scene.watch.log.count(" INFO connected to ")
    scene.feed.close()
    scene.watch.until_logged(" INFO connected to ", before + 1)


def fail_to_write(scene: Scene) -> None:
    """Feed a snapshot while there is a folder in the file's place."""
    scene.path.unlink()
    scene.path.mkdir()
    scene.feed.send(snapshot(hosts("ab")))
    scene.until_taken()
    scene.path.rmdir()
    scene.until_applied(hosts("a"))


@needs_proc
@pytest.mark.parametrize("happen", [reconnect, fail_to_write], ids=lambda what: what.__name__)
def test_descriptors_stay_over_failures(path: Path, happen: Callable[[Scene], None]) -> None:
    """Twenty lost connections, or twenty failed writes, leave nothing open behind them."""
    with watching(path) as scene:
        scene.until_applied(hosts("a"))
        happen(scene)
        scene.until_taken()
        before = held_open(scene.watch)
        for _ in range(20):
            happen(scene)
        scene.until_taken()
        assert held_open(scene.watch) == before


SERIES = ["ab", "abc", "abcdef", "abdef", "abdefg"]
"""Snapshots that make the file longer and shorter."""


def attributes(path: Path) -> tuple[int, int, int]:
    """Return the mode, owner and group of a file."""
    it = path.stat()
    return stat.S_IMODE(it.st_mode), it.st_uid, it.st_gid


@pytest.mark.parametrize("mode", [0o444, 0o600, 0o640, 0o664], ids=oct)
@pytest.mark.parametrize("owner", [None, pytest.param(STRANGER, marks=needs_root)])
def test_mode_and_owner_stay(path: Path, mode: int, owner: int | None) -> None:
    """Replacement after replacement the file keeps what it was given, also while watch runs."""
    path.touch()
    with watching(path) as scene:
        for names, bits in zip(SERIES, (mode, mode, mode, 0o604, 0o604), strict=True):
            if owner:
                os.chown(path, owner, owner + 1)
                owner = None
            path.chmod(bits)
            expected, inode = attributes(path), path.stat().st_ino
            scene.until_applied(hosts(names))
            assert attributes(path) == expected
            assert path.stat().st_ino != inode


@pytest.mark.parametrize("there", [True, False], ids=["link", "dangling-link"])
def test_link_stays(path: Path, *, there: bool) -> None:
    """Replacement after replacement a link is one, to a file in whose folder nothing is left."""
    target = path.parent.with_name("elsewhere") / "real.yml"
    target.parent.mkdir()
    if there:
        target.touch(0o640)
    path.symlink_to("../elsewhere/real.yml")
    with watching(path) as scene:
        mode = attributes(target)
        for names in SERIES:
            scene.until_applied(hosts(names))
            assert (path.is_symlink(), target.is_symlink()) == (True, False)
            assert attributes(target) == mode
    assert list(target.parent.iterdir()) == [target]
    assert list(path.parent.iterdir()) == [path]


def mount_on_its_own(path: Path) -> tuple[Path, list[str]]:
    """Mount another file in the file's place."""
    source = path.parent.with_name("source.yml")
    source.touch()
    return source, bind_mounting(source, path)


def close_the_folder(path: Path) -> tuple[Path, list[str]]:
    """Let watch, as a user whom permissions bind, write to the file but not to its folder."""
    launcher = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv") or subprocess.call(
            [*launcher, *COMMAND, "--version"], stdout=subprocess.DEVNULL
        ):
            pytest.skip("this machine does not let watch run as another user")
        os.chown(path, STRANGER, STRANGER)
    path.parent.chmod(0o555)
    return path, launcher if os.geteuid() == 0 else []


@pytest.mark.parametrize(
    "fix", [mount_on_its_own, close_the_folder], ids=lambda what: what.__name__
)
def test_file_that_has_to_be_written_in_place(
    path: Path, fix: Callable[[Path], tuple[Path, list[str]]]
) -> None:
    """A file that cannot be renamed over is followed change after change, which is logged once."""
    path.touch()
    file, launcher = fix(path)
    inode = file.stat().st_ino
    with watching(path, launcher) as scene:
        for names in SERIES:
            scene._replace(path=file).until_applied(hosts(names))
            assert file.stat().st_ino == inode
        scene.until_taken()
        reported = [line for line in scene.watch.lines[:-1] if not line.startswith("INFO ")]
    path.parent.chmod(0o755)
    in_place = f"WARNING {path} cannot be renamed over and is written in place"
    assert [line for line in reported if "no lock can be held" not in line] == [in_place]


def replace(path: Path) -> None:
    """Put another file in the place, as an editor does."""
    other = path.with_name("edited")
    other.write_text("{}\n")
    other.replace(path)


BESIDE = {".dynamic.yml.lock", "dynamic.yml.bak"}
"""The lock of a running watch, and its copy of what others made of the file."""

DISTURBANCES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: os.truncate(path, 20),
    "lengthened": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "garbled": lambda path: path.write_bytes(b"\xff\x00"),
    "replaced": replace,
}


@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES)
def test_file_that_others_disturb(path: Path, disturb: Callable[[Path], object]) -> None:
    """Time after time a snapshot, unchanged or not, puts right what somebody did to the file."""
    with watching(path) as scene:
        for names in ("a", "a", "a", "ab", "ab"):
            scene.until_applied(hosts(names))
            disturb(path)
            scene.until_applied(hosts(names))
            assert {each.name for each in path.parent.iterdir()} - BESIDE == {path.name}
        assert [line for line in scene.watch.lines if line.startswith("ERROR ")] == []


NEIGHBOURS = [
    *("dynamic.yml.bak", "dynamic.yml.tmp", "other.yml", "dynamic.yaml", "dynamic.ymlx.tmp"),
    *(
        ".dynamic.yml.keep",
        ".dynamic.yml",
        ".dynamic.yml.swp",
        ".dynamic.yml.tmp",
        ".other.yml.x.tmp",
    ),
]


def test_neighbours_stay(path: Path) -> None:
    """Other files in the folder are neither written nor removed, whatever their names."""
    for name in NEIGHBOURS:
        path.with_name(name).write_text(name)
    path.with_name(NOT_OURS).mkdir()

    def others() -> dict[str, tuple[int, int, int]]:
        stats = {each.name: each.stat() for each in path.parent.iterdir()}
        for name in (path.name, ".dynamic.yml.lock"):
            stats.pop(name, None)
        return {name: (it.st_ino, it.st_mtime_ns, it.st_ctime_ns) for name, it in stats.items()}

    before = others()
    with watching(path) as scene:
        for names in SERIES:
            scene.until_applied(hosts(names))
            assert others() == before
