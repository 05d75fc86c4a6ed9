"""Sources that are polled: what comes of one poll, or of a run of them without waiting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ctsdns_traefik.cancellation import Cancellation
from ctsdns_traefik.errors import SourceError
from ctsdns_traefik.source.base import Received, Source
from ctsdns_traefik.source.dispatch import SourceSettings, source_from

HOSTS = {"_web_http_80._tcp.a.example.com": "100.64.0.1"}
POLICY = '{\n\t// a comment\n\t"hosts": {"_web_http_80._tcp.a.example.com": "100.64.0.1",},\n}\n'


def source_at(address: str, environment: Mapping[str, str] | None = None, **given: Any) -> Source:
    """Build a source from its address and settings."""
    return source_from(address, SourceSettings(environment=environment or {}, **given))


def headscale_at(url: str, key: str, folder: Path, **given: Any) -> Source:
    """Build the source of a Headscale, its key in a file."""
    file = folder / "key"
    file.write_text(f"{key}\n")
    return source_at(f"headscale+{url}", token_file=file, **given)


def first_of(source: Source) -> Received:
    """Return what one poll yields; a run ends then."""
    with source.follow(Cancellation(), lambda _: None) as run:
        return next(run)


def failure_of(source: Source) -> SourceError:
    """Return how one poll fails."""
    with pytest.raises(SourceError) as caught:
        first_of(source)
    return caught.value
