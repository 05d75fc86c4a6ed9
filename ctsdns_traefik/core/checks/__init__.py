"""Rules that report what Traefik would do with entries, settings and access.

Each rule is a function from what is known to diagnostics.
"""
