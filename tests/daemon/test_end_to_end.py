"""An entry in the policy becomes a live route in a real Traefik."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from local import until
from support.backends import banner_backend, http_backend
from support.certificates import Authority
from support.commands import Watch
from support.traefik import Answer, Traefik, any_certificate, needs_wildcards
from support.worker import StandInWorker


class Stage:
    """A worker that serves a policy, watch, and Traefik behind it."""

    def __init__(self, folder: Path, stack: ExitStack, *options: str, chunked: bool = True) -> None:
        self._policy = folder / "policy.hujson"
        self.set_hosts({})
        dynamic = folder / "dynamic.yml"
        worker = stack.enter_context(StandInWorker(self._policy, 0.1, chunked=chunked))
        self.watch = stack.enter_context(Watch(worker.endpoint, dynamic, *options))
        until(dynamic.exists, "watch did not create the file")
        self.traefik = stack.enter_context(Traefik(folder, dynamic))

    def set_hosts(self, hosts: dict[str, str]) -> None:
        """Edit the policy, in one step as an editor does."""
        new = self._policy.with_suffix(".new")
        new.write_text(f"// edited\n{json.dumps({'hosts': hosts}, indent=2)}")
        new.replace(self._policy)

    def until_answer(
        self, expected: Answer, entrypoint: str, host: str, *, tls: bool = False
    ) -> None:
        """Wait until a request gets an answer."""
        context = any_certificate() if tls else None
        until(
            lambda: self.traefik.get(entrypoint, host, tls=context) == expected,
            f"{host} does not answer {expected}",
        )


@pytest.fixture
def stage(tmp_path: Path, stack: ExitStack) -> Iterator[Stage]:
    """Give a running stage, and see that Traefik had nothing to complain about at the end."""
    stage = Stage(tmp_path, stack)
    yield stage
    assert stage.traefik.errors == []


def test_http_entry_on_web_is_served_in_plain_http(stage: Stage, stack: ExitStack) -> None:
    """An entry on "web" answers plain HTTP, and whatever has no entry is sent on to HTTPS."""
    port = stack.enter_context(http_backend("app"))
    stage.set_hosts({f"_web_http_{port}._tcp.app.example.com": "127.0.0.1"})
    stage.until_answer(Answer(200, "app"), "web", "app.example.com")
    assert stage.traefik.get("web", "other.example.com").status == 301


def test_http_entry_on_websecure_is_served_over_tls(stage: Stage, stack: ExitStack) -> None:
    """An entry on "websecure" answers HTTPS with an HTTP backend behind it."""
    port = stack.enter_context(http_backend("app"))
    stage.set_hosts({f"_websecure_http_{port}._tcp.app.example.com": "127.0.0.1/32"})
    stage.until_answer(Answer(200, "app"), "websecure", "app.example.com", tls=True)


def test_https_entry_speaks_tls_to_its_backend(
    stage: Stage, stack: ExitStack, authority: Authority
) -> None:
    """An https backend is reached by its address, though its certificate names another."""
    tls = authority.server_context("inside.example.com")
    port = stack.enter_context(http_backend("secure app", tls=tls))
    stage.set_hosts({f"_websecure_https_{port}._tcp.app.example.com": "127.0.0.1"})
    stage.until_answer(Answer(200, "secure app"), "websecure", "app.example.com", tls=True)


def test_tls_entry_shows_the_client_the_certificate_of_the_backend(
    stage: Stage, stack: ExitStack, authority: Authority
) -> None:
    """With passthrough the client verifies the backend's own certificate, end to end."""
    tls = authority.server_context("vault.example.com")
    port = stack.enter_context(http_backend("vault", tls=tls))
    stage.set_hosts({f"_websecure_tls_{port}._tcp.vault.example.com": "127.0.0.1"})
    trust = authority.client_context()
    until(
        lambda: stage.traefik.get("websecure", "vault.example.com", tls=trust).status,
        "the backend's certificate was not seen",
    )
    assert stage.traefik.get("websecure", "vault.example.com", tls=trust) == Answer(200, "vault")


