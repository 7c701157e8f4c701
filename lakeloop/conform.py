"""From landed rows to typed, deduplicated ones: lossless or refused, and every row accounted for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakeloop.column_parsing import EXACT_INTEGERS, frame_of, parsed_column
from lakeloop.errors import DataError, SpecError
from lakeloop.personal import MASK, hidden_landed, hidden_sources, masked, message_of, personal_of_table
from lakeloop.spec import Column, ColumnType, TableSpec

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

ROWS_AT_ONCE = 500_000
"""That are read from text to their types together."""


@dataclass(frozen=True)
class Conformed:
    """A batch after conforming; `landed` = rows of `valid` + rows of `quarantined` + `duplicates`, always.

    Attributes:
        valid: declared columns in their declared types, `known_at` (with an event time), `ingested_at`, `_live`, `_partition`.
        quarantined: `rule`, `reason`, `raw` (the landed row as JSON, personal values masked), `event_time`, `_file`, `_row`, `ingested_at`,
            `_partition`.
        duplicates: rows dropped because another row of the same key landed later.
        landed: rows of the current landings.
        superseded: earlier versions of corrected or vanished rows, columns as `valid`; and where a row has vanished, or has another event
            time since, a row of its keys and former time alone, known from then on.
    """

    valid: pa.Table
    quarantined: pa.Table
    duplicates: int
    landed: int
    superseded: pa.Table


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type of a declared column; times are UTC microseconds."""
    import pyarrow as pa

    return {
        "string": pa.string(),
        "integer": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }[kind]


def schema_of(columns: Mapping[str, Column]) -> pa.Schema:
    """The Arrow schema of declared columns."""
    import pyarrow as pa

    return pa.schema([pa.field(name, arrow_type(column.type)) for name, column in columns.items()])


def cast_exactly(table: pa.Table, schema: pa.Schema, where: str, personal: Collection[str] = ()) -> pa.Table:
    """Cast a table to a schema without changing a value.

    Raises:
        DataError: a value would change; the message names the column, the type, the first such value (of a personal column: masked) and
            its row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for field in schema:
        values = table[field.name]
        if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
            values = values.cast(pa.string())
        if values.type == field.type:
            columns.append(values)
            continue
        strange = _cannot_hold(values.type, field.type)
        if strange:
            raise DataError(f"{where}: column {field.name}: wanted {field.type}, found {values.type}{strange}")
        try:
            cast = values.cast(field.type, safe=True)
        except pa.ArrowInvalid:
            cast = values.cast(field.type, safe=False)
        back = cast.cast(values.type, safe=False)
        changed = pc.fill_null(pc.not_equal(values, back), False)
        if pa.types.is_floating(values.type):
            changed = pc.and_(changed, pc.invert(pc.is_nan(pc.fill_null(values, 0.0))))
            if pa.types.is_integer(field.type):
                changed = pc.or_(changed, pc.fill_null(pc.is_nan(values), False))
        if pa.types.is_integer(values.type) and pa.types.is_floating(field.type):
            changed = pc.or_(changed, pc.fill_null(pc.greater(pc.abs(values.cast(pa.int64())), EXACT_INTEGERS), False))
        if pc.any(changed).as_py():
            row = pc.index(changed, True).as_py()
            shown = MASK if field.name in personal else repr(values[row].as_py())
            raise DataError(f"{where}: column {field.name}: {shown} (row {row}) would change as {field.type}; nothing was written")
        columns.append(cast)
    return pa.table(columns, schema=schema)


def parse_column(rows: pa.Table, name: str, column: Column) -> pa.Array:
    """One declared column from landed rows, null where it can't be read."""
    import polars as pl

    sources = column.source or [name]
    frame = frame_of(rows.select(list(dict.fromkeys(sources))))
    value, problem = parsed_column(frame, name, column, frozenset())
    parsed = frame.select(pl.when(problem.is_null()).then(value).otherwise(None).alias(name))
    return parsed.to_arrow()[name].combine_chunks().cast(arrow_type(column.type))


