"""Why an HTTP request failed: one line without secrets, and the reason for programs.

The errors of ``requests``, urllib3 and ``ssl`` lie in layers, and their texts would show the URL.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import sys
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlsplit

from ctsdns_traefik.core.text import in_quotes, in_quotes_error, shown
from ctsdns_traefik.errors import Reason, os_reason
from ctsdns_traefik.source.endpoint import Endpoint

CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Those by which ``requests`` finds the certificates to trust."""

_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")

_NO_TLS = "WRONG_VERSION_NUMBER"
"""What OpenSSL makes of an answer in plain text; a server that is too old has other errors."""

_NO_CERTIFICATES = "NO_CERTIFICATE_OR_CRL_FOUND"
"""What OpenSSL makes of a file of certificates to trust that has none."""


def explain(error: BaseException, endpoint: Endpoint) -> tuple[str, Reason]:  # noqa: C901, PLR0911, PLR0912
    """Name the likely cause of a failed connection, from the libraries' errors in layers."""
    from urllib3 import exceptions

    for cause in _causes(error):
        match cause:
            case exceptions.NameResolutionError():
                return f"the name {endpoint.host} does not resolve", Reason.UNREACHABLE
            case exceptions.NewConnectionError():
                continue  # a kind of time-out to urllib3; the cause is beneath
            case exceptions.ConnectTimeoutError():
                return "it does not answer: connecting timed out", Reason.TIMEOUT
            case exceptions.ReadTimeoutError() if "handshake" in str(cause.__cause__):
                return "it does not answer: the TLS handshake timed out", Reason.TIMEOUT
            case exceptions.ReadTimeoutError():
                silence = f"{endpoint.read_timeout:g} s"
                return f"it was silent for the read timeout of {silence}", Reason.TIMEOUT
            case exceptions.ProxyError():
                return _proxy_fault(cause, endpoint), Reason.UNREACHABLE
            case exceptions.DecodeError():
                return "its compressed answer is damaged", Reason.UNEXPECTED_ANSWER
            case http.client.RemoteDisconnected():
                return "it closed the connection without an answer", Reason.BROKEN_OFF
            case http.client.BadStatusLine():
                return "it does not speak HTTP", Reason.UNEXPECTED_ANSWER
            case ssl.SSLError():
                return _tls_fault(cause, endpoint)
            case ConnectionResetError() | BrokenPipeError():
                return os_reason(cause), Reason.BROKEN_OFF
            case OSError() if cause.strerror:
                return os_reason(cause), Reason.UNREACHABLE
    if setting := _bad_setting(error, endpoint):
        return setting, Reason.BAD_CREDENTIALS if "SOCKS" in setting else Reason.UNREACHABLE
    return "the connection broke off", Reason.BROKEN_OFF


_DEMAND = "it demands a client certificate: set --client-cert"


def _tls_fault(error: ssl.SSLError, endpoint: Endpoint) -> tuple[str, Reason]:
    """Return what an error of TLS means and how to correct it, and the reason for programs."""
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = f"its certificate cannot be trusted: {shown(error.verify_message.rstrip('.'))}"
        return f"{fault}; {_CERTIFICATE_FIXES.get(error.verify_code, _TRUST)}", Reason.TLS_FAILED
    fault = shown(error.reason or str(error))
    if fault == _NO_TLS:
        return "it speaks plain HTTP; write http in place of https", Reason.TLS_FAILED
    if fault == _NO_CERTIFICATES:
        return _bad_bundle(), Reason.UNREACHABLE
    alert, ours = fault.partition("_ALERT_")[2], endpoint.client_cert
    if alert in _CERTIFICATE_ALERTS:
        kind = alert.lower().replace("_", " ")
        refused = f"it refuses the client certificate {shown(str(ours))} ({kind})"
        return refused if ours else _DEMAND, Reason.UNAUTHORIZED
    # TLS 1.2 has no alert of its own for a missing certificate.
    missing = alert == "HANDSHAKE_FAILURE" and not ours
    demand = "perhaps it demands a client certificate (--client-cert)"
    return f"TLS failed: {fault}; {demand if missing else 'check the address'}", Reason.TLS_FAILED


_RENEW = "renew it, or set the clock of this machine if that is wrong"

_RENAME = "write the URL with a name that the certificate has, or correct the certificate"

_TRUST = "for an authority of your own set --ca-file"

