"""Return the memory of a large snapshot to the system once it is no longer needed."""

from __future__ import annotations

import gc
from contextlib import suppress

_M_MMAP_THRESHOLD = -3
_LARGE = 128 * 1024
_MANY_OBJECTS = 50_000


def expect_large_snapshots() -> None:
    """Return large blocks as soon as they are free, and collect garbage less often."""
    # Once a block of megabytes has been freed, glibc takes such blocks for common and keeps free
    # memory for the next. Setting the threshold, to the value that it starts with, prevents that
    # (mallopt(3), M_MMAP_THRESHOLD).
    _call_libc("mallopt", _M_MMAP_THRESHOLD, _LARGE)
    # Rendering makes tens of thousands of objects without a cycle among them. Searching for cycles
    # every 700 objects, Python's default, among all loaded modules takes a sixth of its time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MANY_OBJECTS)


def give_back() -> None:
    """Return free memory: lists of free objects, each of which keeps its arena, and free pages."""
    gc.collect()
    _call_libc("malloc_trim", 0)


def _call_libc(function: str, *numbers: int) -> None:
    """Call a function of glibc; other C libraries do not have these and are left alone."""
    import ctypes

    with suppress(AttributeError, OSError):
        getattr(ctypes.CDLL(None), function)(*numbers)
