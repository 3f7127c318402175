"""Keeps the C library from handing big buffers back to the system after every training step.

Knows glibc's allocator only; elsewhere it does nothing.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_KEPT_BYTES = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 2**25  # HEAP_MAX_SIZE / 2, the most that glibc takes
_TOP_PAD_BYTES = 2**26


def reuse_large_buffers() -> None:
    """Let freed tensors be used again instead of mapping and zeroing fresh pages for each.

    A step's tensors of tens of MB are otherwise mapped anew by the kernel each time, and zeroing
    their pages takes a good part of the step.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
