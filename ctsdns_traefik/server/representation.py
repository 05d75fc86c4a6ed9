"""Answers, and a document as it goes over the wire: text, gzip and ETag, each made once."""

from __future__ import annotations

import gzip
import hashlib
import re
from functools import cached_property
from http import HTTPStatus
from typing import NamedTuple

_LEVEL = 6
_CODING = re.compile(r"\s*(?P<name>[^\s;,]+)\s*(;\s*q=(?P<weight>[0-9.]+)\s*)?", re.IGNORECASE)


class Answer(NamedTuple):
    """One HTTP answer."""

    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


def text_answer(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    """Answer with one line of text."""
    return Answer(status, f"{text}\n".encode(), headers=headers)


class Representation:
    """One version of a document, which many clients ask for."""

    def __init__(
        self, content: bytes, content_type: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._content = content
        self._content_type = content_type
        self._headers = headers
        self.digest = hashlib.sha256(content).hexdigest()
        """Tells versions apart."""

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self._content, _LEVEL, mtime=0)

    def answer(self, accept_encoding: str | None, if_none_match: str | None) -> Answer:
        """Answer with the content, or with 304 if the client names its ETag."""
        small = accepts_gzip(accept_encoding)
        etag = f'"{self.digest}{"-gzip" if small else ""}"'
        headers = (*self._headers, ("ETag", etag), ("Vary", "Accept-Encoding"))
        if _matches(if_none_match, etag):
            return Answer(HTTPStatus.NOT_MODIFIED, b"", "", headers)
        if small:
            headers = (*headers, ("Content-Encoding", "gzip"))
        body = self._compressed if small else self._content
        return Answer(HTTPStatus.OK, body, self._content_type, headers)


def accepts_gzip(header: str | None) -> bool:
    """Return whether an ``Accept-Encoding`` header names gzip, or everything, and not with q=0."""
    weights = {}
    for part in (header or "").split(","):
        found = _CODING.fullmatch(part)
        if found:
            weights[found["name"].lower()] = (
                found["weight"] is None or found["weight"].strip("0.") != ""
            )
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def _matches(if_none_match: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in tags or "*" in tags
