"""Random arithmetic of whole numbers that may leave their type, and the queries that it stands in."""

from __future__ import annotations

import random

_LEAVES = [
    "g",
    "h",
    "n",
    "i",
    "g",
    "h",
    "o",
    "1",
    "-7",
    "1000003",
    "3000000000",
    "2L",
    "length(s)",
    "year(d)",
    "CAST(g % 100 AS INT)",
    "a[0]",
    "size(a)",
]
_SCALARS = """{0} + {1}|{0} - {1}|{0} * {1}|-({0})|abs({0})|{0} DIV {2}|{0} % {2}|pmod({0}, {2})|({0}) + ({1})|({0} - {1}) * {2}
    |CASE WHEN {0} > {1} THEN {0} - {1} ELSE {2} END|coalesce({0}, {1}) + {2}|greatest({0}, {1}) - least({0}, {1})|if({0} BETWEEN -5 AND 5, {0} * {1}, 0)
    |transform(array({0}, {1}), e -> e + {2})|aggregate(array({0}, {1}), 0L, (t, e) -> t + e)|CAST({0} AS INT) + {1}|{0} & {1}|shiftright({0}, 1) + {1}
    |floor({0} / 1000) + {1}|CAST({0} AS DOUBLE) + {1}|CAST({0} AS DECIMAL(38, 0)) + {1}|try_add({0}, {0})|{0} + {1} + {2}|{0} * 2 - {1}
    |unix_micros(ts) - unix_micros(u)|unix_micros(ts) * {0}|hash(s) + {0}|date_add(d, CAST({0} % 100 AS INT) + 1)|struct({0} AS q).q + {1}"""
_AGGREGATES = """sum({0})|sum({0} + {1})|sum({0} * {1})|sum(DISTINCT {0})|sum({0}) FILTER (WHERE b)|sum({0}) - sum({1})|max({0}) - min({0})|count({0}) * {2}
    |max({0}) * count(*)|sum(CASE WHEN b THEN {0} ELSE 0 END)|avg({0})|bit_or({0}) + 1|sum({0} % 10)"""
_WINDOWS = """sum({0}) OVER (PARTITION BY k)|sum({0}) OVER (PARTITION BY k ORDER BY o)|sum({0} + 1) OVER (ORDER BY o ROWS 2 PRECEDING)
    |{0} - lag({0}) OVER (ORDER BY o)|lead({0}, 1, 0) OVER (PARTITION BY b ORDER BY o) + {1}|row_number() OVER (ORDER BY o) * {0}
    |sum({0}) OVER (PARTITION BY k ORDER BY o ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) * 2|max({0}) OVER (ORDER BY o ROWS 3 PRECEDING) - {0}"""
_ROW_BY_ROW = (
    "SELECT o AS _o, {} FROM rows.t",
    "SELECT o AS _o, {} FROM rows.t WHERE o < 12",
    "SELECT o AS _o, {} FROM (SELECT *, g AS q FROM rows.t WHERE g BETWEEN -1000 AND 1000) AS t",
    "WITH w AS (SELECT * FROM rows.t WHERE b) SELECT o AS _o, {} FROM w AS t",
    "SELECT t.o AS _o, {} FROM (SELECT * FROM rows.t WHERE o < 20 UNION ALL SELECT * FROM rows.t WHERE o >= 40) AS t",
)
_GROUPED = (
    "SELECT k AS _k, {} FROM rows.t GROUP BY k",
    "SELECT 1 AS _k, {} FROM rows.t",
    "SELECT o AS _k, {} FROM rows.t WHERE o < 20 GROUP BY o",
)


def overflow_expression(draw: random.Random) -> tuple[str, str]:
    """A random expression, and the query around it."""
    kind = draw.random()
    if kind < 0.55:
        return _fill(draw, _SCALARS), draw.choice(_ROW_BY_ROW)
    if kind < 0.8:
        return _fill(draw, _AGGREGATES), draw.choice(_GROUPED)
    return _fill(draw, _WINDOWS), draw.choice(_ROW_BY_ROW)


def _fill(draw: random.Random, templates: str) -> str:
    template = draw.choice([part.strip() for part in templates.split("|")])
    return template.format(*(draw.choice(_LEAVES) for _ in range(2)), draw.choice(["3", "g", "1000", "h", "-1"]))
