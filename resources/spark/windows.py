"""Queries whose moving windows this process computes: for the embedded engine, which would subtract what leaves a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from lakeloop.sql.moving_windows import next_split, order_by_times
from lakeloop.sql.window_calls import COUNTS
from lakeloop.windows.frame import WindowCall
from lakeloop.windows.functions import compute_windows
from resources.spark.numbers import run_checked
from resources.spark.tables import embedded_sessions, frame_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession


def query_rows(spark: SparkSession, text: str, *, has_nan: bool = False) -> pa.Table:
    """The rows of a query over views of a session; windows over moving frames are computed here if the engine is the embedded one.

    Args:
        spark: the session.
        text: the query.
        has_nan: whether a table that is read may hold NaN or infinity.

    Raises:
        SpecError: a window over a moving frame can't be taken out of the query, see `lakeloop.sql.moving_windows`.
        DataError: it can't be computed over what it found, or a whole number leaves its type.
    """
    views: list[str] = []
    if spark not in embedded_sessions:
        return spark.sql(text).toArrow()
    text = order_by_times(text)
    try:
        while (split := next_split(text)) is not None:
            rows = run_checked(spark, split.inner, has_nan=has_nan)
            view = f"_windows_{uuid4().hex}"
            frame_of(spark, add_windows(rows, split.calls)).createOrReplaceTempView(view)
            views.append(view)
            text = split.outer(view, rows.column_names)
        return run_checked(spark, text, has_nan=has_nan)
    finally:
        for view in views:
            spark.catalog.dropTempView(view)


def add_windows(rows: pa.Table, calls: Sequence[WindowCall]) -> pa.Table:
    """Rows with their windows' values behind them, all columns named `_0`, `_1`, … by their places."""
    import pyarrow as pa

    values = compute_windows(rows, calls)
    names = [f"_{place}" for place in range(rows.num_columns + len(values))]
    # Counts are never null, as in the engine's own result.
    computed = [pa.field("", each.type, nullable=call.function not in COUNTS) for each, call in zip(values, calls, strict=True)]
    fields = [field.with_name(name) for field, name in zip([*rows.schema, *computed], names, strict=True)]
    return pa.table([*rows.columns, *values], schema=pa.schema(fields))
