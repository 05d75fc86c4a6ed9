"""The quickstart: the whole chain on one machine, and nothing of it left behind."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from local import until
from support.paths import ROOT
from support.worker import StandInWorker

QUICKSTART = ROOT / "examples" / "quickstart" / "run.py"


@contextmanager
def quickstart(
    folder: Path, *arguments: str, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the quickstart with its temporary files in a folder; its output goes to ``reported``."""
    temporary = folder / "tmp"
    temporary.mkdir()
    with (folder / "printed").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(QUICKSTART), *arguments],
            env={**os.environ, "TMPDIR": str(temporary), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # a killed one would leave watch and Traefik behind
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def printed(folder: Path) -> str:
    """Return what the quickstart has reported so far."""
    return (folder / "printed").read_text()


def processes(folder: Path) -> list[str]:
    """Return the command lines of processes that work with the quickstart's temporary files."""
    command = ["ps", "-A", "-ww", "-o", "args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if f"{folder}/tmp/" in line]


def left_behind(folder: Path) -> list[str]:
    """Return what is left of a quickstart that has ended: files and processes."""
    return [*(path.name for path in (folder / "tmp").iterdir()), *processes(folder)]


def require_end(process: subprocess.Popen[bytes], folder: Path, signum: signal.Signals) -> None:
    """End a quickstart that stays by a signal, and require that it takes everything with it."""
    assert process.poll() is None
    assert len(processes(folder)) == 2  # watch and Traefik
    process.send_signal(signum)
    assert process.wait(timeout=20) == 0
    assert printed(folder).endswith("\nStopped cleanly; nothing is left behind.\n")
    assert left_behind(folder) == []


def test_quickstart_shows_two_live_routes(tmp_path: Path) -> None:
    """It shows an answer through the first route and one through a route added meanwhile."""
    with quickstart(tmp_path) as process:
        assert process.wait(timeout=60) == 0, printed(tmp_path)
    shown = printed(tmp_path)
    asked = re.findall(r"\$ curl -H 'Host: (\S+)' http://127\.0\.0\.1:\d+/\n +(.+)", shown)
    assert asked == [
        (name, f"Hello from the backend: you asked for {name}")
        for name in ("app.example.com", "new.example.com")
    ]
    assert re.search(r'"_web_http_\d+\._tcp\.app\.example\.com": "127\.0\.0\.1"', shown)
    assert re.search(r"\nLive after \d\.\d\d s \(the API is polled every 5 s\)\.\n", shown)
    assert shown.endswith("\nStopped cleanly; nothing is left behind.\n")
    assert left_behind(tmp_path) == []


def test_quickstart_follows_an_endpoint_that_is_set(tmp_path: Path) -> None:
    """With the endpoint set it lists that one's routes and what Traefik makes of each."""
    policy = tmp_path / "policy.hujson"
    policy.write_text("""{"hosts": {
        "_web_http_80._tcp.app.example.com": "127.0.0.1",
        "_tcp_ssh_22._tcp.nas.example.com": "127.0.0.1",
        "_nowhere_http_80._tcp.lost.example.com": "127.0.0.1", // no such entrypoint
    }}""")
    with (
        StandInWorker(policy, 0.2) as worker,
        quickstart(tmp_path, TRAEFIK_CONFIG_API_ENDPOINT=worker.endpoint) as process,
    ):
        assert process.wait(timeout=60) == 0, printed(tmp_path)
    listed = [line.strip() for line in printed(tmp_path).splitlines() if line.startswith("    ")]
    lost, *served = sorted(listed)
    assert re.fullmatch(r"nowhere: Host\(`lost\.example\.com`\): disabled; .*nowhere.*", lost)
    assert served == [
        "tcp: HostSNI(`nas.example.com`): enabled",
        "web: Host(`app.example.com`): enabled",
    ]
    assert left_behind(tmp_path) == []


def test_quickstart_follows_a_policy_of_ones_own(tmp_path: Path) -> None:
    """With --endpoint it lists a file's routes, and with --stay it shows what an edit changes."""
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"hosts": {"_web_http_80._tcp.app.example.com": "127.0.0.1",}}')
    with quickstart(tmp_path, "--stay", "--endpoint", str(policy)) as process:
        until(lambda: "Running until Ctrl-C." in printed(tmp_path), "it does not get that far", 60)
        assert "    web: Host(`app.example.com`): enabled\n" in printed(tmp_path)
        policy.write_text(policy.read_text().replace("app.example.com", "new.example.com"))
        until(lambda: "added router-new-example-com" in printed(tmp_path), "the edit is not shown")
        require_end(process, tmp_path, signal.SIGTERM)


def test_quickstart_shows_why_watch_has_ended(tmp_path: Path) -> None:
    """A source that cannot be one fails at once, with what watch has to say of it."""
    with quickstart(tmp_path, "--endpoint", "ftp://127.0.0.1/") as process:
        assert process.wait(timeout=30) == 1
    assert "the endpoint is not a URL like" in printed(tmp_path)
    assert left_behind(tmp_path) == []


def test_quickstart_opens_only_what_it_asks_for(tmp_path: Path) -> None:
    """A further entry is a route, and is refused: the access file does not name it."""
    with quickstart(tmp_path, "--stay") as process:
        until(lambda: "Running until Ctrl-C." in printed(tmp_path), "it does not get that far", 60)
        (policy,) = (tmp_path / "tmp").glob("*/policy.hujson")
        policy.write_text(policy.read_text().replace("new.example.com", "other.example.com"))
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\n", printed(tmp_path))
        assert found

        def status() -> int:
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=5)
            with closing(connection):
                connection.request("GET", "/", headers={"Host": "other.example.com"})
                return connection.getresponse().status

        until(lambda: status() == 403, "it is not refused", 15)
        require_end(process, tmp_path, signal.SIGINT)
