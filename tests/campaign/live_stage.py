"""A stage for endpoints that misbehave: watch, a real Traefik, and a client that never stops.

An upstream plays its script, watch follows it as a process of its own, Traefik serves from the
file that watch keeps, and all the time a client requests a route that is in every good snapshot.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, Self

from campaign.upstream import PATIENCE, Upstream
from local import free_ports, until
from support.backends import http_backend
from support.commands import Watch
from support.endpoints import ScriptedEndpoint
from support.traefik import Answer, Traefik

BEGUN = "INFO (connected to|reading the policy from)"
QUIET = re.compile(rf"{BEGUN}|INFO (replaced|SIGHUP: )")
"""What watch may log at any time."""

SHORT_TIMEOUT = 1.5
"""Seconds of a short read timeout."""

SILENT = re.compile(rf"(silent|not answer|not whole).* {SHORT_TIMEOUT} s")

LIVE = Answer(200, "live")
CONSTANT = "constant.example.com"


class Client:
    """Requests the constant route all the time, and looks at a file each time, if there is one."""

    def __init__(self, traefik: Traefik, file: Path | None = None) -> None:
        self.polls = 0
        self.failures: list[str] = []
        self.seen: set[bytes] = set()
        """Every content that the file was found with."""
        self._traefik = traefik
        self._file = file
        self._ended = threading.Event()
        self._at_work = threading.Lock()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Ask nothing inside this context."""
        with self._at_work:
            yield

    def _poll(self) -> None:
        while not self._ended.wait(0.01):
            with self._at_work:
                answer = self._traefik.get("web", CONSTANT)
                if self._file:
                    self.seen.add(self._file.read_bytes())
            self.polls += 1
            if answer != LIVE:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {answer}")


class Recovery(NamedTuple):
    """Seconds from the end of a fault to the next snapshot."""

    name: str
    to_file: float
    to_route: float


