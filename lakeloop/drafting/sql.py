"""SQL as a person would write it: one column per line, names quoted only where they are keywords."""

from __future__ import annotations

from collections.abc import Sequence

_KEYWORDS = frozenset(
    ["all", "and", "any", "as", "asc", "between", "by", "case", "cast", "check", "column", "constraint", "create", "cross", "current", "desc", "distinct", "else", "end", "except", "exists", "false", "for", "from", "full", "grant", "group", "having", "in", "inner", "intersect", "interval", "into", "is", "join", "lateral", "left", "like", "limit", "natural", "not", "null", "offset", "on", "or", "order", "outer", "over", "primary", "references", "right", "select", "semi", "set", "table", "then", "to", "true", "union", "unique", "user", "using", "values", "when", "where", "window", "with"]
)  # fmt: skip


def sql_name(name: str) -> str:
    """A column's name in a query.

    >>> sql_name("order"), sql_name("order_id")
    ('`order`', 'order_id')
    """
    return f"`{name}`" if name in _KEYWORDS else name


def select(columns: Sequence[str | tuple[str, str]], table: str, *, where: str = "", remarks: Sequence[str] = ()) -> str:
    """A query.

    Args:
        columns: expressions, or pairs of an expression and a remark on it; repeated ones are left out.
        table: the table that it reads.
        where: a condition.
        remarks: comment lines before the query.

    >>> print(select(["a", ("b", "why"), "a"], "d.t", where="a > 1"), end="")
    SELECT
        a,
        b  -- why
    FROM d.t
    WHERE a > 1
    """
    pairs = dict(column if isinstance(column, tuple) else (column, "") for column in reversed(columns))
    selected = [(text, pairs[text]) for text in dict.fromkeys(c if isinstance(c, str) else c[0] for c in columns)]
    lines = [*(f"-- {' '.join(remark.split())}" for remark in remarks), "SELECT"]
    for index, (text, remark) in enumerate(selected):
        lines.append(f"    {text}{',' if index < len(selected) - 1 else ''}" + (f"  -- {remark}" if remark else ""))
    return "\n".join([*lines, f"FROM {table}", *([f"WHERE {where}"] if where else [])]) + "\n"
