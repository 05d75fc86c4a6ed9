"""The server is closed by default: who may ask what, and what a request may be."""

from __future__ import annotations

import http.client
import resource
import socket
import ssl
import stat
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from local import PATIENCE, until
from support.certificates import Authority
from support.commands import run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts, names_in, streaming
from support.hubs import Hub, Listener

from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.server.address import listen_address_from, open_listener
from ctsdns_traefik.server.application import Application, Settings
from ctsdns_traefik.server.guard import SecretFile, is_allowed_host
from ctsdns_traefik.server.handover import Handover
from ctsdns_traefik.server.library import load_library
from ctsdns_traefik.server.server import MOST_CONNECTIONS, Server
from ctsdns_traefik.server.tls import Certificate

URL = "http://127.0.0.1:9/api/config"
PATHS = (
    "/",
    "/traefik.json",
    "/api/config",
    "/healthz",
    "/readyz",
    "/metrics",
    "/other",
    "/webhook",
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Run a hub with a token and one name, and one route."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "token").write_text("old-token\nnew-token\n")
    arguments = ("--listen-token-file", str(folder / "token"), "--listen-host", "hub.internal")
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Hub(server.url, folder / "dynamic.yml", *arguments) as hub,
    ):
        hub.until_logged("replaced")
        yield hub


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("9280", "127.0.0.1:9280", id="port"),
        pytest.param(":9280", "127.0.0.1:9280", id="colon-and-port"),
        pytest.param("localhost:9280", "127.0.0.1:9280", id="localhost"),
        pytest.param("0.0.0.0:80", "0.0.0.0:80", id="all"),
        pytest.param("[::1]:9280", "[::1]:9280", id="ipv6"),
        pytest.param("unix:/run/x.sock", "unix:/run/x.sock", id="unix"),
        pytest.param("/run/x.sock", "unix:/run/x.sock", id="path"),
    ],
)
def test_address_is_read(text: str, shown: str) -> None:
    """An address is a port, an address and a port, or a socket; loopback unless given."""
    assert str(listen_address_from(text)) == shown


@pytest.mark.parametrize(
    "text", ["", "hub:80", "1.2.3.4", "::1:80", "127.0.0.1:65536", "127.0.0.1:x", "unix:x.sock"]
)
def test_bad_address_is_bad_usage(text: str) -> None:
    """Anything else is refused, with the form."""
    with pytest.raises(SettingsError, match=r"is not (ADDRESS:PORT|unix:/)"):
        listen_address_from(text)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--listen", "0.0.0.0:0"], "name --listen-token-file", id="open-to-others"),
        pytest.param(["--listen", "[::]:0"], "name --listen-token-file", id="open-to-others-ipv6"),
        pytest.param(["--listen", "0", "--listen-cert", "x"], "belong together", id="no-key"),
        pytest.param(["--listen-token-file", "x"], "--listen-token-file needs", id="token-file"),
        pytest.param(["--listen-open"], "--listen-open needs --listen", id="open"),
        pytest.param(["--listen-host", "a"], "--listen-host needs --listen", id="host"),
        pytest.param(["--listen-cert", "x"], "--listen-cert needs --listen", id="certificate"),
        pytest.param(["--listen-key", "x"], "--listen-key needs --listen", id="key"),
        pytest.param(["--listen-interval", "5"], "--listen-interval needs", id="interval"),
        pytest.param(["--webhook-secret-file", "x"], "secret-file needs --listen", id="webhook"),
        pytest.param(["-o", "none"], "--output none needs --listen", id="nobody-reads"),
        pytest.param(
            ["--listen", "0", "--listen-host", "a:80"], "not the name of a host", id="bad-name"
        ),
        pytest.param(
            ["--listen", "0", "--listen-token-file", "/dev/null"],
            "not a regular file",
            id="no-token",
        ),
        pytest.param(
            ["--listen", "0", "--webhook-secret-file", "/missing"],
            "cannot read the webhook secret",
            id="no-secret",
        ),
        pytest.param(
            ["--listen", "0", "--listen-cert", "/dev/null", "--listen-key", "/dev/null"],
            "not a regular file",
            id="no-certificate",
        ),
    ],
)
def test_unusable_settings_end_it(path: Path, arguments: list[str], reason: str) -> None:
    """Settings that do not fit are bad usage, in one line, before anything is written."""
    done = run("watch", URL, "-o", path, *arguments)
    assert done.returncode == 2
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not path.exists()


