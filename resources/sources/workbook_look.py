"""What a look at a workbook says of its sheets, titles above the header, and hidden rows; a definition states what was found."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from lakeloop.errors import DataError
from resources.sources.csv_look import LOOK_RECORDS, is_data
from resources.sources.workbook import Row, filled_sheets, hidden_rows, merged_ranges, open_book, sheet_rows, sheet_xml
from resources.sources.workbook_layout import tell_layout

_TITLE_ROWS = 20
"""Rows among which the header is looked for."""
_LAYOUT_ROWS = 2_000
"""Rows among which a second table is looked for."""
_FILLED = 0.75
"""Share of the cells that most rows have; a row with fewer is a title."""


def look_at_workbook(data: bytes, where: str, sheet: str | None = None) -> tuple[dict[str, Any], list[str]]:
    """The options that read a workbook's first sheet with values, or one that is named; and what to tell of it.

    Raises:
        DataError: it can't be opened.
    """
    book = open_book(data, where)
    filled = filled_sheets(book, where)
    hidden = [sheet.title for sheet in book.worksheets if sheet.sheet_state != "visible"]
    options: dict[str, Any] = {}
    notes: list[str] = []
    chosen = sheet or next(iter(filled), None)
    if chosen is None or chosen not in [sheet.title for sheet in book.worksheets]:
        return options, notes  # reading says what is wrong
    if sheet is not None or len(filled) > 1:
        options["sheet"] = chosen
    others = [name for name in filled if name != chosen]
    if others:
        notes.append(f"of the sheets, {chosen} is read; {', '.join(others)}: each is a table of its own, drafted with --sheet")
    if hidden:
        notes.append(f"hidden sheets: {', '.join(hidden)}{' is read' if chosen in hidden else ' (not read)'}")
    rows = list(itertools.islice(sheet_rows(book, chosen, where), _LAYOUT_ROWS))
    place = header_place(rows[:LOOK_RECORDS])
    if place:
        options["header_row"] = rows[place].number
        notes.append(f"row {rows[place].number} is taken for the header; left out above it: {_shown(rows[:place])}")
    layout = tell_layout(rows[place:])
    if not layout and is_data([[text or "" for text in row.texts] for row in _trimmed(rows[place:LOOK_RECORDS])]):
        options["header"] = False
        first = ", ".join(text or "" for text in rows[place].texts[:4])
        notes.append(f"the first row ({first}) looks like data, so the columns are numbered; header: true takes it for names")
    notes += layout
    xml = sheet_xml(data, book, chosen)
    below = rows[place].number if rows else 0
    if unseen := [number for number in hidden_rows(xml) if number > below]:
        notes.append(f"{len(unseen):,} rows are hidden (row {min(unseen)} first), and are read like the others")
    if merged := [top for top, *_ in merged_ranges(xml) if top > below]:
        notes.append(f"merged cells (row {min(merged)} first): each of their rows has the value, in the first of their columns")
    return options, notes


def header_place(rows: Sequence[Row]) -> int:
    """The place of the header among the first rows: the first row about as filled as those below it, as titles and notes have few cells.

    >>> texts = [["Sales 2024"], ["as of", "2024-12-31"], ["region", "month", "EUR"], ["N", "1", "2"], ["S", "1", "4"]]
    >>> header_place([Row(number, row, ["s"] * len(row)) for number, row in enumerate(texts, 1)])
    2
    """
    if len(rows) < 2:
        return 0
    trimmed = _trimmed(rows)
    counts = [sum(text is not None for text in row.texts) for row in trimmed]
    usual = sorted(counts[1:])[(len(counts) - 1) // 2]
    for place, row in enumerate(trimmed[:_TITLE_ROWS]):
        # The index that pandas writes has no name.
        is_index = bool(row.texts) and row.texts[0] is None and counts[place] == usual - 1
        if counts[place] >= _FILLED * usual or is_index:
            above = trimmed[place - 1] if place else row
            # Names of which some are missing, above the first row of data.
            is_header_above = set(above.kinds) <= {"s", ""} and counts[place - 1] * 2 >= usual > 1 and not set(row.kinds) <= {"s", ""}
            return place - 1 if place and is_header_above else place
    return 0


def _trimmed(rows: Sequence[Row]) -> list[Row]:
    """Rows without the columns before the first that has a value."""
    first = min((place for row in rows for place, text in enumerate(row.texts) if text is not None), default=0)
    return [Row(row.number, row.texts[first:], row.kinds[first:]) for row in rows]


def _shown(rows: Sequence[Row]) -> str:
    texts = [text for row in rows for text in row.texts if text is not None]
    return ", ".join(repr(text) for text in texts[:4]) + (f" and {len(texts) - 4} more" if len(texts) > 4 else "")


def require_same(first: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]) -> None:
    """Refuse workbooks of one source that need other options: they would make two tables.

    Raises:
        DataError: with the files and the option.
    """
    for option in ("sheet", "header_row", "header"):
        ours, theirs = first[1].get(option), other[1].get(option)
        if ours != theirs:
            raise DataError(
                f"{other[0]} reads by {option}: {theirs}, {first[0]} by {option}: {ours}; make them alike, or define a table for each"
            )
