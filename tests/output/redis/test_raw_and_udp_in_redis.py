"""Raw TCP, UDP and balanced services by way of Redis, with the real Traefik."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from local import free_ports, until
from ruamel.yaml import YAML
from support.backends import banner_backend, http_backend, udp_backend
from support.commands import run
from support.stores import Server, StoreTraefik, needs_redis

HERE = "127.0.0.1"

pytestmark = needs_redis


class BothTraefik(StoreTraefik):
    """Traefik with an entrypoint for raw TCP and one for UDP besides."""

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = super()._write_static(path)
        yaml = YAML()
        static = yaml.load(path)
        ports["ssh"], ports["dns"] = free_ports(2)
        static["entryPoints"]["ssh"] = {"address": f"{HERE}:{ports['ssh']}"}
        static["entryPoints"]["dns"] = {"address": f"{HERE}:{ports['dns']}/udp"}
        yaml.dump(static, path)
        return ports


def test_all_kinds_come_and_go(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik serves what is published, eleven servers in their order, until it is gone."""
    server = stack.enter_context(Server(tmp_path))
    traefik = stack.enter_context(BothTraefik(tmp_path / "traefik", server))
    ssh = stack.enter_context(banner_backend(b"ssh"))
    dns = stack.enter_context(udp_backend(b"ns:"))
    web = stack.enter_context(http_backend("web"))
    access = tmp_path / "access.yml"
    access.write_text("{default: public, routes: {app.de: {balance: true, sticky: true}}}")
    hosts = {f"_ssh_ssh_{ssh}._tcp.*": HERE, f"_dns_dns_{dns}._udp.ns.de": HERE}
    balanced = {f"_web_http_{port}._tcp.app.de": HERE for port in range(web, web + 11)}

    def publish(hosts: dict[str, str]) -> None:
        options = ("-o", server.url, "--access-file", access, "--strict")
        done = run("render-once", "-", *options, stdin=json.dumps({"hosts": hosts}).encode())
        assert done.returncode == 0, done.stderr

    publish(hosts | balanced)
    until(lambda: len(traefik.routers()) == 3, "no routers")
    with socket.create_connection((HERE, traefik.ports["ssh"]), timeout=30) as connection:
        assert connection.recv(100) == b"ssh"
    assert ask(traefik.ports["dns"]) == b"ns:?"
    listed = json.loads(traefik.get("traefik", "localhost", "/api/http/services").body)
    (service,) = [each for each in listed if each["name"].startswith("service-app-de")]
    servers = [each["url"] for each in service["loadBalancer"]["servers"]]
    assert servers == [f"http://{HERE}:{port}" for port in sorted(range(web, web + 11), key=str)]
    publish({})
    until(lambda: not traefik.routers(), "the routers stay")


def test_twelve_middlewares_keep_their_order(tmp_path: Path, stack: ExitStack) -> None:
    """Traefik runs the middlewares of a route in the order of the access file, beyond ten too."""
    server = stack.enter_context(Server(tmp_path))
    traefik = stack.enter_context(StoreTraefik(tmp_path / "traefik", server))
    named = [f"m{number}@file" for number in range(11, 0, -1)]
    access = tmp_path / "access.yml"
    access.write_text(f"routes: {{app.de: {{access: tailscale-only, middlewares: {named}}}}}")
    policy = json.dumps({"hosts": {"_web_http_80._tcp.app.de": HERE}}).encode()
    run("render-once", "-", "-o", server.url, "--access-file", access, stdin=policy)
    until(traefik.routers, "no router")
    (router,) = traefik.routers().values()
    assert router["middlewares"] == ["access-tailnet@redis", *named]


def test_comma_in_a_list_is_refused(tmp_path: Path, stack: ExitStack) -> None:
    """A path with a comma, which Traefik would read as two, never gets into a store."""
    server = stack.enter_context(Server(tmp_path))
    access = tmp_path / "access.yml"
    files = "clientAuth: {ca: {caFiles: ['/etc/a,b.pem']}}"
    access.write_text(f"{files}\nroutes: {{app.de: {{access: mtls-strict, clientAuth: ca}}}}")
    policy = json.dumps({"hosts": {"_web_http_80._tcp.app.de": HERE}}).encode()
    done = run("render-once", "-", "-o", server.url, "--access-file", access, stdin=policy)
    assert (done.returncode, done.stdout) == (4, "")
    assert 'holds "/etc/a,b.pem": Traefik splits a list in a store at commas' in done.stderr
    assert server.keys("*") == {}


@pytest.mark.parametrize(
    ("hook", "warned"),
    [
        pytest.param("docker kill --signal=HUP traefik", True, id="name"),
        pytest.param("pkill -SIGHUP traefik", True, id="long-name"),
        pytest.param("kill -1 17", True, id="number"),
        pytest.param("docker kill --signal 1 traefik", True, id="number-of-docker"),
        pytest.param("pkill -hup traefik", True, id="lower-case"),
        pytest.param("kill -15 1", False, id="another-signal"),
        pytest.param("echo HUPFER", False, id="another-word"),
    ],
)
def test_hangup_beside_a_store_is_warned_of(
    tmp_path: Path, stack: ExitStack, hook: str, warned: bool
) -> None:
    """With a store Traefik has no file to read again, and ends at SIGHUP."""
    server = stack.enter_context(Server(tmp_path))
    options = ("-o", server.url, "--on-change", f"true {hook}")
    done = run("render-once", "-", *options, stdin=b'{"hosts": {}}')
    assert done.returncode == 0
    assert ("ends a Traefik that has no file provider" in done.stderr) is warned
    file = run("render-once", "-", "-o", tmp_path / "d.yml", *options[2:], stdin=b'{"hosts": {}}')
    assert "SIGHUP" not in file.stderr


def test_hangup_ends_a_traefik_without_a_file(tmp_path: Path, stack: ExitStack) -> None:
    """The real Traefik with a store alone does not survive SIGHUP."""
    server = stack.enter_context(Server(tmp_path))
    traefik = stack.enter_context(StoreTraefik(tmp_path / "traefik", server))
    traefik._process.send_signal(signal.SIGHUP)
    assert traefik._process.wait(60) != 0


def ask(port: int) -> bytes:
    """Send a datagram and return the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        client.sendto(b"?", (HERE, port))
        return client.recv(100)
