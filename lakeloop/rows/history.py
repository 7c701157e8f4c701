"""Feature history: the values of a view as of each landing of its inputs; what changed is added, and what was known before stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
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


def merge_history(
    old: pa.Table | None, new: pa.Table, *, keys: Sequence[str], event_time: str, columns: Sequence[str], landed: datetime | None
) -> Merged:
    """Merge the values of a view as of a landing into its history up to then.

    Args:
        old: the rows of the same partitions (all versions), with `known_at`, `_landed_at`, `_retracted`; None where there is no history yet.
        new: the values as of the landing, one row per keys and event time, with `known_at` as the view's rule gives it.
        keys: entity keys.
        event_time: the event time column, UTC.
        columns: the feature columns; a key, the event time or `known_at` among them keeps its value in every version of a row.
        landed: when the input rows landed that `new` is computed with and `old` is not; None for those that were loaded as history, of
            which the view's rule alone says when they were known.

    Returns:
        The rows of the partitions after the merge: unchanged rows as they were; new rows, and changed rows in both versions, the new one
        known from the landing on; for each row that disappeared, a row of nulls known from then on. Nothing is known before the rule says,
        or before the version that it replaces; one that wasn't known yet when it changed is left out. Rows are ordered by keys, event time,
        `known_at`.
    """
    import polars as pl

    identity = list(dict.fromkeys([*keys, event_time]))
    moment = pl.lit(landed, dtype=pl.Datetime("us", "UTC"))
    rows = frame_of(new).with_columns(
        pl.max_horizontal("known_at", moment).alias("known_at"), moment.alias(LANDED), pl.lit(False).alias(RETRACTED)
    )
    order = list(dict.fromkeys([*identity, *[c for c in new.column_names if c not in (*identity, *columns)], *columns, LANDED, RETRACTED]))
    features = [c for c in columns if c not in (*identity, "known_at")]
    if old is None:
        return Merged(_arrow_table(rows.select(order).sort([*identity, "known_at"]), new), rows.height, 0, 0)

    published = _without_unused(frame_of(old), rows, identity, features, landed)
    latest = published.sort("known_at").unique(identity, keep="last")
    added, corrected = _compare_versions(rows, latest, identity, features)
    missing = latest.filter(~pl.col(RETRACTED)).join(rows.select(identity), on=identity, how="anti", nulls_equal=True)
    retracted = missing.with_columns(
        *[pl.lit(None, dtype=missing.schema[c]).alias(c) for c in features],
        pl.max_horizontal(pl.col("known_at") + pl.duration(microseconds=1), moment).alias("known_at"),
        moment.alias(LANDED),
        pl.lit(True).alias(RETRACTED),
    )
    versions = [published, added, corrected, retracted]
    merged = pl.concat([frame.select(order) for frame in versions], how="vertical").sort([*identity, "known_at"])
    return Merged(_arrow_table(merged, new), added.height, corrected.height, retracted.height)


def _without_unused(
    published: pl.DataFrame, rows: pl.DataFrame, identity: Sequence[str], features: Sequence[str], landed: datetime | None
) -> pl.DataFrame:
    """The published rows without versions that changed before they were known: as of then they never will be."""
    import polars as pl

    # Without a landing nothing is later than it: a comparison with null isn't true.
    is_pending = pl.col("known_at") > pl.lit(landed, dtype=pl.Datetime("us", "UTC"))
    pending = published.filter(is_pending)
    if pending.is_empty():
        return published
    latest = pending.sort("known_at").unique(identity, keep="last")
    _, corrected = _compare_versions(rows, latest, identity, features)
    same = rows.select(identity).join(corrected.select(identity), on=identity, how="anti", nulls_equal=True)
    stays = latest.filter(~pl.col(RETRACTED)).join(same, on=identity, how="semi", nulls_equal=True)
    gone = latest.filter(pl.col(RETRACTED)).join(rows.select(identity), on=identity, how="anti", nulls_equal=True)
    kept = pl.concat([stays.select(identity), gone.select(identity)])
    changed = latest.select(identity).join(kept, on=identity, how="anti", nulls_equal=True).with_columns(pl.lit(True).alias("_changed"))
    marked = published.join(changed, on=identity, how="left", nulls_equal=True, maintain_order="left")
    return marked.filter(~(is_pending & pl.col("_changed").fill_null(False))).drop("_changed")


def _compare_versions(
    rows: pl.DataFrame, latest: pl.DataFrame, identity: Sequence[str], features: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The computed rows that have no version yet, and those that differ from their latest one."""
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
    # Never at the moment of the version that it replaces: which of the two counts would be chance.
    after_old = pl.col("_old_known_at") + pl.duration(microseconds=1)
    return added, corrected.with_columns(pl.max_horizontal("known_at", after_old).alias("known_at"))


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
