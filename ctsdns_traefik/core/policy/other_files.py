"""Recognise files that hold a policy in another form, or none, to report that."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable

from ctsdns_traefik.core.policy.json_scanner import Member

_LONGEST = 64 * 1024
"""Bytes of a file's start in which its kind shows."""

_TERRAFORM = re.compile(
    r"""^\s*(?:resource\s+"|(?:acl|policy)\s*=\s*(?:<<|jsonencode|file))""", re.MULTILINE
)
_YAML = re.compile(
    r"\A(?:---\s*\n)?(?:\s*#[^\n]*\n)*(?!(?:data|event|id|retry):)[A-Za-z_][\w.-]*:(?:\s|\Z)"
)
_PAGE = re.compile(r"\A\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)
_KINDS = {
    _TERRAFORM: "it is Terraform: name the policy itself, the text of acl in a file of its own",
    _YAML: "it is YAML, such as Headscale's configuration: name the policy (policy.path there)",
    _PAGE: "it is a page of HTML",
}

_BASE64 = re.compile(r'"(?:e[w-z0-9+/]|Ly8)[A-Za-z0-9+/]*={0,2}"')
"""The base64 of what starts with ``{`` or ``//``."""


def kind_of(data: bytes) -> str:
    """Return what a file is that is no policy, ``""`` if that is not known."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):  # as PowerShell redirects output
        return "it is UTF-16: save it as UTF-8"
    start = data[:_LONGEST].decode("utf-8-sig", "replace")
    return next((what for form, what in _KINDS.items() if form.search(start)), "")


def kind_of_answer(text: str, members: Iterable[Member]) -> str:
    """Return which API's answer an object is, ``""`` if it is none that is known."""
    values = {each.name: text[each.start : each.end] for each in members}
    if _BASE64.fullmatch(values.get("acl", "")):
        return (
            "it is an answer of Tailscale's API with details, whose acl is base64: ask without"
            " details, and with Accept: application/hujson"
        )
    if values.get("policy", "").startswith('"') and "hosts" not in values:
        return "it is an answer of Headscale's API: name the text of its policy, in a file"
    return ""
