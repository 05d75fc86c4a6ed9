"""Traefik's static configuration, read as Traefik reads it."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.paths import ROOT

from ctsdns_traefik.core.problems import LocatedError
from ctsdns_traefik.core.static_config.configuration import (
    REDIRECT_PRIORITY,
    Entrypoint,
    FileProvider,
    ProxyProtocol,
    Redirect,
    Resolver,
    StaticConfiguration,
    read_static,
    with_entrypoints,
)

EXAMPLE = ROOT / "examples" / "traefik" / "traefik.yml"

HTTP = {"http": Entrypoint("http", ":80")}


def without_places(text: str, form: Literal["yaml", "toml"] = "yaml") -> StaticConfiguration:
    """Read a configuration and forget where its settings stand."""
    return read_static(text, form)._replace(locations={}, newer=())


def test_example() -> None:
    """The example's static configuration is read in all that matters here."""
    assert without_places(EXAMPLE.read_text(encoding="utf-8")) == StaticConfiguration(
        entrypoints={
            "web": Entrypoint(
                "web", ":80", redirect=Redirect("websecure", "https", 1), alias_headers="delete"
            ),
            "websecure": Entrypoint("websecure", ":443", tls=True, alias_headers="delete"),
            "tcp": Entrypoint("tcp", ":4433"),
            "traefik": Entrypoint("traefik", "127.0.0.1:8080"),
        },
        file_provider=FileProvider("/etc/traefik/dynamic.yml"),
        providers=frozenset({"file"}),
        api=True,
        api_insecure=True,
        insecure_skip_verify=True,
    )


TOML = """
[api]
insecure = "true"
[entrypoints.traefik]
ADDRESS = "[::1]:9000"
[entryPoints.Web]
address = ":80/tcp"
allowACMEByPass = true
[entryPoints.Web.http.tls]
[entryPoints.Web.http.redirections.entryPoint]
to = ":443"
scheme = "http"
priority = "7"
[providers.file]
directory = "/etc/traefik/dynamic"
watch = false
[serversTransport]
rootCAs = ["ca.pem"]
[certificatesResolvers.one.acme.httpChallenge]
entryPoint = "Web"
[certificatesResolvers.two.acme.httpChallenge]
entryPoint = "Web"
[certificatesResolvers.three.acme.dnsChallenge]
provider = "manual"
"""


def test_toml() -> None:
    """TOML is read likewise: sections in any case, values as text or not, names as they are."""
    assert without_places(TOML, "toml") == StaticConfiguration(
        entrypoints={
            "traefik": Entrypoint("traefik", "[::1]:9000"),
            "Web": Entrypoint(
                "Web", ":80/tcp", tls=True, redirect=Redirect(":443", "http", 7), acme_bypass=True
            ),
        },
        file_provider=FileProvider(directory="/etc/traefik/dynamic", watch=False),
        api=True,
        api_insecure=True,
        own_trust=True,
        challenge_entrypoints={"Web": "two"},
        resolvers={
            "one": Resolver(frozenset({"http"})),
            "two": Resolver(frozenset({"http"})),
            "three": Resolver(frozenset({"dns"})),
        },
        providers=frozenset({"file"}),
    )
    assert read_static(TOML, "toml").locations["entryPoints.Web.http.tls"] == (9, 2)


