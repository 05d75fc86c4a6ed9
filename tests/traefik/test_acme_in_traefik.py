"""A machine behind passthrough gets its own certificate: a real ACME server and client."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest
from local import free_ports, running, until
from support.accessed import GuardedTraefik
from support.backends import banner_backend, http_backend
from support.certificates import Authority
from support.traefik import Answer, needs_wildcards

from ctsdns_traefik.core.checks.certificates import certificates_missing
from ctsdns_traefik.core.static_config.configuration import read_static

HERE = "127.0.0.1"
NAME = "www.vm.example.com"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("pebble", "pebble-challtestsrv", "certbot"))),
    reason="there is no pebble or no certbot on this machine",
)


class AcmeServer:
    """Pebble, for which all names lead to this machine; a context manager to end it."""

    def __init__(self, folder: Path, http_port: int) -> None:
        self._folder, self._http_port = folder, http_port
        self._acme, self._management, self._dns, self._dns_management = free_ports(4)
        self.directory = f"https://{HERE}:{self._acme}/dir"
        authority = Authority(folder)
        self.ca_file = authority.ca_file
        """Whom its clients have to trust."""
        self._client = authority.client_context()
        self._certificate = authority.issue(HERE)
        self._stack = ExitStack()

    def look_at(self, http_port: int) -> Self:
        """Look for challenges at another port."""
        self._http_port = http_port
        return self

    def __enter__(self) -> Self:
        certificate, key = self._certificate
        config = {
            "listenAddress": f"{HERE}:{self._acme}",
            "managementListenAddress": f"{HERE}:{self._management}",
            "certificate": str(certificate),
            "privateKey": str(key),
            "httpPort": self._http_port,
            "tlsPort": 1,
        }
        path = self._folder / "pebble.json"
        path.write_text(json.dumps({"pebble": config}))
        names = ["pebble-challtestsrv", "-defaultIPv4", HERE, "-defaultIPv6", ""]
        names += ["-http01", "", "-https01", "", "-tlsalpn01", ""]
        names += ["-dns01", f"{HERE}:{self._dns}"]
        names += ["-management", f"{HERE}:{self._dns_management}"]
        pebble = ["pebble", "-config", str(path), "-dnsserver", f"{HERE}:{self._dns}"]
        environment = {**os.environ, "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        self._stack.enter_context(running(names, self._folder / "names.log"))
        self._stack.enter_context(running(pebble, self._folder / "pebble.log", environment))
        until(lambda: self._get(self._acme, "dir"), "no ACME server")
        until(lambda: answers(self._dns_management), "no name server")
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def root(self) -> ssl.SSLContext:
        """Return the context of a client that trusts its certificates alone."""
        return ssl.create_default_context(cadata=self._get(self._management, "roots/0"))

    def _get(self, port: int, path: str) -> str:
        with suppress(OSError):
            url = f"https://{HERE}:{port}/{path}"
            with urllib.request.urlopen(url, context=self._client, timeout=30) as response:
                return str(response.read().decode())
        return ""


def answers(port: int) -> bool:
    """Return whether something listens on a port of this machine."""
    with suppress(OSError), socket.create_connection((HERE, port), timeout=1):
        return True
    return False


def get_certificate(folder: Path, server: AcmeServer, port: int) -> tuple[Path, Path]:
    """Run certbot on the machine, which answers challenges on a port; return what it got."""
    folders = {each: folder / each for each in ("config-dir", "work-dir", "logs-dir")}
    command = ["certbot", "certonly", "--standalone", "-d", NAME, "--server", server.directory]
    command += ["--http-01-address", HERE, "--http-01-port", str(port)]
    command += ["--register-unsafely-without-email", "--agree-tos", "--non-interactive"]
    command += [f"--{name}={path}" for name, path in folders.items()]
    environment = {**os.environ, "REQUESTS_CA_BUNDLE": str(server.ca_file)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    live = folders["config-dir"] / "live" / NAME
    return live / "fullchain.pem", live / "privkey.pem"


def test_machine_behind_passthrough_gets_its_certificate(tmp_path: Path, stack: ExitStack) -> None:
    """Challenges reach it through port 80, whose rest redirects, and browsers reach it by name."""
    challenges, tls_port = free_ports(2)
    redirect = {"entryPoint": {"to": "ws", "priority": 1}}
    settings = {"entryPoints": {"web": {"http": {"redirections": redirect}}, "ws": {}}}
    hosts = {f"_ws_tls_{tls_port}._tcp.{NAME}": HERE}
    access = f"routes: {{{NAME}: {{acmeChallenge: {{entryPoint: web, port: {challenges}}}}}}}"
    traefik = GuardedTraefik(tmp_path / "traefik", settings, hosts, access)
    stack.enter_context(traefik).until_routed()
    server = stack.enter_context(AcmeServer(tmp_path, traefik.ports["web"]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*get_certificate(tmp_path, server, challenges))
    stack.enter_context(http_backend("vm", tls=context, port=tls_port))
    assert traefik.get("ws", NAME, tls=server.root()) == Answer(200, "vm")
    assert traefik.get("web", NAME).status == 301


@needs_wildcards
def test_tcp_entry_gets_its_certificate_from_a_resolver(tmp_path: Path, stack: ExitStack) -> None:
    """With certResolver in the access file Traefik shows a TCP entry's own certificate.

    That of a wildcard needs another challenge.
    """
    server = AcmeServer(tmp_path, 0)
    acme = {
        "caServer": server.directory,
        "email": "someone@example.com",
        "storage": str(tmp_path / "acme.json"),
        "httpChallenge": {"entryPoint": "web"},
    }
    settings = {
        "entryPoints": {"web": {}, "tcp": {}},
        "certificatesResolvers": {"letsencrypt": {"acme": acme}},
    }
    ssh = f"_tcp_ssh_{stack.enter_context(banner_backend(b'SSH-2.0-'))}._tcp."
    hosts = dict.fromkeys((f"{ssh}{NAME}", f"{ssh}*.example.com"), HERE)
    access = "default: {access: public, certResolver: letsencrypt}"
    traefik = GuardedTraefik(tmp_path / "traefik", settings, hosts, access, server.ca_file)
    traefik.output.write_text("{}")
    stack.enter_context(traefik)
    stack.enter_context(server.look_at(traefik.ports["web"]))
    traefik.output.write_text(traefik.rendering.text)
    traefik.until_routed()
    received = until(lambda: traefik.heard("tcp", NAME, tls=server.root()), "no certificate")
    assert received == b"SSH-2.0-"
    assert traefik.heard("tcp", "a.example.com") == received
    assert traefik.heard("tcp", "a.example.com", tls=server.root()) == b""
    static = read_static(json.dumps(settings), "yaml")
    (found,) = certificates_missing(traefik.rendering.routes, static, None)
    assert (found.code, found.entry) == ("no-certificate", f"{ssh}*.example.com")
