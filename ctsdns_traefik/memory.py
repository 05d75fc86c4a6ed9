"""Memory that a large snapshot took, given back to the system when it is done with."""

from __future__ import annotations

import gc
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024


def expect_large_blocks() -> None:
    """Have large blocks returned as soon as they are free, and what is loaded not looked at again.

    To return them is how glibc starts. But once a block of megabytes has been freed, it takes such
    blocks for common, and keeps what is free for the next: mallopt(3), M_MMAP_THRESHOLD. To set
    the threshold, to the value that it has, holds it. Other C libraries are left alone.
    """
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
    gc.freeze()


def give_back() -> None:
    """Empty Python's lists of free objects, each of which keeps the arena that it lies in."""
    gc.collect()
