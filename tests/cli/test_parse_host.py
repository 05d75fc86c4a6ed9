"""``ctsdns-traefik parse-host`` explains entries, and points at what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import run

SSH = "_tcp_ssh_22._tcp.nas.example.com"

HTTP_TEXT = """\
_web_http_3000._tcp.app.example.com
  entrypoint  web
  scheme      http
  port        3000
  router      router-app-example-com (HTTP)
  rule        Host(`app.example.com`)
  service     service-app-example-com-http-3000
  backend     http://100.64.0.1:3000
  TLS         as its entrypoint has it; no passthrough
"""

SSH_TEXT = """\
_tcp_ssh_22._tcp.nas.example.com
  entrypoint  tcp
  scheme      ssh
  port        22
  router      router-nas-example-com-ssh (TCP)
  rule        HostSNI(`nas.example.com`)
  service     service-nas-example-com-ssh-22
  backend     100.64.0.2:22
  TLS         ends at Traefik (passthrough: false)
  client
      ssh -o ProxyCommand='socat - OPENSSL:%h:4433,snihost=%h,\
cafile=/etc/ssl/certs/ca-certificates.crt' nas.example.com
  Clients refuse Traefik's default certificate. Give Traefik one for
  nas.example.com, by certResolver in the access file or from a file.
  If it is from an authority of your own, --ca-file puts that into these lines.
"""
OTHERS_HINT = "  --all-clients prints socat, stunnel and HAProxy, for clients that send no SNI.\n"
OTHERS = """\
  For clients that send no SNI, open a local port with one of these, and let them
  connect to 127.0.0.1:10022:
"""

ALIAS_TEXT = """\
laptop
  an ordinary host alias: it starts with no underscore, and is ignored
"""

TRUST = "/etc/ssl/certs/ca-certificates.crt"

SSH_COMMAND = (
    f"ssh -o ProxyCommand='socat - OPENSSL:%h:4433,snihost=%h,cafile={TRUST}' nas.example.com"
)
SSH_CLIENTS = {
    "command": SSH_COMMAND,
    "port": 10022,
    "socat": "socat TCP-LISTEN:10022,bind=127.0.0.1,reuseaddr,fork"
    f" OPENSSL:nas.example.com:4433,snihost=nas.example.com,cafile={TRUST}",
    "stunnel": "[nas.example.com-ssh]\n"
    "client = yes\n"
    "accept = 127.0.0.1:10022\n"
    "connect = nas.example.com:4433\n"
    "sni = nas.example.com\n"
    "checkHost = nas.example.com\n"
    "verifyChain = yes\n"
    f"CAfile = {TRUST}",
    "haproxy": "listen nas.example.com-ssh\n"
    "    mode tcp\n"
    "    option tcpka\n"
    "    timeout connect 10s\n"
    "    timeout client 24h\n"
    "    timeout server 24h\n"
    "    bind 127.0.0.1:10022\n"
    "    server traefik nas.example.com:4433 ssl sni str(nas.example.com)"
    f" verify required verifyhost nas.example.com ca-file {TRUST}",
    "ssh": SSH_COMMAND,
    "local": "ssh -p 10022 USER@127.0.0.1",
}


def explained(*arguments: str) -> list[dict[str, Any]]:
    """Return what ``--format json`` says."""
    printed: list[dict[str, Any]] = json.loads(
        run("parse-host", "--format=json", *arguments).stdout
    )
    return printed


def test_http_entry_as_text() -> None:
    """An HTTP entry is shown field by field, without client commands."""
    done = run("parse-host", "_web_http_3000._tcp.app.example.com=100.64.0.1")
    assert (done.returncode, done.stdout, done.stderr) == (0, HTTP_TEXT, "")


def test_tcp_entry_as_text() -> None:
    """An SSH entry is shown with the simplest client, and on request with all ways to add SNI."""
    done = run("parse-host", f"{SSH}=100.64.0.2")
    assert (done.returncode, done.stdout, done.stderr) == (0, SSH_TEXT + OTHERS_HINT, "")
    done = run("parse-host", "--all-clients", f"{SSH}=100.64.0.2")
    tools = "".join(
        f"  {tool}\n" + "".join(f"      {line}\n" for line in str(SSH_CLIENTS[tool]).splitlines())
        for tool in ("socat", "stunnel", "haproxy")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, SSH_TEXT + OTHERS + tools, "")


@pytest.mark.parametrize(
    ("entry", "end"),
    [
        pytest.param(
            "_ssh_ssh_22._tcp.*",
            """\
  rule        HostSNI(`*`)
  service     service-any-ssh-22
  backend     ADDRESS:22
  TLS         none at Traefik: what arrives goes to the backend as it is
  client
      ssh -p PORT USER@HOST
  For HOST write the name or the address of Traefik's machine.
