"""``watch --check``: what it finds in sources, outputs and a Traefik, with nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from stand_in_tailscale import CLIENT_ID, CLIENT_SECRET, StandInTailscale
from support.certificates import Authority
from support.commands import COMMAND, LINELESS, Watch, run, tried
from support.endpoints import (
    STREAM,
    ScriptedEndpoint,
    answering,
    saying_nothing,
    sending,
    snapshot,
    trickling,
)
from support.entries import hosts
from support.stores import Server
from support.terminals import on_terminal
from support.traefik import Traefik

POLICY = json.dumps({"hosts": hosts("ab")})
RIGHTS = (
    "the credential has the scopes devices:core:read devices:posture_attributes:read"
    " policy_file:read"
)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Write a policy with two entries."""
    file = tmp_path / "policy.json"
    file.write_text(POLICY)
    return file


@pytest.fixture
def tailscale() -> Iterator[StandInTailscale]:
    """Run a stand-in for Tailscale's API."""
    with StandInTailscale(POLICY) as server:
        yield server


def check(*arguments: str | Path, **environment: str) -> tuple[int, list[str], str]:
    """Run the check; return its exit code, its lines, and what it logs."""
    done = run("watch", "--check", *arguments, environment=environment)
    return done.returncode, done.stdout.splitlines(), done.stderr


def state_of(folder: Path) -> list[tuple[str, int, int]]:
    """Return the names below a folder, each with inode and time of change."""
    there = sorted(folder.rglob("*"))
    return [(str(each), each.stat().st_ino, each.stat().st_ctime_ns) for each in there]


def test_everything_is_in_order(tailscale: StandInTailscale, path: Path, tmp_path: Path) -> None:
    """Each check has a line, also with a real Traefik; nothing is written, and no secret shown."""
    environment = {**tailscale.environment, "TRAEFIK_DYNAMIC_CONFIG_FILE": str(path)}
    access = tmp_path / "access.yml"
    access.write_text("default: tailscale-only\nroutes:\n  b.example.com: {access: public}\n")
    options: list[str | Path] = ["--access-file", access, "--check-machines"]
    assert run("render-once", "tailscale:", *options[:2], environment=environment).returncode == 0
    leftover = path.with_name(".dynamic.yml.abcdefgh.tmp")
    leftover.touch()
    with Traefik(tmp_path, path) as traefik:
        api = f"http://127.0.0.1:{traefik.ports['traefik']}"
        options += ["--traefik-api", api, "--static-config", tmp_path / "traefik.yml"]
        version = json.loads(traefik.get("traefik", "localhost", "/api/version").body)["Version"]
        before = state_of(path.parent)
        code, lines, logged = check("tailscale:", *options, **environment)
    assert (code, logged) == (0, "")
    assert lines == [
        f"ok access file: {access} can be used",
        f"ok source: tailscale://- has a policy with 2 routes; {RIGHTS}",
        "ok machines: 0 machines are listed",
        "ok clock: it agrees with that of the source",
        f"ok output: {path} can be written",
        f"ok static configuration: Traefik with {tmp_path}/traefik.yml reads {path}",
        f"ok traefik: Traefik {version} at {api} serves all 2 routers that the output has",
    ]
    assert state_of(path.parent) == before
    assert CLIENT_SECRET not in "".join(lines)


def test_output_that_traefik_does_not_read(policy: Path, path: Path, tmp_path: Path) -> None:
    """A real Traefik that watches another file is found out, by its API and its configuration."""
    assert run("render-once", policy, "-o", path).returncode == 0
    other = path.with_name("other.yml")
    other.write_text("{}")
    with Traefik(tmp_path, other) as traefik:
        api = f"http://127.0.0.1:{traefik.ports['traefik']}"
        static = tmp_path / "traefik.yml"
        options: list[str | Path] = ["-o", path, "--traefik-api", api, "--static-config", static]
        code, lines, _ = check(policy, *options)
        assert code == 1
        assert lines[:2] == [
            f"ok source: {policy} has a policy with 2 routes",
            f"ok output: {path} can be written",
        ]
        assert lines[2].startswith(
            f'failed static configuration: {static}: Traefik reads "{other}", not {path}; set'
        )
        assert "serves 0 of the 2 routers" in lines[3]
        code, lines, _ = check(policy, "-o", "none", "--listen", "1", "--traefik-api", api)
    assert code == 1
    assert "it has no http provider" in lines[-1]


