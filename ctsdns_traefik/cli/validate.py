"""``ctsdns-traefik validate``."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctsdns_traefik import settings
from ctsdns_traefik.cli.command import (
    GroupedCommand,
    bundle,
    epilog,
    option,
    start_logging,
    verbosity_options,
)
from ctsdns_traefik.cli.options import access_file_option
from ctsdns_traefik.cli.parameter_types import (
    OUTPUT,
    TRAEFIK_URL,
    Choice,
    complete_files,
)
from ctsdns_traefik.cli.report.progress import Progress
from ctsdns_traefik.cli.source_options import CHECK_MACHINES_HELP, SnapshotOptions, snapshot_options
from ctsdns_traefik.cli.static_options import StaticOptions, static_options
from ctsdns_traefik.errors import ExitCode

if TYPE_CHECKING:
    from ctsdns_traefik.cli.report.validation_report import ReportFormat
    from ctsdns_traefik.core.access import AccessText
    from ctsdns_traefik.core.checks import DynamicFiles, StaticText
    from ctsdns_traefik.core.dynamic import Route
    from ctsdns_traefik.core.policy import HostsMap
    from ctsdns_traefik.core.problems import Diagnostic
    from ctsdns_traefik.core.releases import Release
    from ctsdns_traefik.core.static_config import Entrypoint
    from ctsdns_traefik.source import MachineList
    from ctsdns_traefik.traefik import Proof, TraefikApi, Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValidateOptions:
    """The options of validate."""

    snapshot: SnapshotOptions
    static: StaticOptions
    traefik_api: TraefikApi | None
    output: Path | str | None
    prove: bool
    check_machines: bool
    form: ReportFormat
    strict: bool
    access_file: Path | None


@click.command(
    cls=GroupedCommand,
    epilog=epilog(
        "ctsdns-traefik validate policy.hujson",
        "ctsdns-traefik validate --static-config /etc/traefik/traefik.yml policy.hujson",
        "ctsdns-traefik validate --entrypoint web=:80 --entrypoint websecure=:443 policy.hujson",
        "ctsdns-traefik validate --prove --format github policy.hujson",
        findings="an error was found; --strict: or a warning",
    ),
)
@bundle(
    "options",
    ValidateOptions,
    snapshot_options,
    option(
        "--check-machines/--no-check-machines",
        group="Source",
        setting=settings.CHECK_MACHINES,
        help=CHECK_MACHINES_HELP,
    ),
    static_options,
    option(
        "--traefik-api",
        group="Traefik",
        type=TRAEFIK_URL,
        help="URL of a running Traefik before /api, to check against its entrypoints.",
    ),
    option(
        "-o",
        "--output",
        group="Traefik",
        setting=settings.OUTPUT,
        default=None,
        type=OUTPUT,
        shell_complete=complete_files,
        help="The dynamic file, to check that Traefik would read it; a store is not checked.",
    ),
    option(
        "--prove",
        group="Traefik",
        is_flag=True,
        help="Load the routes into a real Traefik on this machine, and report what it rejects.",
    ),
    option(
        "--format",
        "form",
        group="Output",
        type=Choice(["text", "json", "github", "html"]),
        default="text",
        help="Text for people, JSON for programs, annotations for GitHub, or a page in HTML.",
    ),
    option("--strict", group="Output", is_flag=True, help="Exit 1 for warnings, too."),
    access_file_option,
    verbosity_options,
)
def validate(options: ValidateOptions) -> ExitCode:
    """Report what Traefik would do with a policy.

    That is, before Traefik does it: which entries become routes, which are refused, and, checked
    against Traefik's static configuration, which would not be served as they are meant.

    SOURCE is where the policy is: tailscale:, headscale+https://HOST, an http(s) URL, a file, or -
    for standard input; TRAEFIK_CONFIG_API_ENDPOINT if left out.
    """
    from ctsdns_traefik.cli.report.validation_report import show_validation
    from ctsdns_traefik.core.checks import check_policy
    from ctsdns_traefik.core.problems import Severity

    start_logging()
    static = options.static.read(prove=options.prove)
    if options.traefik_api is not None:
        static = _read_running(options.traefik_api, static)
    (hosts, source), listed = options.snapshot.read_all(check_machines=options.check_machines)
    release = _release(options)
    access = _read_access(options.access_file, release)
    output = str(options.output) if isinstance(options.output, Path) else None
    beside = _read_beside(output, static)
    proof = _prove(hosts, static, access, beside) if options.prove else None
    with Progress(f"checking {len(hosts):,} hosts"):
        validation = check_policy(
            *(hosts, source, static, access),
            output=output,
            version=release,
            unproved=[
                *(map(_not_enabled, repeat(proof.version), proof.failed) if proof else ()),
                *(_check_machines(hosts, listed) if listed else ()),
            ],
            beside=beside and beside._replace(refused=proof.refused if proof else {}),
        )
    show_validation(validation, proof.version if proof else "", options.form)
    failing = Severity if options.strict else (Severity.ERROR,)
    unchecked = options.strict and listed is not None and bool(listed.error)
    found = unchecked or any(map(validation.count, failing))
    return ExitCode.FINDINGS if found else ExitCode.OK


def _release(options: ValidateOptions) -> Release:
    """Return the release that will run: as given, of the proof, of the API, or the newest."""
    from ctsdns_traefik.core.checks import NEWEST
    from ctsdns_traefik.traefik import find_traefik, release_of

    if options.static.traefik_version:
        return options.static.traefik_version
    if options.prove:
        return release_of(find_traefik()) or NEWEST
    return (options.traefik_api and options.traefik_api.release()) or NEWEST


def _read_access(path: Path | None, release: Release) -> AccessText | None:
    """Read the access file, in which the release may not know all."""
    from ctsdns_traefik.daemon import read_access_file

    if path is None:
        return None
    found = read_access_file(path)
    return found._replace(access=found.access._replace(release=release))


def _check_machines(hosts: HostsMap, listed: MachineList) -> tuple[Diagnostic, ...]:
    """Check the entries against the machines; log why that cannot be done."""
    from ctsdns_traefik.core.entries import read_hosts
    from ctsdns_traefik.core.machines import check_machines
    from ctsdns_traefik.logs import as_event

    if listed.error:
        extra = as_event("machines-error", error=listed.error)
        log.warning("the machines cannot be checked: %s", listed.error, extra=extra)
        return ()
    return check_machines(read_hosts(hosts).entries, listed.machines, time.time())


def _read_running(api: TraefikApi, static: StaticText) -> StaticText:
    """Take the entrypoints from a Traefik that runs; what a static configuration adds stays.

    Raise :class:`SettingsError` if it gives no answer.
    """
    from ctsdns_traefik.core.static_config import UNKNOWN, read_running

    known = static.configuration or UNKNOWN
    found = read_running(api.entrypoints())
    return static._replace(configuration=known._replace(entrypoints=found))


def _read_beside(output: str | None, static: StaticText) -> DynamicFiles | None:
    """Read the user's other dynamic files; ``None`` if the folder of the output is not known."""
    from ctsdns_traefik.traefik import read_beside

    known = output and Path(output).parent.is_dir()
    return read_beside(Path(output), static.configuration) if output and known else None


