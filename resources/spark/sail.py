"""Sail, the embedded Spark engine, which gives memory back as soon as a query is done with it.

By default its allocator (mimalloc) does so at a thread's next use, and the threads of a query that has ended wait: after four queries over
millions of rows that was 2 GiB. The allocator reads the environment as the library is loaded; pyarrow, which is there by then, has another of
its own.
"""

from __future__ import annotations

import os

import pyarrow  # noqa: F401

_DELAY = "MIMALLOC_PURGE_DELAY"
_before = os.environ.get(_DELAY)
os.environ.setdefault(_DELAY, "0")

from pysail.spark import SparkConnectServer  # noqa: E402

if _before is None:  # processes that this one starts take theirs as they like
    del os.environ[_DELAY]

__all__ = ["SparkConnectServer"]
