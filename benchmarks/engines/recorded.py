"""Values that Spark on a JVM gave for fixed cases, as JSON: the share of the campaign that tests run without a JVM."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.engines.compare import Engines, is_same
from benchmarks.engines.queries import Case
from benchmarks.engines.spellings import AGGREGATES, GROUPED_ALIKE, QUERIES, SCALARS, WINDOWS, WRITTEN_ALIKE
from lakeloop.sql.decimals import TOO_WIDE
from tests.worlds.places import ROOT

RECORDED = ROOT / "tests" / "contracts" / "campaigns" / "spark_values.json"
SEED = 0
"""Of the table that the cases are about."""
OURS = ("beyond what its type holds", TOO_WIDE)
SPARKS = ("ARITHMETIC_OVERFLOW", "NUMERIC_VALUE_OUT_OF_RANGE")
_GROUPED = "SELECT k AS _k, {} FROM rows.t GROUP BY k"


@dataclass(frozen=True)
class Recorded:
    """A case and what Spark gave for it.

    Attributes:
        case: the case.
        values: of each row; the text of an error if it gave none.
        is_alike: whether the embedded engine gave the same.
    """

    case: Case
    values: Any
    is_alike: bool


def fixed_cases() -> list[Case]:
    """The cases that are recorded: what is refused, its spellings, what is written alike, and windows."""
    scalars = [expression for refused, spelling, _ in SCALARS for expression in (refused, spelling)]
    grouped = [expression for refused, spelling, _ in AGGREGATES for expression in (refused, spelling)]
    return [
        *(Case("recorded", expression) for expression in dict.fromkeys([*scalars, *WRITTEN_ALIKE, *WINDOWS])),
        *(Case("recorded", expression, _GROUPED) for expression in dict.fromkeys([*grouped, *GROUPED_ALIKE])),
        *(Case("recorded", expression, shape) for expression, shape in QUERIES),
    ]


def record(engines: Engines, cases: Sequence[Case]) -> list[Recorded]:
    """Run cases on both engines."""
    recorded = []
    for case in cases:
        ours, spark = (engines.values(case, is_embedded=is_embedded) for is_embedded in (True, False))
        recorded.append(Recorded(case, spark, is_equal(ours, spark)))
    return recorded


def is_equal(ours: Any, spark: Any) -> bool:
    """Whether two results of a case are equal; errors are where a number leaves its type."""
    if isinstance(ours, str) or isinstance(spark, str):
        return any(told in ours for told in OURS) and any(told in spark for told in SPARKS)
    return len(ours) == len(spark) and all(is_same(a, b) for a, b in zip(ours, spark, strict=True))


def save(path: Path, recorded: Sequence[Recorded]) -> None:
    """Write cases, one a line."""
    lines = [
        json.dumps({"expression": each.case.expression, "shape": each.case.shape, "alike": each.is_alike, "values": _encode(each.values)})
        for each in recorded
    ]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def load(path: Path) -> list[Recorded]:
    """Read cases."""
    return [
        Recorded(Case("recorded", each["expression"], each["shape"]), _decode(each["values"]), each["alike"])
        for each in json.loads(path.read_text())
    ]


def _encode(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_encode(each) for each in value]
    if isinstance(value, dict):
        return {"struct": {name: _encode(each) for name, each in value.items()}}
    if isinstance(value, timedelta):
        return {"seconds": value.total_seconds()}
    if isinstance(value, (float, Decimal, date)):
        return {type(value).__name__: str(value)}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(each) for each in value]
    if not isinstance(value, dict):
        return value
    ((kind, text),) = value.items()
    match kind:
        case "struct":
            return {name: _decode(each) for name, each in text.items()}
        case "seconds":
            return timedelta(seconds=text)
        case "date":
            return date.fromisoformat(text)
        case "Decimal":
            return Decimal(text)
    return float(text)
