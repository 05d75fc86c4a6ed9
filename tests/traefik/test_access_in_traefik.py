"""Each mode of access, shown by requests to the real Traefik: who comes in, and who does not."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local import until
from support.access import recording_backend
from support.accessed import (
    INTERNET,
    RANGES,
    TAILNET,
    GuardedTraefik,
    auth_server,
    authority_in,
    client_with,
    user_backend,
)
from support.backends import banner_backend, http_backend
from support.certificates import Authority
from support.checked import Settings
from support.traefik import (
    HAS_ALIAS_HEADERS,
    Answer,
    any_certificate,
    needs_wildcards,
    traefik_release,
    traefik_version,
)

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.problems import LocatedError

HERE = "127.0.0.1"
TLS: Settings = {"http": {"tls": {}}}
TWO: Settings = {"web": {}, "ws": TLS}
FRIEND = {"Authorization": "friend"}


class Stage:
    """Backends, an auth server, and a Traefik in front of them."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self.folder = stack, folder
        self.web = stack.enter_context(http_backend("web"))
        self.wild = stack.enter_context(http_backend("wild"))
        self.ssh = stack.enter_context(banner_backend(b"ssh"))

    def oidc(self) -> str:
        """Start an auth server; return its definition in the access file."""
        address = self._stack.enter_context(auth_server())
        options = f'{{address: "{address}", authResponseHeaders: [X-Forwarded-User]}}'
        return f"forwardAuth:\n  oidc: {options}\n"

    def users(self) -> int:
        """Start a backend that answers with the user's name."""
        return self._stack.enter_context(user_backend())

    def echo(self) -> int:
        """Start a backend that speaks first, and repeats what it gets."""
        return self._stack.enter_context(banner_backend(b"echo"))

    def vault(self, name: str) -> int:
        """Start a backend with a certificate of its own."""
        tls = authority_in(self.folder / "vault").server_context(name)
        return self._stack.enter_context(http_backend("vault", tls=tls))

    def start(
        self,
        names: list[str],
        access: str,
        settings: Settings | None = None,
        trusted: Path | None = None,
    ) -> GuardedTraefik:
        """Start Traefik with an entry for each name, an access file, and whom its system trusts."""
        hosts = dict.fromkeys(names, HERE)
        entrypoints = settings or {"entryPoints": TWO}
        traefik = GuardedTraefik(self.folder / "traefik", entrypoints, hosts, access, trusted)
        self._stack.enter_context(traefik).until_routed()
        return traefik


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Set up what the tests need, and close it."""
    with ExitStack() as stack:
        yield Stage(stack, tmp_path)


def test_tailscale_only(stage: Stage) -> None:
    """HTTP answers the tailnet and tells all others 403; another name stays open to all."""
    names = [f"_web_http_{stage.web}._tcp.{name}" for name in ("a.b.in.de", "out.de")]
    traefik = stage.start(names, 'routes: {"*.in.de": {access: tailscale-only}}')
    assert traefik.get("web", "a.b.in.de", source=TAILNET) == Answer(200, "web")
    assert traefik.get("web", "a.b.in.de", source=INTERNET) == Answer(403, "Forbidden")
    spoofed = {"X-Forwarded-For": TAILNET, "X-Real-Ip": TAILNET}
    assert traefik.get("web", "a.b.in.de", headers=spoofed) == Answer(403, "Forbidden")
    assert traefik.get("web", "out.de", source=INTERNET) == Answer(200, "web")


def test_tailscale_only_tcp(stage: Stage) -> None:
    """TCP lets the tailnet in, with and without passthrough, and closes all other connections."""
    names = [
        f"_ws_ssh_{stage.ssh}._tcp.ssh.in.de",
        f"_ws_tls_{stage.vault('vault.in.de')}._tcp.vault.in.de",
    ]
    traefik = stage.start(names, 'routes: {"*.in.de": {access: tailscale-only}}')
    vault = {
        source: traefik.get("ws", "vault.in.de", tls=any_certificate(), source=source)
        for source in (TAILNET, INTERNET)
    }
    assert vault == {TAILNET: Answer(200, "vault"), INTERNET: Answer(0, "")}
    assert traefik.heard("ws", "ssh.in.de", TAILNET) == b"ssh"
    assert traefik.heard("ws", "ssh.in.de", INTERNET) == b""


def test_open_connections_when_access_is_restricted(stage: Stage) -> None:
    """HTTP requests on an open connection are refused at once; an open TCP connection goes on."""
    echo = stage.echo()
    names = [f"_web_http_{stage.web}._tcp.a.de", f"_ssh_ssh_{echo}._tcp.*"]
    settings: Settings = {"entryPoints": {"web": {}, "ssh": {}}}
    traefik = stage.start(names, "default: public", settings)
    request = b"GET / HTTP/1.1\r\nHost: a.de\r\n\r\n"
    with (
        socket.create_connection((HERE, traefik.ports["web"]), timeout=30) as http,
        socket.create_connection((HERE, traefik.ports["ssh"]), timeout=30) as ssh,
    ):
        http.sendall(request)
        assert http.recv(1000).startswith(b"HTTP/1.1 200")
        assert ssh.recv(9) == b"echo"
        restricted = read_access("default: tailscale-only")
        traefik.output.write_text(render(dict.fromkeys(names, HERE), access=restricted).text)
        until(lambda: traefik.get("web", "a.de", source=INTERNET).status == 403, "it to be refused")
        http.sendall(request)
        assert http.recv(1000).startswith(b"HTTP/1.1 403")
        ssh.sendall(b"on")
        assert ssh.recv(9) == b"on"


def test_forward_auth(stage: Stage) -> None:
    """Each request goes to the auth server: with 2xx it passes, else that answers."""
    access = stage.oidc() + "routes: {a.de: {access: forward-auth, forwardAuth: oidc}}"
    traefik = stage.start([f"_web_http_{stage.users()}._tcp.a.de"], access)
    assert traefik.get("web", "a.de", headers=FRIEND) == Answer(200, "a friend")
    assert traefik.get("web", "a.de") == Answer(401, "who are you?")
    forged = {"X-Forwarded-User": "root"}
    assert traefik.get("web", "a.de", headers=forged) == Answer(401, "who are you?")
    assert traefik.get("web", "a.de", headers={**FRIEND, **forged}) == Answer(200, "a friend")


def test_forward_auth_unreachable(stage: Stage) -> None:
    """Nobody passes if the auth server does not answer."""
    access = """
