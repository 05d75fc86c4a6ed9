"""``ctsdns-traefik render-once`` turns any source of a snapshot into one document."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.certificates import Authority
from support.commands import COMMAND, run
from support.endpoints import (
    CHUNKED_STREAM,
    STREAM,
    ScriptedEndpoint,
    chunk,
    event,
    saying_nothing,
    sending,
    snapshot,
)
from support.paths import TESTS
from support.worker import StandInWorker

from ctsdns_traefik.core.policy import hujson

HOSTS = {
    "laptop": "100.64.0.9",
    "_web_http_3000._tcp.server1.wan.example.com": "100.64.0.1",
    "_tcp_mysql_3306._tcp.database.wan.example.com": "100.64.0.1",
}

DOCUMENT = (TESTS / "cases" / "worked-example" / "dynamic.yml").read_text()
"""What Traefik is to read for :data:`HOSTS`."""

POLICY = json.dumps({"hosts": HOSTS, "acls": []}).encode()


def captured_document() -> dict[str, Any]:
    """Return what Traefik is to read for the policy behind everything in tests/data."""
    server1, database, secure = ("server1-wan", "database-wan", "secure-wan")
    return {
        "http": {
            "routers": {
                f"router-{server1}-example-com": {
                    "rule": "Host(`server1.wan.example.com`)",
                    "service": f"service-{server1}-example-com-https-8443",
                    "entryPoints": ["api"],
                },
                f"router-{server1}-example-com-web": {
                    "rule": "Host(`server1.wan.example.com`)",
                    "service": f"service-{server1}-example-com-http-3000",
                    "entryPoints": ["web"],
                },
            },
            "services": {
                f"service-{server1}-example-com-http-3000": balance(url="http://100.64.0.1:3000"),
                f"service-{server1}-example-com-https-8443": balance(url="https://100.64.0.1:8443"),
            },
        },
        "tcp": {
            "routers": {
                f"router-{database}-example-com-mysql": {
                    "rule": "HostSNI(`database.wan.example.com`)",
                    "service": f"service-{database}-example-com-mysql-3306",
                    "entryPoints": ["tcp"],
                    "tls": {"passthrough": False},
                },
                f"router-{secure}-example-com-tls": {
                    "rule": "HostSNI(`secure.wan.example.com`)",
                    "service": f"service-{secure}-example-com-tls-443",
                    "entryPoints": ["tcp"],
                    "tls": {"passthrough": True},
                },
            },
            "services": {
                f"service-{database}-example-com-mysql-3306": balance(address="100.64.0.3:3306"),
                f"service-{secure}-example-com-tls-443": balance(address="100.64.0.2:443"),
            },
        },
        "udp": {
            "routers": {
                f"router-{server1}-example-com-udp": {
                    "service": f"service-{server1}-example-com-udp-53",
                    "entryPoints": ["dns"],
                },
            },
            "services": {
                f"service-{server1}-example-com-udp-53": balance(address="100.64.0.1:53"),
            },
        },
    }


def balance(**server: str) -> dict[str, Any]:
    """Return a service with one server."""
    return {"loadBalancer": {"servers": [server]}}


def write(folder: Path, content: bytes) -> Path:
    """Write a source into a folder."""
    path = folder / "source"
    path.write_bytes(content)
    return path


CAPTURES = ("worker-stream.txt", "worker-stream-chunked.txt", "worker-stream-error.txt")

TEXTS = (
    pytest.param(POLICY, id="policy"),
    pytest.param(json.dumps({"machines": [], "acl": {"hosts": HOSTS}}).encode(), id="snapshot"),
    pytest.param(json.dumps({"acl": {"hosts": HOSTS}}, indent=2).encode(), id="without-machines"),
    pytest.param(POLICY.replace(b'"hosts"', b'"Hosts"'), id="names-in-another-case"),
    pytest.param(POLICY.replace(b'"hosts"', b'"hosts":{},"HOSTS"'), id="hosts-twice"),
    pytest.param(
        json.dumps({"machines": [], "acl": {"Hosts": HOSTS}}).encode(),
        id="snapshot-of-another-case",
    ),
    pytest.param(
        b'\xef\xbb\xbf \n{"machines": [], "acl": %b}' % POLICY,
        id="snapshot-after-a-byte-order-mark",
    ),
    pytest.param(
        snapshot(HOSTS).replace(b'"hosts"', b'"HOSTS"'), id="stream-with-names-in-another-case"
    ),
    pytest.param(b"// a comment\n" + POLICY.replace(b"}}", b",}}"), id="hujson"),
    pytest.param(b"/* a comment */" + POLICY, id="after-a-block-comment"),
    pytest.param(b"\n\n" + snapshot(HOSTS), id="stream-after-blank-lines"),
    pytest.param(b"retry: 9\n\n" + snapshot(HOSTS), id="stream-with-a-retry-time"),
    pytest.param(snapshot(HOSTS).replace(b"\n", b"\r\n"), id="stream-with-crlf"),
    pytest.param(snapshot(HOSTS) + snapshot({}), id="first-of-two-snapshots"),
    pytest.param(snapshot(HOSTS) + snapshot({})[:-40], id="before-one-that-is-cut-off"),
)


@pytest.mark.parametrize("content", TEXTS)
def test_every_kind_of_file_gives_the_document(tmp_path: Path, content: bytes) -> None:
    """A policy, a snapshot and a stream with the same hosts give the same bytes."""
    done = run("render-once", write(tmp_path, content))
    assert (done.returncode, done.stdout, done.stderr) == (0, DOCUMENT, "")


@pytest.mark.parametrize("content", TEXTS)
def test_standard_input_is_read_like_a_file(content: bytes) -> None:
    """What a file may hold can be piped in as well."""
    done = run("render-once", "-", stdin=content)
    assert (done.returncode, done.stdout, done.stderr) == (0, DOCUMENT, "")


def test_captures_and_their_policy_give_one_document(data: Path) -> None:
    """The worker's captured streams and the policy behind them, HuJSON or JSON, say the same."""
    policy = (data / "policy.hujson").read_bytes()
    said = [run("render-once", data / name).stdout for name in (*CAPTURES, "policy.hujson")]
    said += [
        run("render-once", "-", stdin=content).stdout
        for content in (
            *((data / name).read_bytes() for name in CAPTURES),
            policy,
            json.dumps(json.loads(hujson.to_json(policy.decode()))).encode(),
        )
    ]
    assert len(set(said)) == 1
    assert json.loads(said[0]) == captured_document()


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "close-delimited"])
@pytest.mark.parametrize("given", ["argument", "variable"])
def test_endpoint_gives_the_document(tmp_path: Path, given: str, *, chunked: bool) -> None:
    """The worker's endpoint is read from SOURCE or, without one, from the environment."""
    with StandInWorker(write(tmp_path, POLICY), chunked=chunked) as worker:
        if given == "argument":
            done = run("render-once", worker.endpoint)
        else:
            done = run("render-once", environment={"TRAEFIK_CONFIG_API_ENDPOINT": worker.endpoint})
    assert (done.returncode, done.stdout, done.stderr) == (0, DOCUMENT, "")


