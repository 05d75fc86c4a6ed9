"""A file as a source: which addresses are files, and what a followed file yields."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import pytest
from local import until
from support.entries import hosts

from ctsdns_traefik.cancellation import Cancellation, Cancelled
from ctsdns_traefik.errors import SettingsError, SourceError
from ctsdns_traefik.source.base import Policy, Received, Untrusted
from ctsdns_traefik.source.file import CONFIRM, PAUSE, REPEAT, FileSource, path_from


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("policy.hujson", "policy.hujson"),
        ("/etc/policy.hujson", "/etc/policy.hujson"),
        ("file:policy.hujson", "policy.hujson"),
        ("FILE:/etc/a b%20c.hujson", "/etc/a b%20c.hujson"),
        ("file:///etc/a%20b.hujson", "/etc/a b.hujson"),
        ("file://localhost/etc/policy", "/etc/policy"),
        ("file:https:", "https:"),
        ("./tailscale:", "tailscale:"),
        ("./me@home", "me@home"),
        ("policy:v2", "policy:v2"),
    ],
)
def test_address_that_is_a_path(address: str, path: str) -> None:
    """A path stands by itself, behind file:, or, with escapes, in a file URL."""
    assert path_from(address) == Path(path)


@pytest.mark.parametrize(
    "address",
    [
        *("http://h", "https:/h", "ftp://h", "tailscale:", "tailscale://t", "headscale+https://h"),
        *("TAILSCALE:", "HEADSCALE:", "Headscale+HTTPS:x", "HTTPS:/h"),
        *("headscale://h", "me:PASSWORD@host/api", "host/api?key=SECRET"),
    ],
)
def test_address_that_is_no_path(address: str) -> None:
    """What has a scheme, or may hold a secret, is never taken for a path, which messages show."""
    assert path_from(address) is None


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("", "empty"),
        ("file:", "names no file"),
        ("file://", "names no file"),
        ("file://server/share", "names a host"),
        ('"policy.hujson"', "in quotes"),
        ("localhost:18232/ok", r"mean http://localhost:18232/ok\?"),
        ("192.168.1.7:8080", r"mean http://192.168.1.7:8080\?"),
        ("[fd7a::1]:8443/acl", r"mean https://\[fd7a::1\]:8443/acl\?"),
        ("git.example.com/policy.hujson", r"mean https://git.example.com/policy.hujson\?"),
    ],
)
def test_address_that_cannot_be_meant(address: str, complaint: str) -> None:
    """A mistake is refused at once, not waited for as a file that is missing."""
    with pytest.raises(SettingsError, match=complaint):
        path_from(address)


def test_path_that_looks_like_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is there, and one after "./", is taken by its name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "git.example.com").mkdir()
    (tmp_path / "localhost:8080").touch()
    for address in ("git.example.com/p.json", "localhost:8080", "./example.com/p", "conf.d/p.json"):
        assert path_from(address) == Path(address)


class Clock:
    """A clock that advances with each pause of the file source."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Followed:
    """A file source in a run; each wait passes at once, and may do something to the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.source = FileSource(path, self.clock)
        self.waits: list[float] = []
        self._actions: dict[int, Callable[[], object]] = {}

    def act_after(self, waits: int, action: Callable[[], object]) -> None:
        """Do something after some more waits."""
        self._actions[len(self.waits) + waits] = action

    def write(self, names: str) -> None:
        """Replace the policy by one with an entry for each letter."""
        entries = ",\n".join(f'"{name}": "{value}"' for name, value in hosts(names).items())
        new = self.path.with_name("new")
        new.write_text(f'{{ // a policy\n"hosts": {{{entries}}}}}')
        new.rename(self.path)

    def pause(self, seconds: float) -> bool:
        """Let the time pass."""
        self.waits.append(seconds)
        self.clock.now += seconds
        self._actions.get(len(self.waits), lambda: None)()
        return False

    @property
    def cancellation(self) -> Cancellation:
        """What never cancels, and passes the time."""
        cancellation = Cancellation()
        cancellation.pause = self.pause  # type: ignore[method-assign]
        return cancellation

    def run(self) -> Generator[Received, None, None]:
        """Follow the source."""
        with self.source.follow(self.cancellation, lambda _: None) as received:
            yield from received


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path / "policy.hujson")


def names(received: Received) -> str:
    """Return the letters of a policy's entries."""
    assert isinstance(received, Policy), received
    assert received.text.path.endswith("policy.hujson")
    return "".join(name.split(".")[2] for name in received.hosts)


