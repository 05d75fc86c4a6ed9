"""What validate says of the static file and the directory, and what the real Traefik does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local import find_traefik, until
from support.backends import http_backend
from support.checked import CheckedTraefik
from support.commands import run
from support.traefik import Answer, any_certificate

from ctsdns_traefik.core.static_config.configuration import read_static
from ctsdns_traefik.core.static_config.refusals import KNOWN, NEVER_EMPTY, REMOVED
from ctsdns_traefik.traefik.static_check import refusal_of

HERE = "127.0.0.1"


def problems(*arguments: str | Path, policy: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Run validate, and return the diagnostics of settings by their codes."""
    stdin = json.dumps({"hosts": policy}).encode()
    done = run("validate", "--format", "json", *arguments, "-", stdin=stdin)
    assert not done.stderr
    found = json.loads(done.stdout)["problems"]
    assert done.returncode == any(each["severity"] == "error" for each in found)
    return {each["code"]: each for each in found}


def nested(path: str, value: object) -> dict[str, Any]:
    """Return a map with a value under a dotted path; ``*`` is the name of an entrypoint."""
    for key in reversed(
        path.replace("*.endpoint", "nomad.endpoint")
        .replace("s.*", "s.consul", path[0] == "p")
        .split(".")
    ):
        value = {"web" if key == "*" else key: value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("path", REMOVED)
def test_removed_setting(path: str) -> None:
    """Traefik refuses every setting of the table, and its refusal is for that very setting."""
    value: object = {"x": "1"} if path in ("pilot", "providers.marathon") else "true"
    text = json.dumps(nested(path, value), indent=1)
    (refusal,) = read_static(text, "yaml").refusals
    why = refusal_of(find_traefik(), text, "yaml")
    assert why
    static = read_static(text, "yaml", why)
    (proved,) = static.refusals
    assert proved.setting == refusal.setting
    assert static.locations[proved.setting].line == path.count(".") + 2


@pytest.mark.parametrize("path", NEVER_EMPTY)
def test_empty_section(path: str) -> None:
    """Traefik refuses every empty section of the table, by name."""
    text = json.dumps(nested(path, {"x": None}))
    (refusal,) = read_static(text, "yaml").refusals
    why = refusal_of(find_traefik(), text, "yaml")
    (proved,) = read_static(text, "yaml", why).refusals
    assert proved.setting == refusal.setting


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        pytest.param("entryPoints.*.addres", "address", id="entrypoint"),
        pytest.param("entryPoints.*.https", "http", id="of-a-scheme"),
        pytest.param("entryPoints.*.http.middleware", "middlewares", id="singular"),
        pytest.param("entryPoints.*.http.tls.certificateResolver", "certResolver", id="tls"),
        pytest.param("providers.file.directories", "directory", id="plural"),
    ],
)
def test_misspelt_setting(path: str, meant: str) -> None:
    """A setting that is nearly another keeps Traefik from starting, and has a hint."""
    text = json.dumps(nested(path, "x"))
    (refusal,) = read_static(text, "yaml").refusals
    assert refusal.hint == f"did you mean {meant}?"
    why = refusal_of(find_traefik(), text, "yaml")
    assert why == f"field not found, node: {path.rpartition('.')[2]}"


@pytest.mark.parametrize("pattern", KNOWN)
def test_known_settings(pattern: str) -> None:
    """Traefik has every setting of the table, so that none is taken for a misspelt one."""
    for name in KNOWN[pattern]:
        text = json.dumps(nested(f"{pattern}.{name}", {"x-other": "1"}))
        why = refusal_of(find_traefik(), text, "yaml")
        assert f"field not found, node: {name}" not in why