forwardAuth: {oidc: {address: "http://127.0.0.1:1"}}
routes: {a.de: {access: forward-auth, forwardAuth: oidc}}
"""
    traefik = stage.start([f"_web_http_{stage.web}._tcp.a.de"], access)
    assert traefik.get("web", "a.de", headers=FRIEND).status == 500


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("http://127.0.0.1:99999", 500),
        ("http://[::1", 500),
        ("http://a b", 500),
        ("{}/%zz", 500),
        ("{}/a%20b c?%", 200),
        ("HTTP{}", 200),
    ],
)
def test_address_of_an_auth_server(stage: Stage, address: str, status: int) -> None:
    """With what an access file refuses as an address Traefik answers 500 to everybody."""
    rule = "routes: {a.de: {access: forward-auth, forwardAuth: oidc}}"
    oidc = stage.oidc()
    (good,) = re.findall(r"http://[0-9.:]+", oidc)
    other = address.format(good.removeprefix("http") if address.startswith("HTTP") else good)
    changed = oidc.replace(good, other)
    with pytest.raises(LocatedError, match="is not a URL") if status == 500 else nullcontext():
        read_access(changed + rule)
    traefik = stage.start([f"_web_http_{stage.web}._tcp.a.de"], oidc + rule)
    assert traefik.get("web", "a.de").status == 401
    traefik.output.write_text(traefik.output.read_text().replace(good, other))
    until(lambda: traefik.get("web", "a.de", headers=FRIEND).status == status, "it differs")


def test_tailscale_bypass(stage: Stage) -> None:
    """The tailnet goes straight through, all others by way of the auth server."""
    access = stage.oidc() + "routes: {a.de: {access: tailscale-bypass, forwardAuth: oidc}}"
    traefik = stage.start([f"_web_http_{stage.users()}._tcp.a.de"], access)
    assert traefik.get("web", "a.de", source=TAILNET) == Answer(200, "nobody")
    assert traefik.get("web", "a.de", source=INTERNET) == Answer(401, "who are you?")
    assert traefik.get("web", "a.de", source=INTERNET, headers=FRIEND) == Answer(200, "a friend")
    spoofed = {"X-Forwarded-For": TAILNET}
    assert traefik.get("web", "a.de", headers=spoofed).status == 401


@pytest.mark.parametrize("name", ["X-Forwarded-User", "x-forwarded-user"])
def test_tailnet_cannot_send_what_the_auth_server_sets(stage: Stage, name: str) -> None:
    """Past the auth server its headers are removed; others come to the backend."""
    access = stage.oidc().replace("X-Forwarded-User", name)
    access += "routes: {a.de: {access: tailscale-bypass, forwardAuth: oidc}}"
    with recording_backend() as (port, came):
        traefik = stage.start([f"_web_http_{port}._tcp.a.de"], access)
        forged = {"X-FORWARDED-User": "root", "X-Other": "1", **FRIEND}
        assert traefik.get("web", "a.de", source=TAILNET, headers=forged).status == 200
        assert traefik.get("web", "a.de", source=INTERNET, headers=forged).status == 200
    users = [[value for key, value in each if key == "X-Forwarded-User"] for each in came]
    assert users == [[], ["a friend"]]
    assert [dict(each)["X-Other"] for each in came] == ["1", "1"]


@needs_wildcards
@pytest.mark.parametrize("names", [("ab.de", "xyz.de"), ("a.de", "x.de")], ids=["two", "one"])
def test_bypass_of_a_wildcard_stays_below_names(stage: Stage, names: tuple[str, str]) -> None:
    """A name, be it of one letter, is served before its wildcard, also to the tailnet.

    So is a name with a say of its own and no entry: its access holds, in front of the wildcard's
    backend.
    """
    guarded, unlisted = names
    access = f"""
