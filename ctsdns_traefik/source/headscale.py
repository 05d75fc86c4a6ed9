"""Headscale's own API as a source: ``GET /api/v1/policy``, from release 0.23 on.

    {"policy": "<HuJSON text>", "updatedAt": "2026-11-29T10:00:00Z"}

There is no ETag. Errors are ``{"code", "message", "details"}`` up to 0.29 and
``application/problem+json`` from 0.30 on; a wrong key is the plain text ``Unauthorized``.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.policy import HostsMap, SnapshotError, SourceText, hosts_of_saved_policy
from ctsdns_traefik.core.text import json_type, shown
from ctsdns_traefik.errors import SourceError
from ctsdns_traefik.source.base import Expect
from ctsdns_traefik.source.endpoint import Endpoint
from ctsdns_traefik.source.http_client import (
    Response,
    exchange,
    reason_of,
    redirection,
    retry_after,
)
from ctsdns_traefik.source.poll import GRACE, LARGEST_POLICY, LONGEST_POLL, Answer, PollSource

PATH = "/api/v1/policy"


class HeadscaleSource(PollSource):
    """A Headscale server; ``endpoint`` is that of its policy, with a key as token."""

    def __init__(self, endpoint: Endpoint, name: str, interval: float) -> None:
        super().__init__(interval, endpoint.sent)
        self._endpoint = endpoint
        self._name = name

    def __str__(self) -> str:
        return self._name

    def fetch(self, etag: str, cancellation: Cancellation, expect: Expect) -> Answer:
        """Ask for the policy; Headscale knows no ETags here."""
        del etag
        seconds = min(LONGEST_POLL, self._endpoint.read_timeout)
        expect(seconds + GRACE)
        response = exchange(
            self._endpoint,
            headers=[("Accept", "application/json"), ("Accept-Encoding", "gzip")],
            seconds=seconds,
            largest=LARGEST_POLICY,
            cancellation=cancellation,
        )
        if response.status != HTTPStatus.OK:
            raise SourceError(
                _explain(response), retry_after(response.headers), reason_of(response.status)
            )
        return Answer(response.body)

    def read(self, body: bytes) -> tuple[HostsMap, SourceText]:
        """Read the policy's text out of the answer, and the hosts out of that."""
        if body.lstrip()[:1] == b"<":
            raise SnapshotError("it answers with a web page: this is not Headscale's API")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as why:
            raise SnapshotError(f"this is no answer of Headscale's {PATH}: it is not JSON") from why
        policy = answer.get("policy") if isinstance(answer, dict) else None
        if not isinstance(policy, str):
            kind = "missing" if policy is None else json_type(policy)
            raise SnapshotError(f"this is no answer of Headscale's {PATH}: its policy is {kind}")
        text = policy.encode("utf-8", "surrogatepass")
        return hosts_of_saved_policy(text), SourceText(self._name, text)


def _explain(response: Response) -> str:
    status, message = response.status, _message(response.body)
    cause = _CAUSES.get(status) or redirection(response)
    return f"Headscale answers {status}{f' ({message})' if message else ''}{cause}"


_CAUSES = {
    401: ": the key is wrong or expired; 'headscale apikeys create' makes one",
    403: ": the key is refused",
    404: f": it has no {PATH}, which releases before 0.23 lack, or the URL is wrong",
    500: ": if it has no policy yet, set one",
}


def _message(body: bytes) -> str:
    """Return the message of an error in either form, or the start of a plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return "" if text.startswith("<") else shown(_cut(text))
    fields = answer if isinstance(answer, dict) else {}
    parts = (fields.get(name) for name in ("message", "detail", "title"))
    return shown(next((part for part in parts if isinstance(part, str) and part), ""))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."


_LONGEST_TEXT = 80
