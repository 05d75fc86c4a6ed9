"""What can be set: the service's variables and defaults."""

from __future__ import annotations

from ctsdns_traefik.settings import Setting

TEAM_DOMAIN = Setting("CTSDNS_ACCESS_TEAM_DOMAIN")
LISTEN = Setting("CTSDNS_ACCESS_LISTEN", "127.0.0.1:4180")
AUDIENCES = Setting("CTSDNS_ACCESS_AUDIENCES")
LEEWAY = Setting("CTSDNS_ACCESS_LEEWAY_SECONDS", 10.0)
KEYS_URL = Setting("CTSDNS_ACCESS_KEYS_URL")
CA_FILE = Setting("CTSDNS_ACCESS_CA_FILE")
REFRESH_PAUSE = Setting("CTSDNS_ACCESS_REFRESH_PAUSE_SECONDS", 10.0)

KEYS_PATH = "/cdn-cgi/access/certs"
"""Where a team's domain has its keys (Cloudflare's documentation, "Validate JWTs")."""

MOST_LEEWAY = 300.0
"""Seconds by which clocks may be allowed to differ: an expired token lives on for as long."""
