"""HTTP requests: sessions that can be cancelled, one bounded GET, and errors in one line.

``requests`` sends them. No redirect is followed, so that credentials go to no other host, and
``~/.netrc``, which could replace an explicit Authorization header, is not read.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ctsdns_traefik import __version__
from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.text import in_quotes, shown
from ctsdns_traefik.errors import Reason, SettingsError, SourceError, os_reason
from ctsdns_traefik.key_pair import load_key_pair
from ctsdns_traefik.source.endpoint import Endpoint, Header

if TYPE_CHECKING:
    import requests
    from urllib3 import PoolManager

LARGEST_ERROR = 16 * 1024
"""Bytes of an error's body that are read: it may explain the status."""

_GRACE = 1.0
"""Seconds by which a socket's own timeout comes after the limit of the whole request."""

_PIECE = 64 * 1024
_REDIRECTION = 3
_MOST_DIGITS = 12

_CODINGS = ("", "identity", "gzip", "x-gzip", "deflate")
"""The codings of bodies that can be read without more packages."""

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")

_NO_TLS = "WRONG_VERSION_NUMBER"
"""What OpenSSL makes of an answer in plain text; a server that is too old has other errors."""


_NO_CERTIFICATES = "NO_CERTIFICATE_OR_CRL_FOUND"
"""What OpenSSL makes of a file of certificates to trust that has none."""


class HttpError(SourceError):
    """A request got no answer that can be used; the text says why, in one line without secrets."""


class Response(NamedTuple):
    """An answer of any status."""

    status: int
    headers: Mapping[str, str]
    """Their names without regard to case."""
    body: bytes
    """Decompressed; of any status but 200, the first :data:`LARGEST_ERROR` bytes."""


def http_get(
    endpoint: Endpoint,
    *,
    headers: Iterable[Header] = (),
    seconds: float,
    largest: int,
    proxies: bool = True,
    cancellation: Cancellation | None = None,
) -> Response:
    """Send one GET request as :func:`exchange` does; an answer that redirects is an error, too."""
    response = exchange(
        endpoint,
        headers=headers,
        seconds=seconds,
        largest=largest,
        proxies=proxies,
        cancellation=cancellation,
    )
    if response.status // 100 == _REDIRECTION and response.status != HTTPStatus.NOT_MODIFIED:
        raise HttpError(f"it answers {response.status}{redirection(response.status)}")
    return response


def exchange(
    endpoint: Endpoint,
    form: Mapping[str, str] | None = None,
    *,
    headers: Iterable[Header] = (),
    seconds: float,
    largest: int,
    proxies: bool = True,
    cancellation: Cancellation | None = None,
) -> Response:
    """Send one request and read its answer; raise :class:`HttpError`.

    It is a GET, or a POST of a form. ``headers`` are sent unless the user has set others of the
    same names. Everything together, the name look-up included, takes at most ``seconds``. The body
    has at most ``largest`` bytes. ``proxies`` allows those that the environment names.
    """
    late = HttpError(f"it does not answer within {seconds:g} s", reason=Reason.TIMEOUT)
    timeouts = (seconds + _GRACE, seconds + _GRACE)
    with (
        (cancellation or Cancellation()).child() as work,
        open_session(work, proxies=proxies) as session,
        map_http_errors(endpoint),
        work.limit(seconds, late),
        send(session, endpoint, headers, timeouts, form) as answer,
    ):
        body = read_body(answer, largest)
        work.check()  # a connection that was shut down may look like the regular end of a body
        return Response(answer.status_code, answer.headers, body)


@contextmanager
def open_session(cancellation: Cancellation, *, proxies: bool = True) -> Iterator[requests.Session]:
    """Open a session of ``requests`` whose connections a cancellation ends."""
    import requests  # it takes a tenth of a second to import

    with requests.Session() as session:
        session.trust_env = proxies
        # Redirects are not followed, but requests reads where they lead, and fails on nonsense.
        session.get_redirect_target = _nowhere  # type: ignore[method-assign]
        for prefix in ("http://", "https://"):
            session.mount(prefix, _adapter(cancellation))
        yield session


