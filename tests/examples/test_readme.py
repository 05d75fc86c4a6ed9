"""README's commands, run as they stand, and its sessions, against what the programs print."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from local import free_ports, until
from stand_in_tailscale import StandInTailscale, error
from support.backends import http_backend
from support.commands import Watch, run
from support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
APP, NAS = "_websecure_http_3000._tcp.app.example.com", "_tcp_ssh_22._tcp.nas.example.com"
NEW = "_websecure_http_3000._tcp.new.example.com"


def session_of(command: str) -> list[str]:
    """Return the lines that README shows after a command."""
    (found,) = re.findall(
        rf"^```\n\$ {re.escape(command)}\n(.+?)^```", README, re.MULTILINE | re.DOTALL
    )
    return str(found).splitlines()


def normal(line: str, output: Path) -> str:
    """Return a line of the log without what differs each time."""
    line = re.sub(r"^\S+ |REQ-\d+", "", line.replace(str(output), "/etc/traefik/dynamic.yml"))
    return re.sub(r"[\d.]+ s$", "N s", line)


def test_session_of_watch(tmp_path: Path) -> None:
    """Watch logs what README shows, polls by SIGHUP in place of half a minute."""
    policy, output = tmp_path / "policy.hujson", tmp_path / "dynamic.yml"

    def save(**hosts: str) -> None:
        policy.write_text(json.dumps({"hosts": hosts}))

    save(**{APP: "100.64.0.1", NAS: "100.64.0.2"})
    with StandInTailscale(policy) as api, ExitStack() as stack:
        watch = stack.enter_context(Watch("tailscale:", output, environment=api.environment))
        watch.until_logged("2 routes")
        save(**{APP: "100.64.0.1", NAS: "100.64.0.0/24"})
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("1 route;")
        message = "request took too long to process, please try again later"
        api.answer_next(error(504, message), part="acl")
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("retrying in")
        save(**{APP: "100.64.0.1", NAS: "100.64.0.2", NEW: "100.64.0.3"})
        watch.process.send_signal(signal.SIGHUP)
        watch.until_logged("3 routes")
        logged = [normal(line, output) for line in watch.log.splitlines()]
    shown = [
        normal(line, output) for line in session_of("ctsdns-traefik watch --endpoint tailscale:")
    ]
    begun = "INFO reading the policy from tailscale://-"  # after each SIGHUP, too
    assert {begun} < set(logged)
    expected = [line for line in shown if line != begun]
    assert [line for line in logged if line != begun and "SIGHUP" not in line] == expected


def test_session_of_validate(tmp_path: Path) -> None:
    """Validate prints what README shows."""
    shown = session_of("ctsdns-traefik validate --static-config traefik.yml policy.hujson")
    shutil.copy(ROOT / "examples" / "traefik" / "traefik.yml", tmp_path)
    lines = [
        *("{", '  "hosts": {', f'    "{APP}": "100.64.0.1",'),
        *('    "_websecur_http_3000._tcp.new.example.com": "100.64.0.2",', "  },", "}", ""),
    ]
    (tmp_path / "policy.hujson").write_text("\n".join(lines))
    arguments = ("--static-config", "traefik.yml", "policy.hujson")
    done = run("validate", *arguments, cwd=tmp_path)
    assert done.stdout.splitlines() == shown


def commands_of(title: str) -> list[str]:
    """Return the indented lines of a section of README."""
    _, heading, rest = README.partition(f"\n## {title}\n")
    assert heading
    return re.findall(r"^    (.+)$", rest.partition("\n## ")[0], re.MULTILINE)


@contextmanager
def terminal(command: str, folder: Path) -> Iterator[None]:
    """Run a command in a folder until the context ends."""
    with (folder / f"{shlex.split(command)[0].replace('/', '_')}.log").open("wb") as log:
        process = subprocess.Popen(shlex.split(command), cwd=folder, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_own_policy(tmp_path: Path) -> None:
    """With the commands a route is live, and follows an edit; a policy of one's own stays."""
    commands = commands_of("Try it on your own policy")
    assert len(commands) == 5
    copy, make, watch, traefik, request = commands
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("ctsdns-traefik", "traefik"):
        (tmp_path / ".venv" / "bin" / name).symlink_to(Path(sys.executable).with_name(name))
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (port,) = free_ports(1)
    policy, routes = tmp_path / "policy.hujson", tmp_path / "routes" / "dynamic.yml"

    def answer() -> str:
        asked = request.replace("8000", str(port))
        done = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, check=False)
        return done.stdout

    with ExitStack() as stack:
        policy.write_text("mine")
        subprocess.run(["sh", "-c", copy], cwd=tmp_path, check=True)
        assert policy.read_text() == "mine"
        policy.unlink()
        for command in (copy, make):
            subprocess.run(["sh", "-c", command], cwd=tmp_path, env=os.environ, check=True)
        stack.enter_context(terminal(watch, tmp_path))
        until(routes.exists, "no file")
        stack.enter_context(terminal(traefik.replace("8000", str(port)), tmp_path))
        until(lambda: answer() == "Bad Gateway", "no route")
        backend = stack.enter_context(http_backend("my service"))
        policy.write_text(policy.read_text().replace("_http_3000.", f"_http_{backend}."))
        until(lambda: answer() == "my service", "no change")
