"""``ctsdns-traefik render-once`` at an endpoint: what it sends, and how it fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from local import free_ports
from stand_in_tailscale import CLIENT_ID, CLIENT_SECRET, StandInTailscale
from support.certificates import Authority
from support.commands import run
from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    Script,
    ScriptedEndpoint,
    answering,
    chunk,
    event,
    saying_nothing,
    sending,
    snapshot,
    trickling,
)
from support.paths import ROOT

HOSTS = {"_web_http_80._tcp.a.example.com": "100.64.0.1"}

PREFIX = "ctsdns-traefik: error: "


ACCESS = (
    pytest.param(
        ["--header", "X-Api-Key: s3cret", "--header", "X-Other:one: two"],
        {},
        [b"X-Api-Key: s3cret", b"X-Other: one: two"],
        id="headers",
    ),
    pytest.param(
        [],
        {"TRAEFIK_CONFIG_API_HEADERS": "X-Api-Key: s3cret\n\nX-Other: two\n"},
        [b"X-Api-Key: s3cret", b"X-Other: two"],
        id="headers-in-the-environment",
    ),
    pytest.param(
        [],
        {"TRAEFIK_CONFIG_API_TOKEN": " t0ken\n"},
        [b"Authorization: Bearer t0ken"],
        id="token-in-the-environment",
    ),
    pytest.param(
        ["--token-file", "token"],
        {"TRAEFIK_CONFIG_API_TOKEN": "other"},
        [b"Authorization: Bearer from-file"],
        id="token-file",
    ),
    pytest.param(
        [],
        {"TRAEFIK_CONFIG_API_TOKEN_FILE": "token"},
        [b"Authorization: Bearer from-file"],
        id="token-file-in-the-environment",
    ),
    pytest.param(
        ["--header", "authorization: Custom x"],
        {"TRAEFIK_CONFIG_API_TOKEN": "other"},
        [b"authorization: Custom x"],
        id="authorization-header-before-a-token",
    ),
)


@pytest.mark.parametrize(("arguments", "environment", "lines"), ACCESS)
def test_access_reaches_the_endpoint(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], lines: list[bytes]
) -> None:
    """Headers and tokens arrive as set, with one Authorization at most."""
    (tmp_path / "token").write_text("from-file\n")
    with ScriptedEndpoint(sending(STREAM, snapshot(HOSTS))) as endpoint:
        done = run("render-once", endpoint.url, *arguments, environment=environment, cwd=tmp_path)
        (head,) = endpoint.requests
    assert done.returncode == 0
    sent = head.split(b"\r\n")
    assert [line for line in lines if line not in sent] == []
    wanted = sum(line.lower().startswith(b"authorization:") for line in lines)
    assert sum(line.lower().startswith(b"authorization:") for line in sent) == wanted


def test_user_and_password_of_the_url_reach_the_endpoint() -> None:
    """Credentials in the URL become basic authorization, percent signs decoded."""
    with ScriptedEndpoint(sending(STREAM, snapshot(HOSTS))) as endpoint:
        done = run("render-once", f"http://me:p%40ss@127.0.0.1:{endpoint.port}/api/config?q=1")
        (head,) = endpoint.requests
    assert done.returncode == 0
    assert head.startswith(b"GET /api/config?q=1 HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Basic bWU6cEBzcw==\r\n" in head


PAGE = b"<!doctype html><title>Log in</title>"
WAY_OUT = "; newer workers have no /api/config, and tailscale: as the source needs none"
PAGE_INSTEAD = f"an HTML page: a login, or a page that shows a file, not its raw text{WAY_OUT}"
NO_POLICY = "it is neither a snapshot (with acl) nor a Tailscale policy (with hosts)"

FAULTS = (
    pytest.param(
        answering("404 Not Found", b"404 Not Found", Content_Type="text/plain;charset=UTF-8"),
        f"it answers 404: there is nothing at this path{WAY_OUT}",
        id="not-found",
    ),
    pytest.param(
        answering("200 OK", PAGE, Content_Type="text/html; charset=utf-8"),
        f"it answers with {PAGE_INSTEAD}",
        id="html-page",
    ),
    pytest.param(
        answering(
            "500 Internal Server Error",
            b'{"error": "Configuration error", "message": "no\\nkey"}',
            Content_Type="application/json",
        ),
        "it answers 500 (Configuration error: no\\nkey)",
        id="worker-without-its-configuration",
    ),
    pytest.param(
        answering("302 Found", Location="https://team.cloudflareaccess.com/login?secret=1"),
        "it answers 302, a redirect to the login of Cloudflare Access: set the headers"
        " CF-Access-Client-Id and CF-Access-Client-Secret of a service token",
        id="login-in-front",
    ),
    pytest.param(
        answering("200 OK", b"{}", Content_Type="application/json"),
        f"it answers with application/json, which is no usable policy: {NO_POLICY}",
        id="another-type",
    ),
    pytest.param(
        sending(), "it closed the connection without an answer", id="closed-without-an-answer"
    ),
    pytest.param(
        sending(b"SSH-2.0-OpenSSH_9.6\r\n"),
        "it does not speak HTTP",
        id="another-protocol",
    ),
    pytest.param(
        sending(STREAM, event("connected", {})),
        "the endpoint closed the stream",
        id="closed-before-a-snapshot",
    ),
    pytest.param(
        sending(STREAM, snapshot(HOSTS)[:-1]),
        "the endpoint closed the stream",
        id="closed-within-the-last-line-of-a-snapshot",
    ),
    pytest.param(
        sending(CHUNKED_STREAM, chunk(snapshot(HOSTS))[:-40]),
        "the connection broke off",
        id="closed-within-a-chunk",
    ),
)


@pytest.mark.parametrize(("script", "reason"), FAULTS)
def test_endpoint_without_a_snapshot_is_one_line(
    tmp_path: Path, script: Script, reason: str
) -> None:
    """It exits with 3, one line of reason and no data, and leaves the old file alone."""
    output = tmp_path / "dynamic.yml"
    output.write_text("old\n")
    before = output.stat()
    with ScriptedEndpoint(script) as endpoint:
        done = run("render-once", endpoint.url)
        to_file = run("render-once", endpoint.url, "-o", output)
    line = f"{PREFIX}{endpoint.url}: {reason}\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)
    assert (to_file.returncode, to_file.stdout, to_file.stderr) == (3, "", line)
    assert (output.read_text(), output.stat().st_ino) == ("old\n", before.st_ino)
    assert list(tmp_path.iterdir()) == [output]


def test_refused_connection_says_so_and_shows_no_secret() -> None:
    """Where nothing listens the reason is that, and the line leaves out password and query."""
    (port,) = free_ports(1)
    done = run("render-once", f"http://me:pass@127.0.0.1:{port}/api/config?key=secret#part")
    line = f"{PREFIX}http://127.0.0.1:{port}/api/config: connection refused\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


def test_name_that_does_not_resolve_says_so() -> None:
    """A name under .invalid, which never resolves, is named."""
    done = run("render-once", "http://worker.invalid/api/config")
    line = f"{PREFIX}http://worker.invalid/api/config: the name worker.invalid does not resolve\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


def test_certificate_of_an_unknown_authority_is_not_trusted(authority: Authority) -> None:
    """Without --ca-file the certificate of a private authority ends it."""
    with ScriptedEndpoint(tls=authority.server_context("127.0.0.1")) as endpoint:
        done = run("render-once", endpoint.url)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"{PREFIX}{endpoint.url}: its certificate cannot be trusted: ")
    assert done.stderr.count("\n") == 1


def test_authority_file_that_is_missing_is_named(tmp_path: Path, authority: Authority) -> None:
    """A --ca-file that is not there is named."""
    with ScriptedEndpoint(tls=authority.server_context("127.0.0.1")) as endpoint:
        done = run("render-once", endpoint.url, "--ca-file", tmp_path / "none.pem")
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert done.returncode in {2, 3}
    assert str(tmp_path / "none.pem") in done.stderr


def test_error_events_alone_are_reported_before_the_failure() -> None:
    """A stream of errors ends with each reported, then the one line why there is no document."""
    error = event("error", {"event": "machines-snapshot", "message": "Tailscale API error: 500"})
    with ScriptedEndpoint(sending(STREAM, error, error)) as endpoint:
        done = run("render-once", endpoint.url)
    reported = "WARNING: the worker reports an error: Tailscale API error: 500\n"
    failure = f"{PREFIX}{endpoint.url}: the endpoint closed the stream\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", 2 * reported + failure)


SLOW = (
    pytest.param(saying_nothing, id="no-answer"),
    pytest.param(trickling(b"HTTP/1.1 200 OK\r\n"), id="trickling-head"),
    pytest.param(sending(STREAM, then=saying_nothing), id="silent-stream"),
    pytest.param(trickling(STREAM), id="trickling-line"),
    pytest.param(
        sending(STREAM, snapshot(HOSTS)[:-1], then=saying_nothing),
        id="snapshot-without-its-last-byte",
    ),
)


@pytest.mark.parametrize("script", SLOW)
def test_timeout_bounds_the_wait(script: Script) -> None:
    """However an endpoint stalls, it ends with 3 and one line."""
    with ScriptedEndpoint(script) as endpoint:
        done = run("render-once", endpoint.url, "--timeout", "0.5")
    line = f"{PREFIX}{endpoint.url}: no policy came within 0.5 s\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


def test_timeout_bounds_events_that_are_no_snapshots() -> None:
    """Events without end do not put the timeout off, which the environment can set too."""
    script = trickling(STREAM, event("connected", {}))
    environment = {"TRAEFIK_CONFIG_SNAPSHOT_TIMEOUT_SECONDS": "0.5"}
    with ScriptedEndpoint(script) as endpoint:
        done = run("render-once", endpoint.url, environment=environment)
    line = f"{PREFIX}{endpoint.url}: no policy came within 0.5 s\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


def test_credentials_in_the_clear_are_warned_of() -> None:
    """Secrets for a host elsewhere over plain http get a warning, which does not repeat them."""
    done = run("render-once", "http://me:PASSWORD@worker.invalid/api/config?key=SECRET")
    assert (done.returncode, done.stdout) == (3, "")
    shown = "http://worker.invalid/api/config"
    assert done.stderr.splitlines() == [
        f"WARNING: credentials for {shown} go over the network unencrypted: use https",
        f"{PREFIX}{shown}: the name worker.invalid does not resolve",
    ]


@pytest.mark.parametrize("command", ["render-once", "validate"])
@pytest.mark.parametrize(
    "url", ["https:/me:PASSWORD@host/x?key=SECRET", "me:PASSWORD@host/api?key=SECRET"]
)
def test_variable_that_holds_no_url_is_not_repeated(command: str, url: str) -> None:
    """What the variable holds is never taken for a file, whose name would be shown."""
    done = run(command, environment={"TRAEFIK_CONFIG_API_ENDPOINT": url})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{PREFIX}the source is not a URL like https://git.example.com/policy.hujson,"
        " nor tailscale:, headscale+https://HOST or a file\n"
    )


CLI = ROOT / "docs" / "cli.md"
PLACEHOLDER = "k123456CNTRL"


def test_line_of_a_crontab(tmp_path: Path) -> None:
    """The documented line works with what cron gives a command, and prints nothing."""
    (line,) = re.findall(r"^    \*/5 \* \* \* \* (.*)$", CLI.read_text(), re.MULTILINE)
    script = Path(sys.executable).with_name("ctsdns-traefik")
    (tmp_path / ".local" / "bin").mkdir(parents=True)
    (tmp_path / ".local" / "bin" / "ctsdns-traefik").symlink_to(script)
    (tmp_path / ".ctsdns-secret").write_text(f"{CLIENT_SECRET}\n")
    (tmp_path / "policy").write_text('{"hosts": {"_web_http_80._tcp.a.de": "100.64.0.1"}}')
    output = tmp_path / "dynamic.yml"
    line = line.replace("/etc/traefik/dynamic.yml", str(output)).replace(PLACEHOLDER, CLIENT_ID)
    with StandInTailscale(tmp_path / "policy") as api:
        cron = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TAILSCALE_BASE_URL": api.url}
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=cron, capture_output=True, timeout=60, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert "router-a-de" in output.read_text()
