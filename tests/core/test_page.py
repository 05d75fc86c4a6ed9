"""The page and the picture as values: what they show, escaped."""

from __future__ import annotations

from ctsdns_traefik.core.dynamic.document import Document
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.page import Fact, View, page_to_html, picture_to_svg, rows_of

HOSTS = {
    "_websecure_http_3000._tcp.app.example.com": "100.64.0.1",
    "_websecure_tls_443._tcp.pass.example.com": "fd7a:115c:a1e0::5",
    "_dns_dns_53._udp.dns.example.com": "100.64.0.2",
}


def test_rows_of_each_protocol() -> None:
    """A row has what its router and service say, whatever the protocol."""
    assert [
        (row.entrypoint, row.name, row.protocol, row.backend, row.machines, row.access, row.tls)
        for row in rows_of(render(HOSTS).document)
    ] == [
        ("dns", "dns-example-com-dns", "udp", "100.64.0.2:53", ("100.64.0.2",), "public", ""),
        (
            *("websecure", "app.example.com", "http", "http://100.64.0.1:3000", ("100.64.0.1",)),
            *("public", ""),
        ),
        (
            *("websecure", "pass.example.com", "tcp", "[fd7a:115c:a1e0::5]:443"),
            *(("fd7a:115c:a1e0::5",), "public", "TLS passthrough"),
        ),
    ]


def test_what_traefik_reports_is_at_its_router() -> None:
    """A router that Traefik does not serve has Traefik's message, and markup in it is text."""
    rows = rows_of(render(HOSTS).document)
    page = page_to_html(View("<T>", rows, objections={"router-app-example-com": "no <b>"}))
    assert 'app.example.com<span class="objection">Traefik: no &lt;b&gt;</span>' in page
    assert page.count('objection">') == 1
    assert "<title>&lt;T&gt;</title>" in page


def test_nothing_to_show() -> None:
    """Without routes and facts the page says so, and the picture is empty."""
    page = page_to_html(View("x", (), facts=(Fact("Source", "a & b"),)))
    assert "There are no routes." in page
    assert "<dd>a &amp; b</dd>" in page
    assert "<svg" not in page
    assert "<path" not in picture_to_svg({})


def test_same_document_gives_the_same_picture() -> None:
    """The order of the entries makes no difference."""
    backwards = dict(reversed(HOSTS.items()))
    assert picture_to_svg(render(HOSTS).document) == picture_to_svg(render(backwards).document)


def test_service_with_several_servers() -> None:
    """A name that several machines serve has a line to each of them."""
    servers = [{"url": f"http://100.64.0.{number}:80"} for number in (1, 2)]
    router = {"rule": "Host(`a.b`)", "service": "s", "entryPoints": ["web"]}
    services = {"s": {"loadBalancer": {"servers": servers}}}
    document: Document = {"http": {"routers": {"router-a": router}, "services": services}}
    (row,) = rows_of(document)
    assert row.machines == ("100.64.0.1", "100.64.0.2")
    assert row.backend == "http://100.64.0.1:80, http://100.64.0.2:80"
    assert picture_to_svg(document).count("<path") == 3
