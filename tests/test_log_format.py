"""The log in JSON: one object a line, with stable words for what happens and its details."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import Watch, run
from support.endpoints import STREAM, Feed, ScriptedEndpoint, answering, event, sending, snapshot
from support.entries import hosts, streaming
from support.paths import ROOT

import ctsdns_traefik
from ctsdns_traefik import logs
from ctsdns_traefik.daemon import events
from ctsdns_traefik.daemon.events import Event

JSON_LOG = ("--log-format", "json")
BASE = ["time", "level", "event", "message"]
DOCUMENT = (ROOT / "docs" / "status.md").read_text()

Entry = dict[str, Any]


def documented() -> dict[str, list[str]]:
    """Return the fields of each event in docs/status.md."""
    rows = re.findall(
        r"^\| `([a-z-]+)` \| (?:debug|info|warning|error) \| (.*?) \|", DOCUMENT, re.MULTILINE
    )
    return {name: re.findall(r"`([a-z_]+)`", fields) for name, fields in rows}


def entries(text: str) -> list[Entry]:
    """Return the objects of a log, each of them known to be as the document says."""
    found: list[Entry] = [json.loads(line) for line in text.splitlines()]
    known = documented()
    for each in found:
        assert list(each)[:4] == BASE
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each["time"])
        assert [*each][4:] == known[each["event"]]
    return found


def logged_outside_watch() -> Iterator[str]:
    """Yield the name of each event that the source logs without a class for it."""
    for path in Path(ctsdns_traefik.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "as_event":
                yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))


def logged_classes() -> list[type[Event]]:
    """Return the class of each event that watch logs."""
    classes = [each for each in vars(events).values() if isinstance(each, type)]
    return [each for each in classes if issubclass(each, Event) and each.level and each.event]


def test_document_has_every_event() -> None:
    """docs/status.md has a row for each event, and for no other."""
    names = {each.event for each in logged_classes()}
    assert set(documented()) == names | set(logged_outside_watch())


@pytest.mark.parametrize("kind", logged_classes(), ids=lambda kind: kind.__name__)
def test_document_has_the_level(kind: type[Event]) -> None:
    """The level of each event of watch is the one in docs/status.md."""
    level = logging.getLevelName(kind.level or 0).lower()
    assert f"| `{kind.event}` | {level} |" in DOCUMENT


def picked(found: list[Entry], name: str) -> list[Entry]:
    """Return the details of the events of one name."""
    return [
        {key: each[key] for key in each if key not in ("time", "event", "message")}
        for each in found
        if each["event"] == name
    ]


def test_life_of_a_watch(path: Path) -> None:
    """Each happening is an object with its word and its details, the message as in text."""
    name = "_web_http_0._tcp.x\n\x1b\u2028.example.com"
    with (
        Feed() as feed,
        ScriptedEndpoint(feed, answering("503 Oops")) as server,
        Watch(server.url, path, "-v", *JSON_LOG) as watch,
    ):
        feed.send(event("connected", {}), snapshot({**hosts("abcd"), name: "::1"}))
        feed.send(event("error", {"message": "quota\n\x1b[31m"}))
        feed.send(event("machines-snapshot", []), snapshot(hosts("e")), snapshot(hosts("e")))
        watch.until_logged('"removed": 4')
        feed.close()
        watch.until_logged("unreachable")
        assert watch.stop() == 0
        found = entries(watch.log)
    url = server.url
    assert picked(found, "created") == [{"level": "info", "output": str(path)}]
    assert picked(found, "connected") == [{"level": "info", "endpoint": url}]
    assert picked(found, "event") == [{"level": "debug", "name": "connected"}]
    refused, _ = picked(found, "refused")
    assert refused["entry"] == r"_web_http_0._tcp.x\n\x1b\u2028.example.com"
    assert (refused["code"], refused["address"]) == ("bad-port", "::1")
    first, second = picked(found, "written")
    assert (first["outcome"], first["routes"], first["added"], first["removed"]) == (
        "replaced",
        4,
        4,
        0,
    )
    assert second["removed_routers"] == [f"router-{name}-example-com" for name in "abcd"]
    (held,) = picked(found, "removal-held")
    assert (held["routes"], held["removed"]) == (4, 4)
    (error,) = picked(found, "worker-error")
    assert error == {"level": "warning", "error": r"quota\n\x1b[31m"}
    assert len(picked(found, "untrusted")) == 1
    (lost,) = picked(found, "disconnected")
    assert 0.2 <= lost["delay"] <= 0.3
    assert lost["error"].startswith(f"disconnected from {url}: ")
    assert picked(found, "unreachable")
    assert picked(found, "stopped") == [{"level": "info", "signal": "SIGTERM"}]
    assert found[-1]["message"] == "SIGTERM: stopped"


def test_no_secret(path: Path) -> None:
    """What gets one in is in no object."""
    with ScriptedEndpoint(answering("403 No")) as server:
        url = server.url.replace("http://", "http://me:s3cret@") + "?key=s3cret"
        options = (*JSON_LOG, "-v", "--header", "X-Key: s3cret")
        with Watch(url, path, *options) as watch:
            watch.until_logged("unreachable", 2)
            assert entries(watch.log)
            assert "s3cret" not in watch.log


def test_output_error(path: Path) -> None:
    """A file that cannot be written is an object, too."""
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, *JSON_LOG) as watch,
    ):
        watch.until_logged('"connected"')
        path.unlink()
        path.mkdir()
        feed.send(snapshot(hosts("a")))
        watch.until_logged("output-error")
        (error,) = picked(entries(watch.log), "output-error")
    assert error == {"level": "error", "error": f"cannot write {path}: it is a directory"}


def test_ending_by_an_error_is_an_object(path: Path, tmp_path: Path) -> None:
    """Exit codes 2 and 4 come with an object once the format is known, however quiet it is."""
    path.mkdir()
    url = "http://127.0.0.1:9/"
    for arguments, code in (
        (("-o", path, "--endpoint", url), 4),
        (("-qqq", "-o", path, "--endpoint", url), 4),
        (("-o", path), 2),
        (("-o", "-", "--endpoint", url), 2),
        (("-o", tmp_path / "x.yml", "--endpoint", "nonsense://x"), 2),
        (("-o", tmp_path / "x.yml", "--endpoint", url, "--access-file", "/none"), 2),
    ):
        done = run("watch", *JSON_LOG, *arguments)
        (entry,) = entries(done.stderr)
        assert (done.returncode, done.stdout) == (code, "")
        assert (entry["event"], entry["level"], entry["exit_code"]) == ("failed", "error", code)


DEFECTIVE = """
import sys
from ctsdns_traefik.daemon import loop as watch
from ctsdns_traefik.cli import main
def run(self):
    raise RuntimeError("one\\ntwo")
