"""What can be set, read into values; and that no complaint repeats a secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctsdns_traefik import settings
from ctsdns_traefik.errors import SettingsError
from ctsdns_traefik.settings import Setting
from ctsdns_traefik.source.endpoint import Header, endpoint_from, header_from, token_from


@pytest.mark.parametrize(
    ("setting", "variable", "default"),
    [
        pytest.param(settings.ENDPOINT, "TRAEFIK_CONFIG_API_ENDPOINT", None, id="endpoint"),
        pytest.param(
            settings.OUTPUT,
            "TRAEFIK_DYNAMIC_CONFIG_FILE",
            "/etc/traefik/dynamic.yml",
            id="output",
        ),
        pytest.param(
            settings.RETRY_DELAY, "TRAEFIK_CONFIG_RETRY_DELAY_SECONDS", 5, id="retry-delay"
        ),
        pytest.param(
            settings.READ_TIMEOUT, "TRAEFIK_CONFIG_READ_TIMEOUT_SECONDS", 90, id="read-timeout"
        ),
        pytest.param(settings.HEADERS, "TRAEFIK_CONFIG_API_HEADERS", None, id="headers"),
        pytest.param(settings.TOKEN, "TRAEFIK_CONFIG_API_TOKEN", None, id="token"),
        pytest.param(settings.TOKEN_FILE, "TRAEFIK_CONFIG_API_TOKEN_FILE", None, id="token-file"),
    ],
)
def test_variables_and_defaults(setting: Setting, variable: str, default: object) -> None:
    """The variables and defaults that containers rely on are these."""
    assert (setting.variable, setting.default) == (variable, default)


@pytest.mark.parametrize(
    ("text", "url", "host", "credentials", "shown"),
    [
        pytest.param(
            "https://worker.example.com/api/config",
            "https://worker.example.com/api/config",
            "worker.example.com",
            None,
            "https://worker.example.com/api/config",
            id="plain",
        ),
        pytest.param(
            "HTTP://Worker.Example.COM:8787/Api?Key=V#part",
            "http://worker.example.com:8787/Api?Key=V",
            "worker.example.com",
            None,
            "http://worker.example.com:8787/Api",
            id="port-query-and-fragment",
        ),
        pytest.param(
            "https://me:pass@worker.example.com",
            "https://worker.example.com",
            "worker.example.com",
            "me:pass",
            "https://worker.example.com",
            id="user-and-password",
        ),
        pytest.param(
            "https://me:p%40s%2Fs%20@worker.example.com:443/",
            "https://worker.example.com:443/",
            "worker.example.com",
            "me:p@s/s ",
            "https://worker.example.com:443/",
            id="escaped-password",
        ),
        pytest.param(
            "https://me:p@ss@worker.example.com/",
            "https://worker.example.com/",
            "worker.example.com",
            "me:p@ss",
            "https://worker.example.com/",
            id="at-sign-in-password",
        ),
        pytest.param(
            "http://me:pass@[fd7a:115c:a1e0::1]:8787/api/config?key=value",
            "http://[fd7a:115c:a1e0::1]:8787/api/config?key=value",
            "fd7a:115c:a1e0::1",
            "me:pass",
            "http://[fd7a:115c:a1e0::1]:8787/api/config",
            id="ipv6",
        ),
    ],
)
def test_endpoint_from_url(
    text: str, url: str, host: str, credentials: str | None, shown: str
) -> None:
    """The URL to ask for holds no credentials; the one to show holds no query either."""
    endpoint = endpoint_from(text)
    assert (endpoint.url, endpoint.host, endpoint.credentials) == (url, host, credentials)
    assert str(endpoint) == shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "not a URL like", id="empty"),
        pytest.param("worker.example.com/s3cret", "not a URL like", id="no-scheme"),
        pytest.param("ftp://me:s3cret@example.com/", "not a URL like", id="other-scheme"),
        pytest.param("file:///s3cret", "not a URL like", id="file"),
        pytest.param("https://", "not a URL like", id="no-host"),
        pytest.param('"https://s3cret.example.com/"', "is in quotes", id="quotes"),
        pytest.param("'https://s3cret.example.com/'", "is in quotes", id="single-quotes"),
        pytest.param("'", "not a URL like", id="one-quote"),
        pytest.param("https:///?s3cret", "not a URL like", id="path-alone"),
        pytest.param("https://me:s3cret@/", "not a URL like", id="credentials-without-host"),
        pytest.param("https://me:s3cret@example.com:port/", "bad host or port", id="port-in-words"),
        pytest.param("https://me:s3cret@example.com:65536/", "bad host or port", id="port-too-big"),
        pytest.param("https://me:s3cret@[::1/", "bad host or port", id="open-bracket"),
        pytest.param("https://me:s3cret@[wrong]/", "bad host or port", id="no-address-in-brackets"),
        pytest.param("https://me:s3cret@ex ample.com/", "a space or a control", id="space"),
        pytest.param("https://me:s3cret@example.com/\n", "a space or a control", id="line-end"),
        pytest.param("https://me:s3cret@example.com/\x1b", "a space or a control", id="escape"),
        pytest.param(
            "https://me:s3cret@example.com/\udcff", "a space or a control", id="surrogate"
        ),
    ],
)
def test_bad_endpoint(text: str, reason: str) -> None:
    """What is no URL of an endpoint is refused with the reason, and without the URL."""
    with pytest.raises(SettingsError) as caught:
        endpoint_from(text)
    assert reason in str(caught.value)
    assert "s3cret" not in repr(caught.value)


def test_endpoint_shows_no_secret() -> None:
    """Neither the text nor the repr of an endpoint holds what gets one in."""
    endpoint = endpoint_from(
        "https://me:s3cret-1@worker.example.com/api?key=s3cret-2#s3cret-3",
        headers=[("X-API-Key", "s3cret-4")],
        token="s3cret-5",
        token_file=Path("/run/secrets/token"),
    )
    for text in (str(endpoint), repr(endpoint), f"{endpoint}", f"{[endpoint]}"):
        assert "s3cret" not in text
        assert "worker.example.com" in text


@pytest.mark.parametrize(
    ("text", "header"),
    [
        pytest.param("X-API-Key: abc", ("X-API-Key", "abc"), id="usual"),
        pytest.param("X-API-Key:abc", ("X-API-Key", "abc"), id="no-space"),
        pytest.param("  X-API-Key :  a b  \n", ("X-API-Key", "a b"), id="space-around"),
        pytest.param("X: a: b", ("X", "a: b"), id="colon-in-value"),
        pytest.param("X:", ("X", ""), id="empty-value"),
        pytest.param("X: é", ("X", "é"), id="latin-1"),
        pytest.param("!#$%&'*+-.^_`|~0a: b", ("!#$%&'*+-.^_`|~0a", "b"), id="all-signs-of-a-name"),
    ],
)
def test_header_from_text(text: str, header: Header) -> None:
    """A header is a name and a value, white space around them dropped."""
    assert header_from(text) == header


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("s3cret", "not of the form 'Name: value'", id="no-colon"),
        pytest.param(": s3cret", "not of the form 'Name: value'", id="no-name"),
        pytest.param("X Y: s3cret", "not of the form 'Name: value'", id="space-in-name"),
        pytest.param("X\r\nY: s3cret", "not of the form 'Name: value'", id="line-end-in-name"),
        pytest.param("Ä: s3cret", "not of the form 'Name: value'", id="name-not-ascii"),
        pytest.param("X: s3cret\r\nY: 1", 'header "X" has a forbidden', id="line-end-in-value"),
        pytest.param("X: s3cret\0", 'header "X" has a forbidden', id="null"),
        pytest.param("X: s3cret\x7f", 'header "X" has a forbidden', id="delete"),
        pytest.param("X: s3cret €", 'header "X" has a forbidden', id="not-latin-1"),
        pytest.param("X: s3cret\udcff.", 'header "X" has a forbidden', id="surrogate"),
    ],
)
def test_bad_header(text: str, reason: str) -> None:
    """What is no header is refused with the reason, and without its value."""
    with pytest.raises(SettingsError) as caught:
        header_from(text)
    assert reason in str(caught.value)
    assert "s3cret" not in repr(caught.value)


@pytest.mark.parametrize("text", ["abc", " abc", "abc\n", "\tabc \r\n"])
def test_token_from_text(text: str) -> None:
    """White space around a token, as at the end of a file, is no part of it."""
    assert token_from(text) == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "s3cret s3cret",
        "s3cret\nX: y",
        "s3cret\ts3cret",
        "s3crét",
        "s3cret\0",
        "s3cret\x7f",
    ],
)
def test_bad_token(text: str) -> None:
    """What cannot stand in a header is refused, and not repeated."""
    with pytest.raises(SettingsError, match="it is empty, or has") as caught:
        token_from(text)
    assert "s3cr" not in repr(caught.value)


def test_token_of_an_endpoint_is_checked() -> None:
    """A bad token is found before any connection is made."""
    with pytest.raises(SettingsError, match="it is empty"):
        endpoint_from("https://worker.example.com/", token="two words")


@pytest.mark.parametrize(
    ("url", "attributes", "exposed"),
    [
        pytest.param("http://worker.example.com/", {}, False, id="no-secret"),
        pytest.param("http://worker.example.com/", {"token": "abc"}, True, id="token"),
        pytest.param("http://worker.example.com/", {"token_file": Path("a")}, True, id="file"),
        pytest.param("http://worker.example.com/", {"headers": [("A", "b")]}, True, id="header"),
        pytest.param("http://me:pass@worker.example.com/", {}, True, id="password"),
        pytest.param("http://worker.example.com/?key=abc", {}, True, id="query"),
        pytest.param("https://worker.example.com/?key=abc", {"token": "abc"}, False, id="https"),
        pytest.param("http://192.168.1.1/", {"token": "abc"}, True, id="local-network"),
        pytest.param("http://127.0.0.2:80/", {"token": "abc"}, False, id="loopback"),
        pytest.param("http://[::1]/", {"token": "abc"}, False, id="loopback-of-ipv6"),
        pytest.param("http://localhost/", {"token": "abc"}, False, id="localhost"),
        pytest.param("http://100.64.0.1/", {"token": "abc"}, False, id="tailnet"),
        pytest.param("http://[fd7a:115c:a1e0::1]/", {"token": "abc"}, False, id="tailnet-of-ipv6"),
        pytest.param("http://worker.tail1.ts.net/", {"token": "abc"}, False, id="name-in-tailnet"),
        pytest.param("http://100.128.0.1/", {"token": "abc"}, True, id="beyond-the-tailnet"),
        pytest.param("http://evilts.net/", {"token": "abc"}, True, id="merely-alike"),
    ],
)
def test_secrets_in_the_clear(url: str, attributes: dict[str, Any], *, exposed: bool) -> None:
    """Secrets are exposed over plain http, unless they stay on this machine or in a tailnet."""
    assert endpoint_from(url, **attributes).in_the_clear is exposed
