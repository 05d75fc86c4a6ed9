"""Read the settings of Traefik's static configuration that the checks need.

Other settings are ignored. Keys are case-insensitive, a value may be text (``"true"``), and
``tls: true`` means ``tls: {}``, all as observed with Traefik 3.7.15.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ctsdns_traefik.core.problems import SourceLocation
from ctsdns_traefik.core.static_config.reader import (
    Form,
    Locations,
    Section,
    read_settings,
)
from ctsdns_traefik.core.static_config.refusals import Refusal, explain, find_newer, find_refusals

REDIRECT_PRIORITY = 2**63 - 2
"""The priority of an entrypoint's redirect that sets none, in a 64-bit Traefik."""

DEFAULT_HTTP = ":80"
DEFAULT_TRAEFIK = ":8080"
DEFAULT_POLL_INTERVAL = "5s"
DEFAULT_POLL_TIMEOUT = "5s"


class Redirect(NamedTuple):
    """Where an entrypoint redirects every HTTP request, unless a route has a higher priority."""

    to: str
    """The name of an entrypoint, or a port such as ``:443``."""
    scheme: str = "https"
    priority: int = REDIRECT_PRIORITY

    @property
    def to_port(self) -> bool:
        """Whether the target is a port, not an entrypoint."""
        return self.to[:1] == ":" and self.to[1:].isdecimal()


class ProxyProtocol(NamedTuple):
    """Which peers may set the client's address with a PROXY protocol header."""

    insecure: bool = False
    """Whether all may; then the trusted addresses do not matter."""
    trusted: tuple[str, ...] = ()
    """Addresses and networks as written in the configuration (``trustedIPs``)."""
    exists: bool = False
    """Whether such headers are read at all."""


class Entrypoint(NamedTuple):
    """One place where Traefik listens."""

    name: str
    address: str = ""
    """As written in the configuration, such as ``:443`` or ``127.0.0.1:53/udp``."""
    tls: bool = False
    """Whether its HTTP routers speak TLS (``http.tls``)."""
    redirect: Redirect | None = None
    acme_bypass: bool = False
    """Whether routes can have ACME challenges (``allowACMEByPass``)."""
    described: bool = True
    """Whether all fields were read; otherwise only the name, and perhaps the address, is known."""
    tls_options: str = ""
    """The TLS options of its HTTP routers that have no TLS section (``http.tls.options``)."""
    cert_resolver: str = ""
    """The certificate resolver of those routers (``http.tls.certResolver``)."""
    domains: tuple[frozenset[str], ...] = ()
    """The names of the certificates that it gets for them; without any, the names of each."""
    middlewares: tuple[str, ...] = ()
    """The middlewares of all its HTTP routers, before their own."""
    alias_headers: str = ""
    """How ``X_Name`` beside ``X-Name`` is handled (``http.aliasHeadersStrategy``)."""
    encoded_slash: bool = False
    """Whether ``http.encodedCharacters`` allows ``%2F`` in a path."""
    proxy_protocol: ProxyProtocol = ProxyProtocol()
    forwarders: tuple[str, ...] = ()
    """Whose ``X-Forwarded-`` headers are kept, as written (``forwardedHeaders.trustedIPs``)."""
    http3: bool = False
    """Whether it listens for QUIC, too, on UDP."""
    reuse_port: bool = False
    """Whether others that allow it, too, may listen on the same port."""
    as_default: bool = False
    """Whether routers that name no entrypoint are on it, and then on no other without this."""

    @property
    def host(self) -> str:
        """The address to listen on, without brackets; ``""`` means all."""
        return self.address.partition("/")[0].rpartition(":")[0].strip("[]")

    @property
    def port(self) -> str:
        """The port to listen on; ``""`` if the address has none."""
        return self.address.partition("/")[0].rpartition(":")[2]

    @property
    def protocol(self) -> str:
        """``tcp`` or ``udp``."""
        return self.address.partition("/")[2].lower() or "tcp"


class Resolver(NamedTuple):
    """How a certificate resolver gets certificates."""

    challenges: frozenset[str] = frozenset()
    """Of ``dns``, ``http`` and ``tls``."""
    tailscale: bool = False
    """Whether they come from the Tailscale of the machine."""


class FileProvider(NamedTuple):
    """The files from which Traefik reads its dynamic configuration."""

    filename: str = ""
    directory: str = ""
    """Overrides the filename if both are set."""
    watch: bool = True


class HttpProvider(NamedTuple):
    """The URL from which Traefik polls its dynamic configuration."""

    endpoint: str
    poll_interval: str = ""
    """As written in the configuration; ``""`` means :data:`DEFAULT_POLL_INTERVAL`."""
    poll_timeout: str = ""
    """Likewise, with :data:`DEFAULT_POLL_TIMEOUT`."""


