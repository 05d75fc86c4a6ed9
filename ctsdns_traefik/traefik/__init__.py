"""A real Traefik: its API, its binary, and the sandbox that proves a document.

What only a running Traefik can answer belongs here; rules about it are in core/checks.
"""