routes:
  "*.de": {{access: tailscale-bypass, forwardAuth: oidc}}
  {guarded}: {{access: forward-auth, forwardAuth: oidc}}
  {unlisted}: {{access: forward-auth, forwardAuth: oidc}}
"""
    entries = [f"_web_http_{stage.wild}._tcp.*.de", f"_web_http_{stage.web}._tcp.{guarded}"]
    traefik = stage.start(entries, stage.oidc() + access)
    assert traefik.get("web", "q.de", source=TAILNET) == Answer(200, "wild")
    assert traefik.get("web", "q.de", source=INTERNET).status == 401
    assert traefik.get("web", "q.de", source=INTERNET, headers=FRIEND) == Answer(200, "wild")
    for name, backend in ((guarded, "web"), (unlisted, "wild")):
        assert traefik.get("web", name, source=TAILNET).status == 401
        assert traefik.get("web", name, source=TAILNET, headers=FRIEND) == Answer(200, backend)


@needs_wildcards
def test_bypass_of_a_name_beside_a_guarded_wildcard(stage: Stage) -> None:
    """A name's two routers are above its wildcard's, whatever that asks for."""
    access = """
routes:
  "*.de": {access: tailscale-only}
  a.de: {access: tailscale-bypass, forwardAuth: oidc}