def conform(
    landed: Iterable[pa.Table],
    spec: TableSpec,
    *,
    bulk_until: datetime | None = None,
    vanished: Mapping[tuple[str, str], datetime] | None = None,
    last: datetime | None = None,
) -> Conformed:
    """Type, check by row rules, and deduplicate what landed.

    Args:
        landed: one table or more, of the source's columns and `_landing`, `_landed_order` (greater landed later), `_row`, `_file`, `ingested_at`, `_current`
            (whether the row's landing is the current one of its file; the others only tell when a row was first known and corrected),
            `_partition` (where it landed, and stays: its time alone may name a partition that came into being later).
        spec: the table.
        bulk_until: when the table was first landed. Rows that landed then, and whose event time is before it, were loaded as history: they
            count as known at their event time plus delay. The spec's own `bulk_loaded_until` comes first, and means rows of any landing.
        vanished: when a file lost all its rows of a partition, by `_file` and `_partition`.
        last: when anything landed last; a row is gone from then on where nothing else tells when it vanished.

    Returns:
        The batch. Numbers may be written with spaces around them and integers with zero decimals (`9.0`); text stays as it is. A local
        time that is ambiguous or doesn't exist (daylight saving) is quarantined, never guessed. Among rows of one key the one landed
        last stays.

    Raises:
        SpecError: a rule can't be evaluated.
    """
    import polars as pl
    import pyarrow as pa

    parts, quarantined, count = [], [], 0
    # Rows are read a part at a time: a large batch is gigabytes as text.
    for frame in map(frame_of, _parts(landed, together=any(map(_looks_across_rows, spec.rules.values())))):
        if "_current" not in frame.columns:
            frame = frame.with_columns(pl.lit(True).alias("_current"))
        if "_partition" not in frame.columns:
            frame = frame.with_columns(pl.lit("whole").alias("_partition"))
        typed = _with_rules(*_typed(frame, spec), spec)
        count += int(typed["_current"].sum())
        quarantined.append(_quarantine(typed.filter(pl.col("_current") & pl.col("_rule").is_not_null()), frame, spec))
        parts.append(typed.filter(pl.col("_rule").is_null()).drop("_rule", "_reason", "_position", "_landing", strict=False))
        del frame, typed
    good = pl.concat(parts)
    del parts
    readable = int(good["_current"].sum())
    history = _versions(good, list(spec.columns), spec.keys)
    latest = _chosen(good, history.filter("_kept").sort(["_landed_order", "_row"]), spec, bulk_until)
    superseded = [_chosen(good, history.filter(~pl.col("_kept")), spec, bulk_until), *_closings(good, history, spec, vanished or {}, last)]
    return Conformed(
        valid=latest,
        quarantined=pa.concat_tables(quarantined),
        duplicates=readable - latest.num_rows,
        landed=count,
        superseded=pa.concat_tables(superseded),
    )


def set_aside(conformed: Conformed, mask: np.ndarray, rule: str, reason: str, spec: TableSpec) -> Conformed:
    """Move the valid rows under a mask to quarantine, with the rule's name."""
    import json

    import pyarrow as pa

    if not mask.any():
        return conformed
    bad = conformed.valid.filter(pa.array(mask))
    personal = personal_of_table(spec)
    raw = [json.dumps(masked(row, personal), default=str) for row in bad.select(list(spec.columns)).to_pylist()]
    nulls = pa.nulls(bad.num_rows)
    times = bad[spec.event_time].cast(pa.timestamp("us", tz="UTC")) if spec.event_time else nulls.cast(pa.timestamp("us", tz="UTC"))
    rows = pa.table(
        [
            pa.repeat(rule, bad.num_rows), pa.repeat(reason, bad.num_rows), pa.array(raw, pa.string()), times,
            nulls.cast(pa.string()), nulls.cast(pa.int64()), bad["ingested_at"], bad["_partition"],
        ],
        schema=quarantine_schema(),
    )  # fmt: skip
    return replace(conformed, valid=conformed.valid.filter(pa.array(~mask)), quarantined=pa.concat_tables([conformed.quarantined, rows]))


