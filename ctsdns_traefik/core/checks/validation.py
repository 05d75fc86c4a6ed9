"""A whole policy checked: its routes, and every diagnostic with its location in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ctsdns_traefik.core.access.model import Access, AccessText
from ctsdns_traefik.core.checks.access import (
    check_access,
    is_bound,
    setting_locations,
)
from ctsdns_traefik.core.checks.certificates import certificates_missing
from ctsdns_traefik.core.checks.diagnostics import locate_in_policy, locate_in_settings
from ctsdns_traefik.core.checks.dynamic_files import (
    DynamicFiles,
    check_dynamic_files,
    check_names,
)
from ctsdns_traefik.core.checks.entries import check
from ctsdns_traefik.core.checks.other_routers import check_other_routers
from ctsdns_traefik.core.dynamic import rendering
from ctsdns_traefik.core.dynamic.routes import Route
from ctsdns_traefik.core.policy.locations import SourceText
from ctsdns_traefik.core.policy.reader import HostsMap
from ctsdns_traefik.core.problems import Diagnostic, Severity
from ctsdns_traefik.core.releases import NEWEST, Release, oldest_with
from ctsdns_traefik.core.static_config.configuration import UNKNOWN, StaticConfiguration


class StaticText(NamedTuple):
    """Traefik's static configuration: its text, and the model read from it, if they are known."""

    path: str = ""
    text: str = ""
    configuration: StaticConfiguration | None = None


class Validation(NamedTuple):
    """What Traefik would do with a policy."""

    routes: tuple[Route, ...]
    diagnostics: tuple[Diagnostic, ...]
    """Those of the policy in the order of its file, then of the static and the access file."""
    entrypoints_checked: bool
    """Whether Traefik's entrypoints were known."""
    needs: Release
    """The oldest release that has all that the routes and the static configuration use."""

    def count(self, severity: Severity) -> int:
        """Count the diagnostics of one severity."""
        return sum(each.severity is severity for each in self.diagnostics)


def check_policy(
    hosts: HostsMap,
    source: SourceText,
    static: StaticText,
    access: AccessText | None = None,
    *,
    output: str | None = None,
    version: Release = NEWEST,
    unproved: Iterable[Diagnostic] = (),
    beside: DynamicFiles | None = None,
) -> Validation:
    """Check a policy against the grammar, Traefik's static configuration and the access file.

    ``output`` is the path of the dynamic file, ``version`` that of the Traefik that will run,
    ``unproved`` what a real Traefik or Tailscale's list of machines shows of the entries,
    ``beside`` the user's other dynamic files, ``None`` if they are not known.
    """
    model = access.access if access else None
    if model and static.configuration:
        model = _with_bound_entrypoints(model, static.configuration)
    model = model and model._replace(release=version)
    configuration = static.configuration
    known = configuration or UNKNOWN
    rendered = rendering.render(hosts, access=model, without_tls=known.without_tls)
    entries, routes = rendered.entries, rendered.routes
    found = [
        *rendered.diagnostics,
        *rendered.warnings,
        *check(entries, configuration, output=output, traefik_version=version, routes=routes),
        *(check_access(entries, routes, access.access, configuration, version) if access else ()),
        *certificates_missing(routes, known, beside),
        *_check_beside(routes, model, known, beside, (output, version)),
        *unproved,
    ]
    checked = bool(configuration and configuration.entrypoints)
    left_out = {each.entry for each in found if each.code == "udp-entrypoint-unlisted"}
    routes = tuple(route for route in routes if route.entry.name not in left_out)
    located = tuple(_located(found, source, static, access))
    return Validation(routes, located, checked, oldest_with(_features(rendered, known)))


def _check_beside(
    routes: tuple[Route, ...],
    access: Access | None,
    static: StaticConfiguration,
    beside: DynamicFiles | None,
    target: tuple[str | None, Release],
) -> Iterator[Diagnostic]:
    output, version = target
    yield from check_names(routes, access, static, beside)
    if beside and output:
        yield from check_dynamic_files(beside)
        yield from check_other_routers(routes, static, beside, output, version)


def _features(rendered: rendering.Rendering, static: StaticConfiguration) -> Iterator[str]:
    """Yield what is used that not every release may have, by its name in the table."""
    for route in rendered.routes:
        if route.entry.is_wildcard and route.protocol != "udp":
            yield "wildcards"
        if route.health_check:
            yield f"{route.protocol}-healthCheck"
    for middleware in rendered.document.get("http", {}).get("middlewares", {}).values():
        yield from (f"forwardAuth.{option}" for option in middleware.get("forwardAuth", ()))
    yield from (feature for feature, _ in static.newer)


def _with_bound_entrypoints(access: Access, static: StaticConfiguration) -> Access:
    """Add the entrypoints that the static configuration binds to the tailnet."""
    bound = {name for name, each in static.entrypoints.items() if is_bound(each, access)}
    return access._replace(tailnet_entrypoints=access.tailnet_entrypoints | bound)


def _located(
    found: list[Diagnostic], source: SourceText, static: StaticText, access: AccessText | None
) -> Iterator[Diagnostic]:
    of_entries = [each for each in found if not each.setting]
    yield from locate_in_policy(of_entries, source)
    yield from (each for each in found if each.setting and each.path)
    in_access = setting_locations(access.access) if access else {}
    in_static = static.configuration.locations if static.configuration else {}
    of_settings = [each for each in found if each.setting and not each.path]
    of_static = [each for each in of_settings if each.setting not in in_access]
    yield from locate_in_settings(of_static, static.path, static.text, in_static)
    if access:
        of_access = [each for each in of_settings if each.setting in in_access]
        yield from locate_in_settings(of_access, access.path, access.text, in_access)
