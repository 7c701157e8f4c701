"""Queries of the embedded engine whose numbers are Spark's: an error where a whole number leaves its type, one NaN, the types of CASE.

The columns' bounds are read only where a query could leave a type at all; where they exclude it, the query runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from lakeloop.errors import DataError, SpecError
from lakeloop.sql.branches import guard_branches
from lakeloop.sql.decimals import TOO_WIDE, guard_decimal_sums, guard_mixtures
from lakeloop.sql.guards import write_guards
from lakeloop.sql.intervals import OTHER, UNKNOWN, Numbers, all_of
from lakeloop.sql.nan_signs import guard_nan
from lakeloop.sql.overflow import Site, find_overflows, guards_of, probes_of
from lakeloop.sql.query import parse_query
from lakeloop.sql.spans import Span
from lakeloop.sql.typed import TypedQuery
from lakeloop.sql.whole_numbers import BITS, Bounds, Column
from lakeloop.sql.zeros import guard_zeros

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

_OUT_OF_RANGE = "is out of range Int"
"""What the engine says of a decimal that is cast to a whole number which can't hold it."""
_MOMENTS = ("date", "timestamp", "timestamp_ntz")
_SHOWN = 3
Result = TypeVar("Result")


def run_checked(spark: SparkSession, text: str, *, has_nan: bool = False) -> pa.Table:
    """The rows of a query over views of a session of the embedded engine.

    Args:
        spark: the session.
        text: the query.
        has_nan: whether a table that is read may hold NaN or infinity.

    Raises:
        DataError: a whole number leaves its type, where the engine would go on with its lowest bits.
        SpecError: the type of what is added up can't be told.
    """
    guarded, sites = guard_query(spark, text, has_nan=has_nan)
    return explain_overflow(sites, lambda: spark.sql(guarded).toArrow())


def guard_query(spark: SparkSession, text: str, *, has_nan: bool = False) -> tuple[str, tuple[Site, ...]]:
    """A query that ends with an error where the engine would wrap, whose NaN have no sign and whose CASE have a type that holds them; what may leave its type."""
    query = TypedQuery(text, {name: types_of(spark, name) for name in _tables(text)})
    return write_typed(query, _find_sites(spark, query), has_nan=has_nan)


def write_typed(query: TypedQuery, sites: tuple[Site, ...] | None = None, *, has_nan: bool = False) -> tuple[str, tuple[Site, ...]]:
    """As `guard_query`, with what may leave its type; without, that is found by the types alone, and what has none is left to the engine."""
    if sites is None:
        sites = tuple(site for site in find_overflows(query).sites if site.numbers != UNKNOWN)
    guards = [
        *guards_of(sites),
        *guard_nan(query, is_read=has_nan),
        *guard_branches(query),
        *guard_zeros(query),
        *guard_decimal_sums(query),
        *guard_mixtures(query),
    ]
    return write_guards(query.text, guards), sites


def _find_sites(spark: SparkSession, query: TypedQuery) -> tuple[Site, ...]:
    """What may leave its type, as far as the types and bounds that the engine tells don't exclude it."""
    arithmetic = find_overflows(query)
    if not arithmetic.sites:
        return ()
    told = {place: numbers for place in arithmetic.unclear for numbers in [_ask_type(spark, query.text, place)] if numbers != UNKNOWN}
    if told:
        arithmetic = find_overflows(query, Bounds(told=told))
    if arithmetic.sites:
        bounds = _read_bounds(spark, query.schemas, arithmetic.used)
        arithmetic = find_overflows(query, Bounds(bounds.columns, bounds.rows, told))
    for site in arithmetic.sites:
        if site.numbers == UNKNOWN:
            raise SpecError(
                f"{site.text}: can't tell whether these are whole numbers, which may leave their type here; write CAST(… AS DOUBLE) or "
                "CAST(… AS BIGINT) around what it is of",
                file="query",
                line=site.line,
            )
    return arithmetic.sites


def explain_overflow(sites: tuple[Site, ...], run: Callable[[], Result]) -> Result:
    """Run a guarded query.

    Raises:
        DataError: a whole number left its type.
    """
    try:
        return run()
    except Exception as error:  # the client's own kinds, by what they say
        if TOO_WIDE in str(error):
            raise DataError(f"{TOO_WIDE}: an error on every engine; write sum(CAST(… AS DOUBLE)), or try_sum for null") from None
        if not sites or not is_out_of_range(error):
            raise
        shown = ", ".join(site.text for site in sites[:_SHOWN]) + (", …" if len(sites) > _SHOWN else "")
        # Without what the engine says, which is the value.
        raise DataError(
            f"a whole number is beyond what its type holds, in {shown}: an error on every engine; write CAST(… AS DOUBLE) or "
            "CAST(… AS DECIMAL(38, 0)) around what it is of, or try_add, try_multiply or try_sum for null"
        ) from None


def is_out_of_range(error: Exception) -> bool:
    """Whether the engine says that a decimal can't be cast to a whole number."""
    return _OUT_OF_RANGE in str(error)


def _tables(text: str) -> list[str]:
    return [".".join(table.parts) for table in parse_query(text, "query").tables]


def types_of(spark: SparkSession, name: str) -> dict[str, str]:
    """The columns of a view of a session with their types."""
    return {field.name: field.dataType.simpleString() for field in spark.table(name).schema}


def _ask_type(spark: SparkSession, text: str, place: Span) -> Numbers:
    """The numbers that an expression may give by its type, as the engine knows it."""
    from pyspark.errors import PySparkException

    for probe in probes_of(text, place):
        try:
            kind = spark.sql(probe).schema[0].dataType.simpleString()
        except PySparkException:
            continue
        return all_of(BITS[kind.upper()]) if kind.upper() in BITS else OTHER
    return UNKNOWN


def _read_bounds(spark: SparkSession, schemas: Mapping[str, Mapping[str, str]], used: Iterable[Column]) -> Bounds:
    """The rows of the tables, and the bounds of columns in them."""
    bounds: dict[Column, tuple[int, int]] = {}
    rows: dict[str, int] = {}
    wanted = sorted(used)
    for name, types in schemas.items():
        columns = [column for table, column in wanted if table == name]
        kinds = {column.lower(): kind for column, kind in types.items()}
        sides = [_bound(side, column, kinds[column.lower()]) for column in columns for side in ("min", "max")]
        values = [column[0].as_py() for column in spark.sql(f"SELECT {', '.join(['count(*)', *sides])} FROM {name}").toArrow().columns]
        rows[name] = values[0]
        for column, low, high in zip(columns, values[1::2], values[2::2], strict=True):
            bounds[name, column] = (low or 0, high or 0)  # without any value there is no bound to keep
    return Bounds(bounds, rows)


def _bound(side: str, column: str, kind: str) -> str:
    quoted = "`" + column.replace("`", "``") + "`"
    return f"unix_micros(CAST({side}({quoted}) AS TIMESTAMP))" if kind in _MOMENTS else f"{side}({quoted})"
