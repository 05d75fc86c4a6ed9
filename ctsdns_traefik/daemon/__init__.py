"""Watch as a process: the loop, the reconciler, events, status and the verifier.

What needs a source and an output at the same time belongs here; reading a policy or writing a
document does not.
"""
