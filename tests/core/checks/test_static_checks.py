"""The rules about Traefik's static configuration alone."""

from __future__ import annotations

import json

import pytest

from ctsdns_traefik import validate_policy
from ctsdns_traefik.core.access.model import AccessText
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.checks.validation import StaticText, check_policy
from ctsdns_traefik.core.policy.locations import SourceText
from ctsdns_traefik.core.policy.snapshot import hosts_of_text
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.static_config.configuration import read_static, with_entrypoints


def problems_of(
    text: str, output: str | None = None, version: tuple[int, ...] = (3, 7)
) -> tuple[Diagnostic, ...]:
    """Check a static configuration in YAML."""
    return tuple(check_static(read_static(text, "yaml"), output, version))


def not_watched(setting: str, message: str, hint: str) -> Diagnostic:
    """Return a problem of the dynamic file."""
    return Diagnostic("dynamic-file-not-watched", "", message, hint, (0, 0), setting=setting)


BOTH = "set providers.file.directory, in place of filename, to a folder with both files"
SET_FILENAME = 'set providers.file.filename to "/etc/d.yml"'


@pytest.mark.parametrize(
    ("text", "output", "problem"),
    [
        pytest.param(
            "log: {level: INFO}",
            "/etc/d.yml",
            not_watched(
                "providers.file", "Traefik is not configured to read a dynamic file", SET_FILENAME
            ),
            id="no-provider",
        ),
        pytest.param(
            "providers: {file: {watch: true}}",
            "/etc//x/../d.yml",
            not_watched(
                "providers.file", "Traefik is not configured to read a dynamic file", SET_FILENAME
            ),
            id="provider-without-a-file",
        ),
        pytest.param(
            "providers: {file: {filename: /etc/other.yml}}",
            "/etc/d.yml",
            not_watched(
                "providers.file.filename",
                'Traefik reads "/etc/other.yml", not /etc/d.yml',
                BOTH,
            ),
            id="another-file",
        ),
        pytest.param(
            "providers: {file: {filename: other.yml}}",
            "/etc/d.yml",
            not_watched(
                "providers.file.filename", 'Traefik reads "other.yml", not /etc/d.yml', BOTH
            ),
            id="relative-with-another-name",
        ),
        pytest.param(
            "providers: {file: {directory: /etc/traefik, filename: /etc/d.yml}}",
            "/etc/d.yml",
            not_watched(
                "providers.file.directory",
                'Traefik watches only the files directly in "/etc/traefik", and /etc/d.yml is not'
                " there",
                "set providers.file.directory to the folder of the file, or write the file there",
            ),
            id="directory-wins",
        ),
        pytest.param(
            "providers: {file: {directory: /etc}}",
            "/etc/below/d.yml",
            not_watched(
                "providers.file.directory",
                'Traefik watches only the files directly in "/etc", and /etc/below/d.yml is not'
                " there",
                "set providers.file.directory to the folder of the file, or write the file there",
            ),
            id="below-the-directory",
        ),
        pytest.param(
            "providers: {file: {filename: /etc/d.yml, watch: false}}",
            "/etc/d.yml",
            not_watched(
                "providers.file.watch",
                "Traefik reads the dynamic file only once, when it starts",
                "remove providers.file.watch, or set it to true",
            ),
            id="no-watch",
        ),
        pytest.param(
            "providers: {file: {filename: /etc/d.json}}",
            "/etc/d.json",
            not_watched(
                "providers.file",
                'Traefik reads nothing from a file with the ending ".json"',
                "write to a file whose name ends in .yml",
            ),
            id="json",
        ),
        pytest.param(
            "providers: {file: {directory: /etc}}",
            "/etc/d.toml",
            not_watched(
                "providers.file",
                'Traefik reads TOML from a file with the ending ".toml"',
                "write to a file whose name ends in .yml",
            ),
            id="toml",
        ),
    ],
)
def test_dynamic_file_not_watched(text: str, output: str, problem: Diagnostic) -> None:
    """A dynamic file that Traefik does not read, or not again, is an error of the setting."""
    assert problems_of(text, output) == (problem,)


