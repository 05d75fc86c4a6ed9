"""The table of docs/tcp-clients.md, cell by cell: real clients reach real servers through Traefik.

SSH and Redis by SNI through each tool are in tests/examples/test_sni_clients.py.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from local import free_ports, running, until
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from ruamel.yaml import YAML
from support.certificates import Authority
from support.certified import CertifiedTraefik
from support.commands import bind_mounting, run
from support.databases import mariadb, needs_mariadb, needs_postgres, postgres
from support.paths import ROOT
from support.ssh import SshServer, listens, needs_ssh

HERE = "127.0.0.1"
DNS_NAME, DNS_ADDRESS = "nas.home.example", "100.64.0.7"
RAW = ("ssh", "mysql", "postgres", "redis", "rdp", "dns", "mqtt")
"""Protocols with an entrypoint of their own, named like the protocol."""


MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
needs_mosquitto = pytest.mark.skipif(not MOSQUITTO, reason="there is no Mosquitto")


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip a test without some programs."""
    missing = [name for name in programs if not shutil.which(name)]
    return pytest.mark.skipif(bool(missing), reason=f"there is no {' and no '.join(missing)}")


class RawTraefik(CertifiedTraefik):
    """Traefik with an entrypoint for each protocol, and one for DNS over UDP."""

    def _write_static(self, path: Path) -> dict[str, int]:
        ports = super()._write_static(path)
        yaml = YAML()
        static = yaml.load(path)
        for name, port in zip((*RAW, "dns-udp"), free_ports(len(RAW) + 1), strict=True):
            ports[name] = port
            suffix = "/udp" if name == "dns-udp" else ""
            static["entryPoints"][name] = {"address": f"{HERE}:{port}{suffix}"}
        yaml.dump(static, path)
        return ports


