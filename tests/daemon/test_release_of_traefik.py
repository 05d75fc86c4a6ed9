"""Options of the access file that only some releases of Traefik know, in watch and render-once."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.commands import Watch, run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts
from support.statuses import until_status

ACCESS = """forwardAuth: {o: {address: 'http://a/', authSigninURL: 'http://b/'}}
default: public
routes: {a.example.com: {access: forward-auth, forwardAuth: o}}
"""
REFUSED = (
    "access.yml:1:41: forwardAuth.o.authSigninURL needs Traefik 3.7.0 or newer: 3.6.15 would refuse"
    " all routes for it"
)
IMPATIENT = """
import sys
from ctsdns_traefik.cli import main
from ctsdns_traefik.traefik import api
api.RELEASE_AGAIN = api.RELEASE_EVERY = 0.1
sys.exit(main(sys.argv[1:]))
"""
"""watch that asks ten times a second which release runs."""


class Versions:
    """An API that answers with the version that is set, and with 503 while there is none."""

    url = version = ""

    @contextmanager
    def served(self) -> Iterator[Versions]:
        """Serve it."""
        versions = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"Version": versions.version}).encode()
                self.send_response(200 if versions.version else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            self.url = f"http://127.0.0.1:{server.server_port}"
            yield self
            server.shutdown()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return an access file with such an option, and a policy."""
    access, policy = tmp_path / "access.yml", tmp_path / "policy.json"
    access.write_text(ACCESS)
    policy.write_text(json.dumps({"hosts": hosts("ab")}))
    return access, policy


def test_known_release_refuses_the_file(files: tuple[Path, Path]) -> None:
    """With the release by option, variable or API, one line refuses the option, at its place."""
    access, policy = files
    output = access.with_name("dynamic.yml")
    versions = Versions()
    versions.version = "3.6.15"
    with versions.served():
        for options in (
            ("render-once", policy, "--traefik-version", "3.6.15"),
            ("watch", policy, "-o", output, "--traefik-version", "3.6.15"),
            ("watch", policy, "-o", output, "--traefik-api", versions.url),
        ):
            done = run(*options, "--access-file", access)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.rstrip().endswith(REFUSED)
            assert done.stderr.count("\n") == 1
    variable = {"TRAEFIK_CONFIG_TRAEFIK_VERSION": "3.6.15"}
    assert run("render-once", policy, "--access-file", access, environment=variable).returncode == 2
    done = run("render-once", policy, "--access-file", access, "--traefik-version", "3.7")
    assert (done.returncode, "authSigninURL" in done.stdout) == (0, True)
    assert run("render-once", policy, "--access-file", access).stdout == done.stdout
    options = ("--access-file", access, "--traefik-version", "3.6.15")
    done = run("watch", "--check", policy, "-o", output, *options)
    assert done.returncode == 2
    assert f"{REFUSED}\n" in done.stdout
    assert not output.exists()


def test_tcp_health_check(tmp_path: Path) -> None:
    """A TCP route whose health check would cost all routes is left out, and the others stay."""
    access, policy = tmp_path / "access.yml", tmp_path / "policy.json"
    access.write_text("routes: {a.example.com: {healthCheck: {interval: 10s}}}")
    tcp = {"_tcp_ssh_22._tcp.a.example.com": "100.64.0.1"}
    policy.write_text(json.dumps({"hosts": hosts("ab") | tcp}))
    command = ("render-once", policy, "--access-file", access, "--traefik-version")
    old, new = run(*command, "3.5.3"), run(*command, "3.6.0")
    assert old.returncode == new.returncode == 0
    assert set(json.loads(old.stdout)) == {"http"}
    assert old.stdout.count("healthCheck") == 1
    assert "health-check-unsupported: _tcp_ssh_22._tcp.a.example.com" in old.stderr
    assert "healthCheck" in json.dumps(json.loads(new.stdout)["tcp"])


def test_release_that_becomes_known(files: tuple[Path, Path]) -> None:
    """A route that a release cannot have goes while the others stay, and returns with a newer."""
    access, _ = files
    output, status = access.with_name("dynamic.yml"), access.with_name("status.json")
    program = (sys.executable, "-c", IMPATIENT)
    options = ("--access-file", str(access), "--status-file", str(status))
    with (
        Versions().served() as versions,
        Feed() as feed,
        ScriptedEndpoint(feed) as endpoint,
        Watch(
            endpoint.url, output, *options, "--traefik-api", versions.url, program=program
        ) as watch,
    ):
        feed.send(snapshot(hosts("ab")))
        watch.until_content("authSigninURL")
        versions.version = "3.6.15"
        watch.until(lambda: "router-a" not in watch.content, "the route stays")
        assert "router-b-example-com" in watch.content
        watch.until_logged("INFO Traefik is 3.6.15: what it does not know of the access file")
        watch.until_logged("option-unsupported: _web_http_80._tcp.a.example.com")
        access.write_text(ACCESS.replace("default: public", "default: tailscale-only"))
        watch.until_logged(f"{REFUSED}; the last usable content stays in force")
        assert "access-tailnet" not in watch.content
        versions.version = "3.7.0"
        watch.until_content("access-tailnet")
        assert "authSigninURL" in watch.content
        until_status(watch, status, state="connected")
