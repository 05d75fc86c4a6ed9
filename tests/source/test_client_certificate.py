"""Endpoints that demand a certificate of their clients, on real TLS servers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from stand_in_tailscale import API_KEY, ApiServer, StandInTailscale
from support.certificates import Authority
from support.commands import BareWatch, Watch, run
from support.endpoints import STREAM, ScriptedEndpoint, answering, sending, snapshot
from support.entries import hosts
from support.headscale import HEADSCALE_KEY, StandInHeadscale
from support.hubs import Hub
from support.nginx import Nginx, needs_nginx
from support.polls import failure_of, first_of, source_at
from support.statuses import until_status

from ctsdns_traefik.errors import Reason, SettingsError
from ctsdns_traefik.source.base import Policy, Source

HOSTS = hosts("a")
POLICY = json.dumps({"hosts": HOSTS})
DEMAND = "it demands a client certificate: set --client-cert"

Files = tuple[Path, Path]


@pytest.fixture
def client(authority: Authority, tmp_path: Path) -> Files:
    """Make a client's certificate, and return its file and its key's."""
    return authority.issue("client", folder=tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Files:
    """Make a client's certificate of another authority."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    return Authority(folder).issue("client")


def secured(server: ApiServer, context: ssl.SSLContext) -> str:
    """Have a stand-in speak TLS, and return its URL."""
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server.url.replace("http:", "https:")


Build = Callable[..., Source]


@pytest.fixture(params=["stream", "url", "headscale", "tailscale"])
def build(request: pytest.FixtureRequest, authority: Authority, stack: ExitStack) -> Build:
    """Run a source that demands certificates, and return what builds a client of it."""
    context = authority.demanding_context("127.0.0.1")
    environment, more = {}, {}
    if request.param == "headscale":
        url = secured(stack.enter_context(StandInHeadscale(POLICY)), context)
        address, more = f"headscale+{url}", {"token": HEADSCALE_KEY}
    elif request.param == "tailscale":
        url = secured(stack.enter_context(StandInTailscale(POLICY)), context)
        address = "tailscale:"
        environment = {"TAILSCALE_BASE_URL": url, "TAILSCALE_API_KEY": API_KEY}
    else:
        policy = answering("200 OK", POLICY.encode(), Content_Type="application/hujson")
        script = sending(STREAM, snapshot(HOSTS)) if request.param == "stream" else policy
        address = stack.enter_context(ScriptedEndpoint(script, tls=context)).url

    def source(**given: Any) -> Source:
        return source_at(address, environment, ca_file=authority.ca_file, **more, **given)

    return source


def test_every_source_shows_it(build: Build, client: Files, tmp_path: Path) -> None:
    """With the certificate the policy comes, its key in a file of its own or in the same."""
    certificate, key = client
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    for given in ({"client_cert": certificate, "client_key": key}, {"client_cert": both}):
        received = first_of(build(**given))
        assert isinstance(received, Policy)
        assert received.hosts == HOSTS