class Stage:
    """All of it on free ports of 127.0.0.1; a context manager that ends it."""

    def __init__(
        self, folder: Path, upstream: Upstream | None = None, *options: str, source: str = ""
    ) -> None:
        """Take the upstream, options of watch, and its source: a URL with ``{}`` for the port."""
        self.folder = folder
        self.file = folder / "dynamic.yml"
        self.file.write_text("{}\n")
        self.upstream = upstream or Upstream()
        self._options, self._source = options, source
        self.recoveries: list[Recovery] = []
        self.watch: Watch
        self.cases = self.spoiled = self._version = 0
        self._stack, self._watch_stack = ExitStack(), ExitStack()
        self._follows: tuple[object, ...] = ()
        self._settled = False

    def __enter__(self) -> Self:
        self.port = self._stack.enter_context(http_backend(LIVE.body))
        self.server = self._stack.enter_context(
            ScriptedEndpoint(self.upstream, port=free_ports(1)[0])
        )
        self.traefik = self._stack.enter_context(Traefik(self.folder, self.file))
        self._stack.enter_context(self._watch_stack)
        self.follow(self.url)
        until(lambda: self.traefik.get("web", CONSTANT) == LIVE, "no constant route", PATIENCE)
        self.client = self._stack.enter_context(Client(self.traefik, self.file))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def hosts(self) -> dict[str, object]:
        """Return the hosts of the next version: the constant route, and one that is new."""
        self._version += 1
        return {self.entry(CONSTANT): "127.0.0.1", self.entry(self.newest_name): "127.0.0.1"}

    def entry(self, domain: str) -> str:
        """Return the name of an entry that leads to the backend."""
        return f"_web_http_{self.port}._tcp.{domain}"

    @property
    def url(self) -> str:
        """The source that watch follows."""
        return self._source.format(self.server.port) if self._source else self.server.url

    @property
    def newest_name(self) -> str:
        """The domain that is only in the newest version."""
        return f"v{self._version}.example.com"

    def follow(
        self,
        url: str,
        *options: str,
        upstream: Upstream | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        """Let watch follow a URL with some options; the process that does so already goes on."""
        upstream = upstream or self.upstream
        follows = (url, options, upstream, tuple(launcher))
        if self._settled and follows == self._follows and self.watch.process.poll() is None:
            return
        self._watch_stack.close()
        upstream.reset()
        self._follows = follows
        self.watch = self._watch_stack.enter_context(
            Watch(
                url,
                self.file,
                *("--retry-delay", "0.1", *self._options, *options),
                environment=upstream.environment(self.server.port),
                launcher=launcher,
            )
        )
        upstream.publish(upstream.framed(self.hosts()))
        self.watch.until_logged(BEGUN)
        upstream.send(upstream.newest)  # the guard may wait
        self.watch.until_content(self.newest_name)
        self._settled = True

    @contextmanager
    def case(
        self,
        name: str,
        *options: str,
        url: str = "",
        upstream: Upstream | None = None,
        launcher: Sequence[str] = (),
    ) -> Iterator[Case]:
        """Give a case; in the end the process lives, no poll failed, no other bytes were seen."""
        self.follow(url or self.url, *options, upstream=upstream, launcher=launcher)
        self.cases += 1
        self._settled = False
        case = Case(self, name, upstream or self.upstream)
        yield case
        case.finish()
        self._settled = True

    @property
    def figures(self) -> str:
        """One line about everything so far."""
        routes = [each.to_route for each in self.recoveries] or [0.0]
        files = [each.to_file for each in self.recoveries] or [0.0]
        return (
            f"{self.cases} cases, {self.spoiled} files spoiled, {self.client.polls} polls,"
            f" {len(self.client.failures)} failed polls; recovery of {len(self.recoveries)}:"
            f" file median {median(files):.2f} s, max {max(files):.2f} s;"
            f" route median {median(routes):.2f} s, max {max(routes):.2f} s"
        )


class Case:
    """What one fault does to the file, the log and the routes."""

    def __init__(self, stage: Stage, name: str, upstream: Upstream) -> None:
        self.stage, self.upstream, self._name = stage, upstream, name
        self._mark = len(stage.watch.lines)
        self._began = time.monotonic()
        self.before = stage.file.read_bytes()
        self._stat = stage.file.stat()
        self._known = {self.before}
        stage.client.seen = set()

    @property
    def connections(self) -> int:
        """How often watch has connected since the case began."""
        lines = self.stage.watch.lines[self._mark :]
        return sum(re.match(BEGUN, line) is not None for line in lines)

    def connect_again(self) -> None:
        """Make watch connect anew at once, unless it does so by itself in a moment.

        A poll that SIGHUP cancels is not logged: the answer that is to be played would be lost.
        """
        if self.upstream.polled_often:
            return
        self.stage.watch.process.send_signal(signal.SIGHUP)

    @property
    def logged(self) -> list[str]:
        """The lines logged since the case began, without those that may be logged at any time."""
        return [line for line in self.stage.watch.lines[self._mark :] if not QUIET.match(line)]

    def explained(self, pattern: str) -> None:
        """Wait for a line that explains the fault."""
        self.stage.watch.until(
            lambda: any(re.search(pattern, line) for line in self.logged),
            f"no {pattern!r} in the log",
        )
        self._began = time.monotonic()

    def untouched(self) -> None:
        """See that the process lives and that the file is the same, not only its content."""
        stat = self.stage.file.stat()
        assert self.stage.watch.process.poll() is None
        assert self.stage.file.read_bytes() == self.before
        assert (stat.st_ino, stat.st_mtime_ns) == (self._stat.st_ino, self._stat.st_mtime_ns)

    def recover(self, **more: object) -> None:
        """Send the next version and more hosts, and see it in the file and served by Traefik."""
        self.upstream.publish(self.upstream.framed(self.stage.hosts() | more))
        self.upstream.gate.set()
        self.applied()

    def applied(self) -> None:
        """See the newest version in the file and served by Traefik, and take the time."""
        name = self.stage.newest_name
        self.stage.watch.until(lambda: f"`{name}`" in self.content(), f"{name} not in the file")
        to_file = time.monotonic() - self._began
        self.served(name)
        to_route = time.monotonic() - self._began
        self.stage.recoveries.append(Recovery(self._name, to_file, to_route))

    def served(self, name: str) -> None:
        """Wait until Traefik serves a name."""
        self.stage.watch.until(
            lambda: self.stage.traefik.get("web", name) == LIVE, f"{name} is not served"
        )

    def content(self) -> str:
        """Return what the file holds, which from now on is known to be good."""
        content = self.stage.file.read_bytes()
        self._known.add(content)
        return content.decode()

    def explained_once(self, pattern: str) -> None:
        """See that one line explains the fault, and that nothing else was logged.

        A watch with a short read timeout may find the next connection silent, too: it waits at the
        gate, or Traefik loads what has come by it.
        """
        first, *more = self.logged
        assert re.search(pattern, first)
        assert [line for line in more if not SILENT.search(line)] == []

    def explained_each_time(self, pattern: str) -> None:
        """See that a fault that lasts is explained by one line for each attempt, and no other."""
        assert self.logged
        assert [line for line in self.logged if not re.search(pattern, line)] == []

    def finish(self) -> None:
        """See that the process lives, that no poll failed, and that no other bytes were seen."""
        spoilt = [content.decode() for content in self.stage.client.seen - self._known]
        self.stage.spoiled += bool(spoilt)
        assert self.stage.watch.process.poll() is None
        assert spoilt == []
        assert self.stage.client.failures == []