API = {"api": True, "api_insecure": True}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        pytest.param("log: {level: INFO}", {}, id="nothing-that-is-read"),
        pytest.param("entryPoints: null", {}, id="null-is-no-setting"),
        pytest.param("API: {Insecure: 'true'}", API, id="case-and-text"),
        pytest.param("api: {insecure: 1}", API, id="number-for-a-boolean"),
        pytest.param("api: {insecure: F}", {"api": True}, id="letter-for-a-boolean"),
        pytest.param("api: true", {"api": True}, id="section-that-stands-alone"),
        pytest.param(
            "---\napi: true\n---\napi: {insecure: true}\n", {"api": True}, id="first-document"
        ),
        pytest.param("x: &x {insecure: true}\napi: {<<: *x}", API, id="merge-key"),
        pytest.param("serversTransport: {rootCAs: []}", {}, id="no-authorities"),
        pytest.param("serversTransport: {spiffe: {ids: [a]}}", {"own_trust": True}, id="spiffe"),
        pytest.param(
            "providers: {file: {watch: true}}",
            {"file_provider": FileProvider(), "providers": frozenset({"file"})},
            id="no-file",
        ),
        pytest.param(
            "certificatesResolvers: {a: {acme: {email: x}}}",
            {"resolvers": {"a": Resolver()}},
            id="no-challenge",
        ),
        pytest.param(
            "certificatesResolvers: {a: true}", {"resolvers": {"a": Resolver()}}, id="no-acme"
        ),
    ],
)
def test_settings(text: str, changed: dict[str, Any]) -> None:
    """A setting is found however Traefik lets it be written, and what is not set has a default."""
    read = without_places(text)
    traefik = {"traefik": Entrypoint("traefik", ":8080")} if read.api_insecure else {}
    assert read == StaticConfiguration({**HTTP, **traefik})._replace(**changed)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("api: {insecure: false}", ["http"], id="none"),
        pytest.param("api: {insecure: true}", ["http", "traefik"], id="insecure-api"),
        pytest.param("ping: {}", ["http", "traefik"], id="ping"),
        pytest.param("ping: true", ["http", "traefik"], id="ping-alone"),
        pytest.param("ping: {entryPoint: http}", ["http"], id="ping-elsewhere"),
        pytest.param("ping: {manualRouting: true}", ["http"], id="ping-by-a-router"),
        pytest.param("metrics: {prometheus: {}}", ["http", "traefik"], id="metrics"),
        pytest.param("providers: {rest: {insecure: true}}", ["http", "traefik"], id="rest"),
        pytest.param("entryPoints: {traefik: {address: ':1'}}", ["traefik"], id="only-that-one"),
        pytest.param("entryPoints: {a: x}\nENTRYPOINTS: {b: {}}", ["a", "b"], id="two-sections"),
        pytest.param("entryPoints: {a: null, b: {}}", ["b"], id="null-is-none"),
        pytest.param("entryPoints: {a: {}, A: {}}", ["a", "A"], id="names-have-their-case"),
    ],
)
def test_names_of_entrypoints(text: str, names: list[str]) -> None:
    """The entrypoints are those that are set, or "http", and "traefik" if something needs it."""
    assert list(read_static(text, "yaml").entrypoints) == names


def test_names_in_two_cases_are_two_entrypoints() -> None:
    """Each entrypoint has its own settings, also if another's name differs in case alone."""
    read = read_static("entryPoints: {a: {address: ':1'}, A: {address: ':2'}}", "yaml")
    assert read.entrypoints == {"a": Entrypoint("a", ":1"), "A": Entrypoint("A", ":2")}


@pytest.mark.parametrize(
    ("http", "tls"),
    [
        pytest.param("{tls: {}}", True, id="empty"),
        pytest.param("{tls: true}", True, id="true"),
        pytest.param("{tls: 'true'}", True, id="true-as-text"),
        pytest.param("{tls: []}", True, id="list"),
        pytest.param("{tls: {other: x}}", True, id="with-settings"),
        pytest.param("{tls: false}", False, id="false"),
        pytest.param("{tls: other}", False, id="other-text"),
        pytest.param("{encodeQuerySemicolons: true}", False, id="absent"),
    ],
)
def test_tls_of_an_entrypoint(http: str, *, tls: bool) -> None:
    """An entrypoint has TLS if http.tls is a section, or stands for an empty one."""
    read = read_static(f"entryPoints: {{ws: {{http: {http}}}}}", "yaml")
    assert read.entrypoints["ws"] == Entrypoint("ws", tls=tls)


