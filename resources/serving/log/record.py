"""A row of the inference log as bytes, and many of them as Arrow: numbers in a packed structure, texts behind it.

What is written per request is one `struct`, whose layout is that of the NumPy dtype by which the committer reads all rows of a segment at once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

LogKind = Literal["double", "long", "boolean", "string", "time"]
_CODES: dict[str, str] = {"double": "d", "long": "q", "boolean": "?", "string": "i", "time": "q"}
_DTYPES: dict[str, str] = {"double": "<f8", "long": "<i8", "boolean": "?", "string": "<i4", "time": "<i8"}
_ZEROS: dict[str, Any] = {"double": 0.0, "long": 0, "boolean": False, "time": 0}
_NULL = -1
"""The length of a text that is null; of other kinds a byte in front of the values says which are."""


@dataclass(frozen=True)
class RowLayout:
    """How a row lies in a record.

    Attributes:
        columns: name and kind of each; `time` counts microseconds since 1970 in UTC.
    """

    columns: tuple[tuple[str, LogKind], ...]

    @cached_property
    def texts(self) -> list[int]:
        """Where texts stand among the columns."""
        return [place for place, (_, kind) in enumerate(self.columns) if kind == "string"]

    @cached_property
    def packer(self) -> struct.Struct:
        """Nulls, a byte a column, and the values."""
        return struct.Struct(f"<{len(self.columns)}s" + "".join(_CODES[kind] for _, kind in self.columns))

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The same bytes for NumPy."""
        values = [(f"c{place}", _DTYPES[kind]) for place, (_, kind) in enumerate(self.columns)]
        return np.dtype([("nulls", "u1", (len(self.columns),)), *values])

    def pack(self, row: Sequence[Any]) -> bytes:
        """One row, None for null.

        Raises:
            struct.error: a value isn't of its column's kind.
        """
        values, heap = list(row), []
        for place in self.texts:
            text = values[place]
            if text is None:
                values[place] = _NULL
            else:
                heap.append(content := text.encode("utf-8", "surrogatepass"))
                values[place] = len(content)
        nulls = bytes(len(values))
        if None in values:
            nulls = bytes(value is None for value in values)
            values = [_ZEROS[kind] if value is None else value for value, (_, kind) in zip(values, self.columns, strict=True)]
        return b"".join((self.packer.pack(nulls, *values), *heap))

    def pack_many(self, rows: Sequence[Sequence[Any]]) -> bytes:
        """Several rows: their structures, then their texts."""
        size = self.packer.size
        packed = [self.pack(row) for row in rows]
        return b"".join([*(row[:size] for row in packed), *(row[size:] for row in packed)])

    def read(self, records: Sequence[tuple[int, bytes]]) -> pa.Table:
        """Rows of many records.

        Args:
            records: how many rows each holds, and its bytes.

        Raises:
            ValueError: the bytes aren't of this layout.
        """
        import pyarrow as pa

        size = self.packer.size
        rows = np.frombuffer(b"".join([content[: count * size] for count, content in records]), self.dtype)
        if len(rows) != sum(count for count, _ in records):
            raise ValueError("records are shorter than their rows")
        heap = b"".join([content[count * size :] for count, content in records]) if self.texts else b""
        texts = self._texts(rows, heap)
        arrays = []
        for place, (_, kind) in enumerate(self.columns):
            if kind == "string":
                arrays.append(texts[place])
                continue
            nulls = rows["nulls"][:, place].astype(bool)
            values = pa.array(np.ascontiguousarray(rows[f"c{place}"]), mask=nulls if nulls.any() else None)
            arrays.append(values.cast(pa.timestamp("us", "UTC")) if kind == "time" else values)
        return pa.table(arrays, names=[name for name, _ in self.columns])

    def _texts(self, rows: np.ndarray, heap: bytes) -> dict[int, pa.Array]:
        """The columns of texts, which lie row by row one behind the other."""
        import pyarrow as pa

        if not self.texts:
            return {}
        lengths = np.stack([rows[f"c{place}"] for place in self.texts], axis=1).astype(np.int64).ravel()
        ends = np.concatenate([[0], np.cumsum(np.maximum(lengths, 0))])
        if ends[-1] != len(heap):
            raise ValueError(f"texts of {ends[-1]} bytes were to follow, and {len(heap)} do")
        offsets = pa.py_buffer(ends.astype(np.int64))
        every = pa.LargeStringArray.from_buffers(len(lengths), offsets, pa.py_buffer(heap))
        columns = {}
        for nth, place in enumerate(self.texts):
            at = np.arange(nth, len(lengths), len(self.texts))
            nulls = lengths[at] == _NULL
            columns[place] = every.take(pa.array(at, mask=nulls if nulls.any() else None)).cast(pa.string())
        return columns
