"""Memory that a large snapshot took, given back to the system when it is done with."""

from __future__ import annotations

import gc
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024
_MANY_OBJECTS = 50_000


def expect_large_snapshots() -> None:
    """Have large blocks returned as soon as they are free, and garbage looked for less often.

    A rendering makes tens of thousands of objects without a cycle among them; to look for cycles
    every 700 objects, Python's default, and among all that is loaded, takes a sixth of its time.

    To return blocks at once is how glibc starts. But once a block of megabytes has been freed, it
    takes such blocks for common, and keeps what is free for the next: mallopt(3),
    M_MMAP_THRESHOLD. To set the threshold, to the value that it has, holds it. Other C libraries
    are left alone.
    """
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    gc.freeze()
    gc.set_threshold(_MANY_OBJECTS)


def give_back() -> None:
    """Empty Python's lists of free objects, each of which keeps the arena that it lies in."""
    gc.collect()
