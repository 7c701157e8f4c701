"""Whether the rows of a table without times stand in the order of time: parts of a date that never fall, columns that repeat the row before.

Such rows depend on their neighbours. Drawn at random, a test has rows between those that were trained on: an hour between its neighbours, a week whose
return is a feature of the next one's row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.spec.tables import ROW, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_ROWS, LEAST_MOMENTS = 50, 5
LEAST_VALUES = 50
"""Distinct values of a number that may repeat another one's row before: codes of few values agree by chance."""
LEAST_AGREEMENT = 0.99
MOST_COLUMNS = 60
PARTS: Mapping[str, tuple[str, ...]] = {
    "year": ("year", "yr", "jahr"),
    "quarter": ("quarter", "qtr"),
    "month": ("month", "mnth", "mon", "monat"),
    "week": ("week", "wk", "woche"),
    "day": ("day", "dy", "doy", "yday", "day_of_year", "day_of_month", "tag"),
    "hour": ("hour", "hr", "stunde"),
}
"""The names of parts of a time, the longest first."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class RowOrder:
    """The column that numbers rows which stand in the order of time, and what shows that they do."""

    column: str
    reason: str


def find_row_order(table: TableSpec, rows: pa.Table, *, without: Collection[str] = ()) -> RowOrder | None:
    """Find whether rows that are known by their number in their file stand in the order of time.

    Args:
        table: the table that is drafted from; only one whose key is the number of the row has an order to go by.
        rows: its rows, in declared types.
        without: columns that aren't looked at.

    Returns:
        None where they don't, or nothing tells.
    """
    if len(table.keys) != 1 or table.columns[table.keys[0]].source != [ROW] or len(rows) < LEAST_ROWS:
        return None
    number = table.keys[0]
    in_order = rows.sort_by(number)
    names = [name for name in table.columns if name != number and name not in without and not table.columns[name].personal]
    parts = _rising_parts(in_order, names)
    if parts:
        return RowOrder(number, f"{_listed(parts)} never {'fall' if len(parts) > 1 else 'falls'} from row to row")
    for name, before in _repeated_from_before(in_order, names):
        return RowOrder(number, f"{name} is {before} of the row before")
    return None


def _rising_parts(rows: pa.Table, names: Collection[str]) -> list[str]:
    """The columns that are parts of a time by their names and together never fall, the longest part first."""
    kept, changed = list[str](), np.zeros(len(rows) - 1, bool)
    for spelled in PARTS.values():
        for name in (each for each in names if each in spelled):
            values = _as_numbers(rows[name])
            if values is None:
                continue
            steps = np.diff(values)
            # A shorter part may begin anew where a longer one has moved on.
            if (steps[~changed] >= 0).all():
                kept.append(name)
                changed |= steps != 0
                break
    return kept if int(changed.sum()) + 1 >= LEAST_MOMENTS else []


def _as_numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    """Whole numbers, or the names of months as theirs; None for anything else, and where a value is missing."""
    import pyarrow as pa

    if column.null_count:
        return None
    if pa.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    if not pa.types.is_string(column.type):
        return None
    places = {text: MONTHS.index(text[:3].lower()) for text in column.unique().to_pylist() if text[:3].lower() in MONTHS}
    texts = column.to_pylist()
    return np.array([places[text] for text in texts]) if all(text in places for text in texts) else None


def _repeated_from_before(rows: pa.Table, names: Collection[str]) -> list[tuple[str, str]]:
    """Numbers of many values that are another number, or themselves, of the row before."""
    import pyarrow as pa

    columns = dict[str, np.ndarray]()
    for name in names:
        if pa.types.is_floating(rows[name].type) and len(rows[name].unique()) >= LEAST_VALUES and len(columns) < MOST_COLUMNS:
            columns[name] = np.asarray(rows[name].to_numpy())
    return [
        (name, other)
        for name, values in columns.items()
        for other, before in columns.items()
        if name != other and np.mean(values[1:] == before[:-1]) >= LEAST_AGREEMENT
    ]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
