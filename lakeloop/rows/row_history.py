"""The history of the rows of a key: their versions as they landed, which one is kept, and since when each was known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakeloop.rows.types import arrow_type
from lakeloop.spec.tables import DatabaseSource, TableSpec

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

CLOSES = "_closes"
"""The column of superseded rows that marks those that end a history."""


Emptied = Mapping[tuple[str, str], Sequence[tuple[int, datetime]]]
"""By file and partition the landings in which the file had no row there any more: their numbers and times."""


def row_versions(rows: pl.DataFrame, spec: TableSpec, emptied: Emptied | None = None) -> pl.DataFrame:
    """One row per key and streak of equal content, with the streak's first `ingested_at`; `_kept` marks the row that stays.

    A streak ends where a landing of the same file doesn't have the row: `_gone_at` says when, for a row that came back after that.

    The result refers to rows by their position `_at`, so that only the deciding columns are sorted and grouped, which copies them.
    """
    import polars as pl

    names, keys, moment = list(spec.columns), spec.keys, pl.Datetime("us", "UTC")
    deciding = [*keys, "_landed_order", "_row", "ingested_at", "_current"]
    ordered = rows.select(pl.int_range(pl.len()).alias("_at"), *deciding, *_places(rows)).sort(["_landed_order", "_row"])
    if ordered["_landed_order"].n_unique() <= 1:
        kept = ordered.unique(keys, keep="last", maintain_order=True)
        return kept.with_columns(
            pl.col("_current").alias("_kept"), pl.lit(False).alias("_corrects"), pl.lit(None, dtype=moment).alias("_gone_at")
        )
    last = _mark_gaps(ordered.unique([*keys, "_landed_order"], keep="last", maintain_order=True), ordered, spec, emptied or {})
    content = rows.select(pl.struct([c for c in names if c not in keys] or keys).hash(seed=0)).to_series()
    last = last.with_columns(content.gather(last["_at"]).alias("_content"))
    last = last.with_columns(
        ((pl.col("_content") != pl.col("_content").shift(1).over(keys)).fill_null(True) | pl.col("_returns")).alias("_new")
    )
    last = last.with_columns(pl.col("_new").cum_sum().over(keys).alias("_streak"))
    last = last.with_columns(
        pl.col("ingested_at").min().over([*keys, "_streak"]).alias("ingested_at"),
        # The row that stays for a streak isn't always its last one, which the gap follows.
        pl.col("_gone_at").max().over([*keys, "_streak"]).alias("_gone_at"),
        (pl.col("_streak") > 1).alias("_corrects"),
        # The row that stays is the last one of the current landings; a key that only older landings have has vanished.
        (pl.col("_current") & (pl.col("_landed_order") == pl.col("_landed_order").filter(pl.col("_current")).max().over(keys))).alias(
            "_kept"
        ),
    )
    kept = last.filter("_kept")
    earlier = last.filter(~pl.col("_kept")).unique([*keys, "_streak"], keep="last", maintain_order=True)
    earlier = earlier.join(kept.select(*keys, "_streak"), on=[*keys, "_streak"], how="anti", nulls_equal=True)
    return pl.concat([earlier, kept])


def _places(rows: pl.DataFrame) -> list[pl.Expr]:
    import polars as pl

    return [pl.col("_file") if "_file" in rows.columns else pl.lit("").alias("_file"), pl.col("_partition")]


def _mark_gaps(last: pl.DataFrame, ordered: pl.DataFrame, spec: TableSpec, emptied: Emptied) -> pl.DataFrame:
    """Mark the rows of a key that came back after no file had the key (`_returns`), and when those before them were gone (`_gone_at`)."""
    import polars as pl

    never, keys = pl.lit(None, dtype=pl.Datetime("us", "UTC")), spec.keys
    if not _replaces(spec):
        return last.with_columns(pl.lit(False).alias("_returns"), never.alias("_gone_at"))
    last = last.join(_following_landings(ordered, emptied), on=["_file", "_partition", "_landed_order"], how="left", maintain_order="left")
    ends = pl.col("_following_order").fill_null(pl.Int64.max()).cum_max().over(keys)
    gone = pl.col("_following_at").cum_max().over(keys)
    last = last.with_columns((ends.shift(1).over(keys) < pl.col("_landed_order")).fill_null(False).alias("_returns"))
    last = last.with_columns(pl.when(pl.col("_returns").shift(-1).over(keys)).then(gone).otherwise(never).alias("_gone_at"))
    return last.drop("_following_order", "_following_at")


def closing_rows(
    rows: pl.DataFrame,
    history: pl.DataFrame,
    spec: TableSpec,
    vanished: Mapping[tuple[str, str], datetime],
    last: datetime | None,
    emptied: Emptied | None = None,
) -> list[pa.Table]:
    """Rows that end a history: for each row that vanished or moved to another event time its keys and former time, known from then on.

    A row that came back later has one too, known from when it had vanished.

    Returns:
        One table, or none where no history ends.
    """
    import polars as pl

    replaced = history.filter(~pl.col("_kept"))
    if not replaced.height:
        return []
    moment, at = pl.Datetime("us", "UTC"), spec.event_time
    affected = history.join(replaced.select(spec.keys).unique(), on=spec.keys, how="semi", nulls_equal=True)
    affected = affected.with_columns((rows[at] if at else pl.repeat(0, rows.height, eager=True)).gather(affected["_at"]).alias("_time"))
    affected = affected.sort(["ingested_at", "_landed_order", "_row"]).with_columns(
        pl.col("_time").shift(-1).over(spec.keys).alias("_next_time"),
        pl.coalesce("_gone_at", pl.col("ingested_at").shift(-1).over(spec.keys)).alias("_since"),
        pl.col("_kept").any().over(spec.keys).alias("_stays"),
    )
    is_other = (pl.col("_time") != pl.col("_next_time")) | pl.col("_gone_at").is_not_null()
    moved = affected.filter(pl.col("_since").is_not_null() & is_other)
    vanished_rows = affected.filter(pl.col("_since").is_null() & ~pl.col("_stays"))
    if vanished_rows.height:
        places = rows.select(_places(rows))
        current = places.with_columns(rows["ingested_at"], rows["_current"]).filter("_current")
        landings = {(f, p): when for f, p, when in current.group_by("_file", "_partition").agg(pl.col("ingested_at").max()).iter_rows()}
        fallback = last.astimezone(UTC) if last else rows["ingested_at"].max()
        landed = places.with_columns(rows["_landed_order"], rows["ingested_at"])
        following = _times_after(_following_landings(landed, emptied or {})) if _replaces(spec) else {}
        ends = [
            following.get((*place, order)) or landings.get(place) or vanished.get(place) or fallback
            for place, order in zip(places[vanished_rows["_at"]].iter_rows(), vanished_rows["_landed_order"], strict=True)
        ]
        vanished_rows = vanished_rows.with_columns(pl.Series("_since", ends, dtype=moment))
    ended = pl.concat([moved, vanished_rows])
    if not ended.height:
        return []
    names = [*spec.columns, *(["known_at"] if at else []), "ingested_at", "_live", "_partition"]
    closing = rows.select([*spec.columns, "_partition"])[ended["_at"]].with_columns(
        *[pl.lit(None, dtype=rows.schema[name]).alias(name) for name in spec.columns if name not in (*spec.keys, at)],
        ended["_since"].alias("ingested_at"),
        pl.lit(True).alias("_live"),
        *([ended["_since"].alias("known_at")] if at else []),
    )
    return [_arrow_table(closing.select(names), spec)]


def _replaces(spec: TableSpec) -> bool:
    """Whether a landing of a file takes the place of the one before; what is read on from a cursor adds to it."""
    return not (isinstance(spec.source, DatabaseSource) and spec.source.cursor is not None)


def _following_landings(landings: pl.DataFrame, emptied: Emptied) -> pl.DataFrame:
    """By file, partition and number of a landing the next one there, with its number and time; none for the newest."""
    import polars as pl

    places = ["_file", "_partition"]
    empty = [(file, partition, order, at) for (file, partition), ends in emptied.items() for order, at in ends]
    landed = landings.select(*places, "_landed_order", "ingested_at")
    schema = [*places, "_landed_order", "ingested_at"]
    without_rows = pl.DataFrame(empty, schema=schema, orient="row").cast(dict(landed.schema)) if empty else landed.clear()  # type: ignore[arg-type]
    ordered = pl.concat([landed, without_rows]).unique([*places, "_landed_order"], keep="first").sort("_landed_order")
    return ordered.select(
        *places,
        "_landed_order",
        pl.col("_landed_order").shift(-1).over(places).cast(pl.Int64).alias("_following_order"),
        pl.col("ingested_at").shift(-1).over(places).cast(pl.Datetime("us", "UTC")).alias("_following_at"),
    ).filter(pl.col("_following_order").is_not_null())


def _times_after(following: pl.DataFrame) -> dict[tuple[str, str, int], datetime]:
    """By file, partition and number of a landing, when the next one there landed."""
    return {(f, p, order): when for f, p, order, _, when in following.iter_rows()}


def take_versions(rows: pl.DataFrame, history: pl.DataFrame, spec: TableSpec, first: datetime | None) -> pa.Table:
    """Take the rows at the positions of a history, with the times and the `_corrects` that it has for them."""
    columns = [*spec.columns, *(["known_at"] if spec.event_time else []), "ingested_at", "_live", "_partition"]
    selected = rows.select([*spec.columns, "_partition"])[history["_at"]]
    return _arrow_table(
        _add_known_at(selected.with_columns(history["ingested_at"], history["_corrects"]), spec, first).select(columns), spec
    )


def _add_known_at(rows: pl.DataFrame, spec: TableSpec, first: datetime | None) -> pl.DataFrame:
    """Add `_live`, and `known_at` where the table has an event time."""
    import polars as pl

    if not spec.event_time:
        return rows.with_columns(pl.col("_corrects").alias("_live"))
    moment = pl.Datetime("us", "UTC")
    at = (
        pl.col(spec.event_time).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        if spec.columns[spec.event_time].type == "date"
        else pl.col(spec.event_time)
    )
    if spec.bulk_loaded_until is not None:
        is_live_landing = at >= pl.lit(spec.bulk_loaded_until.astimezone(UTC), dtype=moment)
    elif first is not None:
        landed = pl.lit(first.astimezone(UTC), dtype=moment)
        is_live_landing = (at >= landed) | (pl.col("ingested_at") > landed)
    else:
        is_live_landing = pl.lit(True)
    is_live = pl.col("_corrects") | is_live_landing
    due = at + spec.known_delay
    return rows.with_columns(
        is_live.alias("_live"),
        pl.when(is_live).then(pl.max_horizontal(due, pl.col("ingested_at"))).otherwise(due).cast(moment).alias("known_at"),
    )


def _arrow_table(rows: pl.DataFrame, spec: TableSpec) -> pa.Table:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    types = {name: arrow_type(column.type) for name, column in spec.columns.items()} | {
        "known_at": moment,
        "ingested_at": moment,
        "_live": pa.bool_(),
        "_partition": pa.string(),
    }
    fields, columns, series = [pa.field(name, types[name]) for name in rows.columns], [], rows.get_columns()
    del rows
    for field in fields:  # one column at a time, since text is copied
        columns.append(series.pop(0).to_frame().to_arrow().column(0).cast(field.type))
    return pa.table(columns, schema=pa.schema(fields))
