"""``watch --listen``: the document for Traefik's HTTP provider, health and metrics."""

from __future__ import annotations

import gzip
import json
import re
import socket
from pathlib import Path

import pytest
from local import free_ports
from prometheus_client.parser import text_string_to_metric_families
from support.commands import run
from support.endpoints import STREAM, Feed, ScriptedEndpoint, saying_nothing, sending, snapshot
from support.entries import hosts, names_in, streaming
from support.hubs import Hub

from ctsdns_traefik.core.status import State, Status
from ctsdns_traefik.server.application import Application, Request, Settings
from ctsdns_traefik.server.handover import Handover
from ctsdns_traefik.server.representation import accepts_gzip

UNREACHABLE = "http://127.0.0.1:9/api/config"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_document_is_served_byte_for_byte(path: Path, form: str) -> None:
    """What Traefik gets is what the file holds, each time, plain or compressed, or 304."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path, "--format", form) as hub,
    ):
        for names in ("ab", "b"):
            feed.send(snapshot(hosts(names)))
            hub.until(
                lambda names=names: len(re.findall("INFO replaced", hub.log)) == 3 - len(names),
                "not replaced",
            )
            hub.until(
                lambda: hub.get("/traefik.json").body == path.read_bytes(), "not what it holds"
            )
            plain = hub.get("/traefik.json")
            assert (plain.status, plain.body) == (200, path.read_bytes())
            assert plain.headers["content-type"] == f"application/{form}"
            packed = hub.get("/traefik.json", {"Accept-Encoding": "gzip"})
            assert packed.headers["content-encoding"] == "gzip"
            assert gzip.decompress(packed.body) == plain.body
            assert packed.headers["etag"] != plain.headers["etag"]
            assert {each.headers["vary"] for each in (plain, packed)} == {"Accept-Encoding"}
            for answer, coding in ((plain, "identity"), (packed, "gzip")):
                conditional = {"If-None-Match": answer.headers["etag"], "Accept-Encoding": coding}
                again = hub.get("/traefik.json", conditional)
                assert (again.status, again.body) == (304, b"")
            head = hub.get("/traefik.json", method="HEAD")
            assert (head.headers["content-length"], head.body) == (str(len(plain.body)), b"")


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        pytest.param(None, False, id="none"),
        pytest.param("gzip", True, id="gzip"),
        pytest.param("br, GZIP;q=0.5", True, id="weighted"),
        pytest.param("*", True, id="anything"),
        pytest.param("x-gzip", True, id="old-name"),
        pytest.param("gzip;q=0", False, id="refused"),
        pytest.param("*, gzip; q=0.00", False, id="all-but-gzip"),
        pytest.param("br, identity", False, id="others"),
    ],
)
def test_only_who_takes_gzip_gets_it(header: str | None, *, accepted: bool) -> None:
    """What a client accepts is read as RFC 9110 has it, weights included."""
    assert accepts_gzip(header) is accepted


def test_nothing_is_served_before_there_is_a_document(path: Path) -> None:
    """An empty document would cost a running Traefik its routes: with a new disk it is 503."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Hub(server.url, path) as hub:
        hub.until_logged("connected to")
        assert path.read_text() == "{}\n"
        assert hub.get("/traefik.json").status == 503
        feed.send(snapshot({}))
        hub.until(lambda: hub.get("/traefik.json").status == 200, "not what a snapshot wants")
        assert hub.get("/traefik.json").body == b"{}\n"


def test_emptied_disk_serves_nothing_either(path: Path, tmp_path: Path) -> None:
    """A file without routes of entries is no document to hand out, be it with the dashboard."""
    access = tmp_path / "access.yml"
    access.write_text(
        "default: public\ndashboard:\n  domain: traefik.example.com\n  entryPoint: web\n"
        "  access: tailscale-only\n"
    )
    path.write_text("{}\n")
    with Hub(UNREACHABLE, path, "--access-file", str(access)) as hub:
        hub.until_logged("retrying in")
        assert "dashboard" in path.read_text()
        assert hub.get("/traefik.json").status == 503


