"""Parsing that remembers where in the text expressions stand, so that text can be written around them.

sqlglot keeps the places of names alone. Here each operator, sum and extreme knows its own place and those of its operands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.parsers.spark import SparkParser

Span = tuple[int, int]
"""Where a text begins, and where it has ended."""
_SPAN, _OPERANDS = "span", "operands"


def parse_with_spans(text: str) -> list[Any]:
    """Parse statements of Spark's dialect, as `sqlglot.parse`, with places.

    >>> (tree,) = parse_with_spans("SELECT a + (b - 1) AS c FROM t")
    >>> [(span_of(node), operands_of(node)) for node in tree.find_all(exp.Sub)]
    [((12, 17), ((12, 13), (16, 17)))]

    Raises:
        sqlglot.errors.SqlglotError: the text can't be parsed.
    """
    return list(_Parser(dialect=Spark()).parse(sqlglot.tokenize(text, read="spark"), text))


def span_of(node: Any) -> Span | None:
    """Where an expression stands; None of one that stands nowhere."""
    place: Span | None = node.meta.get(_SPAN)
    return place


def operands_of(node: Any) -> tuple[Span, ...]:
    """Where the operands of an operator stand, or what a sum adds up; empty where that isn't known."""
    places: tuple[Span, ...] = node.meta.get(_OPERANDS, ())
    return places


class _Parser(SparkParser):
    """Notes places as the nodes are made: later ones may be replaced, as the columns of a lambda are."""

    def _parse_unary(self) -> Any:
        return self._placed(super()._parse_unary)

    def _parse_atom(self) -> Any:
        return self._placed(super()._parse_atom)

    def _placed(self, parse: Callable[[], Any]) -> Any:
        start = self._curr.start if self._curr else 0
        node = parse()
        if node is not None:
            node.meta[_SPAN] = (start, self._prev.end + 1)
        return node

    def expression(self, instance: Any, token: Any = None, comments: Any = None) -> Any:
        node = super().expression(instance, token, comments)
        if isinstance(node, exp.Binary) and self._prev is not None:
            places = [span_of(side) if isinstance(side, exp.Expr) else None for side in (node.this, node.args.get("expression"))]
            if places[0] is not None and places[1] is not None:
                node.meta[_SPAN] = (places[0][0], self._prev.end + 1)
                node.meta[_OPERANDS] = tuple(places)
        return node

    def _parse_function_call(self, *arguments: Any, **named: Any) -> Any:
        node = super()._parse_function_call(*arguments, **named)
        inner = node
        while isinstance(inner, (exp.Window, exp.Filter)):
            inner = inner.this
        if isinstance(inner, (exp.Sum, exp.Max, exp.Min)) and isinstance(inner.this, exp.Expr):
            added = inner.this.expressions[0] if isinstance(inner.this, exp.Distinct) else inner.this
            place = span_of(added)
            if place is not None:
                inner.meta[_OPERANDS] = (place,)
        return node
