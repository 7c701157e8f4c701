"""From landed rows to typed, deduplicated ones: every value is read exactly or quarantined, and every row is accounted for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from lakeloop.errors import SpecError
from lakeloop.masking import mask_row, message_of
from lakeloop.rows.column_parsing import column_expressions, frame_of
from lakeloop.rows.local_times import settle
from lakeloop.rows.row_history import CLOSES, Emptied, closing_rows, row_versions, take_versions
from lakeloop.rows.types import arrow_type
from lakeloop.spec.personal import hidden_landed, hidden_sources, personal_of_table
from lakeloop.spec.tables import FILE, ROW, Column, DatabaseSource, Files, TableSpec

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import pyarrow as pa

ROWS_AT_ONCE = 500_000
"""Rows that are parsed together."""


@dataclass(frozen=True)
class Conformed:
    """A batch after conforming; `landed` = rows of `valid` + rows of `quarantined` + `duplicates`, always.

    Attributes:
        valid: declared columns in their declared types, `known_at` (with an event time), `ingested_at`, `_live`, `_partition`.
        quarantined: `rule`, `reason`, `raw` (the landed row as JSON, personal values masked), `event_time`, `_file`, `_row`, `ingested_at`,
            `_partition`.
        duplicates: rows dropped because another row of the same key landed later.
        landed: rows of the current landings.
        superseded: earlier versions of corrected or vanished rows, columns as `valid`; and for each row that vanished or moved to another
            event time, a row of its keys and former time alone, known from then on, which `_closes` marks.
    """

    valid: pa.Table
    quarantined: pa.Table
    duplicates: int
    landed: int
    superseded: pa.Table


def parse_column(rows: pa.Table, name: str, column: Column) -> pa.Array:
    """Parse one declared column of landed rows; null where a value can't be read."""
    sources = column.source or [name]
    frame = frame_of(rows.select(list(dict.fromkeys(sources))))
    value, _ = column_expressions(frame, name, column, frozenset())
    return frame.select(value.alias(name)).to_arrow()[name].combine_chunks().cast(arrow_type(column.type))


def parse_time(rows: pa.Table, name: str, spec: TableSpec) -> pa.Array:
    """Parse a column as `parse_column` does, and decide local times that came twice by the order of the rows if the table has a zone.

    Args:
        rows: of one file or of several (`_file`), in order or with `_row`; of the table's keys those columns that are there tell series apart.
        name: of the column.
        spec: the table.
    """
    column = spec.columns[name]
    frame = frame_of(rows)
    value, _ = _read(frame, name, column, spec, frozenset())
    return frame.select(value.alias(name)).to_arrow()[name].combine_chunks().cast(arrow_type(column.type))


def _read(frame: pl.DataFrame, name: str, column: Column, spec: TableSpec, hidden: frozenset[str]) -> tuple[pl.Expr, pl.Expr]:
    """The value of a column and why it can't be read, where the zone is the table's with the order of rows taken into account."""
    import polars as pl

    cells = isinstance(spec.source, Files) and spec.source.is_workbook
    value, problem = column_expressions(frame, name, column, hidden, cells=cells, database=isinstance(spec.source, DatabaseSource))
    if spec.timezone is None or column.type != "timestamp" or column.timezone is None:
        return value, problem
    read = frame.select(value.alias("value"), problem.alias("problem"))
    if read["problem"].null_count() == frame.height:
        return pl.lit(read["value"]), pl.lit(read["problem"])
    walls = frame.select(column_expressions(frame, name, column.model_copy(update={"timezone": "UTC"}), hidden)[0].alias("wall"))["wall"]
    times = [other for other in spec.keys if spec.columns[other].type in ("timestamp", "date")]
    series = dict.fromkeys(source for key in spec.keys if key not in times for source in spec.columns[key].source or [key])
    by = [source for source in series if source in frame.columns and source not in (ROW, FILE)]
    moments, reason = settle(walls, read["value"], column.timezone, frame, by)
    told = pl.when(pl.lit(reason).is_not_null()).then(pl.concat_str(pl.lit(read["problem"]), pl.lit(": "), pl.lit(reason)))
    return pl.lit(moments), pl.when(pl.lit(moments).is_null()).then(pl.coalesce(told, pl.lit(read["problem"])))


