"""Expressions that `lakeloop check` refuses because the engines differ, each with the spelling that it names, or one like it.

The campaign compares the spellings on both engines, and that an engine still differs in what is refused.
"""

from __future__ import annotations

SCALARS = [
    ("extract(DOW FROM d)", "dayofweek(d)", "write dayofweek(d)"),
    ("date_part('dow', ts)", "dayofweek(ts)", "write dayofweek(d)"),
    ("timestampdiff(DAY, u, ts)", "(unix_micros(ts) - unix_micros(u)) DIV 86400000000", "whole days"),
    ("datediff(DAY, u, ts)", "datediff(ts, u)", "datediff(b, a) for midnights"),
    ("rint(x)", "bround(x)", "write bround(x)"),
    ("array_contains(a, i)", "coalesce(array_contains(a, i), false)", "coalesce(array_contains(a, v), false)"),
    ("round(i / 1000D + 0.285D, 2)", "floor((i / 1000D + 0.285D) * 100 + 0.5D) / 100", "write floor(x * 100 + 0.5D) / 100"),
    ("bround(CAST(i + 0.25D AS DOUBLE), 1)", "bround((i + 0.25D) * 10) / 10", "write bround(x * 100) / 100"),
    ("bround(n)", "bround(CAST(n AS DOUBLE))", "write bround(CAST(x AS DOUBLE))"),
    ("format_number(x, 2)", "CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING)", "AS DECIMAL(20, 2)) AS STRING)"),
    ("format_string('%.2f', y)", "CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING)", "of a double"),
    ("to_json(struct(x))", "to_json(struct(i))", "to_json of a double"),
    ("CAST(x AS STRING)", "CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING)", "a double as text"),
    ("concat(s, x)", "concat(s, CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING))", "a double as text"),
    ("s || x", "s || CAST(i AS STRING)", "a double as text"),
    ("CAST(a AS STRING)", "to_json(a)", "write to_json(a)"),
    ("CAST(y * 0.5D AS DECIMAL(20, 2))", "CAST(floor(y * 0.5D * 100 + 0.5D) / 100 AS DECIMAL(20, 2))", "round it first"),
    ("CAST(ts AS BIGINT)", "floor(unix_micros(ts) / 1000000)", "write floor(unix_micros(ts) / 1000000)"),
    ("timestamp_seconds(y)", "timestamp_micros(CAST(y * 1000000 AS BIGINT))", "write timestamp_micros"),
    ("least(x, y)", "array_min(array(x, y))", "write array_min(array(x, y))"),
    ("greatest(x, 1D, y)", "array_max(array(x, 1D, y))", "write array_max(array(x, y))"),
    ("d - DATE '2024-01-01'", "datediff(d, DATE '2024-01-01')", "write datediff(a, b)"),
    ("d + INTERVAL 5 HOURS", "CAST(d AS TIMESTAMP) + INTERVAL 5 HOURS", "CAST(d AS TIMESTAMP)"),
    ("initcap(s)", "concat(upper(left(s, 1)), lower(substring(s, 2)))", "write concat(upper"),
    ("decode(i, 1, 'one', 'other')", "CASE i WHEN 1 THEN 'one' ELSE 'other' END", "write CASE"),
    ("sum(y) OVER (PARTITION BY x)", "sum(y) OVER (PARTITION BY x + 0D)", "write x + 0D"),
    ("rank() OVER (ORDER BY x)", "rank() OVER (ORDER BY x + 0D)", "write x + 0D"),
    ("count(*) OVER (ORDER BY x)", "count(*) OVER (ORDER BY x + 0D)", "write x + 0D"),
    (
        "sum(y) OVER (ORDER BY u RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND INTERVAL 1 HOUR PRECEDING)",
        "sum(y) OVER (ORDER BY u RANGE BETWEEN INTERVAL 168 HOURS PRECEDING AND INTERVAL 1 HOUR PRECEDING)",
        "whose units differ",
    ),
    ("median(y) OVER (ORDER BY o ROWS 2 PRECEDING)", "collect_list(y) OVER (ORDER BY o ROWS 2 PRECEDING)", "over a frame that moves"),
]
"""Refused, a spelling, and what the refusal says."""
AGGREGATES = [
    ("approx_percentile(i, 0.9)", "percentile(i, 0.9)", "write percentile(x, 0.5)"),
    ("percentile_approx(y, 0.5)", "percentile(y, 0.5)", "write percentile(x, 0.5)"),
    ("approx_count_distinct(i)", "count(DISTINCT i)", "write count(DISTINCT x)"),
    ("collect_set(i)", "array_sort(collect_set(i))", "write array_sort(collect_set(x))"),
    ("histogram_numeric(i, 3)", "max(floor(i / 3))", "count by floor(x / width)"),
    ("try_avg(p)", "avg(p)", "write avg(x)"),
    ("mode(i)", "max(i)", "count by value in a subquery"),
    ("max_by(s, i)", "max(i)", "number the rows in a subquery"),
    ("min_by(s, d)", "max(i)", "number the rows in a subquery"),
    ("max(struct(i, s))", "max(i)", "number the rows in a subquery"),
    ("min(a)", "max(i)", "number the rows in a subquery"),
]
"""As `SCALARS`; where a subquery is to be written, the spelling is another expression, and the query is among `QUERIES`."""
NEWEST = (
    "SELECT k AS _k, {} FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY {} NULLS LAST, o) AS rank FROM rows.t) WHERE rank = 1"
)
QUERIES = [
    ("s", NEWEST.replace("{} NULLS", "i DESC NULLS")),
    ("s", NEWEST.replace("{} NULLS", "d NULLS")),
    (
        "i",
        "SELECT k AS _k, {} FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY n DESC NULLS LAST, i) AS rank FROM "
        "(SELECT k, i, count(*) AS n FROM rows.t WHERE i IS NOT NULL GROUP BY k, i)) WHERE rank = 1",
    ),
]
"""What stands for `max_by`, `min_by` and `mode`: an expression, and the query around it."""
WRITTEN_ALIKE = [
    "weekday(d)", "isnan(x)", "NOT isnan(x)", "unix_seconds(ts)", "unix_millis(ts)", "nullif(x, 0D)", "y / nullif(x, 0)", "nullif(s, 'a')",
    "corr(x, y) OVER (PARTITION BY k)", "avg(p) OVER (PARTITION BY k)",
]  # fmt: skip
"""What `lakeloop.sql.alike` writes otherwise."""
