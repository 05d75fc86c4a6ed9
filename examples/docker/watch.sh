#!/bin/sh
# The first process of the image that has watch alone: ctsdns-traefik with the container's arguments.
#
# Before a watch with settings from variables alone it checks them. What it finds is in the log, and
# keeps nothing from starting: watch itself ends for settings and outputs that it cannot use, and waits
# for all else with the last routes live.
if [ "$*" = watch ]; then
  trap 'exit 0' TERM; trap 'exit 130' INT
  timeout 10 ctsdns-traefik watch --check --offline >&2
  trap - TERM INT
fi
exec ctsdns-traefik "$@"
