"""Each rule, shown by the real Traefik: what it warns of happens, and what it lets pass works."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local import until
from support.backends import banner_backend, http_backend
from support.certificates import Authority
from support.checked import CheckedTraefik, Settings
from support.commands import Watch, run
from support.traefik import Answer, any_certificate, needs_wildcards, traefik_version

from ctsdns_traefik.core.dynamic import render

HERE = "127.0.0.1"
TLS: Settings = {"http": {"tls": {}}}


@pytest.fixture
def web(stack: ExitStack) -> int:
    """Give the port of an HTTP backend."""
    return stack.enter_context(http_backend("web"))


@pytest.fixture
def ssh(stack: ExitStack) -> int:
    """Give the port of a backend that speaks first."""
    return stack.enter_context(banner_backend(b"ssh"))


def start(
    stack: ExitStack, folder: Path, settings: Settings, names: list[str], output: str = "d.yml"
) -> CheckedTraefik:
    """Start a Traefik with routes to backends on this machine."""
    hosts = dict.fromkeys(names, HERE)
    traefik = stack.enter_context(CheckedTraefik(folder, settings, hosts, output))
    traefik.until_routed()
    return traefik


@pytest.mark.parametrize(
    "http_name",
    [
        pytest.param("app.example.com", id="name"),
        pytest.param("*.example.com", id="wildcard", marks=needs_wildcards),
    ],
)
def test_passthrough_shadowed(
    tmp_path: Path, stack: ExitStack, web: int, ssh: int, http_name: str
) -> None:
    """With TLS on the entrypoint an HTTP route takes the connections of a TCP route."""
    names = [f"_ws_http_{web}._tcp.{http_name}", f"_ws_ssh_{ssh}._tcp.app.example.com"]
    traefik = start(stack, tmp_path, {"entryPoints": {"ws": TLS}}, names)
    assert traefik.codes == ["passthrough-shadowed"]
    assert traefik.get("ws", "app.example.com", tls=any_certificate()) == Answer(200, "web")
    assert traefik.heard("ws", "app.example.com", wait=1) == b""


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        pytest.param(TLS, ["passthrough-shadowed"], id="with-tls"),
        pytest.param({}, [], id="without-tls"),
    ],
)
def test_passthrough_beside_http(
    tmp_path: Path,
    stack: ExitStack,
    authority: Authority,
    web: int,
    settings: Settings,
    codes: list[str],
) -> None:
    """Passthrough is shadowed by HTTP with TLS alone: else HTTP takes only what is not TLS.

    All commands that know the static configuration agree: a conflict with TLS, none without.
    """
    vault = stack.enter_context(
        http_backend("vault", tls=authority.server_context("a.example.com"))
    )
    names = [f"_ws_http_{web}._tcp.a.example.com", f"_ws_tls_{vault}._tcp.a.example.com"]
    traefik = start(stack, tmp_path, {"entryPoints": {"ws": settings}}, names)
    assert traefik.codes == codes
    with_tls = traefik.get("ws", "a.example.com", tls=any_certificate())
    plain = traefik.get("ws", "a.example.com")
    if codes:
        assert (with_tls, plain.status) == (Answer(200, "web"), 404)
    else:
        assert (with_tls, plain) == (Answer(200, "vault"), Answer(200, "web"))
    policy, static = tmp_path / "policy.json", tmp_path / "traefik.yml"
    policy.write_text(json.dumps({"hosts": dict.fromkeys(names, HERE)}))
    options: tuple[str | Path, ...] = (policy, "--static-config", static)
    wanted = traefik.output.read_text() if not codes else render({names[0]: HERE}).text
    assert run("render-once", *options).stdout == wanted
    assert ("error conflict" in run("validate", *options).stdout) == bool(codes)
    watch = Watch(str(policy), tmp_path / "watched.yml", "--static-config", str(static))
    with watch:
        watch.until_content("a.example.com")
        watch.stop()
    assert (watch.content, "conflict" in watch.log) == (wanted, bool(codes))


@pytest.mark.parametrize(
    ("bypass", "codes"),
    [
        pytest.param({}, ["tls-challenge-intercepted"], id="default"),
        pytest.param({"allowACMEByPass": True}, [], id="bypass"),
    ],
)
def test_tls_challenge_of_a_backend(
    tmp_path: Path, stack: ExitStack, authority: Authority, bypass: Settings, codes: list[str]
) -> None:
    """A resolver with tlsChallenge takes the handshakes of others' challenges, too."""
    backend = authority.server_context("vm.de")
    backend.set_alpn_protocols(["acme-tls/1", "http/1.1"])
    port = stack.enter_context(http_backend("vm", tls=backend))
    acme = {
        "storage": str(tmp_path / "acme.json"),
        "caServer": "http://127.0.0.1:1/directory",
        "tlsChallenge": {},
    }
    settings = {
        "entryPoints": {"ws": bypass},
        "certificatesResolvers": {"le": {"acme": acme}},
    }
    traefik = start(stack, tmp_path, settings, [f"_ws_tls_{port}._tcp.vm.de"])
    assert traefik.codes == codes
    client = any_certificate()
    client.set_alpn_protocols(["acme-tls/1"])
    try:
        with traefik.connect_tls("ws", "vm.de", client) as connection:
            reached = connection.selected_alpn_protocol() == "acme-tls/1"
    except OSError:
        reached = False
    assert reached is not bool(codes)