def send(
    session: requests.Session,
    endpoint: Endpoint,
    headers: Iterable[Header],
    timeouts: tuple[float, float],
    form: Mapping[str, str] | None = None,
) -> requests.Response:
    """Send a GET, or a form by POST; return the answer, its body not read yet.

    ``timeouts`` are the seconds for connecting and for each wait for data.
    """
    if form is not None:
        headers = (*headers, ("Content-Type", "application/x-www-form-urlencoded"))
    merged = _merged(endpoint, headers)
    _note_secrets(endpoint, merged, form or {})
    answer = session.request(
        "GET" if form is None else "POST",
        endpoint.url,
        data=form,
        auth=_sending(merged),
        verify=_trusted(endpoint),
        cert=_shown_certificate(endpoint),
        timeout=timeouts,
        allow_redirects=False,
        stream=True,
    )
    if endpoint.on_answer:
        endpoint.on_answer(answer.headers)
    if fault := _plain_proxy_fault(session, endpoint, answer.status_code):
        answer.close()
        raise HttpError(fault, reason=reason_of(answer.status_code))
    coding = answer.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _CODINGS:
        answer.close()
        raise HttpError(
            f"its answer is compressed with {shown(coding)}, which was not asked for",
            reason=Reason.UNEXPECTED_ANSWER,
        )
    return answer


def _trusted(endpoint: Endpoint) -> str | bool:
    """Return the certificates to trust; ``requests`` itself reads only its own two variables."""
    if endpoint.ca_file:
        require_certificates(endpoint.ca_file)
        return str(endpoint.ca_file)
    own = any(os.environ.get(name) for name in _CA_VARIABLES)
    return (not own and os.environ.get("SSL_CERT_FILE")) or True


def _shown_certificate(endpoint: Endpoint) -> str | tuple[str, str] | None:
    """Return the files of the client certificate; raise :class:`SettingsError` for bad ones.

    They are read anew for each connection. OpenSSL would ask a terminal for a key's password.
    """
    certificate, key = endpoint.client_cert, endpoint.client_key
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_key_pair(context, certificate, key, "the client certificate")
    return (str(certificate), str(key)) if key else str(certificate)


@contextmanager
def map_http_errors(endpoint: Endpoint, error: type[HttpError] = HttpError) -> Iterator[None]:
    """Raise an error of one line for those of the libraries, whose texts would show the URL."""
    import requests
    import urllib3.exceptions

    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as why:
        message, reason = _explain(why, endpoint)
        raise error(message, reason=reason) from why
    except SettingsError as why:
        raise error(str(why), reason=Reason.BAD_CREDENTIALS) from why


def require_certificates(path: Path) -> None:
    """Raise :class:`SettingsError` if a file holds none; the libraries do not name it."""
    name = shown(str(path))
    if path.is_fifo():
        raise SettingsError(f"cannot read the certificates {name}: it is not a regular file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as why:
        raise SettingsError(f"{name} holds no certificates to trust") from why
    except OSError as why:
        raise SettingsError(f"cannot read the certificates {name}: {os_reason(why)}") from why


def read_body(answer: requests.Response, largest: int) -> bytes:
    """Read a body of at most ``largest`` bytes; of an error only its start, of a redirect none."""
    if answer.status_code // 100 == _REDIRECTION:
        return b""
    if answer.status_code != HTTPStatus.OK:
        start = bytes(answer.raw.read(LARGEST_ERROR, decode_content=True))
        if answer.status_code == HTTPStatus.BAD_REQUEST and (fault := _nginx_fault(start)):
            raise HttpError(fault, reason=Reason.UNAUTHORIZED)
        return start
    body = bytearray()
    while piece := answer.raw.read1(_PIECE, decode_content=True):
        body += piece
        if len(body) > largest:
            raise HttpError(
                f"its answer is larger than {_in_bytes(largest)}", reason=Reason.TOO_LARGE
            )
    return bytes(body)


def redirection(status: int) -> str:
    """Return the explanation for a status that redirects, ``""`` for any other."""
    return ", a redirect, which is not followed" if status // 100 == _REDIRECTION else ""


def reason_of(status: int) -> Reason:
    """Return the reason of a failure for an HTTP status."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Reason.SERVER_ERROR
    return _REASONS.get(status, Reason.UNEXPECTED_ANSWER)


_REASONS = {
    401: Reason.UNAUTHORIZED,
    403: Reason.FORBIDDEN,
    404: Reason.NOT_FOUND,
    410: Reason.NOT_FOUND,
    407: Reason.UNREACHABLE,
    408: Reason.TIMEOUT,
    429: Reason.RATE_LIMITED,
}


def retry_after(headers: Mapping[str, str]) -> float:
    """Read Retry-After (RFC 9110, section 10.2.3), seconds or a date, into seconds from now."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value[:_MOST_DIGITS])
    seconds = _seconds_until(value)
    return 0.0 if seconds is None else max(0.0, seconds)


def clock_offset(headers: Mapping[str, str]) -> float | None:
    """Return by how many seconds our clock is ahead of the server's, ``None`` if it sends no Date.

    An answer out of a cache has the Date of its origin, and its Age since then (RFC 9111, 5.1).
    """
    seconds = _seconds_until(headers.get("Date", ""))
    age = headers.get("Age", "")
    spent = float(age[:_MOST_DIGITS]) if age.isascii() and age.isdigit() else 0.0
    return None if seconds is None else -seconds - spent


def _seconds_until(date: str) -> float | None:
    """Return the seconds from now to a date of HTTP, ``None`` if it is none."""
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - datetime.now(UTC)).total_seconds()


