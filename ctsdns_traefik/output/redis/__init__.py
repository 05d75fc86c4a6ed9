"""Redis or Valkey as the output, from which Traefik's Redis provider reads.

Only the connection module imports redis-py.
"""