def conform(
    landed: Iterable[pa.Table],
    spec: TableSpec,
    *,
    bulk_until: datetime | None = None,
    vanished: Mapping[tuple[str, str], datetime] | None = None,
    last: datetime | None = None,
    emptied: Emptied | None = None,
) -> Conformed:
    """Parse landed rows, apply the row rules, and deduplicate by key.

    Args:
        landed: tables of the source's columns and `_landing`, `_landed_order` (greater landed later), `_row`, `_file`, `ingested_at`,
            `_current` (whether the row's landing is the current one of its file; other landings only say when a row was first known and
            corrected), `_partition` (where it landed and stays: its time alone may name a partition that was added later).
        spec: the table.
        bulk_until: when the table was first landed. Rows of that landing with an earlier event time were loaded as history: they count as
            known at their event time plus delay. The spec's own `bulk_loaded_until` takes precedence, for rows of any landing.
        vanished: when a file lost all its rows of a partition, by `_file` and `_partition`.
        last: the newest landing; a row counts as gone from then on if nothing else tells when it vanished.
        emptied: the landings in which a file had no row of a partition any more, by `_file` and `_partition`.

    Returns:
        The batch. Numbers may have spaces around them, and integers zero decimals (`9.0`); text stays as it is. A local time that is
        ambiguous or doesn't exist (daylight saving) is quarantined, unless the table has a zone and the order of the rows tells which moment it is. Of several rows of one key, the one landed last stays.

    Raises:
        SpecError: a rule can't be evaluated.
    """
    import polars as pl
    import pyarrow as pa

    parts, quarantined, count = [], [], 0
    # One part at a time: a large batch is gigabytes as text.
    for frame in map(frame_of, _split_rows(landed, together=any(map(_has_aggregate, spec.rules.values())))):
        if "_current" not in frame.columns:
            frame = frame.with_columns(pl.lit(True).alias("_current"))
        if "_partition" not in frame.columns:
            frame = frame.with_columns(pl.lit("whole").alias("_partition"))
        typed = _apply_rules(*_parse_columns(frame, spec), spec)
        count += int(typed["_current"].sum())
        quarantined.append(_quarantine_table(typed.filter(pl.col("_current") & pl.col("_rule").is_not_null()), frame, spec))
        parts.append(typed.filter(pl.col("_rule").is_null()).drop("_rule", "_reason", "_position"))
        del frame, typed
    passing = pl.concat(parts)
    del parts
    current = int(passing["_current"].sum())
    history = row_versions(passing, spec, emptied)
    valid = take_versions(passing, history.filter("_kept"), spec, bulk_until)
    superseded = take_versions(passing, history.filter(~pl.col("_kept")), spec, bulk_until)
    closing = closing_rows(passing, history, spec, vanished or {}, last, emptied)
    return Conformed(
        valid=valid,
        quarantined=pa.concat_tables(quarantined),
        duplicates=current - valid.num_rows,
        landed=count,
        superseded=pa.concat_tables([_mark_closing(superseded, closes=False), *(_mark_closing(rows, closes=True) for rows in closing)]),
    )


def _mark_closing(rows: pa.Table, *, closes: bool) -> pa.Table:
    import pyarrow as pa

    return rows.append_column(CLOSES, pa.repeat(closes, rows.num_rows))


def quarantine_rows(conformed: Conformed, mask: np.ndarray, rule: str, reason: str, spec: TableSpec) -> Conformed:
    """Move the valid rows that a mask marks to quarantine, under a rule's name."""
    import json

    import pyarrow as pa

    if not mask.any():
        return conformed
    bad = conformed.valid.filter(pa.array(mask))
    personal = personal_of_table(spec)
    raw = [json.dumps(mask_row(row, personal), default=str) for row in bad.select(list(spec.columns)).to_pylist()]
    nulls = pa.nulls(bad.num_rows)
    times = bad[spec.event_time] if spec.event_time else nulls
    rows = pa.table(
        [pa.repeat(rule, bad.num_rows), pa.repeat(reason, bad.num_rows), raw, times, nulls, nulls, bad["ingested_at"], bad["_partition"]],
        schema=quarantine_schema(),
    )
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


