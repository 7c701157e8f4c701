"""How far back a query reads, of which a partitioned view must say as much: it is computed a partition at a time, and sees no row before its `lookback`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lakeloop.sql.query import DIALECT, Query, line_of

_MOST = {
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


@dataclass(frozen=True)
class Reach:
    """A place in a query that reads earlier rows.

    Attributes:
        line: in the query's file.
        text: the place, as SQL.
        back: how far it reads at most; None if the query doesn't say.
    """

    line: int
    text: str
    back: timedelta | None


def reaches(query: Query, partitioned: Mapping[tuple[str, ...], bool]) -> list[Reach]:
    """The places of a query that read earlier rows: windows in an order, and joins of two partitioned tables by an inequality.

    A window without an order may well be one of rows of the same day, and isn't listed.

    Args:
        query: a parsed query.
        partitioned: for each table as the query names it, whether it has partitions.
    """
    return [*_windows(query), *_joins(query, partitioned)]


def _windows(query: Query) -> Iterator[Reach]:
    from sqlglot import exp

    for window in query.tree.find_all(exp.Window):
        frame = window.args.get("spec")
        if not window.args.get("order") or isinstance(window.this, exp.Lead):
            continue
        start = frame.args.get("start") if frame else None
        if frame and (start == "CURRENT ROW" or frame.args.get("start_side") == "FOLLOWING"):
            continue
        yield Reach(line_of(window), window.sql(DIALECT), _length(start))


def _joins(query: Query, partitioned: Mapping[tuple[str, ...], bool]) -> Iterator[Reach]:
    from sqlglot import exp

    tables = {table.alias_or_name: tuple(part.name for part in table.parts) for table in query.tree.find_all(exp.Table)}
    cut = {alias for alias, parts in tables.items() if partitioned.get(parts)}
    for compared in query.tree.find_all(exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between):
        sides = {column.table for column in compared.find_all(exp.Column)}
        if len(sides & cut) > 1 and compared.find_ancestor(exp.Join, exp.Where):
            yield Reach(line_of(compared), compared.sql(DIALECT), None)


def _length(start: Any) -> timedelta | None:
    """The length of an interval that is written out."""
    from sqlglot import exp

    if not isinstance(start, exp.Interval) or not isinstance(start.this, exp.Literal):
        return None
    unit = _MOST.get(str(start.unit).upper().removesuffix("S"))
    try:
        return unit * float(start.this.name) if unit else None
    except (ValueError, OverflowError):
        return None