@pytest.mark.parametrize(
    ("provider", "output"),
    [
        pytest.param("filename: /etc/d.yml", "/etc/d.yml", id="file"),
        pytest.param("filename: /etc/./x/../d.YAML", "/etc//d.YAML", id="other-spelling"),
        pytest.param("filename: d.yml", "/etc/d.yml", id="relative-file"),
        pytest.param("filename: /etc/d.yml", "d.yml", id="relative-output"),
        pytest.param("directory: /etc", "/etc/d.yml", id="directory"),
        pytest.param("directory: /etc/", "/etc/d.yml", id="directory-with-a-slash"),
        pytest.param("directory: etc", "/etc/d.yml", id="relative-directory"),
    ],
)
def test_dynamic_file_watched(provider: str, output: str) -> None:
    """A file that the provider names, or may mean by a relative path, is watched."""
    assert problems_of(f"providers: {{file: {{{provider}}}}}", output) == ()


def test_json_before_it_was_refused() -> None:
    """Before 3.7 Traefik reads JSON from a file that it is told by name, not from a directory."""
    named = "providers: {file: {filename: /etc/d.json}}"
    assert problems_of(named, "/etc/d.json", (3, 6)) == ()
    in_directory = "providers: {file: {directory: /etc}}"
    assert len(problems_of(in_directory, "/etc/d.json", (3, 6))) == 1
    assert len(problems_of(named, "/etc/d.json", (3, 7))) == 1


def test_each_reason_is_reported() -> None:
    """Another file with a wrong ending that is not watched is three problems."""
    found = problems_of("providers: {file: {filename: /a.yml, watch: false}}", "/b")
    assert [problem.setting for problem in found] == [
        "providers.file",
        "providers.file.filename",
        "providers.file.watch",
    ]


@pytest.mark.parametrize(
    ("query", "timeout", "found"),
    [
        pytest.param("?wait=5s", "", ["poll-timeout-too-short endpoint"], id="default"),
        pytest.param(
            "?wait=1m", ", pollTimeout: 20s", ["poll-timeout-too-short pollTimeout"], id="short"
        ),
        pytest.param(
            "?wait=4s", ", pollTimeout: 3", ["poll-timeout-too-short pollTimeout"], id="number"
        ),
        pytest.param("?wait=3", "", ["bad-wait endpoint"], id="no-unit"),
        pytest.param("?wait=", "", ["bad-wait endpoint"], id="empty"),
        pytest.param("?wait=3s", "", [], id="shorter"),
        pytest.param("?wait=4s", ", pollTimeout: 1m30s", [], id="long"),
        pytest.param("?wait=4s", ", pollTimeout: 1.5h", [], id="fraction"),
        pytest.param("?wait=4s", ", pollTimeout: 0", [], id="never"),
        pytest.param("?wait=5m", ", pollInterval: 2m, pollTimeout: 61s", [], id="longest"),
        pytest.param(
            "?wait=5m", ", pollTimeout: 60", ["poll-timeout-too-short pollTimeout"], id="as-long"
        ),
        pytest.param("", "", [], id="no-wait"),
    ],
)
def test_wait_of_a_hub(query: str, timeout: str, found: list[str]) -> None:
    """A wait that is longer than Traefik's own is a warning, one that is no duration an error."""
    provider = f"{{endpoint: 'http://[::1]:9280/traefik.json{query}'{timeout}}}"
    problems = problems_of(f"providers: {{http: {provider}}}")
    assert [
        f"{each.code} {each.setting.removeprefix('providers.http.')}" for each in problems
    ] == found
    errors = {each.code for each in problems if each.severity == Severity.ERROR}
    assert errors == {each.code for each in problems} - {"poll-timeout-too-short"}
    elsewhere = provider.replace("traefik.json", "other.json")
    assert problems_of(f"providers: {{http: {elsewhere}}}") == ()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        pytest.param("pollInterval: 1s", ["pollInterval"], id="shorter"),
        pytest.param("pollInterval: 3", ["pollInterval"], id="as-long"),
        pytest.param("pollInterval: 4s", [], id="longer"),
        pytest.param("pollInterval: 0.5s", [], id="fraction"),
        pytest.param("pollTimeout: 9s", [], id="default"),
    ],
)
def test_poll_interval_too_short(options: str, found: list[str]) -> None:
    """Answers that wait as long as the interval, so that Traefik never pauses, are a warning."""
    provider = f"{{endpoint: 'http://[::1]:9280/traefik.json?wait=3s', {options}}}"
    problems = problems_of(f"providers: {{http: {provider}}}")
    assert [each.setting for each in problems] == [f"providers.http.{each}" for each in found]
    assert {each.code for each in problems} <= {"poll-interval-too-short"}


