"""Text of source files: UTF-8, or an error that names the place."""

from __future__ import annotations

from lakeloop.errors import DataError


def require_utf8(data: bytes, where: str) -> None:
    """Raise a DataError unless bytes are UTF-8; it names the first line and byte that aren't."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}: wanted UTF-8, found byte {data[error.start]:#04x} on line {line} (offset {error.start})") from error
