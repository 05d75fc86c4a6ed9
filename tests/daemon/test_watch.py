"""``ctsdns-traefik watch`` as a process: what reaches the file, and what never does."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from local import free_ports
from support.commands import Watch
from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    Feed,
    Script,
    ScriptedEndpoint,
    answering,
    resetting,
    saying_nothing,
    sending,
    snapshot,
    trickling,
)
from support.entries import hosts, names_in, routers, streaming
from support.worker import StandInWorker

from ctsdns_traefik.core.dynamic.rendering import render

CUT_OFF = snapshot(hosts("x"))[:-1]
COMPRESSED = STREAM.removesuffix(b"\r\n") + b"Content-Encoding: gzip\r\n\r\n"


def raw(data: str | bytes) -> bytes:
    """Frame data as a snapshot, whatever it is."""
    return b"event: machines-snapshot\ndata: %b\n\n" % (
        data.encode() if isinstance(data, str) else data
    )


def identity_of(path: Path) -> tuple[bytes, int, int]:
    """Return what any change of a file's content, or any new file, would change."""
    return path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "close-delimited"])
def test_edit_of_the_policy_reaches_the_file(path: Path, tmp_path: Path, *, chunked: bool) -> None:
    """What somebody writes into the policy stands in the file after the worker's next poll."""
    policy = tmp_path / "policy.hujson"

    def edit(names: str) -> None:
        policy.with_suffix(".new").write_text(f"// edited\n{json.dumps({'hosts': hosts(names)})}")
        policy.with_suffix(".new").replace(policy)

    edit("ab")
    with (
        StandInWorker(policy, 0.1, chunked=chunked) as worker,
        Watch(worker.endpoint, path) as watch,
    ):
        for names in ("ab", "bc", "bcd"):
            edit(names)
            watch.until(lambda names=names: path.exists() and names_in(path) == names, names)
        watch.until_logged("added router-d")
        assert path.read_text() == render(hosts("bcd")).text
        assert watch.lines[1:] == [
            f"INFO connected to {worker.endpoint}",
            f"INFO replaced {path}: 2 routes; added {routers('ab')}",
            f"INFO replaced {path}: 2 routes; added {routers('c')}; removed {routers('a')}",
            f"INFO replaced {path}: 3 routes; added {routers('d')}",
        ]


def test_file_is_there_before_any_connection(path: Path) -> None:
    """With nothing to connect to the file is made all the same, since Traefik has to find one."""
    (port,) = free_ports(1)
    with Watch(f"http://127.0.0.1:{port}/api/config", path) as watch:
        watch.until_logged("retrying in")
        assert path.read_text() == "{}\n"
        assert watch.lines[0] == f"INFO created {path} with no routes"


def test_leftover_of_a_killed_process_is_removed_at_the_start(path: Path) -> None:
    """A temporary file that no process holds any more is gone once watch runs."""
    leftover = path.with_name(f".{path.name}.abc_1234.tmp")
    leftover.write_text("half")
    with ScriptedEndpoint(streaming("a")) as server, Watch(server.url, path) as watch:
        watch.until_content("router-a-example-com")
        assert not leftover.exists()


def test_closed_standard_error_disturbs_nothing(path: Path) -> None:
    """Started with nowhere to log to, it keeps the file current all the same."""
    launcher = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, launcher=launcher) as watch,
    ):
        watch.until(
            lambda: watch.process.poll() is not None or (path.exists() and names_in(path) == "a"),
            "no route in the file",
        )
        assert watch.process.poll() is None
        assert watch.stop() == 0


