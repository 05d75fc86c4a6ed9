"""Answers that are no event stream: each an error of one line with its likely cause."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from support.endpoints import STREAM, Script, ScriptedEndpoint, answering, sending
from support.streams import end_of, open_stream

from ctsdns_traefik.source.endpoint import endpoint_from

HTML = "text/html; charset=UTF-8"
JSON = "application/json"
PAGE = b"<!DOCTYPE html><title>A page</title>"
ACCESS = "https://team.cloudflareaccess.com/cdn-cgi/access/login/worker.example.com?kid=s3cret"
MISCONFIGURED = b'{"error":"Configuration error","message":"TAILSCALE_API_KEY is not set"}'


@pytest.mark.parametrize(
    ("script", "parts"),
    [
        pytest.param(
            answering("200 OK", PAGE, Content_Type=HTML),
            ["HTML page", "/api/config", "login"],
            id="html-page",
        ),
        pytest.param(answering("204 No Content"), ["204", "nothing to stream"], id="no-content"),
        pytest.param(
            answering("301 Moved Permanently", Location="/elsewhere"),
            ["301", "redirect to another path", "not followed"],
            id="redirect-to-another-path",
        ),
        pytest.param(
            answering("302 Found", Location=ACCESS),
            ["302", "Cloudflare Access", "CF-Access-Client-Id", "CF-Access-Client-Secret"],
            id="cloudflare-access",
        ),
        pytest.param(
            answering("307 Temporary Redirect", Location="https://other.example.com/?key=s3cret"),
            ["307", "redirect to other.example.com", "not followed"],
            id="redirect-to-another-host",
        ),
        pytest.param(
            answering("302 Found", Location="http://[::1"),
            ["302", "redirect to what is no URL"],
            id="redirect-to-nonsense",
        ),
        pytest.param(answering("401 Unauthorized"), ["401", "credentials"], id="unauthorized"),
        pytest.param(answering("403 Forbidden"), ["403", "refuses"], id="forbidden"),
        pytest.param(
            answering("404 Not Found", b"404 Not Found", Content_Type="text/plain;charset=UTF-8"),
            ["404", "/api/config", "nothing at this path"],
            id="not-found",
        ),
        pytest.param(answering("429 Too Many Requests"), ["429", "too often"], id="too-many"),
        pytest.param(
            answering("500 Internal Server Error", MISCONFIGURED, Content_Type=JSON),
            ["500", "Configuration error", "TAILSCALE_API_KEY is not set"],
            id="misconfigured-worker",
        ),
        pytest.param(
            answering("502 Bad Gateway", PAGE, Content_Type=HTML),
            ["502", "does not answer the proxy or tunnel"],
            id="bad-gateway",
        ),
        pytest.param(
            answering("503 Service Unavailable", PAGE, Content_Type=HTML),
            ["503", "not available"],
            id="unavailable",
        ),
        pytest.param(
            answering("524 A Timeout Occurred", PAGE, Content_Type=HTML),
            ["524", "does not answer Cloudflare"],
            id="cloudflare-timeout",
        ),
        pytest.param(answering("599 Whatever"), ["599"], id="unheard-of"),
    ],
)
def test_likely_cause_of_a_wrong_answer(script: Script, parts: list[str]) -> None:
    """An answer that is no stream says what it is and what to do about it, in one line."""
    with ScriptedEndpoint(script) as server:
        events, error = end_of(endpoint_from(server.url))
    assert events == []
    assert [part for part in parts if part not in str(error)] == []
    assert str(error).isprintable()
    assert "s3cret" not in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(status: int) -> None:
    """No request, and so no header, reaches the host that a redirect leads to."""
    with ScriptedEndpoint(sending(STREAM, b"data: stolen\n\n")) as other:
        script = answering(f"{status} Redirect", Location=other.url)
        with ScriptedEndpoint(script) as server:
            endpoint = endpoint_from(server.url, headers=[("X-API-Key", "s3cret")])
            events, error = end_of(endpoint)
        assert (events, len(server.requests), other.requests) == ([], 1, [])
    assert f"it answers {status}" in str(error)


def test_words_of_the_worker_stay_on_the_line() -> None:
    """What the worker says is shown without its line ends and terminal escapes."""
    body = rb'{"message": "one\ntwo\u001b[31m\r\u2028three"}'
    with ScriptedEndpoint(answering("500 Oops", body, Content_Type=JSON)) as server:
        _, error = end_of(endpoint_from(server.url))
    assert str(error).isprintable()
    assert [word for word in ("one", "two", "three") if word not in str(error)] == []


def test_compressed_words_of_the_worker_are_read() -> None:
    """The worker's message is found in a body that a proxy has compressed."""
    script = answering(
        "500 Oops", gzip.compress(MISCONFIGURED), Content_Type=JSON, Content_Encoding="gzip"
    )
    with ScriptedEndpoint(script) as server:
        _, error = end_of(endpoint_from(server.url))
    assert "TAILSCALE_API_KEY is not set" in str(error)


@pytest.mark.parametrize("kind", ["Text/Event-Stream", "text/event-stream; charset=utf-8"])
def test_content_type_of_a_stream_may_be_written_otherwise(kind: str) -> None:
    """Case and parameters of the content type do not matter."""
    with (
        ScriptedEndpoint(answering("200 OK", b"data: 1\n\n", Content_Type=kind)) as server,
        open_stream(endpoint_from(server.url)) as events,
    ):
        assert next(events).data == b"1"


def in_seconds(seconds: float) -> str:
    """Return the HTTP date of a moment from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        pytest.param("120", 120, 120, id="seconds"),
        pytest.param("0", 0, 0, id="zero"),
        pytest.param(in_seconds(3600), 3000, 3600, id="date-to-come"),
        pytest.param(in_seconds(-3600), 0, 0, id="date-gone-by"),
        pytest.param("Sun Nov  6 08:49:37 2095", 10**9, 10**10, id="date-of-the-old-form"),
        pytest.param("9" * 5000, 10**6, 10**13, id="too-many-digits"),
        pytest.param("-5", 0, 0, id="negative"),
        pytest.param("soon", 0, 0, id="in-words"),
        pytest.param("", 0, 0, id="empty"),
        pytest.param("Wed, 31 Feb 2095 07:28:00 GMT", 0, 0, id="no-such-day"),
        pytest.param("Wed, 21 Oct 2095 07:28:00 +" + "9" * 20, 0, 0, id="no-such-time-zone"),
    ],
)
def test_retry_after(value: str, least: float, most: float) -> None:
    """The error carries the seconds to wait that Retry-After asks for; nonsense asks for none."""
    with ScriptedEndpoint(answering("429 Too Many Requests", Retry_After=value)) as server:
        _, error = end_of(endpoint_from(server.url))
    assert least <= error.retry_after <= most
