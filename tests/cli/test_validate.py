"""``ctsdns-traefik validate`` says what becomes a route and what does not."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.commands import UNCHECKED, run
from support.endpoints import STREAM, ScriptedEndpoint, sending
from support.worker import StandInWorker

from ctsdns_traefik.source.once import read_policy

HOSTS = {
    "laptop": "100.64.0.9",
    "_web_http_3000._tcp.b.example.com": "100.64.0.1",
    "_web_http_3000._tcp.a.example.com": "fd7a:115c:a1e0::1",
    "_tcp_ssh_22._tcp.nas.example.com": "fd7a:115c:a1e0::2",
    "_tcp_tls_443._tcp.vault.example.com": "100.64.0.3",
    "_api_https_8443._tcp.a.example.com": "100.64.0.1",
    "_web_http_3001._tcp.b.example.com": "100.64.0.2",
    "_web_http_99999._tcp.c.example.com": "100.64.0.1",
}

ROUTES = """\
api: Host(`a.example.com`) -> https://100.64.0.1:8443
tcp: HostSNI(`nas.example.com`) -> [fd7a:115c:a1e0::2]:22 (TLS ends at Traefik)
tcp: HostSNI(`vault.example.com`) -> 100.64.0.3:443 (TLS passthrough)
web: Host(`a.example.com`) -> http://[fd7a:115c:a1e0::1]:3000
web: Host(`b.example.com`) -> http://100.64.0.1:3000
"""

CONFLICT = (
    "<stdin>:1:307: error conflict: _web_http_3001._tcp.b.example.com=100.64.0.2:"
    " _web_http_3000._tcp.b.example.com already serves b.example.com on entrypoint web, and"
    " _web_http_3001._tcp.b.example.com leads to another backend;"
    " remove one of the two, or give it another entrypoint or domain\n"
)

BAD_PORT = (
    "<stdin>:1:358: error bad-port: _web_http_99999._tcp.c.example.com=100.64.0.1:"
    ' "99999" is not a port;'
    " write a number from 1 to 65535 in plain digits\n"
)

POLICY = json.dumps({"hosts": HOSTS}).encode()
GOOD = json.dumps({"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1"}}).encode()


def test_piped_text_has_a_line_for_everything() -> None:
    """Routes sorted by entrypoint, then problems, then a summary; refused entries make it 1."""
    done = run("validate", "-", stdin=POLICY)
    text = ROUTES + CONFLICT + BAD_PORT + f"5 routes, 2 errors, 0 warnings{UNCHECKED}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, text, "")


def test_routes_of_one_entrypoint_stand_together() -> None:
    """Routes are sorted by entrypoint first, which the order of the entries' names is not."""
    names = ("_web_http_80._tcp.a", "_web_i_http_80._tcp.a", "_web_tls_443._tcp.b")
    done = run("validate", "-", stdin=json.dumps({"hosts": dict.fromkeys(names, "::1")}).encode())
    assert done.stdout.splitlines() == [
        "web: Host(`a`) -> http://[::1]:80",
        "web: HostSNI(`b`) -> [::1]:443 (TLS passthrough)",
        "web_i: Host(`a`) -> http://[::1]:80",
        f"3 routes, 0 errors, 0 warnings{UNCHECKED}",
    ]


def test_json_has_routes_problems_and_summary() -> None:
    """--format json says the same as values, each route and problem as parse-host has it."""
    done = run("validate", "-", "--format", "json", stdin=POLICY)
    printed: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert printed.keys() == {"routes", "problems", "summary", "traefik"}
    counted = {"routes": 5, "errors": 2, "warnings": 0}
    assert printed["summary"] == counted | {"entrypointsChecked": False, "traefikNeeded": "3.0.4"}
    assert {route["entry"]: route["backend"] for route in printed["routes"]} == {
        "_api_https_8443._tcp.a.example.com": "https://100.64.0.1:8443",
        "_tcp_ssh_22._tcp.nas.example.com": "[fd7a:115c:a1e0::2]:22",
        "_tcp_tls_443._tcp.vault.example.com": "100.64.0.3:443",
        "_web_http_3000._tcp.a.example.com": "http://[fd7a:115c:a1e0::1]:3000",
        "_web_http_3000._tcp.b.example.com": "http://100.64.0.1:3000",
    }
    conflict, bad_port = printed["problems"]
    assert bad_port == {
        "code": "bad-port",
        "severity": "error",
        "entry": "_web_http_99999._tcp.c.example.com",
        "address": "100.64.0.1",
        "setting": None,
        "span": [10, 15],
        "message": '"99999" is not a port',
        "hint": "write a number from 1 to 65535 in plain digits",
        "path": "<stdin>",
        "line": 1,
        "column": 358,
    }
    assert conflict.keys() == bad_port.keys()
    assert (conflict["code"], conflict["span"]) == ("conflict", [0, 33])


