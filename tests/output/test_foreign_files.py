"""Files of others at the output's path: refused, adopted, or put right with a copy kept."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from output.test_lock import STRANGER, as_stranger, needs_root
from support.commands import COMMAND, Watch, bind_mounting, run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts, names_in, streaming

from ctsdns_traefik.core.dynamic.document import from_text
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.errors import OutputError
from ctsdns_traefik.output.base import Outcome
from ctsdns_traefik.output.file import FileOutput, keep_copy

BY_HAND = """\
http:
  routers:
    mine:
      rule: Host(`mine.example.com`)
      service: mine
  services:
    mine:
      loadBalancer: {servers: [{url: "http://127.0.0.1:1"}]}
"""
STATIC = "entryPoints: {web: {address: ':80'}}\nproviders: {file: {filename: d.yml}}\n"
POLICY = '// mine\n{"hosts": {"a": "100.64.0.1",}}\n'
FOREIGN = [
    pytest.param(BY_HAND, '"mine" in http.routers', id="dynamic-file-by-hand"),
    pytest.param(STATIC, 'the section "entryPoints"', id="static-configuration"),
    pytest.param(POLICY, "text that is neither JSON nor YAML", id="policy"),
]

SOURCE = json.dumps({"hosts": hosts("ab")}).encode()
VARIABLE = "TRAEFIK_CONFIG_ADOPT"


def refusal(path: Path, found: str) -> str:
    """Return the one line that a foreign file ends a command with."""
    return (
        f"{path} is not a file of ctsdns-traefik, it holds {found}: name another --output, or"
        f" add --adopt to replace it and keep a copy as {path.name}.bak beside it\n"
    )


@pytest.mark.parametrize(("text", "found"), FOREIGN)
def test_render_once_refuses(path: Path, text: str, found: str) -> None:
    """It ends with 4 and one line that names what is there and both ways on; nothing is touched."""
    path.write_text(text)
    before = path.stat()
    done = run("render-once", "-", "-o", path, stdin=SOURCE)
    after = path.stat()
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"ctsdns-traefik: error: {refusal(path, found)}"
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("text", "found"), FOREIGN)
def test_watch_refuses(path: Path, text: str, found: str) -> None:
    """It ends with 4 before it connects to anything, and leaves nothing beside the file."""
    path.write_text(text)
    done = run("watch", "--endpoint", "http://127.0.0.1:9/", "-o", path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.endswith(f"error: {refusal(path, found)}")
    assert "cannot connect" not in done.stderr
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("text", "found"), FOREIGN)
@pytest.mark.parametrize("option", [True, False], ids=["option", "variable"])
def test_render_once_adopts(path: Path, text: str, found: str, *, option: bool) -> None:
    """With --adopt the file is replaced, its old content beside it; then it is adopted for good."""
    path.write_text(text)
    path.chmod(0o600)
    more = ("--adopt",) if option else ()
    environment = {} if option else {VARIABLE: "true"}
    done = run("render-once", "-", "-o", path, *more, stdin=SOURCE, environment=environment)
    copy = path.with_name("dynamic.yml.bak")
    assert (done.returncode, names_in(path), copy.read_text()) == (0, "ab", text)
    assert (path.stat().st_mode & 0o777, copy.stat().st_mode & 0o777) == (0o600, 0o600)
    assert f"it held {found}; the old content is kept as {copy}" in done.stderr
    again = run("render-once", "-", "-o", path, stdin=json.dumps({"hosts": hosts("c")}).encode())
    assert (again.returncode, names_in(path), copy.read_text()) == (0, "c", text)
    assert sorted(path.parent.iterdir()) == [path, copy]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}\n",
        "# nothing yet\n",
        "http:\n",
        render(hosts("xyz")).text,
        render(hosts("x"), "yaml").text,
    ],
    ids=["empty", "no-routes", "comment", "empty-section", "json", "yaml"],
)
def test_own_files_need_no_adoption(path: Path, text: str) -> None:
    """What holds nothing, or names of this tool alone, is replaced without a copy."""
    path.write_text(text)
    done = run("render-once", "-", "-o", path, stdin=SOURCE)
    assert (done.returncode, names_in(path)) == (0, "ab")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_comparison_writes_nothing(path: Path, option: str) -> None:
    """--check and --diff compare with a foreign file as with any, and leave it alone."""
    path.write_text(BY_HAND)
    done = run("render-once", "-", "-o", path, option, "--adopt", stdin=SOURCE)
    assert (done.returncode, path.read_text()) == (1 if option == "--check" else 0, BY_HAND)
    assert list(path.parent.iterdir()) == [path]


def test_refusal_is_in_the_status_file(path: Path, tmp_path: Path) -> None:
    """A container's health check can read why watch has ended."""
    path.write_text(STATIC)
    status = tmp_path / "status.json"
    done = run("watch", "--endpoint", "http://127.0.0.1:9/", "-o", path, "--status-file", status)
    assert done.returncode == 4
    reported = json.loads(status.read_text())["last_error"]["message"]
    assert f"{reported}\n" == refusal(path, 'the section "entryPoints"')


