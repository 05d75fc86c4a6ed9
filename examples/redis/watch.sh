#!/bin/sh
# One watch publishes for all Traefiks; a second one on another machine stands by, and takes over.
# TRAEFIK_CONFIG_API_ENDPOINT names the source, tailscale: for one; the password stands in a file, not in a command line.
set -eu
cd "$(dirname "$0")"
export TRAEFIK_DYNAMIC_CONFIG_FILE="${TRAEFIK_DYNAMIC_CONFIG_FILE:-redis://ctsdns@127.0.0.1:6379/0?rootKey=traefik}"
export TRAEFIK_STORE_PASSWORD_FILE="${TRAEFIK_STORE_PASSWORD_FILE:-writer-password}"
export TRAEFIK_ACCESS_FILE="${TRAEFIK_ACCESS_FILE:-access.yml}"
exec ctsdns-traefik watch