"""
    entries = [f"_web_http_{stage.wild}._tcp.*.de", f"_web_http_{stage.web}._tcp.a.de"]
    traefik = stage.start(entries, stage.oidc() + access)
    assert traefik.get("web", "a.de", source=TAILNET) == Answer(200, "web")
    assert traefik.get("web", "a.de", source=INTERNET) == Answer(401, "who are you?")
    assert traefik.get("web", "b.de", source=INTERNET) == Answer(403, "Forbidden")


@needs_wildcards
@pytest.mark.parametrize(
    ("priority", "codes", "backend"),
    [(100, ["outranked-by-wildcard"], "wild"), (1, [], "web")],
)
def test_priority_of_a_wildcard(
    stage: Stage, priority: int, codes: list[str], backend: str
) -> None:
    """With the higher priority a wildcard gets the requests for a name that has its own route."""
    routes = f'{{"*.de": {{access: public, priority: {priority}}}, ab.de: {{access: public}}}}'
    entries = [f"_web_http_{stage.wild}._tcp.*.de", f"_web_http_{stage.web}._tcp.ab.de"]
    traefik = stage.start(entries, f"routes: {routes}")
    assert [each.code for each in traefik.diagnostics] == codes
    assert traefik.get("web", "ab.de") == Answer(200, backend)
    assert traefik.get("web", "q.de") == Answer(200, "wild")


MODES = {
    "public": {"access": "public"},
    "inside": {"access": "tailscale-only"},
    "bypass": {"access": "tailscale-bypass", "forwardAuth": "oidc"},
    "auth": {"access": "forward-auth", "forwardAuth": "oidc"},
    "pattern": {"access": "tailscale-bypass", "forwardAuth": "pattern"},
}
NAMES = ("a.de", "b.de", "cd.de", "x.b.de")
WILDCARDS = ("*.de", "*.b.de") if traefik_version() >= (3, 7) else ()
FORGED = {"X-Forwarded-User": "root", "x-forwarded-user": "root"}


class Guards:
    """One Traefik that takes one access file after another."""

    def __init__(self, stage: Stage) -> None:
        self._server = stage.oidc()
        self._server += (
            self._server.splitlines()[1]
            .replace("oidc", "pattern")
            .replace(
                "authResponseHeaders: [X-Forwarded-User]",
                "authResponseHeadersRegex: X-Forwarded-User",
            )
        )
        self._port, self._round = stage.users(), 0
        self._traefik = stage.start([], self._server)

    def serve(self, names: set[str], modes: Mapping[str, str]) -> None:
        """Have entries for some names served with an access each, and wait until they are."""
        self._round += 1
        marker = f"round-{self._round}.test"
        routes = {name: MODES[mode] for name, mode in modes.items()}
        access = read_access(f"{RANGES}{self._server}\nroutes: {json.dumps(routes)}")
        hosts = {f"_web_http_{self._port}._tcp.{name}": HERE for name in {*names, marker}}
        output = self._traefik.output
        new = output.with_name(".new")
        new.write_text(render(hosts, access=access).text)
        new.replace(output)
        until(lambda: self._traefik.get("web", marker).status == 200, "it is not served")

    def answers(self, name: str) -> list[Answer]:
        """Ask from the tailnet, from the internet and as a friend there, with a forged user."""
        friend = {**FORGED, **FRIEND}
        return [
            self._traefik.get("web", name, source=source, headers=headers)
            for source, headers in ((TAILNET, FORGED), (INTERNET, FORGED), (INTERNET, friend))
        ]


NOT_FOUND = Answer(404, "404 page not found\n")
ANSWERS = {
    "public": [Answer(200, "root")] * 3,
    "inside": [Answer(200, "root"), *[Answer(403, "Forbidden")] * 2],
    "bypass": [Answer(200, "nobody"), Answer(401, "who are you?"), Answer(200, "a friend")],
    "auth": [*[Answer(401, "who are you?")] * 2, Answer(200, "a friend")],
    "pattern": [NOT_FOUND] * 3,
}


def test_every_client_gets_what_the_access_says(stage: Stage) -> None:
    """Each name answers as its access says, or not at all if it has no entry or cannot have it.

    With any access for any names and wildcards: the router that Traefik picks holds to it, and no
    client is taken for a user that only the auth server may name.
    """
    guards, seen = Guards(stage), set()

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        st.sets(st.sampled_from([*NAMES, *WILDCARDS]), min_size=2),
        st.dictionaries(st.sampled_from([*NAMES, *WILDCARDS]), st.sampled_from(sorted(MODES))),
    )
    def hold(names: set[str], modes: dict[str, str]) -> None:
        guards.serve(names, modes)
        for name in NAMES:
            patterns = [name, f"*.{name.partition('.')[2]}", "*.de"]
            mode = next((modes[each] for each in patterns if each in modes), "public")
            answers = guards.answers(name)
            assert answers in (ANSWERS[mode], [NOT_FOUND] * 3), (name, mode)
            if name in names:
                assert answers == ANSWERS[mode], (name, mode)
                seen.add(mode)

    hold()
    assert seen == set(MODES)


def mtls(stage: Stage) -> tuple[str, Authority, Authority]:
    """Return a definition of client authorities, the one that is in it, and another."""
    home, foreign = authority_in(stage.folder / "home"), authority_in(stage.folder / "foreign")
    return f"clientAuth:\n  home: {{caFiles: ['{home.ca_file}']}}\n", home, foreign


def test_mtls_strict(stage: Stage) -> None:
    """No certificate and a foreign one end in the handshake; the right one passes."""
    defined, home, foreign = mtls(stage)
    access = defined + 'routes: {"*.api.de": {access: mtls-strict, clientAuth: home}}'
    names = [
        f"_ws_http_{stage.web}._tcp.x.api.de",
        f"_ws_http_{stage.web}._tcp.open.de",
        f"_ws_ssh_{stage.ssh}._tcp.ssh.api.de",
        f"_web_http_{stage.web}._tcp.x.api.de",
    ]
    traefik = stage.start(names, access)
    clients = (any_certificate(), client_with(foreign), client_with(home))
    answers = [traefik.get("ws", "x.api.de", tls=client) for client in clients]
    assert answers == [Answer(0, ""), Answer(0, ""), Answer(200, "web")]
    heard = [traefik.heard("ws", "ssh.api.de", tls=client) for client in clients]
    assert heard == [b"", b"", b"ssh"]
    assert traefik.get("ws", "open.de", tls=any_certificate()) == Answer(200, "web")
    assert traefik.get("web", "x.api.de").status == 404
    assert traefik.get("web", "x.api.de", tls=client_with(home)) == Answer(200, "web")


@needs_wildcards
def test_mtls_is_not_passed_by_under_another_name(stage: Stage) -> None:
    """A request for a name in a connection for another, or for none, is not served."""
    defined, _, _ = mtls(stage)
    access = f"""{defined}
