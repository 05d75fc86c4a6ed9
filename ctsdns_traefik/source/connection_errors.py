"""Failed connections: the errors of the libraries, in layers, to one line with the likely cause."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from ctsdns_traefik.core.text import shown
from ctsdns_traefik.source.endpoint import Endpoint

_NO_TLS = "WRONG_VERSION_NUMBER"
"""What OpenSSL makes of an answer in plain text; a server that is too old has other errors."""


def explain_failure(error: BaseException, endpoint: Endpoint) -> str:  # noqa: C901, PLR0911, PLR0912
    """Say in one line why a connection failed, without the URL, which may hold secrets."""
    from urllib3 import exceptions

    for cause in _causes(error):
        match cause:
            case exceptions.NameResolutionError():
                return f"the name {endpoint.host} does not resolve"
            case exceptions.NewConnectionError():
                continue  # a kind of time-out to urllib3; the cause is beneath
            case exceptions.ConnectTimeoutError():
                return "it does not answer: connecting timed out"
            case exceptions.ReadTimeoutError() if "handshake" in str(cause.__cause__):
                return "it does not answer: the TLS handshake timed out"
            case exceptions.ReadTimeoutError():
                return f"it was silent for the read timeout of {endpoint.read_timeout:g} s"
            case exceptions.ProxyError():
                return "the proxy on the way cannot be used"
            case exceptions.DecodeError():
                return "its compressed answer is damaged"
            case http.client.RemoteDisconnected():
                return "it closed the connection without an answer"
            case http.client.BadStatusLine():
                return "it does not speak HTTP"
            case ssl.SSLCertVerificationError():
                return f"its certificate cannot be trusted: {shown(cause.verify_message)}"
            case ssl.SSLError() if cause.reason == _NO_TLS:
                return f"it speaks plain HTTP; write {_in_plain(endpoint)}"
            case ssl.SSLError():
                return f"TLS failed: {shown(cause.reason or str(cause))}"
            case OSError() if cause.strerror:
                return shown(cause.strerror).lower()
    return "the connection broke off"


def _in_plain(endpoint: Endpoint) -> str:
    """Return the endpoint's URL as it is shown, without TLS."""
    return urlsplit(str(endpoint))._replace(scheme="http").geturl()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from an error to what lies beneath it."""
    yield error
    beneath = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    inner = next((cause for cause in beneath if isinstance(cause, BaseException)), None)
    if inner is not None and inner is not error:
        yield from _causes(inner)
