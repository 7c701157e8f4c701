"""Memory that was freed, given back to the system: allocators keep it for what may come, which after a large batch is a gigabyte and more."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

LARGE = 128 * 2**20
"""Bytes of a batch whose memory is worth it: what is handed out anew costs more time than what was kept."""
_M_MMAP_THRESHOLD, _MAPPED_FROM = -3, 4 * 2**20


def give_back(size: int) -> None:
    """Collect, and have the allocators of pyarrow and of the C library let go, if a batch of so many bytes was worked on.

    From then on the C library gives arrays of 4 MiB and more back as they are freed. By itself it raises that size to 32 MiB as it meets such
    arrays, and keeps smaller ones with the thread that had them.
    """
    if size < LARGE:
        return
    import pyarrow as pa

    gc.collect(1)  # the newer objects, among which a batch's are: of all it takes 0.3 s
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # the GNU C library's own
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
        library.malloc_trim(0)
