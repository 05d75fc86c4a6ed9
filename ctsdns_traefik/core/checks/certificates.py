"""Find routes for which Traefik gets no certificate, and serves its own, self-signed one.

This was observed with Traefik 3.7.15 and an ACME server; tests/traefik/test_acme_in_traefik.py
repeats it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ctsdns_traefik.core.access.model import wider
from ctsdns_traefik.core.checks.dynamic_files import DynamicFiles, read_files
from ctsdns_traefik.core.dynamic.routes import Route
from ctsdns_traefik.core.entries.grammar import diagnose
from ctsdns_traefik.core.problems import Diagnostic, Severity, diagnose_setting
from ctsdns_traefik.core.static_config.configuration import (
    Entrypoint,
    Resolver,
    StaticConfiguration,
)
from ctsdns_traefik.core.static_config.reader import Section
from ctsdns_traefik.core.text import quoted, shown

_OWN = "and Traefik serves its own, self-signed certificate"


def certificates_missing(
    routes: Sequence[Route], static: StaticConfiguration, beside: DynamicFiles | None
) -> Iterator[Diagnostic]:
    """Report resolvers that get no certificates, and routes for which one gets none.

    Certificates in the user's other dynamic files may be for any names.
    """
    if not static.resolvers or (beside and any(map(_has_certificates, read_files(beside)))):
        return
    used: dict[str, None] = {}
    for route in routes:
        entrypoint = static.entrypoints.get(route.entry.entrypoint)
        if entrypoint and not route.part:
            used[_resolver_of(route, entrypoint)] = None
            if found := _missing(route, entrypoint, static):
                yield diagnose("no-certificate", route.entry, *found, Severity.WARNING)
    for name in used.keys() & static.resolvers.keys():
        if static.resolvers[name] == Resolver():
            yield diagnose_setting(
                "no-certificate",
                f"certificatesResolvers.{name}",
                f"it has no challenge, {_OWN}",
                "set acme.tlsChallenge to {}, httpChallenge.entryPoint or dnsChallenge.provider",
                Severity.WARNING,
            )


def _has_certificates(file: tuple[str, Section]) -> bool:
    root = file[1]
    return any((*root.find("tls.certificates"), *root.find("tls.stores")))


def _resolver_of(route: Route, entrypoint: Entrypoint) -> str:
    if route.tls:
        return route.tls.cert_resolver
    return entrypoint.cert_resolver if route.protocol == "http" else ""


def _missing(
    route: Route, entrypoint: Entrypoint, static: StaticConfiguration
) -> tuple[str, str] | None:
    """Return why there is no certificate for a route's name, and how to fix it."""
    domain, name = route.entry.domain, _resolver_of(route, entrypoint)
    resolver = static.resolvers.get(name)
    if not resolver:
        return None
    names = frozenset((domain,))
    if not route.tls and entrypoint.domains:
        covering = [each for each in entrypoint.domains if _covers(each, domain)]
        if not covering:
            what = f"domains of entrypoint {entrypoint.name} do not cover {domain}, {_OWN}"
            return what, f"add it there, or remove entryPoints.{entrypoint.name}.http.tls.domains"
        names = covering[0]
    return _refused(name, resolver, names)


def _refused(name: str, resolver: Resolver, names: Iterable[str]) -> tuple[str, str] | None:
    for each in sorted(names):
        if resolver.tailscale and not each.endswith(".ts.net"):
            what = f"resolver {shown(name)} asks Tailscale, which has no certificate for {each}"
            return f"{what}, {_OWN}", "use a resolver with acme"
        if each.startswith("*") and resolver.challenges and "dns" not in resolver.challenges:
            what = f"only with a dnsChallenge there are certificates for {quoted(each)}, {_OWN}"
            return what, f"set acme.dnsChallenge of {shown(name)}, or name no wildcard"
    return None


def _covers(names: Iterable[str], domain: str) -> bool:
    around = domain if domain.startswith("*") else wider(domain)
    return bool({domain, around}.intersection(each.lower() for each in names))