""",
            id="raw",
        ),
        pytest.param(
            "_dns_dns_53._udp.ns.example.com",
            """\
  rule        none: every datagram that reaches the entrypoint
  service     service-ns-example-com-dns-53
  backend     ADDRESS:53
  TLS         none at Traefik: what arrives goes to the backend as it is
  client
      dig @ns.example.com -p PORT NAME
""",
            id="udp",
        ),
        pytest.param(
            "_tcp_mysql_3306._tcp.db.example.com",
            f"""\
  client
      socat TCP-LISTEN:3306,bind=127.0.0.1,reuseaddr,fork \
OPENSSL:db.example.com:4433,snihost=db.example.com,cafile={TRUST}
      mysql --host 127.0.0.1 --port 3306 --user USER --password
  Clients refuse Traefik's default certificate. Give Traefik one for
  db.example.com, by certResolver in the access file or from a file.
  If it is from an authority of your own, --ca-file puts that into these lines.
{OTHERS_HINT}""",
            id="local-port",
        ),
        pytest.param(
            "_tcp_tls_443._tcp.vault.example.com",
            f"""\
      openssl s_client -connect vault.example.com:4433 -servername vault.example.com \
-CAfile {TRUST}
{OTHERS_HINT}""",
            id="passthrough",
        ),
    ],
)
def test_client_as_text(entry: str, end: str) -> None:
    """The client's line comes last, with what it needs."""
    done = run("parse-host", entry)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(end)


def test_ports_of_the_static_configuration(tmp_path: Path) -> None:
    """Traefik's own configuration gives the ports, --entrypoint comes before it."""
    static = tmp_path / "traefik.yml"
    static.write_text("entryPoints: {ssh: {address: ':2222'}, dns: {address: '[::1]:5353/udp'}}")
    entries = ("_ssh_ssh_22._tcp.*", "_dns_dns_53._udp.*", SSH)
    options = ("--static-config", str(static))
    commands = [each["clients"]["command"] for each in explained(*options, *entries)]
    assert commands[:2] == ["ssh -p 2222 USER@HOST", "dig @HOST -p 5353 NAME"]
    assert "%h:PORT," in commands[2]  # the example's own entrypoint is not in this file
    (printed,) = explained(*options, "--entrypoint=ssh=22", entries[0])
    assert printed["clients"]["command"] == "ssh -p 22 USER@HOST"
    static.write_text("entryPoints: [")
    done = run("parse-host", *options, SSH)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{static}:1:" in done.stderr


def test_authority_in_every_line() -> None:
    """--ca-file stands in the lines of all tools in place of the system's authorities."""
    (printed,) = explained("--ca-file", "/home/me/ca-1.pem", SSH)
    for tool in ("command", "socat", "stunnel", "haproxy", "ssh"):
        assert "/home/me/ca-1.pem" in printed["clients"][tool]
    assert TRUST not in str(printed)


@pytest.mark.parametrize("path", ["", "a b.pem", "a'b", "a,b", "a\nb", "$(id)", 'a"b', "a;b"])
def test_authority_that_lines_cannot_hold(path: str) -> None:
    """A path that means something else to a shell or a tool is refused."""
    done = run("parse-host", "--ca-file", path, SSH)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot stand in the lines of all clients" in done.stderr


