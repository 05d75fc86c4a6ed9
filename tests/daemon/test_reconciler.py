"""The reconciler of the file: what it writes at each snapshot, what it says, what it doubts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from support.entries import hosts, names_in, routers

from ctsdns_traefik.core.access.model import Access
from ctsdns_traefik.core.dynamic.document import Document, from_text, to_text
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.file import FileOutput

Lines = Callable[[], list[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be."""
    return tmp_path / "dynamic.yml"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Return what gives the log's lines since it was last asked, each with its level."""
    package = logging.getLogger("ctsdns_traefik")
    monkeypatch.setattr(package, "propagate", True)  # another test may have set up logging
    monkeypatch.setattr(package, "handlers", [])
    caplog.set_level(logging.INFO, "ctsdns_traefik")

    def lines() -> list[str]:
        new = [f"{record.levelname} {record.getMessage()}" for record in caplog.records]
        caplog.clear()
        return new

    return lines


def started(path: Path, *, guard: bool = True) -> Reconciler:
    """Return a reconciler that has looked at the file, as watch does at its start."""
    reconciler = Reconciler(FileOutput(path), guard=guard)
    reconciler.inspect()
    reconciler.create_missing()
    return reconciler


def test_missing_file_is_created_with_no_routes(path: Path, logged: Lines) -> None:
    """Traefik finds a file that it can load before any snapshot has come."""
    started(path)
    assert path.read_text() == "{}\n"
    assert logged() == [f"INFO created {path} with no routes"]


def test_file_that_is_there_is_left_alone_at_the_start(path: Path, logged: Lines) -> None:
    """Routes of an earlier run stay until a snapshot says otherwise, and nothing is logged."""
    path.write_text("# by an earlier run\nhttp: {}\n")
    started(path)
    assert (path.read_text(), logged()) == ("# by an earlier run\nhttp: {}\n", [])


def test_each_change_is_logged_with_its_routes(path: Path, logged: Lines) -> None:
    """The log says how many routes there are, and which were added, changed and removed."""
    reconciler = started(path)
    logged()
    reported = []
    for snapshot in (
        hosts("ab"),
        hosts("a") | hosts("b", "100.64.0.2") | hosts("c"),
        hosts("bcd") | hosts("b", "100.64.0.2"),
        {},
    ):
        reconciler.reconcile(snapshot)
        assert path.read_text() == render(snapshot).text
        reported += logged()
    assert reported == [
        f"INFO replaced {path}: 2 routes; added {routers('ab')}",
        f"INFO replaced {path}: 3 routes; added {routers('c')}; changed {routers('b')}",
        f"INFO replaced {path}: 3 routes; added {routers('d')}; removed {routers('a')}",
        f"INFO replaced {path}: 0 routes; removed {routers('bcd')}",
    ]


def test_last_udp_route_of_an_entrypoint(path: Path, logged: Lines) -> None:
    """Traefik does not withdraw it before it restarts, which is a warning, after a restart too."""
    names = ("_a_dns_53._udp.ns", "_b_dns_53._udp.ns", "_b_dns_54._udp.ns", "_c_x_9._tcp.*")
    a, b, other_b, raw = ({name: "100.64.0.1"} for name in names)
    warned = []
    for snapshot in (a | b | raw, a | b, a | other_b, other_b, {}, a, {}):
        reconciler = started(path)
        reconciler.reconcile(snapshot)
        warned.append([line for line in logged() if line.startswith("WARNING")])
    says = (
        "WARNING until it is restarted, Traefik serves the removed UDP route of entrypoint {}:"
        " restart it"
    )
    expected = ("", "", "", "a", "b", "", "a")
    assert warned == [[says.format(name)] if name else [] for name in expected]


def test_many_routes_are_counted_rather_than_named(path: Path, logged: Lines) -> None:
    """A line names thirty routes at the most."""
    reconciler = started(path)
    logged()
    reconciler.reconcile(
        {f"_web_http_80._tcp.a{number:02}.example.com": "100.64.0.1" for number in range(33)}
    )
    (line,) = logged()
    assert line.count("router-") == 30
    assert line.endswith("router-a29-example-com and 3 more")