GOOD = "ping: {}\nentryPoints: {web: {address: ':80', http: {tls: true, middlewares: []}}}\n"


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        pytest.param("s.yml", GOOD, None, id="good"),
        pytest.param(
            "s.toml",
            "[entryPoints.web]\naddress=':80'\n[entryPoints.web.redirect]\nentryPoint='x'\n",
            ("entryPoints.web.redirect", 3, 2),
            id="toml",
        ),
        pytest.param("s.yml", "log:\n  levle: INFO\n", ("log.levle", 2, 3), id="misspelt"),
        pytest.param(
            "s.yml",
            "entryPoints:\n  web:\n    address: ':80'\n    http:\n      tls:\n",
            ("entryPoints.web.http", 4, 5),
            id="nothing-but-an-empty-tls",
        ),
        pytest.param("s.yml", "pilot:\n  token: x\n", ("pilot", 1, 1), id="pilot"),
        pytest.param(
            "s.yml",
            "providers:\n  docker: {swarmMode: true}\n",
            ("providers.docker.swarmMode", 2, 12),
            id="swarm-mode",
        ),
        pytest.param(
            "s.yml",
            "providers:\n  providersThrottleDuration: 2 s\n",
            ("providers.providersThrottleDuration", 2, 3),
            id="value",
        ),
    ],
)
def test_traefiks_verdict_on_its_static_file(
    tmp_path: Path, name: str, text: str, place: tuple[str, int, int] | None
) -> None:
    """--prove has Traefik's own verdict on the static file, at the line of the key."""
    file = tmp_path / name
    file.write_text(text)
    found = problems("--prove", "--static-config", file, policy={})
    refused = found.get("static-config-refused")
    assert place == (refused and (refused["setting"], refused["line"], refused["column"]))


class Directory:
    """A Traefik that reads a directory, with one route, and validate for the same files."""

    def __init__(
        self, stack: ExitStack, folder: Path, files: Mapping[str, str], web: Mapping[str, Any]
    ) -> None:
        backend = stack.enter_context(http_backend("web"))
        self.policy = {f"_web_http_{backend}._tcp.a.de": HERE}
        directory = folder / "dynamic"
        settings = {
            "entryPoints": {"web": web},
            "providers": {"file": {"directory": str(directory)}},
        }
        self._traefik = CheckedTraefik(folder, settings, self.policy, "dynamic/d.yml")
        for name, text in files.items():
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(text)
        self.traefik = stack.enter_context(self._traefik)
        self._arguments = ("--static-config", folder / "traefik.yml", "-o", directory / "d.yml")

    def problems(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Return what validate says of these files."""
        return problems(*self._arguments, *arguments, policy=self.policy)

    def status(self) -> int:
        """Return the answer for the route, once Traefik has read its files or refused them."""
        traefik = self.traefik
        until(lambda: traefik.routers() or traefik.errors, "neither routes nor errors")
        return traefik.get("web", "a.de").status


FILTER = "http: {middlewares: {sec: {headers: {frameDeny: true}}}}"


@pytest.mark.parametrize(
    ("files", "code", "status"),
    [
        pytest.param({"other.yml": FILTER}, None, 200, id="beside"),
        pytest.param({"sub/other.yaml": FILTER}, None, 200, id="below"),
        pytest.param(
            {"o.toml": "[http.middlewares.sec.headers]\nframeDeny=true"}, None, 200, id="toml"
        ),
        pytest.param(
            {"o.yml": FILTER.replace("sec", "sek")}, "unknown-middleware", 404, id="other"
        ),
        pytest.param({}, "unknown-middleware", 404, id="nowhere"),
        pytest.param(
            {"o.yml": "tcp: {middlewares: {sec: {inFlightConn: {amount: 9}}}}"},
            "unknown-middleware",
            404,
            id="of-tcp",
        ),
        pytest.param(
            {"o.yml": "http: {middlewares: {sec: {chain: {middlewares: [s]}}, t: {compress: {}}}}"},
            "unknown-middleware",
            404,
            id="chain",
        ),
        pytest.param(
            {"o.yml": "http: {middlewares: {sec: {headers: {frameDeny: true}, compress: {}}}}"},
            "unknown-middleware",
            404,
            id="two-types",
        ),
        pytest.param(
            {"o.yml": "http: {middlewares: {sec: {compress: }}}"},
            "unknown-middleware",
            404,
            id="no-value",
        ),
    ],
)
def test_middlewares_of_an_entrypoint(
    tmp_path: Path, stack: ExitStack, files: dict[str, str], code: str | None, status: int
) -> None:
    """A middleware that no file of the directory defines disables the entrypoint's routes."""
    web = {"http": {"middlewares": ["sec@file"]}}
    directory = Directory(stack, tmp_path, files, web)
    assert [*directory.problems("--prove")] == ([code] if code else [])
    until(directory.traefik.routers, "no routers")
    assert directory.status() == status


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        pytest.param("default", "default: {access: public, middlewares: [sec@file]}", id="default"),
        pytest.param("routes.a.de", "routes: {a.de: {middlewares: [sec@file]}}", id="route"),
        pytest.param("raw.db", "raw: {db: {middlewares: [sec@file]}}", id="raw"),
        pytest.param(
            "dashboard",
            "forwardAuth: {o: {address: 'http://127.0.0.1/'}}\ndashboard: {domain: t.de,"
            " entryPoint: web, access: forward-auth, forwardAuth: o, middlewares: [sec@file]}",
            id="dashboard",
        ),
    ],
)
def test_middlewares_of_an_access_file(tmp_path: Path, setting: str, text: str) -> None:
    """A middleware that no file defines is reported wherever the access file names it."""
    static, access = tmp_path / "traefik.yml", tmp_path / "access.yml"
    entrypoints = {"web": {"address": ":80"}, "db": {"address": ":81"}}
    provider = {"file": {"directory": str(tmp_path / "d")}}
    static.write_text(json.dumps({"api": {}, "entryPoints": entrypoints, "providers": provider}))
    access.write_text(text)
    (tmp_path / "d").mkdir()
    policy = {"_web_http_80._tcp.a.de": "100.64.0.1", "_db_ssh_22._tcp.*": "100.64.0.1"}
    options = ("--static-config", static, "--access-file", access, "-o", tmp_path / "d" / "o.yml")
    found = problems(*options, policy=policy)["unknown-middleware"]
    assert (found["severity"], found["setting"]) == ("error", setting)


