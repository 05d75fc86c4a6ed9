"""The pod of the examples, its containers run as processes with what the manifest gives them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from local import find_traefik, free_ports, running, until
from ruamel.yaml import YAML
from stand_in_tailscale import CLIENT_ID, CLIENT_SECRET, StandInTailscale
from support.access_files import opening
from support.backends import http_backend
from support.commands import Watch
from support.paths import ROOT
from support.traefik import Answer, Traefik
from support.units import environment_file
from support.worker import StandInWorker

EXAMPLE = ROOT / "examples" / "kubernetes"
POD = YAML(typ="safe").load(EXAMPLE / "daemonset.yaml")["spec"]["template"]["spec"]
(WATCH,) = POD["initContainers"]
(TRAEFIK,) = POD["containers"]


class Pod:
    """The pod's volumes as folders, and what its containers are started with."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        self._endpoint = endpoint
        mounts = [*WATCH["volumeMounts"], *TRAEFIK["volumeMounts"]]
        self._places = {each["mountPath"]: str(folder / each["name"]) for each in mounts}
        for place in set(self._places.values()):
            Path(place).mkdir()
        self.output = Path(self.placed("/dynamic/dynamic.yml"))
        self.open("app.example.com")

    def open(self, *names: str) -> None:
        """Open names by a new access file, which replaces the old one as the kubelet does it."""
        volume = self.folder / "access"
        new = Path(tempfile.mkdtemp(prefix="..", dir=volume))
        (new / "access.yml").write_text(opening(EXAMPLE / "access.yml", *names))
        current, link = volume / "..data", volume / "..data_tmp"
        old = current.resolve() if current.exists() else None
        link.symlink_to(new.name)
        link.replace(current)
        if old:
            shutil.rmtree(old)
        else:
            (volume / "access.yml").symlink_to("..data/access.yml")

    def placed(self, text: str) -> str:
        """Return a text with the places of the container replaced by those on this machine."""
        places = "|".join(map(re.escape, self._places))
        return re.sub(rf"(?<![\w/])({places})(?=/)", lambda found: self._places[found[0]], text)

    def command(self, words: list[str]) -> list[str]:
        """Return a command of a container, to be run on this machine."""
        there = shutil.which(words[0], path=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")
        assert there
        return [there, *map(self.placed, words[1:])]

    def environment(self) -> dict[str, str]:
        """Return the environment of watch: the settings with another endpoint and client."""
        settings = environment_file(EXAMPLE / "settings.env")
        assert settings["TRAEFIK_CONFIG_API_ENDPOINT"] == "tailscale:"
        assert settings["TAILSCALE_OAUTH_CLIENT_ID"] == "CHANGE-ME"
        settings = {name: self.placed(value) for name, value in settings.items()}
        settings["TRAEFIK_CONFIG_API_ENDPOINT"] = self._endpoint
        settings["TAILSCALE_OAUTH_CLIENT_ID"] = CLIENT_ID
        return settings | {each["name"]: self.placed(each["value"]) for each in WATCH["env"]}

    def probe(self, name: str) -> int:
        """Run a probe of watch as the kubelet does; return its exit status."""
        return subprocess.run(
            self.command(WATCH[name]["exec"]["command"]),
            env={**os.environ, **self.environment()},
            capture_output=True,
            timeout=60,  # the kubelet's own counts on a machine that is not busy with tests
            check=False,
        ).returncode


class PodWatch(Watch):
    """The container of watch."""

    def __init__(self, pod: Pod, **more: str) -> None:
        super().__init__("", pod.output, environment={**pod.environment(), **more})
        self._log = pod.folder / "watch.log"
        assert "command" not in WATCH  # the image's own is in force
        self._command = ["sh", str(EXAMPLE.parent / "docker" / "watch.sh"), *WATCH["args"]]
        self._environment["PATH"] = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"


class PodTraefik(Traefik):
    """The container of Traefik, its ports moved."""

    def _write_static(self, path: Path) -> dict[str, int]:
        yaml = YAML()
        static: Any = yaml.load(EXAMPLE / "traefik.yml")
        names = list(static["entryPoints"])
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        for name, port in ports.items():
            static["entryPoints"][name]["address"] = f"127.0.0.1:{port}"
        static["providers"]["file"]["filename"] = str(self._dynamic)
        yaml.dump(static, path)
        return ports

    def answers(self, probe: str) -> bool:
        """Ask what a probe of the manifest asks."""
        asked = TRAEFIK[probe]["httpGet"]
        return self.get(asked["port"], asked["host"], asked["path"]).status == 200


@pytest.fixture
def backend() -> Iterator[int]:
    """Run a backend and give its port."""
    with http_backend("the app") as port:
        yield port


def test_pod_serves_through_failures(tmp_path: Path, backend: int) -> None:
    """A route goes on serving, and Traefik's probes succeed, when the worker and watch die."""
    with ExitStack() as stack:
        working = stack.enter_context(ExitStack())
        policy = tmp_path / "policy.hujson"
        entry = f"_web_http_{backend}._tcp.app.example.com"
        policy.write_text(json.dumps({"hosts": {entry: "127.0.0.1"}}))
        worker = working.enter_context(StandInWorker(policy, 0.2))
        pod = Pod(tmp_path, worker.endpoint)
        assert pod.probe("startupProbe") == 1
        watch = stack.enter_context(PodWatch(pod))
        watch.until(lambda: pod.probe("startupProbe") == 0, "the file is not there")
        traefik = stack.enter_context(PodTraefik(pod.folder, pod.output))
        until(lambda: traefik.get("web", "app.example.com").body == "the app", "no route")
        watch.until(lambda: pod.probe("readinessProbe") == 0, "not ready")

        working.close()
        watch.until_logged("retrying in")
        watch.process.kill()
        watch.process.wait()
        restarted = stack.enter_context(PodWatch(pod))
        restarted.until_logged("retrying in")
        assert pod.probe("startupProbe") == 0
        assert traefik.get("web", "app.example.com").body == "the app"
        assert (traefik.answers("livenessProbe"), traefik.answers("readinessProbe")) == (True, True)
        assert traefik.errors == []


def test_names_are_opened_without_a_new_pod(tmp_path: Path, backend: int) -> None:
    """A name that the ConfigMap does not open is refused; it follows the ConfigMap both ways."""
    names = ("app.example.com", "wiki.example.com")
    entries = {f"_web_http_{backend}._tcp.{name}": "127.0.0.1" for name in names}
    policy = tmp_path / "policy.hujson"
    policy.write_text(json.dumps({"hosts": entries}))
    with StandInWorker(policy, 0.2) as worker:
        pod = Pod(tmp_path, worker.endpoint)
        with PodWatch(pod) as watch:
            watch.until_content("wiki.example.com")
            with PodTraefik(tmp_path, pod.output) as traefik:

                def statuses() -> list[int]:
                    return [traefik.get("web", name).status for name in names]

                watch.until(lambda: statuses() == [200, 403], "not as it is at first")
                pod.open(*names)
                watch.until(lambda: statuses() == [200, 200], "wiki is not opened")
                pod.open("wiki.example.com")
                watch.until(lambda: statuses() == [403, 200], "app is not shut")
                assert traefik.get("web", "wiki.example.com") == Answer(200, "the app")


def test_pod_reads_the_policy_from_tailscale(tmp_path: Path) -> None:
    """The client of the settings, with the secret in its Secret, reads the policy."""
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"hosts": {"_web_http_80._tcp.app.example.com": "100.64.0.1"}}')
    pod = Pod(tmp_path, "tailscale:")
    with StandInTailscale(policy) as api, PodWatch(pod, TAILSCALE_BASE_URL=api.url) as watch:
        watch.until_logged("retrying in")  # the Secret is not there yet
        (tmp_path / "tailscale" / "secret").write_text(CLIENT_SECRET)
        watch.process.send_signal(signal.SIGHUP)
        watch.until_content("app.example.com")


