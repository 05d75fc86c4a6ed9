"""One entry explained, and the client commands for TCP."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.client_commands import ClientCommands, client_commands
from ctsdns_traefik.core.entries.explanation import Explanation, describe_route, explain
from ctsdns_traefik.core.entries.grammar import HostEntry, parse_host
from ctsdns_traefik.core.entries.notation import WrittenEntry, read_notation
from ctsdns_traefik.core.problems import Diagnostic

HTTP: dict[str, Any] = {
    "entry": "_web_http_3000._tcp.App.example.com.",
    "entrypoint": "web",
    "scheme": "http",
    "port": 3000,
    "domain": "app.example.com",
    "address": "100.64.0.1",
    "type": "http",
    "router": "router-app-example-com",
    "rule": "Host(`app.example.com`)",
    "service": "service-app-example-com-http-3000",
    "backend": "http://100.64.0.1:3000",
    "passthrough": None,
}

TCP: dict[str, Any] = {
    "entry": "_tcp_ssh_22._tcp.app.example.com",
    "entrypoint": "tcp",
    "scheme": "ssh",
    "port": 22,
    "domain": "app.example.com",
    "address": "fd7a:115c:a1e0::1",
    "type": "tcp",
    "router": "router-app-example-com-ssh",
    "rule": "HostSNI(`app.example.com`)",
    "service": "service-app-example-com-ssh-22",
    "backend": "[fd7a:115c:a1e0::1]:22",
    "passthrough": False,
}

TLS: dict[str, Any] = {
    "entry": "_tcp_tls_8443._tcp.*.example.com",
    "entrypoint": "tcp",
    "scheme": "tls",
    "port": 8443,
    "domain": "*.example.com",
    "address": "100.64.0.1",
    "type": "tcp",
    "router": "router-wildcard-example-com-tls",
    "rule": "HostSNI(`*.example.com`)",
    "service": "service-wildcard-example-com-tls-8443",
    "backend": "100.64.0.1:8443",
    "passthrough": True,
}

SSH_COMMANDS = ClientCommands(
    command="ssh -o ProxyCommand='socat - OPENSSL:%h:4433,snihost=%h,"
    "cafile=/etc/ssl/certs/ca-certificates.crt' app.example.com",
    local="ssh -p 10022 USER@127.0.0.1",
    port=10022,
    socat="socat TCP-LISTEN:10022,bind=127.0.0.1,reuseaddr,fork"
    " OPENSSL:app.example.com:4433,snihost=app.example.com"
    ",cafile=/etc/ssl/certs/ca-certificates.crt",
    stunnel="""\
[app.example.com-ssh]
client = yes
accept = 127.0.0.1:10022
connect = app.example.com:4433
sni = app.example.com
checkHost = app.example.com
verifyChain = yes
CAfile = /etc/ssl/certs/ca-certificates.crt""",
    haproxy="""\
listen app.example.com-ssh
    mode tcp
    option tcpka
    timeout connect 10s
    timeout client 24h
    timeout server 24h
    bind 127.0.0.1:10022
    server traefik app.example.com:4433 ssl sni str(app.example.com)"""
    " verify required verifyhost app.example.com ca-file /etc/ssl/certs/ca-certificates.crt",
    ssh="ssh -o ProxyCommand='socat - OPENSSL:%h:4433,snihost=%h"
    ",cafile=/etc/ssl/certs/ca-certificates.crt' app.example.com",
)


def entry_of(name: str) -> HostEntry:
    """Read one entry that is known to be good."""
    entry = parse_host(name, "100.64.0.1")
    assert isinstance(entry, HostEntry)
    return entry


@pytest.mark.parametrize("described", [HTTP, TCP, TLS], ids=["http", "tcp", "tls"])
def test_route_described(described: dict[str, Any]) -> None:
    """A route's description holds all about it."""
    entry = parse_host(described["entry"], described["address"])
    assert isinstance(entry, HostEntry)
    (route,) = plan_routes([entry]).routes
    assert describe_route(route) == described


def test_http_entry_is_explained() -> None:
    """An HTTP entry is explained by its route; its clients need no commands."""
    text = "_web_http_3000._tcp.App.example.com.=100.64.0.1"
    assert explain(read_notation(text), {}) == Explanation(HTTP["entry"], HTTP)


def test_tcp_entry_is_explained() -> None:
    """A TCP entry is explained by its route and the commands for its clients."""
    text = "_tcp_ssh_22._tcp.app.example.com=fd7a:115c:a1e0::1"
    assert explain(read_notation(text), {}) == Explanation(TCP["entry"], TCP, clients=SSH_COMMANDS)


