"""What the page has of routes without a name, and of services with several machines."""

from __future__ import annotations

import pytest

from ctsdns_traefik.core.access.parser import read_access
from ctsdns_traefik.core.dynamic.rendering import render
from ctsdns_traefik.core.page import View, page_to_html
from ctsdns_traefik.core.page.rows import Row, rows_of

ONE, TWO = "100.64.0.1", "fd7a:115c:a1e0::2"


@pytest.mark.parametrize(
    ("hosts", "row"),
    [
        pytest.param(
            {"_ssh_ssh_22._tcp.*": ONE},
            Row(
                *("ssh", "any-ssh", "tcp", "router-any-ssh", "HostSNI(`*`)", f"{ONE}:22"),
                machines=(ONE,),
                access="public",
                tls="no TLS at Traefik",
            ),
            id="raw",
        ),
        pytest.param(
            {"_dns_dns_53._udp.ns.de": TWO},
            Row(
                *("dns", "ns-de-dns", "udp", "router-ns-de-dns", "", f"[{TWO}]:53"),
                machines=(TWO,),
                access="public",
                tls="",
            ),
            id="udp",
        ),
        pytest.param(
            {"_w_http_80._tcp.a.de": ONE, "_w_http_81._tcp.a.de": ONE, "_w_http_82._tcp.a.de": TWO},
            Row(
                *("w", "a.de", "http", "router-a-de", "Host(`a.de`)"),
                f"http://{ONE}:80, http://{ONE}:81, http://[{TWO}]:82",
                machines=(ONE, TWO),
                access="public",
                tls="",
            ),
            id="several-machines",
        ),
    ],
)
def test_row(hosts: dict[str, str], row: Row) -> None:
    """Each kind has its backends, its machines, and where its TLS ends."""
    access = read_access("{default: public, routes: {a.de: {balance: true}}}")
    document = render(hosts, access=access).document
    rows = rows_of(document)
    assert rows == [row]
    page = page_to_html(View("routes", rows))
    assert row.backend in page
    assert ("every datagram" in page) == (row.protocol == "udp")
