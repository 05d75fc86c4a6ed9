"""The access files of the examples and the document: with the entries that they name, all works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.paths import ROOT

from ctsdns_traefik.core.access.modes import MODES
from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.checks.access import check_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.static_config.configuration import read_static

EXAMPLES = sorted((ROOT / "examples" / "access").glob("*.yml"))
STARTED = sorted((ROOT / "examples").rglob("access.yml"))
"""The access files of the examples that start watch."""
RESOLVER = "certificatesResolvers: {letsencrypt: {acme: {tlsChallenge: {}}}}\n"
STATIC = read_static((ROOT / "examples" / "traefik" / "traefik.yml").read_text() + RESOLVER, "yaml")
"""The example's Traefik, with the resolver that some of the access files name."""
DOCUMENT = (ROOT / "docs" / "access.md").read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path) -> None:
    """Each serves the entries in its comment, uses all it says, and fits the example's Traefik."""
    text = path.read_text()
    entries = ", ".join(re.findall(r'^#   ("_.+?": ".+?")$', text, re.MULTILINE))
    access = read_access(text)
    rendering = render(json.loads(f"{{{entries}}}"), access=access)
    assert rendering.diagnostics == ()
    assert len(rendering.entries) == entries.count("_tcp.")
    assert check_access(rendering.entries, rendering.routes, access, STATIC) == ()
    assert rendering.routes


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "examples").rglob("traefik.yml")),
        ROOT / "examples" / "docker" / "traefik.yml.template",
    ],
    ids=lambda path: str(path.relative_to(ROOT / "examples")),
)
def test_no_example_lets_aliases_of_headers_pass(path: Path) -> None:
    """Each entrypoint for HTTP routes of the examples deletes aliases of trusted headers."""
    entrypoints = read_static(path.read_text(), "yaml").entrypoints
    strategies = {name: each.alias_headers for name, each in entrypoints.items()}
    web = {name: each for name, each in strategies.items() if name.startswith("web")}
    assert web
    assert set(web.values()) == {"delete"}


def test_every_mode_has_an_example() -> None:
    """Every mode is in an example, and has a section of the document but for the one of none."""
    used = {
        each for path in EXAMPLES for each in re.findall(r"access: ([a-z-]+)", path.read_text())
    }
    assert used == set(MODES)
    assert set(MODES) - {"public"} <= set(re.findall(r"^## (.+)$", DOCUMENT, re.MULTILINE))


def test_file_of_the_document() -> None:
    """The document's own file can be read."""
    (text,) = re.findall(r"^```yaml\n(tailnet:\n.+?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    access = read_access(text)
    assert len(access.routes) == 6
    assert access.dashboard


@pytest.mark.parametrize(
    "path",
    [*EXAMPLES, *STARTED],
    ids=lambda path: str(path.relative_to(ROOT / "examples")),
)
def test_every_example_denies_by_default(path: Path) -> None:
    """What no example names is for the tailnet alone."""
    default = read_access(path.read_text()).default
    assert default
    assert default.mode == "tailscale-only"


def test_every_example_that_starts_watch_has_an_access_file() -> None:
    """Each folder of the examples for running watch has one; all open a name, or this machine's."""
    folders = {str(path.parent.relative_to(ROOT / "examples")) for path in STARTED}
    assert folders == {
        *("compose/access", "compose/cloudflared/access", "docker/access", "kubernetes"),
        *("hub/kubernetes", "quickstart", "redis", "sni-clients", "systemd"),
    }
    for path in STARTED:
        modes = {route.mode for route in read_access(path.read_text()).routes.values()}
        assert modes == (set() if path.parent.name == "quickstart" else {"public"}), path
