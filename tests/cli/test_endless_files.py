"""Files that never end, or that nothing writes: each option that reads one refuses it in a line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.certificates import Authority
from support.commands import COMMAND

from ctsdns_traefik.access_service.main import access
from ctsdns_traefik.cli.parameter_types import FILE
from ctsdns_traefik.cli.program import COMMANDS, cli

URL = "https://127.0.0.1:1/"
ONCE = ["render-once", "policy.json"]
SERVING = ["watch", "policy.json", "-o", "none", "--listen", "0"]

CASES = {
    "--access-file": ONCE,
    "--ca-file": ["render-once", URL],
    "--client-cert": ["render-once", URL],
    "--client-key": ["render-once", URL, "--client-cert", "good.pem"],
    "--listen-cert": [*SERVING, "--listen-key", "good.pem"],
    "--listen-key": [*SERVING, "--listen-cert", "good.pem"],
    "--listen-token-file": SERVING,
    "--static-config": ["validate", "policy.json"],
    "--store-ca-file": [*ONCE, "-o", "rediss://127.0.0.1:1/0"],
    "--store-password-file": [*ONCE, "-o", "redis://127.0.0.1:1/0"],
    "--token-file": ["render-once", URL],
    "--webhook-secret-file": SERVING,
}
"""What a command needs beside each of these options to read its file."""


def file_options() -> Iterator[str]:
    """Yield the options of all programs that name a file to read."""
    commands = [cli.get_command(click.Context(cli), name) for name in COMMANDS]
    for command in [*commands, access]:
        for param in command.params if command else ():
            if param.type is FILE:
                yield param.opts[-1]


def test_every_option_is_here() -> None:
    """A new option that reads a file needs a case."""
    assert {*file_options()} == {*CASES}


@pytest.mark.parametrize("option", CASES)
def test_device_without_an_end(
    option: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused at once, with little memory, by one line that names it."""
    monkeypatch.chdir(tmp_path)
    Path("policy.json").write_text('{"hosts": {}}')
    Path("endless.yml").symlink_to("/dev/zero")
    certificate, key = authority.issue("127.0.0.1")
    Path("good.pem").write_bytes(Path(certificate).read_bytes() + Path(key).read_bytes())
    limited = ["sh", "-c", 'ulimit -v 2000000; exec "$@"', "sh", *COMMAND]
    command = [*limited, *CASES[option], option, "endless.yml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (2, 3, 4)
    assert done.stderr.endswith(" endless.yml: it is not a regular file\n")
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_policy_without_an_end(tmp_path: Path) -> None:
    """A device as the policy is refused at once, too."""
    endless = tmp_path / "policy.json"
    endless.symlink_to("/dev/zero")
    done = subprocess.run(
        [*COMMAND, "validate", str(endless)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaint = f"ctsdns-traefik: error: cannot read {endless}: it is not a regular file\n"
    assert (done.returncode, done.stderr) == (3, complaint)


def test_endless_standard_input() -> None:
    """More than fits into memory is refused, as a policy and as entries."""
    complaint = "ctsdns-traefik: error: cannot read standard input: it has more than 67108864 bytes"
    for arguments in (["render-once", "-"], ["parse-host", "-"]):
        source = ["sh", "-c", 'ulimit -v 2000000; yes \'{"a":\' | "$@"', "sh", *COMMAND]
        done = subprocess.run(
            [*source, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stderr.splitlines()[0], done.stdout) == (complaint, "")
        assert done.returncode == 3


def test_pipe_that_is_written_late(tmp_path: Path) -> None:
    """The access file may be what a command prints in time, since it is read once."""
    fifo, policy = tmp_path / "fifo", tmp_path / "policy.json"
    os.mkfifo(fifo)
    policy.write_text('{"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1"}}')
    script = '(sleep 0.3; echo "default: tailscale-only") > "$1" & shift; exec "$@"'
    command = ["sh", "-c", script, "sh", str(fifo), *COMMAND, "render-once", str(policy)]
    command += ["--access-file", str(fifo)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "access-tailnet" in done.stdout) == (0, True), done.stderr