def _in_bytes(number: int) -> str:
    return f"{number >> 20} MiB" if number >= 1 << 20 else f"{number >> 10} KiB"


def _merged(endpoint: Endpoint, headers: Iterable[Header]) -> tuple[Header, ...]:
    """Return the user's headers, as often as they are given, and ours of other names."""
    ours = {
        "Accept-Encoding": "identity",
        "User-Agent": f"ctsdns-traefik/{__version__}",
        **dict(headers),
        **endpoint.authorization(),
    }
    given = {name.lower() for name, _ in endpoint.headers}
    return (
        *((name, value) for name, value in ours.items() if name.lower() not in given),
        *endpoint.headers,
    )


def _note_secrets(endpoint: Endpoint, headers: Iterable[Header], form: Mapping[str, str]) -> None:
    """Note what messages must not repeat: the user's headers, credentials, query and form."""
    for name, value in headers:
        if name.lower() == "authorization" or (name, value) in endpoint.headers:
            endpoint.sent.add_header(name, value)
    endpoint.sent.add_credentials(endpoint.credentials or "")
    endpoint.sent.add_query(urlsplit(endpoint.url).query)
    endpoint.sent.add_form(form.items())


def _sending(
    headers: Iterable[Header],
) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Return what puts exactly these headers on a request, one line each.

    ``requests`` keeps headers by their names, and so only the last of several. To it this is an
    authentication, and with any set it does not read ~/.netrc.
    """
    from urllib3 import HTTPHeaderDict

    def send(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers = HTTPHeaderDict(headers)  # type: ignore[assignment]
        return request

    return send


def _nowhere(resp: requests.Response) -> None:
    """Report no target for a redirect."""


def _adapter(cancellation: Cancellation) -> requests.adapters.HTTPAdapter:
    """Return what makes a session's connections, directly and through proxies."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            _connect_by(cancellation, self.poolmanager)

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> PoolManager:
            manager: PoolManager = super().proxy_manager_for(proxy, **kwargs)
            _connect_by(cancellation, manager)
            return manager

    return Adapter()


def _connect_by(cancellation: Cancellation, manager: PoolManager) -> None:
    """Have a pool manager's connections made so that the cancellation ends them.

    ``_new_conn`` is what urllib3's own SOCKS support overrides, too: it makes the TCP connection,
    before TLS and before a proxy is asked for a tunnel, so that both can be ended as well.
    """

    def cancellable(pool: Any) -> Any:
        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def _new_conn(self) -> Any:
                return cancellation.connect(super()._new_conn)

            def send(self, data: Any) -> None:
                try:
                    super().send(data)
                except ssl.SSLEOFError as why:
                    # In TLS 1.3 a refused certificate ends a handshake that looked complete. With
                    # this error urllib3 goes on to read the answer, which is the server's alert.
                    raise BrokenPipeError(errno.EPIPE, "the connection was closed") from why

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    classes = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {name: cancellable(pool) for name, pool in classes.items()}


