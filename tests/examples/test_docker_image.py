"""The all-in-one image's files: linted, pinned, consistent, and no more than they say they are."""

from __future__ import annotations

import configparser
import fnmatch
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from stand_in_tailscale import StandInTailscale
from support.backends import http_backend
from support.certificates import Authority
from support.composed import COMPOSE, load, services_of
from support.containers import ENTRYPOINT, EXAMPLE, PORTS, TEMPLATE, Container
from support.traefik import Answer
from support.units import environment_file
from support.worker import StandInWorker

from ctsdns_traefik.core.dynamic.rendering import render

ROOT = EXAMPLE.parent.parent
DOCKERFILE = EXAMPLE / "Dockerfile"
README = (EXAMPLE / "README.md").read_text()
NOBODY = "http://127.0.0.1:9/api/config"

INSTRUCTIONS = re.sub(r"\\\n\s*|^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of a kind."""
    return re.findall(rf"^{name} +(.+)$", INSTRUCTIONS, re.MULTILINE)


def complaints(dockerfile: Path) -> str:
    """Return what hadolint has against a Dockerfile."""
    program = str(Path(sysconfig.get_path("scripts")) / "hadolint")
    command = [program, "--no-color", "--failure-threshold", "style", str(dockerfile)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_hadolint(tmp_path: Path) -> None:
    """The linter has nothing against the Dockerfile, and would have."""
    assert complaints(DOCKERFILE) == ""
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE.read_text().replace('CMD ["watch"]', "CMD watch"))
    assert "DL3025" in complaints(spoilt)


def test_programs_are_started_without_a_shell() -> None:
    """Signals reach the first process itself: no ENTRYPOINT, CMD or HEALTHCHECK has Docker's."""
    started = [*instructions("ENTRYPOINT"), *instructions("CMD")]
    started += [each.partition("CMD ")[2] for each in instructions("HEALTHCHECK")]
    assert len(started) == 5
    assert [each for each in started if not isinstance(json.loads(each), list)] == []


def test_image_opens_nothing_by_itself(tmp_path: Path) -> None:
    """With the access file that the image has, a route is refused to those outside the tailnet."""
    (text,) = re.findall(r"&& echo '(.+)' > /made/access/access\.yml", INSTRUCTIONS)
    assert '-v "$PWD/examples/docker/access:/access:ro"' in README
    with ExitStack() as stack:
        port = stack.enter_context(http_backend("app"))
        policy = tmp_path / "policy.hujson"
        policy.write_text(f'{{"hosts": {{"_web_http_{port}._tcp.app.example.com": "127.0.0.1"}}}}')
        worker = stack.enter_context(StandInWorker(policy, 0.1))
        container = Container(tmp_path, worker.endpoint)
        container.access.write_text(f"{text}\n")
        stack.enter_context(container)
        container.until(lambda: container.get("web", "app.example.com").status == 403)


def test_image_reads_the_policy_from_tailscale(tmp_path: Path) -> None:
    """With the OAuth client filled into the sample, and nothing else, a route is served."""
    sample = environment_file(EXAMPLE / ".env.sample")
    assert "--env-file examples/docker/.env \\" in README
    assert sample.pop("TRAEFIK_CONFIG_API_ENDPOINT") == "tailscale:"
    with http_backend("app") as port:
        policy = tmp_path / "policy.hujson"
        policy.write_text(f'{{"hosts": {{"_web_http_{port}._tcp.app.example.com": "127.0.0.1"}}}}')
        with StandInTailscale(policy) as api:
            assert set(sample) == set(api.environment) - {"TAILSCALE_BASE_URL"}
            with Container(tmp_path, "tailscale:", api.environment) as container:
                container.until(
                    lambda: container.get("web", "app.example.com") == Answer(200, "app")
                )


def test_it_ends_before_the_engine_loses_patience() -> None:
    """What does not stop is killed before the ten seconds are over that Docker gives by itself."""
    (grace,) = re.findall(r"^GRACE = ([\d.]+)$", ENTRYPOINT.read_text(), re.MULTILINE)
    connections = load(TEMPLATE)["entryPoints"]["tcp"]["transport"]["lifeCycle"]["graceTimeOut"]
    assert float(connections.removesuffix("s")) < float(grace) < 10


def ignored(path: str) -> bool:
    """Return whether a file is kept from the builder; the last line that fits decides."""
    verdict = False
    for line in (EXAMPLE / "Dockerfile.dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        above = ["/".join(path.split("/")[:end]) for end in range(1, path.count("/") + 2)]
        if pattern and not line.startswith("#"):
            anywhere = pattern.removeprefix("**/")
            names = [Path(each).name for each in above] if anywhere != pattern else above
            if any(fnmatch.fnmatchcase(each, anywhere) for each in names):
                verdict = not line.startswith("!")
    return verdict


def test_builder_gets_what_it_copies_and_no_secret() -> None:
    """Of the repository the builder gets what the Dockerfile copies; no history and no .env."""
    sources = {
        source
        for each in instructions("COPY")
        if "--from" not in each
        for source in each.split()[:-1]
    }
    assert "ctsdns_traefik" in sources
    assert [source for source in sources if ignored(source) or not (ROOT / source).exists()] == []
    kept_back = (
        *(".git/config", ".venv/bin/python", ".env", "examples/docker/.env", "tests/conftest.py"),
        *("examples/compose/.env", "ctsdns_traefik/__pycache__/x.pyc"),
    )
    assert [path for path in kept_back if not ignored(path)] == []


def pinned(name: str) -> dict[str, str]:
    """Return the versions that a file of requirements pins, each of which must have hashes."""
    blocks = re.split(r"\n(?=\S)", (EXAMPLE / name).read_text().strip())
    found: dict[str, str] = {}
    for block in blocks:
        lines = [line for line in block.splitlines() if not line.lstrip().startswith("#")]
        package, _, version = lines[0].removesuffix(" \\").partition("==")
        hashes = [line.strip().removesuffix(" \\") for line in lines[1:]]
        assert hashes
        assert [
            each for each in hashes if not re.fullmatch("--hash=sha256:[0-9a-f]{64}", each)
        ] == []
        found[canonicalize_name(package)] = version
    return found


def needed() -> Iterator[Requirement]:
    """Yield what the package needs to run, and what that needs, as far as it is installed here."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].split()
    extras = setup["options.extras_require"]
    lines += extras["redis"].split() + extras["serve"].split()
    waiting, seen = [Requirement(line) for line in lines], set()
    while waiting:
        requirement = waiting.pop()
        yield requirement
        if requirement.name not in seen:
            seen.add(requirement.name)
            below = map(Requirement, importlib.metadata.requires(requirement.name) or ())
            waiting += [each for each in below if not each.marker or each.marker.evaluate(IMAGE)]


IMAGE = {"python_version": "3.13", "python_full_version": "3.13.14", "extra": ""}
"""What markers ask about, as it is in the image."""


def test_requirements_are_those_of_the_package() -> None:
    """The pinned packages are what setup.cfg asks for, all that these need, and nothing else."""
    versions = pinned("requirements.txt")
    requirements = list(needed())
    assert {canonicalize_name(each.name) for each in requirements} == versions.keys()
    for each in requirements:
        assert Version(versions[canonicalize_name(each.name)]) in each.specifier, each
    assert list(pinned("requirements-build.txt")) == ["setuptools"]
    assert 'requires = ["setuptools>=68"]' in (ROOT / "pyproject.toml").read_text()


def test_static_configuration_is_that_of_the_other_examples(tmp_path: Path) -> None:
    """With the defaults filled in, the template is examples/traefik's but for what it says."""
    static = tmp_path / "traefik.yml"
    text = TEMPLATE.read_text()
    for name, value in (("HTTP_PORT", "80"), ("HTTPS_PORT", "443"), ("TCP_PORT", "4433")):
        text = text.replace(f"${{{name}}}", value)
    text = text.replace("${TRAEFIK_DYNAMIC_CONFIG_FILE}", '"/etc/traefik/dynamic.yml"')
    static.write_text(text.replace("${DASHBOARD_ADDRESS}", ":8080"))
    expected = load(ROOT / "examples" / "traefik" / "traefik.yml")
    for name in PORTS:
        entrypoint = expected["entryPoints"][name]
        entrypoint["transport"] = {"lifeCycle": {"graceTimeOut": "5s"}}
    expected["entryPoints"]["traefik"]["address"] = ":8080"
    assert load(static) == expected


def test_health(tmp_path: Path) -> None:
    """The image's health check passes after a snapshot, and no longer when that is too old."""
    (check,) = instructions("HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert services_of(COMPOSE)["watch"]["healthcheck"]["test"] == ["CMD", program, *arguments]
    policy = tmp_path / "policy.hujson"
    policy.write_text('{"hosts": {}}')

    def verdict(container: Container) -> tuple[int, str]:
        command = [str(tmp_path / "bin" / program), *arguments]
        done = subprocess.run(
            command, env=container.environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    with StandInWorker(policy, 0.1) as worker, Container(tmp_path, worker.endpoint) as container:
        container.until(lambda: verdict(container)[0] == 0)
        container.environment["TRAEFIK_CONFIG_MAX_AGE_SECONDS"] = "0.001"
        container.until(lambda: verdict(container)[0] == 1)
    code, line = verdict(container)
    assert (code, line.count("\n")) == (1, 1)


def edit_template(container: Container, *changes: tuple[str, str]) -> None:
    """Change the template as README says, each part of which must be there."""
    template = Path(container.environment["TRAEFIK_STATIC_CONFIG_TEMPLATE"])
    text = template.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    template.write_text(text)


def yaml_blocks() -> list[str]:
    """Return README's blocks of YAML."""
    return re.findall(r"```yaml\n(.+?)```", README, re.DOTALL)


def test_certificate_of_ones_own(tmp_path: Path, stack: ExitStack, authority: Authority) -> None:
    """As README says to bring one: a second file beside the routes, and one line changed."""
    port = stack.enter_context(http_backend("app"))
    container = Container(tmp_path, NOBODY)
    folder = container.dynamic.parent
    old, new = "filename: ${TRAEFIK_DYNAMIC_CONFIG_FILE}", "directory: /etc/traefik"
    assert f"`{old}` by `{new}`" in README
    edit_template(container, (old, f'directory: "{folder}"'))
    text = next(block for block in yaml_blocks() if "certFile" in block)
    certificate, key = authority.issue("app.example.com")
    text = text.replace("/certificates/example.com.pem", str(certificate))
    (folder / "certificates.yml").write_text(
        text.replace("/certificates/example.com.key", str(key))
    )
    hosts = {f"_websecure_http_{port}._tcp.app.example.com": "127.0.0.1"}
    container.dynamic.write_text(render(hosts).text)
    stack.enter_context(container)
    tls = authority.client_context()
    container.until(
        lambda: container.get("websecure", "app.example.com", tls=tls) == Answer(200, "app")
    )
    assert container.errors == []


def test_certificate_resolver(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik takes README's settings for Let's Encrypt as they stand."""
    container = Container(tmp_path, NOBODY, {"CF_DNS_API_TOKEN": "token"})
    text = next(block for block in yaml_blocks() if "certificatesResolvers" in block)
    store = str(tmp_path / "acme.json")
    text = text.replace("/etc/traefik/acme.json", store)
    old, new = "tls: {}", "tls: {certResolver: letsencrypt}"
    assert f"`{old}` of `websecure` by `{new}`" in README
    edit_template(container, (f"      {old}", f"      {new}"), ("\nlog:\n", f"\n{text}\nlog:\n"))
    stack.enter_context(container)
    container.until_up()
    assert container.errors == []
    assert container.get("web", "localhost").status == 301
    os.kill(container.child("traefik"), signal.SIGKILL)  # with a resolver it takes 10 s to end