def test_passthrough_is_shown() -> None:
    """A tls entry's text says that TLS passes through."""
    text = run("parse-host", "_tcp_tls_443._tcp.vault.example.com").stdout
    assert "\n  TLS         passes through to the backend (passthrough: true)\n" in text


def test_several_entries_as_text_and_json() -> None:
    """Each entry is explained in turn, blank lines between; one that is malformed makes it 1."""
    entries = ("_web_http_3000._tcp.app.example.com=100.64.0.1", "laptop", "_web_http_0._tcp.x")
    done = run("parse-host", *entries)
    first, second, third = done.stdout.split("\n\n")
    assert (done.returncode, first + "\n", second + "\n") == (1, HTTP_TEXT, ALIAS_TEXT)
    assert third.startswith("_web_http_0._tcp.x\n          ^\nerror bad-port: ")
    as_json = run("parse-host", "--format", "json", *entries)
    kinds = [one["kind"] for one in json.loads(as_json.stdout)]
    assert (as_json.returncode, kinds, as_json.stderr) == (1, ["route", "alias", "problem"], "")


def route(entry: str, values: str, **more: Any) -> dict[str, Any]:
    """Return a route as JSON; ``values`` are its fields between entrypoint and backend."""
    names = ("entrypoint", "scheme", "port", "domain", "type", "router", "rule", "service")
    printed: dict[str, Any] = dict(zip(names, values.split(), strict=True))
    return {"kind": "route", "entry": entry, **printed, "port": int(printed["port"]), **more}


ROUTES = (
    pytest.param(
        "_web_http_3000._tcp.app.example.com",
        "100.64.0.1",
        "web http 3000 app.example.com http router-app-example-com Host(`app.example.com`)"
        " service-app-example-com-http-3000",
        {"backend": "http://100.64.0.1:3000", "passthrough": None},
        id="http",
    ),
    pytest.param(
        "_my_web-1_HTTPS_08443._tcp.App.Example.COM.",
        "fd7a:115c:a1e0:0::1/128",
        "my_web-1 https 8443 app.example.com http router-app-example-com Host(`app.example.com`)"
        " service-app-example-com-https-8443",
        {"backend": "https://[fd7a:115c:a1e0::1]:8443", "passthrough": None},
        id="https-over-ipv6-in-odd-spelling",
    ),
    pytest.param(
        "_web_http_80._tcp.bücher.example",
        "100.64.0.1/32",
        "web http 80 xn--bcher-kva.example http router-xn--bcher-kva-example"
        " Host(`xn--bcher-kva.example`) service-xn--bcher-kva-example-http-80",
        {"backend": "http://100.64.0.1:80", "passthrough": None},
        id="another-script",
    ),
    pytest.param(
        "_web_http_80._tcp.*.example.com",
        None,
        "web http 80 *.example.com http router-wildcard-example-com Host(`*.example.com`)"
        " service-wildcard-example-com-http-80",
        {"backend": "http://ADDRESS:80", "passthrough": None},
        id="wildcard-by-name-alone",
    ),
)


@pytest.mark.parametrize(("name", "address", "values", "more"), ROUTES)
def test_http_entries_as_json(
    name: str, address: str | None, values: str, more: dict[str, Any]
) -> None:
    """Every field of an HTTP route, its address in the shortest form or null."""
    (printed,) = explained(name if address is None else f"{name}={address}")
    shortest = {None: None, "fd7a:115c:a1e0:0::1/128": "fd7a:115c:a1e0::1"}
    assert printed == route(name, values, address=shortest.get(address, "100.64.0.1"), **more)


def test_tcp_entries_as_json() -> None:
    """A TCP route has its passthrough and its client commands too."""
    ssh, tls = explained(SSH, "_tcp_tls_443._tcp.*.example.com=fd7a::2")
    fields = "tcp ssh 22 nas.example.com tcp router-nas-example-com-ssh HostSNI(`nas.example.com`)"
    assert ssh == route(
        SSH,
        f"{fields} service-nas-example-com-ssh-22",
        address=None,
        backend="ADDRESS:22",
        passthrough=False,
        clients=SSH_CLIENTS,
    )
    assert (tls["backend"], tls["passthrough"]) == ("[fd7a::2]:443", True)
    assert tls["clients"]["socat"].endswith(
        f" OPENSSL:NAME.example.com:4433,snihost=NAME.example.com,cafile={TRUST}"
    )
    assert tls["clients"]["ssh"] is None