@pytest.mark.parametrize(
    ("files", "codes"),
    [
        pytest.param({}, ["unknown-tls-options"], id="nowhere"),
        pytest.param(
            {"o.yml": "tls: {options: {new: {minVersion: VersionTLS13}}}"}, [], id="there"
        ),
    ],
)
def test_tls_options_of_an_entrypoint(
    tmp_path: Path, stack: ExitStack, files: dict[str, str], codes: list[str]
) -> None:
    """TLS options that no file of the directory defines disable the entrypoint's routes."""
    web = {"http": {"tls": {"options": "new@file"}}}
    directory = Directory(stack, tmp_path, files, web)
    assert [*directory.problems()] == codes
    until(directory.traefik.routers, "no routers")
    (router,) = directory.traefik.routers().values()
    assert router["status"] == ("disabled" if codes else "enabled")


BAD, USERS = "{ipAllowList: {sourceRange: [10.0.0.0/48]}}", "{basicAuth: {usersFile: /run/none}}"


@pytest.mark.parametrize(
    ("middlewares", "codes"),
    [
        pytest.param(f"sec: {BAD}", ["not-enabled"], id="value"),
        pytest.param(
            f"sec: {{chain: {{middlewares: [a]}}}}, a: {BAD}", ["not-enabled"], id="chain"
        ),
        pytest.param(f"sec: {USERS}", [], id="file"),
        pytest.param(f"sec: {{chain: {{middlewares: [a]}}}}, a: {USERS}", [], id="chain-of-file"),
        pytest.param("sec: {plugin: {a: {b: c}}}", [], id="plugin"),
    ],
)
def test_middlewares_are_proved(
    tmp_path: Path, stack: ExitStack, middlewares: str, codes: list[str]
) -> None:
    """A real Traefik judges the values of middlewares, unless they need what is not there."""
    web = {"http": {"middlewares": ["sec@file"]}}
    files = {"o.yml": f"http: {{middlewares: {{{middlewares}}}}}"}
    directory = Directory(stack, tmp_path, files, web)
    assert [*directory.problems("--prove")] == codes
    until(directory.traefik.routers, "no routers")
    assert directory.status() != 200


