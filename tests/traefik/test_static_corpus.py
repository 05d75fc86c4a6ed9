"""Static configurations as people have them, read by the real Traefik and by validate alike.

Each has one trait of the public ones. Traefik logs the configuration that it has read before it
does anything with it.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.static_files import read_here, require_agreement, static_read_by_traefik

from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.releases import NEWEST
from ctsdns_traefik.core.static_config.configuration import (
    read_static,
)

DEBUG = "log: {level: DEBUG, format: json}\n"
WEB = "web: {address: '127.0.0.1:80'}"

YAML_FILES = {
    "plain": f"entryPoints: {{{WEB}}}",
    "no-entrypoint": "api: {insecure: true}",
    "labels-only-tls": f"entryPoints: {{{WEB}, websecure: {{address: ':443'}}}}\n"
    "providers: {docker: {exposedByDefault: false}}",
    "tls-and-resolver": "entryPoints: {s: {address: ':443', http: {tls: {certResolver: le}}}}\n"
    "certificatesResolvers: {le: {acme: {email: a@b.de, storage: a.json, tlsChallenge: true}}}",
    "tls-true": "entryPoints: {s: {address: ':443', http: {tls: true}}}",
    "redirect": f"entryPoints: {{s: {{address: ':443'}}, {WEB[:-1]}, http: {{redirections:"
    " {entryPoint: {to: s, scheme: https, priority: 10}}}}}",
    "permanent-redirect": f"entryPoints: {{{WEB[:-1]}, http: {{redirections: {{entryPoint:"
    " {to: ':443', permanent: true}}}}}",
    "middlewares": f"entryPoints: {{{WEB[:-1]}, http: {{middlewares: [a@file, b@docker]}}}}}}",
    "udp-and-http3": "entryPoints: {s: {address: ':443', http3: {}}, dns: {address: ':53/udp'}}",
    "forwarded-headers": f"entryPoints: {{{WEB[:-1]}, forwardedHeaders: {{insecure: true}}}}}}",
    "as-default": f"entryPoints: {{{WEB[:-1]}, asDefault: true, reusePort: true}}}}",
    "file-provider": f"providers: {{file: {{filename: /etc/d.yml}}}}\nentryPoints: {{{WEB}}}",
    "directory": f"providers: {{file: {{directory: /d, watch: false}}}}\nentryPoints: {{{WEB}}}",
    "plugins": f"entryPoints: {{{WEB}}}\nexperimental: {{plugins: {{p: {{moduleName: a/b,"
    " version: v1.0.0}}}",
    "anchors": f"x-http: &http {{tls: {{}}}}\nentryPoints: {{{WEB[:-1]}, http: *http}}}}",
    "merge": f"x: &x {{address: ':1'}}\nentryPoints: {{a: {{<<: *x, reusePort: true}}, {WEB}}}",
    "text-for-boolean": f"entryPoints: {{{WEB}}}\napi: {{insecure: 'true', dashboard: 1}}",
    "other-case": "EntryPoints: {Web: {Address: ':80', HTTP: {TLS: {}}}}\nAPI: {}",
    "unknown-section": f"entryPoints: {{{WEB}}}\nx-notes: {{a: [1]}}\nversion: '3'",
    "second-document": f"entryPoints: {{{WEB}}}\n---\nentryPoints: [",
    "ping-and-metrics": f"entryPoints: {{{WEB}}}\nping: {{}}\nmetrics: {{prometheus: {{}}}}",
    "api-of-its-own": f"entryPoints: {{{WEB}, traefik: {{address: '127.0.0.1:8080'}}}}\napi: {{}}",
    "old-redirect": f"entryPoints: {{{WEB[:-1]}, redirect: {{entryPoint: s}}}}}}",
    "old-tls": "entryPoints: {s: {address: ':443', tls: {}}}",
    "old-pilot": f"entryPoints: {{{WEB}}}\npilot: {{token: x}}",
    "old-swarm-mode": f"entryPoints: {{{WEB}}}\nproviders: {{docker: {{swarmMode: true}}}}",
    "old-http3": f"entryPoints: {{{WEB}}}\nexperimental: {{http3: true}}",
    "empty-tls": "entryPoints:\n  s:\n    address: ':443'\n    http:\n      tls:\n",
    "empty-provider": f"entryPoints: {{{WEB}}}\nproviders:\n  docker:\n",
    "misspelt": "entryPoints: {web: {adress: ':80'}}",
    "misspelt-in-http": f"entryPoints: {{{WEB[:-1]}, http: {{middleware: [a@file]}}}}}}",
    "udp-and-proxy-protocol": "entryPoints: {mail: {address: '[::]:25', proxyProtocol:"
    " {trustedIPs: [10.0.0.0/8]}}, dns: {address: ':53/udp', udp: {timeout: 10s}}}",
    "map-for-a-list": f"entryPoints: {{{WEB[:-1]}, http: {{middlewares: {{a: b, c: [d]}}}},"
    " forwardedHeaders: {trustedIPs: {a: 10.0.0.1}}}}",
    "bad-map-of-maps": f"entryPoints: {{{WEB[:-1]}, http: {{middlewares: {{a: {{b: c}}}}}}}}}}",
    "bad-list-of-lists": f"entryPoints: {{{WEB[:-1]}, http: {{middlewares: [[a]]}}}}}}",
    "bad-list-of-maps": f"entryPoints: {{{WEB[:-1]}, http: {{middlewares: [{{a: b}}]}}}}}}",
    "bad-list-with-null": f"entryPoints: {{{WEB[:-1]}, http: {{middlewares: [a, null]}}}}}}",
    "duplicate-key": f"entryPoints: {{{WEB}}}\nentryPoints: {{{WEB}}}",
    "dynamic-sections": f"entryPoints: {{{WEB}}}\nhttp: {{services: {{a: {{x: y}}}}}}\n"
    "services: {a: {image: b}}\n",
    "tabs-behind-words": "entryPoints:\t\n  web:\t# one\n    address:\t':80'\t\n",
    "old-tab-of-a-list": "entryPoints:\n  web:\n    address: ':80'\n    http:\n      middlewares:\n"
    "        -\ta@file\n",
    "template": f"# {{{{ env `X` }}}}\nentryPoints: {{{WEB}}}",
}

TOML_FILES = {
    "tables": "[entryPoints]\n[entryPoints.web]\naddress=':80'\n[entryPoints.web.http.tls]\n",
    "inline-tables": "entryPoints = {web = {address = ':80', http = {tls = {}}}}\n",
    "dotted-keys": "entryPoints.web.address = ':80'\nproviders.file.filename = 'd.yml'\n",
    "old-entrypoint": "defaultEntryPoints = ['http']\n[entryPoints]\n[entryPoints.http]\n"
    "address=':80'\n[entryPoints.http.redirect]\nentryPoint='https'\n",
    "no-value": "[entryPoints.web.http]\n",
}

FLAGS = {
    "usual": "--entrypoints.web.address=:80 --providers.docker=true --api.insecure=true",
    "camel-case": "--entryPoints.webSecure.address=:443 --entryPoints.webSecure.http.tls",
    "one-dash": "-entrypoints.web.address=:80 -api",
    "apart": "--entrypoints.web.address :80 --providers.file.directory /d",
    "resolver": "--entrypoints.s.address=:443 --entrypoints.s.http.tls.certresolver=le"
    " --certificatesresolvers.le.acme.email=a@b.de --certificatesresolvers.le.acme.tlschallenge",
    "redirect": "--entrypoints.web.address=:80 --entrypoints.s.address=:443"
    " --entrypoints.web.http.redirections.entrypoint.to=s"
    " --entrypoints.web.http.redirections.entrypoint.scheme=https",
    "middlewares": "--entrypoints.web.address=:80 --entrypoints.web.http.middlewares=a@file,b@file",
    "elements": "--entrypoints.s.address=:443 --entrypoints.s.http.tls.domains[0].main=a.b"
    " --entrypoints.s.http.tls.domains[0].sans=*.a.b --entrypoints.s.http.middlewares[0]=a@file",
    "old": "--entrypoints.web.address=:80 --pilot.token=x",
    "old-section": "--entrypoints.web.address=:80 --docker.domain=a.b",
    "no-address": "--entrypoints.web=true --entrypoints.web.allowacmebypass=true",
}

VARIABLES = {
    "usual": "TRAEFIK_ENTRYPOINTS_WEB_ADDRESS=:80 TRAEFIK_PROVIDERS_DOCKER=true TRAEFIK_API=true",
    "other-case": "TRAEFIK_ENTRYPOINTS_webSecure_ADDRESS=:443"
    " TRAEFIK_ENTRYPOINTS_webSecure_HTTP_TLS=true",
    "resolver": "TRAEFIK_ENTRYPOINTS_S_ADDRESS=:443 TRAEFIK_CERTIFICATESRESOLVERS_A_ACME_EMAIL=a@b",
}


@pytest.mark.parametrize("name", YAML_FILES)
def test_yaml(tmp_path: Path, name: str) -> None:
    """Traefik and validate agree on a file in YAML."""
    text = DEBUG + YAML_FILES[name]
    file = tmp_path / "static.yml"
    file.write_text(text)
    read = static_read_by_traefik(tmp_path, [f"--configFile={file}"], {})
    static = require_agreement(read_here(text, "yaml"), read)
    assert (static is None) is name.startswith(("old", "empty", "duplicate", "misspelt", "bad"))


@pytest.mark.parametrize("name", TOML_FILES)
def test_toml(tmp_path: Path, name: str) -> None:
    """Traefik and validate agree on a file in TOML."""
    text = TOML_FILES[name] + "[log]\nlevel = 'DEBUG'\nformat = 'json'\n"
    file = tmp_path / "static.toml"
    file.write_text(text)
    read = static_read_by_traefik(tmp_path, [f"--configFile={file}"], {})
    require_agreement(read_here(text, "toml"), read)


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("form", ["compose-list", "compose-text", "deployment"])
def test_flags(tmp_path: Path, name: str, form: str) -> None:
    """Traefik and validate agree on flags, wherever they stand."""
    flags = ["--log.level=DEBUG", "--log.format=json", *shlex.split(FLAGS[name])]
    container: dict[str, Any] = {"image": "docker.io/traefik:v3.7"}
    if form == "deployment":
        pod = {"spec": {"containers": [{"image": "a/sidecar"}, {**container, "args": flags}]}}
        manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": pod}}
        listed = {"apiVersion": "v1", "kind": "List", "items": [{"kind": "Service"}, manifest]}
        text = "apiVersion: v1\nkind: Namespace\n---\n" + json.dumps(listed)
    else:
        command = flags if form == "compose-list" else shlex.join(flags)
        others = {
            "app": {"image": "traefik/whoami", "command": "--api-key=x"},
            "on-request": {"image": "traefik:v1.7", "profiles": ["old"], "command": "--web"},
        }
        text = json.dumps({"services": {**others, "proxy": {**container, "command": command}}})
    read = static_read_by_traefik(tmp_path, flags, {})
    static = require_agreement(read_here(text, "yaml"), read)
    assert (static is None) is name.startswith("old")


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("form", ["compose-map", "compose-list", "pod", "file"])
def test_variables(tmp_path: Path, name: str, form: str) -> None:
    """Traefik and validate agree on variables, wherever they stand."""
    lines = ["TRAEFIK_LOG_LEVEL=DEBUG", "TRAEFIK_LOG_FORMAT=json", *VARIABLES[name].split()]
    variables = dict(line.split("=", 1) for line in lines)
    if form == "file":
        text = "\n".join(f'export {name}="{value}" # it' for name, value in variables.items())
    elif form == "pod":
        env = [{"name": key, "value": value} for key, value in variables.items()]
        spec = {"containers": [{"image": "traefik", "env": env}]}
        text = json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": spec})
    else:
        given = variables if form == "compose-map" else lines
        text = json.dumps({"services": {"t": {"image": "traefik:v3", "environment": given}}})
    read = static_read_by_traefik(tmp_path, [], variables)
    require_agreement(read_here(text, "variables" if form == "file" else "yaml"), read)


COMPOSE = """\
services:
  traefik:
    image: traefik:v3.6
    command:
      - --entrypoints.web.address=:${HTTP_PORT:-80}
      - --entrypoints.websecure.address=:${HTTPS_PORT}
      - --api.dashboard=${DASHBOARD}
