"""``ctsdns-traefik render-once`` with files and pipes that hold no snapshot."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support.commands import COMMAND, run
from support.endpoints import event, snapshot

HOSTS = {"_web_http_80._tcp.a.example.com": "100.64.0.1"}

PREFIX = "ctsdns-traefik: error: "

NO_SNAPSHOT = "it holds no whole snapshot, captured stream of snapshots, or policy"

NOT_SAVED = "Tailscale would not save this: "

TOO_DEEP = b"[" * 200_000

UNUSABLE = (
    pytest.param(b"garbage\n", NO_SNAPSHOT, id="garbage"),
    pytest.param(bytes(range(256)) * 400, NO_SNAPSHOT, id="binary"),
    pytest.param(b"<!doctype html><title>Log in</title>\n", "it is a page of HTML", id="html-page"),
    pytest.param(
        b'{"hosts": {\n',
        f"{NOT_SAVED}line 2, column 1: Expecting property name enclosed in double quotes",
        id="truncated-json",
    ),
    pytest.param(
        b'{"machines": [\n',
        "it is not JSON: Expecting value at line 2, column 1",
        id="truncated-snapshot",
    ),
    pytest.param(
        b'\xef\xbb\xbf{"hosts": {}}',
        f"{NOT_SAVED}line 1, column 1:"
        " it starts with a byte order mark; save it as UTF-8 without one",
        id="byte-order-mark",
    ),
    pytest.param(
        b'{"hosts": {}}\n// end',
        f"{NOT_SAVED}line 2, column 1: the last // comment has no line end; add one",
        id="last-comment-without-a-line-end",
    ),
    pytest.param(
        b'# ours\n{"hosts": {}}',
        f"{NOT_SAVED}line 1, column 1: # starts no comment in HuJSON: write //",
        id="hash",
    ),
    pytest.param(
        b'{"Hosts": []}',
        f"{NOT_SAVED}line 1, column 11: Hosts is a list, not an object",
        id="hosts-of-a-policy-that-are-a-list",
    ),
    pytest.param(
        b'{"error":"Configuration error","message":"no key"}',
        "it is neither a snapshot (with acl) nor a Tailscale policy (with hosts)",
        id="error-of-the-worker",
    ),
    pytest.param(snapshot(HOSTS)[:-1], NO_SNAPSHOT, id="capture-cut-off-at-the-last-byte"),
    pytest.param(event("connected", {}) + snapshot(HOSTS)[:60], NO_SNAPSHOT, id="capture-cut-off"),
    pytest.param(event("connected", {}), NO_SNAPSHOT, id="capture-without-a-snapshot"),
    pytest.param(
        b'{"acl": {"hosts": []}}', "acl.hosts is a list, not an object", id="hosts-that-are-a-list"
    ),
    pytest.param(b'{"machines": []}', "acl is missing", id="snapshot-without-a-policy"),
    pytest.param(b'{"acl": null}', "acl is null, not an object", id="policy-that-is-null"),
    pytest.param(b"[]", "it is a list, not an object", id="json-that-is-no-object"),
    pytest.param(TOO_DEEP, "it is not usable JSON: it is nested too deep", id="nested-too-deep"),
    pytest.param(
        b'{"acl": {"hosts": {"\xff": ""}}}',
        "it is not UTF-8: invalid start byte at byte 21",
        id="another-encoding",
    ),
)


@pytest.mark.parametrize(("content", "reason"), UNUSABLE)
def test_file_without_a_snapshot_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    """It exits with 3, one line of reason and no data, and leaves the old file alone."""
    source, output = tmp_path / "source", tmp_path / "dynamic.yml"
    source.write_bytes(content)
    output.write_text("old\n")
    before = output.stat()
    done = run("render-once", source, "-o", output)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"{PREFIX}{source}: {reason}\n"
    assert (output.read_text(), output.stat().st_ino) == ("old\n", before.st_ino)
    assert sorted(tmp_path.iterdir()) == [output, source]


@pytest.mark.parametrize(("content", "reason"), UNUSABLE)
def test_standard_input_without_a_snapshot_is_one_line(content: bytes, reason: str) -> None:
    """The same is reported of what is piped in, under the name of standard input."""
    done = run("render-once", "-", stdin=content)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"{PREFIX}standard input: {reason}\n"


@pytest.mark.parametrize("content", [b"", b" \n\n"], ids=["empty", "blank"])
def test_empty_source_is_one_line(tmp_path: Path, content: bytes) -> None:
    """Nothing at all, from a file or a pipe, is no snapshot either."""
    source = tmp_path / "source"
    source.write_bytes(content)
    for name, done in (
        (str(source), run("render-once", source)),
        ("standard input", run("render-once", "-", stdin=content)),
    ):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert done.stderr.startswith(f"{PREFIX}{name}: ")


UNREADABLE = (
    pytest.param("missing.json", "no such file or directory", id="missing"),
    pytest.param(".", "is a directory", id="directory"),
    pytest.param("file/below", "not a directory", id="below-a-file"),
    pytest.param("x" * 5000, "file name too long", id="name-too-long"),
)


@pytest.mark.parametrize(("name", "reason"), UNREADABLE)
def test_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, reason: str) -> None:
    """It exits with 3 and the system's reason."""
    (tmp_path / "file").touch()
    done = run("render-once", name, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f"{PREFIX}cannot read {name[:200]}")
    assert done.stderr.endswith(f": {reason}\n")
    assert len(done.stderr) < 500


def test_hostile_file_name_stays_on_one_line(tmp_path: Path) -> None:
    """Line ends and escapes in a file's name are shown as such, not obeyed."""
    done = run("render-once", "a\n\x1b[31mINFO: b", cwd=tmp_path)
    shown = "a\\n\\x1b[31mINFO: b"
    assert done.stderr == f"{PREFIX}cannot read {shown}: no such file or directory\n"


def test_fifo_that_nothing_writes_to_is_timed_out(tmp_path: Path) -> None:
    """Opening a named pipe waits for its writer, though not for longer than the timeout."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = run("render-once", fifo, "--timeout", "0.5")
    line = f"{PREFIX}{fifo}: no policy came within 0.5 s\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


def drip(pipe: int, start: bytes) -> None:
    """Write something into a pipe, then a byte now and then until nothing reads."""
    with suppress(OSError):
        os.write(pipe, start)
        while True:
            os.write(pipe, b"x")
            time.sleep(0.05)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="that-looks-like-a-stream"),
        pytest.param(b'{"hosts": {"', id="that-looks-like-json"),
        pytest.param(event("connected", {}), id="after-an-event"),
    ],
)
def test_standard_input_that_never_ends_is_timed_out(start: bytes) -> None:
    """A pipe that trickles on without a snapshot ends with 3 and one line."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=drip, args=(writer, start))
    thread.start()
    try:
        done = subprocess.run(
            [*COMMAND, "render-once", "-", "--timeout", "0.5"],
            stdin=reader,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        os.close(reader)
        thread.join()
        os.close(writer)
    line = f"{PREFIX}standard input: no policy came within 0.5 s\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)