def test_directory_that_traefik_does_not_load(policy: Path, path: Path, tmp_path: Path) -> None:
    """A link to nothing beside the output is a finding; beside a file read by name it is none."""
    static = tmp_path / "traefik.yml"
    (path.parent / "old.yml").symlink_to("/nowhere")
    for provider, code, state in (("directory", 1, "failed"), ("filename", 0, "")):
        value = path.parent if provider == "directory" else path
        static.write_text(f"providers: {{file: {{{provider}: {value}}}}}")
        done, lines, _ = check(policy, "-o", path, "--static-config", static)
        found = [line for line in lines if " directory: " in line]
        assert (done, [line.partition(" ")[0] for line in found]) == (code, [state] * bool(state))
        assert all("old.yml" in line and "it is a link to nothing" in line for line in found)


def test_traefik_that_is_away(policy: Path, path: Path) -> None:
    """An API without an answer keeps watch from nothing: it is a finding."""
    code, lines, _ = check(policy, "-o", path, "--traefik-api", "http://127.0.0.1:1")
    assert code == 1
    assert lines[-1] == (
        "failed traefik: Traefik's API at http://127.0.0.1:1: connection refused; correct"
        " --traefik-api"
    )


def test_credential_without_a_scope(tailscale: StandInTailscale, path: Path) -> None:
    """The answer names the scopes that are missing; the credential itself is not shown."""
    tailscale.clients[CLIENT_ID] = (CLIENT_SECRET, frozenset({"devices:core:read"}))
    code, lines, _ = check("tailscale:", "-o", path, **tailscale.environment)
    assert code == 3
    assert lines[0].startswith("failed source: tailscale://-: Tailscale answers 403")
    assert "needs the scopes policy_file:read" in lines[0]
    assert "has the scopes" not in lines[0]
    assert CLIENT_SECRET not in "".join(lines)


@pytest.mark.parametrize(
    ("minutes", "age", "code", "line"),
    [
        pytest.param(4, 0, 0, "ok clock: it agrees with that of the source", id="near"),
        pytest.param(-12, 0, 1, "failed clock: it is 12 minutes ahead of that", id="ahead"),
        pytest.param(12, 0, 1, "failed clock: it is 12 minutes behind that", id="behind"),
        pytest.param(-12, 720, 0, "ok clock: it agrees", id="cached-answer"),
        pytest.param(None, 0, 0, None, id="no-date"),
    ],
)
def test_clock_is_compared_with_the_source(
    path: Path, minutes: int | None, age: int, code: int, line: str | None
) -> None:
    """More than five minutes off is a finding; an answer without a Date is none."""
    headers = {"Age": str(age)}
    if minutes is not None:
        date = datetime.now(UTC) + timedelta(minutes=minutes)
        headers["Date"] = format_datetime(date, usegmt=True)
    with ScriptedEndpoint(answering("200 OK", POLICY.encode(), **headers)) as server:
        status, lines, _ = check(server.url, "-o", path)
    clock = [each for each in lines if " clock: " in each]
    assert status == code
    assert clock[0].startswith(line) if line else clock == [], lines


