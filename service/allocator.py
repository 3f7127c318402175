"""Has the C library hand a replaced model's memory back to the system.

Knows glibc's allocator only; elsewhere it does nothing.
"""

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
_MAPPED_BYTES = 2**20
"""Far above what a request of one user needs, far below an array of a model."""


def return_large_buffers() -> None:
    """Map arrays from a megabyte on by themselves, for good.

    By default glibc raises that limit with every such array that is freed, and the next models
    come from heaps in which small objects keep what is freed around them from going back.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
