"""A release of libpq that neither the system nor the tests' packages have."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.certificates import Authority
from support.databases import needs_postgres
from support.libpq import PostgresStage, check_libpq, libpq_of

pytestmark = [needs_postgres, pytest.mark.timeout(300)]

PSYCOPG = "3.2.13"
"""The last release whose packages have libpq 17; psycopg 3.3 has 18."""


def test_libpq_17(authority: Authority, tmp_path: Path) -> None:
    """Libpq 17 is refused by Traefik's default and let through by an access file, as 18 is."""
    libpq = libpq_of(PSYCOPG, tmp_path / "packages")
    assert libpq.ask()[0] == 17
    (tmp_path / "stage").mkdir()
    with PostgresStage(tmp_path / "stage", authority) as stage:
        check_libpq(libpq, stage, 17)
