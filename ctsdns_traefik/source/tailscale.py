"""Tailscale's API as a source: ``GET /api/v2/tailnet/{tailnet}/acl``, with its credentials.

The answer is the policy's text as it was saved, unless JSON alone is asked for. Its ETag is a hash
of the text as Tailscale formats it. Errors are ``{"message": "..."}``, and every answer has an id
in ``x-tailscale-request-id``. See https://api.tailscale.com/api/v2 for all of it.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SourceText, hosts_of_saved_policy
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import Reason, SettingsError, SourceError
from ctsdns_traefik.source.base import Expect, MachineList, Policy, Received
from ctsdns_traefik.source.endpoint import Endpoint, endpoint_from, read_token, token_from
from ctsdns_traefik.source.http_client import (
    Response,
    exchange,
    reason_of,
    redirection,
    retry_after,
)
from ctsdns_traefik.source.poll import (
    GRACE,
    LARGEST_POLICY,
    LONGEST_POLL,
    Answer,
    NotModified,
    PollSource,
)

BASE_URL = "https://api.tailscale.com"

OWN_TAILNET = "-"
"""The tailnet that the credential belongs to."""

POLICY, MACHINES = "acl", "devices?fields=all"
"""Parts of a tailnet in the API."""

SHORTEST_INTERVAL = 5.0
"""Seconds between two polls at least: Tailscale publishes no rate limit."""

RENEWED_BEFORE = 60.0
"""Seconds before its end that a token is replaced."""

_LARGEST_TOKEN = 64 * 1024
_USUAL_LIFE = 3600.0
_LONGEST_LIFE = 366 * 86_400.0
_SCOPE = (
    "the credential needs the scopes policy_file:read, devices:core:read and"
    " devices:posture_attributes:read"
)
_MACHINES_SCOPE = "the credential needs the scope devices:core:read"


@dataclass(frozen=True)
class Secret:
    """A secret from the environment, or in a file that is read anew each time."""

    text: str = field(default="", repr=False)
    path: Path | None = None
    variable: str = ""
    """The variable that names the file."""

    def read(self) -> str:
        """Return the secret; raise :class:`.SourceError` if the file cannot be used."""
        try:
            return read_token(self.path) if self.path else token_from(self.text)
        except SettingsError as why:
            where = f"{self.variable}: " if self.path else ""
            raise SourceError(f"{where}{why}", reason=Reason.BAD_CREDENTIALS) from why


class Credential(ABC):
    """What a request is authorized by."""

    @abstractmethod
    def token(self, exchange_form: ExchangeForm) -> str:
        """Return the token to send; one that has to be made first is asked for by the function."""

    @property
    def scopes(self) -> str:
        """What the last answer allows, the scopes of a token for one; ``""`` if unknown."""
        return ""

    def forget(self) -> bool:
        """Forget a token that was refused; return whether a new one may do better at once."""
        return False


ExchangeForm = Callable[[str, Mapping[str, str]], Response]
"""Posts a form to a path of the API."""


@dataclass(frozen=True)
class ApiKey(Credential):
    """An API key, or an access token that was made elsewhere."""

    key: Secret

    def token(self, exchange_form: ExchangeForm) -> str:
        """Return the key."""
        del exchange_form
        return self.key.read()


@dataclass
class OAuthClient(Credential):
    """What gets tokens that last an hour: a client with a secret, or a workload identity."""

    client_id: Secret
    proof: Secret
    """The client's secret, or the identity's token."""
    identity: bool = False
    clock: Callable[[], float] = time.monotonic
    _token: str = field(default="", repr=False, init=False)
    _renewal: float = field(default=0.0, init=False)
    _fresh: bool = field(default=False, init=False)
    _scopes: str = field(default="", init=False)

    @property
    def scopes(self) -> str:
        """The scopes of the last token."""
        return self._scopes

    def token(self, exchange_form: ExchangeForm) -> str:
        """Return a token, a new one if the last is at its end."""
        self._fresh = not self._token or self.clock() >= self._renewal
        if self._fresh:
            self._token = ""
            self._make(exchange_form)
        return self._token

    def forget(self) -> bool:
        """Forget the token; a new one may do better, unless this was new."""
        self._token = ""
        return not self._fresh

    def _make(self, exchange_form: ExchangeForm) -> None:
        path, name = ("token-exchange", "jwt") if self.identity else ("token", "client_secret")
        form = {"client_id": self.client_id.read(), name: self.proof.read()}
        asked = self.clock()
        answer = exchange_form(f"/api/v2/oauth/{path}", form)
        token, seconds, self._scopes = _token_in(answer)
        self._token, self._renewal = token, asked + max(0.0, seconds - RENEWED_BEFORE)


class TailscaleSource(PollSource):
    """The policy of a tailnet; ``base`` is the API's endpoint, without credentials.

    With ``check_machines`` each policy is followed by the list of the tailnet's machines.
    """

    def __init__(
        self,
        base: Endpoint,
        tailnet: str,
        credential: Credential,
        interval: float,
        *,
        check_machines: bool = False,
    ) -> None:
        super().__init__(interval, base.sent)
        self._base = base
        self._tailnet = tailnet
        self._credential = credential
        self._check_machines = check_machines
        self._machines_due = 0.0

    def __str__(self) -> str:
        return f"tailscale://{self._tailnet}"

    @property
    def scopes(self) -> str:
        """The scopes of the credential, as far as the last answer has them."""
        return self.blank(self._credential.scopes)

    @contextmanager
    def follow(self, cancellation: Cancellation, expect: Expect) -> Iterator[Iterator[Received]]:
        """Poll as others do, and list the machines after each policy if that is wanted."""
        with super().follow(cancellation, expect) as received:
            if self._check_machines:
                yield self._with_machines(received, cancellation, expect)
            else:
                yield received

    def list_machines(self, cancellation: Cancellation, expect: Expect) -> MachineList:
        """Ask for the machines of the tailnet; an error is a value here, and costs no policy."""
        from ctsdns_traefik.core.machines import MachineListError, read_machines

        try:
            response = self._get(MACHINES, "", cancellation, expect)
            if response.status != HTTPStatus.OK:
                _refuse(response, scope=_MACHINES_SCOPE)
            return MachineList(read_machines(response.body))
        except MachineListError as why:
            return MachineList(error=self.blank(str(why)))
        except SourceError as why:
            cancellation.check()
            self._machines_due = time.monotonic() + why.retry_after
            return MachineList(error=self.blank(str(why)))

    def _with_machines(
        self, received: Iterator[Received], cancellation: Cancellation, expect: Expect
    ) -> Iterator[Received]:
        for each in received:
            yield each
            if isinstance(each, Policy) and time.monotonic() >= self._machines_due:
                yield self.list_machines(cancellation, expect)

    def fetch(self, etag: str, cancellation: Cancellation, expect: Expect) -> Answer | NotModified:
        """Ask for the policy."""
        response = self._get(POLICY, etag, cancellation, expect)
        new_etag = response.headers.get("ETag", "")
        if response.status == HTTPStatus.NOT_MODIFIED:
            return NotModified(new_etag)
        if response.status != HTTPStatus.OK:
            self._credential.forget()  # a new one has the scopes that its client has by then
            _refuse(response)
        if response.body.lstrip()[:1] == b"<":
            raise SourceError("it answers with a web page: this is not Tailscale's API")
        return Answer(response.body, new_etag)

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read the hosts out of the policy."""
        return hosts_of_saved_policy(body), SourceText(str(self), body)

    def _get(self, what: str, etag: str, cancellation: Cancellation, expect: Expect) -> Response:
        """Ask for a part of the tailnet, with a new token once more if an old one is refused."""
        response = self._get_once(what, etag, cancellation, expect)
        if response.status == HTTPStatus.UNAUTHORIZED and self._credential.forget():
            response = self._get_once(what, etag, cancellation, expect)
        return response

    def _get_once(
        self, what: str, etag: str, cancellation: Cancellation, expect: Expect
    ) -> Response:
        def post(path: str, form: Mapping[str, str]) -> Response:
            return self._exchange(path, [], cancellation, expect, form)

        token = self._credential.token(post)
        headers = [
            ("Accept", "application/hujson"),
            ("Accept-Encoding", "gzip"),
            ("Authorization", f"Bearer {token}"),
        ]
        if etag:
            headers.append(("If-None-Match", etag))
        path = f"/api/v2/tailnet/{quote(self._tailnet, safe='')}/{what}"
        return self._exchange(path, headers, cancellation, expect)

    def _exchange(
        self,
        path: str,
        headers: list[tuple[str, str]],
        cancellation: Cancellation,
        expect: Expect,
        form: Mapping[str, str] | None = None,
    ) -> Response:
        seconds = min(LONGEST_POLL, self._base.read_timeout)
        expect(seconds + GRACE)
        return exchange(
            self._base.at(path),
            form,
            headers=headers,
            seconds=seconds,
            largest=LARGEST_POLICY if form is None else _LARGEST_TOKEN,
            cancellation=cancellation,
        )


