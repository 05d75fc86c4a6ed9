"""What is asked of each release of Traefik, in a small way, with the document that we write.

``tests/traefik_releases.py`` makes the table of releases of the answers.
"""

from __future__ import annotations

import http.server
import json
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from local import find_traefik, until
from support.certificates import Authority
from support.checked import CheckedTraefik, Settings
from support.traefik import any_certificate

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import Rendering, render

HERE = "127.0.0.1"
CHALLENGE = "/.well-known/acme-challenge/x"
NOTHING: Settings = MappingProxyType({})


class Part(NamedTuple):
    """What entries and an access file use: a release has it if it serves all routers of it."""

    feature: str
    """Its name in the table."""
    what: str
    """What it is, for the document."""
    entries: tuple[str, ...]
    """Names of entries; NAME is a name of its own."""
    access: str = ""
    """The access file."""

    @property
    def domain(self) -> str:
        """The name that entries and access file have."""
        return self.feature.replace(".", "-").lower() + ".de"

    @property
    def hosts(self) -> dict[str, str]:
        """The entries."""
        return {entry.replace("NAME", self.domain): HERE for entry in self.entries}

    def access_text(self, ca_file: Path) -> str:
        """Return the access file, which has at least a default."""
        access = self.access.replace("NAME", self.domain).replace("CA", str(ca_file))
        return access or "default: public"


WEB, TLS, SSH = "_web_http_1._tcp.NAME", "_ws_tls_1._tcp.NAME", "_ws_ssh_1._tcp.NAME"
FORWARD = """routes: {NAME: {access: forward-auth, forwardAuth: o}}
forwardAuth: {o: {address: 'http://127.0.0.1:1'"""


def route(settings: str) -> str:
    """Return an access file with settings of the name."""
    return f"routes: {{NAME: {{{settings}}}}}"


def forward_auth(option: str, value: str) -> Part:
    """Return the part that an option of an auth server is."""
    access = f"{FORWARD}, {option}: {value}}}}}"
    return Part(f"forwardAuth.{option}", f"`{option}` of forwardAuth", (WEB,), access)


PARTS = (
    Part("http", "HTTP entries", (WEB, "_ws_https_1._tcp.NAME")),
    Part("tcp", "TCP entries, with TLS passthrough and without", (TLS, "_ws_ssh_1._tcp.t.NAME")),
    Part("raw", "raw TCP entries", ("_raw_ssh_22._tcp.*",)),
    Part("udp", "UDP entries", ("_dns_dns_53._udp.NAME",)),
    Part(
        "wildcards",
        "wildcards (`*.example.com`)",
        ("_web_http_1._tcp.*.NAME", "_ws_tls_1._tcp.*.NAME", "_ws_ssh_1._tcp.*.t.NAME"),
    ),
    Part("tailscale-only", "`tailscale-only`", (WEB, SSH), route("access: tailscale-only")),
    Part("forward-auth", "`forward-auth`", (WEB,), f"{FORWARD}}}}}"),
    Part(
        "tailscale-bypass",
        "`tailscale-bypass`",
        (WEB,),
        f"{FORWARD}, authResponseHeaders: [X-User]}}}}".replace("forward-auth", "tailscale-bypass"),
    ),
    Part(
        "mtls-strict",
        "`mtls-strict`",
        ("_ws_http_1._tcp.NAME", SSH),
        route("access: mtls-strict, clientAuth: c") + "\nclientAuth: {c: {caFiles: [CA]}}",
    ),
    Part(
        "acmeChallenge",
        "`acmeChallenge`",
        (TLS,),
        route("access: public, acmeChallenge: {entryPoint: web, port: 80}"),
    ),
    Part(
        "dashboard",
        "`dashboard`",
        (),
        "dashboard: {domain: NAME, entryPoint: web, access: tailscale-only}",
    ),
    Part("tls", "`tls` and `certResolver` of a route", (WEB,), route("tls: true, certResolver: x")),
    Part("alpnProtocols", "`alpnProtocols`", (SSH,), route("alpnProtocols: [h2]")),
    Part(
        "backend",
        "`backend`",
        ("_web_https_1._tcp.NAME",),
        route("backend: {serverName: NAME, insecureSkipVerify: true}"),
    ),
    Part("priority", "`priority`", (WEB,), route("priority: 7")),
    Part(
        "balance",
        "`balance`, `sticky` and `healthCheck` of an HTTP service",
        (WEB, WEB.replace("_1", "_2")),
        route("balance: true, sticky: true, healthCheck: {path: /x, interval: 1h}"),
    ),
    Part(
        "tcp-healthCheck",
        "`healthCheck` of a TCP service",
        (SSH,),
        route("healthCheck: {interval: 1h}"),
    ),
    forward_auth("trustForwardHeader", "true"),
    forward_auth("authResponseHeaders", "[X-User]"),
    forward_auth("authResponseHeadersRegex", "'^X-'"),
    forward_auth("authRequestHeaders", "[Cookie]"),
    forward_auth("addAuthCookiesToResponse", "[c]"),
    forward_auth("tls", "{ca: CA, insecureSkipVerify: false}"),
    forward_auth("authSigninURL", "'http://a.de/'"),
    forward_auth("forwardBody", "true"),
    forward_auth("headerField", "X-User"),
    forward_auth("maxBodySize", "1000"),
    forward_auth("maxResponseBodySize", "1000"),
    forward_auth("preserveLocationHeader", "true"),
    forward_auth("preserveRequestMethod", "true"),
)


