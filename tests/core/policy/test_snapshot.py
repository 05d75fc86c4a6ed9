"""Snapshots and policies to the hosts map, and what is refused as neither."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ctsdns_traefik.core.policy.reader import HostsMap, SnapshotError
from ctsdns_traefik.core.policy.snapshot import hosts_of_snapshot, hosts_of_text, message_of_error
from ctsdns_traefik.core.sse.framing import read_blocks
from ctsdns_traefik.errors import SourceError
from ctsdns_traefik.source.once import policy_of_file

Reader = Callable[[bytes], HostsMap]

BOTH = pytest.mark.parametrize("read", [hosts_of_snapshot, hosts_of_text])

CAPTURED_HOSTS = {
    "server1": "100.64.0.1",
    "secure": "100.64.0.2",
    "database": "100.64.0.3",
    "server1-v6": "fd7a:115c:a1e0::1",
    "home-lan": "192.168.1.0/24",
    "office-lan": "10.10.0.0/16",
    "tailnet-v6": "fd7a:115c:a1e0::/48",
    "_web_http_3000._tcp.server1.wan.example.com": "100.64.0.1",
    "_tcp_tls_443._tcp.secure.wan.example.com": "100.64.0.2",
    "_tcp_mysql_3306._tcp.database.wan.example.com": "100.64.0.3",
    "_api_https_8443._tcp.server1.wan.example.com": "100.64.0.1",
    "_dns_udp_53._udp.server1.wan.example.com": "100.64.0.1",
}


def refusal(read: Reader, data: bytes) -> str:
    """Return why data is refused."""
    with pytest.raises(SnapshotError) as caught:
        read(data)
    return str(caught.value)


def captured(path: Path, event: bytes) -> list[bytes]:
    """Return the data of all events of one type in a captured stream."""
    blocks = read_blocks([path.read_bytes()], largest=2**20)
    fields = [bytes(block).split(b"\n") for block in blocks]
    return [lines[1].removeprefix(b"data: ") for lines in fields if lines[0] == b"event: " + event]


@pytest.mark.parametrize(
    ("stream", "count"),
    [
        pytest.param("worker-stream.txt", 4, id="snapshots-alone"),
        pytest.param("worker-stream-error.txt", 4, id="errors-in-between"),
    ],
)
def test_captured_snapshots(data: Path, stream: str, count: int) -> None:
    """Every snapshot that a worker was seen to send holds the policy's hosts."""
    snapshots = captured(data / stream, b"machines-snapshot")
    assert [hosts_of_snapshot(snapshot) for snapshot in snapshots] == [CAPTURED_HOSTS] * count
    assert [hosts_of_text(snapshot) for snapshot in snapshots] == [CAPTURED_HOSTS] * count


def test_captured_policy(data: Path) -> None:
    """A policy in HuJSON, as Tailscale keeps it, holds the same hosts."""
    assert hosts_of_text((data / "policy.hujson").read_bytes()) == CAPTURED_HOSTS


def test_captured_errors(data: Path) -> None:
    """The worker's own words are taken from the error events that it was seen to send."""
    errors = captured(data / "worker-stream-error.txt", b"error")
    words = 'Tailscale API error: 500 Internal Server Error - {"message":"internal server error"}'
    assert [message_of_error(error) for error in errors] == [words] * 2


@BOTH
@pytest.mark.parametrize(
    ("snapshot", "hosts"),
    [
        pytest.param('{"acl": {"hosts": {"a": "::1"}}}', {"a": "::1"}, id="without-machines"),
        pytest.param('{"machines": 3, "acl": {"hosts": {}}}', {}, id="machines-do-not-matter"),
        pytest.param('{"machines": [], "acl": {}}', {}, id="absent-hosts"),
        pytest.param('{"machines": [], "acl": {"hosts": null}}', {}, id="hosts-null"),
        pytest.param(
            '{"acl": {"hosts": {"a": 1}}, "acl": {"hosts": {"b": 2}}}', {"b": 2}, id="acl-twice"
        ),
        pytest.param(
            '{"acl": {"hosts": {"a": 1}}, "ACL": {"hosts": {"b": 2}}}', {"a": 1}, id="acl-exactly"
        ),
        pytest.param('{"acl": [], "acl": {"hosts": {"b": 2}}}', {"b": 2}, id="first-acl-is-a-list"),
        pytest.param(
            '{"machines": %s, "acl": {"hosts": {"a": "::1"}}}' % ("9" * 5000),
            {"a": "::1"},
            id="number-of-many-digits",
        ),
        pytest.param('{"acl": {"hosts": {"a": [1]}}}', {"a": [1]}, id="hosts-are-not-checked"),
        pytest.param('{"acl": {"hosts": {"\u00fc": "x"}}}', {"\u00fc": "x"}, id="utf-8"),
        pytest.param('{"acl": {"hosts": {}}, "hosts": {"a": 1}}', {}, id="acl-before-hosts"),
    ],
)
def test_snapshot_is_read(read: Reader, snapshot: str, hosts: HostsMap) -> None:
    """A snapshot's hosts are those of its acl, unchecked; absent ones are none."""
    assert read(snapshot.encode()) == hosts