@pytest.mark.parametrize(
    ("settings", "redirect"),
    [
        pytest.param("to: ws", Redirect("ws", "https", REDIRECT_PRIORITY), id="defaults"),
        pytest.param("to: ':443', priority: 0x10", Redirect(":443", "https", 16), id="hexadecimal"),
        pytest.param("to: ws, priority: 0", Redirect("ws", "https", 18), id="length-of-the-rule"),
        pytest.param("to: ws, priority: -1", Redirect("ws", "https", -1), id="negative"),
        pytest.param("to: ws, scheme: http", Redirect("ws", "http"), id="scheme"),
        pytest.param("scheme: https", Redirect(""), id="to-nowhere"),
    ],
)
def test_redirect(settings: str, redirect: Redirect | None) -> None:
    """A redirect has Traefik's defaults, and without a destination there is none."""
    text = f"entryPoints: {{web: {{http: {{redirections: {{entryPoint: {{{settings}}}}}}}}}}}"
    assert read_static(text, "yaml").entrypoints["web"].redirect == redirect


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        pytest.param("", ("", "", "tcp"), id="none"),
        pytest.param(":443", ("", "443", "tcp"), id="port"),
        pytest.param("127.0.0.1:53/UDP", ("127.0.0.1", "53", "udp"), id="udp"),
        pytest.param("[::1]:80/tcp", ("::1", "80", "tcp"), id="ipv6"),
        pytest.param("localhost:80", ("localhost", "80", "tcp"), id="name"),
    ],
)
def test_address_of_an_entrypoint(address: str, parts: tuple[str, str, str]) -> None:
    """An address falls into host, port and protocol."""
    entrypoint = Entrypoint("a", address)
    assert (entrypoint.host, entrypoint.port, entrypoint.protocol) == parts


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", ("there is no setting in it", 1, 1), id="empty"),
        pytest.param("# nothing\n", ("there is no setting in it", 1, 1), id="comment"),
        pytest.param("- a", ("it is not a map of settings", 1, 1), id="list"),
        pytest.param(
            "\n entryPoints: x", ("entryPoints is not a map of settings", 2, 2), id="not-a-map"
        ),
        pytest.param(
            "providers: {file: true}", ("providers.file is not a map of settings", 1, 13), id="true"
        ),
        pytest.param(
            "api:\n  insecure: yes\n",
            ('api.insecure is "yes", neither true nor false', 2, 3),
            id="not-a-boolean",
        ),
        pytest.param(
            "providers: {file: {filename: [a]}}",
            ("providers.file.filename is not a single value", 1, 20),
            id="not-a-single-value",
        ),
        pytest.param(
            "entryPoints: {a: {http: {redirections: {entryPoint: {to: b, priority: 1.5}}}}}",
            (
                'entryPoints.a.http.redirections.entryPoint.priority is "1.5", not a whole number',
                1,
                61,
            ),
            id="not-a-whole-number",
        ),
        pytest.param(
            "a: 1\na: 2\n",
            ('it is not YAML: found duplicate key "a"', 2, 1),
            id="key-twice",
        ),
        pytest.param(
            "a: 1\né: \0",
            ("it is not YAML: the character U+0000 is not allowed", 2, 4),
            id="control-character",
        ),
        pytest.param(
            "a: 1\nentryPoints: {'': {}}",
            ("entryPoints has an empty name", 2, 15),
            id="empty-name",
        ),
    ],
)
def test_yaml_that_traefik_refuses(text: str, error: tuple[str, int, int]) -> None:
    """What Traefik would not start with is refused, with line and column."""
    with pytest.raises(LocatedError) as caught:
        read_static(text, "yaml")
    assert (caught.value.message, *caught.value.location) == error
    assert str(caught.value) == error[0]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("", ("there is no setting in it", 1, 1), id="empty"),
        pytest.param("\na = ]", ("it is not TOML: invalid value", 2, 5), id="not-toml"),
        pytest.param("a = 1\nb = [", ("it is not TOML: invalid value", 2, 6), id="cut-off"),
        pytest.param(
            "api = 1\nproviders = 1", ("providers is not a map of settings", 2, 1), id="not-a-map"
        ),
    ],
)
def test_toml_that_traefik_refuses(text: str, error: tuple[str, int, int]) -> None:
    """TOML that does not parse is refused where it ends to; of settings no place is known."""
    with pytest.raises(LocatedError) as caught:
        read_static(text, "toml")
    assert (caught.value.message, *caught.value.location) == error


def test_dates_in_no_calendar() -> None:
    """Traefik takes 2020-13-45 for a text like others."""
    static = read_static("a: 2020-13-45\nentryPoints: {web: {address: 0000-01-01}}", "yaml")
    assert static.entrypoints["web"].address == "0000-01-01"


def test_duplicate_of_a_value_without_end() -> None:
    """Aliases that double thirty times are no work, not even where their name is there twice."""
    levels = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 31))
    with pytest.raises(LocatedError, match='found duplicate key "a30"') as caught:
        read_static(f"a0: &a0 [x]\n{levels}a30: *a30\n", "yaml")
    assert caught.value.location == (32, 1)


PLACED = """\
api:
  Insecure: true
entrypoints:
  web:
    Address: ":80"
providers: {file: {filename: a.yml}}
x: &x
  insecureSkipVerify: true
serversTransport:
  <<: *x
"""


