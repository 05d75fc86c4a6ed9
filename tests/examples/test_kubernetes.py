"""The manifests of the examples: valid, complete, and shut as they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.paths import ROOT

EXAMPLES = ROOT / "examples"
EXAMPLE = EXAMPLES / "kubernetes"
MANIFESTS = ("namespace.yaml", "priorityclass.yaml", "daemonset.yaml", "secret.sample.yaml")

needs_kubectl = pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl here")


def load(path: Path) -> Any:
    """Read a YAML file."""
    return YAML(typ="safe").load(path)


POD = load(EXAMPLE / "daemonset.yaml")["spec"]["template"]["spec"]
(WATCH,) = POD["initContainers"]
(TRAEFIK,) = POD["containers"]


def newest_schema() -> str:
    """Return the newest version of Kubernetes whose schema is installed, ``1.37`` for one."""
    found = Path(sysconfig.get_path("purelib"), "kubernetes_validate", "kubernetes-json-schema")
    names = (path.name for path in found.glob("v*-local-strict"))
    minor = max(int(match[1]) for name in names if (match := re.match(r"v1\.(\d+)\.", name)))
    return f"1.{minor}"


NEWEST = newest_schema()


def complaints(version: str, *paths: Path) -> str:
    """Return what a version's schema has against the resources in files, unknown fields too."""
    program = Path(sysconfig.get_path("scripts")) / "kubernetes-validate"
    command = [str(program), "--strict", "--quiet", "-k", version, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def kustomized(folder: Path) -> str:
    """Return what kubectl apply -k would send, rendered without a cluster."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("version", ["1.29", NEWEST])
def test_manifests_are_valid(version: str) -> None:
    """Each manifest fits Kubernetes' schema, oldest and newest, and has no field unknown to it."""
    assert complaints(version, *(EXAMPLE / name for name in MANIFESTS)) == ""


def test_a_slip_is_found(tmp_path: Path) -> None:
    """A manifest with a mistake in it does not pass, whichever of several it is."""
    text = (EXAMPLE / "daemonset.yaml").read_text()
    path = tmp_path / "daemonset.yaml"
    path.write_text(text.replace("hostNetwork:", "hostNetworks:"))
    for both in ((path, EXAMPLE / "namespace.yaml"), (EXAMPLE / "namespace.yaml", path)):
        assert "hostNetworks" in complaints(NEWEST, *both)


def test_folder_for_certificates_fits(tmp_path: Path) -> None:
    """The two pieces that the README adds to the manifest stand where it says, and are valid."""
    (block,) = re.findall(
        r"^  ```yaml\n(.+?)^  ```", (EXAMPLE / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    snippet, middle = re.sub("(?m)^  ", "", block), "        - name: acme # under volumes\n"
    mount, between, volume = snippet.partition(middle)
    assert between
    text = (EXAMPLE / "daemonset.yaml").read_text()
    above = "\n      volumes:\n"
    assert text.count(above) == 1
    head, _, volumes = text.partition(above)
    path = tmp_path / "daemonset.yaml"
    path.write_text(f"{head.rstrip()}\n{mount}{above}{volumes}{between}{volume}")
    assert complaints("1.29", path) == ""
    pod = load(path)["spec"]["template"]["spec"]
    assert pod["containers"][0]["volumeMounts"][-1] == {"name": "acme", "mountPath": "/acme"}
    assert pod["volumes"][-1]["name"] == "acme"


def test_kustomization_is_complete() -> None:
    """The kustomization names all manifests but the sample, and each file that it names exists."""
    kustomization = load(EXAMPLE / "kustomization.yaml")
    assert sorted(kustomization["resources"]) == sorted(set(MANIFESTS) - {"secret.sample.yaml"})
    generated = {
        each["name"]: [*each.get("envs", ()), *each.get("files", ())]
        for each in kustomization["configMapGenerator"]
    }
    assert generated == {
        "settings": ["settings.env"],
        "traefik": ["traefik.yml"],
        "access": ["access.yml"],
    }
    assert all((EXAMPLE / name).exists() for names in generated.values() for name in names)
    assert [image["name"] for image in kustomization["images"]] == [WATCH["image"]]


@needs_kubectl
@pytest.mark.parametrize("last_good", [False, True], ids=["as-it-is", "last-good"])
def test_what_is_applied(tmp_path: Path, last_good: bool) -> None:
    """What kubectl apply -k sends is valid, with and without the component."""
    folder = tmp_path / "kubernetes"
    shutil.copytree(EXAMPLE, folder)
    path = folder / "kustomization.yaml"
    if last_good:
        text = path.read_text()
        path.write_text(text.replace("# components:\n#   - last", "components:\n  - last"))
    rendered = tmp_path / "rendered.yaml"
    rendered.write_text(kustomized(folder))
    assert complaints(NEWEST, rendered) == ""
    (pod,) = [
        each["spec"]["template"]["spec"]
        for each in YAML(typ="safe").load_all(rendered)
        if each["kind"] == "DaemonSet"
    ]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "dynamic"]
    assert sorted(volume) == [*(["hostPath"] if last_good else ["emptyDir"]), "name"]
    (watch,) = pod["initContainers"]
    assert watch["image"] == "registry.example.com/ctsdns-traefik-watch:0.1.0"
    user = 0 if last_good else 10001
    shut = {**WATCH["securityContext"], "runAsNonRoot": not last_good}
    assert watch["securityContext"] == {**shut, "runAsUser": user, "runAsGroup": user}
    assert watch["envFrom"][0]["configMapRef"]["name"].startswith("settings-")
    # A change of the access file changes no name in the pod, so it does not replace the pod.
    (access,) = [each["configMap"] for each in pod["volumes"] if each["name"] == "access"]
    assert access == {"name": "access"}


@pytest.mark.parametrize("container", [WATCH, TRAEFIK], ids=lambda each: each["name"])
def test_container_is_shut(container: dict[str, Any]) -> None:
    """A container writes to its volumes alone; Traefik has one capability, for its ports."""
    context = container["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    added = {"add": ["NET_BIND_SERVICE"]} if container is TRAEFIK else {}
    assert context["capabilities"] == {"drop": ["ALL"], **added}
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert POD["automountServiceAccountToken"] is False


def test_nothing_upstream_restarts_anything() -> None:
    """Watch has no liveness probe, and Traefik's asks Traefik's own ping alone."""
    assert "livenessProbe" not in WATCH
    probe = TRAEFIK["livenessProbe"]["httpGet"]
    assert probe == {"host": "127.0.0.1", "port": "traefik", "path": "/ping"}
    assert "limits" not in TRAEFIK["resources"]


def test_user_of_watch_can_write_and_read_what_it_has_to() -> None:
    """The volumes are its group's, and a pod without the Secret starts all the same."""
    assert POD["securityContext"]["fsGroup"] == WATCH["securityContext"]["runAsGroup"]
    (secret,) = [each["secret"] for each in POD["volumes"] if "secret" in each]
    sample = load(EXAMPLE / "secret.sample.yaml")
    assert (secret["secretName"], secret["optional"]) == (sample["metadata"]["name"], True)
    assert secret["defaultMode"] == 0o440
    (mount,) = [each["mountPath"] for each in WATCH["volumeMounts"] if each["name"] == "tailscale"]
    (key,) = sample["stringData"]
    settings = (EXAMPLE / "settings.env").read_text()
    assert f"\nTAILSCALE_OAUTH_CLIENT_SECRET_FILE={mount}/{key}\n" in settings


def test_volumes_fit() -> None:
    """Every mount has its volume, every volume a mount, and Traefik can write to none."""
    mounts = [*WATCH["volumeMounts"], *TRAEFIK["volumeMounts"]]
    assert {mount["name"] for mount in mounts} == {each["name"] for each in POD["volumes"]}
    assert all(mount.get("readOnly") for mount in TRAEFIK["volumeMounts"])
    assert POD["volumes"][0] == {"name": "dynamic", "emptyDir": {}}


def test_access_file_is_mounted_as_a_folder() -> None:
    """What the settings name is in the folder of its volume; a file on its own would not change."""
    (mount,) = [each for each in WATCH["volumeMounts"] if each["name"] == "access"]
    assert mount == {"name": "access", "mountPath": "/access", "readOnly": True}
    settings = (EXAMPLE / "settings.env").read_text()
    assert f"\nTRAEFIK_ACCESS_FILE={mount['mountPath']}/access.yml\n" in settings


def test_ports_are_those_of_the_entrypoints() -> None:
    """The pod declares the port of each entrypoint, so no other pod is put in its way."""
    entrypoints = load(EXAMPLE / "traefik.yml")["entryPoints"]
    addresses = {name: each["address"] for name, each in entrypoints.items()}
    declared = {
        each["name"]: f"{each.get('hostIP', '')}:{each['containerPort']}"
        for each in TRAEFIK["ports"]
    }
    assert declared == addresses
