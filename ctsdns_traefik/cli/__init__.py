"""The command line: each command declares its options, builds what they name, and runs it.

Only this package uses click; reports are in its package report.
"""

from ctsdns_traefik.cli.program import main

__all__ = ["main"]
