"""What a sheet has that one header above rows can't say: a header of two rows, a second table beside or below. All are told, none is read apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from resources.sources.workbook import Row

_VALUES = {"n", "d", "b"}
"""The kinds of cells that no header has, save years."""
_FEWEST_NAMES = 2
"""Names that make a header of another table."""


def tell_layout(rows: Sequence[Row]) -> list[str]:
    """Sentences on the rows of a sheet from its header on.

    Args:
        rows: those with a value, the header first.
    """
    if len(rows) < 2:
        return []
    return [*_second_header(rows), *_table_beside(rows), *_table_below(rows)]


def _second_header(rows: Sequence[Row]) -> list[str]:
    """A first row of texts alone, above columns of numbers, dates or booleans: units, or the lower part of a header."""
    if len(rows) < 3 or not _is_text(rows[1]):
        return []
    places = [place for place, text in enumerate(rows[1].texts) if text is not None and _kinds_below(rows[2:], place) <= _VALUES]
    if not any(_kinds_below(rows[2:], place) for place in places):
        return []
    return [
        f"row {rows[1].number} ({_shown(rows[1])}) has only texts above numbers, and is read as a row: if it belongs to the header, delete it in the "
        f"workbook, or set header_row: {rows[1].number} to take its names"
    ]


def _table_beside(rows: Sequence[Row]) -> list[str]:
    """Columns with a name on both sides of one that has neither a name nor a value."""
    names = [place for place, text in enumerate(rows[0].texts) if text is not None]
    filled = {place for row in rows for place, text in enumerate(row.texts) if text is not None}
    gaps = [(left, right) for left, right in pairwise(names) if right - left > 1 and not filled & set(range(left + 1, right))]
    if not gaps:
        return []
    left, right = gaps[0]
    return [
        f"column {_letter(left + 2)} is empty between {rows[0].texts[left]} and {rows[0].texts[right]}: both sides are read as one table; if they are two, put "
        "each on a sheet of its own"
    ]


def _table_below(rows: Sequence[Row]) -> list[str]:
    """A row of names after an empty row, or the header again, where rows of other kinds stand above."""
    header = [text for text in rows[0].texts if text is not None]
    for before, row in pairwise(rows[1:]):
        texts = [text for text in row.texts if text is not None]
        is_again = texts == header and not _is_text(before)
        is_other = row.number > before.number + 1 and _is_text(row) and len(texts) >= _FEWEST_NAMES and not _is_text(before)
        if is_again or is_other:
            return [
                f"row {row.number} ({_shown(row)}) {'is the header again' if is_again else 'stands below an empty row and looks like a header'}, and is "
                "read as a row: if another table begins there, put it on a sheet of its own"
            ]
    return []


def _is_text(row: Row) -> bool:
    return set(row.kinds) <= {"s", ""}


def _kinds_below(rows: Sequence[Row], place: int) -> set[str]:
    return {row.kinds[place] for row in rows if place < len(row.kinds) and row.kinds[place]}


def _shown(row: Row) -> str:
    texts = [text for text in row.texts if text is not None]
    return ", ".join(texts[:4]) + (", …" if len(texts) > 4 else "")


def _letter(number: int) -> str:
    from openpyxl.utils import get_column_letter

    return str(get_column_letter(number))
