"""``GET /api/config``: the worker's protocol, and watches that follow a hub."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.commands import Watch
from support.endpoints import (
    CHUNKED_STREAM,
    Feed,
    ScriptedEndpoint,
    chunk,
    event,
    snapshot,
)
from support.entries import hosts, names_in
from support.hubs import Hub, Listener
from tornado.iostream import IOStream

from ctsdns_traefik.server.relay import STALLED, Relay, snapshot_event

GREETING = event("connected", {"message": "SSE stream established"}, 0)


def entries(names: str, number: int) -> bytes:
    """Frame a snapshot as the worker does, without machines."""
    data = {"machines": [], "acl": {"hosts": hosts(names)}}
    return event("machines-snapshot", data, number)


UNCONFIRMED = """
import sys
from ctsdns_traefik.cli import main
from ctsdns_traefik.server import server
server.CONFIRMATION = 3600.0
sys.exit(main(sys.argv[1:]))
"""
"""A hub that repeats no change soon, so that a slow client gets each event once."""


def has(file: Path, names: str) -> bool:
    """Return whether a file has these routes."""
    return file.exists() and names_in(file) == names


def test_stream_is_the_workers_byte_for_byte(path: Path) -> None:
    """Head, chunks, events and numbers are the worker's, with service entries alone."""
    mixed = {"server1": "100.64.0.1", **hosts("a"), "home-lan": "192.168.1.0/24"}
    arguments, program = ("--listen-interval", "3600"), (sys.executable, "-c", UNCONFIRMED)
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path, *arguments, program=program) as hub,
    ):
        feed.send(snapshot(mixed))
        hub.until_served("router-a-example-com")
        with Listener(hub.port) as client:
            assert client.read(b"id: 1\n\n\r\n") == CHUNKED_STREAM + chunk(GREETING) + chunk(
                entries("a", 1)
            )
            feed.send(snapshot(hosts("ab")))
            assert client.read(b"id: 2\n\n\r\n") == chunk(entries("ab", 2))
            feed.send(snapshot(hosts("ab")), snapshot(hosts("b")))
            assert client.read(b"id: 3\n\n\r\n") == chunk(entries("b", 3))
        head_only = hub.get("/api/config", method="HEAD")
        assert (head_only.status, head_only.headers["content-type"]) == (200, "text/event-stream")
        with Listener(hub.port, version="HTTP/1.0") as client:
            head, _, body = client.read(b"id: 1\n\n").partition(b"\r\n\r\n")
            assert body == GREETING + entries("b", 1)
            assert b"chunked" not in head


def test_unchanged_policy_is_repeated(path: Path) -> None:
    """Each interval the policy comes again, and once it is too old an error in its place."""
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        arguments = ("--listen-interval", "0.2", "--max-age", "1")
        with Hub(server.url, path, *arguments) as hub, Listener(hub.port) as client:
            first = client.read(b"id: 1\n\n")
            assert b'event: error\ndata: {"event":"machines-snapshot","message":"this hub' in first
            began, came = time.monotonic(), 0
            while came < 5:
                feed.send(snapshot(hosts("a")))  # which is no change, and keeps it young
                came += client.read(b"event: machines-snapshot\n").count(b"machines-snapshot\n")
            assert came <= 3 + (time.monotonic() - began) / 0.2
            old = client.read(b"event: error\n") + client.read(b"\n\n")
            assert b"this hub's last trusted snapshot is 1 s old" in old


def test_change_reaches_a_follower_within_50_ms(path: Path) -> None:
    """From the source's event to the follower's it takes a few milliseconds; the best counts."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path) as hub,
        Listener(hub.port) as client,
    ):
        client.read(b"id: 1\n\n")
        taken = [1.0]
        while min(taken) >= 0.05 and len(taken) < 50:  # a busy machine needs more than one try
            began = time.monotonic()
            feed.send(snapshot(hosts("ab" if len(taken) % 2 else "a")))
            client.read(b"\n\n\r\n")
            taken.append(time.monotonic() - began)
    assert min(taken) < 0.05


def test_held_removal_is_not_passed_on(path: Path) -> None:
    """What the hub itself does not believe yet, no follower gets, however often it is repeated."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path, "--listen-interval", "0.1") as hub,
        Listener(hub.port) as client,
    ):
        feed.send(snapshot(hosts("abcdef")))
        client.read(b"f.example.com")
        feed.send(snapshot(hosts("a")))
        hub.until_logged("waiting for the next one to agree")
        with Listener(hub.port) as another:
            repeated = another.read(b"id: 5\n\n")
            assert repeated.count(b"f.example.com") == repeated.count(b"machines-snapshot\n") >= 5
        feed.send(snapshot(hosts("a")))
        hub.until(lambda: names_in(path) == "a", "the removal is not applied")
        with Listener(hub.port) as another:
            assert b"f.example.com" not in another.read(b"id: 1\n\n")


