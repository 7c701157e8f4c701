"""Feature history: a recomputation adds what changed and keeps what was known before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

LANDED = "_landed_at"
RETRACTED = "_retracted"
RELATIVE_TOLERANCE = 1e-9
"""Doubles that differ by less are the same value: sums in another order differ in the last bits."""


@dataclass(frozen=True)
class Merged:
    """Rows to keep, and how many of them are new, corrected or retracted."""

    rows: pa.Table
    added: int
    corrected: int
    retracted: int


def latest_landing(days: Mapping[date, datetime], lookback: timedelta) -> dict[date, datetime]:
    """For each day the newest landing among the input rows that a row of that day may read.

    Args:
        days: newest landing (UTC) of live or corrected input rows, per day of their event time (UTC).
        lookback: how far before its event time a row reads.

    >>> latest_landing({date(2013, 1, 1): datetime(2013, 1, 9)}, timedelta(days=1))
    {datetime.date(2013, 1, 1): datetime.datetime(2013, 1, 9, 0, 0), datetime.date(2013, 1, 2): datetime.datetime(2013, 1, 9, 0, 0)}
    """
    reach = lookback // timedelta(days=1) + (1 if lookback % timedelta(days=1) else 0)
    found: dict[date, datetime] = {}
    for day, landed in days.items():
        for offset in range(reach + 1):
            later = day + timedelta(days=offset)
            if later not in found or found[later] < landed:
                found[later] = landed
    return dict(sorted(found.items()))


def merge_history(
    old: pa.Table | None,
    new: pa.Table,
    *,
    keys: Sequence[str],
    event_time: str,
    columns: Sequence[str],
    landings: Mapping[date, datetime],
    corrected_at: datetime | None = None,
) -> Merged:
    """Merge a recomputation into what was published for the same partitions.

    Args:
        old: the published rows (all versions), with `known_at`, `_landed_at`, `_retracted`; None at the first computation.
        new: the recomputed rows, one per keys and event time, with `known_at` as the view's rule gives it.
        keys: entity keys.
        event_time: the event time column, UTC.
        columns: the feature columns.
        landings: newest landing per day (UTC), see `latest_landing`; a new or changed row isn't known before it.
        corrected_at: newest landing of corrected rows in inputs without event time; counts for changed rows only.

    Returns:
        The rows of the partitions afterwards: unchanged ones as they were, changed ones in both versions (the new one known later), and
        for a row that disappeared a row of nulls known from the newest landing of its day on. Row order is by keys, event time, known_at.
    """
    import polars as pl

    identity = [*keys, event_time]
    moment = pl.Datetime("us", "UTC")
    fresh = _frame(new)
    floors = pl.DataFrame(
        {"_day": list(landings), "_floor": [_utc(landed) for landed in landings.values()]}, schema={"_day": pl.Date, "_floor": moment}
    )
    fresh = fresh.with_columns(pl.col(event_time).dt.date().alias("_day")).join(floors, on="_day", how="left").drop("_day")
    unfloored = fresh.with_columns(
        pl.max_horizontal("known_at", "_floor").alias("known_at"), pl.col("_floor").alias(LANDED), pl.lit(False).alias(RETRACTED)
    ).drop("_floor")
    order = [*identity, *[c for c in new.column_names if c not in (*identity, *columns)], *columns, LANDED, RETRACTED]
    order = list(dict.fromkeys(order))
    if old is None or old.num_rows == 0:
        rows = unfloored.select(order).sort([*identity, "known_at"])
        return Merged(_arrow(rows, new), rows.height, 0, 0)

    before = _frame(old)
    latest = before.sort("known_at", maintain_order=True).unique(identity, keep="last", maintain_order=True)
    joined = unfloored.join(
        latest.select(*identity, *[pl.col(c).alias(f"_old_{c}") for c in (*columns, "known_at", RETRACTED)], pl.lit(True).alias("_seen")),
        on=identity,
        how="left",
        nulls_equal=True,
    )
    same = pl.all_horizontal([_same(c, joined.schema[c]) for c in columns]) & ~pl.col(f"_old_{RETRACTED}")
    first = joined.filter(pl.col("_seen").is_null()).select(order)
    changed = joined.filter(pl.col("_seen").is_not_null() & ~same)
    late = pl.lit(_utc(corrected_at) if corrected_at else None, dtype=moment)
    # Never at the moment of what it replaces: which of the two counts would be chance.
    after = pl.duration(microseconds=1)
    changed = changed.with_columns(
        pl.max_horizontal("known_at", pl.col("_old_known_at") + after, late).alias("known_at"),
        pl.max_horizontal(LANDED, late).alias(LANDED),
    ).select(order)
    gone = latest.filter(~pl.col(RETRACTED)).join(fresh.select(identity), on=identity, how="anti", nulls_equal=True)
    newest = max([_utc(landed) for landed in landings.values()] + ([_utc(corrected_at)] if corrected_at else []), default=None)
    gone = gone.with_columns(pl.col(event_time).dt.date().alias("_day")).join(floors, on="_day", how="left")
    since = pl.coalesce(pl.max_horizontal("_floor", late), pl.lit(newest, dtype=moment))
    gone = gone.with_columns(
        *[pl.lit(None, dtype=gone.schema[c]).alias(c) for c in columns],
        pl.max_horizontal(pl.col("known_at") + after, since).alias("known_at"),
        since.alias(LANDED),
        pl.lit(True).alias(RETRACTED),
    ).select(order)
    rows = pl.concat([before.select(order), first, changed, gone], how="vertical").sort([*identity, "known_at"], maintain_order=True)
    return Merged(_arrow(rows, new), first.height, changed.height, gone.height)


def _same(column: str, kind: pl.DataType) -> pl.Expr:
    import polars as pl

    a, b = pl.col(column), pl.col(f"_old_{column}")
    if kind.is_float():
        close = (a - b).abs() <= RELATIVE_TOLERANCE * pl.max_horizontal(a.abs(), b.abs())
        return (a.eq_missing(b) | close.fill_null(False)).fill_null(False)
    return a.eq_missing(b)


def _frame(table: pa.Table) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _arrow(rows: pl.DataFrame, like: pa.Table) -> pa.Table:
    import pyarrow as pa

    fields = []
    for name in rows.columns:
        if name in like.column_names:
            fields.append(pa.field(name, like.schema.field(name).type))
        else:
            fields.append(pa.field(name, pa.bool_() if name == RETRACTED else pa.timestamp("us", tz="UTC")))
    return rows.to_arrow().cast(pa.schema(fields))


def _utc(moment: datetime) -> datetime:
    from datetime import UTC

    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
