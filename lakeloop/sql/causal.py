"""Whether a query reads, for each of its rows, no row of a table that is later than its own. What can't be shown counts as reading later ones."""

from __future__ import annotations

import re
from typing import Any

from lakeloop.sql.query import Query

_MOMENT = r"(?:CAST\(t AS TIMESTAMP\)|TRY_CAST\(t AS TIMESTAMP\)|t)"
_TIME = rf"(?:(?P<zone>FROM_UTC_TIMESTAMP\({_MOMENT}, '[^']*'\))|{_MOMENT})"
_STEPS = (
    rf"UNIX_TIMESTAMP\({_TIME}(?:, 'yyyy-MM-dd HH:mm:ss')?\) DIV (?P<seconds>\d+)",
    rf"CAST\(FLOOR\(UNIX_TIMESTAMP\({_TIME}(?:, 'yyyy-MM-dd HH:mm:ss')?\) / (?P<seconds>\d+)\) AS BIGINT\)",
    rf"\(?YEAR\({_TIME}\) \* 12 \+ MONTH\({_TIME.replace('?P<zone>', '')}\) - 1\)?(?: DIV \d+)?",
)
"""The numbers of steps, as `lakeloop.spec.steps` writes them, in UTC or in a zone."""
_DAY = 86_400


def reads_no_later_row(query: Query, table: tuple[str, ...], time: str, event_time: str) -> bool:
    """Whether it can be shown that a row of the result is computed from rows of a table up to its own time.

    Args:
        query: a parsed query.
        table: a table as the query names it.
        time: the table's event time.
        event_time: the column of the result that has the time of a row.

    So it is for a query without grouping, sets and subqueries in expressions, whose windows are ordered by the time of the table (or by the
    number of a step that is computed from it) and end at the current row, and whose event time is the table's.

    >>> from lakeloop.sql.query import parse_query
    >>> def shows(sql):
    ...     return reads_no_later_row(parse_query(sql, "view.sql"), ("orders",), "ordered_at", "ordered_at")
    >>> shows("SELECT customer, ordered_at, sum(amount) OVER (PARTITION BY customer ORDER BY ordered_at) AS spent FROM orders")
    True
    >>> shows("SELECT customer, ordered_at, lead(amount) OVER (PARTITION BY customer ORDER BY ordered_at) AS following FROM orders")
    False
    >>> shows("SELECT customer, max(ordered_at) AS ordered_at, sum(amount) AS spent FROM orders GROUP BY customer")
    False
    """
    from sqlglot import exp

    tree = query.tree
    if any(tree.find_all(exp.Group, exp.Distinct, exp.SetOperation, exp.Limit, exp.Lead, exp.Exists, exp.With)):
        return False
    tables = [tuple(part.name for part in each.parts) for each in tree.find_all(exp.Table)]
    if tables.count(table) != 1 or any(not isinstance(each.parent, (exp.From, exp.Join)) for each in tree.find_all(exp.Subquery)):
        return False
    if any(each.find_ancestor(exp.Window) is None for each in tree.find_all(exp.AggFunc)):
        return False
    moments, steps = _columns_of_time(tree, time)
    if len(tables) > 1 and len({column.table for column in tree.find_all(exp.Column) if column.name.lower() in moments}) > 1:
        return False
    return event_time.lower() in moments and all(_ends_at_own_row(window, moments | steps) for window in _windows(tree))


def _columns_of_time(tree: Any, time: str) -> tuple[set[str], set[str]]:
    """The names under which a query has the time, as it is or cast to a timestamp, and those of steps of it; none that means something else too."""
    from sqlglot import exp

    moments, steps, others = {time.lower()}, set[str](), set[str]()
    aliases = list(tree.find_all(exp.Alias))
    for alias in reversed(aliases):  # inner queries come last, and name what the outer ones read
        name, inner = alias.alias.lower(), alias.this
        while isinstance(inner, exp.Cast) and inner.to.this in exp.DataType.TEMPORAL_TYPES:
            inner = inner.this
        if isinstance(inner, exp.Column) and inner.name.lower() in moments:
            moments.add(name)
        elif (isinstance(inner, exp.Column) and inner.name.lower() in steps) or _is_step(inner, moments):
            steps.add(name)
        else:
            others.add(name)
    return moments - others, steps - others - moments


def _is_step(expression: Any, moments: set[str]) -> bool:
    """Whether an expression is the number of a step, which never falls as the time rises: whole seconds divided, or months counted.

    Of a zone only whole days and months: its hours come twice when the clocks are put back.
    """
    from sqlglot import exp

    columns = list(expression.find_all(exp.Column))
    if not columns or any(column.name.lower() not in moments for column in columns):
        return False
    text = expression.copy().transform(lambda node: exp.column("t") if isinstance(node, exp.Column) else node).sql("spark")
    matches = [match.groupdict() for form in _STEPS if (match := re.fullmatch(form, text))]
    return any(not match["zone"] or int(match.get("seconds") or _DAY) % _DAY == 0 for match in matches)


def _windows(tree: Any) -> list[Any]:
    """The windows that say what they are over, in place or by name."""
    from sqlglot import exp

    return [each for each in tree.find_all(exp.Window) if each.args.get("order") or not each.args.get("alias")]


def _ends_at_own_row(window: Any, moments: set[str]) -> bool:
    from sqlglot import exp

    order, frame = window.args.get("order"), window.args.get("spec")
    if order is None:
        return False
    first = order.expressions[0]
    if first.args.get("desc") or not isinstance(first.this, exp.Column) or first.this.name.lower() not in moments:
        return False
    return frame is None or frame.args.get("end") in (None, "CURRENT ROW") or frame.args.get("end_side") == "PRECEDING"