def test_http2_backend_without_tls(tmp_path: Path, stack: ExitStack, web: int) -> None:
    """The scheme h2c is an HTTP route whose backend gets HTTP/2, as Traefik itself speaks it."""
    log = tmp_path / "backend" / "access.log"
    entrypoints: Settings = {"entryPoints": {"web": {}}}
    settings = {"accessLog": {"filePath": str(log)}, **entrypoints}
    backend = start(stack, tmp_path / "backend", settings, [f"_web_http_{web}._tcp.a.de"])
    names = [f"_web_h2c_{backend.ports['web']}._tcp.a.de"]
    traefik = start(stack, tmp_path, entrypoints, names)
    assert traefik.codes == []
    assert traefik.get("web", "a.de") == Answer(200, "web")
    until(lambda: 'GET / HTTP/2.0" 200' in log.read_text(), "no HTTP/2")


@needs_wildcards
def test_passthrough_not_shadowed(tmp_path: Path, stack: ExitStack, web: int, ssh: int) -> None:
    """A TCP wildcard and TCP names two labels below an HTTP wildcard keep their connections."""
    names = [
        f"_ws_http_{web}._tcp.app.example.com",
        f"_ws_ssh_{ssh}._tcp.*.example.com",
        f"_ws_http_{web}._tcp.*.example.org",
        f"_ws_ssh_{ssh}._tcp.two.labels.example.org",
    ]
    traefik = start(stack, tmp_path, {"entryPoints": {"ws": TLS}}, names)
    assert traefik.codes == []
    assert traefik.heard("ws", "other.example.com") == b"ssh"
    assert traefik.heard("ws", "two.labels.example.org") == b"ssh"


@pytest.mark.parametrize("scheme", ["http", "ssh"])
@pytest.mark.parametrize(
    ("entrypoint", "settings", "codes"),
    [
        pytest.param("web", {"web": {}}, [], id="known"),
        pytest.param("Web", {"web": {}}, ["unknown-entrypoint"], id="other-case"),
        pytest.param("web", {"web": {"address": "/tcp"}}, [], id="tcp"),
        pytest.param("web", {"web": {"address": "/UDP"}}, ["wrong-protocol-entrypoint"], id="udp"),
    ],
)
def test_entrypoint(
    tmp_path: Path,
    stack: ExitStack,
    scheme: str,
    entrypoint: str,
    settings: Settings,
    codes: list[str],
) -> None:
    """A router on no entrypoint, or on one for UDP, is disabled."""
    names = [f"_{entrypoint}_{scheme}_80._tcp.a.example.com"]
    traefik = start(stack, tmp_path, {"entryPoints": settings}, names)
    (router,) = traefik.routers().values()
    assert traefik.codes == codes
    assert router["status"] == ("disabled" if codes else "enabled")
    if codes:
        assert f'entryPoint "{entrypoint}" doesn\'t exist' in router["error"]


@pytest.mark.parametrize(
    ("priority", "codes", "status"),
    [
        pytest.param({}, ["redirect-shadows-route"], 301, id="default"),
        pytest.param({"priority": 0}, ["redirect-shadows-route"], 301, id="length-of-the-rule"),
        pytest.param({"priority": 11}, [], 200, id="lower"),
        pytest.param({"priority": 1}, [], 200, id="one"),
    ],
)
def test_redirect(
    tmp_path: Path,
    stack: ExitStack,
    web: int,
    ssh: int,
    priority: Settings,
    codes: list[str],
    status: int,
) -> None:
    """A redirect answers in place of an HTTP route that it outranks, never of a TCP route."""
    redirect = {"to": "ws", **priority}
    settings = {
        "web": {"http": {"redirections": {"entryPoint": redirect}}},
        "ws": TLS,
    }
    names = [f"_web_http_{web}._tcp.a.de", f"_web_ssh_{ssh}._tcp.b.de"]
    traefik = start(stack, tmp_path, {"entryPoints": settings}, names)
    assert traefik.codes == codes
    assert traefik.get("web", "a.de").status == status
    assert traefik.heard("web", "b.de") == b"ssh"


