"""Large removals: what waits for a second opinion, and what counts as one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.entries import hosts, names_in
from support.stores import Server, needs_redis

from ctsdns_traefik.core.access.model import Access
from ctsdns_traefik.core.dynamic.document import Format
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.policy import UnlikelyHosts
from ctsdns_traefik.daemon.reconciler import Reconciler
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.file import FileOutput
from ctsdns_traefik.output.redis.publisher import RedisOutput
from ctsdns_traefik.output.redis.url import address_from


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one Redis for all tests here."""
    with Server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file is to be."""
    return tmp_path / "dynamic.yml"


def started(path: Path, *, guard: bool = True, access: Access | None = None) -> Reconciler:
    """Return a reconciler that has looked at the file, as watch does at its start."""
    reconciler = Reconciler(FileOutput(path), guard=guard, access=access)
    reconciler.inspect()
    reconciler.create_missing()
    return reconciler


STEPS = pytest.mark.parametrize(
    "steps",
    [
        pytest.param(["abcd>abcd", "cd>cd"], id="half-of-four-goes-at-once"),
        pytest.param(["abcd>abcd", "d>abcd", "d>d"], id="three-of-four-wait-for-the-next"),
        pytest.param(["abcd>abcd", ">abcd", ">"], id="all-of-four-wait-too"),
        pytest.param(["abc>abc", ">"], id="all-of-three-go-at-once"),
        pytest.param(["abcdef>abcdef", "abc>abc"], id="half-of-six-goes-at-once"),
        pytest.param(["abcde>abcde", "ab>abcde", "ab>ab"], id="three-of-five-wait"),
        pytest.param(
            ["abcd>abcd", "d>abcd", "a>abcd", "a>a"], id="another-removal-is-no-agreement"
        ),
        pytest.param(
            ["abcd>abcd", "d>abcd", "abcd>abcd", "d>abcd", "d>d"],
            id="doubt-is-forgotten-when-the-routes-come-back",
        ),
        pytest.param(
            ["abcd>abcd", "d>abcd", "abd>abd", "d>d"], id="a-small-removal-instead-goes-at-once"
        ),
        pytest.param(["abcd>abcd", "wxyz>abcd", "wxyz>wxyz"], id="additions-do-not-make-up-for-it"),
        pytest.param(["abcd>abcd", "d>abcd", "dx>dx"], id="agreement-is-about-the-removal"),
        pytest.param(["abcd>abcd", ">abcd", ">", "abcd>abcd", ">abcd", ">"], id="each-time-anew"),
    ],
)


@STEPS
@pytest.mark.parametrize("access", [None, Access()], ids=["open", "access"])
def test_snapshots_in_a_row(path: Path, steps: list[str], access: Access | None) -> None:
    """After each snapshot the file holds what it should: "snapshot>file", a letter a route."""
    reconciler = started(path, access=access)
    seen = []
    for step in steps:
        snapshot, _, _ = step.partition(">")
        reconciler.reconcile(hosts(snapshot))
        seen.append(f"{snapshot}>{names_in(path)}")
    assert seen == steps


@needs_redis
@STEPS
@pytest.mark.parametrize("damaged", [False, True], ids=["policy", "worker"])
def test_snapshots_in_a_row_to_a_store(server: Server, steps: list[str], damaged: bool) -> None:
    """Likewise for a store, and for snapshots of the worker, which change no route that stays."""
    server.run("FLUSHALL")
    reconciler = Reconciler(RedisOutput(address_from(server.url)), damaged=damaged)
    reconciler.prepare()
    seen = []
    for step in steps:
        snapshot, _, _ = step.partition(">")
        reconciler.reconcile(hosts(snapshot))
        names = "".join(sorted(each.split("-")[1] for each in server.routes()))
        seen.append(f"{snapshot}>{names}")
    assert seen == steps


def test_without_the_guard_nothing_waits(path: Path) -> None:
    """A reconciler without the guard applies any removal at once."""
    reconciler = started(path, guard=False)
    reconciler.reconcile(hosts("abcdef"))
    reconciler.reconcile({})
    assert path.read_text() == "{}\n"


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_guard_survives_a_restart(path: Path, form: Format) -> None:
    """A new process knows from the file on disk what there is to lose."""
    path.write_text(render(hosts("abcd"), form).text)
    before = path.read_bytes()
    reconciler = started(path)
    reconciler.reconcile(hosts("d"))
    assert path.read_bytes() == before
    reconciler.reconcile(hosts("d"))
    assert names_in(path) == "d"


def test_tcp_routes_count_as_much_as_http_routes(path: Path) -> None:
    """Routes of both kinds together are what more than half of is too much."""
    tcp = {f"_tcp_ssh_22._tcp.{name}.example.com": "100.64.0.1" for name in "xy"}
    reconciler = started(path)
    reconciler.reconcile(hosts("ab") | tcp)
    before = path.read_bytes()
    reconciler.reconcile(hosts("a"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("edit", ["", "{}\n", "nonsense: ["])
def test_edited_file_is_put_right_while_a_removal_waits(path: Path, edit: str) -> None:
    """A held removal is no reason to leave the file at what somebody else made of it."""
    reconciler = started(path)
    reconciler.reconcile(hosts("abcd"))
    before = path.read_bytes()
    path.write_text(edit)
    reconciler.reconcile(hosts("d"))
    assert path.read_bytes() == before


def test_refused_entries_are_no_routes(path: Path) -> None:
    """Entries that were never served do not count among what a snapshot removes."""
    bad = {f"_web_http_0._tcp.{name}.example.com": "100.64.0.1" for name in "wxyz"}
    reconciler = started(path)
    reconciler.reconcile(hosts("ab") | bad)
    reconciler.reconcile({})
    assert path.read_text() == "{}\n"


def test_confirmed_removal_that_cannot_be_written_is_not_held_again(path: Path) -> None:
    """Once two snapshots agree, a failed write does not start the waiting over."""
    reconciler = started(path)
    reconciler.reconcile(hosts("abcd"))
    reconciler.reconcile(hosts("d"))
    path.rename(path.with_name("kept"))
    path.mkdir()
    with pytest.raises(OutputError):
        reconciler.reconcile(hosts("d"))
    path.rmdir()
    path.with_name("kept").rename(path)
    reconciler.reconcile(hosts("d"))
    assert names_in(path) == "d"


def test_removal_with_a_change_of_a_worker_waits(path: Path) -> None:
    """What survives of a damaged policy may lead to another machine: the next one has to agree."""
    before = hosts("abc")
    damaged = dict.fromkeys(hosts("ab"), "100.64.0.7")
    reconciler = Reconciler(FileOutput(path), damaged=True)
    reconciler.prepare()
    reconciler.reconcile(before)
    reconciler.reconcile(damaged)
    reconciler.reconcile(dict.fromkeys(hosts("ab"), "100.64.0.77"))  # cut at another place
    assert names_in(path) == "abc"
    assert "100.64.0.7" not in path.read_text()
    reconciler.reconcile(before)
    reconciler.reconcile(damaged)
    reconciler.reconcile(damaged)
    assert names_in(path) == "ab"
    reconciler.reconcile(hosts("ab"))
    assert "100.64.0.7" not in path.read_text()
    reconciler.reconcile(hosts("a"))
    assert names_in(path) == "a"


def test_unlikely_policy_costs_no_route_at_once(path: Path) -> None:
    """An answer without any members has to come twice, however few routes there are."""
    reconciler = started(path)
    reconciler.reconcile(hosts("a"))
    reconciler.reconcile(UnlikelyHosts())
    assert names_in(path) == "a"
    reconciler.reconcile(hosts("a"))
    reconciler.reconcile(UnlikelyHosts())
    reconciler.reconcile(UnlikelyHosts())
    assert names_in(path) == ""
