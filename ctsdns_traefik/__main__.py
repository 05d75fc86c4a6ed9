"""Run the command as ``python -m ctsdns_traefik``."""

import sys

from ctsdns_traefik.cli import main

if __name__ == "__main__":
    sys.exit(main())
