"""Random window calls: functions, frames, orders and partitions."""

from __future__ import annotations

import random

NUMERIC = ["i", "n", "x", "y", "z", "p", "x", "y"]
ANY = ["i", "n", "x", "y", "p", "s", "d", "ts", "b"]
_ONE_NUMBER = ["sum", "avg", "mean", "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop", "std"]
_ONE = ["count", "min", "max"]
_TWO = ["corr", "covar_samp", "covar_pop"]
_IN_ORDER = ["first", "last", "first_value", "last_value", "collect_list", "any_value"]
_OTHERS = "max_by(x, i)|min_by(i, y)|percentile_approx(y, 0.5)|median(y)|mode(i)|skewness(y)|kurtosis(y)|collect_set(i)|bit_and(n)|regr_slope(y, z)"
_RANKS = "row_number()|rank()|dense_rank()|percent_rank()|cume_dist()|ntile(3)|lag(x)|lead(y, 2)|lag(s, 1, 'none')"
_ROWS = [
    "UNBOUNDED PRECEDING",
    "7 PRECEDING",
    "3 PRECEDING",
    "1 PRECEDING",
    "CURRENT ROW",
    "1 FOLLOWING",
    "4 FOLLOWING",
    "UNBOUNDED FOLLOWING",
]
_TIMES = [
    "UNBOUNDED PRECEDING", "INTERVAL 7 DAYS PRECEDING", "INTERVAL '3' DAY PRECEDING", "INTERVAL 2 DAYS PRECEDING", "INTERVAL 1 DAY PRECEDING",
    "CURRENT ROW", "INTERVAL 1 DAY FOLLOWING", "INTERVAL 5 DAYS FOLLOWING", "UNBOUNDED FOLLOWING",
]  # fmt: skip
_HOURS = ["UNBOUNDED PRECEDING", "INTERVAL 50 HOURS PRECEDING", "INTERVAL 6 HOURS PRECEDING", "CURRENT ROW", "INTERVAL 12 HOURS FOLLOWING"]
_MONTHS = ["UNBOUNDED PRECEDING", "INTERVAL 2 MONTHS PRECEDING", "INTERVAL 1 MONTH PRECEDING", "CURRENT ROW", "INTERVAL 1 MONTH FOLLOWING"]
_NUMBERS = ["UNBOUNDED PRECEDING", "5 PRECEDING", "2 PRECEDING", "CURRENT ROW", "3 FOLLOWING", "UNBOUNDED FOLLOWING"]


def window_expression(draw: random.Random) -> str:
    """A random window call over the table."""
    is_ordered_list = draw.random() < 0.15
    function = _function(draw, is_ordered_list=is_ordered_list)
    partition = draw.choice(["PARTITION BY k ", "PARTITION BY k ", "PARTITION BY k, b ", "", "PARTITION BY x + 0D ", "PARTITION BY d "])
    return f"{function} OVER ({partition}{_order_and_frame(draw, is_unique=is_ordered_list or function[-1] != ')' or '(' not in function)})"


def rank_expression(draw: random.Random) -> str:
    """A random ranking function, or one of a row before or after."""
    return f"{draw.choice(_RANKS.split('|'))} OVER (PARTITION BY {draw.choice(['k', 'b', 'k, b'])} ORDER BY {draw.choice(['o', 'u DESC', 'i NULLS LAST, o'])})"


def _function(draw: random.Random, *, is_ordered_list: bool) -> str:
    if is_ordered_list:
        name, column = draw.choice(_IN_ORDER), draw.choice(ANY)
        return f"{name}({column})" + (" IGNORE NULLS" if name != "collect_list" and draw.random() < 0.4 else "")
    kind = draw.random()
    where = f" FILTER (WHERE {draw.choice(['i > 1', 'b', 'x > y'])})" if draw.random() < 0.12 else ""
    if kind < 0.5:
        return f"{draw.choice(_ONE_NUMBER)}({draw.choice(NUMERIC)}){where}"
    if kind < 0.72:
        return f"{draw.choice(_ONE)}({draw.choice(ANY)}){where}"
    if kind < 0.8:
        return draw.choice(["count(*)", "count(1)", "count_if(b)", "bool_and(b)", "bool_or(b)", "any(b)"]) + where
    if kind < 0.94:
        function = draw.choice(_TWO)
        # Covariances with infinity depend on the order of the rows, see docs/engines.md.
        left, right = draw.choice(["x", "y", "z", "i", "p"]), draw.choice(["y", "z", "x", "n"])
        return f"{function}({left}, {right}){where}" if function == "corr" else f"{function}({left}, {right}){where}".replace("x", "y")
    return draw.choice(_OTHERS.split("|"))


def _order_and_frame(draw: random.Random, *, is_unique: bool) -> str:
    kind = draw.random()
    if kind < 0.4 or (is_unique and kind < 0.7):
        order = draw.choice(["o", "u", "o DESC", "u DESC"])
        return f"ORDER BY {order} {_frame(draw, 'ROWS', _ROWS)}"
    if is_unique:
        return f"ORDER BY u{draw.choice(['', ' DESC'])} {_frame(draw, 'RANGE', draw.choice([_TIMES, _HOURS]))}"
    order, bounds = draw.choice(
        [
            ("ts", _TIMES),
            ("ts", _HOURS),
            ("u", _TIMES),
            ("ts", _MONTHS),
            ("d", _TIMES),
            ("d", _TIMES),
            ("d", _MONTHS),
            ("d", _NUMBERS),
            ("i", _NUMBERS),
            ("n", _NUMBERS),
        ]
    )
    turned = draw.choice(["", "", " DESC", " NULLS LAST", " DESC NULLS FIRST"])
    if draw.random() < 0.12:
        return f"ORDER BY {order}{turned}"
    return f"ORDER BY {order}{turned} {_frame(draw, 'RANGE', bounds)}"


def _frame(draw: random.Random, unit: str, bounds: list[str]) -> str:
    first = draw.randrange(len(bounds) - 1)
    last = draw.randrange(first, len(bounds))
    if draw.random() < 0.15 and bounds[first].endswith(("PRECEDING", "ROW")):
        return f"{unit} {bounds[first]}"
    if bounds[first] == bounds[last] == "UNBOUNDED PRECEDING":
        last += 1
    return f"{unit} BETWEEN {bounds[first]} AND {bounds[last]}"
