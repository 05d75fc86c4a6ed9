"""HTTP requests: sessions that can be cancelled, one bounded GET, and errors in one line.

``requests`` sends them. No redirect is followed, so that credentials go to no other host, and
``~/.netrc``, which could replace an explicit Authorization header, is not read.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ctsdns_traefik import __version__
from ctsdns_traefik.bounded_file import LARGEST_SETTINGS, read_bounded
from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.core.text import shown
from ctsdns_traefik.errors import Reason, SettingsError, SourceError, map_os_errors
from ctsdns_traefik.key_pair import load_key_pair
from ctsdns_traefik.source.endpoint import Endpoint, Header
from ctsdns_traefik.source.http_faults import (
    CA_VARIABLES,
    explain,
    nginx_fault,
    plain_proxy_fault,
)

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
        raise HttpError(f"it answers {response.status}{redirection(response)}")
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
    if session.trust_env and (fault := plain_proxy_fault(endpoint, answer.status_code)):
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
    own = any(os.environ.get(name) for name in CA_VARIABLES)
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
        message, reason = explain(why, endpoint)
        raise error(message, reason=reason) from why
    except SettingsError as why:
        raise error(str(why), reason=Reason.BAD_CREDENTIALS) from why


def require_certificates(path: Path) -> None:
    """Raise :class:`SettingsError` if a file holds none; the libraries do not name it.

    A folder of the system's certificates is not looked into.
    """
    name = shown(str(path))
    if path.is_dir():
        return
    with map_os_errors(f"cannot read the certificates {name}", SettingsError):
        read_bounded(path, LARGEST_SETTINGS)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError as why:
            raise SettingsError(f"cannot use the certificates {name}: it has none in PEM") from why


def read_body(answer: requests.Response, largest: int) -> bytes:
    """Read a body of at most ``largest`` bytes; of an error only its start, of a redirect none."""
    if answer.status_code // 100 == _REDIRECTION:
        return b""
    if answer.status_code != HTTPStatus.OK:
        start = bytes(answer.raw.read(LARGEST_ERROR, decode_content=True))
        if answer.status_code == HTTPStatus.BAD_REQUEST and (fault := nginx_fault(start)):
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


def redirection(response: Response) -> str:
    """Return the explanation for an answer that redirects, ``""`` for any other.

    It names the target's host alone: the rest may hold secrets.
    """
    if response.status // 100 != _REDIRECTION:
        return ""
    host = ""
    with suppress(ValueError):
        host = urlsplit(response.headers.get("Location", "")).hostname or ""
    target = f" to {shown(host)}" if host else ""
    return f", a redirect{target}, which is not followed: name the final URL"


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
