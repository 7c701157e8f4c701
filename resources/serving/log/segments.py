"""A segment's file: a header, records with length and checksum, and an end that its writer adds when it closes it.

A file without an end is of a writer that was killed, or still writes. What follows its last whole record is torn. A closed file must be whole.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lakeloop.errors import DataError
from resources.serving.log.record import LogKind, RowLayout

if TYPE_CHECKING:
    import pyarrow as pa

OPEN, CLOSED = ".open", ".segment"
"""Endings of the names of files that are written to, and that aren't any more."""
_MAGIC = b"LLSEG001"
_HEAD = struct.Struct("<II")
_FRAME = struct.Struct("<IIQII")
"""Length of the content, checksum of all that follows it, number of the first row, rows, rows dropped since the segment began."""
_CHECKED_FROM = 8


@dataclass(frozen=True)
class SegmentHeader:
    """What holds for all rows of a segment.

    Attributes:
        boot: of the writer; a process has one per model.
        segment: its number within the boot, from 1.
        first_seq: the number that its first row has, or would have.
        workflow: `domain/name`.
        version: of the model.
        columns: name and kind of each.
    """

    boot: str
    segment: int
    first_seq: int
    workflow: str
    version: str
    columns: tuple[tuple[str, LogKind], ...]

    def to_bytes(self) -> bytes:
        """As the file begins."""
        content = json.dumps(self.__dict__).encode()
        return _MAGIC + _HEAD.pack(len(content), zlib.crc32(content)) + content


@dataclass(frozen=True)
class Segment:
    """What a file holds.

    Attributes:
        header: of it.
        rows: with `boot` and `seq`.
        last_seq: the last number that was given, to a row or to one that was dropped.
        dropped: rows that the writer counted as dropped.
        closed_by: the writer, or whoever found the file after the writer's end.
        torn_bytes: behind the last whole record.
        digest: of the file's whole records.
    """

    header: SegmentHeader
    rows: pa.Table
    last_seq: int
    dropped: int
    closed_by: Literal["server", "recovery"]
    torn_bytes: int
    digest: str


def frame(content: bytes, first_seq: int, rows: int, dropped: int) -> bytes:
    """A record as it is written; without rows and content it ends a segment, and the number is the next that will be given."""
    fields = _FRAME.pack(len(content), 0, first_seq, rows, dropped)[_CHECKED_FROM:]
    checksum = zlib.crc32(content, zlib.crc32(fields))
    return b"".join((_HEAD.pack(len(content), checksum), fields, content))


def read_header(content: bytes, where: str) -> tuple[SegmentHeader, int]:
    """The header, and where records begin.

    Raises:
        DataError: it isn't whole.
    """
    start = len(_MAGIC) + _HEAD.size
    if content[: len(_MAGIC)] != _MAGIC or len(content) < start:
        raise DataError(f"{where}: wanted a segment of the inference log, found {len(content)} bytes without its header")
    length, checksum = _HEAD.unpack_from(content, len(_MAGIC))
    text = content[start : start + length]
    if zlib.crc32(text) != checksum:
        raise DataError(f"{where}: the header doesn't have its checksum")
    fields = json.loads(text)
    return SegmentHeader(**fields | {"columns": tuple((name, kind) for name, kind in fields["columns"])}), start + length


def read_segment(path: Path) -> Segment:
    """Read a file that nobody writes to any more.

    Raises:
        DataError: it was closed and isn't as it was then, or has whole records behind a broken one. The message shows no value.
    """
    import pyarrow as pa

    content = path.read_bytes()
    header, begin = read_header(content, path.name)
    view, at, end, total = memoryview(content), begin, False, len(content)
    records: list[tuple[int, bytes]] = []
    seqs: list[tuple[int, int]] = []
    next_seq, dropped = header.first_seq, 0
    unpack, head, crc32 = _FRAME.unpack_from, _FRAME.size, zlib.crc32  # looked up once, not for each record
    while not end and total - at >= head:
        length, checksum, first, rows, so_far = unpack(view, at)
        behind = at + head + length
        # Bytes, not views: those are followed by the garbage collector, by the hundred thousand.
        if behind > total or crc32(content[at + _CHECKED_FROM : behind]) != checksum:
            break
        if rows:
            records.append((rows, content[at + head : behind]))
            seqs.append((first, rows))
        end, next_seq, dropped, at = rows == 0, first + rows, so_far, behind
    is_closed = path.suffix == CLOSED
    torn = len(content) - at
    if (is_closed and not end) or (end and torn) or (torn and _has_whole_after(view, at)):
        raise DataError(f"{path.name}: byte {at} of {len(content)} begins no whole record, and it isn't a torn end")
    try:
        table = RowLayout(header.columns).read(records)
    except ValueError as error:
        raise DataError(f"{path.name}: its records don't have the columns of its header") from error
    table = table.append_column("seq", pa.array(_numbers(seqs), pa.int64()))
    table = table.append_column("boot", pa.repeat(pa.scalar(header.boot), len(table)))
    digest = sha256(view[:at]).hexdigest()
    return Segment(header, table, next_seq - 1, dropped, "server" if end else "recovery", torn, digest)


def _numbers(seqs: Sequence[tuple[int, int]]) -> np.ndarray:
    """The number of each row, of records that say their first and how many they have."""
    firsts, counts = np.array(seqs, np.int64).reshape(-1, 2).T
    begins = np.cumsum(counts) - counts
    return np.repeat(firsts - begins, counts) + np.arange(counts.sum())


def _whole_at(view: memoryview, at: int) -> int:
    """The size of the whole record that begins somewhere; 0 where none does."""
    if len(view) - at < _FRAME.size:
        return 0
    length, checksum = _HEAD.unpack_from(view, at)
    size = _FRAME.size + int(length)
    if len(view) - at < size or zlib.crc32(view[at + _CHECKED_FROM : at + size]) != checksum:
        return 0
    return size


def _has_whole_after(view: memoryview, at: int) -> bool:
    """Whether a whole record begins anywhere behind a broken one, whose length may be what is broken: then it was once written in full."""
    return any(_whole_at(view, behind) for behind in range(at + 1, len(view) - _FRAME.size + 1))


def is_headless(path: Path) -> bool:
    """Whether a file ends within its header, so that no row can be in it."""
    content = path.read_bytes()
    start = len(_MAGIC) + _HEAD.size
    return len(content) < start or (content.startswith(_MAGIC) and len(content) < start + _HEAD.unpack_from(content, len(_MAGIC))[0])
