"""Where documents go: a file or a store, and the user's commands around a change.

An output is read and written and returns what it did; it logs nothing.
"""