def test_places() -> None:
    """Settings are found by Traefik's own spelling and as written; one merged in has no place."""
    places = read_static(PLACED, "yaml").locations
    assert dict(places) == {
        "api": (1, 1),
        "api.insecure": (2, 3),
        "entryPoints": (3, 1),
        "entryPoints.web": (4, 3),
        "entryPoints.web.address": (5, 5),
        "entrypoints": (3, 1),
        "entrypoints.web": (4, 3),
        "providers": (6, 1),
        "providers.file": (6, 13),
        "providers.file.filename": (6, 20),
        "serversTransport": (9, 1),
    }


KEYS = st.sampled_from(
    [
        *("entryPoints", "address", "http", "tls", "redirections", "entryPoint", "to", "scheme"),
        *("priority", "allowACMEByPass", "api", "API", "insecure", "providers", "file", "watch"),
        *("filename", "directory", "rest", "serversTransport", "insecureSkipVerify", "rootCAs"),
        *("certificatesResolvers", "acme", "httpChallenge", "ping", "metrics", "prometheus"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
TEXTS = st.text() | st.dictionaries(KEYS, VALUES, max_size=8).map(json.dumps)


@given(TEXTS, st.sampled_from(["yaml", "toml"]))
def test_anything_is_read_or_refused(text: str, form: Literal["yaml", "toml"]) -> None:
    """Whatever a file holds, it is read, or refused in one line that has a place in it."""
    refused = refusal_of(text, form)
    if refused:
        assert refused.message.isprintable()
        assert min(refused.location) >= 1


def refusal_of(text: str, form: Literal["yaml", "toml"]) -> LocatedError | None:
    """Return why a configuration is refused, if it is."""
    try:
        read_static(text, form)
    except LocatedError as error:
        return error
    return None


def test_given_entrypoints_alone() -> None:
    """Of entrypoints that are only named, and of all else, nothing is taken to be described."""
    assert with_entrypoints(None, ["web", "dns=:53/udp"]) == StaticConfiguration(
        {
            "web": Entrypoint("web", described=False),
            "dns": Entrypoint("dns", ":53/udp", described=False),
        },
        described=False,
    )
    assert with_entrypoints(None, []) is None


def test_given_entrypoints_beside_a_file() -> None:
    """Entrypoints are added to those of the file; one that it has keeps what it says of it."""
    static = read_static("entryPoints: {ws: {address: ':443', http: {tls: true}}}", "yaml")
    both = with_entrypoints(static, ["ws", "web=:80"])
    assert both == static._replace(
        entrypoints={**static.entrypoints, "web": Entrypoint("web", ":80", described=False)}
    )
    moved = with_entrypoints(static, ["ws=:8443"])
    assert moved
    assert moved.entrypoints == {"ws": Entrypoint("ws", ":8443", tls=True)}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param("{}", ProxyProtocol(), id="none"),
        pytest.param(
            "{proxyProtocol: {insecure: 'true'}}",
            ProxyProtocol(insecure=True, exists=True),
            id="any",
        ),
        pytest.param(
            "{ProxyProtocol: {TrustedIPs: [10.0.0.1, '::1']}}",
            ProxyProtocol(trusted=("10.0.0.1", "::1"), exists=True),
            id="list",
        ),
        pytest.param(
            "{proxyProtocol: {trustedIPs: '10.0.0.1,10.0.0.2'}}",
            ProxyProtocol(trusted=("10.0.0.1", "10.0.0.2"), exists=True),
            id="text",
        ),
    ],
)
def test_proxy_protocol(settings: str, expected: ProxyProtocol) -> None:
    """Who may name another address is read from a list, or from a text with commas."""
    static = read_static(f"entryPoints: {{web: {settings}}}", "yaml")
    assert static.entrypoints["web"].proxy_protocol == expected


def test_list_of_a_wrong_kind() -> None:
    """A map in the place of a list is as none, and reported; one of maps is refused."""
    text = "entryPoints:\n  web: {{proxyProtocol: {{trustedIPs: {}}}, http: {{middlewares: {{}}}}}}"
    static = read_static(text.format("{a: 1}"), "yaml")
    assert static.entrypoints["web"].proxy_protocol == ProxyProtocol(exists=True)
    assert static.ignored == ("entryPoints.web.proxyProtocol.trustedIPs",)
    with pytest.raises(LocatedError, match="trustedIPs is not a list") as caught:
        read_static(text.format("{a: {b: 1}}"), "yaml")
    assert caught.value.location == (2, 25)
