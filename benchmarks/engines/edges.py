"""Random expressions at the edges: -0.0 within arrays, structures and maps, decimals of many digits, ends of months, and texts used as numbers."""

from __future__ import annotations

import random
from collections.abc import Callable

_ZEROS = [
    "x",
    "-x",
    "x * 0D",
    "-y * 0D",
    "0D",
    "-0.0D",
    "CAST(x AS FLOAT)",
    "if(b, 0, x)",
    "coalesce(x, 0D)",
    "round(x)",
    "abs(x)",
    "z",
    "CAST(p AS DOUBLE)",
]
_OF_ZEROS = """array({0}) = array({1})|array({0}, {1})|array_distinct(array({0}, {1}, {2}))|size(array_distinct(array({0}, {1})))|array_position(array({0}), {1})
    |array_remove(array({0}, {1}), {2})|array_union(array({0}), array({1}))|size(array_intersect(array({0}), array({1})))|array_except(array({0}), array({1}))
    |struct({0}) = struct({1})|map({0}, 1)[{1}]|element_at(map({0}, 'a'), {1})|map_keys(map({0}, 1))|{0} IN ({1}, 7D)|{0} IN (0D, {1}, {2})|{0} NOT IN ({1})
    |coalesce(array_contains(array({0}, {1}), {2}), false)|coalesce(arrays_overlap(array({0}), array({1})), false)|array_sort(array({0}, {1}, {2}))
    |transform(array({0}, {1}), e -> -e)|array_distinct(transform(array({0}, {1}), e -> e * {2}))|filter(array({0}, {1}), e -> e = {2})|nullifzero({0})
    |nullif({0}, {1})|{0} <=> {1}|greatest({0}, {1}) = {2}|struct({0} AS v, k).v|named_struct('v', {0}).v = {1}|array_append(array({0}), {1})
    |array_repeat({0}, 2) = array_repeat({1}, 2)|sort_array(array({0}, {1}))|array_max(array({0}, {1}))|CASE {0} WHEN {1} THEN 1 ELSE 2 END
    |rank() OVER (ORDER BY {0})|count(*) OVER (PARTITION BY {0})|dense_rank() OVER (PARTITION BY b ORDER BY array({0}))|count(*) OVER (PARTITION BY struct({0}))
    |row_number() OVER (ORDER BY {0} DESC, o)|max({0}) OVER (PARTITION BY {1})"""
_DOUBLES = ["x", "y", "z", "x * 1e-17D", "y * 1e-12D", "x * 1e16D", "CAST(y AS FLOAT)", "i / 7", "sqrt(y)", "0.1D + 0.2D"]
_MIXED = ["0.5", "0.0", "0.3", "p", "q", "1.25", "-2.5", "i", "p * 2", "0.000000000001"]
_SETS = """count(DISTINCT {0})|size(collect_set({0}))|array_sort(collect_set({0}))|count(DISTINCT {0}, k)|count(DISTINCT array({0}))|count(DISTINCT struct({0}, b))
    |size(array_distinct(collect_list({0})))|sum(DISTINCT {0})|min({0}) = max({1})|size(collect_set(array({0}, {1})))|array_max(collect_set({0}))
    |count(DISTINCT coalesce({0}, {1}))|coalesce(array_contains(collect_set({0}), 0D), false)|count_if({0} = {1})"""
_DECIMALS = [
    "p",
    "q",
    "w",
    "CAST(i AS DECIMAL(6,1))",
    "1.25",
    "CAST(w AS DECIMAL(28,2))",
    "CAST(q AS DECIMAL(24,8))",
    "CAST(n AS DECIMAL(20,0))",
    "-p",
    "abs(q)",
    "q",
    "p",
]
_WITH = ["{d}", "{d}", "i", "n", "3", "10", "0.5", "o", "y"]
_OF_DECIMALS = """{0} + {1}|{0} - {1}|{0} * {1}|{0} / {1}|{0} % {1}|-({0})|abs({0})|round({0}, 1)|floor({0})|ceil({0})|{0} > {1}|{0} = {1}|greatest({0}, {1})
    |coalesce({0}, {1})|CASE WHEN b THEN {0} ELSE {1} END|if(b, {0}, {1}) * 2|CAST({0} AS DECIMAL(20,2))|CAST({0} AS DOUBLE)|{0} DIV {1}|try_add({0}, {1})
    |try_divide({0}, {1})|pmod({0}, 7)|{0} * {1} + {2}|({0} + {1}) * {2}|nvl({0}, {1})|ifnull({1}, {0})|nullif({0}, {1})|array({0}, {1})|sign({0})
    |sum({0}) OVER (PARTITION BY k)|sum({0}) OVER (PARTITION BY k ORDER BY o)|sum({0}) OVER (ORDER BY o ROWS 2 PRECEDING)|avg({0}) OVER (PARTITION BY b)
    |{0} - lag({0}) OVER (ORDER BY o)|max({0}) OVER (PARTITION BY k ORDER BY o)|transform(array({0}), e -> e + 1)|round({0}, 2) * {1}|CAST({0} AS INT)"""
