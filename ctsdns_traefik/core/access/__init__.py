"""The access file: its text to a model, and the model applied to routes.

Rules that only warn about it are in core/checks.
"""
