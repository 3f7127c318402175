"""Has the C library hand a replaced model's memory back to the system, and keep what requests use.

Knows glibc's allocator only; elsewhere it does nothing.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MAPPED_BYTES = 2**20
"""Far above what a request of one user needs, far below an array of a model."""
_KEPT_BYTES = 16 * 2**20
"""Above what the arrays of a batch need together. By default 128 KB of free memory are kept: the
rest went back after every batch, and was cleared again for the next one (measured at 7,000 items:
a hundred page faults for each request, a fifth of the processor time of its list)."""


def settle_allocations() -> None:
    """Map arrays from a megabyte on by themselves, for good, and keep some megabytes below that.

    By default glibc raises the first limit with every such array that is freed, and the next models
    come from heaps in which small objects keep what is freed around them from going back.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
