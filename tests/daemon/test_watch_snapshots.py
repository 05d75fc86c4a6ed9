"""Events that watch follows: what each does to the file, and the one line that it logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import Watch, bind_mounting
from support.endpoints import STREAM, Feed, ScriptedEndpoint, event, sending, snapshot
from support.entries import hosts, names_in, routers

MISTRUST = "WARNING the policy cannot be trusted, the output stays: "
REPORTED = "WARNING the worker reports an error: "
DEEP = b"[" * 100_000


def snapshot_of(data: bytes) -> bytes:
    """Frame data as a snapshot, whatever it is."""
    return b"event: machines-snapshot\ndata: %b\n\n" % data


@pytest.mark.parametrize(
    ("bad", "line"),
    [
        pytest.param(
            event("error", {"event": "machines-snapshot", "message": "Tailscale API error: 500"}),
            f"{REPORTED}Tailscale API error: 500",
            id="error",
        ),
        pytest.param(
            event("error", {"message": "one\ntwo\x1b[31m\r\u2028three"}),
            REPORTED + r"one\ntwo\x1b[31m\r\u2028three",
            id="error-with-line-ends-and-escapes",
        ),
        pytest.param(b"event: error\ndata: out of order\n\n", f"{REPORTED}out of order", id="text"),
        pytest.param(
            b"event: error\ndata: one\ndata: two\xff\n\n",
            f"{REPORTED}one\\ntwo\ufffd",
            id="error-that-is-not-utf-8",
        ),
        pytest.param(snapshot_of(b'{"acl":'), f"{MISTRUST}it is not JSON", id="bad-json"),
        pytest.param(
            snapshot_of(b'{"acl": {"\xff": 1}}'), f"{MISTRUST}it is not UTF-8", id="utf-8"
        ),
        pytest.param(snapshot_of(DEEP), f"{MISTRUST}it is not usable JSON", id="too-deep"),
        pytest.param(snapshot_of(b"[]"), f"{MISTRUST}it is a list, not an object", id="list"),
        pytest.param(snapshot_of(b"null"), f"{MISTRUST}it is null, not an object", id="null"),
        pytest.param(snapshot_of(b'{"machines":[]}'), f"{MISTRUST}acl is missing", id="no-acl"),
        pytest.param(
            snapshot_of(b'{"acl":null}'), f"{MISTRUST}acl is null, not an object", id="acl-null"
        ),
        pytest.param(
            snapshot_of(b'{"acl":[]}'), f"{MISTRUST}acl is a list, not an object", id="acl-list"
        ),
        pytest.param(
            snapshot_of(b'{"acl":{"hosts":["_web_http_80._tcp.a.example.com"]}}'),
            f"{MISTRUST}acl.hosts is a list, not an object",
            id="hosts-list",
        ),
        pytest.param(
            snapshot_of(b'{"acl":{"hosts":"none"}}'),
            f"{MISTRUST}acl.hosts is text, not an object",
            id="hosts-text",
        ),
    ],
)
def test_bad_event_costs_one_line_and_nothing_else(path: Path, bad: bytes, line: str) -> None:
    """What cannot be trusted leaves the file as it is, and the next good snapshot is applied."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("ab")))
        watch.until_logged("added router-a")
        before = path.read_bytes(), path.stat()
        feed.send(bad)
        watch.until_logged("WARNING")
        assert (path.read_bytes(), path.stat().st_ino) == (before[0], before[1].st_ino)
        feed.send(snapshot(hosts("abc")))
        watch.until_logged("added router-c")
        assert names_in(path) == "abc"
        told = watch.lines[2:]
    assert [told[0], told[2]] == [
        f"INFO replaced {path}: 2 routes; added {routers('ab')}",
        f"INFO replaced {path}: 3 routes; added {routers('c')}",
    ]
    assert told[1].startswith(line)
    assert told[1].isprintable()
    assert len(told) == 3


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(event("connected", {"message": "SSE stream established"}), id="connected"),
        pytest.param(event("dns-records", {"acl": {"hosts": {}}}), id="of-another-kind"),
        pytest.param(b'data: {"acl": {"hosts": {}}}\n\n', id="without-a-name"),
        pytest.param(b": alive\n\n", id="comment"),
        pytest.param(b"event: machines-snapshot\nretry: 100\n\n", id="block-without-data"),
    ],
)
def test_other_event_does_nothing(path: Path, other: bytes) -> None:
    """An event that is no snapshot and no error neither changes the file nor is logged."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("a")), other, snapshot(hosts("ab")))
        watch.until_logged("added router-b")
        assert watch.lines[2:] == [
            f"INFO replaced {path}: 1 route; added {routers('a')}",
            f"INFO replaced {path}: 2 routes; added {routers('b')}",
        ]


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param({"hosts": {}}, id="empty-hosts"),
        pytest.param({"hosts": None}, id="hosts-null"),
        pytest.param({"acls": []}, id="policy-without-hosts"),
        pytest.param({"hosts": {"laptop": "100.64.0.9", "lan": "10.0.0.0/8"}}, id="aliases-alone"),
    ],
)
def test_snapshot_without_entries_means_no_routes(path: Path, policy: dict[str, object]) -> None:
    """A policy with no service entries empties the file of its few routes."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("ab")))
        watch.until_content("router-a-example-com")
        feed.send(snapshot_of(json.dumps({"acl": policy}).encode()))
        watch.until_logged("removed router-a")
        assert path.read_text() == "{}\n"


