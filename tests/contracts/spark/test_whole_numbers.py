"""Whole numbers on the embedded engine: what Python computes, or an error where a type doesn't hold it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Context, Decimal

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from benchmarks.engines.python_numbers import Overflow, random_rows, random_term
from lakeloop.errors import DataError, SpecError
from resources.spark.sessions import SparkResource
from resources.spark.windows import query_rows

KINDS = {"h": pa.int32(), "g": pa.int64(), "m": pa.int64()}
BEYOND = "beyond what its type holds"
CONTEXT = Context(prec=40)


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    yield SparkResource().session("whole_numbers")


def show(spark: SparkSession, rows: list[dict[str, int | None]]) -> None:
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in KINDS.items()}
    spark.createDataFrame(pa.table({"o": list(range(len(rows))), **columns})).createOrReplaceTempView("numbers")


@pytest.mark.parametrize("bits", [5, 20, 31, 45, 63])
def test_arithmetic_is_what_python_computes_or_an_error(spark: SparkSession, bits: int) -> None:
    draw, outcomes = random.Random(f"engine {bits}"), set()
    for _ in range(6):
        rows = random_rows(draw, bits)
        show(spark, rows)
        for _ in range(4):
            term = random_term(draw)
            try:
                wanted = [term.value(row) for row in rows]
            except Overflow:
                with pytest.raises(Exception, match=f"(?i){BEYOND}|overflow"):
                    query_rows(spark, f"SELECT {term.sql} AS v FROM numbers ORDER BY o")
                outcomes.add("error")
                continue
            assert query_rows(spark, f"SELECT {term.sql} AS v FROM numbers ORDER BY o").column(0).to_pylist() == wanted, term.sql
            outcomes.add("value")
    assert "value" in outcomes and ("error" in outcomes or bits < 31)


EXPLODED = "(SELECT explode(array(1L, 2L, 3L, h)) AS e FROM numbers WHERE h < 3)"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("SELECT sum(g) AS v FROM numbers", None),
        ("SELECT sum(g) FILTER (WHERE m < 2) AS v FROM numbers", 2**62 + 1),
        ("SELECT sum(DISTINCT m) * 3 AS v FROM numbers", 18),
        ("SELECT max(s) AS v FROM (SELECT sum(g) OVER (ORDER BY o) AS s FROM numbers)", None),
        ("SELECT count(*) AS v FROM numbers WHERE g * 4 > 0", None),
        ("SELECT sum(q) AS v FROM (SELECT CASE WHEN g < 9 THEN g * g END AS q FROM numbers) WHERE q > 0", 1),
        (f"SELECT sum(e + 1) AS v FROM {EXPLODED}", 23),
        ("SELECT max(from_json('{\"q\": 5}', 'q INT').q + m) AS v FROM numbers", 8),
    ],
)
def test_queries_whose_numbers_leave_their_type_are_errors(spark: SparkSession, text: str, value: int | None) -> None:
    show(spark, [{"h": 1, "g": 2**62, "m": 1}, {"h": 2, "g": 1, "m": 1}, {"h": 3, "g": 2**62, "m": 2}, {"h": 4, "g": None, "m": 3}])
    if value is None:
        with pytest.raises(DataError, match=BEYOND):
            query_rows(spark, text)
    else:
        assert query_rows(spark, text).column(0).to_pylist() == [value]


def test_what_leaves_its_type_is_named_without_its_value(spark: SparkSession) -> None:
    show(spark, [{"h": 1, "g": 2**63 - 1, "m": 1}])
    with pytest.raises(DataError) as caught:
        query_rows(spark, "SELECT g + m AS v FROM numbers")
    assert "in g + m:" in str(caught.value) and "try_add" in str(caught.value) and str(2**63) not in str(caught.value)


def test_numbers_whose_type_nobody_tells_are_refused(spark: SparkSession) -> None:
    show(spark, [{"h": 1, "g": 2, "m": 1}])
    with pytest.raises(SpecError, match=r"j \+ 1: can't tell whether"):
        query_rows(spark, "SELECT transform(from_json('[1]', 'array<bigint>'), j -> j + 1) AS v FROM numbers")


@pytest.mark.parametrize("behind", [0, 2, 38])
@pytest.mark.parametrize("window", ["", " OVER ()"])
def test_sums_of_decimals_are_exact_up_to_the_last_of_38_digits_and_an_error_beyond(spark: SparkSession, behind: int, window: str) -> None:
    most, draw, outcomes = 10**38 - 1, random.Random(f"decimals {behind}{window}"), set()
    edges = [
        [most, 1],
        [most, 0],
        [-most, -1],
        [most, most],
        [most, most, -most],
        [-most, -most],
        [most // 2, most // 2, 1],
        [most // 2, most // 2, 2],
    ]
    rows = [edges, [[draw.choice((1, -1)) * draw.randrange(most // draw.choice((2, 3, 10**9)) + 1) for _ in range(4)] for _ in range(20)]]
    for values in (each for some in rows for each in some):
        whole = pa.array([Decimal(value).scaleb(-behind, CONTEXT) for value in values], pa.decimal128(38, behind))
        spark.createDataFrame(pa.table({"p": whole})).createOrReplaceTempView("decimals")
        text = f"SELECT sum(p){window} AS v FROM decimals"
        if abs(sum(values)) > most:
            with pytest.raises(DataError, match="a sum of decimals has more than 38 digits"):
                query_rows(spark, text)
        else:
            assert query_rows(spark, text).column(0)[0].as_py() == Decimal(sum(values)).scaleb(-behind, CONTEXT), values
        outcomes.add(abs(sum(values)) > most)
    assert outcomes == {True, False}
