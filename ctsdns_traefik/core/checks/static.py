"""Check Traefik's static configuration by itself, without the entries."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator
from itertools import combinations
from urllib.parse import parse_qs

from ctsdns_traefik.core.durations import LONGEST_HUB_WAIT, milliseconds_from
from ctsdns_traefik.core.entries.grammar import LARGEST_PORT
from ctsdns_traefik.core.problems import Diagnostic, Severity, diagnose_setting
from ctsdns_traefik.core.releases import Release, as_text, has, since
from ctsdns_traefik.core.static_config.configuration import (
    DEFAULT_POLL_INTERVAL,
    DEFAULT_POLL_TIMEOUT,
    Entrypoint,
    FileProvider,
    HttpProvider,
    StaticConfiguration,
)
from ctsdns_traefik.core.text import did_you_mean, quoted, shown

_LISTEN = re.compile(
    r"(?:(?:[^][:/*\"'\s]*|\[[^][/\s]*\]):(?P<port>(?!-)[^:/\"'\s]*))?(?:/(?:tcp|udp))?",
    re.IGNORECASE,
)


def check_static(
    static: StaticConfiguration, output: str | None, version: Release
) -> Iterator[Diagnostic]:
    """Find why Traefik would not start or read the dynamic file, and what it ignores or exposes."""
    if not static.described:
        return
    for refusal in static.refusals:
        yield diagnose_setting("static-config-refused", *refusal)
    for feature, setting in static.newer:
        if not has(version, feature):
            yield diagnose_setting(
                "static-config-refused",
                setting,
                f"Traefik {as_text(version)} does not know {shown(setting)}, and does not start",
                f"use Traefik {since(feature)} or newer, or remove it",
            )
    yield from entrypoints_refused(static)
    for setting in static.ignored:
        message = "it is a map in place of a list, and Traefik takes nothing of it"
        yield diagnose_setting("setting-ignored", setting, message, "write a list, such as [a, b]")
    yield from random_ports(static)
    yield from challenges_without_entrypoint(static)
    yield from redirect_ignored(static)
    yield from entrypoint_resolvers(static)
    if output is not None:
        yield from dynamic_file_not_watched(static.file_provider, output, version)
    yield from polls_of_a_hub(static.http_provider)
    yield from dashboard_exposed(static)


def entrypoints_refused(static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report entrypoints that Traefik, whose own verdict passes them, cannot build at its start."""
    entrypoints = static.entrypoints.values()
    for entrypoint in entrypoints:
        path, proxy = f"entryPoints.{entrypoint.name}", entrypoint.proxy_protocol
        if not _can_listen(entrypoint.address, static):
            what = f"{quoted(entrypoint.address)} is no address to listen on"
            hint = "write one such as :443, 127.0.0.1:443 or :53/udp"
            yield _does_not_start(f"{path}.address", what, hint)
        trusts_none = proxy.exists and not (proxy.insecure or proxy.trusted)
        if trusts_none and entrypoint.protocol != "udp":
            what, hint = "it trusts no address", "list trustedIPs, or remove it"
            yield _does_not_start(f"{path}.proxyProtocol", what, hint)
        for section, trusted in (
            ("proxyProtocol", () if proxy.insecure else proxy.trusted),
            ("forwardedHeaders", entrypoint.forwarders),
        ):
            for each in trusted:
                if entrypoint.protocol != "udp" and not _is_network(each):
                    what = f"{quoted(each)} is neither an address nor a network"
                    hint = "write one such as 10.0.0.7 or 10.0.0.0/8"
                    yield _does_not_start(f"{path}.{section}.trustedIPs", what, hint)
    for one, other in combinations((each for each in entrypoints if "$" not in each.address), 2):
        if _take_one_port(one, other):
            what = f"entrypoint {shown(one.name)} already listens there ({quoted(one.address)})"
            yield _does_not_start(f"entryPoints.{other.name}.address", what, "use another port")


