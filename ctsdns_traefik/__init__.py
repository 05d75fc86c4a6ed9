"""Turn the service entries of a Tailscale policy into Traefik routes, and keep them live."""

__version__ = "0.1.0"
