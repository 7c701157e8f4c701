"""Everything that is stored under a folder, opened up: what a search for a value has to look through."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

_EMBEDDED = re.compile(rb";base64,([A-Za-z0-9+/=]{40,})")
"""Pictures within pages and metadata."""


def contents(root: Path, leave_out: Iterable[str] = ()) -> Iterator[tuple[str, bytes]]:
    """(place, bytes) of every file, unpacked: gzip, zip (skops models), Parquet and SQLite as rows, zlib in blobs, base64.

    Args:
        root: a folder.
        leave_out: glob patterns below it.
    """
    skipped = {path for pattern in leave_out for path in root.glob(pattern)}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path not in skipped:
            yield from _opened(str(path.relative_to(root)), path.read_bytes(), path)


def found_in(places: Iterable[tuple[str, bytes]], values: Iterable[str | float]) -> list[tuple[str, str | float]]:
    """Where planted values stand; a number in any usual form: as text (whole, or rounded to six digits), as a double, as an integer."""
    forms = [(value, form) for value in values for form in _forms(value)]
    return [(place, value) for place, data in places for value, form in forms if _holds(data, form)]


def _holds(data: bytes, form: bytes) -> bool:
    """Whether a form stands in some bytes; digits within a longer number, such as a time in microseconds, are another number's."""
    if form not in data:
        return False
    return not form[:1].isdigit() or re.search(rb"(?<!\d)" + re.escape(form) + rb"(?!\d)", data) is not None


def _forms(value: str | float) -> list[bytes]:
    if isinstance(value, str):
        return [value.encode()]
    doubles = [struct.pack("<d", value), struct.pack(">d", value)]
    texts = [str(int(value))] if float(value).is_integer() else [str(value), f"{value:.6g}", f"{value:,.0f}", f"{value:,.2f}"]
    whole = [struct.pack("<q", int(value))] if float(value).is_integer() else []
    return doubles + whole + [text.encode() for text in texts]


def _opened(place: str, data: bytes, path: Path | None = None) -> Iterator[tuple[str, bytes]]:
    yield place, data
    for number, drawn in enumerate(_EMBEDDED.findall(data)):
        with suppress(binascii.Error):
            yield f"{place}!embedded {number}", base64.b64decode(drawn, validate=True)
    if data[:2] == b"\x1f\x8b":
        yield from _opened(f"{place}!gz", gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from _opened(f"{place}!{name}", archive.read(name))
    elif data[:4] == b"PAR1":
        import pyarrow as pa
        import pyarrow.parquet as pq

        yield f"{place}!rows", repr(pq.read_table(pa.BufferReader(data)).to_pylist()).encode()
    elif data[:15] == b"SQLite format 3" and path is not None:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    yield f"{place}!{table}", b" ".join(_cell(value) for value in row)


def _cell(value: object) -> bytes:
    if not isinstance(value, bytes):
        return str(value).encode()
    try:
        return value + zlib.decompress(value)
    except zlib.error:
        return value