def test_file_that_holds_no_policy(path: Path, tmp_path: Path) -> None:
    """A file is named once in the error that it causes."""
    other = tmp_path / "config.yaml"
    other.write_text("server_url: http://127.0.0.1:8080\n")
    code, lines, _ = check(str(other), "-o", path)
    assert code == 3
    assert lines[0].startswith(f"failed source: {other}: it is YAML, such as")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        pytest.param(
            "127.0.0.1",
            "unable to get local issuer certificate; for an authority of your own set --ca-file",
            id="untrusted",
        ),
        pytest.param(
            "other.example.com",
            "IP address mismatch, certificate is not valid for '127.0.0.1'; write the URL with a"
            " name that the certificate has, or correct the certificate",
            id="wrong-name",
        ),
    ],
)
def test_fault_of_tls_has_one_fix(authority: Authority, path: Path, name: str, fault: str) -> None:
    """The check adds no advice of its own to a fault whose line ends with how to correct it."""
    trusted = ["--ca-file", str(authority.ca_file)] if name != "127.0.0.1" else []
    with ScriptedEndpoint(saying_nothing, tls=authority.server_context(name)) as server:
        code, lines, _ = check(server.url, "-o", path, *trusted)
        assert lines[0] == (
            f"failed source: {server.url}: its certificate cannot be trusted: {fault}"
        )
    assert code == 3


def test_stream_that_sends_no_policy(path: Path) -> None:
    """A stream is waited for no longer than its read timeout, though it is not silent."""
    with ScriptedEndpoint(trickling(STREAM, b": alive\n\n")) as server:
        code, lines, _ = check(server.url, "-o", path, "--read-timeout", "0.5")
    assert code == 3
    assert "0.5 s; check the address, and the firewalls on the way" in lines[0]
    assert "must not buffer an event stream" in lines[0]


def test_beside_a_running_watch(path: Path) -> None:
    """What a running watch holds is in order, and stays as it is; refused entries are counted."""
    entries = {**hosts("a"), "_web_http_99999._tcp.b.example.com": "100.64.0.1"}
    script = sending(STREAM, snapshot(entries), then=saying_nothing)
    with ScriptedEndpoint(script) as server, Watch(server.url, path) as watch:
        watch.until_content("router-a-example-com")
        before = state_of(path.parent)[:-1]  # the log grows
        code, lines, _ = check(server.url, "-o", path)
        assert state_of(path.parent)[:-1] == before
        assert watch.stop() == 0
    assert code == 0
    assert "1 route, 1 refused (see 'ctsdns-traefik validate')" in lines[0]
    assert f"ok output: {path} can be written; a watch keeps it now, process " in lines[-1]


def test_offline_asks_nobody(tailscale: StandInTailscale, path: Path, tmp_path: Path) -> None:
    """Offline this machine is checked, and neither the source, a store nor Traefik is asked."""
    static = tmp_path / "traefik.yml"
    static.write_text(f"providers: {{file: {{filename: {path}}}}}\n")
    options = ["--offline", "--check-machines", "--traefik-api", "http://127.0.0.1:1"]
    options += ["--static-config", str(static)]
    source = "ok source: tailscale://- was not asked (--offline)"
    assert check("tailscale:", "-o", path, *options, **tailscale.environment) == (
        0,
        [
            source,
            f"ok output: {path} does not exist yet, and can be created",
            f"ok static configuration: Traefik with {static} reads {path}",
        ],
        "",
    )
    store = "redis://127.0.0.1:1/0"
    assert check("tailscale:", "-o", store, "--offline", **tailscale.environment)[:2] == (
        0,
        [source],
    )
    assert tailscale.requests == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["tailscale:"], 2, id="no-credential"),
        pytest.param(["p.json", "-o", "away/dynamic.yml"], 4, id="no-folder"),
        pytest.param(["p.json", "--access-file", "none.yml"], 2, id="access-file"),
        pytest.param(["missing.json"], 0, id="source-is-not-read"),
    ],
)
def test_offline_finds_what_keeps_watch_from_starting(
    path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    """Offline settings and outputs fail with the code with which watch itself would end."""
    monkeypatch.chdir(path.parent)
    given = arguments if "-o" in arguments else [*arguments, "-o", "dynamic.yml"]
    assert check(*given, "--offline")[0] == code
    if code:
        assert run("watch", *given).returncode == code


def test_store_is_read(tmp_path: Path, policy: Path) -> None:
    """A store is asked, and not written."""
    with Server(tmp_path) as server:
        code, lines, _ = check(policy, "-o", server.url)
        assert server.keys("*") == {}
    assert code == 0
    assert lines[-1] == f"ok output: {server.shown} is still empty"


SMALL_DISK = 'mount -t tmpfs -o size=64k,mode=1777 x "$folder"; echo {} > "$folder/dynamic.yml"; '
FULL_DISK = f'{SMALL_DISK} head -c 1M /dev/zero > "$folder/ballast" 2> /dev/null || true'
READ_ONLY = 'mount -o remount,ro "$folder"'
MOUNTED_FILE = 'echo {} > "$folder/../other"; mount --bind "$folder/../other" "$folder/dynamic.yml"'
MOUNTED_READ_ONLY = f'{MOUNTED_FILE}; mount -o remount,bind,ro "$folder/dynamic.yml"'
MOUNTED_FROM_FULL_DISK = (
    f'outer=$folder folder=$folder/../small; mkdir "$folder"; {FULL_DISK}; folder=$outer;'
    ' cd "$folder"; touch dynamic.yml; mount --bind ../small/dynamic.yml dynamic.yml'
)
AS_STRANGER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]

