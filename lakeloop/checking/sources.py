"""Checks of a table against the first rows of its source: columns that aren't there, types and rules that most values don't meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakeloop.errors import SpecError, nearest
from lakeloop.project.project import Located
from lakeloop.rows.conform import Conformed, conform
from lakeloop.rows.expected_values import meaning_of, typed_arguments
from lakeloop.spec.personal import personal_of_table
from lakeloop.spec.tables import FILE, ROW, DatabaseSource, Expectation, TableSpec

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

MOST_REFUSED = 0.1
"""The share of a source's first rows that may go to quarantine for one reason. Dirty data have a few such rows; a mistake in a definition has many:
a drafted type or rule has none."""
MOST_UNEXPECTED = 0.2
"""The share of values by which a blocking expectation may be missed beyond its `mostly`: it would stop every delivery like this one."""


def check_columns(table: Located[TableSpec], delivered: Collection[str]) -> list[SpecError]:
    """Check that a source has the columns that the declared ones are read from, and its cursor."""
    spec, errors = table.spec, []
    names = [name for name in delivered if not name.startswith("_")]
    for name, column in spec.columns.items():
        for place, part in enumerate(column.source or [name]):
            if part not in delivered and part not in (ROW, FILE):
                key: tuple[str | int, ...] = ("columns", name)
                if column.source:
                    key = (*key, "source", place) if len(column.source) > 1 else (*key, "source")
                errors.append(table.definition.error(f"the source has no column {part!r}; {nearest(part, names)}", *key))
    cursor = spec.source.cursor if isinstance(spec.source, DatabaseSource) else None
    if cursor is not None and cursor not in delivered:
        errors.append(table.definition.error(f"the source has no column {cursor!r}; {nearest(cursor, names)}", "source", "cursor"))
    return errors


def check_rows(table: Located[TableSpec], rows: pa.Table) -> list[SpecError]:
    """Check that most of the first rows of a source can be read as they are declared, and lie in the partitions.

    Args:
        table: whose source has the columns that are read.
        rows: as they would land, with `_row` and `_file`.
    """
    import pyarrow as pa

    spec, definition = table.spec, table.definition
    count, now = rows.num_rows, datetime(1970, 1, 1, tzinfo=UTC)
    landed = {
        "_landing": pa.repeat("1", count), "_landed_order": pa.array(range(count)), "_current": pa.repeat(True, count),
        "_partition": pa.repeat("whole", count), "ingested_at": pa.repeat(pa.scalar(now, pa.timestamp("us", tz="UTC")), count),
    }  # fmt: skip
    for name, values in landed.items():
        rows = rows.append_column(name, values)
    try:
        conformed = conform([rows], spec)
    except SpecError as error:
        return [definition.error(error.message, *(error.key or "").split(".", 1))]
    errors = list(_check_quarantine(table, conformed, count))
    if conformed.valid.num_rows:
        errors += _check_times(table, conformed.valid)
        errors += _check_expectations(table, conformed.valid)
    return errors


def _check_quarantine(table: Located[TableSpec], conformed: Conformed, count: int) -> Iterator[SpecError]:
    """Tell of each reason for which many rows would go to quarantine, with the first of them."""
    spec = table.spec
    rules = conformed.quarantined["rule"].to_pylist()
    reasons = dict(zip(reversed(rules), reversed(conformed.quarantined["reason"].to_pylist()), strict=True))
    for rule, refused in Counter(rules).items():
        if refused <= MOST_REFUSED * count:
            continue
        kind, _, name = rule.partition(":")
        key = (
            ("rules", rule)
            if not name
            else ("columns", name, {"type": "format" if spec.columns[name].format else "type"}.get(kind, "nullable"))
        )
        reason = reasons[rule].partition("; ")[0]
        yield table.definition.error(f"{refused:,} of the first {count:,} rows would go to quarantine, the first one by: {reason}", *key)


def _check_times(table: Located[TableSpec], rows: pa.Table) -> Iterator[SpecError]:
    """Tell of partitions, and of the end of a bulk load, that none of the rows has to do with."""
    import pyarrow.compute as pc

    spec = table.spec
    if spec.event_time is None:
        return
    first, last = (each.as_py() for each in pc.min_max(rows[spec.event_time]).values())
    first, last = (each if isinstance(each, datetime) else datetime(each.year, each.month, each.day, tzinfo=UTC) for each in (first, last))
    grid = spec.partitions
    if grid is not None and (last.date() < grid.start or (grid.end is not None and first.date() >= grid.end)):
        until = f" to {grid.end}" if grid.end else ""
        yield table.definition.error(
            f"wanted partitions that the rows lie in, found {grid.start}{until}; the first rows are of {first:%Y-%m-%d} to {last:%Y-%m-%d}",
            "partitions",
        )


def _check_expectations(table: Located[TableSpec], rows: pa.Table) -> Iterator[SpecError]:
    """Tell of blocking expectations on the values of one column which many of them don't meet."""
    import polars as pl

    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    meanings = {name: meaning_of(column.type) for name, column in table.spec.columns.items()}
    hidden = personal_of_table(table.spec)
    for place, expectation in enumerate(table.spec.expectations):
        column = expectation.kwargs.get("column")
        if (
            expectation.severity != "blocking"
            or expectation.quarantine
            or column not in frame.columns
            or expectation.kwargs.get("row_condition")
        ):
            continue
        values = frame[column].drop_nulls() if expectation.type != "expect_column_values_to_not_be_null" else frame[column]
        is_met = _is_met(values, expectation, typed_arguments(expectation, meanings))
        if is_met is None or not len(values):
            continue
        share = 1 - is_met.mean()
        if share > 1 - float(expectation.kwargs.get("mostly", 1)) + MOST_UNEXPECTED:
            example = "" if column in hidden else f", such as {values.filter(~is_met)[0]!r}"
            message = (
                f"{share:.0%} of the first {len(values):,} values don't meet it{example}: every delivery like this one would be refused"
            )
            yield table.definition.error(message, "expectations", place, expectation.type)


def _is_met(values: pl.Series, expectation: Expectation, arguments: Any) -> Any:
    """Which values meet an expectation; None for one that isn't judged here."""
    import polars as pl

    if values.dtype == pl.Datetime:
        values = values.dt.replace_time_zone(None)
    if expectation.type == "expect_column_values_to_not_be_null":
        return values.is_not_null()
    if expectation.type == "expect_column_values_to_be_in_set" and isinstance(arguments.get("value_set"), list):
        wanted: Iterable[Any] = arguments["value_set"]
        return pl.Series([value in wanted for value in values.to_list()], dtype=pl.Boolean)
    if expectation.type == "expect_column_values_to_be_between":
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if values.dtype.is_numeric() or ((low is None or isinstance(low, datetime)) and (high is None or isinstance(high, datetime))):
            whole = values.cast(pl.Datetime("us")) if values.dtype == pl.Date else values
            is_met = pl.Series([True]).new_from_index(0, len(values))
            is_met = is_met & (whole >= low) if low is not None else is_met
            return is_met & (whole <= high) if high is not None else is_met
    return None