def test_hook_runs_only_when_the_output_has_changed(path: Path) -> None:
    """It runs for the missing file and for new routes, not for routes that stand there already."""
    runs: list[bytes] = []
    for names in ("", "ab", "ab", "a"):
        reconciler = Reconciler(FileOutput(path), on_change=lambda: runs.append(path.read_bytes()))
        reconciler.prepare()  # as after a restart, so that nothing is known of the former hosts
        reconciler.reconcile(hosts(names))
    assert runs == [render(hosts(names)).text.encode() for names in ("", "ab", "a")]


def test_unchanged_snapshot_writes_and_logs_nothing(path: Path, logged: Lines) -> None:
    """The same hosts again, in another order too, leave the file and the log alone."""
    reconciler = started(path)
    reconciler.reconcile(hosts("ab"))
    logged()
    before = path.stat()
    reconciler.reconcile(hosts("ab"))
    reconciler.reconcile(hosts("ba"))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert logged() == []


@pytest.mark.parametrize(
    ("disturb", "how"),
    [
        pytest.param(lambda path: path.unlink(), "created", id="removed"),
        pytest.param(lambda path: path.write_text("{}\n"), "replaced", id="edited"),
        pytest.param(lambda path: path.write_text(""), "replaced", id="emptied"),
        pytest.param(
            lambda path: path.write_text(path.read_text().replace("100.64.0.1", "100.64.0.7")),
            "replaced",
            id="edited-to-the-same-size-at-once",
        ),
    ],
)
def test_file_that_others_disturb_is_put_right(
    path: Path, logged: Lines, disturb: Callable[[Path], object], how: str
) -> None:
    """The next snapshot, with the same hosts, brings the content back, and the log says why."""
    reconciler = started(path)
    reconciler.reconcile(hosts("ab"))
    content = path.read_bytes()
    logged()
    disturb(path)
    reconciler.reconcile(hosts("ab"))
    assert path.read_bytes() == content
    reason = "the same as before, but the output held something else"
    assert logged() == [f"INFO {how} {path}: 2 routes; {reason}"]


def test_file_of_an_earlier_run_is_compared_by_its_routes(path: Path, logged: Lines) -> None:
    """After a restart only what differs from the file is reported, whichever format it was in."""
    document = render(hosts("ab")).document
    path.write_text(to_text(document, "yaml"))
    assert from_text(path.read_text()) == document
    started(path).reconcile(hosts("abc"))
    assert logged() == [f"INFO replaced {path}: 3 routes; added {routers('c')}"]


def test_yaml_is_written_if_asked_for(path: Path) -> None:
    """The file holds the format that the reconciler was made for."""
    reconciler = Reconciler(FileOutput(path), "yaml")
    reconciler.inspect()
    reconciler.reconcile(hosts("a"))
    assert path.read_text() == render(hosts("a"), "yaml").text


def test_refused_entry_is_logged_once_until_it_changes(path: Path, logged: Lines) -> None:
    """An entry's problem is logged at its first snapshot, and again if it is another or returns."""
    reconciler = started(path)
    logged()
    bad, name = hosts("a"), "_web_http_0._tcp.bad.example.com"
    reported = []
    for entries in (
        bad | {name: "100.64.0.9"},
        bad | {name: "100.64.0.9"},
        hosts("abc") | {name: "100.64.0.9"},
        bad | {name: "100.64.0.8"},
        bad,
        bad | {name: "100.64.0.8"},
    ):
        reconciler.reconcile(entries)
        reported.append([line for line in logged() if not line.startswith("INFO")])
    assert [len(lines) for lines in reported] == [1, 0, 0, 1, 0, 1]
    assert reported[0][0].startswith(f"WARNING bad-port: {name}=100.64.0.9: ")


