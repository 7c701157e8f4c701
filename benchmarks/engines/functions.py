"""PySpark functions on both engines: `python -m benchmarks.engines.functions --spark sc://… --seed N --seeds M` compares random plans, guarded as those of views."""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
import warnings
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pyspark.sql.functions as F
from pyspark.sql import Window

from benchmarks.engines.__main__ import open_engines
from benchmarks.engines.compare import Outcome, judge, values_of
from benchmarks.engines.rows import make_rows
from resources.spark.plan_guard import guarded_plans

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

PLANS_OF_A_SEED = 25
_COLUMNS = ["n", "h", "g", "i", "x", "y", "z", "p", "o", "x", "y", "q", "w", "t"]


def main() -> int:
    """Print each plan that differs, and how many outcomes of each kind there were; 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--spark", default="")
    asked = parser.parse_args()
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")  # windows without a partition
    counts: Counter[str] = Counter()
    with ExitStack() as stack:
        engines = open_engines(asked.spark, stack)
        for seed in range(asked.seed, asked.seed + asked.seeds):
            rows = make_rows(seed)
            frames = [(spark, spark.createDataFrame(rows)) for spark in (engines.embedded, engines.jvm)]
            for number in range(PLANS_OF_A_SEED):
                outcome = compare(frames, f"{seed} {number}")
                counts[outcome.kind] += 1
                if outcome.kind in ("differs", "only the embedded engine takes it"):
                    print(f"{outcome.kind}: seed {seed}, plan {number}: {outcome.told}", flush=True)
    print(dict(counts))
    sys.stdout.flush()
    os._exit(1 if counts["differs"] else 0)  # a client of a server that has ended says goodbye for minutes


def compare(frames: list[tuple[SparkSession, DataFrame]], name: str) -> Outcome:
    """Run one plan on both engines."""
    return judge(*[_run(spark, frame, random.Random(name)) for spark, frame in frames])


def _run(spark: SparkSession, frame: DataFrame, draw: random.Random) -> Any:
    """The values of a plan and their type, in the order of `o`; what the engine said if it gave none."""
    try:
        with guarded_plans(spark, has_nan=True):
            rows = random_plan(draw, frame).toArrow()
    except Exception as error:  # each engine and client has its own kinds
        return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"
    order, values = values_of(rows["o"]), values_of(rows["v"])
    return tuple(values[row] for row in sorted(range(rows.num_rows), key=lambda row: order[row])), str(rows.schema.field("v").type)


def random_plan(draw: random.Random, frame: DataFrame) -> DataFrame:
    """A random DataFrame with the columns `o` and `v`."""
    kind = draw.random()
    if kind < 0.6:
        return frame.select("o", random_column(draw).alias("v"))
    if kind < 0.8:
        makers = [F.sum, F.avg, F.count, F.max, F.min, F.count_distinct, F.sum_distinct, lambda c: F.array_sort(F.collect_set(c)), F.median]
        aggregate = draw.choice(makers)
        return frame.groupBy("k").agg(F.min("o").alias("o"), aggregate(random_column(draw)).alias("v"))
    if kind < 0.9:
        return frame.where(random_column(draw) > random_column(draw)).select("o", F.col("o").alias("v"))
    if kind < 0.95:
        rows = frame.select("o", random_column(draw).alias("v"))
        return rows.union(frame.select((F.col("o") + 100).alias("o"), random_column(draw).alias("v")))
    return frame.orderBy(random_column(draw), "o").limit(20).select("o", F.col("o").alias("v"))


def random_column(draw: random.Random, depth: int = 2) -> Column:
    """A random expression."""
    if depth == 0 or draw.random() < 0.2:
        return F.col(draw.choice(_COLUMNS))
    a, b = random_column(draw, depth - 1), random_column(draw, depth - 1)
    makers = [
        lambda: a + b, lambda: a - b, lambda: a * b, lambda: -a, lambda: F.abs(a), lambda: F.when(a > b, a).otherwise(b), lambda: F.coalesce(a, b),
        lambda: F.sqrt(a), lambda: a % 7, lambda: F.greatest(a, b), lambda: F.col(draw.choice(_COLUMNS)) + 1,
        lambda: F.array(a, b), lambda: F.array_distinct(F.array(a, b)), lambda: F.array(a) == F.array(b), lambda: a.isin(b, 0.0), lambda: F.struct(a.alias("v"))["v"],
        lambda: F.create_map(F.coalesce(a, F.lit(1)), b)[a], lambda: F.transform(F.array(a, b), lambda e: e + 1), lambda: F.transform(F.array(a), lambda e: -e * b),
        lambda: F.aggregate(F.array(a, b), F.lit(0).cast("long"), lambda total, e: total + e.cast("long")), lambda: a > b, lambda: a / b, lambda: a == 0.5,
        lambda: F.filter(F.array(a, b), lambda e: e > 0.5), lambda: F.expr(f"coalesce({draw.choice(_COLUMNS)}, 0.5)"), lambda: F.nullif(a, b), lambda: F.nvl(a, b),
        lambda: F.max(a).over(Window.partitionBy("k")), lambda: F.count("*").over(Window.partitionBy(a)), lambda: F.rank().over(Window.orderBy(a)),
        lambda: a.cast("double") * 1e-17, lambda: F.least(a, b), lambda: a.cast("decimal(10,2)"), lambda: a.try_cast("decimal(10,2)"), lambda: F.col("x") * 0.0,
        lambda: F.when(F.isnan(a.cast("double")), F.lit(0)).otherwise(F.lit(1)), lambda: F.sum("n").over(Window.partitionBy("k")),
    ]  # fmt: skip
    return draw.choice(makers)()


if __name__ == "__main__":
    main()
