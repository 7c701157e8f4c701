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
    ("bround(o / 1000D + 0.545D, 2)", "bround((o / 1000D + 0.545D) * 100) / 100", "write bround(x * 100) / 100"),
    ("bround(n)", "bround(CAST(n AS DOUBLE))", "write bround(CAST(x AS DOUBLE))"),
    ("format_number(x, 2)", "CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING)", "AS DECIMAL(20, 2)) AS STRING)"),
    ("format_string('%.2f', y)", "CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING)", "of a double"),
    ("to_json(struct(x))", "to_json(struct(i))", "to_json of a double"),
    ("CAST(x AS STRING)", "CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING)", "a double as text"),
    ("concat(s, x)", "concat(s, CAST(CAST(floor(y * 100 + 0.5D) / 100 AS DECIMAL(20, 2)) AS STRING))", "a double as text"),
    ("s || x", "s || CAST(i AS STRING)", "a double as text"),
    ("CAST(a AS STRING)", "to_json(a)", "write to_json(a)"),
    (
        "CAST(o / 1000D + 0.285D AS DECIMAL(20, 2))",
        "CAST(floor((o / 1000D + 0.285D) * 100 + 0.5D) / 100 AS DECIMAL(20, 2))",
        "round it first",
    ),
    ("CAST(ts AS BIGINT)", "floor(unix_micros(ts) / 1000000)", "write floor(unix_micros(ts) / 1000000)"),
    ("timestamp_seconds(y)", "timestamp_micros(CAST(y * 1000000 AS BIGINT))", "write timestamp_micros"),
    (
        "arrays_overlap(slice(a, 1, 0), array(1, NULL))",
        "coalesce(arrays_overlap(slice(a, 1, 0), array(1, NULL)), false)",
        "write coalesce(arrays_overlap",
    ),
    ("d + make_dt_interval(0, 5)", "CAST(d AS TIMESTAMP) + make_dt_interval(0, 5)", "CAST(d AS TIMESTAMP)"),
    ("array_compact(a)", "filter(a, e -> e IS NOT NULL)", "write filter(a"),
    ("width_bucket(x, 0D, 10D, 5)", "CASE WHEN x < 0 THEN 0 WHEN x >= 10 THEN 6 ELSE CAST(floor(x / 2) AS INT) + 1 END", "write a CASE"),
    ("d - DATE '2024-01-01'", "datediff(d, DATE '2024-01-01')", "write datediff(a, b)"),
    ("d + INTERVAL 5 HOURS", "CAST(d AS TIMESTAMP) + INTERVAL 5 HOURS", "CAST(d AS TIMESTAMP)"),
    ("initcap(s)", "concat(upper(left(s, 1)), lower(substring(s, 2)))", "write concat(upper"),
    ("decode(i, 1, 'one', 'other')", "CASE i WHEN 1 THEN 'one' ELSE 'other' END", "write CASE"),
    (
        "sum(y) OVER (ORDER BY u RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND INTERVAL 1 HOUR PRECEDING)",
        "sum(y) OVER (ORDER BY u RANGE BETWEEN INTERVAL 168 HOURS PRECEDING AND INTERVAL 1 HOUR PRECEDING)",
        "whose units differ",
    ),
    ("p / 3", "CAST(p AS DOUBLE) / 3", "divides decimals"),
    ("try_divide(p, i)", "try_divide(CAST(p AS DOUBLE), i)", "divides decimals"),
    ("q * n", "CAST(q AS DOUBLE) * n", "may have 41 digits"),
    ("w + 1", "CAST(w AS DECIMAL(38, 0)) % 1000 + 1", "may have 39 digits"),
    ("-w", "-CAST(w AS DOUBLE)", "rounds it to 34 digits"),
    ("abs(w)", "abs(CAST(w AS DOUBLE))", "rounds it to 34 digits"),
    ("t + i", "CAST(t AS BIGINT) + i", "computes with a text"),
    ("i * '2'", "i * 2", "computes with a text"),
    ("coalesce(i, t)", "coalesce(i, CAST(t AS BIGINT))", "mixes texts and numbers"),
    ("least(array(i), array(n))", "CASE WHEN i < n THEN array(CAST(i AS BIGINT)) ELSE array(n) END", "of arrays or structures"),
    ("greatest(named_struct('v', y), named_struct('v', x))", "greatest(y, x)", "of arrays or structures"),
    (
        "coalesce(array(y, NULL), array(0.5))",
        "coalesce(array(y, NULL), array(0.5D))",
        "chooses between arrays or structures of different numbers",
    ),
    (
        "CASE WHEN b THEN array(y) ELSE array(p) END",
        "CASE WHEN b THEN array(y) ELSE array(CAST(p AS DOUBLE)) END",
        "chooses between arrays or structures of different numbers",
    ),
    ("nvl(t, i)", "nvl(t, CAST(i AS STRING))", "mixes texts and numbers"),
    ("CASE WHEN b THEN t ELSE i END", "CASE WHEN b THEN t ELSE CAST(i AS STRING) END", "mixes texts and numbers"),
    ("if(b, t, y)", "if(b, CAST(t AS DOUBLE), y)", "mixes texts and numbers"),
    ("array(i, t)", "array(i, CAST(t AS BIGINT))", "mixes texts and numbers"),
    ("try_cast(s AS DECIMAL(10, 2))", "CASE WHEN s RLIKE '^-?[0-9]+([.][0-9]+)?$' THEN CAST(s AS DECIMAL(10, 2)) END", "1e3 is null"),
    ("timestampdiff(MONTH, u, ts)", "CAST(months_between(ts, u) AS INT)", "CAST(months_between(b, a) AS INT)"),
    ("datediff(YEAR, u, ts)", "CAST(months_between(ts, u) / 12 AS INT)", "CAST(months_between(b, a) / 12 AS INT)"),
    (
        "count(*) OVER (ORDER BY ts RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND CURRENT ROW)",
        "count(*) OVER (ORDER BY CAST(ts AS DATE) RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND CURRENT ROW)",
        "ORDER BY CAST(ts AS DATE)",
    ),
    ("ts + INTERVAL 1 MONTH 5 HOURS", "ts + INTERVAL 1 MONTH + INTERVAL 5 HOURS", "add them one by one"),
    ("0D IN (if(b, 0, x), 7D)", "0D = if(b, 0, x) OR 0D = 7D", "a CASE in the list of an IN"),
    ("rank() OVER (ORDER BY struct(x))", "rank() OVER (ORDER BY x)", "write their fields one by one"),
    ("array_sort(array(struct(i), struct(o)))", "array_sort(array(i, o))", "write it of one of their fields"),
    ("nvl2(i, i, t)", "nvl2(i, i, CAST(t AS BIGINT))", "mixes texts and numbers"),
    ("(x, k) IN ((0D, 'a'))", "x = 0D AND k = 'a'", "IN of several columns"),
    ("from_json(s, 'ARRAY<DOUBLE>')", "transform(from_json(s, 'ARRAY<STRING>'), e -> CAST(e AS DOUBLE))", "write ARRAY<STRING>"),
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
    ("max(a)", "max(i)", "number the rows in a subquery"),
    ("median(t)", "median(CAST(t AS DECIMAL(20, 4)))", "a percentile of texts"),
    ("sum(p) / count(*)", "CAST(sum(p) AS DOUBLE) / count(*)", "divides decimals"),
    ("max(w) - min(w)", "max(CAST(w AS DOUBLE)) - min(w)", "may have 39 digits"),
    ("median(sqrt(y))", "median(CASE WHEN NOT isnan(sqrt(y)) THEN sqrt(y) END)", "may be NaN"),
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
    "corr(x, y) OVER (PARTITION BY k)", "avg(p) OVER (PARTITION BY k)", "pow(1, x)", "pow(z, x - x)", "pow(x, 2)", "timestamp_seconds(i)", "timestamp_millis(o)", "atan2(x, x)", "atan2(y, -x)", "try_divide(y, x)", "try_divide(i, 0)",
    "sum(y) OVER (PARTITION BY x)", "rank() OVER (ORDER BY x)", "count(*) OVER (ORDER BY x)", "row_number() OVER (PARTITION BY k ORDER BY -x DESC, o)",
    "sqrt(y) > 5", "sqrt(y) = sqrt(-1D)", "greatest(sqrt(y), 1D)", "x - x < 0", "(x - x) <=> (x * 0)", "-sqrt(y) > 0", "sort_array(array(-x, x - x, 1D))",
    "max(sqrt(y)) OVER (PARTITION BY k)", "sum(x) OVER (PARTITION BY k ORDER BY o ROWS 2 PRECEDING) > 0", "rank() OVER (ORDER BY x - x, z)",
    "CASE WHEN b THEN 0 ELSE y END", "CASE WHEN b THEN i ELSE p END", "CASE WHEN b THEN h WHEN i > 1 THEN n ELSE 5 END", "if(b, 1, 2.55)",
    "n + h", "n * h", "n * n", "h + 1", "h * 2", "h - n", "abs(n) * 1000", "CASE WHEN n BETWEEN -9 AND 9 THEN n * n END", "unix_micros(ts) - unix_micros(u)",
    "sum(n * n) OVER (PARTITION BY k)", "sum(n) OVER (ORDER BY o)", "transform(array(n, 1L), e -> e * e)", "aggregate(array(n, 1L), 0L, (t, e) -> t + e)",
    "array(x) = array(-x)", "array_distinct(array(x, -x))", "array_position(array(0D, x), -x)", "array_remove(array(x, 1D), -0.0D)", "map(-0.0D, 1)[x]",
    "element_at(map(0D, 1), x)", "struct(x).x", "coalesce(array_contains(array(-x, y), x), false)", "x IN (-0.0D, 5D)",
    "size(array_distinct(array(CAST(x AS FLOAT), CAST(0 AS FLOAT))))", "size(array_distinct(transform(array(x, 0D), e -> -e)))", "nullifzero(x)",
    "count(*) OVER (PARTITION BY array(x))", "dense_rank() OVER (ORDER BY CAST(x AS FLOAT))", "nvl(i, p)", "ifnull(p, x)",
    "CASE WHEN b THEN p * 2 ELSE i END", "sum(p) OVER (PARTITION BY k)", "sum(w) OVER (PARTITION BY k)", "x > 0.5", "x * 1e-17D > 0.0", "coalesce(x * 1e-17D, 0.5)", "x * 1e-17D IN (0.0, 2.5)", "y BETWEEN p AND 7.5", "greatest(x, p)",
    "CASE WHEN b THEN x ELSE 0.5 END", "if(b, x, p)", "nullif(x * 1e-17D, 0.0)", "p = y", "0.1D + 0.2D = 0.3", "CAST(y AS FLOAT) + p", "CAST(w AS DOUBLE) % 7", "w * 1D % 7D", "filter(array(x, y), e -> coalesce(e, p) > 0)", "filter(array(x, y), e -> e > 0.25)",
]  # fmt: skip
"""What is written otherwise for both engines, and what is for the embedded one: by `lakeloop.sql.alike` and `resources.spark.numbers`."""
GROUPED_ALIKE = [
    "corr(x, y)", "avg(p)", "avg(DISTINCT p)", "max(x)", "min(x)", "max(sqrt(y))", "min(x - x)", "max(-x) FILTER (WHERE b)", "count(DISTINCT x - x)",
    "sum(x) > 0", "sum(n)", "sum(h)", "sum(n * n)", "sum(DISTINCT n * 1000000)", "max(n) * max(n)", "sum(CASE WHEN b THEN n ELSE 0 END)",
    "array_sort(collect_set(-x))", "count(DISTINCT array(x))", "count(DISTINCT struct(x, b))", "size(collect_set(CAST(x AS FLOAT)))", "sum(w)", "sum(p * n)",
    "sum(q) FILTER (WHERE b)", "sum(DISTINCT q)", "try_sum(w)",
]  # fmt: skip
"""The same by group."""
_BY_TIME = "OVER (PARTITION BY k ORDER BY u RANGE BETWEEN INTERVAL 7 DAYS PRECEDING AND CURRENT ROW)"
_BY_DATE = "OVER (PARTITION BY k ORDER BY d RANGE BETWEEN INTERVAL 3 DAYS PRECEDING AND INTERVAL 1 DAY PRECEDING)"
_BY_ROW = "OVER (PARTITION BY k ORDER BY o ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING)"
_BY_NUMBER = "OVER (ORDER BY i RANGE BETWEEN 2 PRECEDING AND 3 FOLLOWING)"
_TO_THE_END = "OVER (PARTITION BY k ORDER BY u DESC ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)"
_RUNNING = "OVER (PARTITION BY k ORDER BY u)"
_FUNCTIONS = [
    "sum(x)", "avg(x)", "sum(y)", "avg(p)", "sum(n)", "stddev_samp(x)", "stddev_pop(z)", "variance(y)", "min(x)", "max(x)", "count(x)", "count(*)",
    "count_if(b)", "bool_or(b)", "max(s)", "sum(y) FILTER (WHERE b)",
]  # fmt: skip
_ORDERED = ["first(x)", "last(s) IGNORE NULLS", "nth_value(y, 2)", "collect_list(x)"]
WINDOWS = [
    *(f"{function} {window}" for function in _FUNCTIONS for window in (_BY_TIME, _BY_DATE, _BY_ROW, _BY_NUMBER, _TO_THE_END)),
    *(f"{function} {window}" for function in _FUNCTIONS[:-1] for window in (_RUNNING, "OVER (PARTITION BY k)")),
    *(f"{function} {window}" for function in _ORDERED for window in (_BY_TIME, _BY_ROW, _TO_THE_END)),
    "count(*) OVER (ORDER BY d RANGE BETWEEN INTERVAL 1 MONTH PRECEDING AND INTERVAL 1 MONTH FOLLOWING)",
    "max(y) OVER (ORDER BY d DESC RANGE BETWEEN UNBOUNDED PRECEDING AND INTERVAL 1 DAY PRECEDING)",
    "sum(y) OVER (PARTITION BY b ORDER BY d NULLS LAST RANGE BETWEEN 5 PRECEDING AND CURRENT ROW)",
    "avg(y) OVER (PARTITION BY x + 0D ORDER BY o ROWS 2 PRECEDING)",
]
"""Windows over values with NaN, infinities and outliers, over dates before 1970, with nulls and peers in the order."""
