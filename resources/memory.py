"""Memory that was freed, given back to the system: allocators keep it for what may come, which after a large batch is a gigabyte and more."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

LARGE = 100_000
"""Rows whose memory is worth the tenths of a second that it takes."""


def give_back(rows: int) -> None:
    """Collect, and have the allocators of pyarrow and of the C library let go, if so many rows were worked on."""
    if rows < LARGE:
        return
    import pyarrow as pa

    gc.collect()
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # the GNU C library's own
        ctypes.CDLL(None).malloc_trim(0)
