"""A person's SQL over all that is published: tables, views, rows of other stages, and reports, by the names that definitions use.

What runs is the engine that computes views, with the same refusals, so that a query pasted into a view gives what it gave here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, SpecError, SpecErrors, nearest
from lakeloop.masking import MASK
from lakeloop.project.names import find_named
from lakeloop.project.personal import has_personal_columns, personal_columns
from lakeloop.project.project import Project, TableRef, located_of
from lakeloop.project.sql_tables import explain_unknown, may_hold_nan
from lakeloop.project.stage_names import REPORTS
from lakeloop.sql.alike import write_alike
from lakeloop.sql.query import Query, TableName, column_sources, parse_query, qualify_columns, rewrite_tables
from lakeloop.sql.refusals import find_refusals
from platform_assets.stages.base import Platform
from platform_assets.stages.check_rows import CHECKS_TABLE, checks_schema
from platform_assets.stages.evaluation.tables import TABLES as EVALUATION_TABLES
from platform_assets.stages.inputs import spark_input
from platform_assets.stages.release.decision_rows import DECISIONS_TABLE, decisions_schema
from platform_assets.stages.report_rows import TEXT, report_rows
from platform_assets.stages.training.study_tables import TABLES as STUDY_TABLES
from platform_assets.stages.training.version_files import COLUMNS as MODEL_FILES_COLUMNS
from platform_assets.stages.training.version_files import TABLE as MODEL_FILES
from resources.lake.published import States
from resources.lake.verdict_rows import VERDICTS, verdicts_schema
from resources.spark.numbers import types_of
from resources.spark.tables import frame_of, is_embedded, read_delta
from resources.spark.windows import query_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

FILE = "query"
"""What messages call a text that stands in no file."""


def report_schemas() -> dict[str, pa.Schema]:
    """The tables of `reports` by name, as docs/reports.md describes them, whether or not they have rows yet."""
    own: dict[str, Mapping[str, str]] = {
        **{path: {"evaluation": TEXT, **columns} for path, columns in EVALUATION_TABLES.items()},
        **STUDY_TABLES,
        MODEL_FILES: MODEL_FILES_COLUMNS,
    }
    schemas = {path: report_rows(columns, ()).schema for path, columns in own.items()}
    schemas |= {DECISIONS_TABLE: decisions_schema(), CHECKS_TABLE: checks_schema(), VERDICTS: verdicts_schema()}
    return {path.removeprefix(f"{REPORTS}/"): schema for path, schema in sorted(schemas.items())}


@dataclass(frozen=True)
class SqlAnswer:
    """The rows of a query, with the values of personal columns masked.

    Attributes:
        rows: of it.
        masked: the columns whose values are hidden.
    """

    rows: pa.Table
    masked: tuple[str, ...] = ()


def answer_sql(platform: Platform, states: States, text: str) -> SqlAnswer:
    """Run a query over what is published now; nothing is written.

    Args:
        platform: lake, definitions and engine.
        states: what is published.
        text: one SELECT or WITH query. Tables are named as in definitions (`flights.weather`, `raw.flights.weather`, the name alone where
            it is unique), and the reports as `reports.metrics`.

    Raises:
        SpecErrors: it isn't one query, or the engines would give different values for it.
        DataError: a table isn't there; the message has the nearest.
        NotPublished: nothing of a table has passed its checks yet.
    """
    query = parse_query(text, FILE)
    refs = {table.parts: _resolve(platform, table) for table in query.tables}
    spark = platform.spark("default")
    with _views(platform, spark, states, refs) as names:
        schemas = {parts: dict(types_of(spark, name)) for parts, name in names.items()}
        has_nan = any(ref is None or may_hold_nan(platform.project, ref) for ref in refs.values())
        tree, _ = qualify_columns(query, schemas)
        refusals = find_refusals(query, schemas, tree, has_nan=has_nan) if is_embedded(spark) else []
        if refusals:
            raise SpecErrors(refusals)
        masked = _personal_outputs(platform.project, query, schemas, refs)
        rows = query_rows(spark, write_alike(rewrite_tables(query, names)), has_nan=has_nan)
    hidden = tuple(name for name in rows.column_names if name.lower() in masked)
    return SqlAnswer(_masked(rows, hidden), hidden)


def _resolve(platform: Platform, table: TableName) -> TableRef | None:
    """The rows that a name means; None for a report."""
    name = ".".join(table.parts)
    if table.parts[0] == REPORTS:
        if len(table.parts) != 2 or table.parts[1] not in report_schemas():
            raise DataError(f"{FILE}:{table.line}: no table {name}; {nearest(table.parts[-1], report_schemas())}")
        return None
    if len(table.parts) == 1:
        name = ".".join(find_named(platform.project, name, kinds=("table", "view")).id)
    ref = platform.project.find_rows("", name)
    if ref is None:
        raise DataError(f"{FILE}:{table.line}: {explain_unknown(platform.project, '', name)}")
    return ref


@contextmanager
def _views(
    platform: Platform, spark: SparkSession, states: States, refs: Mapping[tuple[str, ...], TableRef | None]
) -> Iterator[dict[tuple[str, ...], str]]:
    """The name of a temporary view for each table that a query names."""
    names: dict[tuple[str, ...], str] = {}
    try:
        for parts, ref in refs.items():
            name = "__".join(["sql", *parts])
            _frame(platform, spark, states, parts, ref).createOrReplaceTempView(name)
            names[parts] = name
        yield names
    finally:
        for name in names.values():
            spark.catalog.dropTempView(name)


def _frame(platform: Platform, spark: SparkSession, states: States, parts: tuple[str, ...], ref: TableRef | None) -> DataFrame:
    if ref is not None:
        return spark_input(platform, spark, states, ref)
    path = "/".join(parts)
    table = platform.lake.open(path)
    if table is None:
        return frame_of(spark, report_schemas()[parts[1]].empty_table())
    return read_delta(spark, platform.lake.path(path), table.version())


def _personal_outputs(
    project: Project,
    query: Query,
    schemas: Mapping[tuple[str, ...], Mapping[str, str]],
    refs: Mapping[tuple[str, ...], TableRef | None],
) -> frozenset[str]:
    """The columns of a result that are computed from personal ones, in lower case.

    Raises:
        SpecError: a table has personal columns, and it can't be told which columns come from them.
    """
    if not has_personal_columns(project):
        return frozenset()
    personal: dict[tuple[str, ...], frozenset[str]] = {
        parts: personal_columns(project, ref.stage, located_of(project, ref)) for parts, ref in refs.items() if ref is not None
    }
    if not any(personal.values()):
        return frozenset()
    sources: Mapping[str, Any] = column_sources(query, schemas)
    hidden = {name.lower() for name, columns in sources.items() if any(own in personal.get(parts, ()) for parts, own in columns)}
    if not sources:
        raise SpecError("it can't be told which columns of the result are personal; name the columns", file=FILE)
    return frozenset(hidden)


def _masked(rows: pa.Table, hidden: tuple[str, ...]) -> pa.Table:
    """The rows with `***` in place of each value of some columns; a null stays one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in hidden:
        place = rows.column_names.index(name)
        values = pc.if_else(pc.is_valid(rows[place]), pa.scalar(MASK), pa.scalar(None, pa.string()))
        rows = rows.set_column(place, name, values)
    return rows
