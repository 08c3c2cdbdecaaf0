"""How the C library's allocator is set: for the command line and the benchmarks, never by the library."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_freed() -> None:
    """Tell glibc, for this whole process, to keep freed memory for what comes next; other C libraries do not listen.

    Fresh memory takes several times as long to write as memory that is there already; by itself glibc keeps blocks of
    at most 32 MB. The process then holds up to a tenth more.
    """
    tell = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if tell:
        tell(_MMAP_THRESHOLD, 2**31 - 1)
        tell(_TRIM_THRESHOLD, 2**31 - 1)