def test_file_of_an_earlier_run_is_served_at_once(path: Path) -> None:
    """After a restart with the source away the last good document is there."""
    with ScriptedEndpoint(streaming("ab")) as server, Hub(server.url, path) as hub:
        served = hub.until_served("router-b-example-com").body
    with Hub(UNREACHABLE, path) as hub:
        assert hub.until_served("router-b-example-com").body == served == path.read_bytes()
        assert hub.get("/readyz").status == 503


@pytest.mark.parametrize(("before", "after"), [("yaml", "json"), ("json", "yaml")])
def test_file_in_the_other_format_is_labelled_by_what_it_is(
    path: Path, before: str, after: str
) -> None:
    """After a restart with another --format the file of before is served as what it holds."""
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Hub(server.url, path, "--format", before) as hub,
    ):
        hub.until_served("router-a-example-com")
    with Hub(UNREACHABLE, path, "--format", after) as hub:
        served = hub.until_served("router-a-example-com")
    assert served.body == path.read_bytes()
    assert served.headers["content-type"] == f"application/{before}"


def test_access_is_in_what_is_served(path: Path, tmp_path: Path) -> None:
    """A file of an earlier run is served with the access file of this one, never without."""
    with ScriptedEndpoint(streaming("a")) as server, Hub(server.url, path) as hub:
        hub.until_served("router-a-example-com")
    access = tmp_path / "access.yml"
    access.write_text("default: public\nroutes:\n  a.example.com: {access: tailscale-only}\n")
    with Hub(UNREACHABLE, path, "--access-file", str(access)) as hub:
        hub.until(lambda: hub.get("/traefik.json").status == 200, "nothing served")
        router = json.loads(hub.get("/traefik.json").body)["http"]["routers"]
        assert router["router-a-example-com"]["middlewares"]


def test_document_without_its_access_is_not_served(path: Path, tmp_path: Path) -> None:
    """While the access file cannot be put in force, a file of an earlier run is not handed out."""
    with ScriptedEndpoint(streaming("a")) as server, Hub(server.url, path) as hub:
        hub.until_served("router-a-example-com")
    access = tmp_path / "access.yml"
    access.write_text("default: tailscale-only\n")
    arguments = ("--access-file", str(access), "--check-command", "false {path}")
    with Hub(UNREACHABLE, path, *arguments) as hub:
        hub.until_logged("the access file is not in force yet")
        hub.until_logged("retrying in")
        assert hub.get("/traefik.json").status == 503


def test_failed_write_changes_nothing(path: Path) -> None:
    """What the check command refuses is not served."""
    check = "grep -v -q router-b-example-com {path}"
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        arguments = ("--check-command", f"sh -c '! {check.replace('-v -q', '-q')}'")
        with Hub(server.url, path, *arguments) as hub:
            feed.send(snapshot(hosts("a")))
            before = hub.until_served("router-a-example-com")
            feed.send(snapshot(hosts("ab")))
            hub.until_logged("the check command refuses")
            assert hub.get("/traefik.json").body == before.body


def test_without_an_output_all_is_served(tmp_path: Path) -> None:
    """With ``-o none`` there is no file, and the document is served all the same."""
    with ScriptedEndpoint(streaming("ab")) as server:
        hub = Hub(server.url, tmp_path / "x", "-o", "none")
        with hub:
            served = json.loads(hub.until_served("router-b-example-com").body)
            assert list(served["http"]["routers"]) == [f"router-{x}-example-com" for x in "ab"]
            hub.until_healthy()
            hub.until_logged("INFO created the served document: 2 routes")
    assert [each.name for each in tmp_path.iterdir()] == ["x.watch-log"]


def test_health_is_that_of_the_health_check(path: Path, tmp_path: Path) -> None:
    """The probes answer as ``--health`` does, with the same reason."""
    status = tmp_path / "status.json"
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        arguments = ("--status-file", str(status), "--max-age", "1")
        with Hub(server.url, path, *arguments) as hub:
            hub.until(lambda: "connected" in hub.get("/healthz").text, "no status")
            for probe in ("/healthz", "/readyz"):
                reply = hub.get(probe)
                assert (reply.status, reply.text) == (
                    503,
                    "unhealthy: no trusted snapshot has come yet; watch is connected\n",
                )

            def healthy() -> bool:
                feed.send(snapshot(hosts("a")))  # each time: it is old after a second
                return hub.get("/healthz").text.startswith("healthy: connected, the last snapshot")

            hub.until(healthy, "not healthy")
            hub.until(lambda: hub.get("/healthz").status == 503, "still healthy")
            assert "above 1 s" in hub.get("/readyz").text
            done = run("watch", "--health", "--status-file", status, "--max-age", "1")
            assert (done.returncode, done.stdout[:30]) == (1, hub.get("/healthz").text[:30])