def _parse_columns(frame: pl.DataFrame, spec: TableSpec) -> tuple[pl.DataFrame, pl.Expr, pl.Expr]:
    """Parse the declared columns; `_p_<column>` says why a value could not be read (null where it could).

    Returns:
        The parsed rows, and expressions for the type rule that a row breaks and for the reason.
    """
    import polars as pl

    expressions, rules, reasons = [], [], []
    hidden = hidden_sources(spec)
    for name, column in spec.columns.items():
        value, problem = _read(frame, name, column, spec, hidden)
        expressions += [value.alias(name), problem.alias(f"_p_{name}")]
        unreadable = pl.col(f"_p_{name}").is_not_null()
        rules.append(pl.when(unreadable).then(pl.lit(f"type:{name}")))
        reasons.append(pl.when(unreadable).then(pl.concat_str(pl.lit(f"{name}: "), pl.col(f"_p_{name}"))))
        if name in spec.keys or name == spec.event_time or not column.nullable:
            kind = "key" if name in spec.keys else "event_time" if name == spec.event_time else "not_null"
            absent = ~unreadable & pl.col(name).is_null()
            rules.append(pl.when(absent).then(pl.lit(f"{kind}:{name}")))
            reasons.append(pl.when(absent).then(pl.lit(f"{name}: wanted a value, found null")))
    system = ["_landed_order", "_row", "ingested_at", "_current"]
    # Few distinct names in millions of rows.
    places = [pl.col(name).cast(pl.Categorical) for name in ("_file", "_partition")]
    typed = frame.select(*expressions, *system, *places, pl.int_range(pl.len()).alias("_position"))
    return typed, pl.coalesce(rules), pl.concat_str(reasons, separator="; ", ignore_nulls=True)


def _apply_rules(typed: pl.DataFrame, rule: pl.Expr, reason: pl.Expr, spec: TableSpec) -> pl.DataFrame:
    """Add `_rule`, the first rule that a row breaks, and `_reason`, all reasons; both null for a row that breaks none."""
    import polars as pl

    rules, reasons = [rule], [reason]
    for name, condition in spec.rules.items():
        try:
            is_broken = typed.select(pl.sql_expr(condition).alias("_")).to_series().eq(False)
        except (pl.exceptions.PolarsError, TypeError) as error:
            cause = message_of(error, hide=bool(hidden_sources(spec)))
            raise SpecError(f"can't evaluate the rule {condition!r}: {cause}", key=f"rules.{name}") from error
        if len(is_broken) != typed.height:
            message = f"wanted a condition of each row, found one of all rows together, {condition!r}; an expectation can check that"
            raise SpecError(message, key=f"rules.{name}")
        rules.append(pl.when(pl.lit(is_broken)).then(pl.lit(name)))
        reasons.append(pl.when(pl.lit(is_broken)).then(pl.lit(f"wanted {condition}")))
    joined = pl.concat_str([pl.when(r != "").then(r) for r in reasons], separator="; ", ignore_nulls=True)
    judged = typed.with_columns(pl.coalesce(rules).alias("_rule"), joined.alias("_reason"))
    return judged.drop([f"_p_{name}" for name in spec.columns])


def _has_aggregate(condition: str) -> bool:
    """Whether a rule needs all rows together: it has an aggregate or a window, or something unknown, which may be one."""
    import sqlglot
    from sqlglot import exp

    try:
        return sqlglot.parse_one(condition).find(exp.AggFunc, exp.Window, exp.Anonymous) is not None
    except sqlglot.errors.SqlglotError:
        return True


def _split_rows(landed: Iterable[pa.Table], *, together: bool) -> Iterator[pa.Table]:
    """Split tables into parts of at most `ROWS_AT_ONCE` rows, or join all into one; an empty table stays, for its columns."""
    import pyarrow as pa

    if together:
        yield pa.concat_tables(landed)
        return
    for table in landed:
        yield table.slice(0, ROWS_AT_ONCE)
        for start in range(ROWS_AT_ONCE, table.num_rows, ROWS_AT_ONCE):
            yield table.slice(start, ROWS_AT_ONCE)


def _quarantine_table(bad: pl.DataFrame, frame: pl.DataFrame, spec: TableSpec) -> pa.Table:
    import json

    import pyarrow as pa

    landed = frame[bad["_position"]]
    source_columns = [c for c in landed.columns if not c.startswith("_") and c != "ingested_at"]
    hidden = hidden_landed(spec, source_columns)
    raw = [json.dumps(mask_row(row, hidden), default=str) for row in landed.select(source_columns).iter_rows(named=True)]
    rule, reason, file, row, ingested_at, partition = (
        bad[name].to_arrow() for name in ("_rule", "_reason", "_file", "_row", "ingested_at", "_partition")
    )
    times = bad[spec.event_time].to_arrow() if spec.event_time else pa.nulls(bad.height)
    return pa.table([rule, reason, raw, times, file, row, ingested_at, partition], schema=quarantine_schema())