def test_middlewares_that_were_not_looked_at(tmp_path: Path) -> None:
    """Without -o a missing middleware is a warning; one of an absent provider is an error."""
    static = tmp_path / "traefik.yml"
    for name, severity in (("sec@file", "warning"), ("sec@docker", "error"), ("sec", "warning")):
        web = {"address": ":80", "http": {"middlewares": [name]}}
        static.write_text(json.dumps({"entryPoints": {"web": web}}))
        policy = {"_web_http_80._tcp.a.de": "100.64.0.1"}
        found = problems("--static-config", static, policy=policy)["unknown-middleware"]
        assert (found["severity"], found["setting"]) == (
            severity,
            "entryPoints.web.http.middlewares",
        )


@pytest.mark.parametrize(
    ("files", "unproved", "refused"),
    [
        pytest.param({"bad.yml": "http: ["}, True, "bad.yml", id="no-yaml"),
        pytest.param({"bad.yml": "http: {routers: {}}"}, True, "bad.yml", id="empty-map"),
        pytest.param({"sub/bad.toml": "[http"}, True, "bad.toml", id="below"),
        pytest.param(
            {"bad.yml": "http: {middlewares: {c: {chain: {middlewares: [[a]]}}}}"},
            True,
            "bad.yml",
            id="chain-of-lists",
        ),
        pytest.param({"bad.yml": "http: {bla: 1}"}, False, "bad.yml", id="unknown-field"),
        pytest.param({"bad.yml": "# {{ nope }}"}, False, "bad.yml", id="template"),
        pytest.param(
            {"a.json": "[", "e.yml": "", "t.yml": "x: 1", "c.yml": "# c"}, False, None, id="good"
        ),
    ],
)
def test_neighbour_that_traefik_refuses(
    tmp_path: Path, stack: ExitStack, files: dict[str, str], unproved: bool, refused: str | None
) -> None:
    """If Traefik refuses one file of the directory, no route is served."""
    directory = Directory(stack, tmp_path, files, {})
    assert directory.status() == (404 if refused else 200)
    codes = ["directory-file-refused"] if refused else []
    assert [*directory.problems()] == (codes if unproved else [])
    found = directory.problems("--prove")
    assert [*found] == codes
    if refused:
        assert found["directory-file-refused"]["path"].endswith(refused)


CATCH_ALL = (
    "%s: {routers: {all: {rule: '%s', priority: 99, service: s}},"
    " services: {s: {loadBalancer: {servers: [{%s: '%s'}]}}}}"
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(CATCH_ALL % ("http", "HostRegexp(`.+`)", "url", "http://[::1]:1"), id="http"),
        pytest.param(CATCH_ALL % ("tcp", "HostSNI(`*`)", "address", "[::1]:1"), id="tcp"),
    ],
)
def test_proof_beside_a_router_that_takes_everything(tmp_path: Path, text: str) -> None:
    """A router of another file on all entrypoints takes nothing from the API of the sandbox."""
    static = tmp_path / "traefik.yml"
    provider = f"providers: {{file: {{directory: {tmp_path}/d}}}}"
    static.write_text(f"entryPoints: {{web: {{address: ':80'}}}}\n{provider}")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "all.yml").write_text(text)
    options = ("--static-config", static, "-o", tmp_path / "d" / "o.yml", "--prove")
    policy = {"_web_http_80._tcp.a.de": "100.64.0.1"}
    assert [*problems(*options, policy=policy)] == ["taken-by-file"]