@BOTH
@pytest.mark.parametrize(
    ("snapshot", "why"),
    [
        pytest.param(b'{"machines": []}', "acl is missing", id="no-acl"),
        pytest.param(b'{"acl": null}', "acl is null, not an object", id="acl-null"),
        pytest.param(b'{"acl": []}', "acl is a list, not an object", id="acl-list"),
        pytest.param(b'{"acl": "x"}', "acl is text, not an object", id="acl-text"),
        pytest.param(
            b'{"acl": {"hosts": []}}', "acl.hosts is a list, not an object", id="hosts-list"
        ),
        pytest.param(b"[]", "it is a list, not an object", id="list"),
        pytest.param(b"null", "it is null, not an object", id="null"),
        pytest.param(b"true", "it is true or false, not an object", id="true"),
        pytest.param(b"3", "it is a number, not an object", id="number"),
        pytest.param(b'"acl"', "it is text, not an object", id="text"),
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b" \n", "it is empty", id="blank"),
        pytest.param(
            b'{"acl":\n{"hosts": {',
            "it is not JSON: line 2, column 12: a name in double quotes is missing",
            id="cut-off",
        ),
        pytest.param(
            b'{"acl": "\xff"}', "it is not UTF-8: invalid start byte at byte 10", id="bad-utf-8"
        ),
        pytest.param(
            b'{"acl": "\xc3', "it is not UTF-8: unexpected end of data at byte 10", id="cut-utf-8"
        ),
        pytest.param(
            b"[" * 100_000, "it is not usable JSON: it is nested too deep", id="nested-too-deep"
        ),
    ],
)
def test_what_is_no_snapshot_is_refused(read: Reader, snapshot: bytes, why: str) -> None:
    """Whatever falls short of a whole snapshot is refused, with the reason."""
    assert refusal(read, snapshot) == why


def test_snapshot_of_an_event_is_strict_json() -> None:
    """Comments and byte order marks have no place in an event's data."""
    assert refusal(hosts_of_snapshot, b'{"acl": {},}').startswith("it is not JSON: ")
    assert refusal(hosts_of_snapshot, b'\xef\xbb\xbf{"acl": {}}').startswith("it is not JSON: ")


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        pytest.param(b'{"hosts": {"a": "::1"}}', {"a": "::1"}, id="policy"),
        pytest.param(b'{"acls": []}', {}, id="policy-without-hosts"),
        pytest.param(b'{"hosts": {"a": "::1",}, /* x */} // y\n', {"a": "::1"}, id="hujson"),
        pytest.param(
            b'\xef\xbb\xbf// x\n{"acl": {"hosts": {}},} // y', {}, id="snapshot-with-everything"
        ),
        pytest.param(b'// x\n{"machines": [], "acl": {},}', {}, id="snapshot-in-hujson"),
        pytest.param(b'\xef\xbb\xbf{"acl": {}}', {}, id="snapshot-with-a-byte-order-mark"),
        pytest.param(b'{"hosts": {"a": "// b"},}', {"a": "// b"}, id="slashes-in-text"),
    ],
)
def test_file_is_read(text: bytes, hosts: HostsMap) -> None:
    """A file may hold a policy or a snapshot, in JSON or HuJSON."""
    assert hosts_of_text(text) == hosts


