"""The compose examples: valid, hardened, consistent, and their Traefik as real as it gets."""

from __future__ import annotations

import importlib.resources
import ipaddress
import json
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pytest
from local import until
from stand_in_tailscale import StandInTailscale
from support.access import recording_backend
from support.access_files import opening
from support.backends import http_backend
from support.commands import BareWatch, Watch
from support.composed import (
    COMPOSE,
    STRANGER,
    TRUSTED,
    TUNNEL,
    ComposedTraefik,
    load,
    services_of,
)
from support.paths import ROOT
from support.traefik import Answer
from support.worker import StandInWorker

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render

EXAMPLES = [pytest.param(COMPOSE, id="compose"), pytest.param(TUNNEL, id="cloudflared")]
EXAMPLE = pytest.mark.parametrize("folder", EXAMPLES)


def sample_of(folder: Path) -> dict[str, str]:
    """Return the variables of the .env.sample in a folder."""
    lines = (folder / ".env.sample").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def complaint(file: Path) -> str:
    """Return what the compose specification's schema has against a file."""
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    return "\n".join(error.message for error in validator.iter_errors(load(file)))


@EXAMPLE
def test_schema(folder: Path) -> None:
    """The file is what the compose specification allows."""
    assert complaint(folder / "compose.yml") == ""


def test_schema_finds_a_slip(tmp_path: Path) -> None:
    """What the compose specification does not know is found."""
    spoilt = tmp_path / "compose.yml"
    text = (COMPOSE / "compose.yml").read_text()
    spoilt.write_text(text.replace("cap_drop: [ALL]", "cap_drops: [ALL]", 1))
    assert "'cap_drops' was unexpected" in complaint(spoilt)


@EXAMPLE
def test_every_service_is_hardened_and_comes_back(folder: Path) -> None:
    """Each has a read-only root, no capabilities, a bounded log, a health check and restarts."""
    services = services_of(folder)
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] == "CMD"
        assert "privileged" not in service
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    images = [service["image"] for service in services.values() if "build" not in service]
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


@EXAMPLE
def test_variables_are_in_the_sample(folder: Path) -> None:
    """Each variable that the file takes from .env is in the sample, and no other; no secret is."""
    taken = re.findall(r"\$\{(\w+)", (folder / "compose.yml").read_text())
    sample = sample_of(folder)
    assert sorted(taken) == sorted(sample)
    secrets = {name for name, value in sample.items() if value.strip('"')}
    assert secrets == {"TRAEFIK_CONFIG_API_ENDPOINT"}
    ignored = ROOT / ".gitignore"
    assert ".env" in ignored.read_text().splitlines()


def test_tunnel_opens_no_port() -> None:
    """Behind the tunnel no service has a published port or the host's network."""
    services = services_of(TUNNEL)
    assert [name for name, each in services.items() if {"ports", "network_mode"} & {*each}] == []
    assert load(TUNNEL / "traefik.yml")["entryPoints"]["traefik"]["address"] == "127.0.0.1:8080"


def test_only_the_tunnel_is_trusted() -> None:
    """Traefik trusts one address, which is the one that cloudflared has in their network."""
    services, network = services_of(TUNNEL), load(TUNNEL / "compose.yml")["networks"]["tunnel"]
    subnet = ipaddress.ip_network(network["ipam"]["config"][0]["subnet"])
    addresses = [
        ipaddress.ip_address(services[name]["networks"]["tunnel"]["ipv4_address"])
        for name in ("cloudflared", "traefik")
    ]
    assert all(address in subnet for address in addresses)
    entrypoints = load(TUNNEL / "traefik.yml")["entryPoints"]
    assert entrypoints["web"]["forwardedHeaders"] == {"trustedIPs": [f"{addresses[0]}/32"]}
    assert "networks" not in services["watch"]


