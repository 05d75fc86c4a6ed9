"""The transcripts of docs/serve.md are what a hub answers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.hubs import Hub, Listener
from support.paths import ROOT

DOCUMENT = ROOT / "docs" / "serve.md"
HOSTS = {"_websecure_http_3000._tcp.wiki.example.com": "100.64.0.1", "nas": "100.64.0.2"}

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="there is no curl or openssl"
)


def transcripts() -> Iterator[tuple[str, str]]:
    """Yield the commands of each transcript, and what they print; ``...`` stands for anything."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for block in re.findall(r"(?m)^(?: +\$ .*\n(?: +.*\n|\n(?= +[^ $]))*)", text):
        lines = textwrap.dedent(block).splitlines()
        commands = [line[2:] for line in lines if line.startswith("$ ")]
        printed = "\n".join(line for line in lines if not line.startswith("$ ")).strip("\n")
        yield "\n".join(commands), printed


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Run the hubs of the document: one with a policy, one without, one with a token."""
    folder = tmp_path_factory.mktemp("serve")
    (folder / "webhook").write_text("tskey-webhook-abc\n")
    (folder / "token").write_text("s3cret\n")
    nowhere = "http://127.0.0.1:9/api/config"
    webhook, token = str(folder / "webhook"), str(folder / "token")
    always = ("--webhook-secret-file", webhook, "--listen-interval", "3600")
    with (
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, folder / "a.yml", *always) as full,
        Hub(nowhere, folder / "b.yml") as empty,
        Hub(nowhere, folder / "c.yml", "--listen-token-file", token) as guarded,
    ):
        with Listener(full.port) as follower:
            follower.read(b"id: 1\n\n")
            feed.send(snapshot(HOSTS))
            follower.read(b"id: 3\n\n")  # a change is repeated once: no more events come by now
        full.until_healthy()
        yield {"9280": full.port, "9281": empty.port, "9282": guarded.port}


@pytest.mark.parametrize(
    ("commands", "printed"),
    [pytest.param(*each, id=each[0].splitlines()[-1]) for each in transcripts()],
)
def test_transcript(ports: dict[str, int], commands: str, printed: str, tmp_path: Path) -> None:
    """Each command prints what the document shows."""
    for shown, port in ports.items():
        commands = commands.replace(f"127.0.0.1:{shown}", f"127.0.0.1:{port}")
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        ["sh", "-c", commands],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    pattern = ".*".join(map(re.escape, printed.split("...")))
    assert re.fullmatch(pattern, done.stdout.strip("\n"), re.DOTALL), done.stdout + done.stderr


def test_every_path_has_a_transcript() -> None:
    """All paths of the table are asked for."""
    paths = re.findall(
        r"(?m)^\| `(?:POST )?(/[a-z./]*)`(?:, `(/[a-z]+)`)?", DOCUMENT.read_text("utf-8")
    )
    asked = "\n".join(commands for commands, _ in transcripts())
    assert len(paths) == 6
    for path in filter(None, (each for pair in paths for each in pair)):
        assert re.search(rf":92\d\d{re.escape(path)}(?=[ \n|]|$)", asked), path
