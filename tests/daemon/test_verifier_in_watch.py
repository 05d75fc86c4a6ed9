"""``watch --traefik-api`` with the real Traefik: what only Traefik knows, in the log."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local import find_traefik, free_ports, running
from support.commands import Watch, run
from support.endpoints import Feed, ScriptedEndpoint, saying_nothing, snapshot
from support.entries import hosts
from support.statuses import read_status
from support.traefik import Traefik

IMPATIENT = """
import sys
from functools import partial
from ctsdns_traefik.daemon import verifier
from ctsdns_traefik.cli import main
verifier.Patience = partial(verifier.Patience, objections=0.8, failures=0.8)
sys.exit(main(sys.argv[1:]))
"""
"""watch that believes an objection, and that an API is away, sooner."""

PROGRAM = [sys.executable, "-c", IMPATIENT]

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


SERVICE = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}

FLAWS: dict[str, tuple[dict[str, Any], str]] = {
    "a": ({"middlewares": ["gone"]}, 'middleware "gone@file" does not exist'),
    "b": ({"tls": {"options": "gone"}}, "unknown TLS options: gone@file"),
    "c": ({"rule": "Host(`c`) &&& x"}, "error while parsing rule"),
    "d": ({"service": "gone"}, 'the service "gone@file" does not exist'),
}
"""Fields of routers, and what Traefik says of them."""


class Throttled(Traefik):
    """A Traefik that takes its time between changes, and loads the whole folder of a file."""

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = dict(zip(("web", "tcp", "traefik"), free_ports(3), strict=True))
        static = {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "api": {"insecure": True},
            "entryPoints": {name: {"address": f"127.0.0.1:{at}"} for name, at in ports.items()},
            "providers": {
                "providersThrottleDuration": "300ms",
                "file": {"directory": str(self._dynamic.parent)},
            },
        }
        path.write_text(json.dumps(static))
        return ports


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Throttled]:
    """Run one Traefik for all tests; each has a file of its own in the folder that it watches."""
    folder = tmp_path_factory.mktemp("traefik")
    (folder / "dynamic").mkdir()
    with Throttled(folder, folder / "dynamic" / "dynamic.yml") as traefik:
        yield traefik


@pytest.fixture
def path(traefik: Throttled) -> Iterator[Path]:
    """Return the kept file, there already, and remove it afterwards."""
    path = traefik._dynamic
    path.write_text("{}\n")
    yield path
    path.unlink()


def url_of(traefik: Traefik) -> str:
    """Return the URL of the API."""
    return f"http://127.0.0.1:{traefik.ports['traefik']}"


def of_traefik(watch: Watch) -> list[str]:
    """Return the lines about Traefik without the times."""
    lines = [line for line in watch.lines if "Traefik" in line]
    return [re.sub(r"\d+\.\d s", "N s", line) for line in lines]


def test_routes_are_logged_when_they_are_live(path: Path, traefik: Throttled) -> None:
    """Each write, and the start, gets a line when Traefik serves all of it and nothing more."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--no-removal-guard", "--traefik-api", url_of(traefik)) as watch,
    ):
        watch.until_logged("Traefik serves no routes")
        for names, reported in (
            ({**hosts("ab"), "_tcp_ssh_22._tcp.s.example.com": "100.64.0.1"}, "all 3 routes"),
            (hosts("ab", "100.64.0.2"), "all 2 routes"),
            (hosts("a", "100.64.0.2"), "the one route"),
        ):
            feed.send(snapshot(names))
            watch.until_logged(f"Traefik serves {reported}")
            parts = json.loads(path.read_text()).values()
            assert set(traefik.routers()) == {name for part in parts for name in part["routers"]}
        assert watch.stop() == 0
    assert [line for line in of_traefik(watch) if not line.startswith("INFO")] == []


def counted(status: Path) -> list[int]:
    """Return what a status file counts of Traefik's routers: loaded, missing, disabled."""
    logged = read_status(status)["traefik"]
    return [logged[name] for name in ("loaded", "missing", "disabled")]


