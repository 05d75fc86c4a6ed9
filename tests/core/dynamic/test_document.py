"""Routes to Traefik's document, and the document to its text."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from ruamel.yaml import YAML
from support.paths import TESTS

from ctsdns_traefik.core.dynamic.document import (
    Document,
    Format,
    UnacceptableText,
    _require_acceptable,
    build_document,
    from_text,
    to_text,
)
from ctsdns_traefik.core.dynamic.routes import plan_routes
from ctsdns_traefik.core.entries.grammar import HostEntry, read_hosts

HTTP_NAME = "_web_http_3000._tcp.server1.wan.example.com"
TCP_NAME = "_tcp_mysql_3306._tcp.database.wan.example.com"

JSON_TEXT = (TESTS / "cases" / "worked-example" / "dynamic.yml").read_text()

YAML_TEXT = """\
http:
  routers:
    router-server1-wan-example-com:
      rule: "Host(`server1.wan.example.com`)"
      service: "service-server1-wan-example-com-http-3000"
      entryPoints:
        - "web"
  services:
    service-server1-wan-example-com-http-3000:
      loadBalancer:
        servers:
          - url: "http://100.64.0.1:3000"
tcp:
  routers:
    router-database-wan-example-com-mysql:
      rule: "HostSNI(`database.wan.example.com`)"
      service: "service-database-wan-example-com-mysql-3306"
      entryPoints:
        - "tcp"
      tls:
        passthrough: false
  services:
    service-database-wan-example-com-mysql-3306:
      loadBalancer:
        servers:
          - address: "100.64.0.1:3306"
"""

FORMATS: tuple[Format, ...] = get_args(Format)


def document_of(*names: str) -> Document:
    """Build the document of entries that all lead to one address."""
    return build_document(
        plan_routes(read_hosts(dict.fromkeys(names, "100.64.0.1")).entries).routes
    )


def read_yaml(text: str, version: str) -> Any:
    """Read text by the rules of one YAML version."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(text)


WORKED_EXAMPLE: Document = json.loads(JSON_TEXT)


def test_document_of_one_http_and_one_tcp_entry() -> None:
    """An HTTP and a TCP entry make a router and a service each, and nothing besides."""
    assert document_of(HTTP_NAME, TCP_NAME) == WORKED_EXAMPLE


@pytest.mark.parametrize(
    ("form", "text"),
    [pytest.param("json", JSON_TEXT, id="json"), pytest.param("yaml", YAML_TEXT, id="yaml")],
)
def test_text_of_one_http_and_one_tcp_entry(form: Format, text: str) -> None:
    """The text is laid out to the byte as documented."""
    assert to_text(WORKED_EXAMPLE, form) == text


@pytest.mark.parametrize("form", FORMATS)
def test_text_of_no_routes(form: Format) -> None:
    """No routes are an empty object, which Traefik accepts, in both formats."""
    assert to_text(build_document([]), form) == "{}\n"


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        pytest.param(HTTP_NAME, ["http"], id="only-http"),
        pytest.param(TCP_NAME, ["tcp"], id="only-tcp"),
    ],
)
def test_section_without_routes_is_left_out(name: str, sections: list[str]) -> None:
    """A section stands in the document only if it has routers."""
    assert list(document_of(name)) == sections


def test_names_are_sorted() -> None:
    """Routers and services each stand in the order of their own names, not of their entries."""
    document = document_of(
        "_a_http_81._tcp.z.de", "_b_http_80._tcp.z.de", "_c_http_80._tcp.a.de", "_d_ssh_9._tcp.a.de"
    )
    names = [
        (section, [(part, list(values)) for part, values in parts.items()])
        for section, parts in document.items()
    ]
    http_services = ["service-a-de-http-80", "service-z-de-http-80", "service-z-de-http-81"]
    assert names == [
        (
            "http",
            [
                ("routers", ["router-a-de", "router-z-de", "router-z-de-b"]),
                ("services", http_services),
            ],
        ),
        (
            "tcp",
            [("routers", ["router-a-de-ssh"]), ("services", ["service-a-de-ssh-9"])],
        ),
    ]


