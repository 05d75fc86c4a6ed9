"""The store under faults: watch goes on, says why in a line a snapshot, and makes up for it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from support.certificates import Authority
from support.endpoints import Feed, Script, ScriptedEndpoint, snapshot, unanswering
from support.entries import hosts
from support.stores import PATIENT_WITH_STORE, Server, StoreWatch, keys_of, needs_redis

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.redis import connection
from ctsdns_traefik.output.redis.publisher import RedisOutput
from ctsdns_traefik.output.redis.url import address_from

pytestmark = needs_redis


_WRITTEN = "INFO (?:created|replaced) redis"

PAUSING = """
import sys
from ctsdns_traefik import signals
from ctsdns_traefik.cli import main
from ctsdns_traefik.output.redis import publisher
signals.PATIENCE = 5.0
publisher._SETTLE_SECONDS = publisher._SETTLE_AT_MOST = 600.0
sys.exit(main(sys.argv[1:]))
"""
"""watch that lets a rule wait for long, and has seconds to end."""


class Scene(NamedTuple):
    """A running watch, what it is fed, and its store."""

    watch: StoreWatch
    feed: Feed
    server: Server

    def publish(self, names: str) -> None:
        """Send a snapshot of an entry a letter."""
        self.feed.send(snapshot(hosts(names)))

    def until_applied(self, names: str) -> None:
        """Send one, and wait until the store has it and the log says so."""
        written = len(re.findall(_WRITTEN, self.watch.log))
        self.publish(names)
        self.watch.until_logged(_WRITTEN, written + 1)
        assert self.server.routes() == {f"router-{name}-example-com" for name in names}

    def fails(self, names: str, reason: str, fix: str = "; [^;]+") -> None:
        """Send a snapshot that cannot be written, and see that one line has why, and a fix."""
        mark = len(self.watch.lines)
        self.publish(names)
        self.watch.until(lambda: len(self.watch.lines) > mark, "nothing is said")
        (line,) = self.watch.lines[mark:]
        assert re.fullmatch(
            rf"ERROR cannot publish to {re.escape(self.server.shown)}: {reason}{fix};"
            " trying again at the next snapshot",
            line,
        ), line
        assert self.watch.process.poll() is None


@contextmanager
def watching(
    server: Server,
    folder: Path,
    *options: str,
    url: str = "",
    program: Sequence[str] = (sys.executable, "-c", PATIENT_WITH_STORE),
    **environment: str,
) -> Iterator[Scene]:
    """Run a watch on a server that may not be there yet."""
    with Feed() as feed, ScriptedEndpoint(feed) as endpoint:
        watch = StoreWatch(
            endpoint.url,
            url or server.url,
            folder / "watch",
            *options,
            environment=environment,
            program=program,
        )
        with watch:
            watch.until_logged("connected to")
            yield Scene(watch, feed, server)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a Redis of the test's own."""
    with Server(tmp_path) as server:
        yield server


REFUSALS = [
    pytest.param(
        "READONLY You can't write against a read only replica.",
        r"it is a read-only replica \(READONLY\); name the primary",
        id="read-only",
    ),
    pytest.param(
        "LOADING Redis is loading the dataset in memory",
        r"it is still loading its data \(LOADING\); wait for it",
        id="loading",
    ),
    pytest.param(
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        r"it is a replica that has lost its primary \(MASTERDOWN\); name the primary",
        id="primary-lost",
    ),
    pytest.param(
        "CROSSSLOT Keys in request don't hash to the same slot",
        r"it is a cluster, from which Traefik cannot read \(CROSSSLOT\); name a single server",
        id="cluster",
    ),
    pytest.param("MOVED 1 192.0.2.1:6379", r"it is a cluster, .* \(MOVED\); .*", id="moved"),
    pytest.param("BUSY Redis is busy running a script.", "BUSY Redis is busy .*", id="script"),
]


def answering_with(answer: bytes) -> Script:
    """Return a script that gives every piece it receives the same answer."""

    def play(connection: socket.socket) -> None:
        connection.sendall(answer)
        while connection.recv(65536):
            connection.sendall(answer)

    return play


def complaint_of(port: int, scheme: str = "redis") -> str:
    """Return what a write to a port says, at most a line, without the password."""
    url = f"{scheme}://:hunter2@127.0.0.1:{port}/0"
    with pytest.raises(OutputError) as caught:
        RedisOutput(address_from(url)).write(b"{}")
    text = str(caught.value)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in repr(caught.value)
    assert text.isprintable()
    return text.partition("rootKey=traefik: ")[2]


