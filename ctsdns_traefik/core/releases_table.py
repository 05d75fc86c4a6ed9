"""Which release of Traefik first has what. Made by tests/traefik_releases.py; do not edit."""

from __future__ import annotations

RELEASES: tuple[tuple[int, ...], ...] = (
    (3, 0, 4),
    (3, 2, 0),
    (3, 2, 1),
    (3, 2, 3),
    (3, 3, 2),
    (3, 3, 5),
    (3, 3, 6),
    (3, 4, 0),
    (3, 4, 3),
    (3, 5, 0),
    (3, 5, 1),
    (3, 5, 3),
    (3, 6, 0),
    (3, 6, 2),
    (3, 6, 4),
    (3, 6, 5),
    (3, 6, 6),
    (3, 6, 7),
    (3, 6, 8),
    (3, 6, 9),
    (3, 6, 10),
    (3, 6, 11),
    (3, 6, 13),
    (3, 6, 14),
    (3, 6, 15),
    (3, 7, 0),
    (3, 7, 1),
    (3, 7, 4),
    (3, 7, 5),
    (3, 7, 6),
    (3, 7, 10),
    (3, 7, 12),
    (3, 7, 13),
    (3, 7, 15),
)
"""Those that were asked."""

SINCE: dict[str, tuple[int, ...]] = {
    "allowACMEByPass": (3, 2, 0),
    "acme-past-redirect": (3, 6, 10),
    "tcp-healthCheck": (3, 6, 0),
    "wildcards": (3, 7, 0),
    "no-json": (3, 7, 4),
    "aliasHeadersStrategy": (3, 7, 12),
}
