"""Traefik's static configuration: entrypoints, the file provider and what else checks ask about.

Only these settings are read, and as Traefik 3.7.15 was seen to read them: the case of a key does
not matter, a value may be text (``"true"``), and ``tls: true`` stands for ``tls: {}``. Whatever
else the file holds is left to Traefik.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from ctsdns_traefik.core.policy.locations import SourceLocation
from ctsdns_traefik.core.static_config.reader import Section, StaticError, read_sections

__all__ = [
    "HIGHEST_PRIORITY",
    "Entrypoint",
    "FileProvider",
    "ProxyProtocol",
    "Redirect",
    "StaticConfiguration",
    "StaticError",
    "read_static",
    "with_entrypoints",
]

HIGHEST_PRIORITY = 2**63 - 2
"""Of the redirect of an entrypoint, if it sets none: the greatest but one of a 64-bit Traefik."""

DEFAULT_HTTP = ":80"
DEFAULT_TRAEFIK = ":8080"


class Redirect(NamedTuple):
    """Where an entrypoint sends every HTTP request that no route outranks."""

    to: str
    """The name of an entrypoint, or a port such as ``:443``."""
    scheme: str = "https"
    priority: int = HIGHEST_PRIORITY

    @property
    def to_port(self) -> bool:
        """Whether a port is named, not an entrypoint."""
        return self.to[:1] == ":" and self.to[1:].isdecimal()


class ProxyProtocol(NamedTuple):
    """Who may name another address than his own as the client's, in a PROXY protocol header."""

    insecure: bool = False
    """Whether everybody may; then the trusted addresses do not matter."""
    trusted: tuple[str, ...] = ()
    """Addresses and networks as they stand in the configuration (``trustedIPs``)."""


class Entrypoint(NamedTuple):
    """One place where Traefik listens."""

    name: str
    address: str = ""
    """As it stands in the configuration, ``:443`` or ``127.0.0.1:53/udp`` for two."""
    tls: bool = False
    """Whether its HTTP routers speak TLS (``http.tls``)."""
    redirect: Redirect | None = None
    acme_bypass: bool = False
    """Whether routes can have ACME challenges (``allowACMEByPass``)."""
    described: bool = True
    """Whether all of this was read; else only the name, and perhaps the address, is known."""
    tls_options: str = ""
    """Those of its HTTP routers without TLS of their own (``http.tls.options``)."""
    alias_headers: str = ""
    """What becomes of ``X_Name`` beside ``X-Name`` (``http.aliasHeadersStrategy``)."""
    proxy_protocol: ProxyProtocol = ProxyProtocol()

    @property
    def host(self) -> str:
        """The address to listen on, without brackets; ``""`` means every one."""
        return self.address.partition("/")[0].rpartition(":")[0].strip("[]")

    @property
    def port(self) -> str:
        """The port to listen on; ``""`` if the address has none."""
        return self.address.partition("/")[0].rpartition(":")[2]

    @property
    def protocol(self) -> str:
        """``tcp`` or ``udp``."""
        return self.address.partition("/")[2].lower() or "tcp"


class FileProvider(NamedTuple):
    """Which files Traefik takes its dynamic configuration from."""

    filename: str = ""
    directory: str = ""
    """Wins over the file if both are set."""
    watch: bool = True


class StaticConfiguration(NamedTuple):
    """What is known of Traefik's static configuration."""

    entrypoints: Mapping[str, Entrypoint]
    file_provider: FileProvider | None = None
    api_insecure: bool = False
    insecure_skip_verify: bool = False
    """Whether certificates of backends go unchecked."""
    own_trust: bool = False
    """Whether backends' certificates may come from authorities (or SPIFFE) that are named here."""
    challenge_entrypoints: tuple[str, ...] = ()
    """Where Traefik answers HTTP-01 challenges for its certificate resolvers."""
    places: Mapping[str, SourceLocation] = {}
    """Of settings by their dotted paths, columns in characters; empty for TOML."""
    described: bool = True
    """Whether all of this was read; else no more than some entrypoints are known."""
    api: bool = False
    """Whether there is an API, and with it the service ``api@internal``."""

    def redirect_of(self, entrypoint: Entrypoint) -> Redirect | None:
        """Return an entrypoint's redirect; Traefik makes none to an entrypoint that it has not."""
        redirect = entrypoint.redirect
        return (
            redirect if redirect and (redirect.to_port or redirect.to in self.entrypoints) else None
        )


def read_static(text: str, form: Literal["yaml", "toml"]) -> StaticConfiguration:
    """Read a static configuration; raise :class:`StaticError` for one that Traefik would refuse."""
    root = read_sections(text, form)
    transport = root.section("serversTransport")
    api = root.section("api", alone=True)
    return StaticConfiguration(
        entrypoints=_entrypoints(root),
        file_provider=_file_provider(root.section("providers").section("file")),
        api_insecure=api.flag("insecure"),
        insecure_skip_verify=transport.flag("insecureSkipVerify"),
        own_trust=transport.has("rootCAs") or transport.has("spiffe"),
        challenge_entrypoints=tuple(dict.fromkeys(_challenge_entrypoints(root))),
        places=root.places,
        api=api.exists,
    )


def with_entrypoints(
    static: StaticConfiguration | None, given: Iterable[str]
) -> StaticConfiguration | None:
    """Add entrypoints given as ``NAME`` or ``NAME=ADDRESS``; ``None`` is to know of nothing."""
    entrypoints = dict(static.entrypoints) if static else {}
    for each in given:
        name, _, address = each.partition("=")
        known = entrypoints.get(name, Entrypoint(name, described=False))
        entrypoints[name] = known._replace(address=address or known.address)
    if static:
        return static._replace(entrypoints=entrypoints)
    return StaticConfiguration(entrypoints, described=False) if entrypoints else None


def _entrypoints(root: Section) -> dict[str, Entrypoint]:
    """Read those that are set, and add those that Traefik adds by itself."""
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
        redirect=_redirect(redirect) if redirect.text("to") else None,
        acme_bypass=section.flag("allowACMEByPass"),
        alias_headers=http.text("aliasHeadersStrategy"),
        proxy_protocol=ProxyProtocol(proxy.flag("insecure"), proxy.texts("trustedIPs")),
    )


def _redirect(section: Section) -> Redirect:
    """Read a redirect; the priority 0 means, as everywhere in Traefik, the length of the rule."""
    return Redirect(
        section.text("to"),
        section.text("scheme") or "https",
        section.number("priority", HIGHEST_PRIORITY) or len("HostRegexp(`^.+$`)"),
    )


def _needs_traefik(root: Section) -> bool:
    """Tell whether something asks for the entrypoint ``traefik`` to be there."""
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


def _challenge_entrypoints(root: Section) -> Iterator[str]:
    for _, resolver in root.section("certificatesResolvers").sections():
        challenge = resolver.section("acme").section("httpChallenge", alone=True)
        if entrypoint := challenge.text("entryPoint"):
            yield entrypoint
