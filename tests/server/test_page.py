"""The page of a hub in a real Chromium, and the same page and picture in files."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import CHROMIUM, Browser
from support.commands import run
from support.endpoints import Feed, ScriptedEndpoint, snapshot
from support.entries import hosts
from support.hubs import Hub

AXE = Path(os.environ.get("NODE_PATH", "")) / "axe-core" / "axe.min.js"

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")
needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="there is no npm package axe-core where NODE_PATH says"
)

HOSTS = {
    "_websecure_http_3000._tcp.wiki.example.com": "100.64.0.1",
    "_websecure_https_8443._tcp.vault.internal.example.com": "100.64.0.3",
    "_web_http_80._tcp.status.example.com": "100.64.0.2",
    "_tcp_mysql_3306._tcp.db.example.com": "fd7a:115c:a1e0::5",
    "_websecure_tls_443._tcp.pass.example.com": "100.64.0.4",
    f"_websecure_http_3000._tcp.{'long-name.' * 12}example.com": "100.64.0.7",
    "_websecure_http_99999._tcp.broken.example.com": "100.64.0.9",
    "_web_http_80._tcp.<script>alert(1)</script>": "100.64.0.9\"'&",
}


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """Feed the module's hub."""
    with Feed() as feed:
        feed.send(snapshot(HOSTS))
        yield feed


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, feed: Feed) -> Iterator[Hub]:
    """Run a hub with routes of all kinds, and refused entries."""
    folder = tmp_path_factory.mktemp("page")
    access = folder / "access.yml"
    access.write_text(
        'default: public\nroutes:\n  "*.internal.example.com": {access: tailscale-only}\n'
    )
    with (
        ScriptedEndpoint(feed) as server,
        Hub(server.url, folder / "dynamic.yml", "--access-file", str(access)) as hub,
    ):
        hub.until_healthy()
        yield hub


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Run one Chromium for all tests here."""
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def test_page_shows_everything(hub: Hub) -> None:
    """Routes with rule, backend and access, refused entries with carets, and the source."""
    page = hub.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for text in (
        "<code>Host(`wiki.example.com`)</code>",
        "<code>https://100.64.0.3:8443</code>",
        "<code>[fd7a:115c:a1e0::5]:3306</code>",
        '<td role="cell">tailnet</td>',
        "TLS passthrough",
        "<mark>99999</mark>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "/api/config (connected)",
        '<p class="state" role="status">healthy</p>',
    ):
        assert text in page.text
    assert "<script>alert" not in page.text
    carets = re.search(
        r"^(.*)<mark>99999</mark>.*\n<span[^>]*>( *)\^{5}</span>", page.text, re.MULTILINE
    )
    assert carets
    assert len(carets[1].rpartition(">")[2]) == len(carets[2])


def test_nothing_comes_from_elsewhere(hub: Hub) -> None:
    """The page refers to nothing but its own script, and its policy allows nothing else."""
    page = hub.get("/")
    assert re.findall(r'(?:src|href|action|url)\s*[=(]\s*"?([^"#)>]*)', page.text) == [
        "/page.js",
        "",
    ]
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy
    assert " style=" not in page.text
    script = hub.get("/page.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "http" not in script.text


@needs_chromium
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_in_a_browser(hub: Hub, browser: Browser, width: int, *, dark: bool) -> None:
    """At each width it fits, shows its style, and leaves the console empty."""
    browser.messages.clear()
    browser.open(hub.url("/"), width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 24, 31)" if dark else "rgb(251, 250, 247)")
    assert browser.evaluate("document.querySelectorAll('svg path.edge').length") == 12
    columns = browser.evaluate("document.querySelector('thead').getBoundingClientRect().width")
    assert (columns > 100) == (width > 1000)
    assert browser.messages == []
    if folder := os.environ.get("CTSDNS_SCREENSHOTS"):
        browser.screenshot(Path(folder) / f"page-{width}-{'dark' if dark else 'light'}.png")


@needs_chromium
@needs_axe
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_is_accessible(hub: Hub, browser: Browser, *, dark: bool) -> None:
    """axe-core finds no violation."""
    for width in (360, 1280):
        browser.open(hub.url("/"), width, dark=dark)
        browser.evaluate(AXE.read_text(encoding="utf-8") + ";0")
        violations = browser.evaluate(
            "axe.run().then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html)))"
        )
        assert violations == []


@needs_chromium
def test_page_is_for_the_keyboard(hub: Hub, browser: Browser) -> None:
    """The first Tab leads to the link that skips to the routes, and the focus is visible."""
    browser.open(hub.url("/"), 1280)
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Skip to the routes"
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@needs_chromium
def test_page_refreshes_itself(hub: Hub, browser: Browser, feed: Feed) -> None:
    """Its script shows a change without a reload, and keeps the focus."""
    browser.messages.clear()
    browser.open(hub.url("/"), 1280)
    browser.evaluate("document.querySelector('.scroll').focus()")
    feed.send(snapshot({**HOSTS, **hosts("n")}))
    hub.until(lambda: "n.example.com" in hub.get("/").text, "not on the page")
    browser.evaluate("refresh()")
    assert "n.example.com" in browser.evaluate("document.querySelector('main').textContent")
    assert browser.evaluate("document.activeElement.className") == "scroll"
    assert browser.messages == []


@needs_chromium
def test_page_notices_that_watch_is_gone(browser: Browser, path: Path) -> None:
    """A page whose server is gone says so."""
    with Feed() as feed, ScriptedEndpoint(feed) as server:
        with Hub(server.url, path) as hub:
            browser.open(hub.url("/"), 1280)
        browser.evaluate("refresh()")
        assert "does not answer" in browser.evaluate(
            "document.querySelector('[role=status]').textContent"
        )


@needs_chromium
def test_page_of_a_policy_in_git(browser: Browser, tmp_path: Path) -> None:
    """``validate --format html`` writes the same page, which needs no server."""
    policy = tmp_path / "policy.hujson"
    policy.write_text(
        '{\n  // the wiki\n  "hosts": {\n    "_web_http_0._tcp.a.b": "1.2.3.4",\n  }\n}\n'
    )
    done = run("validate", policy, "--format", "html")
    assert done.returncode == 1
    page = tmp_path / "page.html"
    page.write_text(done.stdout)
    browser.messages.clear()
    browser.open(page.as_uri(), 360)
    assert "bad-port" in browser.evaluate("document.querySelector('main').textContent")
    assert f"{policy}:4:5" in browser.evaluate("document.querySelector('main').textContent")
    assert browser.evaluate("document.documentElement.scrollWidth") <= 360
    assert browser.messages == []


def test_picture_in_a_file(tmp_path: Path) -> None:
    """``render-once --format svg`` draws each route, to standard output or a file, as valid XML."""
    policy = tmp_path / "policy.json"
    policy.write_text('{"hosts": {"_web_http_80._tcp.a.b": "1.2.3.4", "_x_tls_1._tcp.c.d": "::1"}}')
    done = run("render-once", policy, "--format", "svg")
    picture = ET.fromstring(done.stdout.partition("\n")[2])
    assert len(picture.findall("{*}path")) == 4
    assert [each.text for each in picture.findall("{*}g/{*}text")][-2:] == ["1.2.3.4", "::1"]
    file = tmp_path / "x.svg"
    assert run("render-once", policy, "--format", "svg", "-o", file).returncode == 0
    assert file.read_text() == done.stdout
    refused = run("render-once", policy, "--format", "svg", "-o", tmp_path / "x.yml")
    assert refused.returncode == 2
    assert "does not end in .svg" in refused.stderr


def test_picture_of_many_routes_is_bounded(tmp_path: Path) -> None:
    """Of ten thousand routes some are drawn, and the rest is counted."""
    policy = tmp_path / "policy.json"
    entries = ", ".join(f'"_web_http_80._tcp.a{n}.b": "1.2.3.4"' for n in range(10_000))
    policy.write_text(f'{{"hosts": {{{entries}}}}}')
    done = run("render-once", policy, "--format", "svg")
    assert len(done.stdout) < 50_000
    assert ">and 9940 more<" in done.stdout
