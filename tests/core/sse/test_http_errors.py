"""Answers of the endpoint that are no event stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctsdns_traefik.core.sse.http_errors import Answer, explain_answer, explain_content

WAY_OUT = "; newer workers have no /api/config, and tailscale: as the source needs none"
PAGE_INSTEAD = f"an HTML page: a login, or a page that shows a file, not its raw text{WAY_OUT}"
MISCONFIGURED = b'{"error":"Configuration error","message":"TS_API_KEY is missing"}'
WORDS = "Configuration error: TS_API_KEY is missing"
ACCESS = (
    "a redirect to the login of Cloudflare Access: set the headers CF-Access-Client-Id"
    " and CF-Access-Client-Secret of a service token"
)
NOT_FOLLOWED = (
    "which is not followed: name the final URL, or,"
    " if this is a login such as Cloudflare Access, set the headers of a service token"
)


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("text/event-stream", id="plain"),
        pytest.param("text/event-stream; charset=utf-8", id="with-charset"),
        pytest.param("Text/Event-Stream ;x=y", id="another-case"),
    ],
)
def test_event_stream_has_no_fault(content_type: str) -> None:
    """A 200 with the media type of event streams is what is wanted."""
    assert explain_answer(Answer(200, content_type)) is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        pytest.param(
            Answer(200, "text/html; charset=utf-8", body=b"<html>"),
            f"it answers with {PAGE_INSTEAD}",
            id="html-page",
        ),
        pytest.param(
            Answer(200, "application/json", body=b'{"ok": true}'),
            "it answers with application/json, which is no usable policy",
            id="json",
        ),
        pytest.param(
            Answer(200, "application/json", body=MISCONFIGURED),
            f"it answers with application/json ({WORDS}), which is no usable policy",
            id="json-with-words",
        ),
        pytest.param(
            Answer(200),
            "it answers with content of no type, which is no usable policy",
            id="no-type",
        ),
        pytest.param(
            Answer(200, "text/\x1b[31m"),
            r"it answers with text/\x1b[31m, which is no usable policy",
            id="unprintable-type",
        ),
    ],
)
def test_fault_of_other_content(answer: Answer, fault: str) -> None:
    """A 200 with other content is named; that it cannot be used, only a web page shows itself."""
    assert explain_content(answer) == fault
    assert explain_answer(answer) == (fault if "HTML" in fault else None)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        pytest.param(204, ": it has nothing to stream", id="204"),
        pytest.param(400, "", id="400"),
        pytest.param(401, ": it asks for credentials; set the token or the headers", id="401"),
        pytest.param(
            403, ": it refuses these credentials; check the token and the headers", id="403"
        ),
        pytest.param(404, f": there is nothing at this path{WAY_OUT}", id="404"),
        pytest.param(407, ": a proxy on the way asks for credentials", id="407"),
        pytest.param(429, ": it is asked too often", id="429"),
        pytest.param(500, "", id="500"),
        pytest.param(
            502, ": the server does not answer the proxy or tunnel in front of it", id="502"
        ),
        pytest.param(503, ": the server is not available", id="503"),
        pytest.param(
            504, ": the server does not answer the proxy or tunnel in front of it in time", id="504"
        ),
        pytest.param(520, ": Cloudflare cannot make sense of the server's answer", id="520"),
        pytest.param(521, ": Cloudflare cannot connect to the server", id="521"),
        pytest.param(522, ": Cloudflare cannot connect to the server", id="522"),
        pytest.param(523, ": Cloudflare cannot connect to the server", id="523"),
        pytest.param(530, ": Cloudflare cannot connect to the server; is its tunnel up?", id="530"),
        pytest.param(524, ": the server does not answer Cloudflare in time", id="524"),
        pytest.param(302, "", id="redirect-to-nowhere"),
    ],
)
def test_fault_of_a_status(status: int, cause: str) -> None:
    """Any other status is named, with its likely cause if there is one."""
    assert explain_answer(Answer(status, "text/event-stream")) == f"it answers {status}{cause}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(MISCONFIGURED, f" ({WORDS})", id="error-and-message"),
        pytest.param(b'{"message": "no"}', " (no)", id="message-alone"),
        pytest.param(b'{"error": "no"}', " (no)", id="error-alone"),
        pytest.param(b'{"error": {"code": 1}, "message": 3}', "", id="words-of-other-types"),
        pytest.param(b'{"message": "a\\nb"}', r" (a\nb)", id="line-end-in-the-words"),
        pytest.param(b'{"message": "%s"}' % (b"x" * 999), f" ({'x' * 397}...)", id="long-words"),
        pytest.param(b"[]", "", id="list"),
        pytest.param(b"{", "", id="cut-off"),
        pytest.param(b"\xff", "", id="bad-utf-8"),
        pytest.param(b"[" * 100_000, "", id="nested-too-deep"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_words_of_the_worker(body: bytes, words: str) -> None:
    """What the worker itself says in JSON is passed on, in one line."""
    assert explain_answer(Answer(500, "application/json", body=body)) == f"it answers 500{words}"


def test_words_of_other_content_are_not_read() -> None:
    """A body that does not call itself JSON is not taken for the worker's words."""
    assert explain_answer(Answer(500, "text/html", body=MISCONFIGURED)) == "it answers 500"


def test_words_come_before_the_cause() -> None:
    """With both words and a cause, the words come first."""
    answer = Answer(503, "Application/JSON; charset=utf-8", body=b'{"error": "down"}')
    assert explain_answer(answer) == "it answers 503 (down): the server is not available"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        pytest.param("https://team.cloudflareaccess.com/x?kid=SECRET", ACCESS, id="access"),
        pytest.param("/cdn-cgi/access/login?token=SECRET", ACCESS, id="access-on-the-same-host"),
        pytest.param(
            "https://user:SECRET@other.example.com:8443/SECRET?a=SECRET#SECRET",
            f"a redirect to other.example.com, {NOT_FOLLOWED}",
            id="another-host",
        ),
        pytest.param(
            "//other.example.com/",
            f"a redirect to other.example.com, {NOT_FOLLOWED}",
            id="another-host-with-the-same-scheme",
        ),
        pytest.param(
            "/SECRET?a=SECRET", f"a redirect to another path, {NOT_FOLLOWED}", id="another-path"
        ),
        pytest.param("https://[::1/SECRET", "a redirect to what is no URL", id="no-url"),
        pytest.param(
            "https://evilcloudflareaccess.com/?a=/cdn-cgi/access/",
            f"a redirect to evilcloudflareaccess.com, {NOT_FOLLOWED}",
            id="merely-alike",
        ),
        pytest.param(
            "https://a\x1bb.example.com/",
            rf"a redirect to a\x1bb.example.com, {NOT_FOLLOWED}",
            id="unprintable-host",
        ),
    ],
)
def test_redirect(location: str, target: str) -> None:
    """A redirect names the host it leads to, and a login what it takes to get by."""
    assert explain_answer(Answer(302, "text/html", location)) == f"it answers 302, {target}"


@given(st.text(), st.text(), st.sampled_from(["https://", "//", "/", "", "https:\\\\", "x:"]))
def test_redirect_shows_no_secrets(before: str, after: str, start: str) -> None:
    """Credentials, query and fragment of a redirect are not shown, however odd it is."""
    location = f"{start}user:HUSH-1@host{before}?HUSH-2{after}#HUSH-3"
    fault = explain_answer(Answer(302, "text/html", location))
    assert fault is not None
    assert "hush" not in fault.lower()
    assert fault.isprintable()
