"""CASE and IF over branches of different types: the embedded engine takes the type of the first for that of all, and ends where another doesn't fit it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlglot import exp

from lakeloop.sql.guards import Guard
from lakeloop.sql.spans import span_of
from lakeloop.sql.typed import TypedQuery, kind_of

_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INT": 10, "BIGINT": 20}
"""The digits of a decimal that holds a whole number, as Spark widens it; from narrow to wide."""
_FLOATING = ("FLOAT", "DOUBLE")
_MOST_DIGITS = 38


def guard_branches(query: TypedQuery) -> Iterator[Guard]:
    """What casts a CASE or IF to the type that all of its branches have in Spark.

    >>> from lakeloop.sql.guards import write_guards
    >>> query = TypedQuery("SELECT CASE WHEN b THEN 0 ELSE x END AS v FROM t", {"t": {"b": "boolean", "x": "double"}})
    >>> write_guards(query.text, guard_branches(query))
    'SELECT CAST(CASE WHEN b THEN 0 ELSE x END AS DOUBLE) AS v FROM t'
    """
    for node in query.tree.find_all(exp.Case, exp.If):
        if isinstance(node.parent, exp.Case) and node.arg_key == "ifs":
            continue
        branches = [each.unnest() for each in values_of(node) if not isinstance(each.unnest(), exp.Null)]
        kind, span = _common(branches), span_of(node)
        if kind is not None and span is not None and kind != _name(branches[0]):
            yield Guard(span, "CAST(", f" AS {kind})")


def values_of(node: Any) -> list[Any]:
    """What a CASE or an IF chooses from."""
    if isinstance(node, exp.Case):
        values = [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")]
    else:
        values = [node.args.get("true"), node.args.get("false")]
    return [each for each in values if each is not None]


def _common(branches: Sequence[Any]) -> str | None:
    """The type of numbers that holds all branches; None of others, or if one can't be told."""
    kinds = {_kind(each) for each in branches}
    if not kinds or not kinds <= {*_DIGITS, *_FLOATING, "DECIMAL"} or len({_name(each) for each in branches}) < 2:
        return None
    if kinds & set(_FLOATING):
        return "FLOAT" if kinds == {"FLOAT"} else "DOUBLE"
    if "DECIMAL" not in kinds:
        return max(kinds, key=list(_DIGITS).index)
    sizes = [_size(each) for each in branches]
    scale = max(digits_behind for _, digits_behind in sizes)
    precision = max(digits - digits_behind for digits, digits_behind in sizes) + scale
    return f"DECIMAL({precision}, {scale})" if precision <= _MOST_DIGITS else None


def _kind(node: Any) -> str:
    """The type of a branch; sqlglot takes a number with a point for a double."""
    is_decimal = isinstance(node, exp.Literal) and not node.is_string and "." in node.name and "e" not in node.name.lower()
    return "DECIMAL" if is_decimal else kind_of(node)


def _name(node: Any) -> str:
    kind = _kind(node)
    return "DECIMAL({}, {})".format(*_size(node)) if kind == "DECIMAL" else kind


def _size(node: Any) -> tuple[int, int]:
    """The digits of a decimal, and those of them behind the point."""
    kind = _kind(node)
    if kind != "DECIMAL":
        return _DIGITS[kind], 0
    if isinstance(node, exp.Literal):
        before, _, behind = node.name.partition(".")
        return max(len(before.lstrip("0")) + len(behind), 1), len(behind)
    sizes = [int(each.name) for each in node.type.expressions]
    return (sizes[0] if sizes else 10), (sizes[1] if len(sizes) > 1 else 0)
