"""Random expressions that make NaN and infinity of numbers, and what compares them."""

from __future__ import annotations

import random

_MADE = """sqrt(y)|sqrt(x)|x - x|x + z|-x|-sqrt(y)|x * 0D|x / z|y / z|x % 2D|pow(y, 0.5)|pow(x, z)|acos(z)|ln(y)|exp(x) - exp(x)|x * y|abs(-x)|sin(x)|cos(x) + 1
    |CASE WHEN b THEN sqrt(y) ELSE i END|coalesce(sqrt(y), x)|greatest(x - x, z)|CAST(i AS DOUBLE) - x|round(x - x)|(x - 1) * (z - 1)|CAST(sqrt(y) AS FLOAT)
    |if(b, 1, x)|try_divide(x, z)|CAST('NaN' AS DOUBLE) * -1|nanvl(x - x, y)|asin(y) + x|log(2, y)|atan2(x, x)|least(x, -x)|tan(x) - 1|x - sqrt(x)"""
_SCALARS = """{0} > {1}|{0} < {1}|{0} = {1}|{0} <=> {1}|{0} >= 0|{0} IN ({1}, 1D)|{0} BETWEEN {1} AND 5|isnan({0})|greatest({0}, {1})|least({0}, {1})
    |sort_array(array({0}, {1}))|array_max(array({0}, {1}))|array_min(array({0}, {1}, 1D))|size(array_distinct(array({0}, {1})))|nullif({0}, {1})
    |CASE WHEN {0} > 0 THEN 'a' WHEN {0} <= 0 THEN 'b' ELSE 'c' END|{0} + {1}|{0}|array_position(array(1D, {0}), {1})|coalesce({0} = {0}, false)|{0} * {1}"""
_WINDOWS = """max({0}) OVER (PARTITION BY k)|min({0}) OVER (PARTITION BY k ORDER BY o)|sum({0}) OVER (PARTITION BY k ORDER BY o ROWS 2 PRECEDING)
    |max({0}) OVER (ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)|row_number() OVER (ORDER BY {0}, o)|avg({0}) OVER (PARTITION BY b)
    |sum({0}) OVER (PARTITION BY k ORDER BY o ROWS 2 PRECEDING) > 1|lag({0}) OVER (ORDER BY o) < {0}|row_number() OVER (PARTITION BY k ORDER BY {0} DESC, o)"""
_AGGREGATES = """max({0})|min({0})|sum({0})|avg({0})|count(DISTINCT {0})|max({0}) FILTER (WHERE b)|min({0}) > 0|sum({0}) = avg({0})|max({0}) - min({0})
    |stddev({0})|median({0})|percentile({0}, 0.5)|count_if({0} > 1)|array_sort(collect_list({0}))|max({0} + {1})|sum({0}) > sum({1})|any_value({0} IS NULL)"""
_NESTED = (
    "SELECT q AS _q, {} FROM (SELECT *, {{0}} AS q FROM rows.t) AS t GROUP BY q",
    "SELECT o AS _o, {} FROM (SELECT *, {{0}} AS q FROM rows.t) AS t WHERE q > 0",
    "SELECT t.o AS _o, {} FROM rows.t AS t JOIN (SELECT o, {{0}} AS q FROM rows.t) AS r ON t.x = r.q WHERE r.o % 5 = 0 AND t.o % 5 = 0",
    "SELECT 1 AS _o, {} FROM (SELECT DISTINCT {{0}} AS q, b FROM rows.t) AS t",
    "SELECT o AS _o, {} FROM (SELECT *, {{0}} AS q FROM rows.t ORDER BY q DESC, o LIMIT 7) AS t",
)
_ABOUT = ("count(*)", "count(q)", "max(o)", "min(o)")


def nan_expression(draw: random.Random) -> tuple[str, str]:
    """A random expression, and the query around it."""
    kind = draw.random()
    if kind < 0.45:
        return _fill(draw, _SCALARS), "SELECT o AS _o, {} FROM rows.t"
    if kind < 0.65:
        return _fill(draw, _WINDOWS), "SELECT o AS _o, {} FROM rows.t"
    if kind < 0.85:
        return _fill(draw, _AGGREGATES), draw.choice(["SELECT k AS _k, {} FROM rows.t GROUP BY k", "SELECT 1 AS _k, {} FROM rows.t"])
    shape = draw.choice(_NESTED).replace("{{0}}", _choose(draw, _MADE))
    if "GROUP BY" in shape:
        return draw.choice(_ABOUT), shape.replace("q AS _q", "min(o) AS _q")
    if "DISTINCT" in shape:
        return draw.choice(["count(*)", "count(q)", "max(q) > 0"]), shape
    if "JOIN" in shape:
        return draw.choice(["count(*)", "max(t.o)", "min(r.o)"]), shape.replace("t.o AS _o", "1 AS _o")
    return draw.choice(["count(*) OVER ()", "max(q) OVER ()", "count(*) OVER (PARTITION BY b)"]), shape


def _choose(draw: random.Random, templates: str) -> str:
    return draw.choice([part.strip() for part in templates.split("|")])


def _fill(draw: random.Random, templates: str) -> str:
    return _choose(draw, templates).format(
        *(draw.choice([f"({_choose(draw, _MADE)})", f"({_choose(draw, _MADE)})", "x"]) for _ in range(2))
    )
