"""Expressions for which the embedded engine and Spark on a JVM give different values: reported by line, with a spelling that is alike on both.

`benchmarks/engines` finds them, and tries the spellings. What can be written alike without asking is in `lakeloop.sql.alike`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lakeloop.sql.query import DIALECT

Finding = tuple[int, str]
"""A line and its message."""
NUMBERED = "number the rows in a subquery (row_number() OVER (PARTITION BY <keys> ORDER BY {0}, <a unique column>) AS n), and take those WHERE n = 1"
ROUNDED = "floor(x * 100 + 0.5D) / 100"
AS_TEXT = f"round and cast it first, such as CAST(CAST({ROUNDED} AS DECIMAL(20, 2)) AS STRING)"
_FLOATING = frozenset(["FLOAT", "DOUBLE"])
_NESTED = frozenset(["ARRAY", "STRUCT", "MAP", "OBJECT"])
_TIMES = frozenset(["TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPLTZ", "TIMESTAMPNTZ"])
_WHOLE = frozenset(["TINYINT", "SMALLINT", "INT", "BIGINT"])
_TEXT = frozenset(["TEXT", "VARCHAR", "CHAR"])
_SHORT_UNITS = ("HOUR", "MINUTE", "SECOND", "MILLISECOND", "MICROSECOND")
_NUMBERS = _WHOLE | _FLOATING | {"DECIMAL"}
_MONTHS = {"MONTH": "", "QUARTER": " / 3", "YEAR": " / 12"}
"""Units of calendars, and how many of them months_between has to be divided by."""
_ORDERLESS = {"ArraySort", "SortArray", "ArraySize", "ArrayContains", "ArrayMin", "ArrayMax"}
"""Functions that don't depend on the order of a list."""


def find_differences(tree: Any, schema: dict[str, object]) -> Iterator[Finding]:
    """Find expressions whose values depend on the engine.

    Args:
        tree: a query with its columns qualified, from `qualify_columns`.
        schema: the schema by which they were.
    """
    from sqlglot.optimizer.annotate_types import annotate_types

    tree = annotate_types(tree.copy(), schema=schema, dialect=DIALECT)
    for node in tree.walk():
        check = _CHECKS.get(_name_of(node))
        told = check(node) if check is not None else None
        if told:
            yield _line(node), told


def _name_of(node: Any) -> str:
    """The parser's name of a kind of expression; of a function that it doesn't know, the name that stands there."""
    from sqlglot import exp

    return str(node.name).lower() if isinstance(node, exp.Anonymous) else type(node).__name__


def _line(node: Any) -> int:
    """The line of an expression, or of what is around it where it has no names."""
    while node is not None:
        lines = [part.meta["line"] for part in node.walk() if "line" in part.meta]
        if lines:
            return int(min(lines))
        node = node.parent
    return 1


def _kind(node: Any) -> str:
    """The type of an expression, in capitals; `UNKNOWN` where it can't be told."""
    node = node.unnest() if node is not None else None
    if type(node).__name__ == "Round":
        node = node.this  # a rounded decimal is one
    if _name_of(node) == "make_date":
        return "DATE"  # which sqlglot doesn't know
    kind = getattr(node, "type", None)
    return str(kind.this.name) if kind is not None else "UNKNOWN"


def _is_floating(*nodes: Any) -> bool:
    return any(_kind(node) in _FLOATING for node in nodes)


def _always(told: str) -> Callable[[Any], str | None]:
    return lambda node: told


def _check_extract(node: Any) -> str | None:
    return _DAY_OF_WEEK if node.this.name.upper() == "DOW" else None


def _check_date_part(node: Any) -> str | None:
    return _DAY_OF_WEEK if node.expressions and node.expressions[0].name.upper() == "DOW" else None


_DAY_OF_WEEK = "DOW is 0 to 6 in the embedded engine and 1 to 7 in Spark; write dayofweek(d)"


