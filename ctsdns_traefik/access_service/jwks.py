"""A JSON Web Key Set (RFC 7517): its text to the RSA keys that can verify RS256 signatures.

Cloudflare's answer has the current key and the previous one under ``keys``, and the same as
certificates beside it, which are not needed here::

    {"keys": [{"kid": "1a1c...", "kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB",
               "n": "5PKw..."}, ...], "public_cert": {...}, "public_certs": [...]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey as Key
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from ctsdns_traefik.errors import SourceError

__all__ = ["LEAST_BITS", "Key", "Keys", "KeysUnavailable", "read_keys"]

Keys = Mapping[str, Key]
"""Keys by their identifiers (``kid``)."""

LEAST_BITS = 2048
"""The smallest RSA key that RS256 may be used with (RFC 7518, section 3.3)."""


class KeysUnavailable(SourceError):
    """The team's keys are not available, so that no token can be verified."""


def read_keys(text: bytes) -> Keys:
    """Read a key set; raise :class:`KeysUnavailable` if there is no usable key in it.

    Keys of other kinds and uses are passed over, as RFC 7517, section 5, wants it. Of keys with
    the same identifier the first counts.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as why:
        raise KeysUnavailable("the answer is not JSON") from why
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise KeysUnavailable("the answer is not a key set: it has no list of keys")
    keys = dict(reversed(list(_usable(listed))))
    if not keys:
        raise KeysUnavailable("the key set has no RSA key of at least 2048 bits for signatures")
    return MappingProxyType(keys)


def _usable(listed: list[Any]) -> Iterator[tuple[str, Key]]:
    for entry in listed:
        if isinstance(entry, dict) and _verifies_rs256(entry):
            key = _public_key(entry["n"], entry["e"])
            if key and key.key_size >= LEAST_BITS:
                yield entry["kid"], key


def _verifies_rs256(entry: dict[str, Any]) -> bool:
    """Return whether a key is for signatures by RS256 (RFC 7517, sections 4.1 to 4.5)."""
    operations = entry.get("key_ops", ["verify"])
    return (
        entry.get("kty") == "RSA"
        and entry.get("use", "sig") == "sig"
        and entry.get("alg", "RS256") == "RS256"
        and isinstance(operations, list)
        and "verify" in operations
        and all(isinstance(entry.get(name), str) and entry[name] for name in ("kid", "n", "e"))
    )


def _public_key(modulus: str, exponent: str) -> Key | None:
    """Build a key from its two public numbers alone, and nothing else that the set has about it."""
    try:
        key = RSAAlgorithm.from_jwk({"kty": "RSA", "n": modulus, "e": exponent})
    except (InvalidKeyError, ValueError):
        return None
    return key if isinstance(key, Key) else None