def test_captured_answer_of_the_worker_is_understood(data: Path) -> None:
    """The worker's answer, byte for byte as it was on the wire, gives its document."""
    wire = (data / "worker-stream-chunked.txt").read_bytes()
    with ScriptedEndpoint(sending(wire)) as endpoint:
        done = run("render-once", endpoint.url)
    assert (done.returncode, json.loads(done.stdout)) == (0, captured_document())


def test_tls_endpoint_is_read_with_its_authority(authority: Authority) -> None:
    """With --ca-file an https endpoint of a private authority is trusted."""
    tls = authority.server_context("127.0.0.1")
    with ScriptedEndpoint(sending(STREAM, snapshot(HOSTS)), tls=tls) as endpoint:
        done = run("render-once", endpoint.url, "--ca-file", authority.ca_file)
    assert (done.returncode, done.stdout, done.stderr) == (0, DOCUMENT, "")


def test_source_wins_over_the_variable(tmp_path: Path) -> None:
    """A file named as SOURCE is read although the environment sets an endpoint."""
    environment = {"TRAEFIK_CONFIG_API_ENDPOINT": "http://127.0.0.1:9/api/config"}
    done = run("render-once", write(tmp_path, POLICY), environment=environment)
    assert (done.returncode, done.stdout) == (0, DOCUMENT)


