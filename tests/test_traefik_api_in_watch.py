"""``watch --traefik-api`` with the real Traefik: what only Traefik knows, in the log."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from local import find_traefik, free_ports, running, until
from support.commands import Watch, run
from support.endpoints import Feed, ScriptedEndpoint, answering, saying_nothing, snapshot
from support.entries import hosts
from support.traefik import Traefik

WITHIN = 3.0
"""Seconds for what is promised within one; the machine may be busy."""

NOPE = {"_nope_http_80._tcp.n.example.com": "100.64.0.1"}

HASHED = "me:$apr1$abcdefgh$OsjPgQUWMAtMNmB0bA7mk."
"""The password "pa ss" of a user, as ``openssl passwd -apr1`` makes it."""

GUARDED = {
    "http": {
        "routers": {
            "api": {
                "rule": "PathPrefix(`/proxy`)",
                "service": "api@internal",
                "entryPoints": ["web"],
                "middlewares": ["strip", "auth"],
            }
        },
        "middlewares": {
            "strip": {"stripPrefix": {"prefixes": ["/proxy"]}},
            "auth": {"basicAuth": {"users": [HASHED]}},
        },
    }
}


class Throttled(Traefik):
    """A Traefik with its own throttle of 2 s, which loads the whole folder of the kept file."""

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = dict(zip(("web", "tcp", "traefik"), free_ports(3), strict=True))
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "api": {"insecure": True},
            "entryPoints": {name: {"address": f"127.0.0.1:{at}"} for name, at in ports.items()},
            "providers": {"file": {"directory": str(self._dynamic.parent)}},
        }
        path.write_text(json.dumps(static))
        return ports


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the kept file, there already, in a folder of its own."""
    (tmp_path / "traefik").mkdir()
    path = tmp_path / "traefik" / "dynamic.yml"
    path.write_text("{}\n")
    return path


@pytest.fixture
def traefik(path: Path, tmp_path: Path) -> Iterator[Throttled]:
    """Run a Traefik that watches the folder."""
    with Throttled(tmp_path, path) as traefik:
        yield traefik


def url_of(traefik: Traefik) -> str:
    """Return the URL of the API."""
    return f"http://127.0.0.1:{traefik.ports['traefik']}"


def of_traefik(watch: Watch) -> list[str]:
    """Return the lines about Traefik without the times."""
    lines = [line for line in watch.lines if "Traefik" in line]
    return [re.sub(r"\d+\.\d s", "N s", line) for line in lines]


def test_routes_are_told_when_they_are_live(path: Path, traefik: Throttled) -> None:
    """Each write, and the start, gets a line when Traefik serves all of it and nothing more."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--traefik-api", url_of(traefik)) as watch,
    ):
        watch.until_logged("Traefik serves no routes")
        for names, changed, told in (
            ({**hosts("ab"), "_tcp_ssh_22._tcp.s.example.com": "100.64.0.1"}, "added", "all 3"),
            (hosts("ab", "100.64.0.2"), "changed", "all 2"),
            (hosts("a", "100.64.0.2"), "removed router-b", "the one"),
        ):
            feed.send(snapshot(names))
            watch.until_logged(changed)
            watch.until_logged(f"Traefik serves {told} route")
            parts = json.loads(path.read_text()).values()
            assert set(traefik.routers()) == {name for part in parts for name in part["routers"]}
        assert json.loads(path.read_text())["http"]["services"].popitem()[1] == {
            "loadBalancer": {"servers": [{"url": "http://100.64.0.2:80"}]}
        }
        assert watch.stop(within=WITHIN) == 0
    assert [line for line in of_traefik(watch) if not line.startswith("INFO")] == []


def test_what_only_traefik_knows(path: Path, traefik: Throttled) -> None:
    """A router that Traefik disables is told in its words, once, while it is so."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--traefik-api", url_of(traefik)) as watch,
    ):
        for _ in range(3):
            feed.send(snapshot({**hosts("a"), **NOPE}))
            watch.until_logged("does not serve router-n-example-com")
        feed.send(snapshot(hosts("a")))
        watch.until_logged("Traefik serves the one route")
        feed.send(snapshot({**hosts("a"), **NOPE}))
        watch.until_logged("does not serve router-n-example-com", 2)
        assert watch.stop(within=WITHIN) == 0
    line = (
        "WARNING Traefik does not serve router-n-example-com: "
        'entryPoint "nope" doesn\'t exist; no valid entryPoint for this router'
    )
    lines = [each for each in of_traefik(watch) if "no routes" not in each]
    assert lines == [line, "INFO Traefik serves the one route (after N s)", line]


OBJECTIONS = [
    pytest.param({"middlewares": ["gone"]}, 'middleware "gone@file" does not exist', id="none"),
    pytest.param({"tls": {"options": "gone"}}, "unknown TLS options: gone@file", id="tls"),
    pytest.param({"rule": "Host(`a`) &&& x"}, "error while parsing rule", id="rule"),
    pytest.param({"service": "gone"}, 'the service "gone@file" does not exist', id="service"),
]