def _explain(error: BaseException, endpoint: Endpoint) -> tuple[str, Reason]:  # noqa: C901, PLR0911, PLR0912
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
    """Return what an error of TLS means, and whether the server has judged our certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = f"its certificate cannot be trusted: {shown(error.verify_message)}"
        return fault, Reason.TLS_FAILED
    fault = shown(error.reason or str(error))
    if fault == _NO_TLS:
        return f"it speaks plain HTTP; write {_in_plain(endpoint)}", Reason.TLS_FAILED
    if fault == _NO_CERTIFICATES:
        return _bad_bundle(), Reason.UNREACHABLE
    alert, ours = fault.partition("_ALERT_")[2], endpoint.client_cert
    if alert in _CERTIFICATE_ALERTS:
        kind = alert.lower().replace("_", " ")
        refused = f"it refuses the client certificate {shown(str(ours))} ({kind})"
        return refused if ours else _DEMAND, Reason.UNAUTHORIZED
    # TLS 1.2 has no alert of its own for a missing certificate.
    missing = alert == "HANDSHAKE_FAILURE" and not ours
    perhaps = "; perhaps it demands a client certificate (--client-cert)" if missing else ""
    return f"TLS failed: {fault}{perhaps}", Reason.TLS_FAILED


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


def _nginx_fault(page: bytes) -> str:
    """Return what a page of nginx's means, which answers over HTTP where others send an alert."""
    if b"No required SSL certificate was sent" in page:
        return _DEMAND
    refused = b"The SSL certificate error" in page
    return "it refuses the client certificate, says nginx" if refused else ""


def _proxy_fault(error: Exception, endpoint: Endpoint) -> str:
    """Return what a proxy refused, or why it cannot be reached."""
    name = _proxy_variable(endpoint)
    if in_quotes(os.environ.get(name, "")):
        return f"the value of {name} is in quotes: write it without"
    for cause in _causes(error):
        if tunnel := _TUNNEL.search(str(cause)):
            fault = _TUNNEL_FAULTS.get(tunnel[1], "answers {status}").format(status=tunnel[1])
            return f"the proxy that {name} names {fault}"
        if isinstance(cause, OSError) and cause.strerror:
            return f"the proxy that {name} names cannot be reached: {os_reason(cause)}"
    return f"the proxy that {name} names cannot be used"


_TUNNEL_FAULTS = {
    "403": "does not allow this connection (403)",
    "407": "asks for credentials (407): write them in its URL",
}


def _plain_proxy_fault(session: requests.Session, endpoint: Endpoint, status: int) -> str:
    """Return what an answer by way of a proxy without a tunnel means; 403 may be from either."""
    import requests.utils

    if urlsplit(endpoint.url).scheme == "https" or str(status) not in _TUNNEL_FAULTS:
        return ""
    if not (session.trust_env and requests.utils.get_environ_proxies(endpoint.url)):
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
        return f"{name} names a SOCKS proxy, which needs PySocks: pip install 'requests[socks]'"
    parsed = isinstance(error, faults.InvalidProxyURL | urllib3.exceptions.LocationParseError)
    if name != _NO_PROXY and (parsed or isinstance(error, faults.InvalidURL | ValueError)):
        return f"{name} is not the URL of a proxy, such as http://127.0.0.1:3128"
    if isinstance(error, OSError) and "CA certificate bundle" in text:
        return _bad_bundle()
    return ""


def _bad_bundle() -> str:
    named = [each for each in (*_CA_VARIABLES, "SSL_CERT_FILE") if os.environ.get(each)]
    return f"{named[0] if named else 'a setting'} names no file with certificates"


_NO_PROXY = "no variable"


def _proxy_variable(endpoint: Endpoint) -> str:
    """Return the name of the variable whose proxy requests to an endpoint take."""
    scheme = urlsplit(endpoint.url).scheme
    names = [f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    return next((name for name in names if os.environ.get(name)), _NO_PROXY)


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