def quarantine_schema() -> pa.Schema:
    """The schema of quarantined rows."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            ("rule", pa.string()),
            ("reason", pa.string()),
            ("raw", pa.string()),
            ("event_time", moment),
            ("_file", pa.string()),
            ("_row", pa.int64()),
            ("ingested_at", moment),
            ("_partition", pa.string()),
        ]
    )


def _typed(frame: pl.DataFrame, spec: TableSpec) -> tuple[pl.DataFrame, pl.Expr, pl.Expr]:
    """Declared columns, with `_p_<column>` saying why a value could not be read (null where it could)."""
    import polars as pl

    expressions, rules, reasons = [], [], []
    hidden = hidden_sources(spec)
    for name, column in spec.columns.items():
        value, problem = parsed_column(frame, name, column, hidden)
        expressions += [value.alias(name), problem.alias(f"_p_{name}")]
        bad = pl.col(f"_p_{name}").is_not_null()
        rules.append(pl.when(bad).then(pl.lit(f"type:{name}")))
        reasons.append(pl.when(bad).then(pl.concat_str(pl.lit(f"{name}: "), pl.col(f"_p_{name}"))))
        if name in spec.keys or name == spec.event_time or not column.nullable:
            kind = "key" if name in spec.keys else "event_time" if name == spec.event_time else "not_null"
            absent = ~bad & pl.col(name).is_null()
            rules.append(pl.when(absent).then(pl.lit(f"{kind}:{name}")))
            reasons.append(pl.when(absent).then(pl.lit(f"{name}: wanted a value, found null")))
    system: list[str | pl.Expr] = [c for c in ("_landing", "_landed_order", "_row", "ingested_at", "_current") if c in frame.columns]
    # A few names in millions of rows.
    system += [pl.col(c).cast(pl.Categorical) for c in ("_file", "_partition") if c in frame.columns]
    typed = frame.select(*expressions, *system, pl.int_range(pl.len()).alias("_position"))
    return typed, pl.coalesce(rules), pl.concat_str(reasons, separator="; ", ignore_nulls=True)


def _with_rules(typed: pl.DataFrame, rule: pl.Expr, reason: pl.Expr, spec: TableSpec) -> pl.DataFrame:
    import polars as pl

    rules, reasons = [rule], [reason]
    for name, condition in spec.rules.items():
        try:
            broken = typed.select(pl.sql_expr(condition).alias("_")).to_series().eq(False)
        except (pl.exceptions.PolarsError, TypeError) as error:
            what = message_of(error, hide=bool(hidden_sources(spec)))
            raise SpecError(f"can't evaluate the rule {condition!r}: {what}", key=f"rules.{name}") from error
        typed = typed.with_columns(broken.fill_null(False).alias(f"_r_{name}"))
        rules.append(pl.when(pl.col(f"_r_{name}")).then(pl.lit(name)))
        reasons.append(pl.when(pl.col(f"_r_{name}")).then(pl.lit(f"wanted {condition}")))
    joined = pl.concat_str([pl.when(r != "").then(r) for r in reasons], separator="; ", ignore_nulls=True)
    told = typed.with_columns(pl.coalesce(rules).alias("_rule"), joined.alias("_reason"))
    return told.drop([name for name in told.columns if name.startswith(("_p_", "_r_"))])


def _looks_across_rows(condition: str) -> bool:
    """Whether a rule compares a row with others (an aggregate, a window), so that it must see all of them together."""
    import sqlglot
    from sqlglot import exp

    try:
        return sqlglot.parse_one(condition).find(exp.AggFunc, exp.Window) is not None
    except sqlglot.errors.SqlglotError:
        return True


def _parts(landed: Iterable[pa.Table], *, together: bool) -> Iterator[pa.Table]:
    """Tables of at most `ROWS_AT_ONCE` rows, or all in one; an empty one stays, for its columns."""
    import pyarrow as pa

    for table in [pa.concat_tables(landed)] if together else landed:
        at_once = max(table.num_rows, 1) if together else ROWS_AT_ONCE
        for start in range(0, max(table.num_rows, 1), at_once):
            yield table.slice(start, at_once)


def _versions(rows: pl.DataFrame, names: list[str], keys: list[str]) -> pl.DataFrame:
    """One row per key and streak of equal content, with the streak's first `ingested_at`; `_kept` marks the row that stays.

    Rows are told by their position `_at`, so that only what decides is sorted and grouped, which copies it.
    """
    import polars as pl

    deciding = [*keys, "_landed_order", "_row", "ingested_at", "_current"]
    ordered = rows.select(pl.int_range(pl.len()).alias("_at"), *deciding).sort(["_landed_order", "_row"])
    if ordered["_landed_order"].n_unique() <= 1:
        kept = ordered.unique(keys, keep="last", maintain_order=True)
        return kept.with_columns(pl.col("_current").alias("_kept"), pl.lit(False).alias("_corrects"))
    last = ordered.unique([*keys, "_landed_order"], keep="last", maintain_order=True)
    content = rows.select(pl.struct([c for c in names if c not in keys] or keys).hash(seed=0)).to_series()
    last = last.with_columns(content.gather(last["_at"]).alias("_content"))
    last = last.with_columns((pl.col("_content") != pl.col("_content").shift(1).over(keys)).fill_null(True).alias("_new"))
    last = last.with_columns(pl.col("_new").cum_sum().over(keys).alias("_streak"))
    last = last.with_columns(
        pl.col("ingested_at").min().over([*keys, "_streak"]).alias("ingested_at"),
        (pl.col("_streak") > 1).alias("_corrects"),
        # The row that stays is the last one among the current landings; a key that only older landings have has vanished.
        (pl.col("_current") & (pl.col("_landed_order") == pl.col("_landed_order").filter(pl.col("_current")).max().over(keys))).alias(
            "_kept"
        ),
    )
    kept = last.filter("_kept")
    rest = last.filter(~pl.col("_kept")).unique([*keys, "_streak"], keep="last", maintain_order=True)
    rest = rest.join(kept.select(*keys, "_streak"), on=[*keys, "_streak"], how="anti", nulls_equal=True)
    return pl.concat([rest, kept])


def _closings(
    rows: pl.DataFrame, history: pl.DataFrame, spec: TableSpec, vanished: Mapping[tuple[str, str], datetime], last: datetime | None
) -> list[pa.Table]:
    """Where a history ends: for what vanished or moved to another event time its keys and former time, known from then on; at most one table."""
    import polars as pl

    replaced = history.filter(~pl.col("_kept"))
    if not replaced.height:
        return []
    moment, at = pl.Datetime("us", "UTC"), spec.event_time
    touched = history.join(replaced.select(spec.keys).unique(), on=spec.keys, how="semi", nulls_equal=True)
    touched = touched.with_columns((rows[at] if at else pl.repeat(0, rows.height, eager=True)).gather(touched["_at"]).alias("_time"))
    touched = touched.sort(["ingested_at", "_landed_order", "_row"]).with_columns(
        pl.col("_time").shift(-1).over(spec.keys).alias("_next_time"),
        pl.col("ingested_at").shift(-1).over(spec.keys).alias("_since"),
        pl.col("_kept").any().over(spec.keys).alias("_stays"),
    )
    moved = touched.filter(pl.col("_since").is_not_null() & (pl.col("_time") != pl.col("_next_time")))
    gone = touched.filter(pl.col("_since").is_null() & ~pl.col("_stays"))
    if gone.height:
        places = rows.select("_file", "_partition") if "_file" in rows.columns else rows.select(pl.lit("").alias("_file"), "_partition")
        current = places.with_columns(rows["ingested_at"], rows["_current"]).filter("_current")
        landings = {(f, p): when for f, p, when in current.group_by("_file", "_partition").agg(pl.col("ingested_at").max()).iter_rows()}
        fallback = last.astimezone(UTC) if last else rows["ingested_at"].max()
        ends = [landings.get(place) or vanished.get(place) or fallback for place in places[gone["_at"]].iter_rows()]
        gone = gone.with_columns(pl.Series("_since", ends, dtype=moment))
    ended = pl.concat([moved, gone])
    if not ended.height:
        return []
    names = [*spec.columns, *(["known_at"] if at else []), "ingested_at", "_live", "_partition"]
    taken = rows.select([*spec.columns, "_partition"])[ended["_at"]].with_columns(
        *[pl.lit(None, dtype=rows.schema[name]).alias(name) for name in spec.columns if name not in (*spec.keys, at)],
        ended["_since"].alias("ingested_at"),
        pl.lit(True).alias("_live"),
        *([ended["_since"].alias("known_at")] if at else []),
    )
    return [_arrow(taken.select(names), spec)]


def _chosen(rows: pl.DataFrame, history: pl.DataFrame, spec: TableSpec, first: datetime | None) -> pa.Table:
    """Rows by their positions in a history, as that says of them."""
    columns = [*spec.columns, *(["known_at"] if spec.event_time else []), "ingested_at", "_live", "_partition"]
    taken = rows.select([*spec.columns, "_partition"])[history["_at"]]
    return _arrow(_known(taken.with_columns(history["ingested_at"], history["_corrects"]), spec, first).select(columns), spec)


def _known(rows: pl.DataFrame, spec: TableSpec, first: datetime | None) -> pl.DataFrame:
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
        late = at >= pl.lit(spec.bulk_loaded_until.astimezone(UTC), dtype=moment)
    elif first is not None:
        landed = pl.lit(first.astimezone(UTC), dtype=moment)
        late = (at >= landed) | (pl.col("ingested_at") > landed)
    else:
        late = pl.lit(True)
    live = pl.col("_corrects") | late
    due = at + spec.known_delay
    return rows.with_columns(
        live.alias("_live"), pl.when(live).then(pl.max_horizontal(due, pl.col("ingested_at"))).otherwise(due).cast(moment).alias("known_at")
    )


def _quarantine(bad: pl.DataFrame, frame: pl.DataFrame, spec: TableSpec) -> pa.Table:
    import json

    import pyarrow as pa

    if bad.height == 0:
        return quarantine_schema().empty_table()
    landed = frame[bad["_position"].to_list()]
    own = [c for c in landed.columns if not c.startswith("_") and c != "ingested_at"]
    hidden = hidden_landed(spec, own)
    raw = [json.dumps(masked(row, hidden), default=str) for row in landed.select(own).iter_rows(named=True)]
    moment = pa.timestamp("us", tz="UTC")
    times = bad[spec.event_time].to_arrow().cast(moment) if spec.event_time else pa.nulls(bad.height, moment)
    return pa.table(
        [
            bad["_rule"].to_arrow().cast(pa.string()), bad["_reason"].to_arrow().cast(pa.string()), pa.array(raw, pa.string()), times,
            bad["_file"].to_arrow().cast(pa.string()), bad["_row"].to_arrow().cast(pa.int64()), bad["ingested_at"].to_arrow().cast(moment),
            bad["_partition"].to_arrow().cast(pa.string()),
        ],
        schema=quarantine_schema(),
    )  # fmt: skip


def _arrow(rows: pl.DataFrame, spec: TableSpec) -> pa.Table:
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
    for field in fields:  # one column after the other, as text is copied
        columns.append(series.pop(0).to_frame().to_arrow().column(0).cast(field.type))
    return pa.table(columns, schema=pa.schema(fields))


def _cannot_hold(found: pa.DataType, wanted: pa.DataType) -> str:
    """Why a cast between two kinds of value makes no sense; empty where it may be tried."""
    import pyarrow as pa

    number = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal
    if pa.types.is_null(found):
        return ""
    if pa.types.is_timestamp(wanted):
        if not pa.types.is_timestamp(found):
            return "" if pa.types.is_date(found) else ", which is no time"
        return "" if found.tz else ", which has no time zone"
    if any(test(wanted) for test in number):
        return "" if any(test(found) for test in number) else ", which is no number"
    if pa.types.is_string(wanted):
        return ", which is no text"
    return ""
