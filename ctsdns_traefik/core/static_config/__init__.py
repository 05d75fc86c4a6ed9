"""Traefik's static configuration, read as Traefik reads it.

It is only read here; rules about it are in core/checks.
"""