@pytest.mark.parametrize(
    ("entrypoints", "address"),
    [
        pytest.param("{web: {address: ':80'}}", ":8080", id="default"),
        pytest.param("{traefik: {address: '0.0.0.0:9000'}}", "0.0.0.0:9000", id="ipv4"),
        pytest.param("{traefik: {address: '[::]:9000'}}", "[::]:9000", id="ipv6"),
        pytest.param("{traefik: {address: 'nas.example:80'}}", "nas.example:80", id="name"),
    ],
)
def test_dashboard_exposed(entrypoints: str, address: str) -> None:
    """An API without a password on an address that is not loopback is a warning."""
    assert problems_of(f"api: {{insecure: true}}\nentryPoints: {entrypoints}") == (
        Diagnostic(
            code="dashboard-exposed",
            entry="",
            message=f'anyone who can reach "{address}" sees the API and the dashboard without a'
            " password",
            hint='set entryPoints.traefik.address to "127.0.0.1:8080"',
            span=(0, 0),
            severity=Severity.WARNING,
            setting="api.insecure",
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("api: {insecure: false}", id="secure"),
        pytest.param("api: true", id="default"),
        pytest.param(
            "api: {insecure: true}\nentryPoints: {traefik: {address: '127.0.0.1:1'}}", id="ipv4"
        ),
        pytest.param("api: {insecure: true}\nentryPoints: {traefik: {address: '[::1]:1'}}", id="6"),
        pytest.param(
            "api: {insecure: true}\nentryPoints: {traefik: {address: 'LocalHost:1'}}", id="name"
        ),
    ],
)
def test_dashboard_not_exposed(text: str) -> None:
    """An API that is not insecure, or only on the loopback address, is fine."""
    assert problems_of(text) == ()


def test_port_of_many_digits() -> None:
    """A port of any length is refused, not converted."""
    (found,) = problems_of(f"entryPoints: {{web: {{address: ':{'9' * 5000}'}}}}")
    assert (found.code, found.setting) == ("static-config-refused", "entryPoints.web.address")


def test_given_entrypoints_say_nothing_of_settings() -> None:
    """Of a Traefik of which only entrypoints are known, no setting is judged."""
    static = with_entrypoints(None, ["traefik=:8080"])
    assert static
    assert tuple(check_static(static, "/etc/d.json", (3, 7))) == ()


def test_problem_of_a_setting_in_one_line() -> None:
    """A problem of a setting reads like one of an entry, with the setting in its place."""
    (problem,) = problems_of("api: {insecure: true}")
    assert problem.source == "api.insecure"
    assert str(problem) == (
        'dashboard-exposed: api.insecure: anyone who can reach ":8080" sees the API and the'
        ' dashboard without a password; set entryPoints.traefik.address to "127.0.0.1:8080"'
    )


