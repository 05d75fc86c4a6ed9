"""The pure core: values in, values out; no files, sockets, clocks, environment or logging.

Data flows through :mod:`.policy` (text to the hosts map), :mod:`.entries` (the hosts map to
entries), :mod:`.dynamic` (entries to routes and Traefik's document) and :mod:`.access`.
"""