def test_changes_are_yielded_soon(followed: Followed) -> None:
    """The policy comes at once, and each change well within half a second, as one value."""
    followed.write("a")
    with closing(followed.run()) as run:
        assert names(next(run)) == "a"
        for letters in ("ab", "b"):
            changed = followed.clock.now
            followed.write(letters)
            assert names(next(run)) == letters
            assert followed.clock.now - changed < 0.45
    assert set(followed.waits) == {PAUSE}


def test_policy_that_does_not_change_is_yielded_again(followed: Followed) -> None:
    """It comes again, the same object, after half a minute, or after two seconds to confirm."""
    followed.write("a")
    with closing(followed.run()) as run:
        first = next(run)
        for confirmed, seconds in ((False, REPEAT), (True, CONFIRM), (False, REPEAT)):
            if confirmed:
                followed.source.confirm()
            began = followed.clock.now
            assert next(run) is first
            assert seconds <= followed.clock.now - began < seconds + 3 * PAUSE
    with closing(followed.run()) as run:
        assert next(run) is first


def test_broken_policy_is_yielded_once(followed: Followed) -> None:
    """A policy that cannot be read is untrusted, with its place, once; the next one counts."""
    followed.write("a")
    with closing(followed.run()) as run:
        next(run)
        followed.path.write_text('{"hosts": {\n  "a" "100.64.0.1"}}')
        broken = next(run)
        assert isinstance(broken, Untrusted)
        assert "policy.hujson: " in broken.error
        assert "line 2, column 7" in broken.error
        followed.act_after(1000, lambda: followed.write("c"))
        assert names(next(run)) == "c"
        assert followed.clock.now > 3 * REPEAT


def test_snapshot_and_capture_are_read_as_well(followed: Followed, data: Path) -> None:
    """A snapshot of the worker, and a captured stream of them, are policies in a file, too."""
    followed.path.write_text('{"machines": [], "acl": {"hosts": {"_a._b.x": "100.64.0.1"}}}')
    with closing(followed.run()) as run:
        assert names(next(run)) == "x"
        followed.path.write_bytes((data / "worker-stream.txt").read_bytes())
        received = next(run)
        assert isinstance(received, Policy)
        assert len(received.hosts) == 12


def test_file_that_is_missing_ends_the_run(followed: Followed) -> None:
    """A missing file is an error at once; the pause after it ends as soon as the file is there."""
    with pytest.raises(SourceError, match=r"^no such file or directory$") as missing:
        next(followed.run())
    assert missing.value.retry_after == 30  # which is how often the log repeats it
    began = followed.clock.now
    followed.source.pause(followed.cancellation, 5)
    assert followed.clock.now - began >= 5
    followed.act_after(9, lambda: followed.write("a"))
    began = followed.clock.now
    followed.source.pause(followed.cancellation, 60)
    assert followed.clock.now - began < 2
    with closing(followed.run()) as run:
        assert names(next(run)) == "a"
        followed.path.unlink()
        with pytest.raises(SourceError, match=r"^no such file or directory$"):
            next(run)


def test_run_ends_when_it_is_cancelled(tmp_path: Path) -> None:
    """A wait for a change ends at once when another thread cancels it."""
    path = tmp_path / "policy.hujson"
    path.write_text('{"hosts": {}}')
    source, cancellation = FileSource(path), Cancellation()
    ended = threading.Event()
    came: list[Received] = []

    def follow() -> None:
        with (
            pytest.raises(Cancelled),
            source.follow(cancellation, lambda _: None) as received,
        ):
            came.extend(received)
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    until(lambda: came, "nothing came")
    cancellation.cancel()
    assert ended.wait(60)