def test_near_miss_is_logged_once_until_it_changes(path: Path, logged: Lines) -> None:
    """What probably means something else is a warning in the log, and its routes are written."""
    reconciler = started(path)
    logged()
    slips = {"web_http_1._tcp.b.de": "100.64.0.9", "_web_tsl_1._tcp.c.de": "100.64.0.9"}
    reported = []
    for entries in (hosts("a") | slips, hosts("ab") | slips, hosts("a"), hosts("a") | slips):
        reconciler.reconcile(entries)
        reported.append(
            [line.partition(": ")[0] for line in logged() if not line.startswith("INFO")]
        )
    both = ["WARNING unusual-scheme", "WARNING missing-underscore"]
    assert reported == [both, [], [], both]
    assert "router-c-de-tsl" in path.read_text()


def test_refused_entry_costs_no_other(path: Path) -> None:
    """The good entries beside a bad one are served."""
    started(path).reconcile(hosts("ab") | {"_web_http_0._tcp.bad.example.com": "100.64.0.9"})
    assert names_in(path) == "ab"


def test_large_removal_is_logged_while_it_waits(path: Path, logged: Lines) -> None:
    """The log names what would go, once for each snapshot that waits, and then what went."""
    reconciler = started(path)
    reconciler.reconcile(hosts("abcd"))
    logged()
    reconciler.reconcile(hosts("d"))
    reported = logged()
    reconciler.reconcile(hosts("d"))
    doubt = "the snapshot would remove 3 of 4 routes: waiting for the next one to agree"
    assert reported == [f"WARNING {doubt} ({routers('abc')})"]
    assert logged() == [f"INFO replaced {path}: 1 route; removed {routers('abc')}"]


def test_failed_write_is_raised_and_the_next_one_makes_up_for_it(path: Path, logged: Lines) -> None:
    """What could not be written is not taken for written: the next change is reported in full."""
    reconciler = started(path)
    reconciler.reconcile(hosts("a"))
    path.unlink()
    path.mkdir()
    logged()
    with pytest.raises(OutputError, match="it is a directory"):
        reconciler.reconcile(hosts("ab"))
    assert logged() == []
    path.rmdir()
    reconciler.reconcile(hosts("ab"))
    assert names_in(path) == "ab"
    assert logged() == [f"INFO created {path}: 2 routes; added {routers('b')}"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path / "missing-folder" / "dynamic.yml", id="missing-folder"),
        pytest.param(lambda path: path.parent, id="directory"),
    ],
)
def test_output_that_cannot_be_written_is_found_at_the_start(
    path: Path, make: Callable[[Path], Path]
) -> None:
    """A wrong path is an error before any connection is made."""
    with pytest.raises(OutputError):
        Reconciler(FileOutput(make(path))).inspect()


def test_leftovers_are_removed_at_the_start(path: Path) -> None:
    """What a killed process left beside the file is gone after the first look."""
    leftover = path.with_name(f".{path.name}.abc_1234.tmp")
    leftover.write_text("half")
    Reconciler(FileOutput(path)).inspect()
    assert not leftover.exists()


class Verifier:
    """Notes what it is asked to verify."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note

    def verify(self, document: Document) -> None:  # noqa: ARG002
        self._note("verify")

    def verify_again(self, *, written: bool) -> None:
        self._note(f"verify again, written: {written}")


class StopAsked(Exception):
    """Stands for a stop."""


def test_stop_comes_before_a_write_or_after_its_command(path: Path) -> None:
    """A write that has begun is verified and followed by its command; then none begins."""
    done: list[str] = []

    def check_stop() -> None:
        if done:
            raise StopAsked

    reconciler = Reconciler(
        FileOutput(path),
        check_stop=check_stop,
        on_change=lambda: done.append("command"),
        verifier=Verifier(done.append),
    )
    reconciler.inspect()
    reconciler.create_missing()
    assert done == ["verify", "command"]
    for wanted in ("a", "b"):
        with pytest.raises(StopAsked):
            reconciler.reconcile(hosts(wanted))
    with pytest.raises(StopAsked):
        reconciler.change_access(Access())
    assert (names_in(path), done) == ("", ["verify", "command"])