def test_open_server_needs_no_token(path: Path) -> None:
    """``--listen-open`` serves everybody on an address of others, and is a choice."""
    with ScriptedEndpoint(streaming("a")) as server:
        hub = Hub(server.url, path, "--listen", "0.0.0.0:0", "--listen-open")
        with hub:
            hub.until_logged(r"listening on http://0\.0\.0\.0:\d+")
            hub.port = int(hub.log.partition("http://0.0.0.0:")[2].split()[0])
            hub.until_served("router-a-example-com")


@pytest.mark.parametrize("path_asked", PATHS)
def test_nothing_is_answered_without_the_token(hub: Hub, path_asked: str) -> None:
    """Every path, whether it exists or not, is 401 without a token and says nothing."""
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "new-token"},
        {"Authorization": "Basic bmV3LXRva2Vu"},
        {"Authorization": "Basic %%%"},
    ):
        reply = hub.get(path_asked, headers)
        assert (reply.status, reply.text) == (401, "a token is needed\n")
        assert reply.headers["www-authenticate"].startswith("Bearer")


def test_token_opens_it(hub: Hub) -> None:
    """Each token of the file does, as Bearer, or as the password of Basic for a browser."""
    basic = b64encode(b"anybody:new-token").decode()
    for value in ("Bearer new-token", "bearer old-token", f"Basic {basic}"):
        assert hub.get("/traefik.json", {"Authorization": value}).status == 200


def test_renewed_token_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token file that cannot be used keeps the old tokens; in a new one they end, streams too."""
    monkeypatch.setattr("ctsdns_traefik.server.server.RELOAD_INTERVAL", 0.05)
    monkeypatch.setattr("ctsdns_traefik.server.server.COMMENT_INTERVAL", 0.05)
    file = tmp_path / "token"
    file.write_text("one\n")
    tokens, reports = SecretFile(file, "token"), list[str]()
    with (
        serving(Settings(tokens), reloadable=(tokens,), report=reports.append) as port,
        Listener(port, token="one") as follower,
        Listener(port, token="one") as another,
    ):
        rewrite(file, "\n")
        until(lambda: reports, "not read again")
        assert reports[0].endswith(
            "it is empty; write one secret a line; the old content stays in use"
        )
        assert (status_for(port, "one"), status_for(port, "two")) == (200, 401)
        follower.read(b":\n\n")
        rewrite(file, "two\none\n")
        until(lambda: status_for(port, "two") == 200, "not read again")
        assert another.is_open()
        rewrite(file, "two\n")
        until(lambda: status_for(port, "one") == 401, "still the old one")
        until(lambda: not follower.is_open(), "the stream goes on")
    assert len(reports) == 1


def rewrite(file: Path, text: str) -> None:
    """Replace a file as a whole: it is read at any time."""
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


@contextmanager
def serving(settings: Settings, content: bytes = b"", **arguments: Any) -> Iterator[int]:
    """Serve a document in a thread of this process, and yield the port."""
    handover = Handover()
    handover.publish_document(content, {}, trusted=True)
    application = Application(handover, settings)
    listener = open_listener(listen_address_from("0"))
    port = listener.getsockname()[1]
    with Server(listener, application, handover, interval=3600, **arguments):
        yield port


def status_for(port: int, token: str) -> int:
    """Return the status of an answer for a token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        pytest.param("127.0.0.1:9280", True, id="address"),
        pytest.param("[::1]:9280", True, id="ipv6"),
        pytest.param("LOCALHOST", True, id="localhost"),
        pytest.param("localhost.", True, id="trailing-dot"),
        pytest.param("hub.internal:9280", True, id="name"),
        pytest.param("evil.example", False, id="other-name"),
        pytest.param("hub.internal.evil.example", False, id="longer-name"),
        pytest.param("127.0.0.1.evil.example", False, id="looks-like-an-address"),
        pytest.param("user@127.0.0.1", False, id="user"),
        pytest.param("127.0.0.1, evil.example", False, id="two"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="none"),
    ],
)
def test_host_is_checked(host: str | None, *, allowed: bool) -> None:
    """Only addresses, localhost and names that were given are hosts of this server."""
    assert is_allowed_host(host, {"hub.internal"}) is allowed


def test_rebound_name_is_refused(hub: Hub) -> None:
    """A page whose own name resolves to this machine gets nothing, with a token or without."""
    for headers in ({}, {"Authorization": "Bearer new-token"}):
        reply = hub.get("/traefik.json", {"Host": "evil.example", **headers})
        assert reply.status == 421
    named = {"Host": "hub.internal", "Authorization": "Bearer new-token"}
    assert hub.get("/traefik.json", named).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "X"])
