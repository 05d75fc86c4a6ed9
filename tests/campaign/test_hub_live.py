"""A hub and three real Traefiks that poll it: whatever happens, no request for a route fails."""

from __future__ import annotations

import http.client
import json
import random
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest
from campaign.live_stage import CONSTANT, LIVE, Client
from campaign.upstream import Upstream
from local import free_ports, until
from support.backends import http_backend
from support.campaigns import FULL, rounds
from support.cutting import CuttingProxy
from support.endpoints import ScriptedEndpoint, snapshot
from support.http_traefik import HttpTraefik
from support.hubs import Hub
from support.progress import counted

from ctsdns_traefik.core.dynamic.rendering import render

pytestmark = pytest.mark.timeout(900)

TRAEFIKS = 3
FILLING = 200
NOWHERE = "http://127.0.0.1:9/api/config"
HOSTILE = rounds(200, 2_000)


class Stage:
    """All of it on free ports of 127.0.0.1; a context manager that ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "hub" / "dynamic.yml"
        self.file.parent.mkdir()
        self.port = free_ports(1)[0]
        self.upstream = Upstream()
        self.known: set[bytes] = set()
        """Every document that may be served."""
        self.hub: Hub
        self._version = 0
        self._stack, self._hub_stack = ExitStack(), ExitStack()

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        self.backend = enter(http_backend(LIVE.body))
        self.source = enter(ScriptedEndpoint(self.upstream, port=free_ports(1)[0]))
        self.proxy = enter(CuttingProxy(self.port))
        enter(self._hub_stack)
        self.start(self.source.url)
        self.publish()
        url = f"http://127.0.0.1:{self.proxy.port}/traefik.json"
        self.traefiks = []
        for number in range(TRAEFIKS):
            place = self.folder / f"traefik-{number}"
            place.mkdir()
            wait = "?wait=200ms" if number == 0 else ""
            self.traefiks.append(enter(HttpTraefik(place, url + wait, pollTimeout="500ms")))
        self.until_live()
        self.clients = [enter(Client(traefik)) for traefik in self.traefiks]
        self.reader = enter(Reader(self.port))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, url: str, output: str = "") -> None:
        """Start a hub on the same port, in place of the one before."""
        self._hub_stack.close()
        arguments = ["--retry-delay", "0.1", *(["-o", output] if output else [])]
        self.hub = self._hub_stack.enter_context(Hub(url, self.file, *arguments, port=self.port))

    def publish(self) -> None:
        """Send a new version: the constant route, one that is new, and many others."""
        self._version += 1
        fillers = random.sample(range(FILLING), FILLING * 3 // 4)
        names = (CONSTANT, self.newest, *(f"fill-{each}.example.com" for each in fillers))
        hosts = {f"_web_http_{self.backend}._tcp.{name}": "127.0.0.1" for name in names}
        self.known.add(render(hosts).text.encode())
        self.upstream.publish(snapshot(hosts))

    @property
    def newest(self) -> str:
        """The domain that is only in the newest version."""
        return f"v{self._version}.example.com"

    def until_live(self) -> None:
        """Wait until every Traefik serves the newest version's route."""

        def live() -> bool:
            return all(each.get("web", self.newest) == LIVE for each in self.traefiks)

        until(live, f"no {self.newest}; the hub's log:\n{self.hub.log}")

    def until_failing(self) -> None:
        """Wait until a poll of each Traefik has failed."""
        before = [len(each.errors) for each in self.traefiks]

        def failed() -> bool:
            return all(
                len(each.errors) > number
                for each, number in zip(self.traefiks, before, strict=True)
            )

        until(failed, "no poll has failed")


class Reader:
    """Takes the document all the time, and keeps what it gets; a context manager."""

    def __init__(self, port: int) -> None:
        self.seen: set[bytes] = set()
        self._port = port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1)
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", "/traefik.json")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    self.seen.add(body)
            connection.close()


def kill(stage: Stage) -> None:
    """Kill the hub, and start it again."""
    stage.hub.process.kill()
    stage.hub.process.wait()
    stage.until_failing()
    stage.start(stage.source.url)


def kill_in_the_middle(stage: Stage) -> None:
    """Kill the hub again and again while it works on changes."""
    for _ in range(5):
        stage.publish()
        stage.publish()
        time.sleep(random.random() * 0.15)
        stage.hub.process.kill()
        stage.hub.process.wait()
        stage.start(stage.source.url)


def edit_the_file(stage: Stage) -> None:
    """Take routes out of the file, empty it, and remove it: none of that is ever served."""
    part = json.loads(stage.file.read_text())
    for router in list(part["http"]["routers"])[::2]:
        del part["http"]["routers"][router]
    for text in (json.dumps(part), "{}\n", "%"):
        stage.file.write_text(text)
        stage.publish()
        stage.until_live()
    stage.file.unlink()
    stage.hub.process.send_signal(signal.SIGHUP)
    until(stage.file.exists, "the file is not put back")


def hang(stage: Stage) -> None:
    """Stop the hub for a while."""
    stage.hub.process.send_signal(signal.SIGSTOP)
    stage.until_failing()
    stage.hub.process.send_signal(signal.SIGCONT)


def restart_without_a_source(stage: Stage) -> None:
    """Start a hub whose source is away: it serves the file."""
    stage.hub.process.kill()
    stage.hub.process.wait()
    stage.start(NOWHERE)
    stage.hub.until_served(CONSTANT)
    stage.start(stage.source.url)


