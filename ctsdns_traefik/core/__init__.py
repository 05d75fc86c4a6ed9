"""The pure core: values in, values out; no files, sockets, clocks, environment or logging.

Read it in the order in which the data flows: :mod:`snapshot` (text to the hosts map), :mod:`hosts`
(names and addresses to entries), :mod:`routes` (entries to routes), :mod:`document` (routes to
Traefik's document and its text). :mod:`render` runs the last three in a row.
"""