def test_only_get_and_head(hub: Hub, method: str) -> None:
    """Nothing can be sent to it."""
    reply = hub.get("/traefik.json", {"Authorization": "Bearer new-token"}, method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
        return answer


HEAD = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer new-token\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n", b"", id="large-head"),
        pytest.param(HEAD + b"Content-Length: 5\r\n\r\nhello", b"HTTP/1.1 413", id="body"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 4", id="negative-length"),
        pytest.param(HEAD.replace(b"HTTP/1.1", b"HTTP/9") + b"\r\n", b"HTTP/1.1 400", id="version"),
        pytest.param(
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400", id="tls"
        ),
        pytest.param(
            HEAD.replace(b"localhost", b"\xff\xfe") + b"\r\n", b"HTTP/1.1 421", id="bytes"
        ),
    ],
)
def test_bad_requests_are_refused(hub: Hub, request_bytes: bytes, status: bytes) -> None:
    """Requests that are too large, or none, end their connection and nothing else."""
    answer = exchange(hub.port, request_bytes)
    assert answer.startswith(status)
    assert b"200 OK" not in answer
    assert hub.get("/traefik.json", {"Authorization": "Bearer new-token"}).status == 200
    assert "ERROR" not in hub.log


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        pytest.param(b"http://127.0.0.1:1/metrics", b"127.0.0.1:1", b"200", id="absolute"),
        pytest.param(b"HTTPS://hub.internal/metrics?x=/y", b"hub.internal", b"200", id="https"),
        pytest.param(b"http://localhost/metrics", b"evil.example", b"200", id="host-is-ignored"),
        pytest.param(b"http://evil.example/metrics", b"localhost", b"421", id="other-name"),
        pytest.param(b"http://localhost@evil.example/metrics", b"localhost", b"421", id="user"),
        pytest.param(b"http:///metrics", b"localhost", b"421", id="no-authority"),
        pytest.param(b"http://localhost", b"localhost", b"200", id="no-path"),
        pytest.param(b"http://localhost?x=http://y/", b"localhost", b"200", id="only-a-query"),
        pytest.param(b"//localhost/metrics", b"localhost", b"404", id="two-slashes"),
        pytest.param(b"ftp://localhost/metrics", b"localhost", b"404", id="other-scheme"),
    ],
)
def test_absolute_target(hub: Hub, target: bytes, host: bytes, status: bytes) -> None:
    """A target as a proxy gets it is the same path, and its host counts, not the header's."""
    head = HEAD.replace(b"/metrics", target).replace(b"Host: localhost", b"Host: " + host)
    answer = exchange(hub.port, head + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_pipelined_requests_are_answered_in_order(hub: Hub) -> None:
    """Several requests in one packet get as many answers."""
    head = HEAD + b"\r\n"
    last = head.replace(b"/metrics", b"/nothing").replace(
        b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"
    )
    answer = exchange(hub.port, head * 2 + last)
    assert [line[9:12] for line in answer.split(b"\n") if line.startswith(b"HTTP/1.1 ")] == [
        b"200",
        b"200",
        b"404",
    ]


def test_unix_socket(path: Path, tmp_path: Path) -> None:
    """A socket is for its owner and group, survives a kill, and is gone after a stop."""
    file = tmp_path / "hub.sock"

    class Connection(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(file))

    with ScriptedEndpoint(streaming("a")) as server:
        for end in ("kill", "stop"):
            with Hub(server.url, path, "--listen", f"unix:{file}") as hub:
                hub.until_logged("replaced|connected to")
                connection = Connection("whatever")
                connection.request("GET", "/metrics")
                assert connection.getresponse().status == 200
                connection.close()
                assert stat.S_IMODE(file.stat().st_mode) == 0o660
                taken = run("watch", server.url, "-o", "none", "--listen", f"unix:{file}")
                assert taken.returncode == 4
                assert "address already in use" in taken.stderr
                if end == "kill":
                    hub.process.kill()
                else:
                    assert hub.stop() == 0
    assert not file.exists()


def test_tls(path: Path, authority: Authority) -> None:
    """With a certificate it speaks TLS, and nothing else."""
    certificate, key = authority.issue("127.0.0.1")
    arguments = ("--listen-cert", str(certificate), "--listen-key", str(key))
    with (
        ScriptedEndpoint(streaming("a")) as server,
        Hub(server.url, path, *arguments, context=authority.client_context()) as hub,
    ):
        hub.until_logged("listening on https://127.0.0.1")
        hub.until_served("router-a-example-com")
        assert b"HTTP" not in exchange(hub.port, HEAD + b"\r\n")


def test_nothing_secret_is_logged_or_served(path: Path, tmp_path: Path) -> None:
    """Neither the source's credentials nor the server's own tokens are in any answer or line."""
    token = tmp_path / "token"
    token.write_text("s3cr3t-of-the-hub\n")
    with ScriptedEndpoint(streaming("a")) as server:
        url = server.url.replace("http://", "http://user:s3cr3t-user@") + "?key=s3cr3t-query"
        environment = {"TRAEFIK_CONFIG_API_HEADERS": "X-Key: s3cr3t-header"}
        arguments = ("--listen-token-file", str(token), "-v")
        with Hub(url, path, *arguments, environment=environment) as hub:
            headers = {"Authorization": "Bearer s3cr3t-of-the-hub"}
            hub.until(lambda: hub.get("/healthz", headers).status == 200, "not healthy")
            for each in ("/traefik.json", "/healthz", "/metrics", "/other"):
                assert "s3cr3t" not in hub.get(each, headers).text
            assert "s3cr3t" not in hub.log


def test_renewed_certificate(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """New connections get a renewed certificate; one that cannot be used changes nothing."""
    monkeypatch.setattr("ctsdns_traefik.server.server.RELOAD_INTERVAL", 0.05)
    files = authority.issue("127.0.0.1")
    certificate, reports = Certificate(*files), list[str]()
    with serving(
        Settings(),
        context=certificate.context,
        reloadable=(certificate,),
        report=reports.append,
    ) as port:

        def served() -> str:
            return ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE)

        first = files[0].read_text()
        assert served() == first
        files[0].write_text("nothing")
        until(lambda: reports, "not read again")
        assert "cannot use" in reports[0]
        assert served() == first
        authority.issue("127.0.0.1")
        until(lambda: served() == files[0].read_text() != first, "not renewed")


def test_idle_connections_give_way(path: Path) -> None:
    """However many connections stay idle, a new client is served, and followers stay."""
    number = MOST_CONNECTIONS + 50
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number + 200:
        pytest.skip("this user may not open so many files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 200), hard))
    with (
        ExitStack() as stack,
        ScriptedEndpoint(streaming("a")) as server,
        Hub(server.url, path) as hub,
        Listener(hub.port) as follower,
    ):
        hub.until_served("router-a-example-com")
        follower.read(b"machines-snapshot")
        address = ("127.0.0.1", hub.port)
        idle = [stack.enter_context(socket.create_connection(address)) for _ in range(number)]
        assert hub.get("/traefik.json").status == 200
        idle[0].settimeout(PATIENCE)
        assert idle[0].recv(1) == b""  # it has been idle longest
        assert follower.is_open()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_clients_that_stay_leave_room(path: Path) -> None:
    """With few files, neither followers nor clients that never read keep others, or watch, out."""
    launcher = ["sh", "-c", 'ulimit -n 100 && exec "$@"', "sh"]
    head = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        ExitStack() as stack,
        Feed() as feed,
        ScriptedEndpoint(feed) as server,
        Hub(server.url, path, launcher=launcher) as hub,
    ):
        feed.send(snapshot(hosts("a")))
        hub.until_served("router-a-example-com")
        listeners = [stack.enter_context(Listener(hub.port)) for _ in range(45)]
        followers = [each for each in listeners if each.read(b"\r\n")[9:12] == b"200"]
        assert len(followers) == 43  # of 50 connections; which ones is chance
        for _ in range(60):
            stuck = stack.enter_context(socket.socket())
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.settimeout(PATIENCE)
            stuck.connect(("127.0.0.1", hub.port))
            stuck.sendall(head.encode() * 1000)
            assert stuck.recv(1)
        assert hub.get("/healthz").status == 200
        feed.send(snapshot(hosts("ab")))
        hub.until_served("router-b-example-com")
        assert b"b.example.com" in followers[0].read(b"id: 2\n\n")
        assert names_in(path) == "ab"


def test_who_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that a client does not read in time ends the connection."""
    monkeypatch.setattr("ctsdns_traefik.server.server.SLOWEST_READER", 0.2)
    large = b"{" + b" " * 20_000_000 + b"}"
    with serving(Settings(), content=large) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /traefik.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionError):
            until(lambda: client.send(b"x") == 0, "not closed")


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra the error says which one to install."""
    monkeypatch.setitem(sys.modules, "tornado.tcpserver", None)
    with pytest.raises(SettingsError, match="install ctsdns-traefik with its extra 'serve'"):
        load_library()