NOT_SAVED = "Tailscale would not save this: "
NEITHER = "it is neither a snapshot (with acl) nor a Tailscale policy (with hosts)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(b"{}", NEITHER, id="empty-object"),
        pytest.param(b'{"error": "Configuration error", "message": "x"}', NEITHER, id="error"),
        pytest.param(b'{"message": "SSE stream established"}', NEITHER, id="connected"),
        pytest.param(b'{"Acl": {"hosts": {"a": "::1"}}}', NEITHER, id="acl-in-another-case"),
        pytest.param(
            b'{"hosts": ["a"]}',
            f"{NOT_SAVED}line 1, column 11: hosts is a list, not an object",
            id="hosts-list",
        ),
        pytest.param(
            b'{\n  // the hosts\n  "hosts": {"a" "b"},\n}',
            f"{NOT_SAVED}line 3, column 17: the colon between name and value is missing",
            id="bad-hujson-keeps-its-place",
        ),
        pytest.param(
            b'{"hosts": {"a": "::1"}, // cut',
            f"{NOT_SAVED}line 1, column 25: the last // comment has no line end; add one",
            id="cut-off-hujson",
        ),
    ],
)
def test_what_is_neither_snapshot_nor_policy_is_refused(text: bytes, why: str) -> None:
    """An object of another kind is no empty policy."""
    assert refusal(hosts_of_text, text) == why


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b'{"event": "x", "message": "it broke"}', "it broke", id="message"),
        pytest.param(b'{"message": 3}', '{"message": 3}', id="message-is-no-text"),
        pytest.param(b'{"error": "x"}', '{"error": "x"}', id="no-message"),
        pytest.param(b"[1]", "[1]", id="list"),
        pytest.param(b"it broke", "it broke", id="no-json"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"\xff!", "\ufffd!", id="bad-utf-8"),
        pytest.param(b"[" * 10_000, "[" * 10_000, id="nested-too-deep"),
        pytest.param(b"9" * 5000, "9" * 5000, id="huge-number"),
    ],
)
def test_message_of_error(data: bytes, message: str) -> None:
    """An error's message is shown if there is one, else all of its data."""
    assert message_of_error(data) == message


def test_hosts_keep_their_order() -> None:
    """The hosts map is what the text holds, in its order."""
    hosts = {f"host-{number}": "::1" for number in (3, 1, 2)}
    assert list(hosts_of_text(json.dumps({"hosts": hosts}).encode()).items()) == list(hosts.items())


@pytest.mark.parametrize("text", ["{}", "{ // nothing yet\n}", '{"attrConfig": {}}'])
def test_policy_without_hosts(text: str) -> None:
    """An object without members, or with sections other than hosts, is a policy without routes."""
    assert hosts_of_text(text.encode(), is_file=True) == {}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param(
            'resource "tailscale_acl" "x" {\n  acl = <<EOF\n{}\nEOF\n}', "Terraform", id="hcl"
        ),
        pytest.param("  acl = jsonencode({})", "Terraform", id="hcl-part"),
        pytest.param('# hosts\n{"hosts": {}}', "line 1, column 1: # starts no comment", id="hash"),
        pytest.param('{\n  # x\n  "hosts": {}}', "line 2, column 3: # starts no", id="inner-hash"),
        pytest.param("---\nserver_url: https://x\npolicy:\n  mode: file", "YAML", id="headscale"),
        pytest.param("hosts:\n  a: 100.64.0.1\n", "YAML", id="yaml"),
        pytest.param("<!DOCTYPE html>", "HTML", id="page"),
        pytest.param('{"acl": "e30=", "warnings": null}', "details, whose acl is base64", id="api"),
        pytest.param('{"policy": "{}", "updatedAt": ""}', "Headscale's API", id="headscale-api"),
    ],
)
def test_file_of_another_kind(text: str, what: str) -> None:
    """A policy in another form, and what is none, is named as what it is."""
    with pytest.raises((SnapshotError, SourceError), match=what):
        policy_of_file(iter([text.encode()]), "file")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_file_in_utf_16(encoding: str) -> None:
    """A file that PowerShell has written says what to do with it."""
    text = '{"hosts": {}}' if encoding == "utf-16" else '\ufeff{"hosts": {}}'
    with pytest.raises(SourceError, match="it is UTF-16: save it as UTF-8"):
        policy_of_file(iter([text.encode(encoding)]), "file")


def test_error_of_a_snapshot_reads_well() -> None:
    """A control character is at a line and a column, once."""
    why = refusal(hosts_of_snapshot, b'{"acl": {"hosts": {"a": "\n"}}}')
    assert "line 1, column" in why
    assert "at at" not in why
