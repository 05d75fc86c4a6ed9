"""Tailscale's webhooks: verify the signature, and find out whether a policy was saved.

https://tailscale.com/kb/1213/webhooks describes them. The header is ``t=<unix seconds>,v1=<hex>``
with any number of ``v1``, each an HMAC-SHA256 over ``<t>.<body>`` with a secret as it stands; other
parts are for later versions. Nothing in the body is believed but that something was saved.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable

SIGNATURE = "Tailscale-Webhook-Signature"
OLDEST = 300.0
"""Seconds by which the time of a signature may differ from the present."""

LARGEST_BODY = 2 * 1024 * 1024
"""Bytes; an event of a saved policy holds the whole policy."""

_TIME = re.compile("[0-9]{1,12}")


class WebhookError(Exception):
    """A request that is not a webhook of Tailscale's, and why."""


def verify(header: str | None, body: bytes, secrets: Iterable[str], now: float) -> bytes:
    """Return a digest of what is signed: time and body; the rest of a header anybody may change.

    Raise :class:`WebhookError` unless one of some secrets has signed it just now.
    """
    if not header:
        raise WebhookError("it is not signed")
    parts = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not _TIME.fullmatch(times[0]) or not given:
        raise WebhookError(f"its {SIGNATURE} is malformed")
    signed = f"{times[0]}.".encode() + body
    wanted = [hmac.new(each.encode(), signed, hashlib.sha256).hexdigest() for each in secrets]
    if not any(
        hmac.compare_digest(one.encode(), other.encode()) for one in given for other in wanted
    ):
        raise WebhookError("its signature is not that of the secret")
    if abs(now - int(times[0])) > OLDEST:
        raise WebhookError("its signature is more than five minutes old, or a clock is wrong")
    return hashlib.sha256(signed).digest()


def reports_saved_policy(body: bytes) -> bool:
    """Return whether a body reports a saved policy.

    Raise :class:`WebhookError` if it is no list of events.
    """
    try:
        events = json.loads(body)
    except (ValueError, RecursionError) as why:
        raise WebhookError("its body is not JSON") from why
    if not isinstance(events, list):
        raise WebhookError("its body is not a list of events")
    return any(isinstance(each, dict) and each.get("type") == "policyUpdate" for each in events)
