"""Text of source files as UTF-8, from the encoding that a source states, or an error that names the place."""

from __future__ import annotations

import codecs

from lakeloop.errors import DataError

_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WESTERN = "cp1252"
"""What Windows and Excel write in western Europe and America where it isn't UTF-8; a superset of the printable Latin-1."""


def to_utf8(data: bytes, encoding: str | None, where: str) -> bytes:
    """Bytes of a text as UTF-8, without a byte order mark.

    Args:
        data: the bytes.
        encoding: a text encoding that Python knows; UTF-8 without one.
        where: the file, for messages.

    Raises:
        DataError: the bytes aren't of that encoding; it names the first line and byte that aren't.
    """
    if encoding is None:
        require_utf8(data, where)
        return data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        raise DataError(f"{where}: wanted text in {encoding}{_place(data, encoding, error)}", detail=error) from error
    return text.removeprefix("\ufeff").encode()


def require_utf8(data: bytes, where: str) -> None:
    """Raise a DataError unless bytes are UTF-8; it names the first line and byte that aren't."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        hint = f"encoding: {guess_encoding(data) or '<name>'} reads another one"
        raise DataError(
            f"{where}: wanted UTF-8, found byte {data[error.start]:#04x} on line {line} (offset {error.start}); {hint}"
        ) from error


def guess_encoding(data: bytes) -> str | None:
    """The encoding of a text; None for UTF-8, or where none explains all bytes.

    A byte order mark says it. Without one, bytes that aren't UTF-8 are taken for Windows-1252, unless it has no letter for one of them.

    >>> guess_encoding("Größe".encode()), guess_encoding("Größe €".encode("cp1252")), guess_encoding("Größe".encode("utf-16"))
    (None, 'cp1252', 'utf-16')
    >>> guess_encoding(bytes([0xC3, 0x81, 0xFF, 0x81]))
    """
    marked = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", WESTERN):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if encoding == "utf-8" else encoding
    return None


def first_foreign(data: bytes, encoding: str) -> str:
    """The first letter beyond ASCII of a text, and its line: what a person recognises a wrong encoding by.

    >>> first_foreign(f"a,b{chr(10)}1,Größe".encode("cp1252"), "cp1252")
    "'ö' on line 2"
    """
    text = data.decode(encoding).removeprefix("\ufeff")
    place = next((place for place, letter in enumerate(text) if not letter.isascii()), None)
    return "" if place is None else f"{text[place]!r} on line {text.count(chr(10), 0, place) + 1}"


def _place(data: bytes, encoding: str, error: UnicodeError) -> str:
    """What stands where a decoder failed, and on which line."""
    if not isinstance(error, UnicodeDecodeError):
        return ""
    line = data[: error.start].decode(encoding, "replace").count("\n") + 1
    return f", found byte {data[error.start]:#04x} on line {line} (offset {error.start})"
