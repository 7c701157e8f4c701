"""How far back a query reads. A partitioned view declares it as its `lookback`: it is computed one partition at a time and sees no older row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lakeloop.sql.query import DIALECT, Query, line_of

_LONGEST_UNITS = {
    "MICROSECOND": timedelta(microseconds=1),
    "MILLISECOND": timedelta(milliseconds=1),
    "SECOND": timedelta(seconds=1),
    "MINUTE": timedelta(minutes=1),
    "HOUR": timedelta(hours=1),
    "DAY": timedelta(days=1),
    "WEEK": timedelta(weeks=1),
    "MONTH": timedelta(days=31),
    "QUARTER": timedelta(days=92),
    "YEAR": timedelta(days=366),
}
"""The longest that each unit of an interval can be."""


@dataclass(frozen=True)
class Reach:
    """A place in a query that reads earlier rows.

    Attributes:
        line: its line in the query's file.
        text: the place, as SQL.
        back: how far it reads at most; None if the query doesn't say.
    """

    line: int
    text: str
    back: timedelta | None


def find_reaches(query: Query, partitioned: Mapping[tuple[str, ...], bool]) -> list[Reach]:
    """Find the places of a query that read earlier rows: ordered windows, and joins of two partitioned tables by an inequality.

    A window without an order may compare rows of the same day only, and isn't listed.

    Args:
        query: a parsed query.
        partitioned: for each table as the query names it, whether it has partitions.
    """
    return [*_find_windows(query), *_find_joins(query, partitioned)]


def _find_windows(query: Query) -> Iterator[Reach]:
    from sqlglot import exp

    for window in query.tree.find_all(exp.Window):
        frame = window.args.get("spec")
        if not window.args.get("order") or isinstance(window.this, exp.Lead):
            continue
        start = frame.args.get("start") if frame else None
        if frame and (start == "CURRENT ROW" or frame.args.get("start_side") == "FOLLOWING"):
            continue
        yield Reach(line_of(window), window.sql(DIALECT), _interval_length(start))


def _find_joins(query: Query, partitioned: Mapping[tuple[str, ...], bool]) -> Iterator[Reach]:
    from sqlglot import exp

    tables = {table.alias_or_name: tuple(part.name for part in table.parts) for table in query.tree.find_all(exp.Table)}
    partitioned_aliases = {alias for alias, parts in tables.items() if partitioned.get(parts)}
    for comparison in query.tree.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between):
        aliases = {column.table for column in comparison.find_all(exp.Column)}
        if len(aliases & partitioned_aliases) > 1 and comparison.find_ancestor(exp.Join, exp.Where):
            yield Reach(line_of(comparison), comparison.sql(DIALECT), None)


def _interval_length(start: Any) -> timedelta | None:
    """The length of a literal interval; None for anything else."""
    from sqlglot import exp

    if not isinstance(start, exp.Interval) or not isinstance(start.this, exp.Literal):
        return None
    unit = _LONGEST_UNITS.get(str(start.unit).upper().removesuffix("S"))
    try:
        return unit * float(start.this.name) if unit else None
    except (ValueError, OverflowError):
        return None
