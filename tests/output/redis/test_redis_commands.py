"""The commands with a store as output: what they do, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from local import until
from support.accessed import INTERNET, RANGES, TAILNET, auth_server, user_backend
from support.commands import run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts
from support.stores import ANCHOR_KEY, LEASE, Server, StoreTraefik, StoreWatch, keys_of, needs_redis
from support.traefik import Answer

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.document import from_text
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.output.redis.publisher import RedisOutput
from ctsdns_traefik.output.redis.url import address_from

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
    for names in ("b", "ab"):  # in yaml, which is nothing to a store; and back at once
        done = run("render-once", policy(tmp_path, names), "--format=yaml", environment=variable)
        assert done.returncode == 0
        assert server.keys() == keys_of(hosts(names))


def test_render_once_frees_the_lease(server: Server, tmp_path: Path) -> None:
    """What is run by cron does not keep a watch, or the next run elsewhere, from writing."""
    for names in ("a", "ab"):
        assert run("render-once", policy(tmp_path, names), "-o", server.url).returncode == 0
        assert server.run("EXISTS", LEASE) == 0


def test_render_once_refuses_while_a_watch_writes(server: Server, tmp_path: Path) -> None:
    """Exit 4 and who it is, for the watch would write its own again; --check still compares."""
    server.run("SET", LEASE, "token pid 12 on web-1", "PX", 60_000)
    done = run("render-once", policy(tmp_path, "a"), "-o", server.url)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == (
        f"ctsdns-traefik: error: cannot publish to {server.shown}:"
        " pid 12 on web-1 holds the writer lease\n"
    )
    assert set(server.keys("*")) == {LEASE}
    assert run("render-once", policy(tmp_path, "a"), "-o", server.url, "--check").returncode == 1


def test_check_writes_nothing_and_shows_whether_it_would(server: Server, tmp_path: Path) -> None:
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
        " install ctsdns-traefik with its extra 'redis'\n"
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
        assert ("go over the network unencrypted" in done.stderr) is warned
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


@pytest.mark.parametrize("command", ["watch", "render-once"])
def test_path_of_a_store_after_a_change_is_bad_usage(tmp_path: Path, command: str) -> None:
    """What no path could stand for is an error at the start, not a surprise later."""
    source = {"watch": ("--endpoint", "http://127.0.0.1:1")}.get(
        command, (str(policy(tmp_path, "a")),)
    )
    done = run(command, *source, "-o", "redis://127.0.0.1:1", "--on-change", "touch x{path}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "a store has no file that {path} of --on-change could stand for" in done.stderr


def test_render_once_runs_the_commands_around_a_change(server: Server, tmp_path: Path) -> None:
    """The check sees the document as JSON before the store has it; nothing runs for no change."""
    seen, after = tmp_path / "seen", tmp_path / "after"
    check = f"sh -c 'cat \"$1\" >>{seen}; redis-cli -p {server.port} dbsize >>{seen}' x {{path}}"
    hooks = ("--check-command", check, "--on-change", f"sh -c 'echo ran >>{after}'")
    for _ in range(2):
        done = run("render-once", policy(tmp_path, "ab"), "-o", server.url, *hooks)
        assert (done.returncode, done.stdout) == (0, "")
    document, end = seen.read_text().rsplit("}\n", 1)
    assert (end, after.read_text()) == ("0\n", "ran\n")
    assert json.loads(document + "}") == from_text(render(hosts("ab")).text)


def test_check_that_refuses_keeps_what_stands(server: Server, tmp_path: Path) -> None:
    """Exit 4, one line with the last words of the command, and not one write."""
    run("render-once", policy(tmp_path, "a"), "-o", server.url)
    before, keys = server.writes(), server.keys("*")
    refusing = ("--check-command", "sh -c 'echo no b >&2; exit 1' {path}")
    hook = ("--on-change", f"touch {tmp_path / 'ran'}")
    done = run("render-once", policy(tmp_path, "ab"), "-o", server.url, *refusing, *hook)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    logged = f"refuses the new {server.shown}, the old stays: sh exited with status 1: no b"
    assert logged in done.stderr
    assert (server.writes(), server.keys("*")) == (before, keys)
    assert not (tmp_path / "ran").exists()


def test_watch_runs_the_commands_around_each_change_of_the_store(
    server: Server, tmp_path: Path
) -> None:
    """Each write is checked, then the hook runs; a refusal is logged once, and tried again."""
    ran, asked, veto = (tmp_path / name for name in ("ran", "asked", "veto"))
    check = f"sh -c 'echo >>{asked}; test ! -e {veto}' {{path}}"
    options = ("--check-command", check, "--on-change", f"sh -c 'echo >>{ran}'")

    def counts() -> tuple[int, int]:
        return tuple(  # type: ignore[return-value]
            len(each.read_text()) if each.exists() else 0 for each in (asked, ran)
        )

    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as endpoint,
        StoreWatch(endpoint.url, server.url, tmp_path / "w", *options) as watch,
    ):
        feed.send(snapshot(hosts("ab")), snapshot(hosts("ab")))
        watch.until_logged("added router-a")
        watch.until(lambda: counts() == (1, 1), "the commands did not run")
        veto.touch()
        feed.send(snapshot(hosts("abc")), snapshot(hosts("abc")))
        watch.until(lambda: counts() == (3, 1), "the check did not run twice")
        watch.until_logged("the check command refuses")
        assert server.keys() == keys_of(hosts("ab"))
        veto.unlink()
        feed.send(snapshot(hosts("abc")))
        watch.until(lambda: counts() == (4, 2), "the commands did not run")
        assert server.keys() == keys_of(hosts("abc"))
        assert watch.log.count("the check command refuses") == 1
        server.run("DEL", ANCHOR_KEY)
        feed.send(snapshot(hosts("abc")))
        watch.until(lambda: counts() == (5, 3), "what was put right is a change, too")


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


def test_resolver_that_looks_like_a_number_is_loaded(server: Server, tmp_path: Path) -> None:
    """Traefik's API lists the name as a text, and so it is compared."""
    access = tmp_path / "access.yml"
    access.write_text("routes: {a.example.com: {certResolver: '2024'}}\n")
    with (
        StoreTraefik(tmp_path / "t", server) as traefik,
        Feed() as feed,
        ScriptedEndpoint(feed) as endpoint,
    ):
        api = f"http://127.0.0.1:{traefik.ports['traefik']}"
        options = ("--access-file", str(access), "--traefik-api", api)
        with StoreWatch(endpoint.url, server.url, tmp_path / "w", *options) as watch:
            watch.until_logged("connected to")
            feed.send(snapshot(hosts("ab")))
            watch.until_logged("Traefik serves all 2 routes")


def test_headers_are_blank_for_who_passes_the_auth_server_by(
    server: Server, tmp_path: Path
) -> None:
    """Through Redis, too, no client from the tailnet names the user that it is to the backend."""
    with (
        StoreTraefik(tmp_path / "t", server) as traefik,
        auth_server() as address,
        user_backend() as port,
    ):
        text = f"""{RANGES}
forwardAuth: {{oidc: {{address: "{address}", authResponseHeaders: [X-Forwarded-User]}}}}
routes: {{a.de: {{access: tailscale-bypass, forwardAuth: oidc}}}}
"""
        entries = {f"_web_http_{port}._tcp.a.de": "127.0.0.1"}
        content = render(entries, access=read_access(text)).text.encode()
        RedisOutput(address_from(server.url)).write(content)
        forged = {"X-Forwarded-User": "root"}

        def ask(source: str) -> Answer:
            return traefik.get("web", "a.de", source=source, headers=forged)

        until(lambda: ask(INTERNET).status == 401, "the route is not there")
        until(lambda: ask(TAILNET).status == 200, "the tailnet's route is not there")
        assert ask(TAILNET) == Answer(200, "nobody")