@pytest.mark.parametrize("scheme", ["ssh", "mysql", "redis+tcp.v2"])
def test_tcp_entry_reaches_a_backend_that_speaks_first(
    stage: Stage, stack: ExitStack, scheme: str
) -> None:
    """Traefik ends the client's TLS, and a plain-text server that speaks first is received."""
    port = stack.enter_context(banner_backend(b"SSH-2.0-test\r\n"))
    stage.set_hosts({f"_tcp_{scheme}_{port}._tcp.nas.example.com": "127.0.0.1"})
    received = until(lambda: heard(stage.traefik, "nas.example.com"), "no banner")
    assert received == b"SSH-2.0-test\r\nhello"


def test_ipv6_backends_are_reached(stage: Stage, stack: ExitStack) -> None:
    """IPv6 addresses lead to HTTP and to TCP backends."""
    web = stack.enter_context(http_backend("six", address="::1"))
    banner = stack.enter_context(banner_backend(b"six", address="::1"))
    stage.set_hosts(
        {
            f"_web_http_{web}._tcp.six.example.com": "::1",
            f"_tcp_ssh_{banner}._tcp.six.example.com": "::1/128",
        }
    )
    stage.until_answer(Answer(200, "six"), "web", "six.example.com")
    received = until(lambda: heard(stage.traefik, "six.example.com"), "no banner")
    assert received == b"sixhello"


@needs_wildcards
def test_wildcard_serves_names_that_have_no_entry_of_their_own(
    stage: Stage, stack: ExitStack
) -> None:
    """A wildcard takes any one label, and yields to an entry for the name, one letter too."""
    wild = stack.enter_context(http_backend("wildcard"))
    own = stack.enter_context(http_backend("own"))
    stage.set_hosts(
        {
            f"_web_http_{wild}._tcp.*.example.com": "127.0.0.1",
            f"_web_http_{own}._tcp.app.example.com": "127.0.0.1",
            f"_web_http_{own}._tcp.a.example.com": "127.0.0.1",
        }
    )
    stage.until_answer(Answer(200, "wildcard"), "web", "other.example.com")
    for name, body in (
        ("x.example.com", "wildcard"),
        ("app.example.com", "own"),
        ("a.example.com", "own"),
    ):
        assert stage.traefik.get("web", name) == Answer(200, body)
    assert stage.traefik.get("web", "two.labels.example.com").status == 301


@needs_wildcards
def test_wildcard_takes_tcp_connections_that_have_no_entry_of_their_own(
    stage: Stage, stack: ExitStack
) -> None:
    """A TCP wildcard takes any one label, and yields to an entry for a one-letter name."""
    wild = stack.enter_context(banner_backend(b"wildcard "))
    own = stack.enter_context(banner_backend(b"own "))
    stage.set_hosts(
        {
            f"_tcp_ssh_{wild}._tcp.*.example.com": "127.0.0.1",
            f"_tcp_ssh_{own}._tcp.a.example.com": "127.0.0.1",
        }
    )
    received = until(lambda: heard(stage.traefik, "other.example.com"), "no banner")
    assert received == b"wildcard hello"
    own_heard = until(lambda: heard(stage.traefik, "a.example.com"), "no banner of its own")
    assert own_heard == b"own hello"


def test_internationalised_name_is_served_as_its_a_label(stage: Stage, stack: ExitStack) -> None:
    """An entry in another script serves the name that browsers ask for."""
    port = stack.enter_context(http_backend("books"))
    stage.set_hosts({f"_web_http_{port}._tcp.bücher.example.com": "127.0.0.1"})
    stage.until_answer(Answer(200, "books"), "web", "xn--bcher-kva.example.com")


def test_edits_of_the_policy_become_routes(stage: Stage, stack: ExitStack) -> None:
    """Entries are added, changed and removed while Traefik runs, down to none and up again."""
    one = stack.enter_context(http_backend("one"))
    two = stack.enter_context(http_backend("two"))
    name = "app.example.com"
    stage.set_hosts({f"_web_http_{one}._tcp.{name}": "127.0.0.1"})
    stage.until_answer(Answer(200, "one"), "web", name)
    stage.set_hosts(
        {
            f"_web_http_{two}._tcp.{name}": "127.0.0.1",
            f"_web_http_{one}._tcp.more.example.com": "127.0.0.1",
        }
    )
    stage.until_answer(Answer(200, "two"), "web", name)
    stage.until_answer(Answer(200, "one"), "web", "more.example.com")
    stage.set_hosts({f"_web_http_{two}._tcp.{name}": "127.0.0.1"})
    until(lambda: stage.traefik.get("web", "more.example.com").status == 301, "not removed")
    assert stage.traefik.get("web", name) == Answer(200, "two")
    stage.set_hosts({})
    until(lambda: stage.traefik.get("web", name).status == 301, "the last one not removed")
    assert stage.watch.content == "{}\n"
    stage.set_hosts({f"_web_http_{one}._tcp.{name}": "127.0.0.1"})
    stage.until_answer(Answer(200, "one"), "web", name)


