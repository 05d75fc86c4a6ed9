"""The verification of Cloudflare Access tokens: signature, issuer, audience and times.

PyJWT checks the signature (RFC 7515). It would compare the claims (RFC 7519, section 4.1) with the
system's clock, and take the text "5" for the number: so they are checked here, against a time that
is passed in and without conversions.
Cloudflare describes them in its documentation under "Application token".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from jwt import PyJWS
from jwt.exceptions import InvalidSignatureError, PyJWTError

from ctsdns_traefik.access_service.jwks import Key

ALGORITHM = "RS256"
"""The one algorithm that is accepted, whichever a token's header names (RFC 8725, 3.1)."""

LONGEST_TOKEN = 16 * 1024
"""Characters of a token at most; Cloudflare's have one or two thousand."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER_VALUE = re.compile(r"[!-~]{1,512}")
_JWS = PyJWS()


class Identity(NamedTuple):
    """Who sent a request; both are fit to be the value of a header."""

    user: str
    """The e-mail address; for a service token its client identifier."""
    subject: str
    """The user's identifier at Cloudflare; for a service token its client identifier."""


class Refused(NamedTuple):
    """A token is refused; the reason is for the log, and repeats nothing of the token."""

    reason: str


@dataclass(frozen=True)
class Expectations:
    """The claims that a token must have."""

    issuer: str
    audiences: frozenset[str]
    """The token has to be for one of them; an empty set accepts none."""
    leeway: float = 0.0
    """Seconds by which the issuer's clock may differ."""


class _TokenRefused(Exception):
    """A reason on its way to :func:`verify`."""


def verify(
    token: str, find_key: Callable[[str], Key | None], expected: Expectations, now: float
) -> Identity | Refused:
    """Return who sent a token, or why it is refused.

    ``find_key`` returns the issuer's key with an identifier; its errors pass through. ``now`` is
    in seconds since the epoch.
    """
    try:
        claims = _signed_claims(token, find_key)
        _check_origin(claims, expected)
        _check_times(claims, expected.leeway, now)
        return _identity(claims)
    except _TokenRefused as why:
        return Refused(str(why))


def _signed_claims(token: str, find_key: Callable[[str], Key | None]) -> dict[str, Any]:
    """Check the signature, and only then read what is signed."""
    key = find_key(_key_identifier(token))
    if key is None:
        raise _TokenRefused("it is signed with a key that the team does not have")
    try:
        payload = _JWS.decode_complete(token, key, algorithms=[ALGORITHM])["payload"]
        claims = json.loads(payload)
    except InvalidSignatureError as why:
        raise _TokenRefused("its signature is wrong") from why
    except (PyJWTError, ValueError, RecursionError) as why:
        raise _TokenRefused("it is malformed") from why
    if not isinstance(claims, dict):
        raise _TokenRefused("it holds no claims")
    return claims


def _key_identifier(token: str) -> str:
    """Read the only two things that count in a token's header; jku, jwk, x5u and x5c do not."""
    if len(token) > LONGEST_TOKEN:
        raise _TokenRefused(f"it is longer than {LONGEST_TOKEN} characters")
    if not _COMPACT.fullmatch(token):
        raise _TokenRefused("it is not a signed token")
    try:
        header = _JWS.get_unverified_header(token)
    except (PyJWTError, ValueError, RecursionError) as why:
        raise _TokenRefused("its header is malformed") from why
    if header.get("alg") != ALGORITHM:
        raise _TokenRefused(f"it is not signed with {ALGORITHM}")
    if "crit" in header:  # to be refused if what it names is not known (RFC 7515, 4.1.11)
        raise _TokenRefused("its header demands extensions")
    identifier = header.get("kid")
    if not isinstance(identifier, str) or not identifier:
        raise _TokenRefused("it does not name its key")
    return identifier


def _check_origin(claims: dict[str, Any], expected: Expectations) -> None:
    """Check who made the token, for whom, and that it is not the team's own session token.

    The ``type`` of a session token is ``org``; a token without a type is none.
    """
    if claims.get("iss") != expected.issuer:
        raise _TokenRefused("its issuer is another")
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if not any(isinstance(each, str) and each in expected.audiences for each in audiences):
        raise _TokenRefused("it is for another application (aud)")
    if claims.get("type", "app") != "app":
        raise _TokenRefused("it is not an application token (type)")


def _check_times(claims: dict[str, Any], leeway: float, now: float) -> None:
    """Check when the token begins and ends to be good; only the end has to be there."""
    if now >= _time(claims, "exp") + leeway:
        raise _TokenRefused("it has expired")
    if "iat" in claims and now < _time(claims, "iat") - leeway:
        raise _TokenRefused("it was issued in the future (iat)")
    if "nbf" in claims and now < _time(claims, "nbf") - leeway:
        raise _TokenRefused("it is not valid yet (nbf)")


def _time(claims: dict[str, Any], name: str) -> float:
    """Read a NumericDate (RFC 7519, section 2)."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _TokenRefused(f"it has no time {name}")
    return value


def _identity(claims: dict[str, Any]) -> Identity:
    """Read the user, or the service: its token has a common name, no e-mail, an empty subject."""
    if claims.get("email"):
        return Identity(_header_value(claims, "email"), _header_value(claims, "sub"))
    if "common_name" not in claims:
        raise _TokenRefused("it names neither a user (email) nor a service (common_name)")
    name = _header_value(claims, "common_name")
    return Identity(name, _header_value(claims, "sub") if claims.get("sub") else name)


def _header_value(claims: dict[str, Any], name: str) -> str:
    """Read a claim that becomes a header; what a header cannot hold unchanged is refused."""
    value = claims.get(name)
    if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
        raise _TokenRefused(f"its {name} is missing, or cannot be the value of a header")
    return value
