"""Build the source that an address names: ``tailscale:``, ``headscale+https://``, ``https://``.

Tailscale's credentials come from the environment, by the names of Tailscale's own tools; what is
set for another endpoint (headers, a token) is never sent to Tailscale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctsdns_traefik.core.text import in_quotes, in_quotes_error
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.settings import POLL_INTERVAL, READ_TIMEOUT, TOKEN
from ctsdns_traefik.source.base import Source
from ctsdns_traefik.source.endpoint import Endpoint, Header, OnAnswer, endpoint_from, token_from
from ctsdns_traefik.source.url import UrlSource

if TYPE_CHECKING:
    from ctsdns_traefik.source.tailscale import Credential, Secret

_TAILNET = re.compile(r"[A-Za-z0-9._@+-]+")
_HEADSCALE = "https://headscale.example.com"


@dataclass(frozen=True)
class SourceSettings:
    """What may be set about a source beside its address."""

    headers: tuple[Header, ...] = ()
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    read_timeout: float = READ_TIMEOUT.default
    poll_interval: float = POLL_INTERVAL.default
    check_machines: bool = False
    """Whether Tailscale's list of machines is read, too."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """For the variables of Tailscale's tools; an empty one is not set."""
    on_answer: OnAnswer | None = None

    def endpoint(self, url: str) -> Endpoint:
        """Build the endpoint of a URL, with all of this."""
        endpoint = endpoint_from(
            url,
            headers=self.headers,
            token=None if self.token is None else _usable(TOKEN.variable, self.token),
            token_file=self.token_file,
        )
        return self.connecting(endpoint)

    def connecting(self, endpoint: Endpoint) -> Endpoint:
        """Return an endpoint with what is set about connections; raise :class:`SettingsError`."""
        if self.client_key and not self.client_cert:
            raise SettingsError("--client-key needs --client-cert, the certificate that it is of")
        if self.client_cert and not endpoint.url.startswith("https:"):
            raise SettingsError(
                "--client-cert is for an https URL: with this one no certificate would be shown"
            )
        return replace(
            endpoint,
            ca_file=self.ca_file,
            client_cert=self.client_cert,
            client_key=self.client_key,
            read_timeout=self.read_timeout,
            on_answer=self.on_answer,
        )


def source_from(
    address: str, settings: SourceSettings, warn: Callable[[Endpoint], None] = lambda _: None
) -> Source:
    """Build a source; raise :class:`SettingsError`, which repeats nothing that may be secret.

    ``warn`` is called with an endpoint to which credentials go unencrypted.
    """
    scheme, _, rest = address.partition(":")
    if settings.check_machines and scheme.lower() != "tailscale":
        raise SettingsError("--check-machines needs Tailscale's API as the source: tailscale:")
    match scheme.lower():
        case "tailscale":
            return _tailscale(rest, settings)
        case "headscale+https" | "headscale+http" | "headscale":
            return _headscale(scheme.lower(), rest, settings)
    endpoint = settings.endpoint(address)
    if endpoint.in_the_clear:
        warn(endpoint)
    return UrlSource(endpoint, settings.poll_interval)


def _headscale(scheme: str, rest: str, settings: SourceSettings) -> Source:
    from ctsdns_traefik.source.headscale import PATH, HeadscaleSource

    transport = scheme.partition("+")[2]
    if not transport:
        raise SettingsError(
            "headscale: names no server: write headscale+https://headscale.example.com"
        )
    server = endpoint_from(f"{transport}:{rest.rstrip('/')}", what="Headscale", like=_HEADSCALE)
    if server.credentials is not None or "?" in server.url:
        raise SettingsError("the URL of Headscale has a user, password or query: remove it")
    if not server.is_protected:
        raise SettingsError(
            "headscale+http would send the key unencrypted: use headscale+https, or an address in"
            " the tailnet"
        )
    if settings.token is None and settings.token_file is None:
        raise SettingsError(
            "Headscale asks for an API key: name a file that has it with --token-file,"
            " or set TRAEFIK_CONFIG_API_TOKEN"
        )
    endpoint = settings.endpoint(f"{server.url}{PATH}")
    return HeadscaleSource(endpoint, f"headscale+{server}", settings.poll_interval)


def _tailscale(rest: str, settings: SourceSettings) -> Source:
    from ctsdns_traefik.source.tailscale import (
        BASE_URL,
        OWN_TAILNET,
        SHORTEST_INTERVAL,
        TailscaleSource,
        base_from,
    )

    environment = {name: value for name, value in settings.environment.items() if value.strip()}
    tailnet = (
        rest.removeprefix("//").removesuffix("/")
        or environment.get("TAILSCALE_TAILNET", OWN_TAILNET).strip()
    )
    if (rest and not rest.startswith("//")) or not _TAILNET.fullmatch(tailnet):
        raise SettingsError(
            "tailscale:// names no tailnet: write tailscale://example.com, or tailscale: alone"
        )
    if settings.headers or settings.token is not None or settings.token_file:
        raise SettingsError(
            "tailscale: takes its credential from the variables TAILSCALE_...: leave out the"
            " headers and the token, which would go to Tailscale"
        )
    if settings.poll_interval < SHORTEST_INTERVAL:
        raise SettingsError(
            f"--poll-interval is too short: Tailscale's API needs {SHORTEST_INTERVAL:g} s or more"
        )
    base = base_from(environment.get("TAILSCALE_BASE_URL", BASE_URL).strip())
    return TailscaleSource(
        settings.connecting(base),
        tailnet,
        _credential(environment),
        settings.poll_interval,
        check_machines=settings.check_machines,
    )


def _credential(environment: Mapping[str, str]) -> Credential:
    """Return the one credential that is set; raise :class:`SettingsError` for none or several."""
    from ctsdns_traefik.source.tailscale import ApiKey, OAuthClient

    key = _secret(environment, "TAILSCALE_API_KEY")
    client = _secret(environment, "TAILSCALE_OAUTH_CLIENT_ID")
    secret = _secret(environment, "TAILSCALE_OAUTH_CLIENT_SECRET")
    identity = _secret(environment, "TAILSCALE_IDENTITY_TOKEN")
    names = ("TAILSCALE_API_KEY", "TAILSCALE_OAUTH_CLIENT_SECRET", "TAILSCALE_IDENTITY_TOKEN")
    given = [name for name, each in zip(names, (key, secret, identity), strict=True) if each]
    if len(given) > 1:
        raise SettingsError(f"{' and '.join(given)} are both set: keep one credential")
    if key and client:
        raise SettingsError(
            "TAILSCALE_API_KEY and TAILSCALE_OAUTH_CLIENT_ID are both set: keep one credential"
        )
    if key:
        return ApiKey(key)
    proof = secret or identity
    if client and proof:
        return OAuthClient(client, proof, identity=identity is not None)
    if client:
        raise SettingsError(
            "TAILSCALE_OAUTH_CLIENT_ID is set alone: set TAILSCALE_OAUTH_CLIENT_SECRET or"
            " TAILSCALE_IDENTITY_TOKEN, or one of them with _FILE, too"
        )
    if proof:
        raise SettingsError(f"{given[0]} is set without TAILSCALE_OAUTH_CLIENT_ID: set that, too")
    raise SettingsError(
        "tailscale: needs a credential: set TAILSCALE_OAUTH_CLIENT_ID and"
        " TAILSCALE_OAUTH_CLIENT_SECRET, or TAILSCALE_API_KEY, or one of them with _FILE"
    )


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    """Return a secret from a variable, or from the file that another names."""
    from ctsdns_traefik.source.tailscale import Secret

    text, path = environment.get(name), environment.get(f"{name}_FILE")
    if text and path:
        raise SettingsError(f"{name} and {name}_FILE are both set: keep one of them")
    for variable, value in ((name, text), (f"{name}_FILE", path)):
        if value and in_quotes(value.strip()):
            raise SettingsError(in_quotes_error(variable))
    if path:
        return Secret(path=Path(path.strip()), variable=f"{name}_FILE")
    return Secret(_usable(name, text)) if text else None


def _usable(variable: str, text: str) -> str:
    """Return the token that a variable holds; raise :class:`SettingsError`, which names it."""
    if in_quotes(text.strip()):
        raise SettingsError(in_quotes_error(variable))
    try:
        return token_from(text)
    except SettingsError as why:
        raise SettingsError(f"cannot use the value of {variable}: {why}") from why