def restart_with_an_empty_disk(stage: Stage) -> None:
    """Start a hub that has neither its file nor a source: it answers 503."""
    stage.hub.process.kill()
    stage.hub.process.wait()
    stage.file.unlink()
    stage.start(NOWHERE)
    assert stage.hub.get("/traefik.json").status == 503
    stage.until_failing()
    stage.start(stage.source.url)


def serve_from_memory(stage: Stage) -> None:
    """Start a hub without an output, before its source, and go back to one with a file."""
    stage.hub.process.kill()
    stage.hub.process.wait()
    stage.start(NOWHERE, "none")
    assert stage.hub.get("/traefik.json").status == 503
    stage.start(stage.source.url, "none")
    stage.publish()
    stage.until_live()
    stage.start(stage.source.url)


def fill_the_disk(stage: Stage) -> None:
    """Let no file grow as large as the document; what cannot be written is not served."""
    pid = stage.hub.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    before = stage.hub.get("/traefik.json").body
    stage.publish()
    stage.hub.until_logged("cannot write")
    assert stage.hub.get("/traefik.json").body == before
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def cut_answers(stage: Stage) -> None:
    """Cut connections in the middle of answers."""
    cuts = stage.proxy.cuts
    stage.proxy.after = 2_000
    stage.publish()
    until(lambda: stage.proxy.cuts > cuts + 2 * TRAEFIKS, "no answer was cut")
    stage.proxy.after = None


FAULTS: tuple[Callable[[Stage], None], ...] = (
    kill,
    kill_in_the_middle,
    edit_the_file,
    hang,
    restart_without_a_source,
    restart_with_an_empty_disk,
    serve_from_memory,
    *((fill_the_disk,) if sys.platform == "linux" else ()),
    cut_answers,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run one stage for all faults."""
    with Stage(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.mark.parametrize("number", range(rounds(1, 20)))
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.replace("_", "-"))
def test_no_fault_of_the_hub_costs_a_route(
    stage: Stage,
    fault: Callable[[Stage], None],
    number: int,  # noqa: ARG001
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    """Through each fault the constant route is served, no wrong document is, the next comes."""
    fault(stage)
    began = time.monotonic()
    stage.publish()
    stage.until_live()
    require_no_loss(stage)
    polls = sum(client.polls for client in stage.clients)
    seconds = time.monotonic() - began
    figures = (
        f"{polls} requests, 0 failed; {len(stage.reader.seen)} documents, 0 wrong; {seconds:.1f} s"
    )
    record_testsuite_property(f"hub: {fault.__name__}", figures)


def require_no_loss(stage: Stage) -> None:
    """See that no request has failed, and that only known documents were served."""
    assert [client.failures for client in stage.clients] == [[]] * TRAEFIKS
    assert all(client.polls > 0 for client in stage.clients)
    assert stage.reader.seen <= stage.known


def test_hostile_requests_cost_nothing(
    stage: Stage, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Oversized, slow, pipelined and broken requests disturb nobody."""
    chance = random.Random(7)
    held: list[socket.socket] = []
    for number in counted(range(HOSTILE)):
        connection = socket.create_connection(("127.0.0.1", stage.port), timeout=60)
        with suppress(OSError):
            connection.sendall(hostile_request(chance))
        held.append(connection)
        if len(held) > 100:
            held.pop(0).close()
        if number % 50 == 0:
            stage.publish()
    stage.publish()
    stage.until_live()
    for connection in held:
        connection.close()
    require_no_loss(stage)
    assert "internal error" not in stage.hub.log
    record_testsuite_property("hub: hostile requests", f"{HOSTILE} requests, 0 routes lost")


def hostile_request(chance: random.Random) -> bytes:
    """Make a request that no client should send."""
    head = b"GET /traefik.json HTTP/1.1\r\nHost: localhost\r\n"
    post = b"POST /webhook HTTP/1.1\r\nHost: localhost\r\n"
    noise = chance.randbytes(chance.randrange(1, 2_000))
    kinds = (
        head + b"X-Large: " + b"x" * chance.randrange(30_000, 80_000),
        head[: chance.randrange(1, len(head))],
        (head + b"\r\n") * chance.randrange(2, 40),
        noise,
        noise + b"\r\n\r\n",
        b"GET /" + noise.replace(b"\n", b"") + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        head + b"X: " + noise.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\n",
        head + b"Content-Length: %d\r\n\r\n" % chance.choice((-1, 10**12, 3)) + noise,
        post + b"Transfer-Encoding: chunked\r\n\r\n" + noise,
        post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + noise,
        post + b"Content-Length: 10\r\nContent-Length: 20\r\n\r\n" + noise,
        post + b"Content-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /api/config HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /traefik.json HTTP/1.1\r\nHost: " + noise[:20].hex().encode() + b"\r\n\r\n",
        head + b"If-None-Match: " + b'"x",' * 2_000 + b"\r\n\r\n",
        head + b"Accept-Encoding: " + b"gzip;q=0.0001," * 1_500 + b"\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: localhost\r\n\r\n" + noise,
        head + b" folded: x\r\n\r\n",
    )
    return chance.choice(kinds)


@pytest.mark.skipif(not FULL, reason="it takes a minute")
def test_slow_clients_are_closed(stage: Stage) -> None:
    """A head that trickles is given up, and so is one that never comes."""
    with socket.create_connection(("127.0.0.1", stage.port), timeout=90) as connection:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 60:
                connection.sendall(b"G")
                time.sleep(1)
        assert time.monotonic() - began < 45
