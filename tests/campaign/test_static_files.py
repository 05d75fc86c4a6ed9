"""Generated static configurations, read by the real Traefik and by validate alike.

The fields are those of Traefik's reference that the checks read, and others beside them.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import rounds
from support.static_files import read_here, require_agreement, static_read_by_traefik

FLAG = st.sampled_from([True, False, "true", "F", 1])
TEXT = st.sampled_from(["a", "b@file", "c-d", "x"])
NUMBER = st.integers(1, 1000)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return maps with some of these fields, perhaps none, keys in any case."""
    known = st.fixed_dictionaries({}, optional={**fields})
    return st.tuples(known, st.booleans()).map(
        lambda pair: {key.lower() if pair[1] else key: value for key, value in pair[0].items()}
    )


TARGET = st.sampled_from(["web", "s", ":443", "nowhere"])
REDIRECTION = some(to=TARGET, scheme=st.sampled_from(["https", "http"]), priority=NUMBER)
HTTP = some(
    tls=st.one_of(FLAG, st.none(), some(options=TEXT, certResolver=TEXT)),
    middlewares=st.lists(TEXT, max_size=2),
    redirections=some(entryPoint=REDIRECTION),
    encodeQuerySemicolons=FLAG,
)
ENTRYPOINT = some(
    address=st.sampled_from(["127.0.0.1:80", ":443/tcp", ":53/udp", "[::1]:1"]),
    http=HTTP,
    http2=some(maxConcurrentStreams=NUMBER),
    http3=some(advertisedPort=NUMBER),
    allowACMEByPass=FLAG,
    reusePort=FLAG,
    asDefault=FLAG,
    forwardedHeaders=some(insecure=FLAG, trustedIPs=st.just(["127.0.0.1"])),
    proxyProtocol=some(insecure=FLAG),
    transport=some(lifeCycle=some(graceTimeOut=NUMBER)),
    redirect=some(entryPoint=TEXT),
    tls=st.just({}),
)
ACME = some(
    email=TEXT,
    storage=TEXT,
    tlsChallenge=st.one_of(FLAG, st.just({})),
    httpChallenge=some(entryPoint=TEXT),
)
CONFIGURATION = some(
    entryPoints=st.dictionaries(st.sampled_from(["web", "s", "Web", "traefik"]), ENTRYPOINT),
    providers=some(
        file=some(filename=TEXT, directory=TEXT, watch=FLAG),
        docker=some(exposedByDefault=FLAG, swarmMode=FLAG),
        providersThrottleDuration=NUMBER,
    ),
    certificatesResolvers=st.dictionaries(TEXT, some(acme=ACME), max_size=2),
    api=st.one_of(FLAG, some(insecure=FLAG, dashboard=FLAG)),
    ping=some(entryPoint=st.just("traefik"), manualRouting=FLAG),
    metrics=some(prometheus=some(manualRouting=FLAG)),
    serversTransport=some(insecureSkipVerify=FLAG),
    experimental=some(http3=FLAG),
    unknown=some(x=TEXT),
)


@settings(max_examples=rounds(10, 100), deadline=None)
@given(CONFIGURATION)
def test_traefik_and_validate_read_alike(configuration: Mapping[str, Any]) -> None:
    """Both start or refuse, with the same entrypoints, file provider and resolvers."""
    text = json.dumps({**configuration, "log": {"level": "DEBUG", "format": "json"}})
    with tempfile.TemporaryDirectory() as made:
        file = Path(made) / "static.yml"
        file.write_text(text)
        read = static_read_by_traefik(Path(made), [f"--configFile={file}"], {})
        require_agreement(read_here(text, "yaml"), read)