ENTRYPOINTS: Settings = {
    "web": {},
    "ws": {"http": {"tls": {}}},
    "raw": {},
    "dns": {"address": "/udp"},
}


class Recorded(NamedTuple):
    """A request that reached the backend."""

    path: str
    headers: Mapping[str, str]


class Stage(CheckedTraefik):
    """A Traefik whose dynamic file is replaced again and again, with a backend that records."""

    def __init__(
        self, folder: Path, settings: Settings = NOTHING, output: str = "dynamic.yml"
    ) -> None:
        given = {"log": {"level": "WARN"}, "entryPoints": ENTRYPOINTS, **settings}
        super().__init__(folder, given, {}, output)
        self.folder = folder
        self.requests: list[Recorded] = []

    def __enter__(self) -> Self:
        self.authority = Authority(self.folder)
        self.backend = self._stack.enter_context(recorder(self.requests))
        return super().__enter__()

    def has(self, part: Part) -> bool:
        """Return whether each router of a part is enabled, and takes requests for its host."""
        access = read_access(part.access_text(self.authority.ca_file))
        rendering = render(part.hosts, access=access)
        return self.load(rendering) and all(
            router["status"] == "enabled" and self._takes(router)
            for router in self.routers().values()
        )

    def _takes(self, router: Mapping[str, Any]) -> bool:
        host = re.match(r"Host\(`(.*?)`\)", router.get("rule", ""))
        if not host or "tls" in router or router["entryPoints"] != ["web"]:
            return True
        path = CHALLENGE if "PathPrefix" in router["rule"] else "/"
        with suppress(TimeoutError):
            host_name = host[1].replace("*", "x")
            return until(lambda: self.get("web", host_name, path).status != 404, "no route", 1)
        return False

    def load(self, rendering: Rendering) -> bool:
        """Replace the dynamic file; return whether Traefik takes it."""
        if rendering.diagnostics:
            raise ValueError(rendering.diagnostics)
        return self.load_document(json.loads(rendering.text))

    def load_document(self, document: Mapping[str, Any]) -> bool:
        """Replace the dynamic file; return whether Traefik takes it."""
        before = len(self.log)
        names = {name for each in document.values() for name in each.get("routers", ())}

        def outcome() -> str:
            refused = "field not found" in self.log[before:]
            return "refused" if refused else "loaded" * (names == self.routers().keys())

        for _ in range(10):  # once in a thousand times Traefik took no notice
            new = self.output.with_name(".new")
            new.write_text(json.dumps(document))
            new.replace(self.output)
            with suppress(TimeoutError):
                return until(outcome, "Traefik does not react", 5) == "loaded"
        raise TimeoutError(f"Traefik does not react to {document}: {self.log[-2000:]}")

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    def request(self, path: str = "/", headers: Mapping[str, str] = NOTHING) -> Recorded | None:
        """Send a request through Traefik to the backend; return what reached it, if it did."""
        self.load(render({f"_web_http_{self.backend}._tcp.recorded.de": HERE}))
        until(lambda: self.get("web", "recorded.de").status == 200, "no route")
        self.requests.clear()
        self.get("web", "recorded.de", path, headers=headers)
        return self.requests[0] if self.requests else None

    def warns(self, option: str, **options: object) -> bool:
        """Return whether it logs a warning about an option of an auth server that has others."""
        name, before = f"warns-{option.lower()}", len(self.log)
        forward = {"address": "http://127.0.0.1:1", **options}
        service = {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:1"}]}}
        router = {"rule": f"Host(`{name}.de`)", "service": "s", "middlewares": ["m"]}
        maps = {"services": {"s": service}, "middlewares": {"m": {"forwardAuth": forward}}}
        self.load_document(
            {"http": {"routers": {name: {**router, "entryPoints": ["web"]}}, **maps}}
        )
        return option in self.log[before:]


@contextmanager
def recorder(requests: list[Recorded]) -> Iterator[int]:
    """Answer every HTTP request with {}, and record it; give the port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(Recorded(self.path, dict(self.headers.items())))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((HERE, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


class Behaviour(NamedTuple):
    """What some releases do and others do not, whatever the document has."""

    feature: str
    what: str
    seen: Callable[[Stage], bool]


def is_path_as_it_came(stage: Stage) -> bool:
    """Return whether a path is not cleaned before it reaches the backend."""
    seen = stage.request("/x/../y")
    return seen is not None and seen.path == "/x/../y"


def passes_alias(stage: Stage) -> bool:
    """Return whether the backend gets another spelling of a header that Traefik sets."""
    seen = stage.request(headers={"X_Forwarded_For": "192.0.2.1"})
    return seen is not None and "x_forwarded_for" in map(str.lower, seen.headers)


def fails_starttls(stage: Stage) -> bool:
    """Return whether no TLS begins after the question that a client of PostgreSQL asks."""
    stage.load(render({f"_ws_postgres_{stage.backend}._tcp.starttls.de": HERE}))
    with socket.create_connection((HERE, stage.ports["ws"]), timeout=5) as plain, suppress(OSError):
        plain.sendall(bytes.fromhex("0000000804d2162f"))
        if plain.recv(1) == b"S":
            any_certificate().wrap_socket(plain, server_hostname="starttls.de").close()
            return False
    return True


def keeps_connection(stage: Stage) -> bool:
    """Return whether a connection serves a name on that needs a client's certificate by now."""
    hosts = {f"_ws_http_{stage.backend}._tcp.open.de": HERE}
    strict = f"clientAuth: {{c: {{caFiles: [{stage.authority.ca_file}]}}}}\n"
    strict += "routes: {open.de: {access: mtls-strict, clientAuth: c}}"
    stage.load(render(hosts))
    until(lambda: stage.get("ws", "open.de", tls=any_certificate()).status == 200, "no route")
    with stage.connect_tls("ws", "open.de", any_certificate()) as connection:
        request = b"GET / HTTP/1.1\r\nHost: open.de\r\n\r\n"
        connection.sendall(request)
        first = connection.recv(9999)
        stage.load(render(hosts, access=read_access(strict)))
        until(lambda: not stage.get("ws", "open.de", tls=any_certificate()).status, "no mTLS")
        connection.sendall(request)
        return connection.recv(9999)[:12] == first[:12]


def reads_json(stage: Stage) -> bool:
    """Return whether a file is read whose name ends in .json."""
    folder = stage.folder / "json"
    with Stage(folder, output="dynamic.json") as apart:
        apart.output.write_text(render({"_web_http_1._tcp.json.de": HERE}).text)

        def outcome() -> str:
            refused = "unsupported file extension" in apart.log
            return "refused" if refused else "read" * bool(apart.routers())

        return until(outcome, "Traefik does not react") == "read"


ACME = {"email": "a@b.de", "caServer": "http://127.0.0.1:1/directory"}


def lets_challenges_pass(stage: Stage, **entrypoint: object) -> bool:
    """Return whether challenges reach a route of an entrypoint with ``allowACMEByPass``."""
    acme = {"acme": {**ACME, "storage": str(stage.folder / "acme.json"), "tlsChallenge": {}}}
    web = {"allowACMEByPass": True, **entrypoint}
    settings = {"entryPoints": {"web": web}, "certificatesResolvers": {"le": acme}}
    if "entrypoints.*.allowacmebypass" not in settings_of_traefik():
        return False
    with Stage(stage.folder / f"bypass{len(web)}", settings) as apart:
        hosts = {f"_web_tls_{apart.backend}._tcp.pass.de": HERE}
        access = "routes: {pass.de: {acmeChallenge: {entryPoint: web, port: 80}}}"
        apart.load(render(hosts, access=read_access(access)))
        return apart.get("web", "pass.de", CHALLENGE).status not in (301, 308, 404)


REDIRECT = {"redirections": {"entryPoint": {"to": ":443"}}}

BEHAVIOURS = (
    Behaviour(
        "path-as-it-came",
        "a path such as `/x/../y` reaches the backend as it is, not as `/y`",
        is_path_as_it_came,
    ),
    Behaviour(
        "encoded-slash-refused",
        "400 for a path with an encoded slash or another encoded character, unless"
        " `encodedCharacters` of the entrypoint allows it",
        lambda stage: stage.request("/a%2Fb") is None,
    ),
    Behaviour(
        "alias-passes",
        "`X_Forwarded_For` from a client reaches the backend",
        passes_alias,
    ),
    Behaviour(
        "warns-trustForwardHeader",
        "a warning at each load for forwardAuth without `trustForwardHeader`, which the document"
        " has",
        lambda stage: stage.warns("trustForwardHeader"),
    ),
    Behaviour(
        "warns-maxResponseBodySize",
        "a warning at each load for forwardAuth without `maxResponseBodySize`, which older ones"
        " refuse: harmless",
        lambda stage: stage.warns("maxResponseBodySize", trustForwardHeader=False),
    ),
    Behaviour(
        "starttls-fails",
        "no client of PostgreSQL gets TLS, unless it begins at once (`sslnegotiation=direct`)",
        fails_starttls,
    ),
    Behaviour(
        "connection-stays",
        "an open HTTPS connection goes on without a certificate when its name becomes"
        " `mtls-strict`; later 421",
        keeps_connection,
    ),
    Behaviour("json-files", "a `filename` that ends in `.json` is read", reads_json),
    Behaviour(
        "acme-past-redirect",
        "`allowACMEByPass` lets challenges past a redirect",
        lambda stage: lets_challenges_pass(stage, http=REDIRECT),
    ),
)


def settings_of_traefik() -> frozenset[str]:
    """Return the settings of a static configuration that Traefik has flags for, in lower case.

    A ``*`` is a name that the user chooses.
    """
    command = [find_traefik(), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^    --(\S+)", text, flags=re.MULTILINE)
    names = (each.replace("<name>", "*").replace("[n]", "").split(".") for each in found)
    return frozenset(
        ".".join(each[:length]) for each in names for length in range(1, len(each) + 1)
    )