@pytest.mark.parametrize(
    ("access", "codes"),
    [
        pytest.param("tls: true", ["entrypoint-tls-replaced"], id="tls"),
        pytest.param(
            "access: mtls-strict, clientAuth: ca", ["entrypoint-tls-replaced"], id="mtls-strict"
        ),
        pytest.param("certResolver: le", [], id="repeated"),
        pytest.param("certResolver: Le", ["unknown-resolver"], id="other-case"),
        pytest.param("access: tailscale-only", [], id="no-tls-of-its-own"),
    ],
)
def test_certificate_resolver_of_a_route(access: str, codes: list[str]) -> None:
    """A TLS section of a router replaces its entrypoint's resolver, and needs one that exists."""
    static = "certificatesResolvers: {le: {acme: {tlsChallenge: {}}}}\n"
    static += "entryPoints: {ws: {address: ':443', http: {tls: {certResolver: le}}}}\n"
    text = f"clientAuth: {{ca: {{caFiles: [ca.pem]}}}}\nroutes:\n  a.de: {{{access}}}\n"
    policy = '{"hosts": {"_ws_http_80._tcp.a.de": "100.64.0.1"}}'
    found = validate_policy(policy, static_config=static, access=text).diagnostics
    assert [each.code for each in found] == codes
    assert {each.severity for each in found} <= (
        {"error"} if "unknown-resolver" in codes else {"warning"}
    )
    assert all(each.line == 3 for each in found if each.setting)


@pytest.mark.parametrize(
    ("option", "first"),
    [
        ("authSigninURL: 'https://login.example.com/'", (3, 7, 0)),
        ("maxResponseBodySize: 1000", (3, 6, 9)),
        ("preserveRequestMethod: true", (3, 4, 0)),
        ("trustForwardHeader: true", (3, 0, 4)),
    ],
)
def test_options_of_newer_releases(option: str, first: tuple[int, int, int]) -> None:
    """An option is right from its first release on, and costs the whole file before."""
    access = f"forwardAuth: {{o: {{address: 'http://a/', {option}}}}}\n"
    access += "routes: {a.de: {access: forward-auth, forwardAuth: o}}"
    policy = '{"hosts": {"_web_http_80._tcp.a.de": "100.64.0.1"}}'
    for version in ((3, 0, 4), (3, 4, 0), (3, 6, 9), (3, 7, 15)):
        found = validate_policy(policy, access=access, traefik_version=version).diagnostics
        assert [each.code for each in found] == ["option-unsupported"] * (version < first)


def test_auth_option_that_a_release_does_not_know() -> None:
    """Each route and the dashboard is reported, and neither would be written."""
    access = "forwardAuth: {o: {address: 'http://a/', authSigninURL: 'http://b/'}}\n"
    access += "default: {access: forward-auth, forwardAuth: o}\n"
    access += "dashboard: {domain: d.de, entryPoint: web, access: forward-auth, forwardAuth: o}"
    policy = '{"hosts": {"_web_http_80._tcp.a.de": "100.64.0.1"}}'
    found = validate_policy(policy, access=access, traefik_version=(3, 6, 15))
    assert found.routes == ()
    assert [(each.code, each.entry, each.setting) for each in found.diagnostics] == [
        ("option-unsupported", "_web_http_80._tcp.a.de", None),
        ("option-unsupported", None, "dashboard"),
    ]
    assert found.diagnostics[0].message == (
        "Traefik 3.6.15 does not know authSigninURL of forwardAuth o, and refuses the whole"
        " document for it"
    )
    assert found.diagnostics[0].hint == "use Traefik 3.7.0 or newer, or remove it"


