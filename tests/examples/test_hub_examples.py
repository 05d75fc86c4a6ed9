"""The examples of a hub: valid, and run for real as far as one machine can."""

from __future__ import annotations

import importlib.resources
import json
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import jsonschema
import pytest
from examples.test_kubernetes import NEWEST, complaints, kustomized, needs_kubectl
from local import find_traefik, free_ports, running, until
from ruamel.yaml import YAML
from support.backends import http_backend
from support.commands import BareWatch
from support.paths import ROOT, TESTS
from support.traefik import Answer, Traefik
from support.units import Unit
from support.worker import StandInWorker

HUB = ROOT / "examples" / "hub"
SYSTEMD = ROOT / "examples" / "systemd" / "ctsdns-traefik.service"
TOKEN = "t0ken"

Settings = dict[str, str]


def load(path: Path) -> list[Any]:
    """Read the documents of a YAML file."""
    return list(YAML(typ="safe").load_all(path))


(COMPOSE,) = load(HUB / "compose.yml")
DEPLOYMENT, SERVICE = load(HUB / "kubernetes" / "hub.yaml")
(DAEMON_SET,) = load(HUB / "kubernetes" / "traefik.yaml")
(POD_HUB,) = DEPLOYMENT["spec"]["template"]["spec"]["containers"]
(POD_TRAEFIK,) = DAEMON_SET["spec"]["template"]["spec"]["containers"]