def test_redirect_of_equal_priority(tmp_path: Path, stack: ExitStack, web: int) -> None:
    """Traefik picks the redirect or the route by chance, anew at each start."""
    redirect = {"to": ":443", "priority": len("Host(`a.de`)")}
    settings = {"web": {"http": {"redirections": {"entryPoint": redirect}}}}
    traefik = start(stack, tmp_path, {"entryPoints": settings}, [f"_web_http_{web}._tcp.a.de"])
    assert traefik.codes == ["redirect-shadows-route"]
    assert traefik.get("web", "a.de").status in {200, 301}


def test_redirect_to_no_entrypoint(tmp_path: Path, stack: ExitStack, web: int) -> None:
    """Traefik makes no redirect to an entrypoint that it has not, and the route is served."""
    settings = {"web": {"http": {"redirections": {"entryPoint": {"to": "nowhere"}}}}}
    traefik = start(stack, tmp_path, {"entryPoints": settings}, [f"_web_http_{web}._tcp.a.de"])
    assert traefik.codes == ["redirect-ignored"]
    assert traefik.get("web", "a.de") == Answer(200, "web")


@pytest.mark.parametrize(
    ("ws", "codes", "with_tls", "plain"),
    [
        pytest.param({}, ["entrypoint-without-tls"], 404, 200, id="without-tls"),
        pytest.param(TLS, [], 200, 404, id="with-tls"),
        pytest.param({"http": {"tls": True}}, [], 200, 404, id="tls-that-stands-alone"),
    ],
)
def test_entrypoint_without_tls(
    tmp_path: Path,
    stack: ExitStack,
    web: int,
    ws: Settings,
    codes: list[str],
    with_tls: int,
    plain: int,
) -> None:
    """Where a redirect sends clients with HTTPS, a route without TLS answers plain HTTP alone."""
    redirect = {"http": {"redirections": {"entryPoint": {"to": "ws"}}}}
    settings = {"entryPoints": {"web": redirect, "ws": ws}}
    traefik = start(stack, tmp_path, settings, [f"_ws_http_{web}._tcp.a.de"])
    assert traefik.codes == codes
    assert traefik.get("ws", "a.de", tls=any_certificate()).status == with_tls
    assert traefik.get("ws", "a.de").status == plain


@pytest.mark.parametrize(
    ("transport", "codes", "status"),
    [
        pytest.param({}, ["https-backend-unverifiable"], 500, id="default"),
        pytest.param({"insecureSkipVerify": True}, [], 200, id="unchecked"),
        pytest.param({"rootCAs": ["CA"]}, [], 200, id="authority-for-addresses"),
    ],
)
def test_https_backend(
    tmp_path: Path,
    stack: ExitStack,
    authority: Authority,
    transport: dict[str, Any],
    codes: list[str],
    status: int,
) -> None:
    """A backend's certificate has to name its address and be trusted, or go unchecked."""
    if "rootCAs" in transport:
        transport = {"rootCAs": [str(authority.ca_file)]}
    tls = authority.server_context("a.de", HERE)
    port = stack.enter_context(http_backend("secure", tls=tls))
    settings: dict[str, Any] = {"entryPoints": {"web": {}}}
    if transport:
        settings["serversTransport"] = transport
    traefik = start(stack, tmp_path, settings, [f"_web_https_{port}._tcp.a.de"])
    assert traefik.codes == codes
    assert traefik.get("web", "a.de").status == status


SHORT = "vault.example.com"
LONG = "vault-of-the-whole-department.example.com"


