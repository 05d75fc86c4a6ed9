"""``watch --check``: check what watch is set to do, as ``nginx -t`` does, and change nothing.

Each check is a function that returns what it found, or raises the error that watch would report.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ctsdns_traefik.cli.stdio import emit
from ctsdns_traefik.core.text import printable, shown
from ctsdns_traefik.errors import (
    CtsdnsError,
    ExitCode,
    Reason,
    SettingsError,
    SourceError,
)
from ctsdns_traefik.terminal import is_terminal, is_utf8, painter

if TYPE_CHECKING:
    from ctsdns_traefik.cli.watch_options import WatchOptions
    from ctsdns_traefik.core.access import Access
    from ctsdns_traefik.core.dynamic import Document
    from ctsdns_traefik.core.static_config import StaticConfiguration
    from ctsdns_traefik.source import Source
    from ctsdns_traefik.traefik import TraefikApi

log = logging.getLogger(__name__)

WITHIN = 30.0
"""Seconds that each answer of the source may take, if the read timeout is not shorter."""

LARGEST_OFFSET = 300.0
"""Seconds by which clocks may differ: webhooks that are older are refused, and tokens may be."""

_PRECEDENCE = (ExitCode.USAGE, ExitCode.OUTPUT, ExitCode.SOURCE, ExitCode.FINDINGS)
"""Which exit code counts if several checks fail: those that keep watch from starting first."""

_HINTS = {  # an error of another reason has a fix of its own
    Reason.UNREACHABLE: "check the address, the network and its name server",
    Reason.TIMEOUT: "check the address, and the firewalls on the way; a proxy between must not"
    " buffer an event stream (nginx: proxy_buffering off)",
    Reason.BROKEN_OFF: "check the address and its port, and the log of the source",
    Reason.SERVER_ERROR: "see the log of the source; watch tries again by itself",
    Reason.UNREADABLE: "check the path and its permissions",
    Reason.UNTRUSTED_POLICY: "correct the policy; 'ctsdns-traefik validate' shows the place",
    Reason.WORKER_ERROR: "see the log of the worker",
}


class _Failed(CtsdnsError):
    """A check fails that would not keep watch from running."""

    exit_code = ExitCode.FINDINGS


def run_checks(options: WatchOptions) -> ExitCode:
    """Report each check, in a log of JSON as an event; return the exit code of the gravest."""
    from ctsdns_traefik.cli.report.progress import Progress

    address = options.stream.address()
    report = _log if options.log_format == "json" else _print
    failures = set()
    for name, run in _Checks(options, address).listed():
        code, found = ExitCode.OK, list[str]()
        try:
            with Progress(f"checking: {name}"):
                found.append(run())
        except CtsdnsError as why:
            code = why.exit_code
            found.extend(why.faults or [str(why)])
            failures.add(code)
        for text in filter(None, found):
            report(name, code, text)
    return next((code for code in _PRECEDENCE if code in failures), ExitCode.OK)


def _print(name: str, code: ExitCode, text: str) -> None:
    utf8 = is_terminal(sys.stdout) and is_utf8(sys.stdout)
    tick, cross = ("✓", "✗") if utf8 else ("ok", "failed")
    mark = painter(sys.stdout)(cross if code else tick)
    emit(f"{mark} {name}: {printable(text)}\n")


def _log(name: str, code: ExitCode, text: str) -> None:
    from ctsdns_traefik.logs import as_event

    levels = {
        ExitCode.OK: logging.INFO,
        ExitCode.USAGE: logging.ERROR,
        ExitCode.OUTPUT: logging.ERROR,
    }
    extra = as_event("check", check=name, exit_code=code)
    log.log(levels.get(code, logging.WARNING), "%s: %s", name, text, extra=extra)


class _Checks:
    """The checks in their order; later ones use what earlier ones found."""

    def __init__(self, options: WatchOptions, address: str) -> None:
        self._options = options
        self._address = address
        self._timeout = min(WITHIN, options.stream.read_timeout)
        self._access: Access | None = None
        self._source: Source | None = None
        self._offset: float | None = None
        self._size = 0
        """Bytes of the document that watch would write, if the source was asked."""
        self._document: Document = {}
        """What the output holds."""

    def listed(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield the name of each check that the options call for, and what runs it.

        A run returns what it found, ``""`` if there is nothing to report, or raises
        :class:`CtsdnsError` with what to do.
        """
        monitoring, online = self._options.monitoring, not self._options.offline
        if self._options.access_file:
            yield "access file", self._check_access
        yield "source", self._check_source if online else self._build_source
        if self._options.stream.check_machines and self._source and online:
            yield "machines", self._check_machines
        yield "clock", self._check_clock
        if online or not self._options.target.is_store:
            yield "output", self._check_output
        if self._options.static.static_config:
            yield "static configuration", self._check_static
        if self._options.target.path:
            yield "directory", lambda: self._check_directory(self._options.target.path)
        if monitoring.traefik_api and online:
            yield "traefik", lambda: self._check_traefik(monitoring.traefik_api)

    def _check_access(self) -> str:
        from ctsdns_traefik.daemon import read_access_file

        path = self._options.access_file
        if path is None:
            return ""
        self._access = read_access_file(path, release=self._options.release()).access
        return f"{shown(str(path))} can be used"

    def _build_source(self) -> str:
        """Check the settings of the source alone."""
        return f"{self._options.stream.build(self._address)} was not asked (--offline)"

    def _check_source(self) -> str:
        """Read one policy with the source that watch would follow."""
        from ctsdns_traefik.core.dynamic import render
        from ctsdns_traefik.core.problems import count_entries
        from ctsdns_traefik.source import read_policy, scopes_of

        source = self._source = self._options.stream.build(self._address, self._note_date)
        try:
            policy = read_policy(source, self._timeout)
        except SourceError as why:
            reason = getattr(why.__cause__, "reason", Reason.TIMEOUT)
            hint = _HINTS.get(reason, "")
            raise SourceError(f"{why}{f'; {hint}' if hint else ''}") from why
        known = self._known()
        without_tls = known.without_tls if known else ()
        form = self._options.target.document_form
        rendering = render(policy.hosts, form, access=self._access, without_tls=without_tls)
        self._size = len(rendering.text)
        refused = count_entries(rendering.diagnostics)
        more = f", {refused} refused (see 'ctsdns-traefik validate')" if refused else ""
        scopes = scopes_of(source)
        rights = f"; the credential has the scopes {scopes}" if scopes else ""
        routes = len(rendering.routes)
        return f"{source} has a policy with {routes} route{'s' * (routes != 1)}{more}{rights}"

    def _known(self) -> StaticConfiguration | None:
        with suppress(SettingsError):  # which the check of the static configuration reports
            return self._options.static.read_known()
        return None

    def _note_date(self, headers: Mapping[str, str]) -> None:
        from ctsdns_traefik.source import clock_offset

        offset = clock_offset(headers)
        self._offset = self._offset if offset is None else offset

    def _check_machines(self) -> str:
        from ctsdns_traefik.source import list_machines

        if self._source is None:
            return ""
        listed = list_machines(self._source, self._timeout)
        if listed.error:
            raise SourceError(f"cannot list the machines: {listed.error}")
        return f"{len(listed.machines)} machines are listed"

    def _check_clock(self) -> str:
        if self._offset is None:
            return ""
        seconds = abs(self._offset)
        if seconds <= LARGEST_OFFSET:
            return "it agrees with that of the source"
        side = "ahead of" if self._offset > 0 else "behind"
        raise _Failed(
            f"it is {seconds / 60:.0f} minutes {side} that of the source, so webhooks, tokens and"
            " certificates may be refused; set the clock by NTP (timedatectl set-ntp true)"
        )

    def _check_output(self) -> str:
        """Find out whether watch may write the output, and whether it is watch's own."""
        from ctsdns_traefik.core.dynamic import examine

        output = self._options.target.build()
        content = output.read()
        note = output.inspect(max(self._size, len(content or b"")))
        if content is None:
            state = "does not exist yet, and can be created" if output.needed else "is still empty"
        else:
            self._document, foreign = examine(content)
            output.accept(content, foreign)
            state = "is to be adopted, with a copy" if foreign else "can be written"
        return f"{shown(str(output))} {state}{f'; {note}' if note else ''}"

    def _check_static(self) -> str:
        """Check that a Traefik with this static configuration reads the output."""
        from ctsdns_traefik.core.checks import NEWEST, check_static
        from ctsdns_traefik.core.problems import Severity
        from ctsdns_traefik.core.static_config import UNKNOWN

        path, target = self._options.static.static_config, self._options.target
        static = self._options.static.read_known() or UNKNOWN
        file = str(target.path) if target.path else None
        found = [
            f"{each.message}; {each.hint}"
            for each in check_static(static, file, self._options.release() or NEWEST)
            if each.severity is Severity.ERROR
        ]
        if not target.path and target.provider not in static.providers:
            found.append(_missing_provider(target.provider))
        if found:
            raise _Failed(f"{shown(str(path))}: {'; '.join(found)}")
        return f"Traefik with {shown(str(path))} reads {shown(str(target.output))}"

    def _check_directory(self, output: Path | None) -> str:
        """Check the user's other dynamic files, of which one can cost all routes."""
        from ctsdns_traefik.core.checks import check_dynamic_files
        from ctsdns_traefik.traefik import read_beside

        if output is None:
            return ""
        found = read_beside(output, self._known())
        if refused := [f"{each.message}; {each.hint}" for each in check_dynamic_files(found)]:
            raise _Failed("; ".join(refused))
        return f"its {len(found.files)} other dynamic files can be read" * bool(found.files)

    def _check_traefik(self, api: TraefikApi | None) -> str:
        """Check that a Traefik that runs has the provider, and serves what the output holds."""
        from ctsdns_traefik.core.dynamic import judge, kinds_of
        from ctsdns_traefik.traefik import ApiError

        if api is None:
            return ""
        provider = self._options.target.provider
        try:
            overview = api.get("/api/overview").content
            listed = {kind: api.read(kind, provider) for kind in kinds_of(self._document, ())}
        except ApiError as why:
            raise _Failed(f"Traefik's API at {api}: {why}; correct --traefik-api") from why
        named = f"Traefik {shown(api.version())} at {api}"
        providers = overview.get("providers") if isinstance(overview, dict) else None
        if provider not in [str(each).lower() for each in providers or ()]:
            raise _Failed(f"{named}: {_missing_provider(provider)}")
        verdict = judge(self._document, listed, (), provider)
        if verdict.missing:
            raise _Failed(
                f"{named} serves {verdict.loaded} of the {verdict.routers} routers that the output"
                f" has, without {shown(verdict.missing[0])}: let its {provider} provider read this"
                " output; --static-config checks that"
            )
        if verdict.errors:
            router, error = verdict.errors[0]
            raise _Failed(f"{named} does not enable {shown(router)}: {error}; correct the entry")
        if not verdict.routers:
            return f"{named} has the {provider} provider; the output has no routes to compare yet"
        return f"{named} serves all {verdict.routers} routers that the output has"


def _missing_provider(provider: str) -> str:
    setting = {
        "file": "providers.file.filename to the output",
        "redis": "providers.redis.endpoints and rootKey to those of the output",
        "http": "providers.http.endpoint to the address of --listen",
    }[provider]
    return f"it has no {provider} provider, which would read the routes; set {setting}"