def test_alias_and_problem_as_json() -> None:
    """An alias is only its name; a problem says what, where and how to fix it."""
    assert explained("laptop=100.64.0.9", "_web_http_99999._tcp.a.b=x") == [
        {"kind": "alias", "entry": "laptop"},
        {
            "kind": "problem",
            "code": "bad-port",
            "severity": "error",
            "entry": "_web_http_99999._tcp.a.b",
            "address": "x",
            "span": [10, 15],
            "message": '"99999" is not a port',
            "hint": "write a number from 1 to 65535 in plain digits",
            "others": [
                {
                    "code": "bad-address",
                    "severity": "error",
                    "entry": "_web_http_99999._tcp.a.b",
                    "address": "x",
                    "span": [25, 26],
                    "message": '"x" is a name, not an address',
                    "hint": "write the machine's address, which 'tailscale ip -4 x' prints",
                }
            ],
        },
    ]


Shape = dict[str, tuple[type, ...]]

PROBLEM_SHAPE: Shape = {
    **dict.fromkeys(("kind", "code", "severity", "entry", "message", "hint"), (str,)),
    "address": (str, type(None)),
    "span": (list,),
}
ROUTE_SHAPE: Shape = {
    **dict.fromkeys(("kind", "entry", "entrypoint", "scheme", "domain", "type"), (str,)),
    **dict.fromkeys(("router", "service", "backend"), (str,)),
    "rule": (str, type(None)),
    "port": (int,),
    "address": (str, type(None)),
    "passthrough": (bool, type(None)),
}
CLIENTS_SHAPE: Shape = {
    "command": (str,),
    "port": (int, type(None)),
    **dict.fromkeys(("socat", "stunnel", "haproxy", "ssh", "local"), (str, type(None))),
}
ALIAS_SHAPE: Shape = {"kind": (str,), "entry": (str,)}

ANYTHING = (
    *("laptop", "_", "_x", "=", "_=_", "laptop=1.2.3.4", "_web_http_80._tcp.a.b", SSH),
    *("_web_http_80._tcp.a.b=1.2.3.4", f"{SSH}=::1", f"{SSH}=1.2.3.0/24", "_dns_udp_53._udp.a"),
    *("_web_http_80._tcp.\u65e5\u672c.example", "_web_http_80._tcp.`", "_a\x1b_http_1._tcp.b"),
)


def has_shape(value: dict[str, Any], shape: Shape) -> bool:
    """Return whether a JSON object has exactly the fields of a shape, each of its type."""
    return value.keys() == shape.keys() and all(
        type(value[name]) in types for name, types in shape.items()
    )


def test_json_keeps_its_shape() -> None:
    """Whatever is asked, each object has the fields of its kind, each of its type."""
    printed = explained(*ANYTHING)
    assert [one["entry"] for one in printed] == [entry.partition("=")[0] for entry in ANYTHING]
    shapes = {"route": ROUTE_SHAPE, "problem": PROBLEM_SHAPE, "alias": ALIAS_SHAPE}
    assert {one["kind"] for one in printed} == shapes.keys()
    assert [len(one.pop("others", [])) for one in printed if one["kind"] == "problem"].count(1) == 1
    for one in printed:
        if one.get("type") in ("tcp", "udp"):
            assert has_shape(one.pop("clients"), CLIENTS_SHAPE)
        assert has_shape(one, shapes[one["kind"]])


