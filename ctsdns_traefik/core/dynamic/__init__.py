"""Traefik's dynamic configuration: entries to routes, to the document, to its text and back.

Comparing documents, with each other and with what Traefik serves, belongs here too.
"""