def test_json_of_a_route_is_as_parse_host_has_it() -> None:
    """The two commands describe one entry alike."""
    entry = "_web_http_80._tcp.a.example.com"
    (explained,) = json.loads(run("parse-host", "--format=json", f"{entry}=100.64.0.1").stdout)
    (route,) = json.loads(run("validate", "-", "--format=json", stdin=GOOD).stdout)["routes"]
    assert explained == {"kind": "route", **route}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("strict", [(), ("--strict",)], ids=["lenient", "strict"])
def test_exit_code_shows_whether_an_entry_was_refused(form: str, strict: tuple[str, ...]) -> None:
    """A policy without problems is 0 and one with refused entries 1, in either format."""
    for policy, code in ((GOOD, 0), (b'{"acls": []}', 0), (POLICY, 1)):
        done = run("validate", "-", "--format", form, *strict, stdin=policy)
        assert (done.returncode, done.stderr) == (code, "")
        assert done.stdout


def test_what_is_merged_or_overridden_has_a_place(tmp_path: Path) -> None:
    """Sections that Tailscale merges are a warning where they stand, a lost entry is an error."""
    policy = tmp_path / "policy.hujson"
    policy.write_text(
        '{\n  "hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1"}, // old\n'
        '  "Hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.2"},\n}\n'
    )
    done = run("validate", policy)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "web: Host(`a.example.com`) -> http://100.64.0.2:80",
        (
            f"{policy}:2:3: warning merged-section: hosts: hosts is merged with Hosts in line 3;"
            " write one section; of a name in both the last value counts"
        ),
        (
            f"{policy}:2:13: error duplicate-key: _web_http_80._tcp.a.example.com:"
            " _web_http_80._tcp.a.example.com is repeated in line 3, and only the last one counts;"
            " remove one of the two"
        ),
        f"1 route, 1 error, 1 warning{UNCHECKED}",
    ]


def test_no_routes_is_fine() -> None:
    """A policy without service entries is no failure."""
    done = run("validate", "-", stdin=b'{"hosts": {"laptop": "100.64.0.9"}}')
    assert (done.returncode, done.stdout) == (0, f"0 routes, 0 errors, 0 warnings{UNCHECKED}\n")


@pytest.mark.parametrize("given", ["argument", "variable"])
def test_endpoint_is_validated(tmp_path: Path, given: str) -> None:
    """The worker's endpoint is a source as for render-once, from SOURCE or the environment."""
    policy = tmp_path / "policy.json"
    policy.write_bytes(GOOD)
    with StandInWorker(policy) as worker:
        if given == "argument":
            done = run("validate", worker.endpoint)
        else:
            done = run("validate", environment={"TRAEFIK_CONFIG_API_ENDPOINT": worker.endpoint})
    route = "web: Host(`a.example.com`) -> http://100.64.0.1:80\n"
    summary = f"1 route, 0 errors, 0 warnings{UNCHECKED}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, route + summary, "")


def test_what_is_merged_at_an_endpoint() -> None:
    """What a snapshot of the worker has twice is reported too, without a place."""
    policy = b'{"hosts":{"_web_http_80._tcp.a.example.com":"100.64.0.1"},"Hosts":{}}'
    data = b'event: machines-snapshot\ndata: {"acl":%b}\n\n' % policy
    with ScriptedEndpoint(sending(STREAM, data)) as endpoint:
        done = run("validate", endpoint.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        (
            "warning merged-section: hosts: hosts is merged with Hosts;"
            " write one section; of a name in both the last value counts"
        ),
        f"1 route, 0 errors, 1 warning{UNCHECKED}",
    ]


