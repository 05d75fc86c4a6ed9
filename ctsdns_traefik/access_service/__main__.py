"""Run the service as ``python -m ctsdns_traefik.access_service``."""

import sys

from ctsdns_traefik.access_service.main import main

if __name__ == "__main__":
    sys.exit(main())
