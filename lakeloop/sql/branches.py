"""CASE and IF over branches of different types: the embedded engine takes the type of the first for that of all, and ends where another doesn't fit it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlglot import exp

from lakeloop.sql.decimals import MOST_DIGITS, Decimals
from lakeloop.sql.guards import Guard
from lakeloop.sql.spans import span_of
from lakeloop.sql.typed import TypedQuery, kind_of, values_of

_WHOLE = ("TINYINT", "SMALLINT", "INT", "BIGINT")
"""From narrow to wide."""
_FLOATING = ("FLOAT", "DOUBLE")


def guard_branches(query: TypedQuery) -> Iterator[Guard]:
    """What casts a CASE or IF to the type that all of its branches have in Spark.

    >>> from lakeloop.sql.guards import write_guards
    >>> query = TypedQuery("SELECT CASE WHEN b THEN 0 ELSE x END AS v FROM t", {"t": {"b": "boolean", "x": "double"}})
    >>> write_guards(query.text, guard_branches(query))
    'SELECT CAST(CASE WHEN b THEN 0 ELSE x END AS DOUBLE) AS v FROM t'
    """
    decimals = Decimals(query)
    for node in query.tree.find_all(exp.Case, exp.If):
        if isinstance(node.parent, exp.Case) and node.arg_key == "ifs":
            continue
        branches = [each.unnest() for each in values_of(node) if not isinstance(each.unnest(), exp.Null)]
        kind, span = _common(branches, decimals), span_of(node)
        if kind is not None and span is not None and kind != _name(branches[0], decimals):
            yield Guard(span, "CAST(", f" AS {kind})")


def _common(branches: Sequence[Any], decimals: Decimals) -> str | None:
    """The type of numbers that holds all branches; None of others, or if one can't be told."""
    names = {_name(each, decimals) for each in branches}
    kinds = {name.partition("(")[0] for name in names}
    if not kinds or not kinds <= {*_WHOLE, *_FLOATING, "DECIMAL"} or len(names) < 2:
        return None
    if kinds & set(_FLOATING):
        return "FLOAT" if kinds == {"FLOAT"} else "DOUBLE"
    if "DECIMAL" not in kinds:
        return max(kinds, key=_WHOLE.index)
    sizes = [digits for each in branches for digits in [decimals.as_branch(each)] if digits is not None]
    behind = max(digits.behind for digits in sizes)
    precision = max(digits.before for digits in sizes) + behind
    return f"DECIMAL({precision}, {behind})" if precision <= MOST_DIGITS else None


def _name(node: Any, decimals: Decimals) -> str:
    """The type of a branch; sqlglot takes a number with a point for a double."""
    digits = decimals.as_branch(node)
    return f"DECIMAL({digits.all}, {digits.behind})" if digits is not None and digits.is_decimal else kind_of(node)