class Stage(NamedTuple):
    """A Traefik, the authority of its certificate, and what is behind it."""

    folder: Path
    traefik: RawTraefik
    authority: Authority
    ports: Mapping[str, int]
    """Of the servers themselves, by protocol."""
    ssh: SshServer | None

    def raw(self, protocol: str, transport: str = "tcp") -> str:
        """Return the entry of a protocol without a name."""
        entrypoint = "dns-udp" if transport == "udp" else protocol
        return f"_{entrypoint}_{protocol}_{self.ports[protocol]}._{transport}.*"

    def named(self, protocol: str, scheme: str = "") -> str:
        """Return the entry of a protocol by SNI, with the protocol's own TLS for the scheme tls."""
        name = f"{protocol}{'-own' if scheme else ''}.example.com"
        return f"_tcp_{scheme or protocol}_{self.ports[protocol]}._tcp.{name}"

    def printed(self, entry: str, what: str = "command") -> str:
        """Return what parse-host prints for an entry of this Traefik, for this machine."""
        ports = [f"--entrypoint={name}={port}" for name, port in self.traefik.ports.items()]
        options = ("--format=json", f"--ca-file={self.authority.ca_file}")
        (said,) = json.loads(run("parse-host", *options, *ports, entry).stdout)
        return str(said["clients"][what]).replace("HOST", HERE)

    def run(self, command: str | list[str], seconds: float = 100) -> tuple[int, str]:
        """Run a client; return its exit status and everything it printed."""
        words = shlex.split(command) if isinstance(command, str) else command
        environment = {key: each for key, each in os.environ.items() if not key.startswith("PG")}
        done = subprocess.run(
            words,
            env={**environment, "HOME": str(self.folder), "PGCONNECT_TIMEOUT": "15"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    @contextmanager
    def local_port(self, entry: str) -> Iterator[int]:
        """Run the printed socat for an entry, on a free port."""
        (port,) = free_ports(1)
        command, domain = self.printed(entry, "socat"), entry.partition("._tcp.")[2]
        command = command.replace(f"OPENSSL:{domain}", f"OPENSSL:{HERE}")
        command = command.replace(f"TCP-LISTEN:{self.printed(entry, 'port')}", f"TCP-LISTEN:{port}")
        with running(shlex.split(command), self.folder / "socat.log"):
            until(lambda: listens(port), "socat does not listen")
            yield port


@contextmanager
def redis() -> Iterator[int]:
    """Run a Redis server that keeps nothing; give its port."""
    (port,) = free_ports(1)
    command = ["redis-server", "--bind", HERE, "--port", str(port), "--save", ""]
    with running(command, Path(os.devnull)):
        until(lambda: listens(port), "Redis does not listen")
        yield port


@contextmanager
def dns(folder: Path) -> Iterator[int]:
    """Run a DNS server that knows one name; give its port, which is one for UDP and TCP."""
    (port,) = free_ports(1)
    command = ["dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null"]
    command += [f"--port={port}", f"--listen-address={HERE}", "--bind-interfaces", "--user="]
    command += [f"--address=/{DNS_NAME}/{DNS_ADDRESS}", f"--pid-file={folder / 'dnsmasq.pid'}"]
    with running(command, folder / "dnsmasq.log"):
        until(lambda: listens(port), "dnsmasq does not listen")
        yield port


@contextmanager
def mqtt(folder: Path) -> Iterator[int]:
    """Run an MQTT broker for everybody on this machine; give its port."""
    (port,) = free_ports(1)
    file = folder / "mosquitto.conf"
    file.write_text(f"listener {port} {HERE}\nallow_anonymous true\nuser root\n")
    with running([MOSQUITTO, "-c", str(file)], folder / "mosquitto.log"):
        until(lambda: listens(port), "Mosquitto does not listen")
        yield port


@contextmanager
def rdp() -> Iterator[int]:
    """Answer the connection request of each RDP client, [MS-RDPBCGR] 2.2.1.1; give the port."""
    confirm = bytes.fromhex("03000013 0ed000001234 00 0200080001000000")
    with socket.create_server((HERE, 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    with client, suppress(OSError):
                        client.settimeout(60)
                        if client.recv(1000)[5:6] == b"\xe0":
                            client.sendall(confirm)
                            client.recv(1000)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def stage(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run what servers there are, and Traefik in front of them with entries of each kind."""
    folder = tmp_path_factory.mktemp("clients")
    certificate = authority.issue("*.example.com", HERE)
    with ExitStack() as stack:
        ports = {"rdp": stack.enter_context(rdp())}
        ssh = None
        if not needs_ssh.args[0]:
            ssh = stack.enter_context(SshServer(folder))
            ports["ssh"] = ssh.port
        if not needs_mariadb.args[0]:
            ports["mysql"] = stack.enter_context(mariadb(certificate, folder))
        if not needs_postgres.args[0]:
            ports["postgres"] = stack.enter_context(postgres(certificate))
        if shutil.which("redis-server"):
            ports["redis"] = stack.enter_context(redis())
        if shutil.which("dnsmasq"):
            ports["dns"] = stack.enter_context(dns(folder))
        if MOSQUITTO:
            ports["mqtt"] = stack.enter_context(mqtt(folder))
        dynamic = folder / "watched" / "dynamic.yml"
        dynamic.parent.mkdir()
        dynamic.write_text("{}")
        traefik = RawTraefik(folder, dynamic, certificate)
        stage = Stage(folder, traefik, authority, ports, ssh)
        entries = [entry for name in ports for entry in (stage.raw(name), stage.named(name))]
        entries += [stage.named("postgres", "tls")] if "postgres" in ports else []
        routers = len(entries)  # that of DNS over UDP has the name of one for TCP
        entries += [stage.raw("dns", "udp")] if "dns" in ports else []
        policy = json.dumps({"hosts": dict.fromkeys(entries, HERE)}).encode()
        done = run("render-once", "-", "-o", dynamic, "--strict", stdin=policy)
        assert done.returncode == 0, done.stderr
        stack.enter_context(traefik)
        until(lambda: len(traefik.routers()) == routers, "not all routers")
        yield stage


@needs_ssh
def test_ssh_raw(stage: Stage) -> None:
    """OpenSSH needs nothing but the port."""
    assert stage.ssh
    command = shlex.split(stage.printed(stage.raw("ssh")).replace("USER@", ""))
    port = stage.traefik.ports["ssh"]
    options = stage.ssh.options(f"[{HERE}]:{port}")
    assert stage.run([*command, *options, "echo", "through"]) == (0, "through")


@needs_mariadb
@pytest.mark.parametrize("tls", ["--skip-ssl", "--ssl-verify-server-cert"])
def test_mysql_raw(stage: Stage, tls: str) -> None:
    """MariaDB's client needs nothing but the port, with the server's own TLS or without."""
    command = stage.printed(stage.raw("mysql")).replace("USER --password", "root")
    options = [tls, f"--ssl-ca={stage.authority.ca_file}"] if "verify" in tls else [tls]
    assert stage.run([*shlex.split(command), *options, "-Nse", "select 6 * 7"]) == (0, "42")


@needs_mariadb
@needs("socat")
def test_mysql_by_sni(stage: Stage) -> None:
    """MariaDB's client gets through by a local port."""
    with stage.local_port(stage.named("mysql")) as port:
        command = ["mariadb", "--host", HERE, "--port", str(port), "--user", "root", "--skip-ssl"]
        assert stage.run([*command, "-Nse", "select 6 * 7"]) == (0, "42")


@needs_mariadb
def test_mysql_by_sni_needs_a_local_port(stage: Stage) -> None:
    """The server speaks first and TLS comes later: directly the client waits, and gives up."""
    command = ["mariadb", "--host", HERE, "--port", str(stage.traefik.ports["tcp"])]
    options = ["--user", "root", "--connect-timeout=1", "-Nse", "select 6 * 7"]
    status, said = stage.run([*command, *options])
    assert (status, "ERROR 2013" in said) == (1, True)


@needs_postgres
@pytest.mark.parametrize("mode", ["disable", "verify-full"])
def test_postgres_raw(stage: Stage, mode: str) -> None:
    """Postgres' client needs nothing but the port, with the server's own TLS or without."""
    command = stage.printed(stage.raw("postgres"))
    more = f"sslmode={mode} sslrootcert={stage.authority.ca_file}"
    command = command.replace("USER dbname=DATABASE", f"me dbname=postgres {more}")
    assert stage.run(f"{command} -Atc 'select 6 * 7'") == (0, "42")


@needs_postgres
@pytest.mark.parametrize("scheme", ["", "tls"], ids=["ended-by-traefik", "passthrough"])
def test_postgres_by_sni(stage: Stage, scheme: str) -> None:
    """Postgres' client sends the name when it asks for TLS, that of Traefik or of the server."""
    entry = stage.named("postgres", scheme)
    domain = entry.partition("._tcp.")[2]
    command = stage.printed(stage.named("postgres"))
    command = command.replace("host=postgres.example.com", f"host={domain} hostaddr={HERE}")
    command = command.replace("USER dbname=DATABASE", "me dbname=postgres")
    assert stage.run(f"{command} -Atc 'select 6 * 7'") == (0, "42")


@needs_postgres
@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_newer_libpq_by_sni(stage: Stage, negotiation: str) -> None:
    """From libpq 17 on ALPN is offered: Traefik has to know it where TLS ends there."""
    psycopg = pytest.importorskip("psycopg")
    if psycopg.pq.version() < 170_000:
        pytest.skip("this libpq is older")

    def ask(domain: str) -> str:
        settings = {
            "host": domain,
            "hostaddr": HERE,
            "port": stage.traefik.ports["tcp"],
            "user": "me",
            "dbname": "postgres",
            "sslmode": "verify-full",
            "sslrootcert": str(stage.authority.ca_file),
            "sslnegotiation": negotiation,
            "connect_timeout": 15,
        }
        try:
            with psycopg.connect(**settings) as connection:
                return str(connection.execute("select 6 * 7").fetchone()[0])
        except psycopg.OperationalError as why:
            return str(why)

    options = stage.folder / "watched" / "alpn.yml"
    options.unlink(missing_ok=True)
    own, ended = "postgres-own.example.com", "postgres.example.com"
    if negotiation == "postgres":  # a server older than 17 does not know the other
        assert ask(own) == "42"
    until(lambda: "no application protocol" in ask(ended), "ALPN is not refused")
    protocols = '["postgresql", "h2", "http/1.1"]'
    options.write_text(f"tls: {{options: {{default: {{alpnProtocols: {protocols}}}}}}}")
    until(lambda: ask(ended) == "42", "ALPN is still refused")


@needs("redis-server", "redis-cli")
@pytest.mark.parametrize("way", ["raw", "by-sni"])
def test_redis(stage: Stage, way: str) -> None:
    """redis-cli needs the port alone, or by SNI its options for TLS."""
    entry = stage.raw("redis") if way == "raw" else stage.named("redis")
    command = stage.printed(entry).replace("-h redis.example.com", f"-h {HERE}")
    assert stage.run(f"{command} ECHO {way}") == (0, way)


@needs("nmap", "socat")
@pytest.mark.parametrize("way", ["raw", "by-sni"])
def test_rdp(stage: Stage, way: str) -> None:
    """The first exchange of RDP gets through: nmap's client, and a server that confirms."""

    def ask(port: int) -> str:
        command = f"nmap -Pn -n -p {port} --script +rdp-enum-encryption {HERE}"
        return stage.run(command)[1]

    if way == "raw":
        assert stage.printed(stage.raw("rdp")).endswith(f":{stage.traefik.ports['rdp']}")
        assert "SSL: SUCCESS" in ask(stage.traefik.ports["rdp"])
    else:
        with stage.local_port(stage.named("rdp")) as port:
            assert "SSL: SUCCESS" in ask(port)


@needs("dnsmasq", "dig")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_dns(stage: Stage, transport: str) -> None:
    """A client of DNS gets its answer over UDP, and over raw TCP."""
    command = stage.printed(stage.raw("dns", transport)).replace("NAME", DNS_NAME)
    assert ("+tcp" in command) == (transport == "tcp")
    assert stage.run(f"{command} +short +time=30 +tries=1") == (0, DNS_ADDRESS)


class NamedContext(ssl.SSLContext):
    """A client's context that asks for one name, whatever the address."""

    name = ""

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """Begin TLS, with the name in place of the one that is given."""
        return super().wrap_socket(*arguments, **{**options, "server_hostname": self.name})


def connect_mqtt(port: int, tls: NamedContext | None = None) -> str:
    """Connect to a broker, and return how it answers."""
    answers: queue.Queue[str] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda _client, _data, _flags, code, _properties: answers.put(str(code))
    if tls:
        client.tls_set_context(tls)
    client.connect(HERE, port)
    client.loop_start()
    try:
        return answers.get(timeout=60)
    finally:
        client.disconnect()
        client.loop_stop()


def context_for(stage: Stage, name: str, *protocols: str) -> NamedContext:
    """Return the context of a client that asks for a name, and may offer protocols by ALPN."""
    context = NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(stage.authority.ca_file)
    context.name = name
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def negotiated(stage: Stage, name: str, protocol: str) -> str | None:
    """Return the protocol that is agreed on with a name by ALPN, or how TLS fails."""
    with socket.create_connection((HERE, stage.traefik.ports["tcp"]), timeout=30) as plain:
        try:
            with context_for(stage, name, protocol).wrap_socket(plain) as connection:
                return connection.selected_alpn_protocol()
        except ssl.SSLError as why:
            return str(why)


@needs_mosquitto
def test_mqtt_raw(stage: Stage) -> None:
    """A client of MQTT needs nothing but the port."""
    assert stage.printed(stage.raw("mqtt")).startswith(f"mosquitto_sub -h {HERE} -p ")
    assert connect_mqtt(stage.traefik.ports["mqtt"]) == "Success"


@needs_mosquitto
def test_mqtt_by_sni(stage: Stage) -> None:
    """With TLS it is led by the name; one that offers ALPN gets through with an access file."""
    (stage.folder / "watched" / "alpn.yml").unlink(missing_ok=True)
    port = stage.traefik.ports["tcp"]
    plain, known = "mqtt.example.com", "broker.example.com"
    assert connect_mqtt(port, context_for(stage, plain)) == "Success"
    refused = "no application protocol"
    until(lambda: refused in str(negotiated(stage, plain, "mqtt")), "it is not refused")
    access = stage.folder / "access.yml"
    access.write_text("default: public\n")
    policy = json.dumps({"hosts": {f"_tcp_mqtts_{stage.ports['mqtt']}._tcp.{known}": HERE}})
    output = stage.folder / "watched" / "mqtt.yml"
    done = run("render-once", "-", "-o", output, "--access-file", access, stdin=policy.encode())
    assert done.returncode == 0, done.stderr
    until(lambda: negotiated(stage, known, "mqtt") == "mqtt", "it is still refused")
    for offered in ((), ("mqtt",), ("http/1.1",)):  # the last as WebSockets do
        assert connect_mqtt(port, context_for(stage, known, *offered)) == "Success"


@needs_mosquitto
@needs("mosquitto_sub", "mosquitto_pub")
def test_mosquitto_sub(stage: Stage) -> None:
    """The printed command gets a message, on a machine that knows the broker's name."""
    hosts = stage.folder / "hosts"
    hosts.write_text(f"{HERE} mqtt.example.com localhost\n")
    launcher = bind_mounting(hosts, Path("/etc/hosts"))
    for entry in (stage.raw("mqtt"), stage.named("mqtt")):
        command = shlex.split(stage.printed(entry).replace("TOPIC", "house/door"))
        publish = ["mosquitto_pub", *command[1:], "--retain", "-m", "open"]
        assert stage.run([*launcher, *publish]) == (0, "")
        assert stage.run([*launcher, *command, "-C", "1", "-W", "60"]) == (0, "open")


SHOWN = {
    "SSH": (test_ssh_raw,),
    "MySQL, MariaDB": (test_mysql_raw, test_mysql_by_sni, test_mysql_by_sni_needs_a_local_port),
    "Postgres": (test_postgres_raw, test_postgres_by_sni, test_newer_libpq_by_sni),
    "Redis": (test_redis,),
    "MQTT": (test_mqtt_raw, test_mqtt_by_sni, test_mosquitto_sub),
    "RDP": (test_rdp,),
    "DNS": (test_dns,),
    "other UDP (WireGuard, games)": (),  # datagrams alone, in test_raw_and_udp_in_traefik.py
}
"""The rows of the table in docs/tcp-clients.md, and the tests of their cells."""


def test_table_has_what_is_shown_here() -> None:
    """The document's table has a row for each protocol that is tested, and for no other."""
    text = (ROOT / "docs" / "tcp-clients.md").read_text(encoding="utf-8")
    table = text.partition("\n| protocol | by SNI ")[2].partition("\n\n")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()[2:]]
    assert rows == list(SHOWN)