def test_hanging_loop_is_unhealthy() -> None:
    """When the loop has not reported for half a minute, the probes say so from their own thread."""
    handover = Handover()
    handover.follow_status(lambda: Status(state=State.CONNECTED, last_snapshot=1000.0))
    application = Application(handover, Settings(), clock=lambda: 1031.0)
    probe = Request("GET", "/healthz", {"Host": "localhost"})
    assert application.answer(probe).body == b"unhealthy: watch is starting\n"
    handover.beat(Status(), 1000.0)
    answer = application.answer(probe)
    assert (answer.status, answer.body) == (
        503,
        b"unhealthy: watch last reported its status 31 s ago: it is dead or hangs\n",
    )


def test_policy_of_a_rare_poll_is_not_stale() -> None:
    """As for health, what counts is the poll interval if that is long."""
    handover = Handover()
    application = Application(handover, Settings(max_age=120), clock=lambda: 2000.0)
    for interval, stale in ((30.0, "this hub's last trusted snapshot is 1000 s old"), (3600.0, "")):
        status = Status(last_snapshot=1000.0, poll_interval=interval)
        handover.follow_status(lambda status=status: status)  # type: ignore[misc]
        assert application.why_stale() == stale


def test_metrics_are_those_of_the_file(path: Path, tmp_path: Path) -> None:
    """Prometheus gets the series that the metrics file has, in a type that it knows."""
    metrics = tmp_path / "x.prom"
    with (
        ScriptedEndpoint(streaming("ab")) as server,
        Hub(server.url, path, "--metrics-file", str(metrics)) as hub,
    ):
        hub.until(lambda: 'routes{entrypoint="web"} 2' in hub.get("/metrics").text, "no routes")
        hub.until(lambda: "} 2" in metrics.read_text(), "no routes in the file")
        reply = hub.get("/metrics")
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        series = [
            [each.name for each in text_string_to_metric_families(text)]
            for text in (reply.text, metrics.read_text())
        ]
        assert series[0] == series[1]


def test_taken_port_ends_it_at_the_start(path: Path) -> None:
    """Another listener on the port is one line, exit code 4, and no file."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        done = run("watch", UNREACHABLE, "-o", path, "--listen", address)
    assert done.returncode == 4
    assert done.stderr == (
        f"ctsdns-traefik: error: cannot listen on {address}: address already in use; find the"
        f" process that has it (ss -ltnp 'sport = {address[9:]}'), or choose another port\n"
    )
    assert not path.exists()


def test_hung_client_keeps_nothing_waiting(path: Path) -> None:
    """Clients that send half a request, or read nothing, delay neither the file nor others."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Hub(server.url, path) as hub:
        feed.send(snapshot(hosts("a")))
        hub.until_served("router-a-example-com")
        hung = [socket.create_connection(("127.0.0.1", hub.port)) for _ in range(20)]
        for number, each in enumerate(hung):
            each.sendall(b"GET /traefik.json HT" if number % 2 else b"GET /api/config HTTP/1.1\r\n")
        feed.send(snapshot(hosts("abc")))
        hub.until_served("router-c-example-com")
        assert names_in(path) == "abc"
        assert hub.stop() == 0
        for each in hung:
            each.close()


def test_reader_of_a_second_instance(path: Path) -> None:
    """A port that is free again can be listened on at once, after a kill, too."""
    (port,) = free_ports(1)
    script = sending(STREAM, snapshot(hosts("a")), then=saying_nothing)
    with ScriptedEndpoint(script) as server:
        for _ in range(2):
            with Hub(server.url, path, port=port) as hub:
                hub.until_served("router-a-example-com")