def test_startup_does_not_wait_for_the_source(tmp_path: Path) -> None:
    """Without a source the startup probe is content, so Traefik starts, with no routes."""
    pod = Pod(tmp_path, "http://127.0.0.1:1/api/config")
    with PodWatch(pod) as watch:
        watch.until_logged("retrying in")
        assert pod.probe("startupProbe") == 0
        assert pod.output.read_text() == "{}\n"


@pytest.mark.skipif(
    not all(map(shutil.which, ("unshare", "nsenter", "setpriv", "ip", "curl"))),
    reason="Debian's packages util-linux, iproute2 and curl are not installed",
)
def test_real_ports_need_what_the_manifest_gives(tmp_path: Path) -> None:
    """With the user and the capability of the manifest Traefik listens on its real ports."""
    pod = Pod(tmp_path, "")
    pod.output.write_text("{}\n")
    static = Path(pod.placed("/etc/traefik/traefik.yml"))
    static.write_text(pod.placed((EXAMPLE / "traefik.yml").read_text()))
    context = TRAEFIK["securityContext"]
    (added,) = context["capabilities"]["add"]
    network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*network, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no network of its own")
    shut = ["setpriv", "--no-new-privs", "--inh-caps=-all", f"--reuid={context['runAsUser']}"]
    shut += [f"--bounding-set=-all,+{added.lower()}"]
    command = [*network, *shut, find_traefik(), *map(pod.placed, TRAEFIK["args"])]
    with running(command, tmp_path / "traefik.log") as process:
        inside = ["nsenter", f"--net=/proc/{process.pid}/ns/net"]
        ask = [*inside, "curl", "-sf", "http://127.0.0.1:8080/ping"]
        until(
            lambda: subprocess.run(ask, capture_output=True, check=False).stdout == b"OK",
            "no ping",
        )
        listening = subprocess.run(
            [*inside, "cat", f"/proc/{process.pid}/net/tcp", f"/proc/{process.pid}/net/tcp6"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    for port in (each["containerPort"] for each in TRAEFIK["ports"]):
        assert f":{port:04X} 0" in listening