_CERTIFICATE_FIXES = {9: _RENEW, 10: _RENEW, 62: _RENAME, 64: _RENAME}
"""By OpenSSL's X509_V_ERR codes: not yet valid, expired, another name, another address."""

_CERTIFICATE_ALERTS = (
    "ACCESS_DENIED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REQUIRED",
    "CERTIFICATE_REVOKED",
    "CERTIFICATE_UNKNOWN",
    "DECRYPT_ERROR",
    "UNKNOWN_CA",
    "UNSUPPORTED_CERTIFICATE",
)
"""Of RFC 8446, section 6.2; a server that sends one has judged a client's certificate."""


def nginx_fault(page: bytes) -> str:
    """Return what an error page of nginx means, ``""`` if nothing; others send an alert of TLS."""
    if b"No required SSL certificate was sent" in page:
        return _DEMAND
    refused = b"The SSL certificate error" in page
    return "it refuses the client certificate (the answer of nginx)" if refused else ""


def _proxy_fault(error: Exception, endpoint: Endpoint) -> str:
    """Return what a proxy refused, or why it cannot be reached."""
    name = _proxy_variable(endpoint)
    if in_quotes(os.environ.get(name, "")):
        return in_quotes_error(name)
    for cause in _causes(error):
        if tunnel := _TUNNEL.search(str(cause)):
            fault = _TUNNEL_FAULTS.get(tunnel[1], "answers {status}").format(status=tunnel[1])
            return f"the proxy that {name} names {fault}"
        if isinstance(cause, ssl.SSLError):
            fix = "if it speaks plain HTTP, write http:// in its URL"
            fault = shown(cause.reason or str(cause))
            return f"TLS to the proxy that {name} names failed: {fault}; {fix}"
        if isinstance(cause, OSError) and cause.strerror:
            return f"the proxy that {name} names cannot be reached: {os_reason(cause)}"
    return f"the proxy that {name} names cannot be used"


_TUNNEL_FAULTS = {
    "403": "does not allow this connection (403)",
    "407": "asks for credentials (407): write them in its URL",
}


def plain_proxy_fault(endpoint: Endpoint, status: int) -> str:
    """Return what an answer by way of a proxy without a tunnel means; 403 may be from either."""
    import requests.utils

    if urlsplit(endpoint.url).scheme == "https" or str(status) not in _TUNNEL_FAULTS:
        return ""
    if not requests.utils.get_environ_proxies(endpoint.url):
        return ""
    fault = f"the proxy that {_proxy_variable(endpoint)} names {_TUNNEL_FAULTS[str(status)]}"
    refused = "it answers 403: it refuses these credentials, or "
    return f"{refused if status == HTTPStatus.FORBIDDEN else ''}{fault}"


def _bad_setting(error: BaseException, endpoint: Endpoint) -> str:
    """Return which variable made a request fail before anything was sent, ``""`` if none did."""
    import requests.exceptions as faults
    import urllib3.exceptions

    text, name = str(error), _proxy_variable(endpoint)
    if isinstance(error, faults.InvalidSchema) and "SOCKS" in text:
        fix = f"{sys.executable} -m pip install pysocks"
        return f"{name} names a SOCKS proxy, which needs PySocks: {fix}"
    parsed = isinstance(error, faults.InvalidProxyURL | urllib3.exceptions.LocationParseError)
    if name != _NO_PROXY and (parsed or isinstance(error, faults.InvalidURL | ValueError)):
        return f"{name} is not the URL of a proxy, such as http://127.0.0.1:3128"
    if isinstance(error, OSError) and "CA certificate bundle" in text:
        return _bad_bundle()
    return ""


def _bad_bundle() -> str:
    named = [each for each in (*CA_VARIABLES, "SSL_CERT_FILE") if os.environ.get(each)]
    return f"{named[0] if named else 'a setting'} names no file with certificates"


_NO_PROXY = "no variable"


def _proxy_variable(endpoint: Endpoint) -> str:
    """Return the name of the variable whose proxy requests to an endpoint take."""
    scheme = urlsplit(endpoint.url).scheme
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    return next((name for name in names if os.environ.get(name)), _NO_PROXY)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from an error to what lies beneath it."""
    yield error
    beneath = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    inner = next((cause for cause in beneath if isinstance(cause, BaseException)), None)
    if inner is not None and inner is not error:
        yield from _causes(inner)
