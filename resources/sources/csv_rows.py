"""CSV as rows of text: one reader for drafts and landings, by the delimiter, quotes, escapes and comments that a source states."""

from __future__ import annotations

import csv
import io
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lakeloop.drafting.column_names import ROW_NAME
from lakeloop.errors import DataError
from resources.sources.csv_escapes import unescape
from resources.sources.text import to_utf8

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.spec.tables import Files

_BLOCK_BYTES = 1 << 24
_FIRST_RECORDS = 200
"""Records that are compared with the header."""


def read_csv(data: bytes, spec: Files, where: str, landed: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Read CSV as text; what `null_values` lists is null, unless it is quoted.

    Raises:
        DataError: it is empty, isn't of the stated encoding, has a header that can't be read, or a row that the stated options don't explain.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    data = prepare_lines(data, spec, where)
    options = reader_options(spec, where)
    header = _header(data, spec, where)
    names = [name or name_at(place, header) for place, name in enumerate(header)]
    has_quotes = options["quoting"] != csv.QUOTE_NONE and b'"' in data
    if has_quotes:
        _check_quotes(data, options, where)
    invalid_rows: list[pc.InvalidRow] = []

    def refuse(row: pc.InvalidRow) -> str:
        invalid_rows.append(row)
        return "error"

    def read(block_bytes: int) -> pa.Table:
        return pc.read_csv(
            io.BytesIO(data),
            read_options=pc.ReadOptions(use_threads=False, block_size=block_bytes, column_names=names),
            parse_options=pc.ParseOptions(
                delimiter=options["delimiter"],
                quote_char='"' if has_quotes else False,
                invalid_row_handler=refuse,
                newlines_in_values=has_quotes,
                # Where a row has one field, an empty line is a row without a value.
                ignore_empty_lines=len(names) > 1,
            ),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=list(spec.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )

    body = data if not spec.header else _without_header(data, options)
    if not body.strip(b"\r\n") and not (len(names) == 1 and body):
        return pa.schema([pa.field(name, pa.string()) for name in names]).empty_table()
    data = body
    try:
        try:
            rows = read(_BLOCK_BYTES)
        except pa.ArrowInvalid as error:
            if invalid_rows or "straddl" not in str(error):
                raise
            rows = read(len(data) + 1)  # a field is longer than a block
    except pa.ArrowInvalid as error:
        if not invalid_rows:
            raise DataError(f"{where} can't be read as csv", detail=error) from error
        row = invalid_rows[0]
        hint = "" if has_quotes or spec.quote is not None else "; other options are delimiter, quote, escape, comment"
        raise DataError(
            f"{where}: row {row.number or '?'}: wanted {row.expected_columns} fields, found {row.actual_columns}{hint}"
        ) from error
    return rows.drop_columns(names[-1:]) if _ends_in_delimiter(rows, header) else rows


def _ends_in_delimiter(rows: pa.Table, header: Sequence[str]) -> bool:
    """Whether the last column is but a delimiter at the end of each line: it has neither a name nor a value."""
    return len(header) > 1 and header[-1] == "" and rows.column(len(header) - 1).null_count == rows.num_rows


def prepare_lines(data: bytes, spec: Files, where: str) -> bytes:
    """The lines of a file as they are parsed: in UTF-8 without a byte order mark, empty lines before the header, and comments; ended by LF or CR LF.

    Raises:
        DataError: there is nothing, it isn't of the stated encoding, or its line ends can't be told.
    """
    data = to_utf8(data, spec.encoding, where)
    if not data.strip():
        raise DataError(f"{where}: wanted a header line, found an empty file")
    if b"\n" not in data and b"\r" in data:
        if b'"' in data:
            raise DataError(f"{where}: wanted lines that end with LF or CR LF, found CR alone; save it with other line ends")
        data = data.replace(b"\r", b"\n")
    if spec.comment is not None:
        data = _without_comments(data, spec.comment.encode())
    data = unescape(data, spec, reader_options(spec, where)["delimiter"])
    return data.lstrip(b"\r\n")


def reader_options(spec: Files, where: str) -> dict[str, Any]:
    """The options of Python's reader that mean what a source states."""
    is_tabs = where.lower().removesuffix(".gz").removesuffix(".zst").endswith(".tsv") and spec.delimiter == ","
    return {
        "delimiter": "\t" if is_tabs else spec.delimiter,
        "quoting": csv.QUOTE_NONE if spec.quote == "none" and spec.escape is None else csv.QUOTE_MINIMAL,
        "doublequote": True,
        "strict": True,
    }


def records_of(data: bytes, options: Mapping[str, Any]) -> Iterator[list[str]]:
    """The records of prepared lines, empty lines left out.

    Raises:
        csv.Error: the options don't explain the lines.
    """
    csv.field_size_limit(sys.maxsize)
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="replace", newline="")
    return (record for record in csv.reader(lines, **options) if record)


def _without_comments(data: bytes, mark: bytes) -> bytes:
    """Lines without those that begin with a mark, unless they stand within quotes."""
    kept, is_quoted = [], False
    for line in data.splitlines(keepends=True):
        if not is_quoted and line.startswith(mark):
            continue
        is_quoted ^= bool(line.count(b'"') % 2)
        kept.append(line)
    return b"".join(kept)


def _check_quotes(data: bytes, options: Mapping[str, Any], where: str) -> None:
    """Refuse quotes that don't enclose a field as a whole, as then rows would run into each other.

    Raises:
        DataError: with the row and the options to set.
    """
    number = -1
    try:
        for number, _ in enumerate(records_of(data, options)):  # noqa: B007
            pass
    except csv.Error as error:
        raise DataError(
            f"{where}: row {number + 1}: a quote begins a field and doesn't end it; where quotes are part of the text set quote: none, where a "
            "backslash stands before them set escape: '\\'",
            detail=error,
        ) from error


def _header(data: bytes, spec: Files, where: str) -> list[str]:
    """The names in the header of a CSV file, some of which may be empty; or numbered ones where it has none.

    Raises:
        DataError: there is no header, it can't be read, or it names a column twice.
    """
    options = reader_options(spec, where)
    lines = records_of(data, options)
    try:
        header = next(lines, [])
    except csv.Error as error:
        raise DataError(f"{where}: wanted a header line, found one that can't be read", detail=error) from error
    if not spec.header:
        return [f"column_{number}" for number in range(1, len(header) + 1)]
    unreadable = next((name for name in header if "\x00" in name), None)
    if unreadable is not None:
        raise DataError(f"{where}: the header has a NUL byte in {unreadable!r}; it isn't text, or was cut off")
    refuse_twice(header, where)
    with suppress(csv.Error):  # reading the rows says what is wrong
        if lacks_first_name([header, *itertools.islice(lines, _FIRST_RECORDS)], options["delimiter"], data):
            return ["", *header]
    return header


def lacks_first_name(records: Sequence[Sequence[str]], delimiter: str, data: bytes) -> bool:
    r"""Whether a header leaves out the row names that stand first in each record, as R's `write.table` does.

    >>> lacks_first_name([["v", "w"], ["a", "1", "2"], ["b", "3", "4"]], "\t", b"v\tw")
    True
    >>> lacks_first_name([["v", "w"], ["a", "1", "2"]], ",", b"v,w"), lacks_first_name([["v", "w"], ["1", "2", ""]], "\t", b"v\tw")
    (False, False)
    """
    header, rows = records[0], records[1:]
    # Unquoted, a comma too many is a likelier reason.
    is_like_r = data.startswith(b'"') or delimiter in "\t "
    return is_like_r and bool(rows) and all(len(row) == len(header) + 1 for row in rows) and any(row[-1] for row in rows)


def refuse_twice(header: Sequence[str], where: str) -> None:
    """Raise a DataError if a header names a column twice."""
    twice = sorted({name for name in header if name and header.count(name) > 1})
    if twice:
        raise DataError(
            f"{where}: the header names {twice[0]!r} more than once; rename them at the source, or set header: false where the first line is data"
        )


def name_at(place: int, header: Sequence[str]) -> str:
    """The name of a column that has none: R and pandas write row names first, under an empty header."""
    name = ROW_NAME if place == 0 and ROW_NAME not in header else f"column_{place + 1}"
    while name in header:
        name += "_"
    return name


def _without_header(data: bytes, options: Mapping[str, Any]) -> bytes:
    """Prepared lines without the first record, which may span several lines."""
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        for line in io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=""):
            end += len(line.encode())
            yield line

    next(csv.reader(lines(), **options), None)
    return data[end:]
