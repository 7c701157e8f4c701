"""Random cases: an expression of a family, and the query that it stands in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engines.computed_nan import nan_expression
from benchmarks.engines.edges import edge_expression
from benchmarks.engines.expressions import aggregate_expression, scalar_expression
from benchmarks.engines.whole_numbers import overflow_expression
from benchmarks.engines.windows import rank_expression, window_expression

FAMILIES = ("windows", "ranks", "scalars", "aggregates", "nested", "overflow", "computed NaN", "edges")
_WEIGHTS = (26, 3, 24, 10, 4, 7, 6, 20)
_SOURCES = (
    "(SELECT *, coalesce(z, 0D) AS w FROM rows.t WHERE o < 40)",
    "(SELECT a.*, b.y AS w FROM rows.t AS a JOIN rows.t AS b ON a.o = b.o)",
    "(SELECT *, sum(z) OVER (PARTITION BY k ORDER BY o ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS w FROM rows.t)",
)


@dataclass(frozen=True)
class Case:
    """An expression to compare.

    Attributes:
        family: what the table counts it under.
        expression: SQL.
        shape: the query around expressions, with `{}` for them; its first column orders the rows.
    """

    family: str
    expression: str
    shape: str = "SELECT o AS _o, {} FROM rows.t"

    def query(self, name: str) -> str:
        """The query of this case alone."""
        return self.shape.format(f"{self.expression} AS {name}")

    def together(self, cases: Sequence[Case]) -> str:
        """One query of cases of this shape."""
        return self.shape.format(", ".join(f"{case.expression} AS v{number}" for number, case in enumerate(cases)))


def make_cases(seed: int, count: int) -> list[list[Case]]:
    """The cases of a seed, in groups that one query can hold."""
    draw = random.Random(seed)
    families = draw.choices(FAMILIES, _WEIGHTS, k=count)
    groups: dict[str, list[Case]] = {}
    for family in families:
        case = _case(draw, family)
        groups.setdefault(case.shape, []).append(case)
    return list(groups.values())


def _case(draw: random.Random, family: str) -> Case:
    if family == "windows":
        return Case(family, window_expression(draw))
    if family == "ranks":
        return Case(family, rank_expression(draw))
    if family == "aggregates":
        return Case(
            family, aggregate_expression(draw), draw.choice(["SELECT k AS _k, {} FROM rows.t GROUP BY k", "SELECT 1 AS _k, {} FROM rows.t"])
        )
    if family == "overflow":
        return Case(family, *overflow_expression(draw))
    if family == "edges":
        return Case(family, *edge_expression(draw))
    if family == "computed NaN":
        return Case(family, *nan_expression(draw))
    if family == "nested":
        return Case(family, f"{window_expression(draw)}", f"SELECT o AS _o, {{}} FROM {draw.choice(_SOURCES)} AS t")
    return Case(family, scalar_expression(draw))
