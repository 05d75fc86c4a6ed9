"""A real Traefik whose HTTP provider polls a hub."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from local import free_ports, until
from support.certificates import Authority
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts, streaming
from support.http_traefik import HttpTraefik
from support.hubs import Hub
from support.traefik import traefik_release

SENDS_HEADERS = traefik_release() != (3, 6, 6)


def names(letters: str) -> set[str]:
    """Return the names of the routers of some entries."""
    return {f"router-{letter}-example-com" for letter in letters}


def until_live(traefik: HttpTraefik, letters: str) -> None:
    """Wait until Traefik has the routers of some entries, and no others."""
    until(lambda: traefik.names() == names(letters), f"{letters} are not live")


def is_closed(port: int) -> bool:
    """Return whether nothing listens on a port."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) != 0


def test_routes_outlive_everything_that_happens_to_the_hub(path: Path, tmp_path: Path) -> None:
    """Hung, killed, and back with a new disk and no source, it costs Traefik no route."""
    (port,) = free_ports(1)
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        HttpTraefik(
            tmp_path, f"http://127.0.0.1:{port}/traefik.json", pollTimeout="300ms"
        ) as traefik,
    ):
        with Hub(server.url, path, port=port) as hub:
            feed.send(snapshot(hosts("ab")))
            until(lambda: traefik.names() == names("ab"), "not live")
            feed.send(snapshot(hosts("abc")))
            until(lambda: traefik.names() == names("abc"), "the change is not live")
            hub.process.send_signal(signal.SIGSTOP)
            until(lambda: len(traefik.errors) > 1, "no failed poll")
            assert traefik.names() == names("abc")
            hub.process.send_signal(signal.SIGCONT)
            hub.process.kill()
        path.unlink()
        with Hub("http://127.0.0.1:9/api/config", path, port=port) as hub:
            until(lambda: "503" in "".join(traefik.errors), "no poll has found the new hub")
            assert traefik.names() == names("abc")
        with ScriptedEndpoint(streaming("cd")) as later, Hub(later.url, path, port=port):
            until(lambda: traefik.names() == names("cd"), "the hub's return changes nothing")


@pytest.mark.skipif(not SENDS_HEADERS, reason="Traefik 3.6.6 sends no headers to its provider")
def test_token_and_certificate(path: Path, tmp_path: Path, authority: Authority) -> None:
    """Traefik sends the token by ``headers``, and trusts the certificate by ``tls``."""
    token = tmp_path / "token"
    token.write_text("abc\n")
    certificate, key = authority.issue("127.0.0.1")
    options: dict[str, Any] = {
        "headers": {"Authorization": "Bearer abc"},
        "tls": {"ca": str(authority.ca_file)},
    }
    arguments = ["--listen-token-file", str(token), "--listen-cert", str(certificate)]
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path, *arguments, "--listen-key", str(key)) as hub,
        HttpTraefik(tmp_path, f"https://127.0.0.1:{hub.port}/traefik.json", **options) as traefik,
    ):
        feed.send(snapshot(hosts("a")))
        until(lambda: traefik.names() == names("a"), "not live")


def test_traefik_takes_answers_that_wait(path: Path, tmp_path: Path) -> None:
    """Polls that wait, for the first document too, bring changes and no error."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path) as hub,
        HttpTraefik(tmp_path, hub.url("/traefik.json?wait=900ms"), interval="1s") as traefik,
    ):
        for letters in ("a", "ab", "b"):
            feed.send(snapshot(hosts(letters)))
            until_live(traefik, letters)
        assert traefik.errors == []


def test_traefik_ends_its_poll_before_it_stops(tmp_path: Path) -> None:
    """So it stops at once only if ``wait`` is short, and shorter than the interval."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    with (
        Feed(head) as feed,
        ScriptedEndpoint(feed) as hub,
        HttpTraefik(tmp_path, hub.url, interval="60s", pollTimeout="60s") as traefik,
    ):
        until(lambda: hub.requests, "no poll")
        traefik.process.terminate()
        until(lambda: is_closed(traefik.ports["traefik"]), "its ports stay open")
        assert traefik.process.poll() is None
        feed.send(b"{}")
        assert traefik.process.wait(30) == 0


def test_poll_that_ends_before_the_answer(path: Path, tmp_path: Path) -> None:
    """With a ``pollTimeout`` shorter than ``wait`` polls fail, which costs no route."""
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Hub(server.url, path) as hub,
    ):
        hub.until_served("router-a-example-com")
        url = hub.url("/traefik.json?wait=1s")
        folders = [tmp_path / each for each in ("short", "long")]
        for each in folders:
            each.mkdir()
        with (
            HttpTraefik(folders[0], url, pollTimeout="500ms") as short,
            HttpTraefik(folders[1], url) as long,
        ):
            until(lambda: "Client.Timeout" in "".join(short.errors), "no poll fails")
            until_live(short, "a")
            until_live(long, "a")
            assert long.errors == []