@pytest.mark.parametrize(
    ("name", "described"),
    [
        pytest.param(
            HTTP["entry"],
            HTTP | {"address": None, "backend": "http://ADDRESS:3000"},
            id="http",
        ),
        pytest.param(TCP["entry"], TCP | {"address": None, "backend": "ADDRESS:22"}, id="tcp"),
    ],
)
def test_name_alone_is_explained(name: str, described: dict[str, Any]) -> None:
    """Without an address a word stands for it in the backend."""
    assert explain(WrittenEntry(name), {}).route == described


def test_alias_is_explained_as_neither() -> None:
    """An ordinary alias is neither a route nor a problem."""
    assert explain(WrittenEntry("server1", "100.64.0.1"), {}) == Explanation("server1")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "_web_http_80._tcp.app.de=",
            Diagnostic(
                "bad-address",
                "_web_http_80._tcp.app.de",
                "the address is missing",
                "write an IPv4 or IPv6 address: 100.64.0.1 or fd7a:115c:a1e0::1",
                (25, 25),
                "",
            ),
            id="address-missing",
        ),
        pytest.param(
            "_web_http_80._tcp.app.de=a=b",
            Diagnostic(
                "bad-address",
                "_web_http_80._tcp.app.de",
                '"a=b" is not an address',
                "write an IPv4 or IPv6 address: 100.64.0.1 or fd7a:115c:a1e0::1",
                (25, 28),
                "a=b",
            ),
            id="second-equals-sign",
        ),
        pytest.param(
            "_web_http_x._tcp.app.de",
            Diagnostic(
                "bad-port",
                "_web_http_x._tcp.app.de",
                '"x" is not a port',
                "write a number from 1 to 65535 in plain digits",
                (10, 11),
            ),
            id="name-alone",
        ),
    ],
)
def test_problem_is_explained(text: str, problem: Diagnostic) -> None:
    """A malformed entry is explained by what is wrong with it."""
    assert explain(read_notation(text), {}) == Explanation(problem.entry, faults=(problem,))


@pytest.mark.parametrize(
    ("entrypoint", "ports", "port"),
    [
        pytest.param("tcp", {}, "4433", id="example"),
        pytest.param("websecure", {}, "443", id="another-example"),
        pytest.param("tcp", {"tcp": "9000"}, "9000", id="own-port-before-the-example"),
        pytest.param("mine", {"mine": "9000"}, "9000", id="own-port"),
        pytest.param("mine", {"other": "9000"}, "PORT", id="unknown-entrypoint"),
        pytest.param("TCP", {}, "PORT", id="case-matters"),
    ],
)
def test_port_of_the_entrypoint(entrypoint: str, ports: dict[str, str], port: str) -> None:
    """Clients connect to the entrypoint's own port, if it is known."""
    name = f"_{entrypoint}_mysql_3306._tcp.app.de"
    commands = client_commands(entry_of(name), port, "/etc/ssl/certs/ca-certificates.crt")
    assert explain(WrittenEntry(name), ports).clients == commands


@pytest.mark.parametrize(
    ("port", "local"),
    [
        pytest.param(1, 10001, id="smallest"),
        pytest.param(1023, 11023, id="last-privileged"),
        pytest.param(1024, 1024, id="first-unprivileged"),
        pytest.param(65535, 65535, id="largest"),
    ],
)
def test_local_port_needs_no_special_rights(port: int, local: int) -> None:
    """A client's local port is the service's own, or 10,000 more below 1024."""
    commands = client_commands(entry_of(f"_tcp_x_{port}._tcp.app.de"), "443", "ca.pem")
    socat = (
        f"socat TCP-LISTEN:{local},bind=127.0.0.1,reuseaddr,fork"
        " OPENSSL:app.de:443,snihost=app.de,cafile=ca.pem"
    )
    assert commands == ClientCommands(
        socat,
        local,
        socat=socat,
        stunnel=f"[app.de-x]\nclient = yes\naccept = 127.0.0.1:{local}\nconnect = app.de:443\n"
        "sni = app.de\ncheckHost = app.de\nverifyChain = yes\nCAfile = ca.pem",
        haproxy="listen app.de-x\n    mode tcp\n    option tcpka\n    timeout connect 10s\n"
        f"    timeout client 24h\n    timeout server 24h\n    bind 127.0.0.1:{local}\n"
        "    server traefik app.de:443 ssl sni str(app.de) verify required verifyhost app.de"
        " ca-file ca.pem",
        ssh=None,
    )


