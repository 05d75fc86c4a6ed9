"""The commands with a store as output: what they do, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts
from support.stores import Server, StoreTraefik, StoreWatch, keys_of, needs_redis

pytestmark = needs_redis


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one Redis for all tests here."""
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(running_server: Server) -> Server:
    """Return the Redis, empty."""
    running_server.run("FLUSHALL")
    return running_server


def policy(folder: Path, names: str) -> Path:
    """Write a policy of an entry a letter."""
    path = folder / f"{names}.json"
    path.write_text(json.dumps({"hosts": hosts(names)}))
    return path


def test_render_once_publishes(server: Server, tmp_path: Path) -> None:
    """Named by option or variable, the store then says what the policy does."""
    done = run("render-once", policy(tmp_path, "ab"), "-o", server.url)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"created {server.shown}: 2 routes" in done.stderr
    assert server.keys() == keys_of(hosts("ab"))
    variable = {"TRAEFIK_DYNAMIC_CONFIG_FILE": server.url}
    assert run("render-once", policy(tmp_path, "b"), environment=variable).returncode == 0
    assert server.keys() == keys_of(hosts("b"))


def test_check_writes_nothing_and_tells_whether_it_would(server: Server, tmp_path: Path) -> None:
    """Exit 1 if the store would change, by an edited key too; 0 if not."""
    check = ("-o", server.url, "--check")
    assert run("render-once", policy(tmp_path, "a"), *check).returncode == 1
    assert server.keys("*") == {}
    run("render-once", policy(tmp_path, "a"), "-o", server.url)
    assert run("render-once", policy(tmp_path, "a"), *check).returncode == 0
    assert run("render-once", policy(tmp_path, "a"), *check, "--format", "yaml").returncode == 0
    server.run("SET", "traefik/http/routers/router-a-example-com/rule", "x")
    assert run("render-once", policy(tmp_path, "a"), *check).returncode == 1


def test_diff_shows_the_store_as_text(server: Server, tmp_path: Path) -> None:
    """What stands and what would, as a unified diff of the same layout."""
    run("render-once", policy(tmp_path, "a"), "-o", server.url)
    before = server.writes()
    done = run("render-once", policy(tmp_path, "ab"), "-o", server.url, "--diff")
    assert done.returncode == 0
    assert done.stdout.startswith(f"--- {server.shown}\n+++ {server.shown}\n@@ ")
    assert '\n+      "rule": "Host(`b.example.com`)"' in done.stdout.replace('    "', '  "')
    assert "\n-" not in done.stdout.partition("@@")[2].replace("\n-  }", "")
    assert server.writes() == before


@pytest.mark.parametrize("command", ["watch", "render-once"])
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        pytest.param("redis://:hunter2@h/x", "no number of a database", id="database"),
        pytest.param("unix:///run/redis.sock", "not a URL like redis://127.0.0.1", id="socket"),
    ],
)
def test_wrong_url_is_bad_usage(tmp_path: Path, command: str, url: str, complaint: str) -> None:
    """Exit 2, one line, no password."""
    source = {"watch": ("--endpoint", "http://127.0.0.1:1")}.get(
        command, (str(policy(tmp_path, "a")),)
    )
    done = run(command, *source, "-o", url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert complaint in done.stderr
    assert "hunter2" not in done.stderr


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path) -> None:
    """Where redis-py is missing, exit 2 and the command that brings it."""
    (tmp_path / "redis.py").write_text("raise ImportError('none here')\n")
    done = run(
        *("render-once", policy(tmp_path, "a"), "-o", "redis://127.0.0.1:1"),
        environment={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 2
    assert done.stderr == (
        "ctsdns-traefik: error: a store as output needs redis-py:"
        " pip install 'ctsdns-traefik[redis]'\n"
    )


def test_render_once_ends_with_4_if_it_cannot_publish(tmp_path: Path) -> None:
    """Unlike watch, it does not wait for better times."""
    done = run("render-once", policy(tmp_path, "a"), "-o", "redis://127.0.0.1:1/0")
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "connection refused" in done.stderr


def test_password_over_an_open_network_is_warned_of(tmp_path: Path) -> None:
    """One line, before anything is sent; on loopback none."""
    for host, warned in (("192.0.2.1.invalid", True), ("127.0.0.1", False)):
        done = run("render-once", policy(tmp_path, "a"), "-o", f"redis://:hunter2@{host}:1/0")
        assert ("goes over the network unencrypted" in done.stderr) is warned
        assert "hunter2" not in done.stderr


def test_validate_asks_nothing_of_a_store(tmp_path: Path) -> None:
    """A variable that is meant for watch does not make a good policy a bad one."""
    static = tmp_path / "traefik.yml"
    static.write_text("entryPoints: {web: {address: ':80'}}\nproviders: {redis: {}}\n")
    done = run(
        *("validate", policy(tmp_path, "a"), "--static-config", static, "--strict"),
        environment={"TRAEFIK_DYNAMIC_CONFIG_FILE": "redis://127.0.0.1:1/0"},
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("option", ["--on-change", "--check-command"])
@pytest.mark.parametrize("command", ["watch", "render-once"])
def test_commands_around_a_change_are_for_a_file(tmp_path: Path, command: str, option: str) -> None:
    """What would never run is an error at the start, not silence later."""
    source = {"watch": ("--endpoint", "http://127.0.0.1:1")}.get(
        command, (str(policy(tmp_path, "a")),)
    )
    done = run(command, *source, "-o", "redis://127.0.0.1:1", option, "true {path}")
    assert done.returncode == 2
    assert "are for a file, not for a store" in done.stderr


def test_status_names_the_store_without_its_password(server: Server, tmp_path: Path) -> None:
    """The status file says where the routes are published, and that Traefik serves them."""
    status = tmp_path / "status.json"
    url = server.url.replace("//", "//default:hunter2@")
    with (
        StoreTraefik(tmp_path / "t", server) as traefik,
        Feed() as feed,
        ScriptedEndpoint(feed) as endpoint,
    ):
        api = f"http://127.0.0.1:{traefik.ports['traefik']}"
        options = ("--status-file", str(status), "--traefik-api", api)
        with StoreWatch(endpoint.url, url, tmp_path / "w", *options) as watch:
            watch.until_logged("connected to")
            feed.send(snapshot(hosts("ab")))
            watch.until_logged("Traefik serves all 2 routes|Traefik serves .*2")
            watch.until(lambda: '"connected"' in status.read_text(), "no status")
            assert json.loads(status.read_text())["output"] == server.shown
            assert "hunter2" not in status.read_text() + watch.log


def test_notice_is_an_event_of_a_log_in_json(server: Server, tmp_path: Path) -> None:
    """What a store has to say is for programs, too."""
    server.run("SET", "traefik/http/routers/router-a-example-com/rule", "x")
    done = run("render-once", policy(tmp_path, "a"), "-o", server.url, "--log-format", "json")
    events = {entry["event"]: entry for entry in map(json.loads, done.stderr.splitlines())}
    assert events["taken-over"]["output"] == server.shown