def test_dangling_link_in_the_directory(tmp_path: Path, stack: ExitStack) -> None:
    """A link to nothing in the directory keeps the provider from starting."""
    folder = tmp_path / "dynamic"
    folder.mkdir()
    (folder / "old.yml").symlink_to("/nowhere")
    directory = Directory(stack, tmp_path, {}, {})
    assert directory.status() == 404
    assert [*directory.problems()] == ["directory-file-refused"]


def test_health_checks_of_neighbours_dial_no_backend(tmp_path: Path, stack: ExitStack) -> None:
    """A proof loads the files of the directory without their health checks."""
    port = stack.enter_context(http_backend("web"))
    balancer = {"servers": [{"url": f"http://{HERE}:{port}"}], "healthCheck": {"path": "/x"}}
    services = {"http": {"services": {"s": {"loadBalancer": balancer, "nope": 1}}}}
    directory = Directory(stack, tmp_path, {"s.yml": json.dumps(services)}, {})
    assert [*directory.problems("--prove")] == ["directory-file-refused"]


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"http": {"tls": {"certResolver": "lee"}}}, "unknown-resolver", id="wrong"),
        pytest.param({"http": {"tls": {}}}, None, id="none"),
    ],
)
def test_resolver_of_an_entrypoint(
    tmp_path: Path, stack: ExitStack, settings: dict[str, Any], code: str | None
) -> None:
    """With an unknown resolver the router is enabled and has Traefik's own certificate."""
    directory = Directory(stack, tmp_path, {}, settings)
    assert [*directory.problems()] == ([code] if code else [])
    until(directory.traefik.routers, "no routers")
    (router,) = directory.traefik.routers().values()
    assert router["status"] == "enabled"
    client = any_certificate()
    assert directory.traefik.get("web", "a.de", tls=client) == Answer(200, "web")


COMPOSE = """
services:
  proxy:
    image: traefik:v3
    command:
      - --entrypoints.web.address=:80
      - --providers.docker.%s=true
"""


@pytest.mark.parametrize(("setting", "line"), [("watch", None), ("swarmMode", 7), ("wathc", 7)])
def test_traefiks_verdict_on_flags(tmp_path: Path, setting: str, line: int | None) -> None:
    """--prove has Traefik's verdict on the flags of a Compose file, at the line of the flag."""
    file = tmp_path / "compose.yml"
    file.write_text(COMPOSE % setting)
    found = problems("--prove", "--static-config", file, policy={})
    assert line == (found.get("static-config-refused") or {"line": None})["line"]


def test_entrypoints_of_a_traefik_that_runs(tmp_path: Path, stack: ExitStack) -> None:
    """--traefik-api takes the entrypoints and the release from a Traefik, however it is set."""
    redirect = {"entryPoint": {"to": "ws"}}
    settings = {"entryPoints": {"web": {"http": {"redirections": redirect}}, "ws": {}}}
    traefik = stack.enter_context(CheckedTraefik(tmp_path, settings, {}))
    api = f"http://{HERE}:{traefik.ports['traefik']}"
    names = ("_web_http_80._tcp.a.de", "_ws_http_80._tcp.b.de", "_Web_http_80._tcp.c.de")
    policy = dict.fromkeys(names, "100.64.0.1")
    codes = {"redirect-shadows-route", "entrypoint-without-tls", "unknown-entrypoint"}
    assert {*problems("--traefik-api", api, policy=policy)} == codes
    given = ("--entrypoint", "web=:80,redirect=ws", "--entrypoint", "ws=:443,tls=false")
    assert {*problems(*given, policy=policy)} == codes
    good = ("--entrypoint", "web=:80", "--entrypoint", "Web", "--entrypoint", "ws=:443,tls")
    assert {*problems(*good, policy=policy)} == set()


def test_no_api_there() -> None:
    """A Traefik that does not answer is one line and bad usage, like a file that is not there."""
    done = run("validate", "--traefik-api", f"http://{HERE}:1", "-", stdin=b'{"hosts": {}}')
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traefik's API at" in done.stderr
