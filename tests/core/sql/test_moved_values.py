"""Which views are computed anew because the embedded engine used to compute their numbers otherwise than Spark."""

from __future__ import annotations

import pytest

from lakeloop.sql.moved_values import has_mixed_numbers

SCHEMAS = {("d", "t"): {"k": "string", "x": "double", "n": "bigint", "p": "decimal(10,2)"}}


@pytest.mark.parametrize(
    ("selected", "is_mixed"),
    [
        ("x > 0.5", True),
        ("coalesce(x, 0.0)", True),
        ("x = p", True),
        ("CASE WHEN n > 1 THEN x ELSE 0.0 END", True),
        ("array(x)", True),
        ("x IN (0.0D, 1.0D)", True),
        ("x > 0.5D", False),
        ("x > 1", False),
        ("x * 1.609344", False),
        ("(x - 32) / 1.8", False),
        ("p > 0.5", False),
        ("n + 1", False),
        ("array(n)", False),
        ("max(x)", False),
        ("sum(p)", False),
    ],
)
def test_doubles_beside_decimals_and_in_arrays_were_computed_otherwise(selected: str, is_mixed: bool) -> None:
    assert has_mixed_numbers(f"SELECT k, {selected} AS v FROM d.t GROUP BY ALL", SCHEMAS) is is_mixed
    assert has_mixed_numbers(f"WITH w AS (SELECT * FROM d.t) SELECT {selected} AS v FROM w GROUP BY ALL", SCHEMAS) is is_mixed
