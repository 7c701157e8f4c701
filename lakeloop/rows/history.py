"""Feature history: a recomputation adds what changed and keeps what was known before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from lakeloop.rows.column_parsing import frame_of

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

LANDED = "_landed_at"
RETRACTED = "_retracted"
RELATIVE_TOLERANCE = 1e-9
"""Doubles that differ by less are equal: sums in another order differ in the last bits."""


@dataclass(frozen=True)
class Merged:
    """The rows to publish, and how many of them are new, corrected or retracted."""

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
    landings: dict[date, datetime] = {}
    for day, landed in days.items():
        for offset in range(reach + 1):
            later = day + timedelta(days=offset)
            landings[later] = max(landed, landings.get(later, landed))
    return dict(sorted(landings.items()))


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
    """Merge a recomputation into the rows that were published for the same partitions.

    Args:
        old: the published rows (all versions), with `known_at`, `_landed_at`, `_retracted`; None at the first computation.
        new: the recomputed rows, one per keys and event time, with `known_at` as the view's rule gives it.
        keys: entity keys.
        event_time: the event time column, UTC.
        columns: the feature columns; a key, the event time or `known_at` among them keeps its value in every version of a row.
        landings: newest landing per day (UTC), see `latest_landing`; a new or changed row isn't known before it.
        corrected_at: newest landing of corrected rows in inputs without event time; counts for changed rows only.

    Returns:
        The rows of the partitions after the merge: unchanged rows as they were; changed rows in both versions, the new one known later; for
        each row that disappeared, a row of nulls known from the newest landing of its day on. Rows are ordered by keys, event time,
        `known_at`.
    """
    import polars as pl

    identity = [*keys, event_time]
    floors = _floor_frame(landings)
    recomputed = frame_of(new)
    floored = _floor_known_at(recomputed, floors, event_time)
    order = [*identity, *[c for c in new.column_names if c not in (*identity, *columns)], *columns, LANDED, RETRACTED]
    order = list(dict.fromkeys(order))
    features = [c for c in columns if c not in (*identity, "known_at")]
    if old is None:
        rows = floored.select(order).sort([*identity, "known_at"])
        return Merged(_arrow_table(rows, new), rows.height, 0, 0)

    published = frame_of(old)
    latest = published.sort("known_at", maintain_order=True).unique(identity, keep="last", maintain_order=True)
    added, corrected = _compare_versions(floored, latest, identity, features, corrected_at)
    missing = latest.filter(~pl.col(RETRACTED)).join(recomputed.select(identity), on=identity, how="anti", nulls_equal=True)
    retracted = _retract(missing, floors, event_time, features, corrected_at, max(landings.values(), default=None))
    versions = [published, added, corrected, retracted]
    rows = pl.concat([frame.select(order) for frame in versions], how="vertical").sort([*identity, "known_at"], maintain_order=True)
    return Merged(_arrow_table(rows, new), added.height, corrected.height, retracted.height)


def _floor_frame(landings: Mapping[date, datetime]) -> pl.DataFrame:
    """The newest landing per day as a frame of `_day` and `_floor`."""
    import polars as pl

    schema: dict[str, pl.DataType] = {"_day": pl.Date(), "_floor": pl.Datetime("us", "UTC")}
    return pl.DataFrame({"_day": list(landings), "_floor": list(landings.values())}, schema=schema)


def _join_floors(rows: pl.DataFrame, floors: pl.DataFrame, event_time: str) -> pl.DataFrame:
    import polars as pl

    return rows.with_columns(pl.col(event_time).dt.date().alias("_day")).join(floors, on="_day", how="left")


def _floor_known_at(rows: pl.DataFrame, floors: pl.DataFrame, event_time: str) -> pl.DataFrame:
    """Recomputed rows as if all were new: none known before the newest landing of its day."""
    import polars as pl

    known_at = pl.max_horizontal("known_at", "_floor").alias("known_at")
    rows = _join_floors(rows, floors, event_time).drop("_day")
    return rows.with_columns(known_at, pl.col("_floor").alias(LANDED), pl.lit(False).alias(RETRACTED)).drop("_floor")


def _compare_versions(
    rows: pl.DataFrame, latest: pl.DataFrame, identity: Sequence[str], features: Sequence[str], corrected_at: datetime | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The recomputed rows that have no published version, and those that differ from their latest one."""
    import polars as pl

    joined = rows.join(
        latest.select(*identity, *[pl.col(c).alias(f"_old_{c}") for c in (*features, "known_at", RETRACTED)], pl.lit(True).alias("_seen")),
        on=identity,
        how="left",
        nulls_equal=True,
    )
    unchanged = pl.all_horizontal(pl.lit(True), *[_is_equal(c, joined.schema[c]) for c in features]) & ~pl.col(f"_old_{RETRACTED}")
    added = joined.filter(pl.col("_seen").is_null())
    corrected = joined.filter(pl.col("_seen").is_not_null() & ~unchanged)
    correction = pl.lit(corrected_at, dtype=pl.Datetime("us", "UTC"))
    # Never at the moment of the version that it replaces: which of the two counts would be chance.
    after_old = pl.col("_old_known_at") + pl.duration(microseconds=1)
    return added, corrected.with_columns(
        pl.max_horizontal("known_at", after_old, correction).alias("known_at"), pl.max_horizontal(LANDED, correction).alias(LANDED)
    )


def _retract(
    rows: pl.DataFrame,
    floors: pl.DataFrame,
    event_time: str,
    features: Sequence[str],
    corrected_at: datetime | None,
    newest: datetime | None,
) -> pl.DataFrame:
    """Published rows that the recomputation no longer has, as rows of nulls known from the newest landing of their day on."""
    import polars as pl

    moment = pl.Datetime("us", "UTC")
    since = pl.coalesce(pl.max_horizontal("_floor", pl.lit(corrected_at, dtype=moment)), pl.lit(newest, dtype=moment))
    return _join_floors(rows, floors, event_time).with_columns(
        *[pl.lit(None, dtype=rows.schema[c]).alias(c) for c in features],
        pl.max_horizontal(pl.col("known_at") + pl.duration(microseconds=1), since).alias("known_at"),
        since.alias(LANDED),
        pl.lit(True).alias(RETRACTED),
    )


def _is_equal(column: str, kind: pl.DataType) -> pl.Expr:
    import polars as pl

    new, old = pl.col(column), pl.col(f"_old_{column}")
    if kind.is_float():
        # An infinite value is infinitely far from every other one, and any share of it is infinite too.
        close = new.is_finite() & old.is_finite() & ((new - old).abs() <= RELATIVE_TOLERANCE * pl.max_horizontal(new.abs(), old.abs()))
        return new.eq_missing(old) | close.fill_null(False)
    return new.eq_missing(old)


def _arrow_table(rows: pl.DataFrame, like: pa.Table) -> pa.Table:
    import pyarrow as pa

    fields = []
    for name in rows.columns:
        if name in like.column_names:
            fields.append(pa.field(name, like.schema.field(name).type))
        else:
            fields.append(pa.field(name, pa.bool_() if name == RETRACTED else pa.timestamp("us", tz="UTC")))
    return rows.to_arrow().cast(pa.schema(fields))
