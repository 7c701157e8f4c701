"""Running an expression on both engines, and whether what they give is the same."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from lakeloop.errors import LakeloopError
from lakeloop.sql.alike import write_alike
from lakeloop.sql.query import parse_query, qualify_columns, rewrite_tables
from lakeloop.sql.refusals import find_refusals
from resources.spark.windows import query_rows

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from benchmarks.engines.queries import Case

Kind = Literal["equal", "refused by check", "refused by both", "only Spark takes it", "only the embedded engine takes it", "differs"]
_DAYS = 700_000
"""Days from 1970 on, or before, that Python's dates hold."""
TOLERANCE = 1e-9
"""Relative, and absolute about zero: the order in which numbers are added up is no engine's promise."""


@dataclass(frozen=True)
class Outcome:
    """What came of an expression."""

    kind: Kind
    told: str = ""


class Engines:
    """Both engines over one table."""

    def __init__(self, embedded: SparkSession, jvm: SparkSession, schema: dict[str, str]) -> None:
        self.embedded, self.jvm, self.schema = embedded, jvm, schema

    def outcomes(self, cases: Sequence[Case]) -> list[Outcome]:
        """Compare cases: all in one query if that runs on both, each by itself otherwise."""
        refused = {number: self.refusal(case) for number, case in enumerate(cases)}
        rest = [number for number in refused if refused[number] is None]
        outcomes: dict[int, Outcome] = {number: Outcome("refused by check", str(error)) for number, error in refused.items() if error}
        outcomes |= dict(zip(rest, self._together([cases[number] for number in rest]), strict=True))
        return [outcomes[number] for number in range(len(cases))]

    def refusal(self, case: Case) -> str | None:
        """What `lakeloop check` says of a case."""
        try:
            query = parse_query(case.query("v"), "query")
            schemas: dict[tuple[str, ...], dict[str, str]] = {("rows", "t"): self.schema}
            errors = find_refusals(query, schemas, qualify_columns(query, schemas)[0], has_nan=True)
        except LakeloopError as error:
            return str(error)
        return str(errors[0]) if errors else None

    def values(self, case: Case, *, is_embedded: bool) -> Any:
        """What an engine gives for a case, row by row in the order of its first column; the text of its error if it gives none."""
        (found,) = self._results([case], is_embedded=is_embedded)
        return found if isinstance(found, str) else list(found[0])

    def _together(self, cases: Sequence[Case]) -> list[Outcome]:
        ours = self._results(cases, is_embedded=True)
        return [judge(*pair) for pair in zip(ours, self._results(cases, is_embedded=False), strict=True)]

    def _results(self, cases: Sequence[Case], *, is_embedded: bool) -> list[Any]:
        """What an engine gives for each case, or says; an error of one is found by halving."""
        if not cases:
            return []
        answer = self._run(cases[0].together(cases), is_embedded=is_embedded)
        if not isinstance(answer, str):
            return answer
        if len(cases) == 1:
            return [answer]
        half = len(cases) // 2
        return [each for part in (cases[:half], cases[half:]) for each in self._results(part, is_embedded=is_embedded)]

    def _run(self, text: str, *, is_embedded: bool) -> list[Any] | str:
        """The columns of a query, each with its type, in the order of the first one, without it; or what the engine said."""
        rewritten = write_alike(rewrite_tables(parse_query(text, "query"), {("rows", "t"): "t"}))
        try:
            rows = query_rows(self.embedded, rewritten, has_nan=True) if is_embedded else self.jvm.sql(rewritten).toArrow()
        except Exception as error:  # each engine and client has its own kinds
            return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
        columns = [values_of(column) for column in rows.columns]
        order = sorted(range(rows.num_rows), key=lambda row: repr(columns[0][row]))
        return [
            (tuple(column[row] for row in order), str(field.type)) for column, field in zip(columns[1:], list(rows.schema)[1:], strict=True)
        ]


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """A column's values; times as microseconds, and days beyond Python's as numbers, since those end with the year 9999."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_date(column.type) and (pc.max(pc.abs(column.cast(pa.int32()).cast(pa.int64()))).as_py() or 0) > _DAYS:
        return list(column.cast(pa.int32()).to_pylist())

    if pa.types.is_timestamp(column.type):
        return [
            None if value is None else f"{value} us"
            for value in column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()).to_pylist()
        ]
    return list(column.to_pylist())


def judge(ours: Any, spark: Any) -> Outcome:
    """What came of an expression: values and their type of each engine, or what it said."""
    if isinstance(ours, str) and isinstance(spark, str):
        return Outcome("refused by both", f"{ours} | {spark}")
    if isinstance(ours, str):
        return Outcome("only Spark takes it", ours)
    if isinstance(spark, str):
        return Outcome("only the embedded engine takes it", spark)
    return _compare(*ours, *spark)


def _compare(left: Sequence[Any], left_type: str, right: Sequence[Any], right_type: str) -> Outcome:
    if len(left) != len(right):
        return Outcome("differs", f"{len(left)} rows for {len(right)}")
    for row, (a, b) in enumerate(zip(left, right, strict=True)):
        if not is_same(a, b):
            return Outcome("differs", f"row {row}: {a!r} for {b!r} ({left_type}, {right_type})")
    return Outcome("equal")


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are equal, numbers up to rounding."""
    if a is None or b is None:
        return a is b
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(is_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(a[key], b[key]) for key in a)
    if isinstance(a, (int, float, Decimal)) and isinstance(b, (int, float, Decimal)) and type(a) is not type(b):
        a, b = float(a), float(b)  # a view's columns become what is declared
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b), 1e-3)
    return type(a) is type(b) and bool(a == b)


def tally(outcomes: Sequence[tuple[str, Outcome]]) -> Counter[tuple[str, Kind]]:
    """How many outcomes of each kind each family of cases had."""
    return Counter((family, outcome.kind) for family, outcome in outcomes)