def test_every_source_reports_the_demand(build: Build, stranger: Files) -> None:
    """Without a certificate, and with a stranger's, one line says so; both are no outage."""
    failure = failure_of(build())
    assert (str(failure), failure.reason) == (DEMAND, Reason.UNAUTHORIZED)
    failure = failure_of(build(client_cert=stranger[0], client_key=stranger[1]))
    assert str(failure).startswith(f"it refuses the client certificate {stranger[0]} (")
    assert failure.reason is Reason.UNAUTHORIZED


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_refusals_in_either_version(
    authority: Authority, client: Files, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """An expired certificate is said as that; TLS 1.2 has no alert of its own for a missing one."""
    context = authority.demanding_context("127.0.0.1")
    context.maximum_version = version
    folder = tmp_path / "expired"
    folder.mkdir()
    expired, key = authority.issue("client", days=-0.5, folder=folder)
    with ScriptedEndpoint(answering("200 OK", POLICY.encode()), tls=context) as server:

        def source(**given: Any) -> Source:
            return source_at(server.url, ca_file=authority.ca_file, **given)

        assert isinstance(first_of(source(client_cert=client[0], client_key=client[1])), Policy)
        refused = str(failure_of(source(client_cert=expired, client_key=key)))
        assert refused == f"it refuses the client certificate {expired} (certificate expired)"
        missing = str(failure_of(source()))
    if version is ssl.TLSVersion.TLSv1_2:
        assert missing.startswith("TLS failed: ")
        assert missing.endswith("; perhaps it demands a client certificate (--client-cert)")
    else:
        assert missing == DEMAND


def write_encrypted(key: Path, file: Path) -> None:
    """Store a key with a password."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    password = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    file.write_bytes(loaded.private_bytes(serialization.Encoding.PEM, form, password))


def write_rsa(file: Path) -> None:
    """Store a key of another kind."""
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.PKCS8
    nothing = serialization.NoEncryption()
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, nothing))


@pytest.fixture
def unusable(authority: Authority, client: Files, tmp_path: Path) -> dict[str, Path]:
    """Make files that cannot be used, beside good ones."""
    names = "certificate key missing folder text binary other-key rsa encrypted damaged both fifo"
    files = {name: tmp_path / name for name in names.split()}
    shutil.copy(client[0], files["certificate"])
    shutil.copy(client[1], files["key"])
    files["folder"].mkdir()
    files["text"].write_text("nothing\n")
    files["binary"].write_bytes(b"\x30\x82\xff\x00")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(authority.issue("other", folder=other)[1], files["other-key"])
    write_rsa(files["rsa"])
    write_encrypted(files["key"], files["encrypted"])
    files["damaged"].write_text(files["key"].read_text().replace("\nM", "\n!"))
    files["both"].write_text(files["certificate"].read_text() + files["encrypted"].read_text())
    os.mkfifo(files["fifo"])
    return files


@pytest.mark.parametrize(
    ("certificate", "key", "complaint"),
    [
        ("missing", None, "cannot read the client certificate {missing}: no such file"),
        ("folder", "key", "cannot read the client certificate {folder}: is a directory"),
        ("fifo", "key", "cannot read the client certificate {fifo}: it is not a regular file"),
        ("text", "key", "cannot use the client certificate {text}: it has no certificate"),
        ("binary", "key", "cannot use the client certificate {binary}: it has no certifi"),
        (
            "certificate",
            None,
            "cannot use the client certificate {certificate}: it has no private key",
        ),
        ("certificate", "missing", "cannot read the key {missing}: no such file"),
        ("certificate", "text", "cannot use the key {text}: it has no private key in PEM"),
        ("certificate", "encrypted", "cannot use the key {encrypted}: it is encrypted"),
        ("both", None, "cannot use the client certificate {both}: it is encrypted"),
        ("certificate", "other-key", "the key {other-key} does not fit the client certificate "),
        ("certificate", "rsa", "the key {rsa} does not fit the client certificate {certificate}"),
        (
            "certificate",
            "damaged",
            "cannot use the client certificate {certificate} and its key: the PEM",
        ),
    ],
)
def test_unusable_files(
    unusable: dict[str, Path], certificate: str, key: str | None, complaint: str
) -> None:
    """The file at fault is named, nothing is sent, and no password is asked for."""
    source = source_at(
        "https://127.0.0.1:9/",
        client_cert=unusable[certificate],
        client_key=unusable.get(key or ""),
    )
    failure = failure_of(source)
    assert complaint.format(**unusable) in str(failure)
    assert failure.reason is Reason.BAD_CREDENTIALS


@pytest.mark.parametrize(
    ("address", "given", "complaint"),
    [
        ("http://127.0.0.1/", {"client_cert": Path("c")}, "--client-cert is for an https URL"),
        ("https://127.0.0.1/", {"client_key": Path("k")}, "--client-key needs --client-cert"),
        ("headscale+http://127.0.0.1", {"token": "x", "client_cert": Path("c")}, "is for an https"),
    ],
)
def test_usage(address: str, given: dict[str, Any], complaint: str) -> None:
    """A certificate that would not be shown, and a key alone, are bad usage."""
    with pytest.raises(SettingsError, match=complaint):
        source_at(address, **given)


def test_redirect_gets_no_certificate(authority: Authority, client: Files) -> None:
    """Where a redirect leads nothing is sent, and so no certificate is shown."""
    context = authority.demanding_context("localhost")
    with ScriptedEndpoint(answering("200 OK", POLICY.encode()), tls=context) as other:
        moved = answering("302 Found", Location=other.url.replace("127.0.0.1", "localhost"))
        with ScriptedEndpoint(moved, tls=authority.demanding_context("127.0.0.1")) as server:
            source = source_at(
                server.url,
                ca_file=authority.ca_file,
                client_cert=client[0],
                client_key=client[1],
            )
            assert "302, a redirect to localhost, which is not followed" in str(failure_of(source))
        assert other.requests == []


def test_proxy_gets_no_certificate(
    authority: Authority, client: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one shown to a proxy that speaks TLS and would take it."""
    shown = []

    def refuse(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        shown.append(connection.getpeercert(binary_form=True))
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    context = authority.demanding_context("127.0.0.1")
    context.verify_mode = ssl.CERT_OPTIONAL
    monkeypatch.delenv("https_proxy", raising=False)
    with ScriptedEndpoint(refuse, tls=context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/api/config"))
        monkeypatch.setenv("NO_PROXY", "")
        source = source_at(
            "https://policy.example.com/",
            ca_file=authority.ca_file,
            client_cert=client[0],
            client_key=client[1],
        )
        assert "does not allow this connection (403)" in str(failure_of(source))
    assert shown == [None]


@pytest.fixture
def demanding(authority: Authority) -> Iterator[ScriptedEndpoint]:
    """Run an endpoint that answers clients with a certificate."""
    context = authority.demanding_context("127.0.0.1")
    with ScriptedEndpoint(answering("200 OK", POLICY.encode()), tls=context) as server:
        yield server


def test_commands(
    demanding: ScriptedEndpoint, authority: Authority, client: Files, path: Path
) -> None:
    """The commands take options and variables alike; what is refused ends them with 3."""
    trust = {"TRAEFIK_CONFIG_API_CA_FILE": str(authority.ca_file)}
    options = ("--client-cert", client[0], "--client-key", client[1])
    done = run("render-once", demanding.url, *options, environment=trust)
    assert (done.returncode, "router-a-example-com" in done.stdout) == (0, True)
    variables = {
        "TRAEFIK_CONFIG_API_CLIENT_CERT": str(client[0]),
        "TRAEFIK_CONFIG_API_CLIENT_KEY": str(client[1]),
    }
    done = run("watch", "--check", demanding.url, "-o", path, environment={**trust, **variables})
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        f"ok source: {demanding.url} has a policy with 1 route",
    )
    done = run("watch", "--check", demanding.url, "-o", path, environment=trust)
    assert done.returncode == 3
    assert done.stdout.startswith(f"failed source: {demanding.url}: {DEMAND}\n")
    done = run("render-once", demanding.url, "--client-cert", "/nowhere.pem", environment=trust)
    unreadable = "cannot read the client certificate /nowhere.pem: no such file or directory"
    assert (done.returncode, done.stderr) == (
        3,
        f"ctsdns-traefik: error: {demanding.url}: {unreadable}\n",
    )
    done = run("render-once", demanding.url, "--client-key", client[1], environment=trust)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_renewed_certificate_is_used(
    demanding: ScriptedEndpoint,
    authority: Authority,
    client: Files,
    stranger: Files,
    path: Path,
) -> None:
    """A watch that was refused goes on with the files that replace the old ones."""
    status = path.with_name("status.json")
    environment = {
        "TRAEFIK_CONFIG_API_ENDPOINT": demanding.url,
        "TRAEFIK_CONFIG_API_CA_FILE": str(authority.ca_file),
        "TRAEFIK_CONFIG_API_CLIENT_CERT": str(stranger[0]),
        "TRAEFIK_CONFIG_API_CLIENT_KEY": str(stranger[1]),
        "TRAEFIK_DYNAMIC_CONFIG_FILE": str(path),
        "TRAEFIK_CONFIG_STATUS_FILE": str(status),
        "TRAEFIK_CONFIG_RETRY_DELAY_SECONDS": "0.1",
    }
    with BareWatch(path, environment) as watch:
        watch.until_logged("it refuses the client certificate")
        error = until_status(watch, status, state="waiting")["last_error"]
        assert error["reason"] == "unauthorized"
        client[0].replace(stranger[0])
        watch.until_logged("does not fit")
        client[1].replace(stranger[1])
        watch.until_content("router-a-example-com")


@needs_nginx
def test_hub_behind_nginx(
    authority: Authority, client: Files, stranger: Files, tmp_path: Path
) -> None:
    """A follower gets to a hub behind nginx with its certificate, and learns what nginx refuses."""
    certificate, key = authority.issue("127.0.0.1", folder=tmp_path)
    hub_output, output = tmp_path / "hub.yml", tmp_path / "follower.yml"
    (tmp_path / "policy.json").write_text(POLICY)
    with Hub(str(tmp_path / "policy.json"), hub_output) as hub:
        hub.until_served("router-a-example-com")
        server = f"""
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_client_certificate {authority.ca_file};
        ssl_verify_client on;
        location / {{ proxy_pass {hub.url("")}; proxy_buffering off; }}
        """
        with Nginx(tmp_path, server, listen=" ssl") as nginx:
            url = f"{nginx.url}/api/config"
            trust = ("--ca-file", str(authority.ca_file))
            options = ("--client-cert", str(client[0]), "--client-key", str(client[1]))
            with Watch(url, output, *trust, *options) as follower:
                follower.until_content("router-a-example-com")
                (tmp_path / "policy.json").write_text(json.dumps({"hosts": hosts("ab")}))
                follower.until_content("router-b-example-com")
            refused = run("render-once", url, *trust)
            assert (refused.returncode, refused.stderr) == (
                3,
                f"ctsdns-traefik: error: {url}: {DEMAND}\n",
            )
            options = ("--client-cert", str(stranger[0]), "--client-key", str(stranger[1]))
            refused = run("render-once", url, *trust, *options)
            assert "it refuses the client certificate" in refused.stderr
