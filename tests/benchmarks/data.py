"""Snapshots as the worker sends them, of any size: one device a host, about 900 bytes each."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any, NamedTuple

from support.endpoints import chunk

MOST_HOSTS = 65_536
"""Of one snapshot: each has an address of its own."""

_PIECE = 64 * 1024

_NAMES = (
    *("web", "Jürgen\u2019s MacBook", "nas", "mail", "Zoë\u2019s iPhone", "build"),
    *("büro-drucker", "database"),
)
"""What people call their machines."""

_LOCAL = "127.0.0.1"
_LAST_PORT = 3306


class Sample(NamedTuple):
    """One snapshot, and how to tell that it has arrived."""

    hosts: dict[str, str]
    data: bytes
    """The JSON, as in the event."""
    event: bytes
    live: str
    """The domain of the HTTP route that leads to the backend."""
    service: str
    """The name of the last service of the document, which no other version has."""

    @property
    def pieces(self) -> list[bytes]:
        """The event as a socket gives it, in pieces of 64 KiB."""
        return [self.event[at : at + _PIECE] for at in range(0, len(self.event), _PIECE)]

    @property
    def chunk(self) -> bytes:
        """The event as the worker sends it, in one HTTP chunk."""
        return chunk(self.event)

    @property
    def last_backend(self) -> str:
        """The backend of the last service."""
        return f"{_LOCAL}:{_LAST_PORT}"


def edit(sample: Sample, version: int) -> Sample:
    """Give one entry in the middle another address, which each version has for itself."""
    names = [name for name in sample.hosts if name.startswith("_")]
    edited = names[(len(names) // 2 + 37 * version) % len(names)]
    hosts = sample.hosts | {edited: f"127.255.{version >> 8}.{version & 255}"}
    data = sample.data.replace(_compact(sample.hosts).encode(), _compact(hosts).encode())
    return sample._replace(hosts=hosts, data=data, event=_event(data, version))


def policy_of(sample: Sample) -> bytes:
    """Return the policy of a sample as Tailscale would store it, in JSON."""
    return json.dumps({"hosts": sample.hosts, "acls": [_ACCESS]}, indent=2).encode()


def with_comments(policy: bytes) -> bytes:
    """Return a policy as people write it: a comment at each tenth line, and a last comma."""
    lines = policy.replace(b'"\n  },', b'",\n  },').split(b"\n")
    lines[::10] = [line + b"  // by the team that runs it" for line in lines[::10]]
    return b"\n".join([*lines, b""])


def make_sample(number: int, version: int = 1, port: int = 3000, last: int = 0) -> Sample:
    """Make the snapshot of some hosts; each version gives every route another address.

    All addresses are of loopback. The last two entries are an HTTP route to a port of this
    machine and, at the end of any document, a TCP route; their names are the version's own. Those
    of the versions before stay: watch makes a snapshot wait that both drops and changes routes.
    With *last* the names end with that version's.
    """
    hosts = dict(_host(index, version) for index in range(number - 2))
    for each in range(1, (last or version) + 1):
        live, end = f"zz-live-{each:03}.example.com", f"zz-end-{each:03}.example.com"
        hosts[f"_web_http_{port}._tcp.{live}"] = _LOCAL
        hosts[f"_tcp_mysql_{_LAST_PORT}._tcp.{end}"] = _LOCAL
    policy = {"tagOwners": {"tag:dns": ["autogroup:admin"]}, "hosts": hosts, "acls": [_ACCESS]}
    text = f'{{"machines":[{_machines(number)}],"acl":{_compact(policy)}}}'
    data = text.encode()
    service = f"service-{end.replace('.', '-')}-mysql-{_LAST_PORT}"
    return Sample(hosts, data, _event(data, version), live, service)


def _event(data: bytes, version: int) -> bytes:
    return b"event: machines-snapshot\ndata: %b\nid: %d\n\n" % (data, version)


_ACCESS = {"action": "accept", "src": ["*"], "dst": ["*:*"]}


def _host(index: int, version: int) -> tuple[str, str]:
    """Make an entry: of twenty one alias, one for TLS, one for a database, the others for HTTP."""
    address = f"127.{1 + version % 250}.{index >> 8}.{index & 255}"
    domain = f"app-{index}.wan.example.com"
    match index % 20:
        case 3:
            return f"server-{index}", address
        case 5:
            return f"_tcp_tls_443._tcp.{domain}", address
        case 7:
            return f"_tcp_mysql_3306._tcp.{domain}", address
        case 9:
            return f"_websecure_https_8443._tcp.{domain}", address
        case 11 | 12:
            return f"_web_http_8080._tcp.{domain}", address
        case _:
            return f"_websecure_http_3000._tcp.{domain}", address


@lru_cache(maxsize=2)
def _machines(number: int) -> str:
    return ",".join([_compact(_machine(index)) for index in range(number)])


def _machine(index: int) -> dict[str, Any]:
    name = _NAMES[index % len(_NAMES)]
    digest = hashlib.sha256(str(index).encode()).hexdigest()
    high, low = index >> 8, index & 255
    address, lan, wan = f"100.64.{high}.{low}", f"10.0.{high}.{low}", f"203.0.113.{low}"
    device = {
        "addresses": [address, f"fd7a:115c:a1e0::{high:x}:{low:x}"],
        "id": str(92960230386 + index),
        "nodeId": f"n{digest[:9]}CNTRL",
        "user": "tagged-devices",
        "name": f"machine-{index}.tailfe8c.ts.net",
        "hostname": f"{name} {index}",
        "clientVersion": "1.90.9-t5f1bd6e2d-g2ba1e1c1e",
        "updateAvailable": index % 3 == 0,
        "os": "linux",
        "created": "2025-01-05T08:30:01Z",
        "lastSeen": f"2025-12-09T10:{low % 60:02}:23Z",
        "keyExpiryDisabled": True,
        "authorized": True,
        "isExternal": False,
        "machineKey": f"mkey:{digest}",
        "nodeKey": f"nodekey:{digest[::-1]}",
        "blocksIncomingConnections": False,
        "enabledRoutes": [],
        "clientConnectivity": {
            "endpoints": [f"{wan}:41641", f"{lan}:41641"],
            "mappingVariesByDestIP": False,
            "latency": {"São Paulo": {"latencyMs": 21.5 + low}},
        },
        "tags": ["tag:dns"],
    }
    classified = {"tailscaleIP": address, "lanIP": lan, "wanIPs": [wan]}
    return {"device": device, "classifiedIPs": classified}


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
