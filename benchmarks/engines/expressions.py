"""Random scalar expressions and aggregates of each type, as features use them."""

from __future__ import annotations

import random

_COLUMNS = {
    "int": ["i", "n", "o", "year(d)", "3", "0", "-7"],
    "double": ["x", "y", "z", "x", "0.5D", "CAST(i AS DOUBLE)", "2.5D"],
    "decimal": ["p", "CAST(i AS DECIMAL(6,1))", "1.25", "p"],
    "string": ["s", "k", "'a,b'", "CAST(i AS STRING)", "s"],
    "date": ["d", "DATE '2024-02-29'", "DATE '1969-12-31'", "CAST(ts AS DATE)", "d"],
    "timestamp": ["ts", "u", "TIMESTAMP '2024-01-31 23:59:59.5'", "CAST(d AS TIMESTAMP)", "ts"],
    "boolean": ["b", "i > 1", "s = 'a'", "x IS NULL"],
    "array": ["a", "array(1, 2, NULL)", "sequence(1, 3)"],
}
"""What stands for a type where an expression needs one."""
_TEMPLATES = {
    "int": """{int} + {int}|{int} - {int}|{int} * 2|-{int}|abs({int})|{int} % 3|{int} DIV 2|pmod({int}, 3)|greatest({int}, {int})|least({int}, {int})
        |CAST({double} AS INT)|CAST(z AS BIGINT)|length({string})|instr({string}, 'a')|year({date})|month({date})|day({date})|quarter({date})
        |dayofweek({date})|weekday({date})|dayofyear({date})|weekofyear({date})|hour({timestamp})|minute({timestamp})|second({timestamp})
        |datediff({date}, {date})|unix_timestamp({timestamp})|unix_millis({timestamp})|unix_micros({timestamp})|unix_date({date})|extract(DOW FROM {date})
        |extract(YEAR FROM {timestamp})|extract(DOY FROM {date})|extract(WEEK FROM {date})|date_part('QUARTER', {date})|ceil({double})|floor({double})
        |size({array})|array_position({array}, 2)|element_at({array}, 1)|sign({int})|coalesce({int}, {int})|nullif({int}, {int})|bit_count({int})
        |timestampdiff(DAY, {timestamp}, {timestamp})|timestampdiff(MONTH, {timestamp}, {timestamp})|timestampdiff(HOUR, {timestamp}, {timestamp})
        |CAST({timestamp} AS BIGINT)|{int} & 7|{int} << 2|shiftright({int}, 1)|levenshtein({string}, 'a')|ascii({string})|hash({string})
        |CASE WHEN {boolean} THEN {int} ELSE {int} END|if({boolean}, {int}, {int})|day(last_day({date}))|CAST({boolean} AS INT)|try_cast({string} AS INT)
        |array_size({array})|round(i, -1)|datediff(DAY, {timestamp}, {timestamp})|datediff(WEEK, {date}, {date})|width_bucket({double}, 0D, 10D, 5)""",
    "double": """{double} + {double}|{double} - {double}|{double} * {double}|-{double}|abs({double})|{double} / 2D|try_divide({double}, {double})
        |sqrt(abs({double}))|exp({double})|ln({double})|log10({double})|log2({double})|log1p({double})|log(2, {double})|pow({double}, 2)|pow({double}, {double})
        |sin({double})|tanh({double})|atan2({double}, {double})|round({double}, 2)|round({double})|bround({double}, 1)|rint({double})|signum({double})
        |greatest({double}, {double})|least({double}, {double})|coalesce({double}, 0D)|nanvl({double}, 0D)|nvl({double}, {double})|{double} % 3D
        |pmod({double}, 3D)|CAST({int} AS DOUBLE)|CAST({decimal} AS DOUBLE)|try_cast({string} AS DOUBLE)|{int} / 4|hypot({double}, {double})|cbrt({double})
        |months_between({date}, {date})|months_between({timestamp}, {timestamp})|CAST({timestamp} AS DOUBLE)|nullif({double}, 0D)|degrees({double})
        |CASE WHEN {double} > 0 THEN {double} END|if(isnan({double}), NULL, {double})|ifnull({double}, {double})|expm1({double})|zeroifnull({double})""",
    "decimal": """{decimal} + {decimal}|{decimal} - {decimal}|{decimal} * {decimal}|CAST({decimal} AS DOUBLE) / 3|{decimal} / {int}|abs({decimal})|round({decimal}, 1)|ceil({decimal})
        |floor({decimal})|CAST({double} AS DECIMAL(20,3))|CAST({decimal} AS DECIMAL(8,1))|greatest({decimal}, {decimal})|{decimal} % 3|-{decimal}
        |CAST({string} AS DECIMAL(10,2))|coalesce({decimal}, 0)|bround({decimal}, 1)""",
    "string": """concat({string}, {string})|upper({string})|lower({string})|trim({string})|ltrim({string})|substring({string}, 2, 2)|substring({string}, -2)
        |left({string}, 2)|right({string}, 2)|replace({string}, 'a', 'b')|regexp_replace({string}, '[0-9]+', '#')|regexp_extract({string}, '([0-9]+)', 1)
        |lpad({string}, 4, '0')|rpad({string}, 3, '-')|reverse({string})|repeat({string}, 2)|initcap({string})|split_part({string}, ',', 2)
        |concat_ws('-', {string}, {string})|CAST({int} AS STRING)|CAST({double} AS STRING)|CAST({date} AS STRING)|CAST({timestamp} AS STRING)
        |CAST({boolean} AS STRING)|CAST({decimal} AS STRING)|date_format({timestamp}, 'yyyy-MM-dd HH:mm:ss')|date_format({date}, 'E')|coalesce({string}, 'none')
        |date_format({timestamp}, 'MMM d, y')|translate({string}, 'ab', 'xy')|substring_index({string}, ',', 1)|md5({string})|sha2({string}, 256)|hex({string})
        |format_number({double}, 2)|from_unixtime({int})|array_join(split({string}, ','), '|')|greatest({string}, {string})|{string} || 'x'|soundex({string})
        |dayname({date})|monthname({date})|CASE {string} WHEN 'a' THEN 'A' ELSE {string} END|decode({int}, 1, 'one', 'other')|to_char({int}, '999')|base64({string})""",
    "date": """date_add({date}, {int} % 100)|date_sub({date}, 3)|add_months({date}, 1)|last_day({date})|next_day({date}, 'MON')|trunc({date}, 'MONTH')
        |trunc({date}, 'WEEK')|trunc({date}, 'QUARTER')|{date} + INTERVAL 1 DAY|{date} - INTERVAL 1 MONTH|{date} + INTERVAL 5 HOURS|CAST({timestamp} AS DATE)
        |to_date({timestamp})|try_cast({string} AS DATE)|make_date(2024, 1, 15)|{date} + 1|greatest({date}, {date})|dateadd(DAY, 3, {date})
        |dateadd(MONTH, 1, {date})|to_date('2024-02-29')|coalesce({date}, {date})|add_months({date}, -1)""",
    "timestamp": """date_trunc('HOUR', {timestamp})|date_trunc('WEEK', {timestamp})|date_trunc('MONTH', {timestamp})|date_trunc('DAY', {timestamp})
        |{timestamp} + INTERVAL 1 DAY|{timestamp} - INTERVAL 90 MINUTES|{timestamp} + INTERVAL 1 MONTH|CAST({date} AS TIMESTAMP)|date_trunc('QUARTER', {date})
        |timestamp_seconds({int})|timestamp_millis({int})|to_utc_timestamp({timestamp}, 'America/New_York')|from_utc_timestamp({timestamp}, 'Europe/Berlin')
        |try_cast({string} AS TIMESTAMP)|greatest({timestamp}, {timestamp})|timestampadd(HOUR, 5, {timestamp})|timestampadd(MONTH, 1, {timestamp})
        |{timestamp} + make_dt_interval(0, 0, {int} % 1000)|make_timestamp(2024, 2, 29, 1, 2, 3.5)|to_timestamp('2024-01-31 10:00:00')|dateadd(HOUR, 5, {date})
        |{timestamp} + i * INTERVAL 1 DAY|date_add({timestamp}, 1)|timestamp_micros({int})|dateadd(DAY, 1, {timestamp})""",
    "boolean": """{double} > {double}|{double} = {double}|{double} <=> {double}|{int} < {int}|{string} = {string}|{string} < {string}|{date} < {date}
        |{timestamp} >= {timestamp}|isnan({double})|{double} IS NULL|{string} LIKE 'a%'|{string} RLIKE '^[0-9]'|contains({string}, 'a')|startswith({string}, 'a')
        |{int} IN (1, 2, NULL)|{double} BETWEEN 0 AND 3|NOT {boolean}|{boolean} AND {boolean}|{boolean} OR {boolean}|array_contains({array}, 2)
        |array_contains({array}, i)|exists({array}, e -> e > 1)|forall({array}, e -> e > 0)|{date} = {timestamp}|{int} = {double}|{string} = {int}|endswith({string}, '1')
        |{int} IS DISTINCT FROM {int}|x IN (1, 'NaN')|arrays_overlap({array}, {array})|isnotnull({double})|{decimal} > {double}|{string} ILIKE 'A%'""",
    "array": """split({string}, ',')|array({int}, {int})|sort_array({array})|array_distinct({array})|slice({array}, 1, 2)|filter({array}, e -> e > 1)
        |transform({array}, e -> e + 1)|array_union({array}, {array})|array_except({array}, array(1))|sequence(1, 3)|reverse({array})|array_remove({array}, 1)
        |array_sort({array})|array_intersect({array}, {array})|concat({array}, {array})|array_compact({array})|flatten(array({array}, {array}))|array_repeat({int}, 2)""",
    "other": """struct({int}, {string})|named_struct('a', {double}, 'b', {date})|map('a', {int})|array_max({array})|array_min({array})|aggregate({array}, 0L, (t, e) -> t + coalesce(e, 0L))
        |d - DATE '2024-01-01'|ts - u|cardinality({array})|element_at(map('a', 1), k)|sort_array({array}, false)|get({array}, 1)|struct(i AS a).a
        |nvl2({double}, 1, 0)|unix_seconds({timestamp})|crc32({string})|xxhash64({int})|date_trunc('DAY', ts)""",
}
_AGGREGATES = """sum({int})|sum(i)|sum({double})|sum(y)|sum(p)|avg({int})|avg(y)|avg(x)|avg({decimal})|min({double})|max({double})|min({string})|max({string})|max({date})
    |count({string})|count(*)|count(DISTINCT {int})|count(DISTINCT {double})|count(DISTINCT {string})|stddev({double})|stddev_pop(y)|variance(x)|var_pop(z)|corr(y, z)
    |covar_samp(y, z)|covar_pop(y, i)|skewness(y)|kurtosis(y)|median(y)|median(i)|percentile(y, 0.25)|percentile_approx(y, 0.5)|approx_percentile(i, 0.9)
    |percentile_cont(0.5) WITHIN GROUP (ORDER BY y)|percentile_disc(0.5) WITHIN GROUP (ORDER BY i)|mode(i)|mode(s)|max_by(o, y)|max_by(s, i)|min_by(y, u)|min_by(s, d)
    |collect_set(i)|array_sort(collect_list({int}))|sort_array(collect_set({string}))|bool_and({boolean})|bool_or(b)|every(b)|any(i > 2)|count_if({boolean})
    |approx_count_distinct(i)|first(i)|bit_and(n)|bit_or(i)|bit_xor(n)|sum(y) FILTER (WHERE b)|avg(z) FILTER (WHERE i > 2)|sum(DISTINCT i)|avg(DISTINCT z)
    |regr_slope(y, z)|regr_count(y, z)|regr_r2(y, z)|max(struct(u, y)).y|max(ts) - min(ts)|sum(CASE WHEN b THEN y ELSE 0 END)|any_value(k)|array_sort(collect_list(k))
    |stddev_samp(i)|var_samp(p)|try_sum(n)|try_avg(y)|max(a)|histogram_numeric(i, 3)|grouping(k)|count(DISTINCT k, b)|product(z)|min(b)|max({timestamp})"""


def scalar_expression(draw: random.Random, depth: int = 2) -> str:
    """A random expression over the table's columns."""
    return _expand(draw, draw.choice(_templates(draw.choice(list(_TEMPLATES)))), depth)


def aggregate_expression(draw: random.Random) -> str:
    """A random aggregate."""
    return _expand(draw, draw.choice([part.strip() for part in _AGGREGATES.split("|")]), 1)


def _templates(kind: str) -> list[str]:
    text = _TEMPLATES[kind].replace("'|'", "'\0'").replace("||", "\1")
    return [part.strip().replace("\0", "|").replace("\1", "||") for part in text.split("|")]


def _expand(draw: random.Random, template: str, depth: int) -> str:
    pieces = template.split("{")
    text = pieces[0]
    for piece in pieces[1:]:
        kind, _, rest = piece.partition("}")
        text += _operand(draw, kind, depth) + rest
    return text


def _operand(draw: random.Random, kind: str, depth: int) -> str:
    if depth > 1 and draw.random() < 0.25:
        return f"({_expand(draw, draw.choice(_templates(kind)), depth - 1)})"
    return draw.choice(_COLUMNS[kind])
