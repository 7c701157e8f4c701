"""Workbooks (`.xlsx`, `.xlsm`) as rows of text: one reader for drafts and landings, by the sheet and the header row that a source states.

A cell's own type decides its text, so that nothing that a person sees as text becomes a number on the way, and one odd cell costs its row
and not its column. What a draft decides by looking at a workbook is in `workbook_look`.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, nearest
from lakeloop.rows.landing_types import CELL_TEXT, NUMBER_TEXT
from resources.sources.csv_rows import name_at, refuse_twice

if TYPE_CHECKING:
    import pyarrow as pa
    from openpyxl import Workbook

    from lakeloop.spec.tables import Files

OTHER_WORKBOOKS = {
    ".xls": "a workbook of Excel 97 to 2003",
    ".xlsb": "a binary workbook",
    ".ods": "an OpenDocument spreadsheet",
    ".numbers": "a spreadsheet of Numbers",
}
"""Spreadsheets that aren't read, by the ending of their names."""
_OLE2 = b"\xd0\xcf\x11\xe0"
"""How `.xls` begins, and `.xlsx` behind a password."""
_PREFIX = rb"(?:\w+:)?"
_FORMULA_CELL = re.compile(
    rb"<PREFIXc\b([^>]*)>\s*<PREFIXf\b(?:[^>]*/>|[^>]*>[^<]*</PREFIXf>)\s*(?:<PREFIXv\s*/>|<PREFIXv[^>]*>([^<]*)</PREFIXv>)?\s*</PREFIXc>".replace(
        b"PREFIX", _PREFIX
    )
)
_MERGED = re.compile(rb"<" + _PREFIX + rb'mergeCell\b[^>]*\bref="([A-Z]+\d+:[A-Z]+\d+)"')
_HIDDEN_ROW = re.compile(rb"<" + _PREFIX + rb'row\b[^>]*?\br="(\d+)"[^>]*\bhidden="(?:1|true)"')
_COMPUTED_ON_OPENING = re.compile(rb"<" + _PREFIX + rb'calcPr\b[^>]*\bfullCalcOnLoad="(?:1|true)"')
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


@dataclass(frozen=True)
class Row:
    """A row of a sheet that has a value: its number as the sheet shows it, and its cells' texts and kinds.

    A kind is one of openpyxl's letters: n number, s text, b boolean, d date or time, e error; empty where there is no value.
    """

    number: int
    texts: list[str | None]
    kinds: list[str]


