"""Server-Sent Events: framing, answers that are no stream, and when to connect again.

Bytes and numbers in, values out; the connection itself is in source.
"""