def base_from(url: str) -> Endpoint:
    """Build the endpoint of the API from its base URL; raise :class:`.SettingsError`."""
    base = endpoint_from(url.rstrip("/"), what="TAILSCALE_BASE_URL", like=BASE_URL)
    if base.credentials is not None or "?" in base.url:
        raise SettingsError("TAILSCALE_BASE_URL has a user, password or query: remove it")
    if not base.is_protected:
        raise SettingsError("TAILSCALE_BASE_URL would get the credential unencrypted: use https")
    return base


def _token_in(answer: Response) -> tuple[str, float, str]:
    """Return the token of an answer, for how many seconds it is good, and its scopes."""
    if answer.status != HTTPStatus.OK:
        _refuse(answer, "no token: ")
    fields = _object_in(answer.body)
    try:
        token = token_from(_text(fields.get("access_token")))
    except SettingsError as why:
        raise SourceError("Tailscale's answer to the request for a token has none") from why
    return token, _life(fields.get("expires_in")), shown(_text(fields.get("scope")))


def _life(seconds: object) -> float:
    """Return for how many seconds a token is good; the usual time if the answer makes no sense."""
    usable = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    # Compared before it is converted: JSON has numbers that no float can hold.
    return float(seconds) if usable and 0 <= seconds <= _LONGEST_LIFE else _USUAL_LIFE  # type: ignore[operator, arg-type]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _refuse(response: Response, what: str = "", scope: str = _SCOPE) -> NoReturn:
    """Raise the error of an answer that is none: the status, the message, what to do, the id."""
    status = response.status
    fields = _object_in(response.body)
    words = [fields.get(name) for name in ("message", "error", "error_description")]
    message = shown(": ".join(word for word in words if isinstance(word, str) and word))
    identifier = shown(response.headers.get("x-tailscale-request-id", ""))
    # An OAuth client that is unknown or has another secret is refused with 400 or 401 (RFC 6749).
    denied = what and status == HTTPStatus.BAD_REQUEST
    known = _CAUSES.get(HTTPStatus.UNAUTHORIZED if denied else status, "")
    cause = known.format(scope=scope) or redirection(response)
    raise SourceError(
        f"{what}Tailscale answers {status}"
        f"{f' ({message})' if message else ''}{cause}{f' [{identifier}]' if identifier else ''}",
        retry_after(response.headers),
        Reason.UNAUTHORIZED if denied else reason_of(status),
    )


_CAUSES = {
    401: ": the credential is wrong, expired or revoked; {scope}",
    403: ": {scope}",
    404: ": there is no such tailnet for this credential, or it was made just now, which may be"
    " answered so for a while; {scope}",
    429: ": it is asked too often",
}


def _object_in(body: bytes) -> dict[str, object]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