watch.Watch.run = run
sys.exit(main(sys.argv[1:]))
"""


def test_defect_is_an_object(path: Path) -> None:
    """An error that was not foreseen ends with 70 and an object."""
    program = [sys.executable, "-c", DEFECTIVE]
    with Watch("http://127.0.0.1:9/", path, *JSON_LOG, program=program) as watch:
        assert watch.process.wait(timeout=60) == 70
        (entry,) = entries(watch.log)
    assert entry["exit_code"] == 70
    assert entry["message"] == r"internal error, please report it: RuntimeError('one\ntwo')"


def test_render_once(tmp_path: Path) -> None:
    """render-once has the format, too, for what it refuses and for how it ends."""
    policy = json.dumps({"hosts": {"_web_http_0._tcp.x.example.com": "::1"}}).encode()
    done = run("render-once", "-", *JSON_LOG, stdin=policy)
    (refused,) = entries(done.stderr)
    assert (refused["event"], refused["code"], done.stdout) == ("refused", "bad-port", "{}\n")
    variable = {"TRAEFIK_CONFIG_LOG_FORMAT": "json"}
    done = run("render-once", tmp_path / "none", environment=variable)
    (entry,) = entries(done.stderr)
    assert (done.returncode, entry["event"], entry["exit_code"]) == (3, "failed", 3)
    body = event("error", {"message": "quota"}) + event("machines-snapshot", [])
    with ScriptedEndpoint(sending(STREAM, body)) as server:
        done = run("render-once", server.url, *JSON_LOG)
    names = [each["event"] for each in entries(done.stderr)]
    assert names == ["worker-error", "untrusted", "failed"]


def test_watch_check(path: Path, tmp_path: Path) -> None:
    """Each result of watch --check is an object, an error if watch would not start with it."""
    source = tmp_path / "none.json"
    away = tmp_path / "away" / "dynamic.yml"
    for output, last in ((path, ("info", 0)), (away, ("error", 4))):
        done = run("watch", "--check", str(source), "-o", output, *JSON_LOG)
        found = [(each["check"], each["level"], each["exit_code"]) for each in entries(done.stderr)]
        assert found == [("source", "warning", 3), ("output", *last)]
        assert (done.returncode, done.stdout) == (4 if last[1] else 3, "")


def test_access_file(path: Path, tmp_path: Path) -> None:
    """What happens to the access file has words of its own."""
    access = tmp_path / "access.yml"
    access.write_text("default: tailscale-only\n")
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, *JSON_LOG, "--access-file", str(access)) as watch,
    ):
        feed.send(snapshot(hosts("a")))
        watch.until_logged('"written"')
        open_to_all = "routes: {b.example.com: {access: public}}\n"
        for text, word in ((open_to_all, "unprotected"), ("[", "error"), (open_to_all, "restored")):
            access.write_text(text)
            watch.until_logged(f'"event": "(access-)?{word}"')
        path.unlink()
        path.mkdir()
        access.write_text("default: public\n")
        watch.until_logged("access-pending")
        found = entries(watch.log)
    assert picked(found, "access-changed") == [{"level": "info", "path": str(access)}] * 2
    assert picked(found, "unprotected") == [
        {"level": "warning", "count": 1, "routers": ["router-a-example-com"]}
    ]
    assert [each["setting"] for each in picked(found, "access-unused")] == ["routes.b.example.com"]
    assert [each["level"] for each in picked(found, "access-pending")] == ["error"]


def test_names_that_are_warned_of(path: Path, tmp_path: Path) -> None:
    """Warnings about how watch is set up are objects with words of their own."""
    metrics, status = tmp_path / "metrics", tmp_path / "none" / "status"
    options = ("--metrics-file", str(metrics), "--status-file", str(status))
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Watch(server.url, path, *JSON_LOG, *options) as watch,
    ):
        watch.until_logged("report-error")
        watch.until_logged('"written"')
        found = entries(watch.log)
    assert picked(found, "metrics-name") == [{"level": "warning", "path": str(metrics)}]
    assert picked(found, "report-error")[0]["path"] == str(status)


@pytest.mark.parametrize(
    "text", ["one\ntwo", "\x1b[31m", "\udcff", "\u2028", 'a"b\\', "é", "[bold]x[/bold]", "\x00"]
)
def test_any_text_is_one_line_of_ascii(text: str) -> None:
    """Whatever a message and its details quote, the line is one valid object, and ASCII."""
    record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (text,), None)
    record.__dict__.update(logs.as_event("refused", entry=text, deep=[(text,), {"k": text}, None]))
    line = logs.JsonLines().format(record)
    assert line.isascii()
    assert line.isprintable()
    logged = json.loads(line)
    logged["message"].encode()
    assert logged["message"] == logged["entry"] == logged["deep"][0][0] == logged["deep"][1]["k"]
    assert logged["message"].isprintable()
    assert logged["deep"][2] is None


def test_message_without_a_word() -> None:
    """Should a message have no word, it is still an object."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "text", (), None)
    logged = json.loads(logs.JsonLines().format(record))
    assert (logged["level"], logged["event"], logged["message"]) == ("info", "other", "text")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_terminal_gets_objects_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, as well, JSON is plain, without colour, and not folded."""
    package = logging.getLogger(logs.PACKAGE)
    for name in ("handlers", "level", "propagate"):
        monkeypatch.setattr(package, name, getattr(package, name))
    monkeypatch.setattr(logging, "raiseExceptions", logging.raiseExceptions)
    stream = Terminal()
    logs.set_up(stream, dated=True, form="json")
    logging.getLogger("ctsdns_traefik.tested").error("[red]%s", "x" * 500)
    logged = json.loads(stream.getvalue())
    assert logged["message"] == "[red]" + "x" * 500