FULL = "no space left on device; free space on its file system"
REFUSED = (
    "permission denied; run as a user that may replace files in {folder}, or give it to this user"
)
LOCKED = "read-only file system; mount its file system for writing, or name a path on another"


@pytest.mark.parametrize(
    ("setup", "entries", "user", "fault"),
    [
        pytest.param(FULL_DISK, "ab", [], FULL, id="disk-full"),
        pytest.param(SMALL_DISK, "ab", AS_STRANGER, REFUSED, id="sticky"),
        pytest.param(f"{SMALL_DISK} {READ_ONLY}", "ab", [], LOCKED, id="read-only"),
        pytest.param(f"{SMALL_DISK} {MOUNTED_FILE}", "ab", [], "", id="mounted-file"),
        pytest.param(f"{SMALL_DISK} {MOUNTED_READ_ONLY}", "ab", [], LOCKED, id="mounted-read-only"),
        pytest.param(
            MOUNTED_FROM_FULL_DISK, map(str, range(300)), [], FULL, id="mounted-from-full-disk"
        ),
    ],
)
def test_output_is_judged_as_a_write_judges_it(
    open_folder: Path, setup: str, entries: Iterable[str], user: list[str], fault: str
) -> None:
    """The check finds what the write after it finds, in its words, and leaves all as it was."""
    folder, policy = open_folder / "folder", open_folder / "policy.json"
    folder.mkdir()
    policy.write_text(json.dumps({"hosts": hosts(entries)}))
    output = folder / "dynamic.yml"
    script = f"""set -e; folder=$1; shift; {setup}
        state() {{ ls -Ali --time-style=full-iso "$folder"; }}
        before=$(state); "$@" watch --check {policy} -o {output} || true
        test "$before" = "$(state)" || echo "the check leaves traces: $(state)"
        exec "$@" render-once {policy} -o {output}"""
    launcher = [*tried(["unshare", "-m"]), "sh", "-c", script, "sh", str(folder)]
    command = [*launcher, *tried(user, ["true"]), *COMMAND]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    checked, written = f"ok output: {output} can be written", ""
    if fault:
        error = f"cannot write {output}: {fault.format(folder=folder)}"
        checked, written = f"failed output: {error}", f"ctsdns-traefik: error: {error}\n"
    assert done.stdout.splitlines()[1:] == [checked]
    assert done.returncode == (4 if fault else 0)
    assert done.stderr == written or not fault


@pytest.mark.parametrize(
    ("encoding", "marks"), [("utf-8", ("✓", "✗")), ("ascii", ("ok", "failed"))]
)
def test_marks_on_a_terminal(
    policy: Path, tmp_path: Path, encoding: str, marks: tuple[str, str]
) -> None:
    """A terminal shows a tick or a cross if it has UTF-8, words otherwise."""
    command = [sys.executable, "-c", LINELESS, "watch", "--check", str(policy)]
    command += ["-o", str(tmp_path / "away" / "d.yml")]
    code, shown = on_terminal(command, 80, PYTHONIOENCODING=encoding, NO_COLOR="1")
    assert code == 4
    assert [line.partition(" ")[0] for line in shown.splitlines()] == list(marks)