@pytest.mark.parametrize(
    ("challenge", "bypass", "name", "codes", "answer"),
    [
        pytest.param("http", False, SHORT, ["acme-intercepts"], Answer(404, ""), id="http-01"),
        pytest.param("http", False, LONG, ["acme-intercepts"], Answer(404, ""), id="long-name"),
        pytest.param("http", True, SHORT, ["acme-intercepts"], Answer(404, ""), id="bypass"),
        pytest.param("http", True, LONG, [], Answer(200, "web"), id="bypass-of-a-long-name"),
        pytest.param(
            "tls",
            False,
            SHORT,
            ["tls-challenge-intercepted"],
            Answer(200, "web"),
            id="tls-alpn-01",
        ),
    ],
)
def test_acme(
    tmp_path: Path,
    stack: ExitStack,
    web: int,
    challenge: str,
    name: str,
    codes: list[str],
    answer: Answer,
    *,
    bypass: bool,
) -> None:
    """Traefik answers challenges itself, unless it uses others, or yields to a longer rule."""
    challenges: dict[str, Settings] = {
        "http": {"httpChallenge": {"entryPoint": "web"}},
        "tls": {"tlsChallenge": {}},
    }
    acme = {
        "storage": str(tmp_path / "acme.json"),
        "caServer": "http://127.0.0.1:1/directory",
        **challenges[challenge],
    }
    settings = {
        "entryPoints": {"web": {"allowACMEByPass": True} if bypass else {}, "ws": {}},
        "certificatesResolvers": {"le": {"acme": acme}},
    }
    names = [f"_web_http_{web}._tcp.{name}", f"_ws_tls_443._tcp.{name}"]
    traefik = start(stack, tmp_path, settings, names)
    assert traefik.codes == codes
    assert traefik.get("web", name, "/.well-known/acme-challenge/x") == answer
    assert traefik.get("web", name) == Answer(200, "web")


@pytest.mark.parametrize(
    ("challenge", "codes", "status"),
    [
        pytest.param({"httpChallenge": {"entryPoint": "web"}}, ["acme-intercepts"], 404, id="http"),
        pytest.param({"tlsChallenge": {}}, ["tls-challenge-intercepted"], 301, id="tls-alpn-01"),
    ],
)
def test_acme_beside_a_redirect(
    tmp_path: Path, stack: ExitStack, challenge: Settings, codes: list[str], status: int
) -> None:
    """Without a route on the entrypoint the redirect, too, has challenges only if Traefik has none.

    Certificate authorities follow it, and reach the backend by passthrough.
    """
    acme = {
        "storage": str(tmp_path / "acme.json"),
        "caServer": "http://127.0.0.1:1/directory",
        **challenge,
    }
    redirect = {"http": {"redirections": {"entryPoint": {"to": "ws", "priority": 1}}}}
    settings = {
        "entryPoints": {"web": redirect, "ws": {}},
        "certificatesResolvers": {"le": {"acme": acme}},
    }
    traefik = start(stack, tmp_path, settings, ["_ws_tls_443._tcp.a.de"])
    assert traefik.codes == codes
    assert traefik.get("web", "a.de", "/.well-known/acme-challenge/x").status == status


def test_address_as_name(tmp_path: Path, stack: ExitStack, ssh: int) -> None:
    """A client that connects to an address reaches no route of that name: it sends no name."""
    names = [f"_ws_ssh_{ssh}._tcp.{HERE}", f"_ws_ssh_{ssh}._tcp.a.example.com"]
    traefik = start(stack, tmp_path, {"entryPoints": {"ws": {}}}, names)
    assert traefik.codes == ["address-as-name"]
    assert traefik.heard("ws", HERE, wait=1) == b""
    assert traefik.heard("ws", "a.example.com") == b"ssh"


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            {},
            marks=pytest.mark.skipif(traefik_version() >= (3, 7), reason="it has wildcards"),
            id="too-old",
        ),
        pytest.param({"core": {"defaultRuleSyntax": "v2"}}, id="old-rules"),
    ],
)
def test_unreachable_wildcard(
    tmp_path: Path, stack: ExitStack, web: int, settings: Settings
) -> None:
    """A Traefik without wildcards serves no name that one stands for, and disables TCP routers."""
    wildcards = [f"_web_http_{web}._tcp.*.example.com", "_web_ssh_22._tcp.*.example.com"]
    names = [*wildcards, f"_web_http_{web}._tcp.a.example.org"]
    traefik = start(stack, tmp_path, {"entryPoints": {"web": {}}, **settings}, names)
    assert traefik.codes == ["unreachable-wildcard"] * 2
    assert traefik.get("web", "a.example.org") == Answer(200, "web")
    assert traefik.get("web", "a.example.com").status == 404
    assert traefik.routers()["router-wildcard-example-com-ssh"]["status"] == "disabled"
