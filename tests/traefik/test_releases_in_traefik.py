"""The table of releases, and what validate says by it, against the Traefik at hand.

``tests/every_traefik.py`` runs this with other releases.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from local import find_traefik, until
from support.release_probes import BEHAVIOURS, HERE, PARTS, Stage, settings_of_traefik
from support.traefik import any_certificate, traefik_release

from ctsdns_traefik import validate_policy
from ctsdns_traefik.core.checks.entries import check
from ctsdns_traefik.core.checks.static import check_static
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.entries.grammar import read_hosts
from ctsdns_traefik.core.releases import has
from ctsdns_traefik.core.releases_table import SETTINGS
from ctsdns_traefik.core.static_config.configuration import read_static
from ctsdns_traefik.traefik import refusal_of, release_of, traefik_api_from

RELEASE = traefik_release()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run one Traefik for all that is loaded."""
    with Stage(tmp_path_factory.mktemp("releases") / "stage") as stage:
        yield stage


def test_validate_says_what_traefik_serves(stage: Stage) -> None:
    """Of all that entries and the access file use, exactly what validate reports is not served."""

    def is_reported(hosts: dict[str, str], access: str) -> bool:
        policy = json.dumps({"hosts": hosts})
        return not validate_policy(policy, access=access, traefik_version=RELEASE).ok

    served = {part.feature: stage.has(part) for part in PARTS}
    assert served == {part.feature: has(RELEASE, part.feature) for part in PARTS}
    assert served == {
        part.feature: not is_reported(part.hosts, part.access_text(stage.authority.ca_file))
        for part in PARTS
    }


def test_wildcard_beside_passthrough(stage: Stage) -> None:
    """An HTTP wildcard takes the connections of a name beside it exactly if that is reported."""
    hosts = {"_ws_http_1._tcp.*.beside.de": HERE, f"_ws_tls_{stage.backend}._tcp.a.beside.de": HERE}

    def passes() -> bool:  # the backend speaks no TLS, Traefik does
        with suppress(ssl.SSLError):
            stage.connect_tls("ws", "a.beside.de", any_certificate()).close()
            return False
        return True

    static = read_static('{"entryPoints": {"ws": {"http": {"tls": {}}}}}', "yaml")
    entries = read_hosts(hosts).entries
    found = check(entries, static, traefik_version=RELEASE)
    stage.load(render(hosts))
    with suppress(TimeoutError):
        until(passes, "it does not pass", 1)
    assert passes() == all(each.code != "passthrough-shadowed" for each in found)


def test_what_traefik_does_by_itself(stage: Stage) -> None:
    """Traefik does what the table has for its release."""
    seen = {each.feature: each.seen(stage) for each in BEHAVIOURS}
    assert seen == {each.feature: has(RELEASE, each.feature) for each in BEHAVIOURS}


def test_release_is_found(stage: Stage, tmp_path: Path) -> None:
    """A Traefik's release is known by its program and by its API, and that of no Traefik is not."""
    assert release_of(find_traefik()) == RELEASE
    assert release_of("/bin/true") is release_of(str(tmp_path / "none")) is None
    api = traefik_api_from(f"http://{HERE}:{stage.ports['traefik']}")
    assert api.release() == RELEASE
    assert traefik_api_from(f"http://{HERE}:1").release() is None


def test_settings_that_traefik_has() -> None:
    """Traefik has a setting of its static configuration if the table has it for its release."""
    there = settings_of_traefik()
    assert {path: path in there for path in SETTINGS} == {
        path: has(RELEASE, path) for path in SETTINGS
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"entryPoints": {"web": {"address": ":80", "http": {"aliasHeadersStrategy": "delete"}}}},
        {
            "entryPoints": {
                "web": {"address": ":80", "http": {"encodedCharacters": {"allowEncodedHash": True}}}
            }
        },
        {"entryPoints": {"web": {"address": ":80", "Observability": {"metrics": True}}}},
        {"providers": {"http": {"endpoint": "http://a/", "maxResponseBodySize": 9}}},
        {"providers": {"kubernetesIngressNGINX": {"proxyBuffering": True}}},
        {"api": {"dashboard": True}, "ocsp": {"responderOverrides": {"a": "b"}}},
    ],
    ids=lambda settings: next(reversed(json.dumps(settings).split('"')[1::2])),
)
def test_static_configuration_that_a_release_refuses(settings: dict[str, Any]) -> None:
    """Traefik refuses a static configuration with a setting that it does not know, as reported."""
    text = json.dumps(settings)
    reported = list(check_static(read_static(text, "yaml"), None, RELEASE))
    assert bool(refusal_of(find_traefik(), text, "yaml")) == any(
        each.code == "static-config-refused" for each in reported
    )