def test_endless_stream_is_not_waited_for() -> None:
    """The first snapshot of a stream that stays open is enough, on a pipe and from an endpoint."""
    reader, writer = os.pipe()
    os.write(writer, event("connected", {}, 0) + snapshot(HOSTS))
    command = [*COMMAND, "render-once", "-"]
    with os.fdopen(reader, "rb") as pipe, os.fdopen(writer, "wb"):
        piped = subprocess.run(command, stdin=pipe, stdout=subprocess.PIPE, timeout=60, check=True)
    assert piped.stdout.decode() == DOCUMENT
    head = CHUNKED_STREAM + chunk(snapshot(HOSTS))
    with ScriptedEndpoint(sending(head, then=saying_nothing)) as endpoint:
        assert run("render-once", endpoint.url).stdout == DOCUMENT


ERROR = event("error", {"event": "machines-snapshot", "message": "Tailscale API error: 500"})

SKIPPED = (
    pytest.param(
        ERROR, "the worker reports an error: Tailscale API error: 500", id="after-an-error-event"
    ),
    pytest.param(
        event("machines-snapshot", {"machines": []}),
        "the policy cannot be trusted: acl is missing",
        id="after-a-snapshot-without-a-policy",
    ),
    pytest.param(
        b"event: machines-snapshot\ndata: {\n\n",
        "the policy cannot be trusted: it is not JSON: line 1, column 2: a name in double quotes"
        " is missing",
        id="after-broken-json",
    ),
)


@pytest.mark.parametrize(("first", "warning"), SKIPPED)
def test_what_cannot_be_trusted_is_skipped_and_reported(
    tmp_path: Path, first: bytes, warning: str
) -> None:
    """An error event or a broken snapshot is told on stderr, and the next snapshot is used."""
    stream = first + snapshot(HOSTS)
    captured = run("render-once", write(tmp_path, stream))
    with ScriptedEndpoint(sending(STREAM, stream)) as endpoint:
        live = run("render-once", endpoint.url)
    for done in (captured, live):
        assert (done.returncode, done.stdout) == (0, DOCUMENT)
        assert done.stderr == f"WARNING: {warning}\n"


def test_yaml_holds_the_same_as_json(data: Path) -> None:
    """--format yaml and its variable give block style with the same content."""
    policy = data / "policy.hujson"
    yaml = run("render-once", policy, "--format", "yaml").stdout
    environment = {"TRAEFIK_DYNAMIC_CONFIG_FORMAT": "yaml"}
    assert run("render-once", policy, environment=environment).stdout == yaml
    assert yaml.startswith("http:\n  routers:\n    router-server1-wan-example-com:\n")
    assert YAML(typ="safe").load(yaml) == captured_document()
    option_wins = run("render-once", policy, "--format=json", environment=environment).stdout
    assert json.loads(option_wins) == captured_document()


def test_no_routes_is_an_empty_document() -> None:
    """Hosts without service entries, and no hosts at all, give {}."""
    for policy in (b'{"hosts": {"laptop": "100.64.0.9"}}', b'{"acls": []}', b'{"acl": {}}'):
        done = run("render-once", "-", stdin=policy)
        assert (done.returncode, done.stdout, done.stderr) == (0, "{}\n", "")