@pytest.mark.parametrize(
    ("name", "command"),
    [
        pytest.param("_e_ssh_22._tcp.*", "ssh -p 7 USER@HOST", id="ssh"),
        pytest.param(
            "_e_mariadb_3306._tcp.*",
            "mysql --host HOST --port 7 --user USER --password",
            id="mysql",
        ),
        pytest.param(
            "_e_postgresql_5432._tcp.*",
            "psql 'host=HOST port=7 user=USER dbname=DATABASE'",
            id="pg",
        ),
        pytest.param("_e_redis_6379._tcp.*", "redis-cli -h HOST -p 7", id="redis"),
        pytest.param("_e_rdp_3389._tcp.*", "xfreerdp /v:HOST:7", id="rdp"),
        pytest.param("_e_x_1._tcp.*", "nc HOST 7", id="any"),
        pytest.param("_e_dns_53._tcp.*", "dig @HOST -p 7 NAME +tcp", id="dns-over-tcp"),
        pytest.param("_e_dns_53._udp.ns.de", "dig @ns.de -p 7 NAME", id="dns"),
        pytest.param("_e_dns_53._udp.*.ns.de", "dig @NAME.ns.de -p 7 NAME", id="dns-of-a-wildcard"),
        pytest.param(
            "_e_wg_51820._udp.*", "wg set wg0 peer PUBLIC-KEY endpoint HOST:7", id="wireguard"
        ),
        pytest.param("_e_ssh_22._udp.*", "nc -u HOST 7", id="any-over-udp"),
        pytest.param(
            "_e_tls_443._tcp.*", "openssl s_client -connect HOST:7 -servername NAME", id="tls"
        ),
    ],
)
def test_client_of_a_route_without_a_name(name: str, command: str) -> None:
    """Without a name there is one plain command, and no tool that adds one."""
    assert client_commands(entry_of(name), "7", "ca.pem") == ClientCommands(command)


@pytest.mark.parametrize(
    ("scheme", "command"),
    [
        pytest.param(
            "postgres",
            "psql 'host=a.de port=7 sslmode=verify-full sslrootcert=ca.pem user=USER"
            " dbname=DATABASE'",
            id="postgres",
        ),
        pytest.param(
            "rediss", "redis-cli -h a.de -p 7 --tls --sni a.de --cacert ca.pem", id="redis"
        ),
        pytest.param(
            "tls", "openssl s_client -connect a.de:7 -servername a.de -CAfile ca.pem", id="tls"
        ),
        pytest.param("mqtt", "mosquitto_sub -h a.de -p 7 --cafile ca.pem -t TOPIC", id="mqtt"),
        pytest.param("mqtts", "mosquitto_sub -h a.de -p 7 --cafile ca.pem -t TOPIC", id="mqtts"),
    ],
)
def test_client_that_sends_the_name_itself(scheme: str, command: str) -> None:
    """Of clients that speak TLS from the start, or ask for it, the command needs no tool."""
    assert client_commands(entry_of(f"_e_{scheme}_6._tcp.a.de"), "7", "ca.pem").command == command


def test_client_through_a_local_port() -> None:
    """Of clients that cannot, the command is socat's, with the client's own behind it."""
    commands = client_commands(entry_of("_e_mysql_3306._tcp.a.de"), "7", "ca.pem")
    assert commands.command == commands.socat
    assert commands.local == "mysql --host 127.0.0.1 --port 3306 --user USER --password"


def test_client_of_a_wildcard_fills_in_a_name() -> None:
    """A client cannot connect to a wildcard: a word stands where its name belongs."""
    commands = client_commands(entry_of("_tcp_ssh_2222._tcp.*.app.de"), "443", "ca.pem")
    assert commands.socat == (
        "socat TCP-LISTEN:2222,bind=127.0.0.1,reuseaddr,fork"
        " OPENSSL:NAME.app.de:443,snihost=NAME.app.de,cafile=ca.pem"
    )
    assert commands.ssh
    assert commands.ssh.endswith(" NAME.app.de")
    assert "*" not in f"{commands.socat}{commands.stunnel}{commands.haproxy}{commands.ssh}"


@given(st.text(st.characters()) | st.text(st.characters()).map("_web_http_80._tcp.a={}".format))
def test_any_text_is_explained(text: str) -> None:
    """No text crashes; it is a route, a problem or an alias, and never two of them."""
    explained = explain(read_notation(text), {})
    found = [part for part in (explained.route, explained.faults) if part]
    assert len(found) == int(text.startswith("_"))


def test_section_of_haproxy_has_a_name_that_it_allows() -> None:
    """A scheme may hold a plus sign, the name of a section may not."""
    commands = client_commands(entry_of("_tcp_a+b_22._tcp.app.example.com"), "4433", "ca.pem")
    assert commands.haproxy
    assert commands.haproxy.startswith("listen app.example.com-a-b\n")