@pytest.mark.parametrize(("fields", "words"), OBJECTIONS)
def test_file_at_the_start_is_asked_about(
    path: Path, traefik: Throttled, fields: Mapping[str, Any], words: str
) -> None:
    """What stands there at the start is asked about before any snapshot has come."""
    router = {"rule": "Host(`a`)", "service": "s", "entryPoints": ["web"], **fields}
    service = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}
    path.write_text(json.dumps({"http": {"routers": {"x": router}, "services": {"s": service}}}))
    with (
        ScriptedEndpoint(saying_nothing) as server,
        Watch(server.url, path, "--traefik-api", url_of(traefik)) as watch,
    ):
        watch.until_logged("Traefik does not serve x: .*" + re.escape(words))
        assert watch.stop(within=WITHIN) == 0


def test_traefik_that_starts_again_is_asked_again(path: Path, tmp_path: Path) -> None:
    """An API that is away is one line, and the next snapshots find it when it is back."""
    traefik = Throttled(tmp_path, path)
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        with traefik:
            url = url_of(traefik)
        with Watch(server.url, path, "--traefik-api", url) as watch:
            watch.until_logged("Traefik's API cannot be asked")
            feed.send(snapshot(hosts("a")))
            watch.until_logged("added")
            for _ in range(3):
                feed.send(snapshot(hosts("a")))
            again = tmp_path / "traefik.yml"
            with running([find_traefik(), f"--configFile={again}"], tmp_path / "again.log"):
                until(lambda: traefik.get("traefik", "h", "/api/version").status == 200, "none")
                until(traefik.routers, "not loaded")
                feed.send(snapshot(hosts("a")))
                watch.until_logged("Traefik serves the one route")
            assert watch.stop(within=WITHIN) == 0
    assert of_traefik(watch) == [
        f"WARNING Traefik's API cannot be asked: {url}: connection refused",
        "INFO Traefik serves the one route (after N s)",
    ]


def test_asking_holds_nothing_up(path: Path) -> None:
    """While the API is silent, snapshots are written as ever, and a stop comes through at once."""
    with (
        ScriptedEndpoint(saying_nothing) as api,
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--traefik-api", f"http://127.0.0.1:{api.port}") as watch,
    ):
        watch.until(lambda: api.requests, "nobody asks")
        for names in ("a", "ab", "abc"):
            feed.send(snapshot(hosts(names)))
            watch.until_logged(f"{len(names)} route")
        assert watch.stop(signal.SIGINT, within=WITHIN) == 130
        assert "Traceback" not in watch.log


def test_password_is_sent_and_not_shown(path: Path) -> None:
    """Neither the log nor an error shows the password in the API's URL."""
    with (
        ScriptedEndpoint(answering("401 Unauthorized")) as api,
        ScriptedEndpoint(saying_nothing) as server,
        Watch(
            server.url,
            path,
            environment={"TRAEFIK_CONFIG_TRAEFIK_API": f"http://me:s3cret@127.0.0.1:{api.port}"},
        ) as watch,
    ):
        watch.until_logged("it answers 401: it asks for credentials")
        assert b"Authorization: Basic " in api.requests[0]
        assert watch.stop(within=WITHIN) == 0
    assert "s3cret" not in watch.log
    done = run("watch", "--endpoint", "http://h/", "-o", path, "--traefik-api", "ftp://u:s3cret@h")
    assert (done.returncode, "s3cret" in done.stderr) == (2, False)


def test_password_in_the_clear_is_warned_of(path: Path) -> None:
    """A password for an API elsewhere, without TLS, gets a warning at the start."""
    with (
        ScriptedEndpoint(saying_nothing) as server,
        Watch(server.url, path, "--traefik-api", "http://me:s3cret@192.0.2.1") as watch,
    ):
        watch.until_logged("credentials for http://192.0.2.1 go over the network unencrypted")
        assert watch.stop(within=WITHIN) == 0
    assert "s3cret" not in watch.log


def test_api_behind_a_prefix_and_a_password(path: Path, tmp_path: Path) -> None:
    """An API that the real Traefik serves below a path, with basic authentication, is asked."""
    other = path.with_name("api.yml")
    other.write_text(json.dumps(GUARDED))
    with Throttled(tmp_path, path) as traefik:
        url = f"http://me:pa%20ss@127.0.0.1:{traefik.ports['web']}/proxy/"
        with (
            Feed() as feed,
            ScriptedEndpoint(feed) as server,
            Watch(server.url, path, "--traefik-api", url) as watch,
        ):
            feed.send(snapshot(hosts("a")))
            watch.until_logged("Traefik serves the one route")
            assert watch.stop(within=WITHIN) == 0