routes:
  api.de: {{access: mtls-strict, clientAuth: home}}
  "*.in.de": {{access: mtls-strict, clientAuth: home}}
"""
    names = [f"_ws_http_{stage.web}._tcp.{name}" for name in ("api.de", "*.in.de", "open.de")]
    traefik = stage.start(names, access)
    for sni in ("open.de", "nowhere.de", HERE):
        for host in (
            "api.de",
            "API.de",
            "api.de.",
            "api.de:443",
            "x.in.de",
            "x.In.de.",
            "X.in.de:1",
        ):
            with traefik.connect_tls("ws", sni, any_certificate()) as connection:
                connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                assert connection.recv(64)[9:12] == b"421", (sni, host)
    for sni in ("API.de", "x.IN.de"):
        assert traefik.get("ws", sni, tls=any_certificate()) == Answer(0, "")


def test_mtls_without_its_authorities(stage: Stage) -> None:
    """If Traefik cannot read the authorities, nobody comes in."""
    access = """
clientAuth: {home: {caFiles: [/nowhere/ca.pem]}}
routes: {api.de: {access: mtls-strict, clientAuth: home}}
"""
    traefik = stage.start([f"_ws_http_{stage.web}._tcp.api.de"], access)
    assert traefik.get("ws", "api.de", tls=any_certificate()) == Answer(0, "")


def test_mtls_beside_a_wildcard_without_tls(stage: Stage) -> None:
    """A name that asks for a certificate does so beside a wildcard too, with TLS and without."""
    defined, home, _ = mtls(stage)
    access = defined + "routes: {api.de: {access: mtls-strict, clientAuth: home}}"
    names = [f"_{on}_http_{stage.wild}._tcp.*.de" for on in ("web", "ws")]
    names += [f"_{on}_http_{stage.web}._tcp.api.de" for on in ("web", "ws")]
    traefik = stage.start(names, access)
    for on in ("web", "ws"):
        assert traefik.get(on, "api.de").status == 404
        assert traefik.get(on, "API.de.").status == 404
        assert traefik.get(on, "api.de", tls=any_certificate()) == Answer(0, "")
        assert traefik.get(on, "api.de", tls=client_with(home)) == Answer(200, "web")
        with traefik.connect_tls(on, "x.de", any_certificate()) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: api.de\r\n\r\n")
            assert connection.recv(64)[9:12] == b"421"
    if traefik_version() < (3, 7):  # it knows no wildcards
        return
    assert traefik.get("web", "x.de") == Answer(200, "wild")
    assert traefik.get("ws", "x.de", tls=any_certificate()) == Answer(200, "wild")


@needs_wildcards
def test_mtls_of_a_name_that_a_wildcard_serves(stage: Stage) -> None:
    """A name whose TCP entry an HTTP wildcard shadows asks for its certificate all the same."""
    defined, home, _ = mtls(stage)
    access = defined + "routes: {db.de: {access: mtls-strict, clientAuth: home}}"
    names = [f"_ws_http_{stage.wild}._tcp.*.de", f"_ws_ssh_{stage.ssh}._tcp.db.de"]
    traefik = stage.start(names, access)
    assert traefik.get("ws", "other.de", tls=any_certificate()) == Answer(200, "wild")
    assert traefik.get("ws", "db.de", tls=any_certificate()) == Answer(0, "")
    assert traefik.get("ws", "db.de", tls=client_with(home)) == Answer(200, "wild")


@pytest.mark.parametrize(
    ("said", "codes", "status"),
    [
        pytest.param("access: tailscale-only", [], 0, id="entrypoints-own"),
        pytest.param("tls: true", ["entrypoint-tls-replaced"], 200, id="tls"),
        pytest.param(
            "certResolver: x", ["entrypoint-tls-replaced", "unknown-resolver"], 200, id="resolver"
        ),
        pytest.param("access: mtls-strict, clientAuth: home", [], 0, id="mtls-strict"),
    ],
)
def test_mtls_of_an_entrypoint(stage: Stage, said: str, codes: list[str], status: int) -> None:
    """A router with TLS of its own has nothing of its entrypoint's, which the checks say."""
    defined, _, _ = mtls(stage)
    access = (
        defined + f"routes: {{a.de: {{{said}}}, api.de: {{access: mtls-strict, clientAuth: home}}}}"
    )
    tls = {"http": {"tls": {"options": "access-client-auth-home@file"}}}
    names = [f"_ws_http_{stage.web}._tcp.{name}" for name in ("a.de", "api.de")]
    traefik = stage.start(names, access, {"entryPoints": {"ws": tls}})
    assert [problem.code for problem in traefik.diagnostics] == codes
    assert traefik.get("ws", "a.de", tls=any_certificate()).status == status


