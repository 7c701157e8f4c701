"""-0.0, which the embedded engine tells from 0.0 where it compares by bits: in windows, IN, DISTINCT, and within arrays, structures and maps.

Spark has one zero wherever it compares. What is put into an array, a structure or a map is made 0.0 there, so that they compare as in Spark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from lakeloop.sql.guards import Guard
from lakeloop.sql.spans import span_of
from lakeloop.sql.typed import TypedQuery, element_kind, kind_of, values_of

_FLOATING = ("FLOAT", "DOUBLE")
_NEVER = (exp.Add, exp.Literal)
"""What isn't -0.0: a sum is only where both sides are."""
_SEARCHES = (exp.ArrayPosition, exp.ArrayRemove, exp.ArrayContains, exp.ArrayAppend, exp.ArrayPrepend, exp.ArrayInsert)
_SEARCH_CALLS = frozenset(
    ["array_position", "array_remove", "array_append", "array_prepend", "array_insert", "array_repeat", "element_at", "try_element_at"]
)
_LAMBDA_CALLS = frozenset(["transform_keys", "transform_values"])
_COLLECTIONS = (exp.ArrayAgg, exp.ArrayUniqueAgg)


def guard_zeros(query: TypedQuery) -> Iterator[Guard]:
    """What makes 0.0 of -0.0 where the embedded engine tells them apart, or will as part of something.

    >>> from lakeloop.sql.guards import write_guards
    >>> query = TypedQuery("SELECT array(x) AS a, row_number() OVER (ORDER BY x DESC, k) AS n FROM t", {"t": {"x": "double", "k": "string"}})
    >>> write_guards(query.text, guard_zeros(query))
    'SELECT array((x) + 0D) AS a, row_number() OVER (ORDER BY (x) + 0D DESC, k) AS n FROM t'
    """
    for node in query.tree.walk():
        for key in _compared_by(node):
            yield from _guard(key, _kind(key))
        for part in _put_together_by(node):
            yield from _guard(part, _kind(part), is_part=True)
        if isinstance(node, exp.Struct):
            yield from _guard_fields(node)
        if isinstance(node, exp.Lambda) and _gives_elements(node):
            yield from _guard_body(node)


def _guard(node: Any, kind: str, *, is_part: bool = False) -> Iterator[Guard]:
    place = span_of(node)
    if kind in _FLOATING and place is not None and not isinstance(node.unnest(), _NEVER):
        # What is compared may be of the wider type; a part keeps its own.
        yield Guard(place, "(", ") + CAST(0 AS FLOAT)" if is_part and kind == "FLOAT" else ") + 0D", is_operand=True)


def _guard_fields(node: Any) -> Iterator[Guard]:
    """The fields of a structure: one that is named after its column keeps the name."""
    for field in node.expressions:
        value = field.expression if isinstance(field, exp.PropertyEQ) else field
        for guard in _guard(value, _kind(value), is_part=True):
            is_named_after = isinstance(value, exp.Column) and _start(field.this) == _start(value.this)
            name = f" AS `{value.name}`" if is_named_after else ""
            yield Guard(guard.span, guard.before, guard.after + name, is_operand=True)


def _start(node: Any) -> Any:
    return node.meta.get("start") if isinstance(node, exp.Expr) else None


def _guard_body(node: Any) -> Iterator[Guard]:
    """What a lambda gives; of a type that its own text may not tell."""
    body = node.this.unnest()
    kind = _kind(body)
    if (
        kind == "UNKNOWN"
        and element_kind(node) in _FLOATING
        and isinstance(body, (exp.Neg, exp.Mul, exp.Identifier, exp.Column, exp.Sub, exp.Mod))
    ):
        kind = element_kind(node)
    yield from _guard(node.this, kind, is_part=True)


def _gives_elements(node: Any) -> bool:
    """Whether what a lambda gives becomes part of something: in TRANSFORM, not in FILTER."""
    function = node.parent
    return isinstance(function, exp.Transform) or (isinstance(function, exp.Anonymous) and function.name.lower() in _LAMBDA_CALLS)


def _kind(node: Any) -> str:
    """The type of an expression; of CASE and IF that which holds all branches."""
    inner = node.unnest()
    if isinstance(inner, (exp.Case, exp.If)):
        kinds = {_kind(each) for each in values_of(inner)}
        if len(kinds) == 1:
            return kinds.pop()
        return "DOUBLE" if kinds & set(_FLOATING) else kind_of(inner)
    if isinstance(inner, exp.Dot) and isinstance(inner.this, exp.FromJson):
        field = re.search(rf"\b{re.escape(inner.expression.name)}\b\s*:?\s*(DOUBLE|FLOAT)\b", inner.this.expression.name, re.I)
        return field[1].upper() if field else "UNKNOWN"
    return kind_of(inner)


def _compared_by(node: Any) -> list[Any]:
    """What is compared: by a window's partition or an order that matters, in IN, in COUNT(DISTINCT …)."""
    if isinstance(node, exp.Window):
        return list(node.args.get("partition_by") or ())
    if isinstance(node, exp.In):
        return [node.this, *node.expressions]
    if isinstance(node, exp.Distinct):
        return list(node.expressions) if isinstance(node.parent, exp.AggFunc) else []
    if not isinstance(node, exp.Ordered):
        return []
    around = node.find_ancestor(exp.Select, exp.Window, exp.AggFunc)
    is_limited = isinstance(around, exp.Select) and around.args.get("limit") is not None and not around.args.get("distinct")
    return [node.this] if isinstance(around, exp.Window) or is_limited else []


def _put_together_by(node: Any) -> list[Any]:
    """What becomes part of an array or a map, and what is looked for in one."""
    if isinstance(node, (exp.Array, exp.Tuple)):
        return list(node.expressions)
    if isinstance(node, _COLLECTIONS):
        return [] if isinstance(node.this, exp.Distinct) else [node.this]
    if isinstance(node, exp.MapContainsKey):
        return [node.args["key"]]
    if isinstance(node, exp.Bracket):
        return list(node.expressions)
    if isinstance(node, _SEARCHES):
        return [each for each in (node.expression, *node.expressions) if isinstance(each, exp.Expr)]
    if isinstance(node, exp.Anonymous) and node.name.lower() in _SEARCH_CALLS:
        return list(node.expressions)
    return []
