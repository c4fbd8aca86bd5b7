"""Memory of one batch kept for the next.

glibc hands each large block back to the system when it is freed and gets it anew, page by page,
for the next batch: measured on a CPU, that is half of all time when predicting.
"""

import ctypes
import sys

# From glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> None:
    """Let this process keep what it frees. For programs, not for libraries: it is process-wide."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # other C libraries than glibc have none
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
