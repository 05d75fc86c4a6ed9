"""Generated access files: what is accepted the real Traefik loads, and serves or is reported."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from local import until
from support.campaigns import rounds
from support.certificates import Authority
from support.traefik import Traefik, traefik_release

from ctsdns_traefik import InputError, render, validate_policy

CA = "CA-FILE"
"""Stands for the file of an authority, which only the test knows."""

FLAG = st.booleans()
DOMAINS = ("a.b.de", "x.b.de", "*.b.de", "*.de", "b\u00fccher.de")
TIMES = st.sampled_from(["5s", 7, "1ms", "24h", "1h30m", "99h", "999999999h", "0s"])
NAMES = st.lists(st.sampled_from(["X-A", "x.b", "Y_c"]), min_size=1, max_size=2)
RANGES = st.sampled_from(
    ["10.0.0.0/8", "::1", "fd7a::/48", "2000::/3", "fe80::%a", "::ffff:0:0/96"]
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return maps with some of these fields, and one at least."""
    return st.fixed_dictionaries({}, optional=fields).filter(bool)


TLS = some(ca=st.just(CA), cert=st.just(CA), insecureSkipVerify=FLAG)
AUTH_SERVER = st.fixed_dictionaries(
    {"address": st.sampled_from(["http://127.0.0.1:1/", "https://[::1]/x?y=1"])},
    optional={
        "trustForwardHeader": FLAG,
        "authResponseHeaders": NAMES,
        "authResponseHeadersRegex": st.sampled_from(
            ["^X", "(", "^(?=X)", r"(a)\1", "(?i)x", r"\pL"]
        ),
        "authRequestHeaders": NAMES,
        "addAuthCookiesToResponse": NAMES,
        "tls": TLS,
    },
)
ACCESS = st.sampled_from(
    [
        {"access": "public"},
        {"access": "tailscale-only"},
        {"access": "forward-auth", "forwardAuth": "o"},
        {"access": "tailscale-bypass", "forwardAuth": "o"},
        {"access": "mtls-strict", "clientAuth": "c"},
    ]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tls": FLAG,
        "priority": st.integers(1, 60),
        "acmeChallenge": st.just({"entryPoint": "web", "port": 80}),
        "backend": some(serverName=st.sampled_from(["a.de", "*.de"]), insecureSkipVerify=FLAG),
        "alpnProtocols": st.just(["a/b", "c"]),
        "balance": FLAG,
        "healthCheck": some(interval=TIMES, timeout=TIMES, path=st.sampled_from(["/", "/%zz"])),
    },
)
ROUTE = st.tuples(ACCESS, OPTIONS).map(lambda parts: {**parts[0], **parts[1]})
ACCESS_FILE = st.fixed_dictionaries(
    {
        "forwardAuth": st.fixed_dictionaries({"o": AUTH_SERVER}),
        "clientAuth": st.just({"c": {"caFiles": [CA]}}),
        "routes": st.dictionaries(st.sampled_from(DOMAINS), ROUTE, max_size=3),
    },
    optional={"default": ACCESS, "tailnet": st.fixed_dictionaries({"ranges": st.lists(RANGES)})},
)
ENTRIES = st.sets(
    st.builds(
        "_{}_{}_{}._tcp.{}".format,
        st.sampled_from(["web", "websecure", "tcp"]),
        st.sampled_from(["http", "https", "h2c", "tls", "ssh", "postgres"]),
        st.sampled_from([1, 2]),
        st.sampled_from([*DOMAINS, "x.y.b.de"]),
    ),
    max_size=8,
)
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    """Run a Traefik without routes."""
    folder = tmp_path_factory.mktemp("traefik")
    (folder / "dynamic.yml").write_text("{}")
    Authority(folder)
    with Traefik(folder, folder / "dynamic.yml") as started:
        yield started


# Without shrinking: each step would wait for a Traefik that does not load the document. Most files
# are refused, since each of their options may hold what Traefik would not load.
@settings(
    max_examples=rounds(12, 400),
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.filter_too_much],
)
@given(access=ACCESS_FILE, names=ENTRIES)
def test_accepted_access_file_is_served(
    traefik: Traefik, access: dict[str, Any], names: set[str]
) -> None:
    """Traefik loads the whole document, and disables no route that validate finds nothing in."""
    folder: Path = traefik._folder
    new = f"n{next(NUMBERS)}.example.org"
    hosts = dict.fromkeys([*names, f"_web_http_1._tcp.{new}"], "127.0.0.1")
    routes = {**access["routes"], new: {"access": "public"}}
    text = json.dumps({**access, "routes": routes}).replace(CA, str(folder / "ca.pem"))
    try:
        rendered = render(hosts, access=text)
    except InputError:
        assume(False)
    policy, static = json.dumps({"hosts": hosts}), (folder / "traefik.yml").read_text()
    checked = validate_policy(
        policy, static_config=static, access=text, traefik_version=traefik_release()
    )
    errors = {each.entry for each in checked.diagnostics if each.severity == "error"}
    codes = {each.code for each in checked.diagnostics}
    assume(not codes & {"option-unsupported", "health-check-unsupported"})
    (folder / "new").write_text(rendered.text)
    (folder / "new").rename(folder / "dynamic.yml")
    marker = f"router-{new.replace('.', '-')}"
    until(lambda: marker in traefik.routers(), "the document is not loaded")
    entries = {route.router: route.entry for route in rendered.routes}
    states = {name: router["status"] for name, router in traefik.routers().items()}
    assert set(states) == set(entries)
    assert {entries[name] for name, state in states.items() if state != "enabled"} <= errors
