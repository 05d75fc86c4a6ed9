"""The Python API: its functions, their documented examples, and what it does not load."""

from __future__ import annotations

import dataclasses
import doctest
import json
import subprocess
import sys

import pytest
from support.commands import run
from support.paths import ROOT

import ctsdns_traefik
from ctsdns_traefik import (
    Diagnostic,
    Entry,
    EntryError,
    InputError,
    Route,
    api,
    parse_entry,
    render,
    validate_policy,
)
from ctsdns_traefik.core.dynamic import render as core_render

ENTRY = "_websecure_http_3000._tcp.app.example.com"
POLICY = json.dumps({"hosts": {ENTRY: "100.64.0.1"}})


def test_documented_examples() -> None:
    """The examples in docs/python-api.md give what the document shows."""
    document = ROOT / "docs" / "python-api.md"
    failed, tried = doctest.testfile(str(document), module_relative=False)
    assert (failed, tried > 10) == (0, True)


def test_document_names_what_is_public() -> None:
    """docs/python-api.md names every public class and function."""
    document = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    public = [name for name in ctsdns_traefik.__all__ if not name.startswith("_")]
    assert [name for name in public if f"`{name}" not in document] == []


def test_everything_public_is_there() -> None:
    """Each exported name can be imported, and no other name of the API's module can."""
    for name in ctsdns_traefik.__all__:
        assert getattr(ctsdns_traefik, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'check_policy'"):
        _ = ctsdns_traefik.check_policy


def modules_after(code: str) -> set[str]:
    """Return the modules that a new process has loaded after some code."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return set(printed.split())


def test_package_alone_loads_nothing() -> None:
    """To import the package loads no other module of it, and neither does --version."""
    loaded = modules_after("import ctsdns_traefik")
    assert [name for name in loaded if name.startswith("ctsdns_traefik.")] == []


def test_api_loads_only_the_core() -> None:
    """The API uses the core alone: no command line, no network, no log."""
    loaded = modules_after(
        "from ctsdns_traefik import *;"
        f"parse_entry({ENTRY!r}); render({POLICY!r}, access='default: tailscale-only');"
        f"validate_policy({POLICY!r}, static_config='entryPoints: {{web: {{}}}}')"
    )
    outside = {
        name
        for name in loaded
        if name.startswith("ctsdns_traefik.") and not name.startswith("ctsdns_traefik.core")
    }
    assert outside == {"ctsdns_traefik.api"}
    assert loaded.isdisjoint({"click", "requests", "rich", "socket", "subprocess"})


def test_parse_host_starts_without_the_api() -> None:
    """parse-host loads neither the API nor what only options of other commands need."""
    loaded = modules_after(f"from ctsdns_traefik.cli import main; main(['parse-host', {ENTRY!r}])")
    assert "ctsdns_traefik.core.entries.grammar" in loaded
    assert loaded.isdisjoint(
        {"ctsdns_traefik.api", "dataclasses", "difflib", "json", "logging", "rich", "requests"}
    )


def test_entry() -> None:
    """An entry is parsed into its parts; the address is its shortest form, or none."""
    parts = (ENTRY, "websecure", "http", 3000, "app.example.com")
    assert parse_entry(ENTRY, "fd7a:115c:a1e0:0::1") == Entry(*parts, "fd7a:115c:a1e0::1")
    assert parse_entry(ENTRY) == Entry(*parts, None)
    assert parse_entry("app.example.com", "100.64.0.1") is None


def test_malformed_entry() -> None:
    """A malformed entry is an exception with the diagnostic."""
    with pytest.raises(EntryError, match=r"^bad-address: ") as caught:
        parse_entry(ENTRY, "nowhere")
    diagnostic = caught.value.diagnostic
    start = len(ENTRY) + 1
    assert diagnostic == Diagnostic(
        code="bad-address",
        severity="error",
        message=diagnostic.message,
        hint=diagnostic.hint,
        entry=ENTRY,
        address="nowhere",
        span=(start, start + len("nowhere")),
    )


ROUTE = Route(
    entry=ENTRY,
    entrypoint="websecure",
    scheme="http",
    port=3000,
    domain="app.example.com",
    address="100.64.0.1",
    type="http",
    router="router-app-example-com",
    rule="Host(`app.example.com`)",
    service="service-app-example-com-http-3000",
    backend="http://100.64.0.1:3000",
    passthrough=None,
    middlewares=(),
    tls_options="",
)


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(POLICY, id="text"),
        pytest.param(POLICY.encode(), id="bytes"),
        pytest.param(f"// a policy\n{POLICY}", id="hujson"),
        pytest.param(f'{{"machines": [], "acl": {POLICY}}}', id="snapshot"),
        pytest.param({ENTRY: "100.64.0.1"}, id="hosts"),
    ],
)
def test_rendering(policy: str | bytes | dict[str, object]) -> None:
    """A policy in any form gives the text that the commands write, and its routes."""
    text = core_render({ENTRY: "100.64.0.1"}).text
    assert render(policy) == api.RenderResult(text, (ROUTE,), ())


def test_rendering_for_an_entrypoint_without_tls() -> None:
    """HTTP and passthrough of one name are both rendered where the entrypoint has no TLS."""
    hosts = {"_web_http_80._tcp.a.de": "100.64.0.1", "_web_tls_443._tcp.a.de": "100.64.0.1"}
    assert len(render(hosts).routes) == 1
    assert len(render(hosts, without_tls=["web"]).routes) == 2


def test_rendering_with_access() -> None:
    """An access file puts its middlewares in front of the routes."""
    result = render(POLICY, access="\ufeffdefault: tailscale-only\n")
    assert result.routes == (dataclasses.replace(ROUTE, middlewares=("access-tailnet",)),)
    assert "ipAllowList" in result.text


@pytest.mark.parametrize("arguments", [["--access-file", "access.yml"], []], ids=["access", ""])
def test_validation_finds_what_the_command_finds(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str]
) -> None:
    """validate_policy reports the routes and diagnostics of ``validate --format json``."""
    folder = tmp_path_factory.mktemp("validate")
    texts = {
        "policy.json": '{"hosts": {"_x": "1",\n"_other_ssh_22._tcp.a.example.com": "100.64.0.1",\n'
        '"_web_http_80._tcp.a.example.com": "100.64.0.2"}}',
        "traefik.yml": "entryPoints:\n  web: {address: ':80'}\n",
        "access.yml": "default: tailscale-only\nroutes:\n  b.example.com: {access: public}\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    command = ["validate", "policy.json", "--static-config", "traefik.yml", "--format", "json"]
    printed = json.loads(run(*command, *arguments, cwd=folder).stdout)
    access = texts["access.yml"] if arguments else None
    result = validate_policy(
        texts["policy.json"], static_config=texts["traefik.yml"], access=access
    )
    files = {"policy.json": "policy", "traefik.yml": "static_config", "access.yml": "access"}
    assert len(result.diagnostics) > 1
    assert [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(each).items()
        }
        for each in result.diagnostics
    ] == [
        {
            **{key: value for key, value in each.items() if key != "path"},
            "input": files.get(each["path"]),
        }
        for each in printed["problems"]
    ]
    assert [route.router for route in result.routes] == [
        route["router"] for route in printed["routes"]
    ]
    assert (result.ok, result.entrypoints_checked) == (False, True)


@pytest.mark.parametrize(
    ("arguments", "name", "place"),
    [
        pytest.param({"policy": ""}, "policy", (None, None), id="policy-empty"),
        pytest.param({"policy": b"\xff"}, "policy", (None, None), id="policy-not-utf-8"),
        pytest.param({"policy": "\ud800"}, "policy", (None, None), id="policy-lone-surrogate"),
        pytest.param({"policy": "[" * 100_000}, "policy", (None, None), id="policy-too-deep"),
        pytest.param({"access": "default: é\n"}, "access", (1, 1), id="access-mode"),
        pytest.param({"access": "{é: [\n"}, "access", (2, 1), id="access-not-yaml"),
        pytest.param({"access": "\ud800"}, "access", (None, None), id="access-lone-surrogate"),
        pytest.param({"static_config": ""}, "static_config", (1, 1), id="static-empty"),
        pytest.param({"static_config": "é: {"}, "static_config", (1, 6), id="static-not-yaml"),
        pytest.param(
            {"static_config": "a = '\ud800'", "static_format": "toml"},
            "static_config",
            (None, None),
            id="toml-lone-surrogate",
        ),
        pytest.param(
            {"static_config": "a = [", "static_format": "toml"},
            "static_config",
            (1, 6),
            id="static-not-toml",
        ),
    ],
)
def test_unusable_input(
    arguments: dict[str, str], name: str, place: tuple[int | None, int | None]
) -> None:
    """Text that cannot be used is an InputError with the argument, the reason and the place."""
    with pytest.raises(InputError) as caught:
        validate_policy(**{"policy": POLICY, **arguments})  # type: ignore[arg-type]
    error = caught.value
    assert (error.input, (error.line, error.column)) == (name, place)
    assert error.reason
    assert str(error).startswith(name)
    assert str(error).endswith(error.reason)


@pytest.mark.parametrize("section", ["hosts", "Hosts", "acl", "grants"])
def test_whole_policy_as_a_map(section: str) -> None:
    """A parsed policy or snapshot is no hosts map: taken for one, it would have no routes."""
    with pytest.raises(InputError, match=section):
        render({"x": "100.64.0.1", section: [{}] if section == "grants" else {ENTRY: "100.64.0.1"}})


def test_results_are_frozen() -> None:
    """No result can be changed."""
    for value in (parse_entry(ENTRY), render(POLICY), validate_policy(POLICY), ROUTE):
        assert dataclasses.is_dataclass(value)
        field = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, None)
    hash(render(POLICY))


def test_render_for_a_release() -> None:
    """An option that a release does not know is refused for it, at its place, and else written."""
    access = "forwardAuth: {o: {address: 'http://a/', authSigninURL: 'http://b/'}}\n"
    access += "default: {access: forward-auth, forwardAuth: o}"
    hosts = {"_web_http_80._tcp.a.de": "100.64.0.1"}
    assert "authSigninURL" in render(hosts, access=access).text
    with pytest.raises(InputError, match=r"needs Traefik 3\.7\.0 or newer") as caught:
        render(hosts, access=access, traefik_version=(3, 6))
    assert (caught.value.input, caught.value.line, caught.value.column) == ("access", 1, 41)