class StaticConfiguration(NamedTuple):
    """The known part of Traefik's static configuration."""

    entrypoints: Mapping[str, Entrypoint]
    file_provider: FileProvider | None = None
    http_provider: HttpProvider | None = None
    api_insecure: bool = False
    insecure_skip_verify: bool = False
    """Whether certificates of backends are not verified."""
    own_trust: bool = False
    """Whether it names authorities (or SPIFFE) for the certificates of backends."""
    challenge_entrypoints: Mapping[str, str] = {}
    """Where Traefik answers HTTP-01 challenges, each with a certificate resolver that has them."""
    locations: Mapping[str, SourceLocation] = {}
    """Settings by their dotted paths, columns in characters."""
    described: bool = True
    """Whether all of this was read; otherwise only some entrypoints are known."""
    api: bool = False
    """Whether the API is enabled, and with it the service ``api@internal``."""
    dashboard: bool = True
    """Whether the API, if there is one, has the dashboard."""
    resolvers: Mapping[str, Resolver] = {}
    """Its certificate resolvers by name."""
    providers: frozenset[str] = frozenset()
    """Its providers, by the names that follow ``@`` in those of routers and middlewares."""
    refusals: tuple[Refusal, ...] = ()
    """Why Traefik does not start with it."""
    ignored: tuple[str, ...] = ()
    """Lists that are written as maps, of which Traefik takes nothing."""
    newer: tuple[tuple[str, str], ...] = ()
    """Its settings that not every release has: their names in the table of releases, and paths."""
    old_rules: bool = False
    """Whether rules are in the syntax of Traefik 2 (``core.defaultRuleSyntax: v2``)."""
    variables: bool = False
    """Whether a ``$`` in an address is a variable that has its value before Traefik starts."""

    @property
    def tls_challenge(self) -> bool:
        """Whether a resolver gets certificates by TLS-ALPN-01."""
        return any("tls" in each.challenges for each in self.resolvers.values())

    @property
    def without_tls(self) -> frozenset[str]:
        """The entrypoints that are known to have no TLS."""
        known = self.entrypoints.values()
        return frozenset(each.name for each in known if each.described and not each.tls)

    def redirect_of(self, entrypoint: Entrypoint) -> Redirect | None:
        """Return an entrypoint's redirect; Traefik ignores one to an unknown entrypoint."""
        redirect = entrypoint.redirect
        known = redirect and (redirect.to_port or redirect.to in self.entrypoints)
        return redirect if known else None


UNKNOWN = StaticConfiguration({}, described=False)
"""A static configuration of which nothing is known."""


def read_static(text: str, form: Form, refused: str | None = None) -> StaticConfiguration:
    """Read a static configuration, or the flags and variables of a Compose file or a manifest.

    Raise :class:`LocatedError` for a file that does not parse or is something else.
    ``refused`` is why a real Traefik does not start with it, ``""`` if it does; ``None`` leaves
    that to the tables of :mod:`.refusals`.
    """
    root, launch = read_settings(text, form)
    flags = bool(launch and launch.flags)
    refusals = (
        find_refusals(root, flags=flags)
        if refused is None
        else (explain(root, refused),) * bool(refused)
    )
    transport = root.section("serversTransport")
    api = root.section("api", alone=True)
    entrypoints = _entrypoints(root)
    return StaticConfiguration(
        entrypoints=entrypoints,
        ignored=tuple(root.locations.ignored),
        file_provider=_file_provider(root.section("providers").section("file")),
        http_provider=_http_provider(root.section("providers").section("http")),
        api_insecure=api.flag("insecure"),
        insecure_skip_verify=transport.flag("insecureSkipVerify"),
        own_trust=transport.has("rootCAs") or transport.has("spiffe"),
        challenge_entrypoints=dict(_challenge_entrypoints(root)),
        locations=root.locations,
        api=api.exists,
        dashboard=api.flag("dashboard", default=True),
        resolvers={
            name: _resolver(section)
            for name, section in root.section("certificatesResolvers").sections()
        },
        providers=_providers(root),
        refusals=refusals,
        newer=find_newer(root, flags=flags) if refused is None else (),
        variables=bool(launch),
        old_rules=root.section("core").text("defaultRuleSyntax") == "v2",
    )


def read_running(entrypoints: Mapping[str, Any]) -> dict[str, Entrypoint]:
    """Read the entrypoints that the API of a Traefik lists, by name."""
    root = Section("", [{"entryPoints": entrypoints}], Locations(), exists=True)
    return {
        name: _entrypoint(name, section) for name, section in root.section("entryPoints").sections()
    }