def random_ports(static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report entrypoints without a port, for which the system chooses one at each start."""
    for entrypoint in static.entrypoints.values():
        setting, address = f"entryPoints.{entrypoint.name}", entrypoint.address
        if entrypoint.described and not entrypoint.port.strip("0") and _can_listen(address, static):
            what = f"address {quoted(address)} has no port" if address else "it has no address"
            yield diagnose_setting(
                "random-port",
                f"{setting}.address" if address else setting,
                f"{what}: Traefik listens on another port after each start",
                "write an address with a port, such as :443",
                Severity.WARNING,
            )


def challenges_without_entrypoint(static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report resolvers whose HTTP-01 challenges are answered on no entrypoint."""
    for entrypoint, resolver in static.challenge_entrypoints.items():
        if entrypoint not in static.entrypoints:
            yield diagnose_setting(
                "unknown-entrypoint",
                f"certificatesResolvers.{resolver}.acme.httpChallenge.entryPoint",
                f"Traefik has no entrypoint {shown(entrypoint)}, and the resolver gets no"
                " certificates",
                f"name the one of port 80{did_you_mean(entrypoint, static.entrypoints)}",
            )


def _does_not_start(setting: str, what: str, hint: str) -> Diagnostic:
    message = f"{what}, and Traefik does not start"
    return diagnose_setting("static-config-refused", setting, message, hint)


def _can_listen(address: str, static: StaticConfiguration) -> bool:
    """Return whether Go can read an address; names of hosts and ports may be any.

    So may a variable of a Compose file that is not known; Traefik's own file has none.
    """
    if "$" in address:
        return static.variables
    found = _LISTEN.fullmatch(address)
    if not found:
        return False
    port = found["port"] or ""
    if port.isdecimal():
        return float(port) <= LARGEST_PORT  # int refuses 4301 digits
    return not port or bool(re.search("[A-Za-z]", port))  # as the names of services have


def _is_network(text: str) -> bool:
    """Return whether Go can read an address or a network, without a zone or a dotted mask."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "%" not in text and text.partition("/")[2].isdecimal() is ("/" in text)


def _take_one_port(one: Entrypoint, other: Entrypoint) -> bool:
    """Return whether two entrypoints cannot both listen, on Linux.

    Go opens 0.0.0.0 as ::, which takes a port of every address.
    """
    names = {"0.0.0.0": "", "::": "", "localhost": "127.0.0.1"}  # noqa: S104
    hosts = {names.get(each.host, each.host) for each in (one, other)}
    quic = (one.http3 and other.protocol == "udp") or (other.http3 and one.protocol == "udp")
    return (
        one.port == other.port not in ("", "0")
        and (len(hosts) == 1 or "" in hosts)
        and (one.protocol == other.protocol or quic)
        and not (one.reuse_port and other.reuse_port)
    )


def redirect_ignored(static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report redirects to what is no entrypoint: Traefik logs one line and serves plain HTTP."""
    for entrypoint in static.entrypoints.values():
        if entrypoint.redirect and not static.redirect_of(entrypoint):
            to = entrypoint.redirect.to
            what = f"to {quoted(to)}, which is no entrypoint" if to else "to nowhere"
            meant = did_you_mean(to, static.entrypoints)
            setting = f"entryPoints.{entrypoint.name}.http.redirections.entryPoint.to"
            yield diagnose_setting(
                "redirect-ignored",
                setting if to else setting.removesuffix(".to"),
                f"entrypoint {shown(entrypoint.name)} redirects {what}: Traefik makes no redirect",
                f"set to to a port such as :443, or an entrypoint{meant}",
                Severity.WARNING,
            )


def entrypoint_resolvers(static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report entrypoints with a certificate resolver that is not defined."""
    for entrypoint in static.entrypoints.values():
        if entrypoint.cert_resolver not in ("", *static.resolvers):
            yield unknown_resolver(
                f"entryPoints.{entrypoint.name}.http.tls.certResolver",
                entrypoint.cert_resolver,
                static,
            )


def unknown_resolver(setting: str, name: str, static: StaticConfiguration) -> Diagnostic:
    """Return the diagnostic for a resolver that is not defined."""
    return diagnose_setting(
        "unknown-resolver",
        setting,
        f"Traefik has no certificate resolver {quoted(name)}, and serves its own, self-signed"
        " certificate",
        f"define it in certificatesResolvers{did_you_mean(name, static.resolvers)}",
    )


def dynamic_file_not_watched(
    provider: FileProvider | None, output: str, version: Release
) -> Iterator[Diagnostic]:
    """Report each reason why Traefik would not read the dynamic file, or not its changes."""
    provider, output = provider or FileProvider(), posixpath.normpath(output)
    reasons = (*_wrong_ending(provider, output, version), *_reasons_not_to_read(provider, output))
    for setting, message, hint in reasons:
        yield diagnose_setting("dynamic-file-not-watched", setting, message, hint)


def polls_of_a_hub(provider: HttpProvider | None) -> Iterator[Diagnostic]:
    """Report polls whose answers wait for a change longer than Traefik waits, or without a pause.

    Traefik ends its poll before it stops, and then chooses by chance between stopping and the next
    one if that is due.
    """
    path, _, query = (provider.endpoint if provider else "").partition("?")
    waits = parse_qs(query, keep_blank_values=True).get("wait")
    if not provider or not waits or not path.endswith("/traefik.json"):
        return
    wait = waits[-1]
    interval = provider.poll_interval or DEFAULT_POLL_INTERVAL
    timeout = provider.poll_timeout or DEFAULT_POLL_TIMEOUT
    longest = milliseconds_from(wait)
    if longest is None:
        yield diagnose_setting(
            "bad-wait",
            "providers.http.endpoint",
            f"wait={quoted(wait)} is no duration: the hub answers 400, and Traefik gets no routes",
            "write wait=900ms",
        )
    elif _ends_first(timeout, longest):
        yield diagnose_setting(
            "poll-timeout-too-short",
            "providers.http.pollTimeout" if provider.poll_timeout else "providers.http.endpoint",
            f"Traefik ends a poll after {timeout}, before the hub's answer, which waits up to"
            f" {wait}: each is an error in its log, and a change comes late",
            "write wait=900ms",
            Severity.WARNING,
        )
    elif _ends_first(interval, longest):
        yield diagnose_setting(
            "poll-interval-too-short",
            "providers.http.pollInterval" if provider.poll_interval else "providers.http.endpoint",
            f"Traefik polls again after {interval}, and the hub's answer waits up to {wait}: it"
            " polls without a pause, and stops seconds late",
            "write wait=900ms and pollInterval: 1s",
            Severity.WARNING,
        )


def _ends_first(setting: str, longest: int) -> bool:
    """Return whether Traefik's time, a number of seconds or a duration, is no longer than a wait.

    0 and what is not known here never end.
    """
    ends = milliseconds_from(f"{setting}s" if setting.isdecimal() else setting)
    return bool(ends and ends <= min(longest, LONGEST_HUB_WAIT * 1000))


def dashboard_exposed(static: StaticConfiguration) -> Iterator[Diagnostic]:
    """Report an API without a password on an address that other machines can reach."""
    entrypoint = static.entrypoints.get("traefik")
    if static.api_insecure and entrypoint and not _is_loopback(entrypoint):
        yield diagnose_setting(
            "dashboard-exposed",
            "api.insecure",
            f"anyone who can reach {quoted(entrypoint.address)} sees the API and the dashboard"
            " without a password",
            'set entryPoints.traefik.address to "127.0.0.1:8080"',
            Severity.WARNING,
        )


def _wrong_ending(
    provider: FileProvider, output: str, version: Release
) -> Iterator[tuple[str, str, str]]:
    """Yield a setting, a message and a hint if the file's ending means another format to Traefik.

    Up to 3.7.1 it reads JSON from a file that is configured by name.
    """
    ending = posixpath.splitext(output)[1].lower()
    json = ending == ".json" and has(version, "json-files") and not provider.directory
    if ending not in (".yml", ".yaml") and not json:
        what = "TOML" if ending == ".toml" else "nothing"
        message = f"Traefik reads {what} from a file with the ending {quoted(ending)}"
        yield "providers.file", message, "write to a file whose name ends in .yml"


def _reasons_not_to_read(provider: FileProvider, output: str) -> Iterator[tuple[str, str, str]]:
    """Yield a setting, a message and a hint for each other reason."""
    if not (provider.filename or provider.directory):
        message = "Traefik is not configured to read a dynamic file"
        yield "providers.file", message, f"set providers.file.filename to {quoted(output)}"
        return
    if provider.directory and not _is_in(provider.directory, output):
        message = (
            f"Traefik watches only the files directly in {quoted(provider.directory)}, and"
            f" {shown(output)} is not there"
        )
        hint = "set providers.file.directory to the folder of the file, or write the file there"
        yield "providers.file.directory", message, hint
    elif not provider.directory and not _same_file(provider.filename, output):
        message = f"Traefik reads {quoted(provider.filename)}, not {shown(output)}"
        hint = "set providers.file.directory, in place of filename, to a folder with both files"
        yield "providers.file.filename", message, hint
    if not provider.watch:
        message = "Traefik reads the dynamic file only once, when it starts"
        yield "providers.file.watch", message, "remove providers.file.watch, or set it to true"


def _same_file(filename: str, output: str) -> bool:
    """Return whether two paths can be one file; if one is relative, only the names count."""
    filename = posixpath.normpath(filename)
    if posixpath.isabs(filename) and posixpath.isabs(output):
        return filename == output
    return posixpath.basename(filename) == posixpath.basename(output)


def _is_in(directory: str, output: str) -> bool:
    """Return whether a file can be directly in a directory; Traefik does not watch those below."""
    directory = posixpath.normpath(directory)
    if posixpath.isabs(directory) and posixpath.isabs(output):
        return directory == posixpath.dirname(output)
    return True


def _is_loopback(entrypoint: Entrypoint) -> bool:
    if entrypoint.host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(entrypoint.host).is_loopback
    except ValueError:
        return False
