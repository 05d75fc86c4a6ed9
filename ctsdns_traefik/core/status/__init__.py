"""The status of watch as a value, as JSON, as Prometheus text, and whether it is healthy.

No clock is read here: times are passed in.
"""