_OF_MIXTURES = """{0} > {1}|{0} = {1}|{1} <= {0}|{0} <=> {1}|{0} IN ({1}, {2})|{0} BETWEEN {1} AND 7.5|coalesce({0}, {1})|coalesce({1}, {0})|greatest({0}, {1})|least({1}, {0}, {2})
    |if(b, {0}, {1})|CASE WHEN b THEN {1} ELSE {0} END|nullif({0}, {1})|nvl({1}, {0})|CASE {0} WHEN {1} THEN 1 ELSE 0 END|{0} + {1}|{0} * {1}|{1} / {0}|array({0}, {1})
    |filter(array({0}, y), e -> e > {1})|transform(array({0}), e -> coalesce(e, {1}))|max({0}) OVER (PARTITION BY b) > {1}|sum({0}) FILTER (WHERE {0} > {1}) OVER (PARTITION BY k)
    |{0} IS DISTINCT FROM {1}|{0} - {1} = 0.0|sqrt(abs({0})) > {1}|struct({0} AS v).v = {1}"""
_SUMS = """sum({0})|sum({0} * {1})|sum({0} + {1})|sum({0}) + sum({1})|sum({0}) * 2|sum({0}) / count(*)|avg({0})|sum(DISTINCT {0})|sum({0}) FILTER (WHERE b)|max({0}) - min({0})
    |sum(CASE WHEN b THEN {0} ELSE 0 END)|try_sum({0})|sum(coalesce({0}, 0))|sum(round({0}, 1))|abs(sum({0}))|sum(-({0}))|max({0})|median({0})|percentile({0}, 0.25)
    |count(DISTINCT {0})|sum(CAST({0} AS DECIMAL(28,2)))|sum(if(b, {0}, {1}))|avg({0} * 2)"""
_MONTHS = """add_months({0}, {1})|{0} + INTERVAL 1 MONTH|{0} - INTERVAL 1 MONTH|{0} + INTERVAL 1 YEAR|{0} - INTERVAL 3 MONTHS|{0} + make_ym_interval(0, {1})
    |months_between({0}, {2})|floor(months_between({0}, {2}))|last_day({0})|trunc({0}, 'MONTH')|trunc({0}, 'QUARTER')|datediff(MONTH, {0}, {2})
    |timestampdiff(MONTH, {0}, {2})|timestampdiff(YEAR, {0}, {2})|timestampdiff(QUARTER, {0}, {2})|dateadd(MONTH, {1}, {0})|dateadd(YEAR, {1}, {0})
    |sequence({0}, add_months({0}, 4), INTERVAL 1 MONTH)|sequence({0}, {0} + INTERVAL 40 DAYS, INTERVAL 1 MONTH)|size(sequence({0}, date_add({0}, 70), INTERVAL 1 MONTH))
    |({0} + INTERVAL 1 MONTH) - INTERVAL 1 MONTH|{0} BETWEEN add_months({2}, -1) AND {2}|date_trunc('MONTH', {0})|timestampadd(MONTH, {1}, {0})
    |count(*) OVER (ORDER BY {0} RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND CURRENT ROW)|sum(o) OVER (ORDER BY {0} RANGE BETWEEN INTERVAL 2 MONTHS PRECEDING AND INTERVAL 1 MONTH FOLLOWING)
    |max(y) OVER (PARTITION BY b ORDER BY {0} RANGE BETWEEN INTERVAL 1 YEAR PRECEDING AND CURRENT ROW)|avg(y) OVER (ORDER BY {0} DESC RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND INTERVAL 1 MONTH FOLLOWING)
    |datediff(QUARTER, {0}, {2})|datediff(WEEK, {0}, {2})|timestampdiff(WEEK, {0}, {2})|next_day({0}, 'FRI')|year({0} + INTERVAL 1 MONTH)"""
