"""Settings: the environment variable and the default of every option that has a variable."""

from __future__ import annotations

from typing import Any, NamedTuple


class Setting(NamedTuple):
    """The environment variable of a setting, and its default."""

    variable: str
    default: Any = None


ENDPOINT = Setting("TRAEFIK_CONFIG_API_ENDPOINT")
OUTPUT = Setting("TRAEFIK_DYNAMIC_CONFIG_FILE", "/etc/traefik/dynamic.yml")
ADOPT = Setting("TRAEFIK_CONFIG_ADOPT", False)
FORMAT = Setting("TRAEFIK_DYNAMIC_CONFIG_FORMAT", "json")
RETRY_DELAY = Setting("TRAEFIK_CONFIG_RETRY_DELAY_SECONDS", 5.0)
READ_TIMEOUT = Setting("TRAEFIK_CONFIG_READ_TIMEOUT_SECONDS", 90.0)
POLL_INTERVAL = Setting("TRAEFIK_CONFIG_POLL_INTERVAL_SECONDS", 30.0)
SNAPSHOT_TIMEOUT = Setting("TRAEFIK_CONFIG_SNAPSHOT_TIMEOUT_SECONDS", 60.0)
HEADERS = Setting("TRAEFIK_CONFIG_API_HEADERS")
TOKEN = Setting("TRAEFIK_CONFIG_API_TOKEN")
TOKEN_FILE = Setting("TRAEFIK_CONFIG_API_TOKEN_FILE")
CA_FILE = Setting("TRAEFIK_CONFIG_API_CA_FILE")
ACCESS_FILE = Setting("TRAEFIK_ACCESS_FILE")
ON_CHANGE = Setting("TRAEFIK_CONFIG_ON_CHANGE")
CHECK_COMMAND = Setting("TRAEFIK_CONFIG_CHECK_COMMAND")
TRAEFIK_API = Setting("TRAEFIK_CONFIG_TRAEFIK_API")
STORE_PASSWORD = Setting("TRAEFIK_STORE_PASSWORD")
STORE_PASSWORD_FILE = Setting("TRAEFIK_STORE_PASSWORD_FILE")
STORE_CA_FILE = Setting("TRAEFIK_STORE_CA_FILE")
STORE_LEASE = Setting("TRAEFIK_STORE_LEASE_SECONDS", 75.0)
# A trusted snapshot renews the lease, and the worker sends one every 30 s unless set otherwise: two
# that are lost or late do not cost it. It ends before the read timeout of a silent stream does.
REMOVAL_GUARD = Setting("TRAEFIK_CONFIG_REMOVAL_GUARD", True)
STATUS_FILE = Setting("TRAEFIK_CONFIG_STATUS_FILE")
METRICS_FILE = Setting("TRAEFIK_CONFIG_METRICS_FILE")
LISTEN = Setting("TRAEFIK_CONFIG_LISTEN")
LISTEN_TOKEN_FILE = Setting("TRAEFIK_CONFIG_LISTEN_TOKEN_FILE")
LISTEN_OPEN = Setting("TRAEFIK_CONFIG_LISTEN_OPEN", False)
LISTEN_HOSTS = Setting("TRAEFIK_CONFIG_LISTEN_HOSTS")
LISTEN_CERT = Setting("TRAEFIK_CONFIG_LISTEN_CERT")
LISTEN_KEY = Setting("TRAEFIK_CONFIG_LISTEN_KEY")
LISTEN_INTERVAL = Setting("TRAEFIK_CONFIG_LISTEN_INTERVAL_SECONDS", 30.0)
WEBHOOK_SECRET_FILE = Setting("TRAEFIK_CONFIG_WEBHOOK_SECRET_FILE")
LOG_FORMAT = Setting("TRAEFIK_CONFIG_LOG_FORMAT", "text")
MAX_AGE = Setting("TRAEFIK_CONFIG_MAX_AGE_SECONDS", 120.0)

LONGEST_WAIT = 86_400.0
"""Upper limit in seconds of every delay and timeout: a day."""