def test_chain_of_two_hubs(tmp_path: Path) -> None:
    """A watch follows a hub that follows a hub, and keeps its routes when both are gone."""
    files = [tmp_path / name / "dynamic.yml" for name in ("one", "two", "three")]
    for file in files:
        file.parent.mkdir()
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, files[0]) as first,
        Hub(first.url("/api/config"), files[1]) as second,
        Watch(second.url("/api/config"), files[2]) as last,
    ):
        feed.send(snapshot({**hosts("ab"), "alias": "100.64.0.9"}))
        last.until(lambda: has(files[2], "ab"), "nothing came through")
        assert len({file.read_bytes() for file in files}) == 1
        feed.send(snapshot(hosts("abc")))
        last.until(lambda: has(files[2], "abc"), "no change came through")
        first.process.kill()
        second.process.kill()
        last.until_logged("retrying in")
        assert names_in(files[2]) == "abc"


def test_follower_need_not_wait_for_a_removal_to_be_confirmed(tmp_path: Path) -> None:
    """A change is repeated soon: the guard of a follower does not hold it for a whole interval."""
    policy, files = tmp_path / "policy.hujson", (tmp_path / "one.yml", tmp_path / "two.yml")
    policy.write_text(json.dumps({"hosts": hosts("ab")}))
    with (
        Hub(str(policy), files[0], "--listen-interval", "3600") as hub,
        Watch(hub.url("/api/config"), files[1]) as last,
    ):
        last.until(lambda: has(files[1], "ab"), "nothing came through")
        policy.write_text(json.dumps({"hosts": dict.fromkeys(hosts("a"), "100.64.9.9")}))
        last.until_logged("would remove 1 of 2 routes and change 1: waiting for the next one")
        last.until(lambda: has(files[1], "a"), "the removal is not confirmed")


def test_follower_that_does_not_read_is_alone(path: Path) -> None:
    """One that has stopped reading delays no other, and gets the last policy alone later."""
    label = "x" * 60
    large = {
        f"_web_http_80._tcp.{number}.{label}.{label}.{label}": "1.1.1.1" for number in range(5_000)
    }
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path) as hub,
        Listener(hub.port, buffer=65536) as slow,
        Listener(hub.port) as fast,
    ):
        for name in "abcdefgh":
            feed.send(snapshot({**large, **hosts(name)}))
            fast.read(f".{name}.example.com".encode())
        seen = slow.read(b".h.example.com")
    assert len(re.findall(rb"\.[a-h]\.example\.com", seen)) < 8


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("100.64.0.1", b'"100.64.0.1"', id="text"),
        pytest.param(None, b"null", id="null"),
        pytest.param("é\ud800", '"é?"'.encode(), id="lone-surrogate"),
        pytest.param(float("inf"), b"null", id="too-large-a-number"),
        pytest.param("a\nb", b'"a\\nb"', id="line-end"),
    ],
)
def test_event_is_one_line_of_json(value: object, shown: bytes) -> None:
    """Whatever a policy has as an address, the event stays one line of JSON in UTF-8."""
    framed = snapshot_event({"_x": value, "alias": "100.64.0.1"})
    assert framed == (
        b'event: machines-snapshot\ndata: {"machines":[],"acl":{"hosts":{"_x":%b}}}\nid: ' % shown
    )


def test_silent_hub_sends_comments_and_closes_who_does_not_read() -> None:
    """Comments show that the hub lives; a follower that reads nothing for a minute is closed."""

    async def play() -> tuple[bytes, int, int]:
        now = 0.0
        relay = Relay(lambda: now, lambda: "")
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        with theirs:
            relay.follow(IOStream(ours), lambda: True, chunked=True)
            theirs.settimeout(0)
            received = b""
            while not received.endswith(b"id: 1\n\n\r\n"):  # the second event, in a later turn
                await asyncio.sleep(0.001)
                with suppress(BlockingIOError):
                    received += theirs.recv(65536)
            theirs.settimeout(60)
            relay.keep_alive()
            comment = theirs.recv(65536)
            relay.change({f"_{number}": "x" * 100 for number in range(10_000)})
            for _ in range(4):  # one that reads slowly, in more than a minute, is not closed
                now += STALLED
                relay.keep_alive()
                await read_a_piece(theirs)
            before = len(relay)
            now += STALLED + 1
            relay.keep_alive()
            for _ in range(10_000):
                await asyncio.sleep(0.001)
                if not len(relay):
                    break
            return comment, before, len(relay)

    assert asyncio.run(play()) == (b"3\r\n:\n\n\r\n", 1, 0)


async def read_a_piece(connection: socket.socket) -> None:
    """Read more than one piece of an event, and let the next one be sent."""
    connection.settimeout(0)
    left = 3 * 64 * 1024
    while left > 0:
        with suppress(BlockingIOError):
            piece = connection.recv(left)
            assert piece, "the connection is closed"
            left -= len(piece)
        await asyncio.sleep(0.001)
