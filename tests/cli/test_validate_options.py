"""``ctsdns-traefik validate`` held against static configurations, proved, and in every format."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.commands import UNCHECKED, run

POLICY = """\
// the tailnet's policy
{
\t"hosts": {
\t\t"laptop": "100.64.0.9",
\t\t/* b\u00fccher */ "_websecur_http_3000._tcp.app.example.com": "100.64.0.1",
\t\t"_websecure_https_8443._tcp.*.nas.example.com": "100.64.0.2", // TLS
\t},
}
"""

STATIC = """\
entryPoints:
  websecure:
    address: ":443"
    http:
      tls: {}
providers:
  file:
    filename: /etc/traefik/dynamic.yml
api:
  insecure: true
"""

TOML = """\
[entryPoints.websecure]
address = ":443"
[entryPoints.websecure.http.tls]
"""

HTTPS = "_websecure_https_8443._tcp.*.nas.example.com"
UNKNOWN = (
    "5:17: error unknown-entrypoint: _websecur_http_3000._tcp.app.example.com=100.64.0.1:"
    " Traefik has no entrypoint websecur; did you mean websecure? it has"
)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """Return a policy with an entry on an entrypoint that is misspelt."""
    path = tmp_path / "policy.hujson"
    path.write_text(POLICY)
    return path


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """Return a static configuration without that entrypoint."""
    path = tmp_path / "traefik.yml"
    path.write_text(STATIC)
    return path


def problems_of(*arguments: str | Path, code: int = 1) -> list[str]:
    """Return the lines that validate has for problems."""
    done = run("validate", *arguments)
    assert (done.returncode, done.stderr) == (code, "")
    return [line for line in done.stdout.splitlines() if "error " in line or "warning " in line]


def test_static_configuration_in_yaml(policy: Path, static: Path) -> None:
    """What goes wrong under a static configuration is reported with its place."""
    entries = [f"{policy}:{UNKNOWN} traefik, websecure", f"{policy}:6:3: warning https-backend-unv"]
    lines = problems_of(policy, "--static-config", static)
    wanted = [
        *entries,
        f"{static}:10:3: warning dashboard-exposed: api.insecure: anyone who can reach",
    ]
    assert [line[: len(start)] for line, start in zip(lines, wanted, strict=True)] == wanted


def test_static_configuration_in_toml(policy: Path, tmp_path: Path) -> None:
    """TOML says the same."""
    path = tmp_path / "traefik.toml"
    path.write_text(TOML)
    first, second = problems_of(policy, "--static-config", path)
    assert first == f"{policy}:{UNKNOWN} websecure"
    assert second.startswith(f"{policy}:6:3: warning https-backend-unverifiable: {HTTPS}")


def test_entrypoints_on_the_command_line(policy: Path, static: Path) -> None:
    """Entrypoints given by name are known, alone or beside a static configuration."""
    (line,) = problems_of(policy, "--entrypoint", "websecure", "--entrypoint", "tcp=:4433")
    assert line == f"{policy}:{UNKNOWN} tcp, websecure"
    assert problems_of(policy, "--entrypoint=websecure", "--entrypoint=websecur", code=0) == []
    (line,) = problems_of(policy, "--entrypoint=websecure", "--entrypoint=websecur=:53/udp")
    assert "error wrong-protocol-entrypoint: " in line
    lines = problems_of(policy, "--static-config", static, "--entrypoint=websecur", code=0)
    assert [line.split()[1:3] for line in lines] == [
        ["warning", "https-backend-unverifiable:"],
        ["warning", "dashboard-exposed:"],
    ]


def test_dynamic_file_of_another_name(policy: Path, static: Path) -> None:
    """Given the dynamic file, it is reported whether Traefik would read it."""
    options = ("--static-config", static, "--entrypoint", "websecur", "--output")
    *_, line, _ = problems_of(policy, *options, "/etc/traefik/routes.yml")
    setting = "providers.file.filename"
    assert line.startswith(
        f"{static}:8:5: error dynamic-file-not-watched: {setting}: Traefik reads"
    )
    assert len(problems_of(policy, *options, "/etc/traefik/dynamic.yml", code=0)) == 2


@pytest.mark.parametrize("version", ["3.6", "v3.6.15", "3.0.4-rc1"])
def test_version_that_knows_no_wildcards(policy: Path, version: str) -> None:
    """Wildcards are errors for a Traefik before 3.7."""
    (line,) = problems_of(policy, "--traefik-version", version)
    assert line.startswith(f"{policy}:6:3: error unreachable-wildcard: {HTTPS}=100.64.0.2: ")
    assert problems_of(policy, "--traefik-version", "3.7.1", code=0) == []


def test_strict_fails_for_warnings(policy: Path, static: Path) -> None:
    """Warnings alone are fine, unless --strict is given."""
    options = ("--static-config", static, "--entrypoint", "websecur")
    assert len(problems_of(policy, *options, code=0)) == 2
    assert len(problems_of(policy, *options, "--strict", code=1)) == 2


def test_github_format(policy: Path) -> None:
    """Each problem is one workflow command that GitHub puts on its line, and is counted."""
    done = run("validate", policy, "--entrypoint", "websecure", "--format", "github")
    escaped = str(policy).replace(":", "%3A").replace(",", "%2C")
    assert done.returncode == 1
    command = f"::error file={escaped},line=5,col=17,title=unknown-entrypoint::"
    message = "_websecur_http_3000._tcp.app.example.com=100.64.0.1: Traefik has no entrypoint"
    hint = "websecur; did you mean websecure? it has websecure"
    summary = "2 routes, 1 error, 0 warnings; needs Traefik 3.7.0 or newer"
    assert done.stdout.splitlines() == [f"{command}{message} {hint}", summary]


def test_github_format_escapes() -> None:
    """Nothing in an entry ends its command or starts another."""
    hosts = {"_%0A::error::x_http_80._tcp.a\n::warning::y": "::1"}
    done = run("validate", "-", "--format=github", stdin=json.dumps({"hosts": hosts}).encode())
    *commands, summary = done.stdout.splitlines()
    assert len(commands) == 2
    for command in commands:
        assert command.startswith("::error file=<stdin>,line=1,col=12,title=bad-")
        assert "%250A::error::x" in command
    assert summary == f"0 routes, 2 errors, 0 warnings{UNCHECKED}"


def test_github_format_escapes_paths(tmp_path: Path) -> None:
    """GitHub reads the very path, whatever in it would end or change a property."""
    policy = tmp_path / "100%2C, 2:3\nx.json"
    policy.write_text('{"hosts": {"_": ""}}')
    done = run("validate", policy.name, "--format=github", cwd=tmp_path)
    start = "::error file=100%252C%2C 2%3A3%0Ax.json,line=1,col=12,title=bad-name::"
    assert done.stdout.startswith(start)


def test_long_path_is_shown_whole(tmp_path: Path) -> None:
    """However long, the path of a problem can be opened."""
    folder = "d" * 200
    (tmp_path / folder / folder).mkdir(parents=True)
    (tmp_path / folder / folder / "p.json").write_text('{"hosts": {"_": ""}}')
    done = run("validate", f"{folder}/{folder}/p.json", cwd=tmp_path)
    assert done.stdout.startswith(f"{folder}/{folder}/p.json:1:12: error bad-name: ")


def validated(*arguments: str | Path, stdin: bytes = b"") -> dict[str, Any]:
    """Return what validate says as JSON, once it fits the schema that the package brings."""
    schema = resources.files("ctsdns_traefik").joinpath("schemas/validate.schema.json")
    validator = Draft202012Validator(json.loads(schema.read_text()))
    printed: dict[str, Any] = json.loads(
        run("validate", *arguments, "--format=json", stdin=stdin).stdout
    )
    validator.check_schema(validator.schema)
    validator.validate(printed)
    return printed


def test_json_fits_its_schema(policy: Path, static: Path, data: Path) -> None:
    """Whatever the source and whatever is found, the JSON is as the schema says."""
    printed = validated(policy, "--static-config", static)
    places = [(each["path"], each["line"], each["column"]) for each in printed["problems"]]
    assert places == [(str(policy), 5, 17), (str(policy), 6, 3), (str(static), 10, 3)]
    settings = [(each["entry"] or None, each["setting"]) for each in printed["problems"]]
    assert settings[1:] == [(HTTPS, None), (None, "api.insecure")]
    assert printed["traefik"] is None
    counted = {"routes": 5, "errors": 0, "warnings": 0, "entrypointsChecked": False}
    assert printed["summary"]["traefikNeeded"] == "3.7.0"
    for source in ("worker-stream.txt", "policy.hujson"):
        assert validated(data / source)["summary"] == counted | {"traefikNeeded": "3.0.4"}
    assert validated("-", stdin=b'{"acls": []}')["routes"] == []


def test_schema_is_closed(policy: Path) -> None:
    """The schema knows every field: one more or one less does not fit it."""
    printed = validated(policy)
    schema = resources.files("ctsdns_traefik").joinpath("schemas/validate.schema.json")
    validator = Draft202012Validator(json.loads(schema.read_text()))
    route = printed["routes"][0]
    assert not validator.is_valid(printed | {"more": 1})
    assert not validator.is_valid(printed | {"routes": [route | {"more": 1}]})
    assert not validator.is_valid(printed | {"routes": [{**route, "port": "80"}]})
    for field in printed:
        assert not validator.is_valid({key: printed[key] for key in printed if key != field})


@pytest.mark.parametrize(
    ("known", "checked"),
    [
        pytest.param((), False, id="nothing"),
        pytest.param(("--static-config",), True, id="static-configuration"),
        pytest.param(("--entrypoint", "websecure"), True, id="one-entrypoint"),
    ],
)
def test_summary_says_whether_entrypoints_were_checked(
    policy: Path, static: Path, known: tuple[str, ...], checked: bool
) -> None:
    """Every format has it in its summary, if nothing says which entrypoints Traefik has."""
    known = (*known, str(static)) if known == ("--static-config",) else known
    for form in ("text", "github"):
        done = run("validate", policy, *known, "--format", form)
        assert done.stdout.endswith(f"{UNCHECKED}\n") is not checked
        assert ("unknown-entrypoint" in done.stdout) is checked
    assert validated(policy, *known)["summary"]["entrypointsChecked"] is checked


SLIPS = """\
{"hosts": {
  "websecure_http_80._tcp.a.example.com": "100.64.0.1",
  "_websecure_htps_80._tcp.b.example.com": "100.64.0.1",
}}
"""


def test_near_misses_are_warnings_at_their_places(tmp_path: Path) -> None:
    """A name without its underscore and a scheme with a slip are warnings, which --strict fails."""
    policy = tmp_path / "slips.hujson"
    policy.write_text(SLIPS)
    done = run("validate", policy, "--entrypoint", "websecure")
    route, *warnings, summary = done.stdout.splitlines()
    assert (done.returncode, summary) == (0, "1 route, 0 errors, 2 warnings")
    assert route == "websecure: HostSNI(`b.example.com`) -> 100.64.0.1:80 (TLS ends at Traefik)"
    assert [line.partition("=100.64.0.1: ")[0] for line in warnings] == [
        f"{policy}:2:3: warning missing-underscore: websecure_http_80._tcp.a.example.com",
        f"{policy}:3:3: warning unusual-scheme: _websecure_htps_80._tcp.b.example.com",
    ]
    assert run("validate", policy, "--strict").returncode == 1
    problems = validated(policy)["problems"]
    assert [problem["severity"] for problem in problems] == ["warning", "warning"]


def test_proof(policy: Path, static: Path) -> None:
    """--prove has a real Traefik say which route it does not enable, beside what the rules say."""
    printed = validated(policy, "--prove", "--static-config", static)
    codes = [(each["code"], each["line"]) for each in printed["problems"]]
    assert codes[:2] == [("unknown-entrypoint", 5), ("not-enabled", 5)]
    message = printed["problems"][1]["message"]
    assert message.startswith(f"Traefik {printed['traefik']} does not enable the route: entryPoint")
    lines = run("validate", policy, "--prove")
    assert lines.returncode == 0
    assert lines.stdout.endswith(
        f", 0 warnings; proved by Traefik {printed['traefik']}; needs Traefik 3.7.0 or newer"
        f"{UNCHECKED}\n"
    )


@pytest.mark.parametrize("known", [[], ["--entrypoint=dns", "--entrypoint=ssh"]])
def test_proof_of_raw_and_udp_routes(tmp_path: Path, known: list[str]) -> None:
    """Traefik enables both kinds on entrypoints of which only the names are known."""
    policy = tmp_path / "policy.json"
    entries = dict.fromkeys(("_dns_dns_53._udp.ns.de", "_ssh_ssh_22._tcp.*"), "100.64.0.1")
    policy.write_text(json.dumps({"hosts": entries}))
    done = run("validate", policy, "--prove", *known)
    assert done.returncode == 0, done.stdout
    assert "2 routes, 0 errors, 0 warnings; proved by" in done.stdout