@needs_wildcards
def test_tls_options_of_one_letter(stage: Stage) -> None:
    """Beside its wildcard a name of one letter gets either's TLS options; it is never open."""
    defined, home, _ = mtls(stage)
    access = defined + "routes: {a.de: {access: mtls-strict, clientAuth: home}}"
    names = [f"_ws_http_{stage.wild}._tcp.*.de", f"_ws_http_{stage.web}._tcp.a.de"]
    traefik = stage.start(names, access)
    assert [problem.code for problem in traefik.diagnostics] == ["tls-options-tied"]
    assert traefik.get("ws", "a.de", tls=any_certificate()).status in {0, 421}
    assert traefik.get("ws", "a.de", tls=client_with(home)).status in {200, 421}


REDIRECT = {"http": {"redirections": {"entryPoint": {"to": "ws", "priority": 1}}}}
SHADOWING = {"http": {"redirections": {"entryPoint": {"to": "ws"}}}}
CHALLENGE = "/.well-known/acme-challenge/token"


@pytest.mark.parametrize(
    ("web", "codes", "passes"),
    [
        pytest.param({}, [], True, id="alone"),
        pytest.param(REDIRECT, [], True, id="beside-a-redirect"),
        pytest.param(SHADOWING, ["challenge-unreachable"], False, id="redirect-of-any-priority"),
        pytest.param(TLS, ["challenge-unreachable"], False, id="entrypoint-with-tls"),
    ],
)
def test_acme_challenge(stage: Stage, web: Settings, codes: list[str], *, passes: bool) -> None:
    """Challenges come to the machine's port, all else stays as it is; checks say if they cannot."""
    access = f"routes: {{vm.de: {{acmeChallenge: {{entryPoint: web, port: {stage.web}}}}}}}"
    settings = {"entryPoints": {"web": web, "ws": {}}}
    traefik = stage.start([f"_ws_tls_{stage.vault('vm.de')}._tcp.vm.de"], access, settings)
    assert [problem.code for problem in traefik.diagnostics] == codes
    assert (traefik.get("web", "vm.de", CHALLENGE) == Answer(200, "web")) is passes
    rest = [
        traefik.get("web", "vm.de"),
        traefik.get("web", "other.de", CHALLENGE),
        traefik.get("web", "vm.de", CHALLENGE, method="POST"),
    ]
    redirected = "redirections" in web.get("http", {})
    assert [each.status for each in rest] == ([301, 301, 308] if redirected else [404] * 3)
    assert traefik.get("ws", "vm.de", tls=any_certificate()) == Answer(200, "vault")