def _check_units_between(node: Any) -> str | None:
    unit = node.args["unit"].name.upper().removesuffix("S") if node.args.get("unit") is not None else ""
    moments = [getattr(side, "this", side) if type(side).__name__ == "TsOrDsToDate" else side for side in (node.this, node.expression)]
    if all(_kind(moment) == "DATE" for moment in moments):
        return None
    if unit in _MONTHS:
        return (
            "whole months between two times: the embedded engine counts by their days, Spark by their times of day too; write "
            f"CAST(months_between(b, a){_MONTHS[unit]} AS INT), for which the last days of two months are whole months apart"
        )
    if unit != "DAY":
        return None
    return (
        "the embedded engine counts the midnights between two times, Spark whole days; write (unix_micros(b) - unix_micros(a)) DIV 86400000000 for "
        "whole days, datediff(b, a) for midnights"
    )


def _check_contains(node: Any) -> str | None:
    parent = node.parent
    is_certain = type(parent).__name__ == "Coalesce" and parent.this is node
    is_free_of_nulls = type(node.this).__name__ in ("ArrayUniqueAgg", "ArrayAgg")
    if is_certain or is_free_of_nulls:
        return None
    return "array_contains is null in Spark where the array has a null and not the value; write coalesce(array_contains(a, v), false)"


def _check_overlap(node: Any) -> str | None:
    if type(node.parent).__name__ == "Coalesce" and node.parent.this is node:
        return None
    return (
        "arrays_overlap is null or false by the engine where an array is empty or has a null; write coalesce(arrays_overlap(a, b), false)"
    )


def _check_round(node: Any) -> str | None:
    digits = node.args.get("decimals")
    if digits is None or _is_number_up_to_zero(digits) or _kind(node.this) not in (*_FLOATING, "UNKNOWN"):
        return None
    return f"round(x, n) of a double: the engines take halves such as 0.285 otherwise; write {ROUNDED}, or keep the number as it is"


def _check_bround(node: Any) -> str | None:
    if node.expressions and _kind(node.expressions[0]) in (*_WHOLE, "DECIMAL"):
        return "bround of a number that isn't a double: the embedded engine loses digits or refuses it; write bround(CAST(x AS DOUBLE))"
    if len(node.expressions) < 2 or _is_number_up_to_zero(node.expressions[1]):
        return None
    return "bround(x, n): the engines differ in digits behind the point; write bround(x * 100) / 100"


def _is_number_up_to_zero(node: Any) -> bool:
    return node.is_int and int(node.to_py()) <= 0


def _check_format(node: Any) -> str | None:
    is_number = node.name.lower() == "format_number" and _kind(node.expressions[0]) == "UNKNOWN"
    if not is_number and not _is_floating(*node.expressions):
        return None
    return f"{node.sql(DIALECT)} of a double: the engines round otherwise; {AS_TEXT}"


def _check_json(node: Any) -> str | None:
    kind = node.this.type.sql() if getattr(node.this, "type", None) is not None else ""
    return f"to_json of a double: the engines write some numbers otherwise; {AS_TEXT}" if any(name in kind for name in _FLOATING) else None


def _check_text(node: Any) -> str | None:
    parts = node.expressions or [node.this, node.expression]
    return f"a double as text: 1e20 in the embedded engine, 1.0E20 in Spark; {AS_TEXT}" if _is_floating(*parts) else None


def _check_cast(node: Any) -> str | None:
    kind, target = _kind(node.this), str(node.to.this.name)
    if target in _TEXT and kind in _FLOATING:
        return f"a double as text: 1e20 in the embedded engine, 1.0E20 in Spark; {AS_TEXT}"
    if target in _TEXT and kind in _NESTED:
        return f"{kind.lower()} as text: nulls in it are NULL in the embedded engine, null in Spark; write to_json(a)"
    if target == "DECIMAL" and kind in _FLOATING and not _is_rounded(node.this):
        return f"a double as decimal: the engines take halves such as 0.285 otherwise; round it first, CAST({ROUNDED} AS DECIMAL(20, 2))"
    if node.args.get("safe") and target == "DECIMAL" and kind in _TEXT:
        return (
            "try_cast of text as a decimal: 1e3 is null in the embedded engine; write CASE WHEN s RLIKE '^-?[0-9]+([.][0-9]+)?$' THEN "
            "CAST(s AS DECIMAL(20, 2)) END, or try_cast(s AS DOUBLE)"
        )
    if target in _WHOLE and kind in _TIMES:
        return "a time as a number: before 1970 the engines round otherwise; write floor(unix_micros(ts) / 1000000)"
    return None