def test_a_refused_entry_costs_no_other(stage: Stage, stack: ExitStack) -> None:
    """Beside hostile, malformed and conflicting entries a good one is served as ever."""
    port = stack.enter_context(http_backend("good"))
    stage.set_hosts(
        {
            "laptop": "100.64.0.9",
            "_web_http_80._tcp.`) || Host(`evil.example.com": "127.0.0.1",
            '_web_http_80._tcp.{{env "PATH"}}.example.com': "127.0.0.1",
            "_web_http_80._tcp.broken.example.com": "not an address",
            "_web_http_80._tcp.*": "127.0.0.1",
            f"_web_http_{port}._tcp.good.example.com": "127.0.0.1",
            f"_web_http_{port}._tcp.good.example.com.": "127.0.0.2",
        }
    )
    stage.until_answer(Answer(200, "good"), "web", "good.example.com")
    assert list(stage.traefik.routers()) == ["router-good-example-com"]


def test_every_router_is_enabled_with_its_rule(stage: Stage) -> None:
    """Traefik's own API shows each route enabled, with the rule and entrypoint of its entry."""
    stage.set_hosts(
        {
            "_web_http_80._tcp.a-b.example.com": "100.64.0.1",
            "_web_http_80._tcp.a.b.example.com": "100.64.0.1",
            "_websecure_https_443._tcp.a.b.example.com": "fd7a:115c:a1e0::1",
            "_tcp_tls_443._tcp.y.example.com": "100.64.0.2",
            "_tcp_mysql_3306._tcp.x.example.com": "100.64.0.3",
        }
    )
    until(lambda: len(stage.traefik.routers()) == 5, "not five routers")
    shown = {
        name: (router["status"], router["rule"], router["entryPoints"])
        for name, router in stage.traefik.routers().items()
    }
    assert shown == {
        "router-a-b-example-com": ("enabled", "Host(`a-b.example.com`)", ["web"]),
        "router-a-b-example-com-web": ("enabled", "Host(`a.b.example.com`)", ["web"]),
        "router-a-b-example-com-websecure": ("enabled", "Host(`a.b.example.com`)", ["websecure"]),
        "router-x-example-com-mysql": ("enabled", "HostSNI(`x.example.com`)", ["tcp"]),
        "router-y-example-com-tls": ("enabled", "HostSNI(`y.example.com`)", ["tcp"]),
    }


@pytest.mark.parametrize("form", ["json", "yaml"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "close-delimited"])
def test_both_framings_and_both_formats_lead_to_a_route(
    tmp_path: Path, stack: ExitStack, form: str, *, chunked: bool
) -> None:
    """Whatever frames the stream, and whichever text the file holds, the route is live."""
    port = stack.enter_context(http_backend("app"))
    stage = Stage(tmp_path, stack, "--format", form, chunked=chunked)
    stage.set_hosts({f"_web_http_{port}._tcp.app.example.com": "127.0.0.1"})
    stage.until_answer(Answer(200, "app"), "web", "app.example.com")
    assert stage.traefik.errors == []


def heard(traefik: Traefik, name: str) -> bytes:
    """Connect to a name on "tcp", say hello, and return all that comes back; empty if refused."""
    try:
        with traefik.connect_tls("tcp", name, any_certificate()) as connection:
            connection.settimeout(0.5)
            received = connection.recv(4096)
            connection.sendall(b"hello")
            while received and not received.endswith(b"hello"):
                received += connection.recv(4096) or b"(closed) hello"
            return received
    except OSError:
        return b""