def test_watch_adopts_at_its_first_write(path: Path) -> None:
    """What is adopted stays live until something takes its place, and then has a copy."""
    path.write_text(BY_HAND)
    copy = path.with_name("dynamic.yml.bak")
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Watch(server.url, path, "--adopt") as watch,
    ):
        watch.until_logged("connected to")
        assert (path.read_text(), copy.exists()) == (BY_HAND, False)
        feed.send(snapshot(hosts("ab")))
        watch.until_content("router-b-")
        assert copy.read_text() == BY_HAND
        assert watch.stop() == 0
    assert watch.log.count("was not written by ctsdns-traefik") == 1
    assert str(copy) in watch.log


def test_foreign_content_that_comes_later_is_put_right_with_a_copy(path: Path) -> None:
    """While watch runs it needs no adoption: each content is kept once, and reported once."""
    copies = [path.with_name(f"dynamic.yml.bak{end}") for end in ("", ".1")]
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("ab")))
        watch.until_content("router-b-")
        for times, text in enumerate((BY_HAND, STATIC, BY_HAND), start=1):
            path.write_text(text)
            feed.send(snapshot(hosts("ab")))
            watch.until_logged("the output held something else", times)
            assert names_in(path) == "ab"
        assert [copy.read_text() for copy in copies] == [BY_HAND, STATIC]
        assert watch.stop() == 0
    log = watch.log.splitlines()
    reported = [
        line for line in log if "was not written by ctsdns-traefik, and is replaced" in line
    ]
    assert ["WARNING" in line for line in reported] == [True, True]
    assert [line.rpartition(" is kept as ")[2] for line in reported] == [
        str(copy) for copy in copies
    ]
    there = {each for each in path.parent.iterdir() if not each.name.endswith("watch-log")}
    assert there == {path, *copies}


def test_own_content_of_others_is_put_right_without_a_copy(path: Path) -> None:
    """An edited backend in a file of this tool's names is put right as ever."""
    with Feed() as feed, ScriptedEndpoint(feed) as server, Watch(server.url, path) as watch:
        feed.send(snapshot(hosts("ab")))
        watch.until_content("router-b-")
        path.write_text(path.read_text().replace("100.64.0.1", "100.64.0.9"))
        feed.send(snapshot(hosts("ab")))
        watch.until_logged("the output held something else")
        assert "100.64.0.9" not in path.read_text()
    assert not list(path.parent.glob("*.bak*"))


def test_copy_overwrites_nothing(path: Path) -> None:
    """A copy takes the first name that is free; a link or folder of such a name is left alone."""
    path.write_text("now: {}")
    path.chmod(0o640)
    names = [path.with_name(f"dynamic.yml.bak{end}") for end in ("", ".1", ".2", ".3")]
    names[0].write_text("another's")
    names[1].symlink_to(path)
    names[2].mkdir()
    assert [keep_copy(path, b"now: {}") for _ in range(2)] == [names[3]] * 2
    assert (names[3].read_text(), names[3].stat().st_mode & 0o777) == ("now: {}", 0o640)
    assert (names[0].read_text(), names[1].is_symlink(), names[2].is_dir()) == (
        "another's",
        True,
        True,
    )


def test_what_cannot_be_kept_is_not_replaced(path: Path) -> None:
    """With no name left for a copy the foreign content stays, and the error says what to do."""
    path.write_text(BY_HAND)
    for number in range(100):
        end = f".{number}" if number else ""
        path.with_name(f"dynamic.yml.bak{end}").write_text(str(number))
    with pytest.raises(OutputError, match=r"cannot keep a copy of .*: 100 are there, remove some"):
        FileOutput(path, adopt=True).write(b"{}\n")
    assert path.read_text() == BY_HAND
    path.with_name("dynamic.yml.bak.7").unlink()
    assert FileOutput(path, adopt=True).write(b"{}\n").outcome is Outcome.REPLACED
    assert path.with_name("dynamic.yml.bak.7").read_text() == BY_HAND