def _is_rounded(node: Any) -> bool:
    """Whether a double was rounded by `floor(…) / 100`, or has no digits behind the point."""
    node = node.unnest()
    if type(node).__name__ == "Div":
        node = node.this.unnest()
    return type(node).__name__ in ("Floor", "Ceil") or (type(node).__name__ == "Round" and not _check_round(node))


def _check_set(node: Any) -> str | None:
    parent = node.parent
    while type(parent).__name__ in ("Window", "Filter"):
        parent = parent.parent
    return None if type(parent).__name__ in _ORDERLESS else "collect_set has no order; write array_sort(collect_set(x))"


def _check_extreme_of_nested(node: Any) -> str | None:
    kind = _kind(node.this)
    if kind not in _NESTED or _is_single(node.this):
        return None
    return f"{type(node).__name__.lower()} of {kind.lower()}s: the engines order nulls in them otherwise; {NUMBERED.format('<time> DESC NULLS LAST')}"


def _check_buckets(node: Any) -> str | None:
    return "width_bucket of a double: the engines differ at NaN; write a CASE of its bounds" if _is_floating(node.this) else None


def _is_single(node: Any) -> bool:
    """Whether it is a structure of one field where that isn't null, and null otherwise: in it there is no null to order."""
    from sqlglot import exp

    values = [branch.args["true"] for branch in node.args["ifs"]] if isinstance(node, exp.Case) and node.args.get("default") is None else []
    return bool(values) and all(isinstance(value, exp.Struct) and len(value.expressions) == 1 for value in values)


def _check_seconds(node: Any) -> str | None:
    if all(_kind(part) in _WHOLE for part in node.expressions):
        return None
    return "timestamp_seconds of a fraction: the embedded engine cuts it; write timestamp_micros(CAST(x * 1000000 AS BIGINT))"


def _check_sum_of_times(node: Any) -> str | None:
    from sqlglot import exp

    if _kind(node.this) != "DATE":
        return None
    if isinstance(node, exp.Sub) and _kind(node.expression) == "DATE":
        return "the difference of dates is a number in the embedded engine and an interval in Spark; write datediff(a, b)"
    text = node.expression.sql(DIALECT).upper()
    is_short = node.expression.find(exp.Interval) is not None and any(unit in text for unit in _SHORT_UNITS)
    if is_short or text.startswith(("MAKE_DT_INTERVAL", "MAKE_INTERVAL")):
        return "a date and a part of a day: the embedded engine loses the part; write CAST(d AS TIMESTAMP) + INTERVAL 5 HOURS"
    return None


def _check_arithmetic(node: Any) -> str | None:
    return (
        _check_text_as_number(node)
        or _check_interval(node)
        or (_check_sum_of_times(node) if type(node).__name__ in ("Add", "Sub") else None)
    )


def _check_interval(node: Any) -> str | None:
    """INTERVAL 1 MONTH 5 HOURS, which the parser reads as a sum."""
    from sqlglot import exp

    sides = [node.this, node.expression]
    if not all(isinstance(side, exp.Interval) for side in sides):
        return None
    of_calendar = [any(unit in str(side.args.get("unit")).upper() for unit in _MONTHS) for side in sides]
    return "an interval of months and days or hours, which Spark refuses; add them one by one" if of_calendar[0] != of_calendar[1] else None


def _check_text_as_number(node: Any) -> str | None:
    """Arithmetic with a text: its type differs, and with it where a whole number leaves it."""
    kinds = [_kind(side) for side in (node.this, node.expression)]
    if not set(kinds) & _TEXT or not set(kinds) <= _TEXT | _NUMBERS:
        return None
    return f"{node.sql(DIALECT)} computes with a text; write CAST(… AS BIGINT) or CAST(… AS DOUBLE) around it"


def _check_mixture(node: Any) -> str | None:
    """Texts beside numbers, of which either may be meant; arrays and structures, which are ordered otherwise, or become those of other numbers."""
    from lakeloop.sql.typed import values_of

    name = type(node).__name__
    if name == "If" and node.arg_key == "ifs":
        return None
    parts = (
        values_of(node) if name in ("Case", "If", "Nvl2") else [*node.expressions] if name == "Array" else [node.this, *node.expressions]
    )
    kinds = {_kind(part) for part in parts}
    shown = "CASE" if name == "Case" else node.sql(DIALECT)
    if kinds & _NESTED and name in ("Greatest", "Least"):
        return f"{shown} of arrays or structures: the engines order nulls in them otherwise; write it of their fields, or CASE WHEN a.x < b.x THEN a ELSE b END"
    if kinds & _NESTED and len({inner for part in parts for inner in [_numbers_within(part)] if inner}) > 1:
        return f"{shown} chooses between arrays or structures of different numbers: the embedded engine changes values; write CAST(… AS ARRAY<DOUBLE>) around each"
    if not kinds & _TEXT or not kinds & _NUMBERS:
        return None
    return (
        f"{shown} mixes texts and numbers, of which the engines take either; write CAST(… AS STRING), or CAST(… AS BIGINT) around the texts"
    )


