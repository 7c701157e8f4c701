"""Functions of PySpark on the embedded engine: what it would compute otherwise than Spark is refused before it runs, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyspark.sql.functions as F
import pytest
from pyspark.sql import Window

from lakeloop.errors import SpecError
from resources.spark.plan_guard import guarded_plans
from resources.spark.sessions import EmbeddedEngine, SparkResource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ROWS = pa.table({"k": ["a", "a", "b"], "x": [1e17, 1.0, 2.0], "n": [1, 2, 3], "d": pc.cast(pa.array([1, 2, 3], pa.int32()), pa.date32())})


@pytest.fixture(scope="module")
def frame() -> DataFrame:
    return SparkResource().session("guard").createDataFrame(ROWS)


def rows_before() -> Any:
    return Window.partitionBy("k").orderBy("n").rowsBetween(-1, 0)


def as_view(frame: DataFrame) -> DataFrame:
    frame.select("k", F.avg("x").over(rows_before()).alias("m")).createOrReplaceTempView("means")
    return frame.sparkSession.table("means")


def as_text(frame: DataFrame) -> DataFrame:
    frame.createOrReplaceTempView("rows")
    return frame.sparkSession.sql("SELECT k, sum(x) OVER (PARTITION BY k ORDER BY n\nROWS 1 PRECEDING) AS m FROM rows")


REFUSED: list[tuple[str, Callable[[DataFrame], Any]]] = [
    ("avg over a window", lambda t: t.select(F.avg("x").over(rows_before()))),
    ("avg over a window", lambda t: t.select(F.avg("x").over(rows_before())).toPandas()),
    ("avg over a window", lambda t: t.join(t.select("k", F.avg("x").over(rows_before()).alias("m")), "k").groupBy("k").count()),
    ("avg over a window", as_view),
    ("sum over a moving window", as_text),
    ("sum over a moving window", lambda t: t.select(F.expr("1 + sum(x) OVER (ORDER BY n ROWS 1 PRECEDING)"))),
    ("stddev over a window", lambda t: t.select(F.stddev("x").over(Window.partitionBy("k")))),
    ("collect_list over a window", lambda t: t.select(F.collect_list("x").over(Window.partitionBy("k")))),
    ("unix_date", lambda t: t.select(F.max("x").over(Window.partitionBy("k").orderBy("d").rangeBetween(-3, 0)))),
    ("floor", lambda t: t.select(F.round("x", 2))),
    ("row_number", lambda t: t.groupBy("k").agg(F.max_by("x", "n"))),
    ("isNotNull", lambda t: t.select(F.array_compact(F.array("n")))),
]
TAKEN: list[Callable[[DataFrame], DataFrame]] = [
    lambda t: t.select(F.max("x").over(rows_before()), F.count("*").over(rows_before())),
    lambda t: t.select(F.sum(F.col("n").cast("long")).over(rows_before())),
    lambda t: t.select(F.max("x").over(Window.partitionBy("k").orderBy(F.unix_date("d")).rangeBetween(-3, 0))),
    lambda t: t.select(F.sum("x").over(Window.partitionBy("k").orderBy("n")), F.row_number().over(Window.partitionBy("k").orderBy("n"))),
    lambda t: t.select(F.round("x"), F.round(F.col("n").cast("decimal(10,2)"), 1), F.floor(F.col("x") * 100 + 0.5) / 100),
    lambda t: t.groupBy("k").agg(F.avg("x"), F.percentile("x", F.lit(0.5)), F.count_distinct("n")),
]


def run(function: Callable[[DataFrame], Any], frame: DataFrame) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # windows without a partition
        with guarded_plans():
            result = function(frame)
            return result.toArrow() if hasattr(result, "toArrow") else result


@pytest.mark.parametrize(("told", "function"), REFUSED)
def test_a_plan_that_depends_on_the_engine_is_refused(frame: DataFrame, told: str, function: Callable[[DataFrame], Any]) -> None:
    with pytest.raises(SpecError, match=told):
        run(function, frame)


def test_the_refusal_names_the_line_of_the_function(frame: DataFrame) -> None:
    with pytest.raises(SpecError) as caught:
        run(lambda t: t.select(F.avg("x").over(rows_before()).alias("m")), frame)
    assert caught.value.file == "test_plan_guard.py" and caught.value.line


@pytest.mark.parametrize("function", TAKEN)
def test_other_plans_run(frame: DataFrame, function: Callable[[DataFrame], DataFrame]) -> None:
    assert run(function, frame).num_rows > 0


def test_only_functions_on_the_embedded_engine_are_guarded(frame: DataFrame) -> None:
    means = frame.select(F.avg("x").over(rows_before()))
    assert means.toArrow().num_rows == 3  # as the platform itself may build
    elsewhere = SparkResource(remote=EmbeddedEngine().open_session("guard", "small")).session("guard").createDataFrame(ROWS)
    assert run(lambda t: t.select(F.avg("x").over(rows_before())), elsewhere).num_rows == 3