def test_copy_is_on_disk_before_the_file_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure after the replacement finds the copy: it is flushed, and its folder is."""
    path.write_text(BY_HAND)
    copy = path.with_name("dynamic.yml.bak")
    flushed: list[tuple[bool, bool]] = []
    flush = os.fsync

    def look_and_flush(descriptor: int) -> None:
        flush(descriptor)
        is_copy = copy.exists() and os.path.samestat(os.fstat(descriptor), copy.stat())
        is_folder = os.path.samestat(os.fstat(descriptor), path.parent.stat())
        if path.read_text() == BY_HAND:
            flushed.append((is_copy, is_folder))

    monkeypatch.setattr(os, "fsync", look_and_flush)
    FileOutput(path, adopt=True).write(b"{}\n")
    assert flushed[-2:] == [(True, False), (False, True)]
    assert (path.read_bytes(), copy.read_text()) == (b"{}\n", BY_HAND)


def test_link_has_its_copy_beside_the_target(path: Path, tmp_path: Path) -> None:
    """What a symbolic link leads to is what is replaced, and kept beside."""
    target = tmp_path / "real.yml"
    target.write_text(BY_HAND)
    path.symlink_to(target)
    done = run("render-once", "-", "-o", path, "--adopt", stdin=SOURCE)
    assert (done.returncode, path.is_symlink(), names_in(path)) == (0, True, "ab")
    assert (tmp_path / "real.yml.bak").read_text() == BY_HAND
    assert list(path.parent.iterdir()) == [path]


def test_bind_mounted_file_is_adopted_in_place(path: Path, tmp_path: Path) -> None:
    """A file mounted on its own is written in place, after its content is kept beside it."""
    source = tmp_path / "source"
    source.write_text(BY_HAND)
    path.write_text("hidden")
    with (
        ScriptedEndpoint(streaming("ab")) as server,
        Watch(server.url, path, "--adopt", launcher=bind_mounting(source, path)) as watch,
    ):
        watch.until_logged("written in place .*: 2 routes")
        assert list(from_text(source.read_text())["http"]["routers"]) == [
            "router-a-example-com",
            "router-b-example-com",
        ]
        assert path.with_name("dynamic.yml.bak").read_text() == BY_HAND
        assert watch.stop() == 0
    assert path.read_text() == "hidden"


@needs_root
def test_closed_folder_has_no_copy_and_so_no_adoption(open_folder: Path) -> None:
    """A file that could be written in place stays foreign where no copy can stand beside it."""
    path = open_folder / "dynamic.yml"
    path.write_text('{"hosts": {}}')
    os.chown(path, STRANGER, STRANGER)
    open_folder.chmod(0o755)
    script = """
try:
    FileOutput(path, adopt=True).write(b"{}")
except Exception as why:
    print(why)
"""
    reason = f"cannot keep a copy of {path} as {path.name}.bak: permission denied; run as a user"
    assert as_stranger(path, script).startswith(reason)
    assert path.read_text() == '{"hosts": {}}'


def test_check_that_refuses_leaves_everything(path: Path) -> None:
    """What the check command refuses takes no file's place, so that no copy is made."""
    path.write_text(BY_HAND)
    done = run(
        *("render-once", "-", "-o", path, "--adopt", "--check-command", "false {path}"),
        stdin=SOURCE,
    )
    assert (done.returncode, path.read_text()) == (4, BY_HAND)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("how", ["same-path", "symbolic-link", "hard-link", "other-spelling"])
@pytest.mark.parametrize("more", [(), ("--adopt",), ("--check",)], ids=["", "adopt", "check"])
def test_source_that_is_the_output_is_bad_usage(
    path: Path, how: str, more: tuple[str, ...]
) -> None:
    """A policy is never replaced by its own routes, by whatever name the output is."""
    path.write_bytes(SOURCE)
    output = path.with_name("output.yml")
    if how == "symbolic-link":
        output.symlink_to(path)
    elif how == "hard-link":
        output.hardlink_to(path)
    else:
        output = path if how == "same-path" else path.parent / ".." / "traefik" / path.name
    done = run("render-once", path, "-o", output, *more)
    assert (done.returncode, done.stdout, path.read_bytes()) == (2, "", SOURCE)
    assert "error: SOURCE and --output name the same file; see" in done.stderr
    assert done.stderr.count("\n") == 1


def test_standard_input_from_the_output_is_bad_usage(path: Path) -> None:
    """A shell's ``< FILE`` names the source, too."""
    path.write_bytes(SOURCE)
    command = [*COMMAND, "render-once", "-", "-o", str(path), "--adopt"]
    with path.open("rb") as file:
        done = subprocess.run(
            command, stdin=file, capture_output=True, text=True, timeout=60, check=False
        )
    assert (done.returncode, path.read_bytes()) == (2, SOURCE)
    assert "name the same file" in done.stderr


@pytest.mark.parametrize("linked", [False, True], ids=["same-path", "hard-link"])
def test_watch_of_its_own_output_is_bad_usage(path: Path, *, linked: bool) -> None:
    """So it is for watch, whatever it makes of a file as its source."""
    path.write_bytes(SOURCE)
    output = path.with_name("output.yml") if linked else path
    if linked:
        output.hardlink_to(path)
    done = run("watch", "--endpoint", path, "-o", output, "--adopt")
    assert (done.returncode, path.read_bytes()) == (2, SOURCE)
    assert "--endpoint and --output name the same file" in done.stderr


def test_access_file_that_is_the_output_is_bad_usage(path: Path) -> None:
    """No other file that a command reads is written by it either."""
    path.write_text("routes: {}\n")
    done = run("render-once", "-", "-o", path, "--access-file", path, "--adopt", stdin=SOURCE)
    assert (done.returncode, path.read_text()) == (2, "routes: {}\n")