_DAYS = ["m", "m", "d", "CAST(m AS TIMESTAMP) + INTERVAL 10 HOURS", "ts", "DATE '2024-02-29'", "last_day(m)", "u"]
_NUMBERS = ["t", "t", "CAST(i AS STRING)", "'5'", "'12'"]
_BESIDE = ["i", "h", "g", "n", "1", "2147483647", "x", "p", "t", "o"]
_OF_TEXTS = """{0} + {1}|{1} - {0}|{0} * {1}|{0} / {1}|{1} % {0}|{1} DIV {0}|-({0})|abs({0})|{0} > {1}|{0} = {1}|{1} <=> {0}|{1} IN ({0}, 7)|{0} IN ({1}, 7)|{1} BETWEEN {0} AND 9
    |coalesce({0}, {1})|coalesce({1}, {0}) + 1|nvl({1}, {0})|ifnull({0}, {1})|if(b, {0}, {1})|CASE WHEN b THEN {1} ELSE {0} END|greatest({1}, {0})|array({1}, {0})
    |nullif({1}, {0})|{1} = CAST({0} AS INT)|CAST({0} AS INT) + {1}|CAST({0} AS BIGINT) * 2|try_cast({0} AS INT) - 1|concat({0}, i)|{0} || o|round({0})|sqrt({0})
    |sum({0}) OVER (PARTITION BY k)|avg({0}) OVER (ORDER BY o ROWS 2 PRECEDING)|max({0}) OVER (PARTITION BY k)|try_add({1}, {0})|date_add(d, CAST({0} AS INT))
    |map('a', {1}, 'b', {0})['b']|nvl2({1}, {1}, {0})|CASE {1} WHEN {0} THEN 1 ELSE 0 END|try_cast({0} AS DECIMAL(10,2))|CAST({0} AS DECIMAL(12,2)) + p"""
_SUMS_OF_TEXTS = """sum({0})|avg({0})|max({0})|min({0})|sum({0} + {1})|sum(coalesce({1}, {0}))|sum(if(b, {1}, {0}))|median({0})|percentile({0}, 0.5)|count(DISTINCT {0})|stddev({0})
    |sum(CAST({0} AS BIGINT) + {1})|max(CASE WHEN b THEN {0} ELSE {1} END)|corr({0}, y)|bool_or({0} > {1})"""
_BY_ROW = "SELECT o AS _o, {} FROM rows.t"
_GROUPED = ("SELECT k AS _k, {} FROM rows.t GROUP BY k", "SELECT 1 AS _k, {} FROM rows.t")
_UNIONS = "SELECT _o, {} FROM (SELECT o AS _o, {0} AS v FROM rows.t UNION ALL SELECT o + 100, {1} FROM rows.t) AS t"


def edge_expression(draw: random.Random) -> tuple[str, str]:
    """A random expression, and the query around it."""
    kind = draw.random()
    if kind < 0.3:
        return _draw(draw, _OF_ZEROS, _SETS, lambda: draw.choice(_ZEROS))
    if kind < 0.42:
        return _draw(
            draw,
            _OF_MIXTURES,
            "sum({0}) > {1}|max({0}) = {1}|count_if({0} > {1})|avg(coalesce({0}, {1}))|max(if(b, {0}, {1}))",
            lambda: draw.choice(_MIXED),
            lambda: draw.choice(_DOUBLES),
        )
    if kind < 0.62:
        return _draw(draw, _OF_DECIMALS, _SUMS, lambda: draw.choice(_WITH).format(d=draw.choice(_DECIMALS)), lambda: draw.choice(_DECIMALS))
    if kind < 0.78:
        days, count = [draw.choice(_DAYS) for _ in range(2)], draw.choice(["1", "-1", "12", "i % 5", "-13"])
        return draw.choice(_split(_MONTHS)).format(days[0], count, days[1]), _BY_ROW
    if kind < 0.84:
        sides = [draw.choice([*_NUMBERS, *_BESIDE, "d", "q", "w"]) for _ in range(2)]
        return "v", _UNIONS.replace("{0}", sides[0]).replace("{1}", sides[1])
    return _draw(draw, _OF_TEXTS, _SUMS_OF_TEXTS, lambda: draw.choice(_BESIDE), lambda: draw.choice(_NUMBERS))


def _draw(
    draw: random.Random, by_row: str, grouped: str, others: Callable[[], str], first: Callable[[], str] | None = None
) -> tuple[str, str]:
    is_grouped = draw.random() < 0.3
    expression = draw.choice(_split(grouped if is_grouped else by_row)).format((first or others)(), others(), others())
    return expression, draw.choice(_GROUPED) if is_grouped else _BY_ROW


def _split(templates: str) -> list[str]:
    return [part.strip().replace("\1", "||") for part in templates.replace("||", "\1").split("|")]
