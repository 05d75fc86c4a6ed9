"""Routers of other files in Traefik's directory that take what our routes are for."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local import until
from support.backends import banner_backend, http_backend
from support.checked import CheckedTraefik
from support.commands import run
from support.traefik import any_certificate, traefik_release

from ctsdns_traefik.core.checks.dynamic_files import DynamicFile, DynamicFiles
from ctsdns_traefik.core.checks.other_routers import check_other_routers
from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.static_config.configuration import read_static

HERE = "127.0.0.1"
STRICT = {"clientAuth": {"clientAuthType": "RequireAnyClientCert"}}


def router(rule: str, **others: Any) -> dict[str, Any]:
    """Return a router to the backend of the other files."""
    return {"rule": rule, "service": "other", "entryPoints": ["web"], **others}


def test_taken_by_another_file(tmp_path: Path, stack: ExitStack) -> None:
    """Each route that is reported leads elsewhere or nowhere, each other one to its backend."""
    ours, theirs = (stack.enter_context(http_backend(name)) for name in ("ours", "theirs"))
    ssh = stack.enter_context(banner_backend(b"ssh"))
    web = {
        f"{name}.example.de": router(rule, **more)
        for name, rule, more in (
            ("longer", "Host(`longer.example.de`) || Host(`www.longer.example.de`)", {}),
            ("higher", "HostRegexp(`^hi.+`)", {"priority": 100}),
            ("root", "Host(`root.example.de`) && PathRegexp(`^/`)", {}),
            ("unserved", "Host(`unserved.example.de`)", {"priority": 100, "service": "none"}),
            ("part", "Host(`part.example.de`) && PathPrefix(`/x`)", {}),
            (
                "not",
                "!(Host(`x.example.de`) || Host(`not.example.de`)) && Host(`y.example.de`)",
                {},
            ),
            ("shorter", "PathPrefix(`/`)", {}),
            ("secure", "Host(`secure.example.de`)", {"priority": 100, "tls": {}}),
        )
    }
    ws = {
        "db.example.de": router("Host(`db.example.de`) && PathPrefix(`/x`)", entryPoints=["ws"]),
        "but.example.de": router(
            "PathPrefix(`/x`) && !Host(`but.example.de`)", entryPoints=["ws"], tls={}
        ),
        "open.example.de": router(
            "Host(`open.example.de`) && PathPrefix(`/x`)", entryPoints=["ws"], tls={}
        ),
    }
    servers = {"other": {"loadBalancer": {"servers": [{"url": f"http://{HERE}:{theirs}"}]}}}
    tcp = {"loadBalancer": {"servers": [{"address": f"{HERE}:{ssh}"}]}}
    star = {"rule": "HostSNI(`*`)", "service": "other", "entryPoints": ["raw"]}
    files: dict[str, Any] = {
        "z.yml": {
            "http": {"routers": {**web, **ws}, "services": servers},
            "tcp": {"routers": {"star": star}, "services": {"other": tcp}},
            "tls": {"options": {"strict": STRICT}},
        },
        "sub/z.yml": {
            "http": {"routers": {"router-later-example-de": router("Host(`later.example.de`)")}}
        },
        "a.yml": {"http": {"routers": {"router-first-example-de": router("Host(`x.example.de`)")}}},
    }
    settings = {
        "entryPoints": {
            "web": {},
            "raw": {},
            "ws": {"http": {"tls": {"options": "strict@file"}}},
        },
        "providers": {"file": {"directory": str(tmp_path / "dynamic")}},
    }
    plain = [*(name.removesuffix(".example.de") for name in web), "first", "later"]
    hosts = {f"_web_http_{ours}._tcp.{name}.example.de": HERE for name in plain}
    hosts |= {f"_ws_http_{ours}._tcp.{name}.example.de": HERE for name in ("open", "strict", "but")}
    hosts |= {
        f"_ws_ssh_{ssh}._tcp.db.example.de": HERE,
        f"_raw_http_{ours}._tcp.raw.example.de": HERE,
    }
    checked = CheckedTraefik(tmp_path, settings, hosts, "dynamic/d.yml")
    for name, content in files.items():
        (tmp_path / "dynamic" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "dynamic" / name).write_text(json.dumps(content))
    traefik = stack.enter_context(checked)
    until(lambda: len(traefik.routers()) > len(hosts), "not all routers")
    version = ".".join(map(str, traefik_release()))
    options = ("--static-config", tmp_path / "traefik.yml", "--traefik-version", version)
    done = run(
        "validate",
        "--format",
        "json",
        *options,
        "-o",
        traefik.output,
        "-",
        stdin=json.dumps({"hosts": hosts}).encode(),
    )
    taken = {
        each["entry"].partition("_tcp.")[2]
        for each in json.loads(done.stdout)["problems"]
        if each["code"] == "taken-by-file"
    }
    asked = {f"{name}.example.de": "web" for name in plain} | {"raw.example.de": "raw"}

    def elsewhere() -> set[str]:
        found = {name for name, at in asked.items() if traefik.get(at, name).body != "ours"}
        for name in (
            "open.example.de",
            "strict.example.de",
            "but.example.de",
        ):  # which demand a certificate
            if traefik.get("ws", name, tls=any_certificate()).body == "ours":
                found.add(name)
        return found if traefik.heard("ws", "db.example.de", wait=1) else {*found, "db.example.de"}

    until(lambda: elsewhere() == taken, f"not {taken} lead elsewhere")
    assert {
        "longer.example.de",
        "higher.example.de",
        "first.example.de",
        "raw.example.de",
        "db.example.de",
        "open.example.de",
    } <= taken


DEFAULT_AND_OTHER = "entryPoints: {web: {address: ':80', asDefault: true}, lan: {address: ':81'}}"


@pytest.mark.parametrize(
    ("routers", "entry", "reported"),
    [
        pytest.param(
            "{x: {service: s, rule: 'Host(`a.de`)'}}", "_web_http_80._tcp.a.de", True, id="tied"
        ),
        pytest.param(
            '{x: {service: s, rule: Host("a.de")}}', "_web_http_80._tcp.a.de", True, id="quotes"
        ),
        pytest.param(
            "{x: {service: s, rule: 'Host(`a.de`)'}}", "_lan_http_80._tcp.a.de", False, id="default"
        ),
        pytest.param(
            "{x: {service: s, rule: '(PathPrefix(`/`))'}}",
            "_web_http_80._tcp.even-longer.de",
            False,
            id="short",
        ),
        pytest.param(
            "{x: {service: s, rule: 'HostRegexp(`[`)', priority: 99}}",
            "_web_http_80._tcp.a.de",
            False,
            id="re",
        ),
        pytest.param(
            "{x: {service: s, rule: 'HostRegexp(`^[a-z]+.[a-z]+$`)', priority: 99}}",
            "_web_http_80._tcp.a.de",
            True,
            id="repeated",
        ),
        pytest.param(
            "{x: {service: s, rule: 'HostRegexp(`^([a-z]+[.]?)+$`)', priority: 99}}",
            "_web_http_80._tcp.a.de",
            False,
            id="nested",
        ),
        pytest.param(
            "{x: {service: s, rule: 'HostRegexp(`^[a-z]*[a-z]*[.].*$`)', priority: 99}}",
            "_web_http_80._tcp.a.de",
            False,
            id="many",
        ),
    ],
)
def test_routers_of_a_file(routers: str, entry: str, reported: bool) -> None:
    """A router without entrypoints is on the default ones, and rules are judged by their form."""
    routes = plan_routes(read_hosts({entry: HERE}).entries).routes
    files = DynamicFiles(
        [DynamicFile("/d/x.yml", f"http: {{routers: {routers}, services: {{s: {{x: y}}}}}}")],
        certain=True,
    )
    static = read_static(DEFAULT_AND_OTHER, "yaml")
    found = list(check_other_routers(routes, static, files, "/d/d.yml"))
    assert [each.code for each in found] == ["taken-by-file"] * reported


def test_last_udp_router_serves() -> None:
    """Of several UDP routers on an entrypoint the one whose name is the last has the datagrams."""
    routes = plan_routes(read_hosts({"_dns_dns_53._udp.a.de": HERE}).entries).routes
    static = read_static("entryPoints: {dns: {address: ':53/udp'}}", "yaml")
    for name, reported in (("a", False), ("z", True)):
        text = f"udp: {{routers: {{{name}: {{service: s}}}}, services: {{s: {{x: y}}}}}}"
        files = DynamicFiles([DynamicFile("/d/x.yml", text)], certain=True)
        found = list(check_other_routers(routes, static, files, "/d/d.yml"))
        assert [each.code for each in found] == ["taken-by-file"] * reported