def test_snapshot_that_changes_nothing_is_not_logged(path: Path) -> None:
    """Snapshots that repeat themselves, bad entries included, leave file and log alone."""
    bad = {"_web_http_0._tcp.bad.example.com": "100.64.0.1"}
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("a") | bad))
        watch.until_content("router-a-example-com")
        before = path.stat()
        feed.send(*[snapshot(bad | hosts("a"))] * 20, event("error", {"message": "the end"}))
        watch.until_logged("the end")
        after = path.stat()
        told = watch.lines[2:]
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [line.partition(" ")[0] for line in told] == ["WARNING", "INFO", "WARNING"]
    assert "bad-port: _web_http_0._tcp.bad.example.com=100.64.0.1" in told[0]


@pytest.mark.parametrize("options", [[], ["--no-removal-guard"]], ids=["guard", "no-guard"])
def test_large_removal_waits_if_it_is_guarded(path: Path, options: list[str]) -> None:
    """Unless told otherwise, a snapshot that drops most routes waits for the next to agree."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, *options) as watch,
    ):
        feed.send(snapshot(hosts("abcd")), snapshot(hosts("d")))
        watch.until_logged("removed router-a" if options else "waiting for the next one to agree")
        assert names_in(path) == ("d" if options else "abcd")
        feed.send(snapshot(hosts("d")))
        watch.until_logged("removed router-a")
        assert names_in(path) == "d"


def test_file_that_somebody_removes_comes_back(path: Path) -> None:
    """The next snapshot, though it says nothing new, makes the file again."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("a")))
        watch.until_content("router-a-example-com")
        content = path.read_bytes()
        path.unlink()
        feed.send(snapshot(hosts("a")))
        watch.until(path.exists, "the file did not come back")
        assert path.read_bytes() == content


def test_output_that_fails_is_tried_again_at_the_next_snapshot(path: Path) -> None:
    """A write that fails is one line in the log, and the connection and the process go on."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        watch.until_logged("connected to")
        path.unlink()
        path.mkdir()
        feed.send(snapshot(hosts("a")))
        watch.until_logged("ERROR")
        path.rmdir()
        feed.send(snapshot(hosts("ab")))
        watch.until_logged("added router-a")
        assert (names_in(path), len(server.requests)) == ("ab", 1)
        assert watch.lines[2:] == [
            f"ERROR cannot write {path}: it is a directory; trying again at the next snapshot",
            f"INFO created {path}: 2 routes; added {routers('ab')}",
        ]


def test_bind_mounted_file_is_kept_current_in_place(path: Path, tmp_path: Path) -> None:
    """A file mounted on its own, as containers do, is followed too, which is said only once."""
    source = tmp_path / "source.yml"
    source.write_text("{}\n")
    path.write_text("")
    inode = source.stat().st_ino
    launcher = bind_mounting(source, path)
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, launcher=launcher) as watch,
    ):
        for names in ("ab", "abc", "a"):
            feed.send(snapshot(hosts(names)))
            watch.until(lambda names=names: names_in(source) == names, f"not {names}")
        feed.send(event("error", {"message": "the end"}))
        watch.until_logged("the end")
        told = watch.lines
    assert source.stat().st_ino == inode
    assert [line for line in told if "rename" in line] == [
        f"WARNING {path} cannot be renamed over and is written in place"
    ]
    assert f"INFO written in place {path}: 2 routes; added {routers('ab')}" in told


def test_captured_stream_of_the_worker(path: Path, data: Path) -> None:
    """The worker's own bytes, errors between snapshots included, give the routes of its policy."""
    body = (data / "worker-stream-error.txt").read_bytes().partition(b"\r\n\r\n")[2]
    with (
        ScriptedEndpoint(sending(STREAM, body)) as server,
        Watch(server.url, path, "--retry-delay", "60") as watch,
    ):
        watch.until_logged("retrying in")
        told = [line.partition(" ")[0] for line in watch.lines]
        document = json.loads(path.read_text())
    assert sorted(document["http"]["routers"]) == [
        "router-server1-wan-example-com",
        "router-server1-wan-example-com-web",
    ]
    assert sorted(document["tcp"]["routers"]) == [
        "router-database-wan-example-com-mysql",
        "router-secure-wan-example-com-tls",
    ]
    assert list(document["udp"]["routers"]) == ["router-server1-wan-example-com-udp"]
    assert told == ["INFO", "INFO", "INFO", "WARNING", "WARNING", "WARNING"]
