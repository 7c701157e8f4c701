"""Functions of PySpark on the embedded engine: what it would compute otherwise than Spark is refused before it runs, and nothing else."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyspark.sql.functions as F
import pytest
from pyspark.sql import Window

from lakeloop.errors import DataError, SpecError
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


TYPED = pa.table(
    {
        "k": ["a", "a", "b"],
        "n": [2**63 - 1, 5, 7],
        "m": [1, 2, 3],
        "x": [-1.0, 4.0, -0.0],
        "p": pa.array([1, 2, 3], pa.decimal128(10, 2)),
        "d": pc.cast(pa.array([1, 2, 3], pa.int32()), pa.date32()),
        "t": pa.array([1, 2, 3], pa.timestamp("us", tz="UTC")),
    }
)
"""Of which plans name no types."""


@pytest.fixture(scope="module")
def typed() -> DataFrame:
    return SparkResource().session("guard").createDataFrame(TYPED)


def run_typed(function: Callable[[DataFrame], Any], frame: DataFrame, *, has_nan: bool = False) -> pa.Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # windows without a partition
        with guarded_plans(frame.sparkSession, has_nan=has_nan):
            return function(frame).toArrow()


def in_sql(frame: DataFrame) -> DataFrame:
    frame.createOrReplaceTempView("typed_rows")
    return frame.sparkSession.sql("SELECT k, sum(n) + 1 AS v FROM typed_rows GROUP BY k")


@pytest.mark.parametrize(
    ("told", "function"),
    [
        ("double as text", lambda t: t.select(F.col("x").cast("string"))),
        ("concat of a double", lambda t: t.withColumn("v", F.concat("k", "x"))),
        ("a double as text", lambda t: t.select(F.expr("CAST(x AS STRING)"))),
        ("a double as a decimal", lambda t: t.select(F.col("x").cast("decimal(10,2)"))),
        ("avg of decimals", lambda t: t.groupBy("k").agg(F.avg("p"))),
        ("the difference of dates", lambda t: t.select(F.col("d") - F.col("d"))),
        ("a part of a day", lambda t: t.select(F.col("d") + F.expr("INTERVAL 5 HOURS"))),
        ("a time as a number", lambda t: t.select(F.col("t").cast("long"))),
        ("with a text", lambda t: t.select(F.col("m") + F.col("k"))),
        ("with a text", lambda t: t.select(F.transform(F.array("k"), lambda e: e * 2))),
        ("with a text", lambda t: t.alias("a").join(t.alias("b"), F.expr("a.m = b.m")).select(F.expr("a.m + b.k"))),
        ("of texts and numbers", lambda t: t.select(F.coalesce("m", "k"))),
        ("of texts and numbers", lambda t: t.select(F.when(F.col("m") > 1, F.col("k")).otherwise(0))),
        ("a text in one part of a union", lambda t: t.select("k").union(t.select("m"))),
        ("a division of decimals", lambda t: t.select(F.col("p") / 4)),
        ("may have 39 digits", lambda t: t.select(F.col("p").cast("decimal(38,2)") + 1)),
        ("more than 28 digits", lambda t: t.groupBy("k").agg(F.sum(F.col("p") * F.col("m")))),
        ("more than 34 digits", lambda t: t.select(-F.col("p").cast("decimal(38,2)"))),
        ("least of arrays", lambda t: t.select(F.least(F.array("m"), F.array("n")))),
        ("greatest of arrays", lambda t: t.select(F.greatest(F.struct("m"), F.struct("m")))),
        ("whose values the embedded engine changes", lambda t: t.select(F.coalesce(F.array("x"), F.array("p")))),
        ("whose values the embedded engine changes", lambda t: t.select(F.when(F.col("m") > 1, F.array("m")).otherwise(F.array("x")))),
        ("max of arrays", lambda t: t.groupBy("k").agg(F.max(F.array("m")))),
        ("array_sort of arrays", lambda t: t.select(F.array_sort(F.array(F.array("m"), F.array("n"))))),
        ("an order by arrays", lambda t: t.select(F.rank().over(Window.orderBy(F.struct("m"))))),
        ("an order by arrays", lambda t: t.orderBy(F.array("m")).limit(1)),
        ("of texts and numbers", lambda t: t.select(F.nullif("k", "m"))),
        ("median of doubles that may be NaN", lambda t: t.select("k", F.sqrt("x").alias("x")).groupBy("k").agg(F.median("x"))),
        ("a UDF that gives doubles in arrays", lambda t: t.select(F.udf(lambda x: [x], "array<double>")("x"))),
        ("median of texts", lambda t: t.groupBy("k").agg(F.median("k"))),
        ("try_cast of text as a decimal", lambda t: t.select(F.col("k").try_cast("decimal(10,2)"))),
        ("types of what it names", lambda t: t.select(F.struct("m").alias("s")).select(F.expr("s.m + nothing.m"))),
        ("nullif of a double", lambda t: t.select(F.nullif("x", F.lit(0.0)))),
        ("percentile of doubles that may be NaN", lambda t: t.selectExpr("median(sqrt(x))")),
        ("a function brings", lambda t: t.sparkSession.createDataFrame(pa.table({"v": [[1.0, -0.0]]}))),
        ("a function brings", lambda t: t.sparkSession.createDataFrame([({"a": -0.0},)], "v map<string, double>")),
        ("a function brings", lambda t: t.join(t.sparkSession.createDataFrame([("a", [-0.0])], "k string, v array<double>"), "k")),
        ("a function brings", lambda t: t.select("k").mapInPandas(lambda frames: frames, "k string, v array<double>")),
        ("a function brings", lambda t: t.select("k").mapInArrow(lambda batches: batches, "v struct<a: float>")),
        ("a function brings", lambda t: t.groupBy("k").applyInPandas(lambda frame: frame, "k string, v map<string, double>")),
    ],
)
def test_what_depends_on_types_is_refused(typed: DataFrame, told: str, function: Callable[[DataFrame], DataFrame]) -> None:
    with pytest.raises(SpecError, match=told):
        run_typed(function, typed)


def test_what_a_function_brings_without_a_zero_in_an_array_runs(typed: DataFrame) -> None:
    assert run_typed(lambda t: t.sparkSession.createDataFrame(pa.table({"v": [[1.0, 0.0]], "x": [-0.0], "n": [[1]]})), typed).num_rows == 1
    assert run_typed(lambda t: t.select("k", "x").mapInPandas(lambda frames: frames, "k string, x double"), typed).num_rows == 3


def test_extremes_by_group_remember_what_came_before_a_nan(typed: DataFrame) -> None:
    def roots(frame: DataFrame) -> DataFrame:
        rows = frame.select("k", F.sqrt("x").alias("x"))
        return (
            rows.groupBy("k")
            .agg(F.min("x"), F.max("x").alias("most"), F.max(F.when(F.col("x") > 9, F.col("x"))).alias("none"))
            .orderBy("k")
        )

    rows = run_typed(roots, typed)
    assert rows.column_names == ["k", "min(x)", "most", "none"]
    assert rows["min(x)"].to_pylist() == [2.0, 0.0] and math.isnan(rows["most"][0].as_py()) and rows["none"].null_count == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda t: t.select(F.col("n") + 1),
        lambda t: t.where(F.col("n") * 2 > 0),
        lambda t: t.groupBy("k").agg(F.sum("n")),
        lambda t: t.select(F.sum("n").over(Window.partitionBy("k"))),
        lambda t: t.selectExpr("n * 2 AS v"),
        lambda t: t.select(F.transform(F.array("n"), lambda e: e + 1)),
        lambda t: t.select(F.aggregate(F.array("n", "m"), F.lit(0).cast("long"), lambda total, e: total + e * 2)),
        lambda t: t.alias("a").join(t.alias("b"), F.expr("a.m = b.m")).select(F.expr("a.n + b.m")),
        lambda t: t.join(t.select(F.col("m").alias("o")), F.col("n") + 1 == F.col("o")),
        in_sql,
    ],
)
def test_whole_numbers_that_leave_their_type_are_errors(typed: DataFrame, function: Callable[[DataFrame], DataFrame]) -> None:
    with pytest.raises(DataError, match="beyond what its type holds"):
        run_typed(function, typed)


@pytest.mark.parametrize(
    ("function", "name", "values"),
    [
        (lambda t: t.select(F.col("m") * 2), "(m * 2)", [2, 4, 6]),
        (lambda t: t.groupBy("k").agg(F.sum("m")).orderBy("k"), "sum(m)", [3, 3]),
        (lambda t: t.select(F.sum("m").over(Window.partitionBy("k").orderBy("m"))), "sum(m)", [1, 3, 3]),
        (lambda t: t.select(F.when(F.col("m") > 1, F.col("m") - 1).otherwise(0).alias("v")), "v", [0, 1, 2]),
        (lambda t: t.select(F.when(F.col("m") > 1, 0).otherwise(F.col("n")).alias("v")), "v", [2**63 - 1, 0, 0]),
        (
            lambda t: t.select((F.when(F.col("m") > 1, F.col("m")).otherwise(F.col("p") + 1) * 4).cast("double").alias("v")),
            "v",
            [8.0, 8.0, 12.0],
        ),
        (lambda t: t.select(F.when(F.col("m") > 1, 1).otherwise(F.col("x") / 2).alias("v")), "v", [-0.5, 1.0, 1.0]),
        (lambda t: t.withColumn("v", F.col("m") + 1).withColumn("v", F.col("v") * 2), "v", [4, 6, 8]),
        (lambda t: t.select((F.sqrt("x") > 5).alias("v")), "v", [True, False, False]),
        (lambda t: t.select((F.sqrt(F.col("m") - 2) > 5).alias("v")), "v", [True, False, False]),
        (lambda t: t.select(F.isnan(F.when(F.col("m") > 1, F.col("x"))).alias("v")), "v", [False, False, False]),
        (lambda t: t.select(F.row_number().over(Window.orderBy(F.abs("m") * 0.0 * F.col("x"), "m")).alias("v")), "v", [1, 2, 3]),
        (lambda t: t.select(F.transform(F.array("m", "m"), lambda e: e * 2).alias("v")), "v", [[2, 2], [4, 4], [6, 6]]),
        (lambda t: t.select(F.col("x").isin(0.0).alias("v")), "v", [False, False, True]),
        (lambda t: t.select((F.array("x") == F.array(F.lit(0.0))).alias("v")), "v", [False, False, True]),
        (lambda t: t.select(F.struct("x", "k").alias("v")).select(F.col("v.x").alias("v")), "v", [-1.0, 4.0, 0.0]),
        (lambda t: t.select(F.create_map("x", "m").alias("v")).select(F.col("v")[F.lit(0.0)].alias("v")), "v", [None, None, 3]),
        (lambda t: t.select(F.create_map(F.abs("x"), "m").alias("v"), "x").select(F.col("v")[F.col("x")].alias("v")), "v", [None, 2, 3]),
        (lambda t: t.groupBy().agg(F.size(F.collect_set(F.abs("x") * F.col("x"))).alias("v")), "v", [3]),
        (lambda t: t.unionByName(t.withColumn("x", F.lit(0.0))).agg(F.count_distinct("x", "n").alias("v")), "v", [5]),
        (lambda t: t.unionByName(t.withColumn("x", F.lit(0.0))).orderBy("x", F.desc("m")).limit(3).select("m").alias("v"), "m", [1, 3, 3]),
        (lambda t: t.alias("a").join(t.alias("b"), F.expr("a.m = b.m + 1")).select(F.expr("a.m + b.m AS v")).orderBy("v"), "v", [3, 5]),
    ],
)
def test_values_and_names_are_those_of_spark(
    typed: DataFrame, function: Callable[[DataFrame], DataFrame], name: str, values: list[Any]
) -> None:
    rows = run_typed(function, typed)
    assert rows.column_names[-1] == name and rows.column(rows.num_columns - 1).to_pylist() == values