@pytest.mark.parametrize(
    ("entry", "settings", "static", "needed"),
    [
        ("_web_http_80._tcp.a.de", "tls: true", "api: {}", (3, 0, 4)),
        ("_web_http_80._tcp.a.de", "healthCheck: {path: /}", "api: {}", (3, 0, 4)),
        ("_web_ssh_22._tcp.a.de", "healthCheck: {interval: 9s}", "api: {}", (3, 6, 0)),
        ("_web_ssh_22._tcp.*.a.de", "priority: 9", "api: {}", (3, 7, 0)),
        ("_web_dns_53._udp.*.a.de", "access: public", "api: {}", (3, 0, 4)),
        ("_web_http_80._tcp.a.de", "access: forward-auth, forwardAuth: o", "api: {}", (3, 4, 0)),
        ("_web_http_80._tcp.a.de", "tls: true", "api: {basePath: /a}", (3, 3, 2)),
    ],
)
def test_oldest_release_that_is_needed(
    entry: str, settings: str, static: str, needed: tuple[int, int, int]
) -> None:
    """The oldest release is that which has all of entries, access file and static configuration."""
    access = "forwardAuth: {o: {address: 'http://a/', preserveRequestMethod: true}}\n"
    access += f"routes: {{a.de: {{{settings}}}, '*.a.de': {{{settings}}}}}"
    policy = json.dumps({"hosts": {entry: "100.64.0.1"}}).encode()
    checked = check_policy(
        hosts_of_text(policy),
        SourceText("policy", policy),
        StaticText("static", static, read_static(static, "yaml")),
        AccessText("access", access, read_access(access)),
    )
    assert checked.needs == needed


@pytest.mark.parametrize(
    ("setting", "first"),
    [
        ("entryPoints: {web: {address: ':80', allowACMEByPass: true}}", (3, 2, 0)),
        ("entrypoints: {web: {address: ':80', HTTP: {MaxHeaderBytes: 4096}}}", (3, 2, 0)),
        ("entryPoints: {web: {address: ':80', http: {sanitizePath: true}}}", (3, 3, 6)),
        ("api: {basePath: /traefik}", (3, 3, 2)),
        ("certificatesResolvers: {x.y: {acme: {profile: short}}}", (3, 4, 0)),
        ("providers: {http: {endpoint: 'http://a/', maxResponseBodySize: 9}}", (3, 6, 11)),
        ("providers: {kubernetesIngressNGINX: {}}", (3, 5, 0)),
        ("providers: {kubernetesIngressNGINX: {proxyBuffering: true}}", (3, 7, 0)),
        ("ocsp: {}", (3, 0, 0)),
        ("services: {t: {image: traefik, command: ['--ocsp.responderOverrides.a=b']}}", (3, 5, 0)),
    ],
)
def test_static_settings_of_newer_releases(setting: str, first: tuple[int, int, int]) -> None:
    """A static setting that a release does not know keeps it from starting, unless at the top."""
    for version in ((3, 0, 4), (3, 2, 0), (3, 3, 6), (3, 4, 0), (3, 5, 3), (3, 6, 11), (3, 7, 15)):
        found = {each.setting for each in problems_of(setting, None, version)}
        assert bool(found) == (version < first), (version, found)


def test_newer_static_setting_is_named_as_written() -> None:
    """The message has the user's spelling, and the release that is needed."""
    text = "entrypoints:\n  web: {address: ':80', allowAcmeByPass: true}\n"
    (found,) = problems_of(text, None, (3, 0, 4))
    assert (found.setting, found.message, found.hint) == (
        "entrypoints.web.allowAcmeByPass",
        "Traefik 3.0.4 does not know entrypoints.web.allowAcmeByPass, and does not start",
        "use Traefik 3.2.0 or newer, or remove it",
    )


def test_addresses_in_variables_are_not_judged() -> None:
    """A Compose file's variable that is not known may be any address, the same one twice."""
    flags = [f"--entrypoints.{name}.address=${{ADDRESS}}" for name in ("web", "websecure")]
    assert (
        problems_of(json.dumps({"services": {"t": {"image": "traefik", "command": flags}}})) == ()
    )
    known = [each.replace("${ADDRESS}", "${ADDRESS:-:80}") for each in flags]
    (found,) = problems_of(json.dumps({"services": {"t": {"image": "traefik", "command": known}}}))
    assert (found.code, found.setting) == (
        "static-config-refused",
        "entryPoints.websecure.address",
    )