def test_endpoint_that_appears_later(path: Path) -> None:
    """Refused connections are tried again until somebody listens."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/api/config"
    with Watch(url, path, "--retry-delay", "0.05") as watch:
        watch.until_logged(f"cannot connect to {url}: connection refused; retrying in 0.1 s", 2)
        with ScriptedEndpoint(streaming("a"), port=port):
            watch.until_content("router-a-example-com")


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        pytest.param(sending(), "cannot connect to {}: it closed", id="no-answer"),
        pytest.param(resetting, "cannot connect to {}: connection reset", id="reset"),
        pytest.param(saying_nothing, "cannot connect to {}: it was silent", id="silence"),
        pytest.param(
            answering("302 Found", Location="/login"), "cannot connect to {}: it", id="redirect"
        ),
        pytest.param(answering("404 Not Found"), "cannot connect to {}: it", id="not-found"),
        pytest.param(answering("503 Oops"), "cannot connect to {}: it", id="unavailable"),
        pytest.param(
            answering("200 OK", b"<html>", Content_Type="text/html"),
            "cannot connect to {}: it",
            id="html",
        ),
        pytest.param(
            answering("429 Oops", Retry_After="Wed, 21 Oct 2015 07:28:00 +" + "9" * 20),
            "cannot connect to {}: it",
            id="nonsense-in-a-header",
        ),
        pytest.param(sending(STREAM), "disconnected from {}: the endpoint closed", id="end"),
        pytest.param(sending(CHUNKED_STREAM), "disconnected from {}: the conn", id="broken-off"),
        pytest.param(sending(STREAM, CUT_OFF), "disconnected from {}: the endpoint", id="cut-off"),
        pytest.param(
            sending(STREAM, then=saying_nothing),
            "disconnected from {}: it was silent",
            id="silence-in-the-stream",
        ),
        pytest.param(trickling(STREAM), "disconnected from {}: no whole line", id="trickle"),
        pytest.param(
            sending(COMPRESSED, b"nonsense"), "disconnected from {}: its comp", id="damaged"
        ),
        pytest.param(
            sending(STREAM, b"data\n" * 1_000_001 + b"\n"),
            "disconnected from {}: an event of that size has too many lines",
            id="too-many-lines",
        ),
        pytest.param(
            sending(STREAM, *[b"data: %b\n" % (b"x" * 2**20)] * 66),
            "disconnected from {}: an event is larger than",
            id="oversized",
        ),
    ],
)
def test_connection_that_fails_is_made_again(path: Path, failure: Script, reason: str) -> None:
    """After any failure, reported in one line, the next connection is followed; the file stays."""
    first = sending(STREAM, snapshot(hosts("abcd")))
    timeout = "3" if "silent" in reason or "no whole line" in reason else "60"

    def is_followed() -> bool:
        feed.send(snapshot(hosts("abcdx")))
        return "router-x-example-com" in watch.content

    with (
        Feed() as feed,
        ScriptedEndpoint(first, failure, feed) as server,
        Watch(server.url, path, "--retry-delay", "0.05", "--read-timeout", timeout) as watch,
    ):
        watch.until_content("router-d-example-com")
        before = identity_of(path)
        watch.until_logged("retrying in", 2)
        assert identity_of(path) == before
        warnings = [line for line in watch.lines if line.startswith("WARNING")]
        watch.until(is_followed, "the next connection is not followed")
    assert len(warnings) == 2
    assert warnings[1].startswith(f"WARNING {reason.format(server.url)}")
    assert warnings[1].endswith("retrying in 0.1 s")


def test_requested_delay_lasts_until_a_connection_delivers(path: Path) -> None:
    """The longest delay that a server asks for counts, until data comes; then the user's does."""
    scripts = [
        sending(STREAM, b"retry: 300\n\n"),
        sending(STREAM, b"retry: 150\n\n"),
        sending(STREAM, snapshot(hosts("a"))),
        sending(STREAM),
        saying_nothing,
    ]
    with (
        ScriptedEndpoint(*scripts) as server,
        Watch(server.url, path, "--retry-delay", "0.1") as watch,
    ):
        watch.until_logged("retrying in", 4)
        delays = re.findall(r"retrying in (\S+) s", watch.log)
    assert [float(delay) >= 0.3 for delay in delays] == [True, True, False, False]


DEFECTIVE = """
import sys
from ctsdns_traefik.source import stream
from ctsdns_traefik.cli import main
parse, failures = stream.parse_block, [RuntimeError("a defect")]
def fail_once(block):
    if failures:
        raise failures.pop()
    return parse(block)
stream.parse_block = fail_once
sys.exit(main(sys.argv[1:]))
"""


def test_defect_costs_one_connection(path: Path) -> None:
    """An error that was not foreseen is reported in one line, and the next connection is made."""
    program = [sys.executable, "-c", DEFECTIVE]
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, program=program) as watch,
    ):
        watch.until_logged("added router-a")
        warnings = [line for line in watch.lines if line.startswith("WARNING")]
    assert len(warnings) == 1
    assert "internal error, please report it: RuntimeError('a defect'); retrying" in warnings[0]