def _prove(
    hosts: HostsMap, static: StaticText, access: AccessText | None, beside: DynamicFiles | None
) -> Proof:
    """Load the routes into a real Traefik.

    Raise :class:`SettingsError` if there is no Traefik. Middlewares of the user's other dynamic
    files are left out if Traefik may not find here what they need, and health checks, since a proof
    reaches no backend.
    """
    from ctsdns_traefik.core.checks import provable_middlewares
    from ctsdns_traefik.core.dynamic import render
    from ctsdns_traefik.traefik import SandboxEntrypoint, prove, texts_to_load

    others = provable_middlewares(beside) if beside else frozenset()
    alone = access.access.self_contained(others) if access else None
    without_tls = static.configuration.without_tls if static.configuration else ()
    rendering = render(hosts, access=alone, without_tls=without_tls)
    known = static.configuration.entrypoints.values() if static.configuration else ()
    all_default = not any(each.as_default for each in known)
    entrypoints = static.configuration and [
        SandboxEntrypoint(
            each.name,
            _listens_on_udp(each, rendering.routes),
            each.tls,
            all_default or each.as_default,
            tuple(name for name in each.middlewares if name in others),
        )
        for each in known
    ]
    texts = texts_to_load(beside.files) if beside else {}
    with Progress("") as report:
        return prove(rendering.text, rendering.routes, entrypoints, beside=texts, report=report)


def _listens_on_udp(entrypoint: Entrypoint, routes: Sequence[Route]) -> bool:
    """Return whether an entrypoint is for UDP; one known by name alone is for its routes."""
    if entrypoint.described or entrypoint.address:
        return entrypoint.protocol == "udp"
    kinds = {each.protocol for each in routes if each.entry.entrypoint == entrypoint.name}
    return kinds == {"udp"}


def _not_enabled(version: str, verdict: Verdict) -> Diagnostic:
    """Return the diagnostic for a route that Traefik does not enable."""
    from ctsdns_traefik.core.access import DASHBOARD
    from ctsdns_traefik.core.problems import Diagnostic

    name = verdict.route.entry.name
    return Diagnostic(
        code="not-enabled",
        entry=name,
        message=f"Traefik {version} does not enable the route: {verdict.error}",
        hint="fix what Traefik reports",
        span=(0, len(name)),
        address=verdict.route.entry.address,
        setting="" if name else DASHBOARD,
    )
