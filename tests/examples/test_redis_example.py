"""examples/redis: its files as they stand, on other ports, with real programs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from local import free_ports, running, until
from ruamel.yaml import YAML
from support.access_files import opening
from support.backends import http_backend
from support.endpoints import STREAM, ScriptedEndpoint, saying_nothing, sending, snapshot
from support.paths import ROOT
from support.stores import Server, StoreTraefik, keys_of, needs_redis
from support.traefik import Answer

from ctsdns_traefik.errors import Standby
from ctsdns_traefik.output.redis.publisher import RedisOutput
from ctsdns_traefik.output.redis.url import address_from

pytestmark = needs_redis

EXAMPLE = ROOT / "examples" / "redis"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the example."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "redis"))


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Run the example's Redis on a free port."""
    (port,) = free_ports(1)
    configuration = folder / "redis.conf"
    configuration.write_text(configuration.read_text().replace("6379", str(port)))
    command = ["sh", "-c", f"cd '{folder}' && exec redis-server ./redis.conf"]
    with running(command, folder / "redis.log"):
        until(lambda: b"NOAUTH" in ask(port, b"PING"), "no Redis")
        yield port


def ask(port: int, command: bytes) -> bytes:
    """Send one command in the clear; return what comes first."""
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(1000)
    except OSError:
        return b""


def test_example_brings_routes_to_traefik(folder: Path) -> None:
    """Redis, Traefik's part and watch.sh: what the access file opens is live, and goes again."""
    (folder / "access.yml").write_text(opening(EXAMPLE / "access.yml", "a.example.com"))
    with serving(folder) as port, http_backend("live") as backend:
        server = Server(folder)
        server.port = port
        names = ("a.example.com", "b.example.com")
        entries: dict[str, object] = {f"_web_http_{backend}._tcp.{n}": "127.0.0.1" for n in names}
        script = sending(STREAM, snapshot(entries), then=saying_nothing)
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TRAEFIK_DYNAMIC_CONFIG_FILE": f"redis://ctsdns@127.0.0.1:{port}/0?rootKey=traefik",
        }
        provider = YAML(typ="safe").load(folder / "traefik.yml")["providers"]["redis"]
        provider["endpoints"] = [f"127.0.0.1:{port}"]
        traefik = StoreTraefik(folder / "t", server, **provider)
        with traefik, ScriptedEndpoint(script) as e:
            environment["TRAEFIK_CONFIG_API_ENDPOINT"] = e.url
            log = folder / "watch.log"
            with running([str(folder / "watch.sh")], log, environment):
                until(
                    lambda: traefik.get("web", "a.example.com") == Answer(200, "live"), "no route"
                )
                assert traefik.get("web", "b.example.com").status == 403
                assert log.read_text().count("\n") == 2, log.read_text()  # connected, created
            target = RedisOutput(
                address_from(
                    environment["TRAEFIK_DYNAMIC_CONFIG_FILE"],
                    password_file=folder / "writer-password",
                )
            )
            target.read()
            with target.claim():
                target.write(b"{}")
            until(lambda: not traefik.routers(), "the last route stays")
            assert traefik.errors == []


def test_writer_may_do_no_more_than_it_needs(folder: Path) -> None:
    """Every command of the writer's line is one that it cannot do without; no other is open."""
    (line,) = [
        each for each in (EXAMPLE / "users.acl").read_text().splitlines() if "ctsdns on" in each
    ]
    allowed = {word[1:] for word in line.split() if word.startswith("+")}
    assert allowed - {"select", "unwatch", "discard"} == {
        *("watch", "multi", "exec", "hmget", "smembers", "scard", "mget"),
        *("set", "mset", "del", "srem", "sadd", "hset"),
    }
    with serving(folder) as port:
        writer: Any = redis.Redis(
            port=port, username="ctsdns", password="change-me-writer", protocol=2
        )
        with writer:
            for command in (("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("GET", "x")):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    writer.execute_command(*command)
            with pytest.raises(redis.exceptions.NoPermissionError):
                writer.mset({"other/key": "1"})


def test_writer_may_do_all_that_it_needs(folder: Path) -> None:
    """Protected routes, what a killed watch left, and their end, with the rights of users.acl."""
    protected = (
        b'{"http": {"routers": {"r": {"rule": "x", "service": "s", "middlewares": ["m"]}},'
        b' "middlewares": {"m": {"addPrefix": {"prefix": "/"}}}}}'
    )

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    with serving(folder) as port:
        address = address_from(
            f"redis://ctsdns@127.0.0.1:{port}/0", password_file=folder / "writer-password"
        )
        first = RedisOutput(address, sleep=killed)
        with first.claim(), pytest.raises(KeyboardInterrupt):
            first.write(protected)
        target = RedisOutput(address, sleep=lambda _: None)
        for content in (protected, b"{}"):
            target.write(content)
            assert target.read() == target.as_held(content)
        with pytest.raises(Standby):
            RedisOutput(address).write(b"{}")


def test_reader_cannot_write_and_cannot_change_what_is_notified(folder: Path) -> None:
    """Traefik would set its own, far noisier notifications at its start if it could."""
    with serving(folder) as port:
        reader: Any = redis.Redis(
            port=port, username="traefik", password="change-me-reader", protocol=2
        )
        with reader:
            for command in (
                ("MSET", "traefik/x", "1"),
                ("DEL", "traefik/x"),
                ("CONFIG", "SET", "notify-keyspace-events", "KEA"),
                ("MGET", "other"),
                ("PSUBSCRIBE", "*"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    reader.execute_command(*command)


def test_login_needs_a_password(folder: Path) -> None:
    """There is no default user."""
    with serving(folder) as port:
        assert b"NOAUTH" in ask(port, b"MGET traefik/x")
        assert keys_of({})