@pytest.mark.parametrize("form", ["text", "json"])
def test_standard_input_gives_entries_line_by_line(form: str) -> None:
    """Lines on stdin take the place of -; blank ones are skipped, bad UTF-8 is shown escaped."""
    lines = b"\n  _web_http_3000._tcp.app.example.com=100.64.0.1\r\n \n\xffcaf\xc3\xa9\nno-end"
    done = run("parse-host", "laptop", "-", "last", "--format", form, stdin=lines)
    names = ["laptop", "_web_http_3000._tcp.app.example.com", "\\xffcaf\u00e9", "no-end", "last"]
    if form == "json":
        assert [one["entry"] for one in json.loads(done.stdout)] == names
    else:
        assert [block.splitlines()[0] for block in done.stdout.split("\n\n")] == names
    assert (done.returncode, done.stderr) == (0, "")


def test_standard_input_without_entries_explains_nothing() -> None:
    """No lines on stdin is no entry and no problem."""
    assert run("parse-host", "-").stdout == ""
    assert run("parse-host", "-", "--format", "json").stdout == "[]\n"


PORTS = (
    pytest.param(["tcp=5433"], "5433", id="port"),
    pytest.param(["tcp=:5433"], "5433", id="address-without-a-host"),
    pytest.param(["tcp=10.0.0.1:5433/tcp"], "5433", id="address-with-a-protocol"),
    pytest.param(["tcp=[::1]:5433"], "5433", id="ipv6-address"),
    pytest.param(["web=81", "tcp=5433"], "5433", id="several"),
    pytest.param(["tcp=1", "tcp=5433"], "5433", id="last-of-two"),
    pytest.param(["other=5433"], "4433", id="of-another-entrypoint"),
    pytest.param([], "4433", id="none"),
)


@pytest.mark.parametrize(("given", "port"), PORTS)
def test_entrypoint_sets_the_port_to_connect_to(given: list[str], port: str) -> None:
    """--entrypoint NAME=PORT, or Traefik's own NAME=ADDRESS:PORT, goes into every command."""
    options = [part for one in given for part in ("--entrypoint", one)]
    (printed,) = explained(*options, SSH)
    clients = printed["clients"]
    assert f" OPENSSL:nas.example.com:{port}," in clients["socat"]
    assert f"\nconnect = nas.example.com:{port}\n" in clients["stunnel"]
    assert f" server traefik nas.example.com:{port} ssl " in clients["haproxy"]


def test_port_of_an_unknown_entrypoint_is_a_word() -> None:
    """An entrypoint whose port is not given gets PORT in its place."""
    (printed,) = explained("_other_ssh_22._tcp.nas.example.com")
    assert " OPENSSL:nas.example.com:PORT," in printed["clients"]["socat"]


SLIPPED_ALIAS = """\
web_http_80._tcp.a.de
^
warning missing-underscore: the name has the form of an entry, but does not start with an \
underscore, and is ignored as an ordinary alias
hint: write _web_http_80._tcp.a.de"""

SLIPPED_ROUTE = """\
_web_htps_80._tcp.a.de=100.64.0.1
     ^^^^
warning unusual-scheme: "htps" is taken for the name of a TCP protocol, and makes a TCP route \
whose TLS ends at Traefik
hint: did you mean https? if not, give the protocol a less similar name
  entrypoint  web"""


def test_near_misses_as_text() -> None:
    """What probably means something else is shown with a caret, before the route if there is one.

    It is a warning, and no malformed entry: the exit code stays 0.
    """
    done = run("parse-host", "web_http_80._tcp.a.de", "_web_htps_80._tcp.a.de=100.64.0.1")
    alias, route = done.stdout.split("\n\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert (alias, "\n".join(route.splitlines()[:5])) == (SLIPPED_ALIAS, SLIPPED_ROUTE)


def test_near_misses_as_json() -> None:
    """Routes and aliases have a list of warnings, if there are any, each as a problem is."""
    alias, route = explained("web_http_80._tcp.a.de", "_web_htps_80._tcp.a.de")
    assert (set(alias), route["kind"]) == ({"kind", "entry", "warnings"}, "route")
    found = [warning for one in (alias, route) for warning in one["warnings"]]
    assert [(each["code"], each["severity"], each["span"]) for each in found] == [
        ("missing-underscore", "warning", [0, 0]),
        ("unusual-scheme", "warning", [5, 9]),
    ]
    for warning in found:
        assert has_shape(warning | {"kind": ""}, PROBLEM_SHAPE)