"""

NAMELESS = """\
services:
  traefik:
    image: traefik:v3.6
    environment:
      TRAEFIK_ENTRYPOINTS_WEB_ADDRESS:
      TRAEFIK_API_INSECURE:
      TRAEFIK_PING: true
"""

ELSEWHERE = """\
apiVersion: v1
kind: Pod
spec:
  containers:
    - image: traefik
      env:
        - {name: TRAEFIK_ENTRYPOINTS_WEB_ADDRESS, valueFrom: {configMapKeyRef: {name: t, key: a}}}
        - {name: TRAEFIK_API_INSECURE, valueFrom: {configMapKeyRef: {name: t, key: b}}}
        - {name: TRAEFIK_PING, value: "true"}
"""


def test_places_and_interpolation_of_a_compose_file() -> None:
    """Settings are at the lines of their flags; defaults of Compose hold, the rest is not known."""
    static = read_static(COMPOSE, "yaml")
    assert static.entrypoints["web"].port == "80"
    assert static.entrypoints["websecure"].described
    assert static.locations["entryPoints.websecure"] == (6, 9)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NAMELESS, id="compose-map"),
        pytest.param(
            NAMELESS.replace("TRAEFIK", "- TRAEFIK")
            .replace("ADDRESS:", "ADDRESS")
            .replace("INSECURE:", "INSECURE")
            .replace("PING: ", "PING="),
            id="compose-list",
        ),
        pytest.param(ELSEWHERE, id="pod"),
    ],
)
def test_variables_with_values_elsewhere(text: str) -> None:
    """Of a variable without a value the entrypoint is known, and nothing else."""
    static = read_static(text, "yaml")
    assert list(static.entrypoints) == ["web", "traefik"]
    assert not static.api_insecure
    assert [each.code for each in check_static(static, None, NEWEST)] == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("services: {db: {image: postgres}}", "a Compose file without", id="compose"),
        pytest.param(
            "services: {t: {image: traefik, volumes: [a]}}", "no flags or variables", id="mounts"
        ),
        pytest.param(
            "services: {t: {image: traefik, command: --configFile=/t.yml}}",
            "reads a file",
            id="file",
        ),
        pytest.param(
            "services: {t: {image: traefik, command: [--ping],"
            " volumes: ['./t.yml:/etc/traefik/traefik.yml:ro']}}",
            "reads a file",
            id="mounted",
        ),
        pytest.param(
            "services: {t: {image: traefik, command: [--ping],"
            " configs: [{source: t, target: /traefik.toml}]}}",
            "reads a file",
            id="mounted-config",
        ),
        pytest.param(
            "services: {t: {image: traefik, command: [sh, -c, traefik --ping]}}",
            "a shell starts",
            id="shell",
        ),
        pytest.param("services: {t: {image: traefik, env_file: .env}}", "its env_file", id="env"),
        pytest.param(
            "{apiVersion: v1, kind: Pod, spec: {containers: [{image: x, args: [--api]}]}}",
            "a manifest of Kubernetes",
            id="other-container",
        ),
        pytest.param("kind: Service\napiVersion: v1", "a manifest of Kubernetes", id="kubernetes"),
        pytest.param("ports: {web: {port: 80}}\nimage: {tag: v3}", "Helm values", id="helm"),
        pytest.param("providers: {}\nservice: {}", "Helm values", id="helm-without-ports"),
        pytest.param("http: {routers: {a: {rule: b}}}", "a dynamic configuration", id="dynamic"),
        pytest.param("hosts: {a: b}", "no setting of Traefik's", id="other"),
    ],
)
def test_file_of_another_kind(text: str, what: str) -> None:
    """A file that is no static configuration is named as what it is."""
    with pytest.raises(LocatedError, match=what):
        read_static(text, "yaml")