def _numbers_within(node: Any) -> frozenset[str]:
    """Which kinds of numbers something nested holds: whole, floating or decimal; none where that can't be told."""
    from sqlglot import exp

    node = node.unnest()
    if isinstance(node, exp.Array):
        # The parser takes a number with a point for a double.
        points = {"DECIMAL" for each in node.expressions if isinstance(each, exp.Literal) and "." in each.name and not each.is_string}
        names = points | {_kind(each) for each in node.expressions if not (isinstance(each, exp.Literal) and "." in each.name)}
    elif _kind(node) in _NESTED and node.type is not None:
        names = {str(each.this.name) for each in node.type.find_all(exp.DataType)}
    else:
        names = set()
    families = {"DECIMAL": names & {"DECIMAL"}, "FLOATING": names & _FLOATING, "WHOLE": names & _WHOLE}
    return frozenset(family for family, members in families.items() if members)


def _check_union(node: Any) -> str | None:
    """Columns of a UNION that are texts in one part and numbers in another."""
    sides = [side.unnest() for side in (node.left, node.right)]
    if any(getattr(side, "selects", None) is None for side in sides):
        return None
    for left, right in zip(*(side.selects for side in sides), strict=False):
        kinds = {_kind(each.unalias()) for each in (left, right)}
        if kinds & _TEXT and kinds & _NUMBERS:
            return f"{left.alias_or_name} is a text in one part of the {node.key.upper()} and a number in another; write CAST(… AS STRING), or CAST(… AS BIGINT)"
    return None


def _check_percentile(node: Any) -> str | None:
    ordered = node.expression.expressions[0].this if type(node).__name__ == "WithinGroup" else node.this
    return (
        "a percentile of texts: the embedded engine orders them as texts; write it of CAST(s AS DECIMAL(20, 4))"
        if _kind(ordered) in _TEXT
        else None
    )


def _check_frame(node: Any) -> str | None:
    """A range of months over times. Over dates the bounds never go back."""
    from sqlglot import exp

    spec = node.args.get("spec")
    units = [str(each.args.get("unit")).upper() for each in spec.find_all(exp.Interval)] if spec is not None else []
    order = node.args.get("order")
    if (
        not any(unit in text for text in units for unit in _MONTHS)
        or order is None
        or all(_kind(each.this) == "DATE" for each in order.expressions)
    ):
        return None
    return (
        "a range of months over times: in the last days of a month Spark counts rows that don't lie in it; write ORDER BY CAST(ts AS DATE), "
        "or a range of days"
    )


def _check_sort_of_nested(node: Any) -> str | None:
    """The order of an array's elements that are nested themselves."""
    array = node.this.unnest()
    kind = array.type.sql() if getattr(array, "type", None) is not None else ""
    is_nested = kind.startswith(("ARRAY<ARRAY", "ARRAY<STRUCT")) or (
        type(array).__name__ in ("ArrayUniqueAgg", "ArrayAgg") and _kind(array.this) in _NESTED
    )
    return (
        f"{node.sql_name().lower()} of arrays or structures: the engines order nulls in them otherwise; write it of one of their fields"
        if is_nested
        else None
    )


def _check_order(node: Any) -> str | None:
    """The order of a window, or of a LIMIT, by something nested."""
    from sqlglot import exp

    around = node.find_ancestor(exp.Select, exp.Window)
    is_used = isinstance(around, exp.Window) or (around is not None and around.args.get("limit") is not None)
    if not is_used or _kind(node.this) not in _NESTED:
        return None
    return "an order by arrays or structures: the engines order nulls in them otherwise; write their fields one by one"