def healthy(traefik: ComposedTraefik) -> bool:
    """Run the health check of a Traefik."""
    done = subprocess.run(
        traefik.health_command(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("OK: ") == (done.returncode == 0)
    return done.returncode == 0


def test_traefik_starts_before_the_first_file(tmp_path: Path, stack: ExitStack) -> None:
    """With an empty folder Traefik starts and is healthy; what watch writes later is live."""
    traefik = stack.enter_context(ComposedTraefik(tmp_path, COMPOSE))
    assert not (traefik.routes / "dynamic.yml").exists()
    assert healthy(traefik)
    one, two = (stack.enter_context(http_backend(name)) for name in ("one", "two"))
    policy = tmp_path / "policy.hujson"
    write_policy(policy, f"_web_http_{one}._tcp.app.example.com")
    worker = stack.enter_context(StandInWorker(policy, 0.1))
    output, environment = traefik.routes / "dynamic.yml", environment_of_watch(tmp_path, COMPOSE)
    watch = stack.enter_context(Watch(worker.endpoint, output, environment=environment))
    watch.until(lambda: traefik.get("web", "app.example.com") == Answer(200, "one"), "no route")
    write_policy(policy, f"_web_http_{two}._tcp.app.example.com")
    watch.until(lambda: traefik.get("web", "app.example.com") == Answer(200, "two"), "no change")
    assert traefik.errors == []


def environment_of_watch(folder: Path, example: Path, *names: str) -> dict[str, str]:
    """Return what an example sets for watch, nothing being filled in, and some names opened."""
    environment = services_of(example)["watch"]["environment"]
    assert environment["TRAEFIK_ACCESS_FILE"] == "/access/access.yml"
    access = folder / "access.yml"
    access.write_text(opening(example / "access" / "access.yml", *(names or ["app.example.com"])))
    return dict.fromkeys(environment, "") | {"TRAEFIK_ACCESS_FILE": str(access)}


def write_policy(path: Path, *entries: str) -> None:
    """Write a policy with some entries, in one step as an editor does."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"hosts": dict.fromkeys(entries, "127.0.0.1")}))
    new.replace(path)


def test_unhealthy_traefik(tmp_path: Path) -> None:
    """The health check of Traefik fails once Traefik is gone."""
    traefik = ComposedTraefik(tmp_path, COMPOSE)
    traefik._write_static(traefik.static)
    assert not healthy(traefik)


def test_watch_takes_the_sample(tmp_path: Path, stack: ExitStack) -> None:
    """With the sample's OAuth client filled in, watch follows Tailscale's API."""
    policy = tmp_path / "policy.hujson"
    write_policy(policy, "_web_http_80._tcp.app.example.com")
    api = stack.enter_context(StandInTailscale(policy))
    output = tmp_path / "dynamic.yml"
    environment = environment_of_watch(tmp_path, COMPOSE)
    environment |= {name: value.strip('"') for name, value in sample_of(COMPOSE).items()}
    assert environment["TRAEFIK_CONFIG_API_ENDPOINT"] == "tailscale:"
    assert set(api.environment) - {"TAILSCALE_BASE_URL"} < set(environment)
    environment |= {**api.environment, "TRAEFIK_DYNAMIC_CONFIG_FILE": str(output)}
    watch = stack.enter_context(BareWatch(output, environment))
    watch.until_content("app.example.com")


FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X_Forwarded_For": "203.0.113.9",
}


def test_strangers_headers_are_not_trusted(tmp_path: Path, stack: ExitStack) -> None:
    """The tunnel's X-Forwarded-* headers reach the backend; others', and look-alikes, do not."""
    port, came = stack.enter_context(recording_backend())
    traefik = stack.enter_context(ComposedTraefik(tmp_path, TUNNEL))
    assert healthy(traefik)
    entry = f"_web_http_{port}._tcp.app.example.com"
    (traefik.routes / "dynamic.yml").write_text(render({entry: "127.0.0.1"}).text)
    until(lambda: traefik.get("web", "app.example.com").status == 200, "no route")
    seen = {}
    for source in (TRUSTED, STRANGER):
        answer = traefik.get("web", "app.example.com", source=source, headers=FORGED)
        assert answer == Answer(200, "backend")
        headers = {name.lower(): value for name, value in came[-1]}
        seen[source] = (headers["x-forwarded-for"], headers["x-forwarded-proto"])
        assert "x_forwarded_for" not in headers
    assert seen == {
        TRUSTED: (f"203.0.113.9, {TRUSTED}", "https"),
        STRANGER: (STRANGER, "http"),
    }


def test_nothing_is_open_but_what_is_named(tmp_path: Path, stack: ExitStack) -> None:
    """A name that the access file does not open is refused, and is served once it is opened."""
    port = stack.enter_context(http_backend("app"))
    traefik = stack.enter_context(ComposedTraefik(tmp_path, COMPOSE))
    policy = tmp_path / "policy.hujson"
    names = ("app.example.com", "wiki.example.com")
    write_policy(policy, *(f"_web_http_{port}._tcp.{name}" for name in names))
    worker = stack.enter_context(StandInWorker(policy, 0.1))
    output, environment = traefik.routes / "dynamic.yml", environment_of_watch(tmp_path, COMPOSE)
    watch = stack.enter_context(Watch(worker.endpoint, output, environment=environment))
    watch.until(lambda: traefik.get("web", names[0]) == Answer(200, "app"), "no route")
    assert traefik.get("web", names[1]).status == 403
    environment_of_watch(tmp_path, COMPOSE, *names)
    watch.until(lambda: traefik.get("web", names[1]) == Answer(200, "app"), "it is not opened")


def test_tailnet_has_no_address_behind_the_tunnel(tmp_path: Path, stack: ExitStack) -> None:
    """What the tunnel's access file does not name is refused, whatever the tunnel's headers say."""
    port = stack.enter_context(http_backend("app"))
    traefik = stack.enter_context(ComposedTraefik(tmp_path, TUNNEL))
    names = ("mqtt.example.com", "wiki.example.com")
    hosts = {f"_web_http_{port}._tcp.{name}": "127.0.0.1" for name in names}
    access = read_access((TUNNEL / "access" / "access.yml").read_text())
    (traefik.routes / "dynamic.yml").write_text(render(hosts, access=access).text)
    until(lambda: traefik.get("web", names[0]) == Answer(200, "app"), "no route")
    tailnet = {"X-Forwarded-For": "100.64.0.9", "Cf-Connecting-Ip": "100.64.0.9"}
    for headers in ({}, tailnet):
        answers = [
            traefik.get("web", name, source=TRUSTED, headers=headers).status for name in names
        ]
        assert answers == [200, 403]
