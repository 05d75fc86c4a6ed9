"""The command line: declare, build, run; the only part that knows click."""

from ctsdns_traefik.cli.program import main

__all__ = ["main"]
