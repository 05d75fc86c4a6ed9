"""Explain HTTP responses that are neither an event stream nor a policy by their likely cause."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from ctsdns_traefik.core.text import shown

EVENT_STREAM = "text/event-stream"


class Answer(NamedTuple):
    """The parts of an HTTP response that show what sent it."""

    status: int
    content_type: str = ""
    """The header's value, parameters included; ``""`` if there is none."""
    location: str = ""
    body: bytes = b""
    """The first few kilobytes."""

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()


def explain_answer(answer: Answer) -> str | None:
    """Explain a response that cannot be used; return ``None`` for an event stream or a policy.

    A policy may have any content type but that of a web page.
    """
    if answer.status == HTTPStatus.OK:
        return explain_content(answer) if answer.media_type in _PAGES else None
    if answer.location and answer.status // 100 == _REDIRECTION:
        return f"it answers {answer.status}, {_redirect(answer.location)}"
    return f"it answers {answer.status}{_message(answer)}{_STATUS_CAUSES.get(answer.status, '')}"


def explain_content(answer: Answer) -> str:
    """Explain a response with status 200 whose content is neither an event stream nor a policy."""
    if answer.media_type in _PAGES:
        return f"it answers with an HTML page: {_PAGE}{_WAY_OUT}"
    kind = shown(answer.media_type) or "content of no type"
    return f"it answers with {kind}{_message(answer)}, which is no usable policy"


_PAGES = ("text/html", "application/xhtml+xml")

_PAGE = "a login, or a page that shows a file, not its raw text"
_WAY_OUT = "; newer workers have no /api/config, and tailscale: as the source needs none"

_REDIRECTION = 3

_STATUS_CAUSES = {
    204: ": it has nothing to stream",
    401: ": it asks for credentials; set the token or the headers",
    403: ": it refuses these credentials; check the token and the headers",
    404: f": there is nothing at this path{_WAY_OUT}",
    407: ": a proxy on the way asks for credentials",
    429: ": it is asked too often",
    502: ": the server does not answer the proxy or tunnel in front of it",
    503: ": the server is not available",
    504: ": the server does not answer the proxy or tunnel in front of it in time",
    520: ": Cloudflare cannot make sense of the server's answer",
    521: ": Cloudflare cannot connect to the server",
    522: ": Cloudflare cannot connect to the server",
    523: ": Cloudflare cannot connect to the server",
    524: ": the server does not answer Cloudflare in time",
    530: ": Cloudflare cannot connect to the server; is its tunnel up?",
}


def _redirect(location: str) -> str:
    """Name only the host of a redirect's target: the rest of the location may hold secrets."""
    try:
        target = urlsplit(location)
        host = target.hostname or ""
    except ValueError:
        return "a redirect to what is no URL"
    if f".{host}".endswith(".cloudflareaccess.com") or target.path.startswith("/cdn-cgi/access/"):
        return (
            "a redirect to the login of Cloudflare Access: set the headers CF-Access-Client-Id"
            " and CF-Access-Client-Secret of a service token"
        )
    return (
        f"a redirect to {shown(host) or 'another path'}, which is not followed: name the final URL,"
        " or, if this is a login such as Cloudflare Access, set the headers of a service token"
    )


def _message(answer: Answer) -> str:
    """Return the worker's error message from a JSON body, in parentheses."""
    if answer.media_type != "application/json":
        return ""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    fields = body if isinstance(body, dict) else {}
    parts = [part for part in (fields.get("error"), fields.get("message")) if isinstance(part, str)]
    return f" ({shown(': '.join(parts))})" if parts else ""