def test_captures_are_validated(data: Path) -> None:
    """Every source in tests/data gives its routes, and its problem where it stands."""
    places = {"policy.hujson": (29, 3), "worker-stream.txt": 11, "worker-stream-chunked.txt": 14}
    for name, place in places.items():
        done = run("validate", "--entrypoint=dns=:53", data / name)
        (problem,) = [line for line in done.stdout.splitlines() if "wrong-protocol" in line]
        where, _, what = problem.removeprefix(f"{data / name}:").partition(": ")
        line, column = map(int, where.split(":"))
        assert (line, column) == place if isinstance(place, tuple) else line == place
        assert what.startswith("error wrong-protocol-entrypoint: _dns_udp_53._udp.server1.wan.")
        assert done.returncode == 1
        text = (data / name).read_bytes().split(b"\n")[line - 1]
        assert text[column - 1 :].startswith(b'"_dns_udp_53._udp.server1.wan.example.com"')
        known = ("api=:8443", "web=:80", "tcp=:4433", "dns=:53/udp")
        done = run("validate", *(f"--entrypoint={each}" for each in known), data / name)
        assert done.stdout.splitlines()[-1] == "5 routes, 0 errors, 0 warnings"


def test_captured_data_of_several_lines_has_no_place() -> None:
    """A snapshot that stands in no one piece in the capture is validated all the same."""
    event = b"event: machines-snapshot\ndata: "
    done = run("validate", "-", stdin=event + b'{"acl":\ndata: ' + POLICY + b"}\n\n")
    text = ROUTES + CONFLICT + BAD_PORT + f"5 routes, 2 errors, 0 warnings{UNCHECKED}\n"
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == re.sub("<stdin>:[0-9:]+ ", "", text)


def test_byte_order_mark_that_comes_alone(tmp_path: Path) -> None:
    """What a file holds is reported by what follows the mark, however late it does."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(b"\xef\xbb\xbf")
            time.sleep(0.2)
            file.write(b'event: machines-snapshot\ndata: {"acl":' + GOOD + b"}\n\n")

    writer = threading.Thread(target=write)
    writer.start()
    assert list(read_policy(str(pipe), 10).hosts) == ["_web_http_80._tcp.a.example.com"]
    writer.join()


def test_bad_source_is_one_line(tmp_path: Path) -> None:
    """Without a snapshot it exits with 3, one line on stderr and nothing on stdout."""
    for form in ("text", "json"):
        done = run("validate", tmp_path / "none.json", "--format", form)
        line = (
            f"ctsdns-traefik: error: cannot read {tmp_path}/none.json: no such file or directory\n"
        )
        assert (done.returncode, done.stdout, done.stderr) == (3, "", line)


HOSTILE = (
    "_web_http_80._tcp.x\nweb: Host(`evil`) -> http://1.1.1.1:80",
    "_web_http_80._tcp.\r\n9 routes, 0 errors, 0 warnings",
    "_\x1b[31m\x1b]0;title\x07_http_80._tcp.a.b",
    "_web_http_80._tcp.\u2028\u202e\u0085.b",
    "_web_http_80._tcp.[red]a[/red].b",
    "_web_http_80._tcp." + "x" * 5000,
    "_\ud800",
    "_",
)


@pytest.mark.parametrize("colour", [{}, {"FORCE_COLOR": "1"}])
def test_hostile_names_take_one_plain_line_each(colour: dict[str, str]) -> None:
    """No name breaks its line, colours it, or hides in it, where the severity has colour, too."""
    policy = json.dumps({"hosts": dict.fromkeys(HOSTILE, "1.1.1.1\n\x1b[31m")}).encode()
    done = run("validate", "-", stdin=policy, environment=colour)
    lines = done.stdout.replace("\x1b[31merror\x1b[0m ", "error ").split("\n")
    assert (done.returncode, done.stderr, lines[-2:]) == (
        *(1, ""),
        [f"0 routes, {len(lines) - 2} errors, 0 warnings{UNCHECKED}", ""],
    )
    assert len(lines) > 2 * len(HOSTILE)  # each address is wrong, too
    assert [line for line in lines if not line.isprintable()] == []
    assert all(re.match("<stdin>:1:[0-9]+: error bad-", line) for line in lines[:-2])
    assert max(map(len, lines)) < 1000
