"""Raw TCP, UDP and balanced services by way of Redis, with the real Traefik."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

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
    until(lambda: len(traefik.routers()) == 3, "no routers", 15)
    with socket.create_connection((HERE, traefik.ports["ssh"]), timeout=5) as connection:
        assert connection.recv(100) == b"ssh"
    assert ask(traefik.ports["dns"]) == b"ns:?"
    listed = json.loads(traefik.get("traefik", "localhost", "/api/http/services").body)
    (service,) = [each for each in listed if each["name"].startswith("service-app-de")]
    servers = [each["url"] for each in service["loadBalancer"]["servers"]]
    assert servers == [f"http://{HERE}:{port}" for port in sorted(range(web, web + 11), key=str)]
    publish({})
    until(lambda: not traefik.routers(), "the routers stay", 15)


def ask(port: int) -> bytes:
    """Send a datagram and return the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"?", (HERE, port))
        return client.recv(100)
