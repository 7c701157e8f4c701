"""Freed memory, returned to the system: allocators keep it for later use, which after a large batch is a gigabyte and more."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

LARGE = 128 * 2**20
"""Bytes of a batch from which releasing memory pays: to allocate anew costs more time than to reuse what was kept."""
_M_MMAP_THRESHOLD, _MAPPED_FROM = -3, 4 * 2**20


def release_memory(batch_bytes: int) -> None:
    """Collect garbage, and have the allocators of pyarrow and of the C library release what is free, if the batch was large.

    From then on the C library returns arrays of 4 MiB and more as they are freed. By default it raises that size up to 32 MiB when it meets
    such arrays, and keeps smaller ones with the thread that had them.

    Args:
        batch_bytes: size of the batch that was processed.
    """
    if batch_bytes < LARGE:
        return
    import pyarrow as pa

    gc.collect(1)  # the younger generations, which hold a batch's objects: a full collection takes 0.3 s
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # only the GNU C library has these
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        library.malloc_trim(0)