def read_workbook(data: bytes, spec: Files, where: str, landed: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Read one sheet of a workbook as text; what `null_values` lists is null.

    Columns of which every value is a text cell, or every one a number, are marked so in the metadata of their fields.

    Raises:
        DataError: it can't be opened, has several sheets and none is named, a formula has no value, or the header can't be read.
    """
    book = open_book(data, where)
    sheet = choose_sheet(book, spec.sheet, where)
    xml = sheet_xml(data, book, sheet)
    require_values(xml, data, f"{where}, sheet {sheet}")
    rows = [row for row in _rows_of(data, book, sheet, where) if row.number >= (spec.header_row or 1)]
    if not rows:
        raise DataError(f"{where}, sheet {sheet}: wanted a header row, found no cell with a value from row {spec.header_row or 1} on")
    fill_merged(rows, merged_ranges(xml), below=rows[0].number if spec.header else 0)
    return _table_of(rows, spec, f"{where}, sheet {sheet}")


def open_book(data: bytes, where: str) -> Workbook:
    """Open a workbook to be read row by row.

    Raises:
        DataError: it is broken, encrypted, or no workbook of this format.
    """
    import openpyxl

    if data.startswith(_OLE2):
        raise DataError(f"{where}: it is encrypted, or a workbook of Excel 97 to 2003; save it as .xlsx without a password")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is no value: styles, validations, extensions
            return openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    except Exception as error:  # what openpyxl raises of a broken file has no common base
        raise DataError(
            f"{where} can't be read as xlsx: it is broken, or another format; save it as Excel workbook (.xlsx)", detail=error
        ) from error


def choose_sheet(book: Workbook, named: str | None, where: str) -> str:
    """The sheet that is named, or the only one that isn't hidden and has a value.

    Raises:
        DataError: there is no such sheet, none with a value, or several.
    """
    sheets = [sheet.title for sheet in book.worksheets]
    if named is not None:
        if named not in sheets:
            raise DataError(f"{where}: no sheet {named!r}; {nearest(named, sheets)}")
        return named
    filled = filled_sheets(book, where)
    if not filled:
        raise DataError(f"{where}: wanted a sheet with values, found {len(sheets)} without any that isn't hidden")
    if len(filled) > 1:
        raise DataError(f"{where}: wanted one sheet, found {', '.join(filled)}; each is a table of its own: name one by sheet:")
    return filled[0]


def filled_sheets(book: Workbook, where: str) -> list[str]:
    """The sheets that aren't hidden and have a value."""
    return [
        sheet.title
        for sheet in book.worksheets
        if sheet.sheet_state == "visible" and any(True for _ in sheet_rows(book, sheet.title, where))
    ]


def sheet_rows(book: Workbook, sheet: str, where: str) -> Iterator[Row]:
    """The rows of a sheet that have a value.

    Raises:
        DataError: its XML is broken.
    """
    worksheet = book[sheet]
    worksheet.reset_dimensions()  # some writers state wrong ones, and rows beyond them would be left out
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, cells in enumerate(worksheet.iter_rows(), 1):
                texts = [None if cell.value is None else _text_of(cell.value, cell.data_type) for cell in cells]
                if any(text is not None for text in texts):
                    yield Row(number, texts, [cell.data_type if text is not None else "" for cell, text in zip(cells, texts, strict=True)])
    except Exception as error:  # as in open_book
        raise DataError(f"{where}: the sheet {sheet} can't be read: it is broken", detail=error) from error


def _rows_of(data: bytes, book: Workbook, sheet: str, where: str) -> list[Row]:
    """The rows of a sheet, with the characters that a workbook writes as `_x000D_`."""
    rows = list(sheet_rows(book, sheet, where))
    meant = _escaped_texts(data)
    for row in rows:
        for place, text in enumerate(row.texts):
            if text is not None and row.kinds[place] == "s" and ("_x" in text or text in meant):
                row.texts[place] = meant.get(text) or _unescape(text)
    return rows


def _text_of(value: Any, kind: str) -> str:
    """What a cell says, as text: numbers by their shortest digits, dates and times by ISO 8601.

    >>> _text_of(12.0, "n"), _text_of(0.1, "n"), _text_of(1.23456789012346e18, "n"), _text_of(True, "b")
    ('12', '0.1', '1234567890123460000', 'true')
    >>> _text_of(datetime(2024, 2, 29), "d"), _text_of(datetime(2024, 2, 29, 9, 30), "d"), _text_of(timedelta(hours=26), "d")
    ('2024-02-29', '2024-02-29T09:30:00', 'P1DT2H')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= 1e22:
            return repr(value)
        return format(Decimal(repr(value)).to_integral_value(), "f") if value else "0"
    if isinstance(value, timedelta):
        return _show_duration(value)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time(0) else value.isoformat()
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def _show_duration(value: timedelta) -> str:
    """A duration by ISO 8601, as those of Parquet land."""
    sign, value = ("-", -value) if value < timedelta(0) else ("", value)
    hours, rest = divmod(value.seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    exact = format((Decimal(seconds) + Decimal(value.microseconds).scaleb(-6)).normalize(), "f")
    parts = [f"{amount}{unit}" for amount, unit in ((hours, "H"), (minutes, "M")) if amount]
    parts += [f"{exact}S"] if exact != "0" or not (parts or value.days) else []
    return f"{sign}P{f'{value.days}D' if value.days else ''}{'T' if parts else ''}{''.join(parts)}"


def _table_of(rows: Sequence[Row], spec: Files, where: str) -> pa.Table:
    """The table below a header, without columns that have neither a name nor a value."""
    import pyarrow as pa

    header, body = (rows[0].texts, rows[1:]) if spec.header else ([], rows)
    width = max(len(row.texts) for row in rows)
    header = [*header, *[None] * (width - len(header))]
    names = [name or "" for name in header]
    has_values = [any(len(row.texts) > place and row.texts[place] is not None for row in body) for place in range(width)]
    places = [place for place in range(width) if names[place] or has_values[place]]
    shown = [names[place] for place in places]
    refuse_twice(shown, where)
    nulls = set(spec.null_values)
    arrays, fields = [], []
    for number, place in enumerate(places):
        name = f"column_{number + 1}" if not spec.header else shown[number] or name_at(number, shown)
        texts = [row.texts[place] if place < len(row.texts) else None for row in body]
        kinds = {row.kinds[place] for row, text in zip(body, texts, strict=True) if text is not None and text not in nulls}
        mark = CELL_TEXT if kinds == {"s"} else NUMBER_TEXT if kinds == {"n"} else None
        arrays.append(pa.array([None if text in nulls else text for text in texts], pa.string()))
        fields.append(pa.field(name, pa.string(), metadata=mark))
    return pa.table(arrays, schema=pa.schema(fields))


def sheet_xml(data: bytes, book: Workbook, sheet: str) -> bytes:
    """The XML of a sheet, for what openpyxl doesn't tell when it reads row by row."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(book[sheet]._worksheet_path)  # no public name says where a sheet is


def require_values(xml: bytes, data: bytes, where: str) -> None:
    """Refuse formulas that nothing has computed: a program that only writes workbooks leaves them without a value, or with 0.

    Raises:
        DataError: with the first such cell.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        workbook = next((name for name in archive.namelist() if name.endswith("workbook.xml")), None)
        is_stale = bool(workbook and _COMPUTED_ON_OPENING.search(archive.read(workbook)))
    for cell in _FORMULA_CELL.finditer(xml):
        attributes, value = cell.groups()
        is_text = b't="str"' in attributes
        if (not value and not is_text) or (is_stale and value == b"0"):
            place = re.search(rb'\br="([A-Z]+\d+)"', attributes)
            raise DataError(
                f"{where}: the formula in {place[1].decode() if place else 'a cell'} has no computed value, as nothing has opened the workbook since "
                "it was written; open it in a spreadsheet program and save it, or write values instead"
            )


def merged_ranges(xml: bytes) -> list[tuple[int, int, int, int]]:
    """The merged cells of a sheet, as first row, last row, first column and last column, from 1."""
    from openpyxl.utils import range_boundaries

    ranges = []
    for match in _MERGED.finditer(xml):
        left, top, right, bottom = range_boundaries(match[1].decode())
        ranges.append((top, bottom, left, right))
    return ranges


def hidden_rows(xml: bytes) -> set[int]:
    """The rows of a sheet that are hidden, as a filter hides them."""
    return {int(match[1]) for match in _HIDDEN_ROW.finditer(xml)}


def fill_merged(rows: Sequence[Row], ranges: Sequence[tuple[int, int, int, int]], *, below: int) -> None:
    """Give each row of merged cells their value, in their first column: a sheet keeps it in the first row alone."""
    by_number = {row.number: row for row in rows}
    for top, bottom, left, _ in ranges:
        first = by_number.get(top)
        if first is None or bottom == top or top <= below or left > len(first.texts) or first.texts[left - 1] is None:
            continue
        for number in range(top + 1, bottom + 1):
            row = by_number.get(number)
            if row is None:
                continue  # it has no other value
            row.texts.extend([None] * (left - len(row.texts)))
            row.kinds.extend([""] * (left - len(row.kinds)))
            row.texts[left - 1], row.kinds[left - 1] = first.texts[left - 1], first.kinds[left - 1]


def _escaped_texts(data: bytes) -> dict[str, str]:
    """What the shared texts with escapes mean, by what openpyxl makes of them: it drops `x005F_` and decodes nothing.

    Raises:
        DataError: two that mean something else are the same to it.
    """
    from xml.etree import ElementTree

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        path = next((name for name in archive.namelist() if name.lower().endswith("sharedstrings.xml")), None)
        xml = archive.read(path) if path else b""
    if b"x005F_" not in xml:
        return {}
    meant: dict[str, str] = {}
    for item in ElementTree.fromstring(xml):
        # Not the readings of Japanese words, which stand in elements of their own.
        parts = [part for child in item for part in ([child] if child.tag.endswith("}t") else child if child.tag.endswith("}r") else [])]
        text = "".join(part.text or "" for part in parts if part.tag.endswith("}t"))
        if "_x" in text or "x005F_" in text:
            mangled = text.replace("x005F_", "")
            if meant.setdefault(mangled, _unescape(text)) != _unescape(text):
                raise DataError(f"a text of the workbook can't be told from another, {mangled!r}; replace _x in it by something else")
    return meant


def _unescape(text: str) -> str:
    r"""A text in which `_x000D_` and the like are the characters that they stand for.

    >>> _unescape("a_x000D_b"), _unescape("_x005F_x000D_"), _unescape("x_y")
    ('a\rb', '_x000D_', 'x_y')
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