def test_acme_challenge_past_a_redirect(stage: Stage) -> None:
    """With allowACMEByPass challenges pass an entrypoint's redirect, from Traefik 3.6.10 on."""
    access = f"routes: {{vm.de: {{acmeChallenge: {{entryPoint: web, port: {stage.web}}}}}}}"
    settings = {"entryPoints": {"web": {**SHADOWING, "allowACMEByPass": True}, "ws": {}}}
    traefik = stage.start(["_ws_tls_443._tcp.vm.de"], access, settings)
    passes = traefik_release() >= (3, 6, 10)
    codes = [] if passes else ["challenge-unreachable"]
    assert [problem.code for problem in traefik.diagnostics] == codes
    assert traefik.get("web", "vm.de", CHALLENGE).status == (200 if passes else 301)
    assert traefik.get("web", "vm.de").status == 301


def test_forward_auth_is_loaded_without_a_warning(stage: Stage) -> None:
    """Whether the auth server trusts forwarded headers is written, as Traefik wants it."""
    access = stage.oidc() + "routes: {a.de: {access: forward-auth, forwardAuth: oidc}}"
    traefik = stage.start([f"_web_http_{stage.web}._tcp.a.de"], access)
    log = (stage.folder / "traefik" / "traefik.log").read_text()
    assert traefik.get("web", "a.de").status == 401
    assert "trustForwardHeader" not in log


@pytest.mark.parametrize(
    ("bypass", "codes", "answer"),
    [
        pytest.param({}, ["challenge-unreachable"], Answer(404, ""), id="default"),
        pytest.param({"allowACMEByPass": True}, [], Answer(200, "web"), id="bypass"),
    ],
)
def test_acme_challenge_beside_traefiks_own(
    stage: Stage, bypass: Settings, codes: list[str], answer: Answer
) -> None:
    """Where Traefik answers challenges itself, it has to let those for others pass."""
    acme = {
        "storage": str(stage.folder / "acme.json"),
        "caServer": "http://127.0.0.1:1/directory",
        "httpChallenge": {"entryPoint": "web"},
    }
    settings = {
        "entryPoints": {"web": {**REDIRECT, **bypass}, "ws": {}},
        "certificatesResolvers": {"le": {"acme": acme}},
    }
    access = f"routes: {{vm.de: {{acmeChallenge: {{entryPoint: web, port: {stage.web}}}}}}}"
    traefik = stage.start(["_ws_tls_443._tcp.vm.de"], access, settings)
    assert [problem.code for problem in traefik.diagnostics] == codes
    assert traefik.get("web", "vm.de", CHALLENGE) == answer


def test_options_of_a_route(stage: Stage) -> None:
    """A certificate that names a backend otherwise is taken with the name, or unchecked."""
    port = stage.vault("vault.internal")
    names = [f"_web_https_{port}._tcp.{name}" for name in ("n.de", "u.de", "plain.de")]
    access = """
routes:
  n.de: {backend: {serverName: vault.internal}}
  u.de: {backend: {insecureSkipVerify: true}, tls: true}
"""
    traefik = stage.start(names, access, trusted=stage.folder / "vault" / "ca.pem")
    assert traefik.get("web", "plain.de").status == 500
    assert traefik.get("web", "u.de").status == 404
    assert traefik.get("web", "u.de", tls=any_certificate()) == Answer(200, "vault")
    assert traefik.get("web", "n.de") == Answer(200, "vault")


def test_middlewares_and_priority(stage: Stage) -> None:
    """Middlewares come after the access, and Traefik serves no route without one of them."""
    access = """
routes:
  a.de: {access: tailscale-only, middlewares: [nowhere@file], priority: 7}
"""
    traefik = stage.start([f"_web_http_{stage.web}._tcp.a.de"], access)
    (router,) = traefik.routers().values()
    assert router["middlewares"] == ["access-tailnet@file", "nowhere@file"]
    assert (router["priority"], router["status"]) == (7, "disabled")
    assert traefik.get("web", "a.de", source=TAILNET).status == 404


@pytest.mark.parametrize("access", ["tailscale-only", "tailscale-bypass, forwardAuth: oidc"])
def test_dashboard(stage: Stage, access: str) -> None:
    """The dashboard is behind its access, without api.insecure, whatever the entries are."""
    text = f"dashboard: {{domain: t.de, entryPoint: ws, access: {access}}}"
    settings = {"entryPoints": TWO}
    traefik = stage.start([f"_ws_http_{stage.web}._tcp.t.de"], stage.oidc() + text, settings)
    assert [problem.code for problem in traefik.diagnostics] == ["access-not-applicable"]
    tls = any_certificate()
    inside = traefik.get("ws", "t.de", "/api/version", tls=tls, source=TAILNET)
    outside = traefik.get("ws", "t.de", "/api/version", tls=tls, source=INTERNET)
    assert (inside.status, outside.status) == (200, 401 if "oidc" in access else 403)