def test_priority_is_a_field_of_the_router() -> None:
    """A one-letter name beside a wildcard has its priority in the document, the wildcard none."""
    routers = document_of("_web_http_80._tcp.*.de", "_web_http_80._tcp.a.de")["http"]["routers"]
    assert routers == {
        "router-a-de": {
            "rule": "Host(`a.de`)",
            "service": "service-a-de-http-80",
            "entryPoints": ["web"],
            "priority": 13,
        },
        "router-wildcard-de": {
            "rule": "Host(`*.de`)",
            "service": "service-wildcard-de-http-80",
            "entryPoints": ["web"],
        },
    }


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("form", FORMATS)
def test_text_is_read_alike_by_every_yaml(form: Format, version: str) -> None:
    """Values that a YAML version takes for numbers, booleans, dates or null stay text."""
    entrypoints = ["on", "1_000", "0x1F", "123", "no", "null", "1e3", "2001-01-01", "0o7", "010"]
    document = document_of(
        HTTP_NAME, TCP_NAME, *(f"_{entrypoint}_http_80._tcp.a.de" for entrypoint in entrypoints)
    )
    assert read_yaml(to_text(document, form), version) == document
    served = {router["entryPoints"][0] for router in document["http"]["routers"].values()}
    assert served == {"web", *entrypoints}


@pytest.mark.parametrize("form", FORMATS)
def test_long_value_stays_on_one_line(form: Format) -> None:
    """Not even the longest domain makes a value go on on the next line."""
    domain = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    document = document_of(f"_web_http_80._tcp.{domain}")
    text = to_text(document, form)
    assert f'"Host(`{domain}`)"' in text
    assert from_text(text) == document


def test_no_key_is_too_long_for_traefik() -> None:
    """The longest entries make no key of over 1,024 bytes, for which Traefik refuses the file."""
    labels = ["a" * 30] * 7 + ["b" * 36]
    domains = [".".join(labels[:cut]) + "-" + ".".join(labels[cut:]) for cut in range(1, 5)]
    assert {len(domain) for domain in domains} == {253}
    tcp = document_of(*(f"_{'e' * 255}_{'s' * 63}_65535._tcp.{domain}" for domain in domains))[
        "tcp"
    ]
    assert len(tcp["routers"]) == 4
    keys = [key for part in tcp.values() for key in part]
    assert [key for key in keys if len(f'"{key}"') > 1024] == []


ENTRY = HostEntry("_w_http_80._tcp.a.de", "w", "http", 80, "a.de", "100.64.0.1")


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(ENTRY._replace(entrypoint='{{env "HOME"}}'), id="template"),
        pytest.param(ENTRY._replace(entrypoint="`"), id="backtick"),
        pytest.param(ENTRY._replace(domain="a`) || Host(`b"), id="backticks-in-the-rule"),
        pytest.param(ENTRY._replace(domain="{}"), id="braces"),
    ],
)
def test_unacceptable_entry_becomes_no_text(entry: HostEntry, form: Format) -> None:
    """Should the grammar ever let it through, what breaks Traefik's file stays in the core."""
    document = build_document(plan_routes([entry]).routes)
    with pytest.raises(UnacceptableText):
        to_text(document, form)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"http": {"routers": {}, "services": {}}}, id="empty-maps"),
        pytest.param({**WORKED_EXAMPLE, "udp": {"routers": {}}}, id="empty-map-beside-routes"),
        pytest.param({"http": {"routers": {"a": {}}}}, id="empty-router"),
    ],
)
@pytest.mark.parametrize("form", FORMATS)
def test_document_with_an_empty_map_becomes_no_text(document: Document, form: Format) -> None:
    """An empty map would make Traefik refuse the whole file."""
    with pytest.raises(UnacceptableText):
        to_text(document, form)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(JSON_TEXT + "# {{", id="template"),
        pytest.param(JSON_TEXT + "# `", id="backtick"),
        pytest.param(JSON_TEXT.replace("`", "'"), id="rules-without-backticks"),
        pytest.param(JSON_TEXT.replace("Host(", "Path("), id="unknown-matcher"),
        pytest.param(JSON_TEXT.replace("`)", "`) || Host(`b`)"), id="rule-of-another-form"),
        pytest.param(JSON_TEXT.replace("`)", "b)", 1).replace("web", "w`b"), id="moved-backtick"),
        pytest.param(JSON_TEXT.replace('["web"]', "{}"), id="empty-map"),
    ],
)
def test_text_that_differs_from_its_document_is_refused(text: str) -> None:
    """The text itself is checked, not what it was made from."""
    _require_acceptable(JSON_TEXT, WORKED_EXAMPLE)
    with pytest.raises(UnacceptableText):
        _require_acceptable(text, WORKED_EXAMPLE)