@pytest.mark.parametrize(("error", "reason"), REFUSALS)
def test_every_answer_that_refuses_is_explained(error: str, reason: str) -> None:
    """Whatever command an error of Redis's answers, its code and what it means are reported."""
    with raw(answering_with(f"-{error}\r\n".encode())) as port:
        assert re.fullmatch(reason, complaint_of(port))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", id="http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="ssh"),
        pytest.param(b"\xff\x00\x1b[31m\r\n" * 9, id="bytes"),
        pytest.param(b"$9999999999999\r\n", id="too-long"),
        pytest.param(b"*-7\r\n:x\r\n", id="no-number"),
        pytest.param(b"+OK\r\n", id="ok-to-everything"),
        pytest.param(b"$-1\r\n", id="nothing-to-everything"),
        pytest.param(b":1\r\n", id="one-to-everything"),
    ],
)
def test_port_that_is_no_redis_is_one_clear_line(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any answer is reported in one line, within its time."""
    monkeypatch.setattr(connection, "PATIENCE", 0.3)
    with raw(answering_with(answer)) as port:
        assert complaint_of(port)


def test_defect_of_our_own_is_not_the_stores(server: Server) -> None:
    """An error that arises while the store is open, but not by asking it, stays what it is."""
    access = read_access("routes: {a.example.com: {access: tailscale-only}}")
    content = render(hosts("a"), access=access).text.encode()

    def fail(seconds: float) -> None:
        raise KeyError(seconds)

    with pytest.raises(KeyError):
        RedisOutput(address_from(server.url), sleep=fail).write(content)


def test_plain_port_does_not_speak_tls(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis waits for the rest of what it takes for a command: that is one line, too."""
    monkeypatch.setattr(connection, "PATIENCE", 0.3)
    expected = (
        "it does not answer within 0.3 s; check that the store runs, its address, and whether"
    )
    assert complaint_of(server.port, "rediss") == f"{expected} its port has TLS"


@contextmanager
def raw(script: Script) -> Iterator[int]:
    """Play a script to each connection, from its first byte on; give the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with suppress(OSError), client:
                    client.settimeout(30)
                    client.recv(65536)
                    script(client)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_store_that_is_away_at_the_start_is_written_when_it_comes(tmp_path: Path) -> None:
    """Watch starts all the same, says so, and fills the store at the first snapshot it can."""
    server = Server(tmp_path)
    with ExitStack() as stack, watching(server, tmp_path) as scene:
        assert "connection refused" in scene.watch.lines[0]
        scene.fails("ab", "connection refused")
        stack.enter_context(server)
        scene.until_applied("ab")


def test_guard_holds_for_a_store_that_was_away_at_the_start(tmp_path: Path) -> None:
    """What stood there is what a large removal is measured by, though the look came late."""
    with ExitStack() as stack:
        server = Server(tmp_path, "--appendonly", "yes")
        with server, watching(server, tmp_path) as scene:
            scene.until_applied("abcde")
        with watching(server, tmp_path) as scene:
            stack.enter_context(server)
            scene.publish("a")
            scene.watch.until_logged("the snapshot would remove 4 of 5 routes")
            assert len(server.routes()) == 5


def test_dead_store_is_filled_again_when_it_comes_back_empty(
    server: Server, tmp_path: Path
) -> None:
    """A crash costs a line a snapshot; the restarted, empty store gets everything."""
    with watching(server, tmp_path) as scene:
        scene.until_applied("ab")
        server.kill()
        scene.fails("ab", "connection refused")
        scene.fails("abc", "connection refused")
        server.start()
        assert server.keys("*") == {}
        scene.until_applied("abc")


@pytest.mark.parametrize(
    ("command", "reason", "fix"),
    [
        pytest.param(
            ("REPLICAOF", "127.0.0.1", "1"),
            r"it is a read-only replica \(READONLY\)",
            ("REPLICAOF", "NO", "ONE"),
            id="read-only-replica",
        ),
        pytest.param(
            ("CONFIG", "SET", "maxmemory", "1"),
            r"it is out of memory \(OOM\)",
            ("CONFIG", "SET", "maxmemory", "0"),
            id="out-of-memory",
        ),
        pytest.param(
            ("CONFIG", "SET", "requirepass", "hunter2"),
            r"it wants a password \(NOAUTH\)",
            None,
            id="password-asked-for",
        ),
        pytest.param(
            ("ACL", "SETUSER", "default", "-exec", "-mset"),
            r"its user lacks a permission \(NOPERM\)",
            ("ACL", "SETUSER", "default", "+@all"),
            id="command-forbidden",
        ),
        pytest.param(
            ("ACL", "SETUSER", "default", "resetkeys", "~other*"),
            r"its user lacks a permission \(NOPERM\)",
            ("ACL", "SETUSER", "default", "allkeys"),
            id="keys-forbidden",
        ),
        pytest.param(
            ("CONFIG", "SET", "min-replicas-to-write", "3"),
            r"it takes no writes, since it has too few replicas \(NOREPLICAS\)",
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            id="too-few-replicas",
        ),
    ],
)
def test_refusal_is_one_clear_line_and_recovers_at_the_next_snapshot(
    server: Server,
    tmp_path: Path,
    command: tuple[str, ...],
    reason: str,
    fix: tuple[str, ...] | None,
) -> None:
    """What the store answers is reported in plain words with its code; nothing of it is written."""
    with watching(server, tmp_path) as scene, server.client() as admin:
        scene.until_applied("ab")
        admin.execute_command(*command)
        scene.fails("abc", reason)
        scene.fails("abc", reason)
        if fix is None:
            admin.execute_command("CONFIG", "SET", "requirepass", "")
        else:
            admin.execute_command(*fix)
        scene.until_applied("abc")


def test_full_disk_is_one_clear_line(server: Server, tmp_path: Path) -> None:
    """A Redis that cannot save its data takes no writes, and says so."""
    with watching(server, tmp_path) as scene, server.client() as admin:
        scene.until_applied("ab")
        (tmp_path / "dump.rdb").mkdir()
        (tmp_path / "dump.rdb" / "in-the-way").touch()
        admin.config_set("save", "1 1")
        admin.set("more", "1")
        scene.watch.until(
            lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", "it saves"
        )
        scene.fails("abc", r"it takes no writes, since it cannot save them to disk \(MISCONF\)")
        admin.config_set("save", "")
        admin.config_set("stop-writes-on-bgsave-error", "no")
        scene.until_applied("abc")


@pytest.mark.parametrize("user", ["", "default"])
def test_wrong_password_is_logged_without_it(server: Server, tmp_path: Path, user: str) -> None:
    """Neither the wrong nor the right password is in the log or the process's title."""
    server.run("CONFIG", "SET", "requirepass", "right")
    url = server.url.replace("//", f"//{user}@") if user else server.url
    with watching(server, tmp_path, url=url, TRAEFIK_STORE_PASSWORD="hunter2") as scene:
        scene.fails("ab", r"the user or the password is wrong \(WRONGPASS\)")
        title = Path(f"/proc/{scene.watch.process.pid}/cmdline")
        assert not title.exists() or b"hunter2" not in title.read_bytes()
        assert "hunter2" not in scene.watch.log
    with server.client(password="right") as admin:
        admin.config_set("requirepass", "")


def test_password_from_a_file_is_read_at_each_snapshot(server: Server, tmp_path: Path) -> None:
    """A password that is changed in both places at once costs nothing but a line."""
    file = tmp_path / "password"
    file.write_text("wrong\n")
    server.run("CONFIG", "SET", "requirepass", "right")
    server.login = {"password": "right"}
    with watching(server, tmp_path, "--store-password-file", str(file)) as scene:
        scene.fails("ab", r"the user or the password is wrong \(WRONGPASS\)")
        file.unlink()
        scene.fails("ab", "cannot read the password file .*: no such file or directory", "")
        file.write_text("right\n")
        scene.until_applied("ab")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_it_while_the_store_hangs(
    server: Server, tmp_path: Path, signum: signal.Signals
) -> None:
    """A Redis that accepts and never answers does not hold up the end, which is reported.

    Its answer is not waited for: that would log an error after three seconds.
    """
    file = tmp_path / "status.json"
    with Cutter(server) as way:
        url = f"redis://127.0.0.1:{way.port}/0"
        with watching(server, tmp_path, "--status-file", str(file), url=url) as scene:
            scene.until_applied("ab")
            way.silent = True
            scene.publish("abc")
            assert way.swallowed.wait(60)
            status = scene.watch.stop(signum)
            assert status == (0 if signum == signal.SIGTERM else 130)
            assert scene.watch.lines[-1] == f"INFO {signum.name}: stopped"
            assert "ERROR" not in scene.watch.log
            assert json.loads(file.read_text())["state"] == "stopped"


def test_stop_comes_through_before_a_rule_that_waits(server: Server, tmp_path: Path) -> None:
    """A stop in the pause ends watch in good order, and no rule is published then."""
    access = tmp_path / "access.yml"
    access.write_text('routes: {"*.example.com": {access: tailscale-only}}\n')
    program = [sys.executable, "-c", PAUSING]
    with watching(server, tmp_path, "--access-file", str(access), program=program) as scene:
        scene.publish("ab")
        scene.watch.until(lambda: server.keys("traefik/*"), "nothing is published")
        assert scene.watch.stop() == 0
        assert scene.watch.lines[-1] == "INFO SIGTERM: stopped"
        assert server.keys("traefik/*/rule") == {}


def test_store_that_hangs_costs_seconds_and_a_line(server: Server, tmp_path: Path) -> None:
    """Time-outs bound the wait, and the next snapshot is written once it answers again."""
    with watching(server, tmp_path) as scene:
        scene.until_applied("ab")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            scene.fails("abc", "it does not answer within 3 s")
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        scene.until_applied("abc")


def test_store_behind_a_silent_network_is_bounded_at_the_start(tmp_path: Path) -> None:
    """Connecting that nothing answers ends after some seconds, and watch follows the endpoint."""
    with unanswering() as url:
        server = Server(tmp_path)
        server.port = int(url.split(":")[2].partition("/")[0])
        with watching(server, tmp_path) as scene:
            assert "it does not answer within 3 s" in scene.watch.lines[0]


class Cutter:
    """A way to the server that is cut after some bytes from the client; a context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.left: int | None = None
        """Bytes until the cut; ``None`` for none."""
        self.passed = 0
        self.silent = False
        """Take what the client says, and pass nothing on."""
        self.swallowed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server.port))
                self.passed = 0
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        left = self.left
        with suppress(OSError):
            while data := client.recv(65536):
                if self.silent:
                    self.swallowed.set()
                    continue
                if left is not None and len(data) >= left:
                    server.sendall(data[:left])
                    server.shutdown(socket.SHUT_WR)  # it acts on what it has got, then closes
                    return
                self.passed += len(data)
                server.sendall(data)
                left = None if left is None else left - len(data)
        _close(client, server)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        _close(client, server)


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def test_connection_cut_anywhere_leaves_the_old_or_the_new(server: Server, tmp_path: Path) -> None:
    """Wherever a transaction is cut, what stands is one of the two, whole, and fixed after."""
    with Cutter(server) as cutter:
        url = f"redis://127.0.0.1:{cutter.port}/0"
        with watching(server, tmp_path, url=url) as scene:
            scene.until_applied("ab")
            length = cutter.passed
            assert length > 500
            for number, cut in enumerate(range(1, length, length // 8)):
                entries = hosts("abc"[number % 2 :], f"100.64.1.{number}")
                before, mark, cutter.left = server.keys(), len(scene.watch.lines), cut
                scene.feed.send(snapshot(entries))
                scene.watch.until(lambda m=mark: len(scene.watch.lines) > m, "nothing is said")
                assert server.keys() in (before, keys_of(entries)), cut
                cutter.left = None
                scene.feed.send(snapshot(entries))
                scene.watch.until(lambda e=entries: server.keys() == keys_of(e), f"stuck at {cut}")
            assert "internal error" not in scene.watch.log


def tls_server(folder: Path, authority: Authority, name: str) -> Server:
    """Return a Redis that speaks nothing but TLS, with a certificate for a name."""
    certificate, key = authority.issue(name)
    server = Server(folder)
    server.login = {
        "ssl": True,
        "ssl_ca_certs": str(authority.ca_file),
        "ssl_check_hostname": False,
    }
    server._options += ["--tls-port", str(server.port), "--port", "0", "--tls-auth-clients", "no"]
    server._options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    server._options += ["--tls-ca-cert-file", str(authority.ca_file)]
    return server


def test_tls_needs_an_authority_that_is_trusted(tmp_path: Path, authority: Authority) -> None:
    """rediss:// verifies the server's certificate, by the file that is named for it."""
    ca = str(authority.ca_file)
    with tls_server(tmp_path, authority, "127.0.0.1") as plain:
        url = plain.url.replace("redis://", "rediss://")
        with watching(plain, tmp_path, "--store-ca-file", ca, url=url) as scene:
            scene.until_applied("ab")
        with watching(plain, tmp_path, url=url) as scene:
            assert "its certificate cannot be trusted" in scene.watch.lines[0]
        (tmp_path / "other").mkdir()
        other = Authority(tmp_path / "other").ca_file
        target = RedisOutput(address_from(url, ca_file=other))
        with pytest.raises(OutputError, match="its certificate cannot be trusted"):
            target.write(b"{}")
        with watching(plain, tmp_path) as scene:  # no TLS where TLS is spoken
            assert re.search("cannot publish to .*: ", scene.watch.lines[0])


def test_tls_needs_the_name_that_was_asked_for(tmp_path: Path, authority: Authority) -> None:
    """A certificate of the right authority for another host is refused before the password goes."""
    with tls_server(tmp_path, authority, "other.example.com") as server:
        server.run("CONFIG", "RESETSTAT")
        url = server.url.replace("redis://", "rediss://:hunter2@")
        target = RedisOutput(address_from(url, ca_file=authority.ca_file))
        with pytest.raises(OutputError, match=r"its certificate cannot be trusted: .*mismatch"):
            target.write(b"{}")
        assert "cmdstat_auth" not in server.run("INFO", "commandstats")
