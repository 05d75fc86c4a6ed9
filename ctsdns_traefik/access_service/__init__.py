"""Cloudflare Access at the origin: Traefik asks this service whether a request's token is good."""