def test_what_only_traefik_knows(path: Path, traefik: Throttled, tmp_path: Path) -> None:
    """A router that Traefik disables is reported once in its words, also at the start."""
    status = tmp_path / "status.json"
    routers = {
        name: {"rule": f"Host(`{name}`)", "service": "s", "entryPoints": ["web"], **fields}
        for name, (fields, _) in FLAWS.items()
    }
    path.write_text(json.dumps({"http": {"routers": routers, "services": {"s": SERVICE}}}))
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(
            *(server.url, path, "--no-removal-guard", "--traefik-api", url_of(traefik)),
            *("--status-file", str(status), "--adopt"),
            program=PROGRAM,
        ) as watch,
    ):
        for name, (_, words) in FLAWS.items():
            watch.until_logged(f"Traefik does not serve {name}: .*{re.escape(words)}")
        feed.send(snapshot({**hosts("a"), **NOPE}))
        watch.until_logged("does not serve router-n-example-com")
        watch.until(lambda: counted(status) == [1, 0, 1], "not in the status")
        feed.send(snapshot({**hosts("a"), **NOPE}), snapshot({**hosts("a"), **NOPE}))
        feed.send(snapshot(hosts("a")))
        watch.until_logged("Traefik serves the one route")
        assert watch.stop() == 0
    words = 'entryPoint "nope" doesn\'t exist; no valid entryPoint for this router'
    assert of_traefik(watch)[len(FLAWS) :] == [
        f"WARNING Traefik does not serve router-n-example-com: {words}",
        "INFO Traefik serves the one route (after N s)",
    ]


def test_traefik_that_comes_back_is_asked_again(tmp_path: Path) -> None:
    """An API that is away is one line, without the password, and later snapshots find it again.

    A Traefik that starts answers 404 at first, and then has no routers yet: neither is reported.
    """
    path = tmp_path / "dynamic" / "dynamic.yml"
    path.parent.mkdir()
    traefik = Throttled(tmp_path, path)
    traefik.ports = traefik._write_static(tmp_path / "traefik.yml")
    url = url_of(traefik)
    environment = {"TRAEFIK_CONFIG_TRAEFIK_API": url.replace("://", "://me:s3cret@")}

    def is_found() -> bool:
        feed.send(snapshot(hosts("a")))
        return "Traefik serves the one route" in watch.log

    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, environment=environment, program=PROGRAM) as watch,
    ):
        watch.until_logged("Traefik's API cannot be asked")
        for _ in range(3):
            feed.send(snapshot(hosts("a")))
        watch.until_logged("added")
        command = [find_traefik(), f"--configFile={tmp_path / 'traefik.yml'}"]
        with running(command, tmp_path / "traefik.log"):
            watch.until(is_found, "the Traefik that has come back is not found")
        assert watch.stop() == 0
    assert of_traefik(watch) == [
        f"WARNING Traefik's API cannot be asked: {url}: connection refused",
        "INFO Traefik serves the one route (after N s)",
    ]
    assert "s3cret" not in watch.log


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
        assert watch.stop(signal.SIGINT) == 130
        assert "Traceback" not in watch.log


def test_bad_url_is_bad_usage(path: Path) -> None:
    """What is no URL of an API ends watch at its start, and is not repeated."""
    done = run("watch", "--endpoint", "http://h/", "-o", path, "--traefik-api", "ftp://u:s3cret@h")
    assert done.returncode == 2
    assert "Traefik's API is not a URL like http://127.0.0.1:8080; see" in done.stderr
    assert (done.stderr.count("\n"), "s3cret" in done.stderr) == (1, False)


def test_password_in_the_clear_is_warned_of(path: Path) -> None:
    """A password for an API elsewhere, without TLS, gets a warning at the start."""
    with (
        ScriptedEndpoint(saying_nothing) as server,
        Watch(server.url, path, "--traefik-api", "http://me:s3cret@192.0.2.1") as watch,
    ):
        watch.until_logged("credentials for http://192.0.2.1 go over the network unencrypted")
        assert watch.stop() == 0
    assert "s3cret" not in watch.log


def test_api_behind_a_prefix_and_a_password(path: Path, traefik: Throttled) -> None:
    """An API that the real Traefik serves below a path, with basic authentication, is asked."""
    other = path.with_name("api.yml")
    other.write_text(json.dumps(GUARDED))
    url = f"http://me:pa%20ss@127.0.0.1:{traefik.ports['web']}/proxy/"
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--traefik-api", url) as watch,
    ):
        feed.send(snapshot(hosts("a")))
        watch.until_logged("Traefik serves the one route")
        assert watch.stop() == 0
    other.unlink()
