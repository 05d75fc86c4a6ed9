"""The store: Redis or Valkey, from which Traefik's Redis provider reads, in a file's place."""
