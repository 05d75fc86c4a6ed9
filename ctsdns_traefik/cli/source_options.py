"""From what the user named to the endpoint, or to the hosts map of one snapshot."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ctsdns_traefik import settings

if TYPE_CHECKING:
    from ctsdns_traefik.source import Endpoint, Reading

log = logging.getLogger(__name__)


def build_endpoint(url: str, *, read_timeout: float, **access: Any) -> Endpoint:
    """Build an endpoint from the shared options; the token comes from the environment alone.

    A command line can be seen by every user of the machine. Raise :class:`SettingsError`.
    """
    from ctsdns_traefik.logs import as_event
    from ctsdns_traefik.source import endpoint_from

    token = os.environ.get(settings.TOKEN.variable) or None
    endpoint = endpoint_from(url, read_timeout=read_timeout, token=token, **access)
    if endpoint.in_the_clear:
        log.warning(
            "credentials for %s go over the network unencrypted: use https",
            endpoint,
            extra=as_event("unencrypted", endpoint=endpoint),
        )
    return endpoint


def read_source(source: str | None, timeout: float, access: dict[str, Any]) -> Reading:
    """Read one snapshot or policy from a URL, a file or standard input.

    Raise :class:`click.UsageError` if no source is named, :class:`SourceError` if it has none.
    """
    from ctsdns_traefik.source import read_hosts

    if source is None:
        raise click.UsageError(f"name a SOURCE, or set {settings.ENDPOINT.variable}")
    if _is_url(source):
        return read_hosts(build_endpoint(source, read_timeout=timeout, **access), timeout)
    return read_hosts(source, timeout)


def _is_url(source: str) -> bool:
    """Tell a URL, even a broken one, from a file: the variable holds nothing else."""
    origin = click.get_current_context().get_parameter_source("source")
    looks_like_one = "://" in source or source.startswith(("http:", "https:"))
    return looks_like_one or origin is ParameterSource.ENVIRONMENT
