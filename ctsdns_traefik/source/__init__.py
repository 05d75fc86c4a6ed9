"""Where policies come from: one connection or file at a time, as events and hosts.

Only this package and the access service speak HTTP through requests.
"""