def _check_membership(node: Any) -> str | None:
    from sqlglot import exp

    if any(isinstance(each, exp.Tuple) for each in (node.this, *node.expressions)):
        return "IN of several columns: the embedded engine takes none of the rows, or refuses it; write a = 1 AND b = 'x' OR …"
    if any(each.find(exp.Case, exp.If) is not None for each in node.expressions):
        return "a CASE in the list of an IN: the embedded engine takes any row; write x = CASE … END OR x = …"
    if node.args.get("query") is None or not isinstance(node.parent, exp.Not) or not _is_floating(node.this):
        return None
    return "NOT IN (SELECT …) of doubles: Spark tells -0.0 from 0.0 there; write NOT EXISTS (SELECT … WHERE …)"


def _check_json_read(node: Any) -> str | None:
    import re

    schema = node.expression.name.upper() if node.expression is not None else ""
    if not re.search(r"(ARRAY|MAP)\s*<.*(DOUBLE|FLOAT)", schema):
        return None
    return (
        "doubles in arrays or maps of from_json: the embedded engine tells -0.0 from 0.0 in them; write ARRAY<STRING> and "
        "transform(a, e -> CAST(e AS DOUBLE))"
    )


_CHECKS: Mapping[str, Callable[[Any], str | None]] = {
    "Extract": _check_extract,
    "date_part": _check_date_part,
    "datepart": _check_date_part,
    "TimestampDiff": _check_units_between,
    "DateDiff": _check_units_between,
    "Rint": _always("rint takes halves otherwise in the embedded engine; write bround(x)"),
    "ArrayContains": _check_contains,
    "Mode": _always(
        "mode takes any of the most frequent values; count by value in a subquery, "
        + NUMBERED.format("count DESC").replace("<a unique column>", "<value>")
    ),
    "ArgMax": _always(f"max_by takes any of the rows with the same maximum; {NUMBERED.format('y DESC NULLS LAST')}"),
    "ArgMin": _always(f"min_by takes any of the rows with the same minimum; {NUMBERED.format('y NULLS LAST')}"),
    "ApproxQuantile": _always("percentile_approx interpolates in the embedded engine; write percentile(x, 0.5)"),
    "ApproxDistinct": _always("approx_count_distinct estimates otherwise on each engine; write count(DISTINCT x)"),
    "histogram_numeric": _always("histogram_numeric chooses other bins on each engine; count by floor(x / width) in a subquery"),
    "Initcap": _always("initcap begins words otherwise on each engine; write concat(upper(left(s, 1)), lower(substring(s, 2)))"),
    "DecodeCase": _always("the embedded engine has no decode with pairs; write CASE x WHEN 1 THEN 'one' ELSE 'other' END"),
    "Round": _check_round,
    "bround": _check_bround,
    "format_number": _check_format,
    "Format": _check_format,
    "printf": _check_format,
    "JSONFormat": _check_json,
    "Concat": _check_text,
    "ConcatWs": _check_text,
    "DPipe": _check_text,
    "Cast": _check_cast,
    "TryCast": _check_cast,
    "ArrayUniqueAgg": _check_set,
    "Max": _check_extreme_of_nested,
    "Min": _check_extreme_of_nested,
    "arrays_overlap": _check_overlap,
    "ArrayCompact": _always("array_compact mixes up arrays in the embedded engine; write filter(a, e -> e IS NOT NULL)"),
    "WidthBucket": _check_buckets,
    "try_avg": _always("try_avg of decimals is cut in the embedded engine; write avg(x), which is computed as a double"),
    "timestamp_seconds": _check_seconds,
    **dict.fromkeys(
        ["Add", "Sub", "Mul", "Div", "IntDiv", "Mod", "SafeAdd", "SafeSubtract", "SafeMultiply", "SafeDivide"], _check_arithmetic
    ),
    **dict.fromkeys(["Case", "If", "Nvl2", "Coalesce", "Greatest", "Least", "Array"], _check_mixture),
    **dict.fromkeys(["Union", "Except", "Intersect"], _check_union),
    **dict.fromkeys(["Median", "Quantile", "WithinGroup"], _check_percentile),
    "Window": _check_frame,
    "In": _check_membership,
    "Ordered": _check_order,
    **dict.fromkeys(["ArraySort", "SortArray", "ArrayMax", "ArrayMin"], _check_sort_of_nested),
    "FromJson": _check_json_read,
}