def test_compose_file_is_valid() -> None:
    """It is what the compose specification allows, and each service is shut in."""
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    jsonschema.validate(COMPOSE, json.loads((folder / "compose-spec.json").read_text()))
    for service in COMPOSE["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "healthcheck" in service
    variables = set(re.findall(r"\$\{([A-Z_]+)", (HUB / "compose.yml").read_text()))
    sample = (HUB / ".env.sample").read_text()
    assert {*variables, "HUB_TOKEN"} == set(re.findall("(?m)^([A-Z_]+)=", sample))


@pytest.mark.parametrize("version", ["1.29", NEWEST])
def test_manifests_are_valid(version: str) -> None:
    """Each manifest fits Kubernetes' schema, and the Service leads to the hub's pods."""
    names = ("namespace.yaml", "hub.yaml", "traefik.yaml")
    assert complaints(version, *(HUB / "kubernetes" / name for name in names)) == ""
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert SERVICE["spec"]["selector"].items() <= labels.items()
    assert SERVICE["spec"]["publishNotReadyAddresses"] is True


@needs_kubectl
def test_what_is_applied(tmp_path: Path) -> None:
    """What kubectl apply -k sends is valid, in one namespace, and its Traefiks find the hub."""
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(kustomized(HUB / "kubernetes"))
    assert complaints(NEWEST, rendered) == ""
    sent = {each["kind"]: each for each in load(rendered)}
    assert sorted(sent) == ["ConfigMap", "DaemonSet", "Deployment", "Namespace", "Service"]
    space = sent.pop("Namespace")["metadata"]["name"]
    assert {each["metadata"]["namespace"] for each in sent.values()} == {space}
    (hub,) = sent["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert hub["image"] == "registry.example.com/ctsdns-traefik-watch:0.1.0"
    service = sent["Service"]
    (port,) = service["spec"]["ports"]
    name = f"{service['metadata']['name']}.{space}.svc"
    url = f"http://{name}:{port['port']}/traefik.json?wait=900ms"
    assert f"--providers.http.endpoint={url}" in POD_TRAEFIK["args"]
    assert {"name": "TRAEFIK_CONFIG_LISTEN_HOSTS", "value": name} in hub["env"]


class FlaggedTraefik(Traefik):
    """Traefik with the flags of an example, its entrypoints moved."""

    def __init__(self, folder: Path, flags: list[str]) -> None:
        super().__init__(folder, folder / "unused.yml")
        self._flags = flags

    def __enter__(self) -> Self:
        pattern = r"--entryPoints\.(\w+)\.address=.*"
        names = [found[1] for each in self._flags if (found := re.fullmatch(pattern, each))]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        moved = [
            f"--entryPoints.{found[1]}.address=127.0.0.1:{self.ports[found[1]]}"
            if (found := re.fullmatch(pattern, each))
            else each
            for each in self._flags
        ]
        self._process = self._stack.enter_context(running([find_traefik(), *moved], self._log))
        until(lambda: self.get("traefik", "localhost", "/ping").status == 200, "no Traefik")
        return self


@contextmanager
def stage(folder: Path, settings: Settings, flags: list[str]) -> Iterator[FlaggedTraefik]:
    """Run a hub with the settings of an example, and a Traefik with its flags."""
    (port,) = free_ports(1)
    places = {"/run/secrets/hub_token": "token", "/run/secrets/hub/token": "token"}
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "access.yml").write_text("default: public\n")
    with ExitStack() as stack:
        backend = stack.enter_context(http_backend("live"))
        policy = folder / "policy.hujson"
        entry = f"_web_http_{backend}._tcp.app.example.com"
        policy.write_text(json.dumps({"hosts": {entry: "127.0.0.1"}}))
        worker = stack.enter_context(StandInWorker(policy, 0.5))
        settings = {
            name: str(folder / places.get(value, value)) if value in places else value
            for name, value in settings.items()
        }
        settings |= {
            "TRAEFIK_CONFIG_API_ENDPOINT": worker.endpoint,
            "TRAEFIK_ACCESS_FILE": str(folder / "access.yml"),
            "TRAEFIK_DYNAMIC_CONFIG_FILE": str(folder / "dynamic.yml"),
            "TRAEFIK_CONFIG_STATUS_FILE": str(folder / "status.json"),
        }
        host, _, _ = settings["TRAEFIK_CONFIG_LISTEN"].rpartition(":")
        assert host == "0.0.0.0"
        settings["TRAEFIK_CONFIG_LISTEN"] = f"{host}:{port}"
        watch = stack.enter_context(BareWatch(folder / "dynamic.yml", settings))
        watch.until_logged("listening on")
        (endpoint,) = [each for each in flags if "providers.http.endpoint" in each]
        named = re.sub(r"http://(.*):9280", rf"http://127.0.0.1:{port}", endpoint)
        header = f"--providers.http.headers.Host={re.findall('//(.*?):', endpoint)[0]}"
        moved = [named if each == endpoint else each for each in flags]
        yield stack.enter_context(FlaggedTraefik(folder, [*moved, header]))


def test_compose_is_live(tmp_path: Path) -> None:
    """The hub of the compose file, and its Traefik with the token and the hub's name."""
    token = "${HUB_TOKEN:?set it in .env}"
    flags = [each.replace(token, TOKEN) for each in COMPOSE["services"]["traefik"]["command"]]
    with stage(tmp_path, COMPOSE["services"]["hub"]["environment"], flags) as traefik:
        until(lambda: traefik.get("web", "app.example.com") == Answer(200, "live"), "not live")


def test_kubernetes_is_live(tmp_path: Path) -> None:
    """The same with the containers of the manifests."""
    settings = {each["name"]: each["value"] for each in POD_HUB["env"]}
    flags = [each.replace("$(HUB_TOKEN)", TOKEN) for each in POD_TRAEFIK["args"]]
    with stage(tmp_path, settings, flags) as traefik:
        until(lambda: traefik.get("web", "app.example.com") == Answer(200, "live"), "not live")


@pytest.mark.skipif(
    not all(map(shutil.which, ("systemd-analyze", "setpriv"))),
    reason="Debian's packages systemd and util-linux are not installed",
)
def test_hub_and_follower_of_systemd(tmp_path: Path) -> None:
    """With their drop-ins, shut in as the unit says, one serves and the other follows it."""
    (port,) = free_ports(1)
    hub, follower = (Unit(SYSTEMD, HUB / f"{name}.conf") for name in ("hub", "follower"))
    calls = tmp_path / "calls.json"
    rules = {
        "calls": sorted(hub.allowed_calls()),
        "families": hub.value("RestrictAddressFamilies").split(),
    }
    calls.write_text(json.dumps(rules))
    confined = ["setpriv", "--no-new-privs", sys.executable, str(TESTS / "support/confined.py")]
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"hosts": {"_web_http_80._tcp.app.example.com": "100.64.0.1"}}')
    with ExitStack() as stack:
        worker = stack.enter_context(StandInWorker(policy, 0.5))
        source = worker.endpoint
        for name, unit in (("hub", hub), ("follower", follower)):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "hub-token").write_text(f"{TOKEN}\n")
            places = {"%d": str(folder), "100.64.0.5:9280": f"127.0.0.1:{port}"}
            for place in ("/var/lib/ctsdns-traefik", "/run/ctsdns-traefik"):
                places[place] = str(folder)
            places["/opt/ctsdns-traefik/bin"] = sysconfig.get_path("scripts")
            settings = {**unit.environment(places), "TRAEFIK_CONFIG_API_ENDPOINT": source}
            watch = BareWatch(folder / "dynamic.yml", settings)
            watch._command = [*confined, str(calls), *unit.command(places)]
            stack.enter_context(watch).until_content("router-app-example-com")
            source = f"http://127.0.0.1:{port}/api/config"
