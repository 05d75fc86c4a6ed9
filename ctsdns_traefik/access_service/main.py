"""``ctsdns-traefik-access``: the service as a program."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from ctsdns_traefik import __version__
from ctsdns_traefik.access_service import defaults as settings
from ctsdns_traefik.access_service.parameters import (
    keys_endpoint,
    read_audience,
    read_leeway,
    read_listen_address,
    read_team_domain,
)
from ctsdns_traefik.cli.command import (
    CONTEXT_SETTINGS,
    GroupedCommand,
    epilog,
    option,
    start_logging,
    verbosity_options,
)
from ctsdns_traefik.cli.parameter_types import FILE, SECONDS, TextType
from ctsdns_traefik.cli.program import run
from ctsdns_traefik.errors import ExitCode, SettingsError

log = logging.getLogger(__name__)

PROGRAM = "ctsdns-traefik-access"

MEANINGS = {
    ExitCode.OK: "stopped by SIGTERM",
    ExitCode.USAGE: "bad usage or settings, or the extra 'access' is not installed",
    ExitCode.INTERNAL: "a defect of this program",
    ExitCode.INTERRUPTED: "interrupted (SIGINT)",
}


class WordsType(TextType):
    """The type of a repeatable option whose variable has several values between spaces."""

    def split_envvar_value(self, rv: str) -> list[str]:
        """Split the variable's value at white space."""
        return rv.split()


@click.command(
    cls=GroupedCommand,
    epilog=epilog(
        "ctsdns-traefik-access --team-domain myteam.cloudflareaccess.com",
        meanings=MEANINGS,
    ),
    context_settings=CONTEXT_SETTINGS,
)
@option(
    "--team-domain",
    group="Access",
    setting=settings.TEAM_DOMAIN,
    type=TextType("domain", read_team_domain),
    required=True,
    help="Domain of the team whose tokens are accepted, such as myteam.cloudflareaccess.com.",
)
@option(
    "--listen",
    group="Traefik",
    setting=settings.LISTEN,
    type=TextType("address:port", read_listen_address),
    help="Address at which Traefik asks, over plain HTTP.",
)
@option(
    "--audience",
    "audiences",
    group="Access",
    setting=settings.AUDIENCES,
    type=WordsType("aud", read_audience),
    multiple=True,
    help="Audience tag that /verify?aud=AUD may name; repeatable, in the variable between"
    " spaces; any if left out.",
)
@option(
    "--leeway",
    group="Access",
    setting=settings.LEEWAY,
    type=TextType("seconds", read_leeway),
    help="Time by which Cloudflare's clock may differ.",
)
@option(
    "--keys-url",
    group="Source",
    setting=settings.KEYS_URL,
    metavar="URL",
    help=f"URL of the keys, if it is not {settings.KEYS_PATH} at the team's domain.",
)
@option(
    "--ca-file",
    group="Source",
    setting=settings.CA_FILE,
    type=FILE,
    help="File of certificates to trust instead of the usual ones, for the keys' URL.",
)
@option(
    "--refresh-pause",
    group="Source",
    setting=settings.REFRESH_PAUSE,
    type=SECONDS,
    help="Least time between two attempts to fetch the keys.",
)
@verbosity_options
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM)
def access(
    team_domain: str,
    listen: tuple[str, int],
    audiences: tuple[str, ...],
    leeway: float,
    keys_url: str | None,
    ca_file: Path | None,
    refresh_pause: float,
) -> None:
    """Tell Traefik's forwardAuth whether a request's Cloudflare Access token is good.

    GET /verify?aud=AUD answers 200 with X-Auth-User and X-Auth-Subject, or 401; GET /healthz
    answers 200 while the team's keys are at hand. SIGTERM and SIGINT stop it.
    """
    _require_extra()
    from ctsdns_traefik.access_service import server
    from ctsdns_traefik.access_service.fetch import fetch_keys
    from ctsdns_traefik.access_service.jwks import read_keys
    from ctsdns_traefik.access_service.keys import KeyCache
    from ctsdns_traefik.access_service.tokens import Expectations
    from ctsdns_traefik.access_service.wsgi import Application

    start_logging(dated=True)
    endpoint = keys_endpoint(keys_url, team_domain, ca_file)
    keys = KeyCache(lambda: read_keys(fetch_keys(endpoint)), pause=refresh_pause)
    expected = Expectations(f"https://{team_domain}", frozenset(audiences), leeway)
    listener = server.listen(*listen)
    where = server.address_of(listen[0], listener.getsockname()[1])

    def begin() -> None:
        log.info("listening on http://%s for tokens of %s", where, expected.issuer)
        keys.are_usable()  # fetches them

    server.serve(Application(keys, expected), listener, begin)


def _require_extra() -> None:
    """Raise :class:`.SettingsError` with the way out if the extra's packages are missing."""
    try:
        for module in ("cryptography", "jwt.algorithms", "waitress.server"):
            import_module(module)
    except ImportError as why:
        message = f"{why.name} is missing: install ctsdns-traefik with its extra 'access'"
        raise SettingsError(message) from why


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service; every error becomes one line on standard error and an exit code."""
    return run(access, PROGRAM, arguments)