ALIASED = {"X_Forwarded_User": "root"}
DOTTED = {"X.Forwarded.User": "root"}


def strategy(value: str) -> Settings:
    """Return an entrypoint that does something about aliases of headers."""
    return {"http": {"aliasHeadersStrategy": value}}


@pytest.mark.skipif(not HAS_ALIAS_HEADERS, reason="Traefik has the option since 3.7.12")
@pytest.mark.parametrize(
    ("web", "codes", "answers"),
    [
        pytest.param({}, ["header-aliases-pass"], ["root", "root"], id="default"),
        pytest.param(strategy("delete"), [], ["a friend", "a friend"], id="delete"),
        pytest.param(strategy("reject"), [], [400, 400], id="reject"),
        pytest.param(strategy("keep"), [], ["root", "root"], id="keep"),
        pytest.param(
            {"http": {"underscoreHeadersStrategy": "delete"}},
            ["header-aliases-pass"],
            ["a friend", "root"],
            id="underscores-alone",
        ),
    ],
)
def test_aliases_of_trusted_headers(
    stage: Stage, web: Settings, codes: list[str], answers: list[str | int]
) -> None:
    """A backend like CGI takes an alias for the auth server's header, unless the entrypoint acts.

    The checks are silent if it does, and if it was set to pass them on.
    """
    access = stage.oidc() + "routes: {a.de: {access: forward-auth, forwardAuth: oidc}}"
    entrypoints = {"entryPoints": {"web": web, "other": {}}}
    traefik = stage.start([f"_web_http_{stage.users()}._tcp.a.de"], access, entrypoints)
    assert [problem.code for problem in traefik.diagnostics] == codes
    came = [traefik.get("web", "a.de", headers={**FRIEND, **each}) for each in (ALIASED, DOTTED)]
    assert [each.body if each.status == 200 else each.status for each in came] == answers


PROXY_CODE = "proxy-protocol-trusted"
CHOSEN, JUDGED = [200, 200], [403, 401]


@pytest.mark.parametrize(
    ("proxy", "codes", "statuses"),
    [
        pytest.param({"insecure": True}, [PROXY_CODE], CHOSEN, id="insecure"),
        pytest.param({"trustedIPs": ["0.0.0.0/0"]}, [PROXY_CODE], CHOSEN, id="everybody"),
        pytest.param({"trustedIPs": "10.0.0.1,126.0.0.0/7"}, [PROXY_CODE], CHOSEN, id="as-text"),
        pytest.param({"trustedIPs": ["::ffff:0.0.0.0/96"]}, [PROXY_CODE], CHOSEN, id="mapped"),
        pytest.param({"trustedIPs": ["100.64.0.0/10"]}, [PROXY_CODE], JUDGED, id="tailnet"),
        pytest.param({"trustedIPs": ["10.0.0.0/23"]}, [PROXY_CODE], JUDGED, id="wide"),
        pytest.param({"trustedIPs": ["10.0.0.0/24", "::1"]}, [], JUDGED, id="subnet"),
        pytest.param({"trustedIPs": ["127.0.0.0/8"]}, [], CHOSEN, id="this-machine"),
    ],
)
def test_proxy_protocol(
    stage: Stage, proxy: Settings, codes: list[str], statuses: list[int]
) -> None:
    """Who is trusted chooses the address that is judged; the checks say if that may be many."""
    access = """
routes:
  a.de: {access: tailscale-only}
  b.de: {access: tailscale-bypass, forwardAuth: oidc}
"""
    names = [f"_web_http_{stage.web}._tcp.{name}" for name in ("a.de", "b.de")]
    entrypoints = {"entryPoints": {"web": {"proxyProtocol": proxy}, "other": {}}}
    traefik = stage.start(names, stage.oidc() + access, entrypoints)
    found = [each.code for each in traefik.diagnostics if each.code != "header-aliases-pass"]
    assert found == codes
    answers = [traefik.status_behind(TAILNET, "web", name) for name in ("a.de", "b.de")]
    assert answers == statuses