def with_entrypoints(
    static: StaticConfiguration | None, given: Iterable[str]
) -> StaticConfiguration | None:
    """Add entrypoints given as ``NAME[=ADDRESS[,tls|,tls=false][,redirect=TARGET]]``.

    ``None`` means that nothing is known.
    """
    entrypoints = dict(static.entrypoints) if static else {}
    for each in given:
        name, _, described = each.partition("=")
        address, *options = described.split(",")
        known = entrypoints.get(name, Entrypoint(name, described=False))
        known = known._replace(address=address or known.address)
        for option in options:
            key, _, value = option.partition("=")
            if key == "tls":
                known = known._replace(tls=value != "false", described=True)
            else:
                known = known._replace(redirect=Redirect(value))
        entrypoints[name] = known
    if static:
        return static._replace(entrypoints=entrypoints)
    return StaticConfiguration(entrypoints, described=False) if entrypoints else None


def _entrypoints(root: Section) -> dict[str, Entrypoint]:
    """Read the configured entrypoints, and add those that Traefik creates by default."""
    entrypoints = {
        name: _entrypoint(name, section) for name, section in root.section("entryPoints").sections()
    } or {"http": Entrypoint("http", DEFAULT_HTTP)}
    if _needs_traefik(root):
        entrypoints.setdefault("traefik", Entrypoint("traefik", DEFAULT_TRAEFIK))
    return entrypoints


def _entrypoint(name: str, section: Section) -> Entrypoint:
    http = section.section("http")
    redirect = http.section("redirections").section("entryPoint")
    proxy = section.section("proxyProtocol", alone=True)
    return Entrypoint(
        name=name,
        address=section.text("address"),
        tls=http.section("tls", alone=True).exists,
        tls_options=http.section("tls", alone=True).text("options"),
        cert_resolver=http.section("tls", alone=True).text("certResolver"),
        domains=tuple(
            frozenset(filter(None, (each.text("main"), *each.texts("sans"))))
            for each in http.section("tls", alone=True).items("domains")
        ),
        middlewares=http.texts("middlewares"),
        redirect=_redirect(redirect) if redirect.exists else None,
        acme_bypass=section.flag("allowACMEByPass"),
        alias_headers=http.text("aliasHeadersStrategy"),
        encoded_slash=http.section("encodedCharacters").flag("allowEncodedSlash"),
        proxy_protocol=ProxyProtocol(
            proxy.flag("insecure"), proxy.texts("trustedIPs"), exists=proxy.exists
        ),
        forwarders=section.section("forwardedHeaders").texts("trustedIPs"),
        http3=section.section("http3", alone=True).exists,
        reuse_port=section.flag("reusePort"),
        as_default=section.flag("asDefault"),
    )


def _redirect(section: Section) -> Redirect:
    return Redirect(
        section.text("to"),
        section.text("scheme") or "https",
        # To Traefik, priority 0 means the length of the rule.
        section.number("priority", REDIRECT_PRIORITY) or len("HostRegexp(`^.+$`)"),
    )


def _needs_traefik(root: Section) -> bool:
    """Return whether a setting makes Traefik create the entrypoint ``traefik``."""
    ping = root.section("ping", alone=True)
    prometheus = root.section("metrics").section("prometheus", alone=True)
    return (
        root.section("api", alone=True).flag("insecure")
        or root.section("providers").section("rest", alone=True).flag("insecure")
        or any(
            each.exists
            and not each.flag("manualRouting")
            and each.text("entryPoint") in ("", "traefik")
            for each in (ping, prometheus)
        )
    )


def _file_provider(section: Section) -> FileProvider | None:
    if not section.exists:
        return None
    return FileProvider(
        section.text("filename"), section.text("directory"), section.flag("watch", default=True)
    )


def _http_provider(section: Section) -> HttpProvider | None:
    if not section.exists:
        return None
    names = ("endpoint", "pollInterval", "pollTimeout")
    return HttpProvider(*(section.text(name) for name in names))


def _providers(root: Section) -> frozenset[str]:
    names = {name.lower() for name, _ in root.section("providers").sections()}
    names = {"kubernetes" if name == "kubernetesingress" else name for name in names}
    return frozenset(names - {"providersthrottleduration"})


def _resolver(section: Section) -> Resolver:
    acme = section.section("acme")
    found = {
        "dns": acme.section("dnsChallenge", alone=True).text("provider"),
        "http": acme.section("httpChallenge", alone=True).text("entryPoint"),
        "tls": acme.section("tlsChallenge", alone=True).exists,
    }
    challenges = frozenset(name for name, value in found.items() if value)
    return Resolver(challenges, section.section("tailscale", alone=True).exists)


def _challenge_entrypoints(root: Section) -> Iterator[tuple[str, str]]:
    for name, resolver in root.section("certificatesResolvers").sections():
        challenge = resolver.section("acme").section("httpChallenge", alone=True)
        if entrypoint := challenge.text("entryPoint"):
            yield entrypoint, name
