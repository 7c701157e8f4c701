"""Functions that the embedded engine computes otherwise than Spark, written so that both give the same: only what needs no types.

What can't be rewritten without knowing more is refused, in `lakeloop.sql.differences`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from lakeloop.sql.selects import Tokens, find_closing, split_at_commas, word_of


def write_alike(text: str) -> str:
    """Write the calls of some functions otherwise, with the meaning that they have in Spark.

    >>> write_alike("SELECT weekday(d) AS w, x / nullif(y, 0) AS r FROM t")
    'SELECT pmod(dayofweek(d) + 5, 7) AS w, x / if((y) = (0), NULL, (y)) AS r FROM t'
    """
    tokens = Tokens(text)
    for position in range(len(tokens) - 2, -1, -1):
        write = _SPELLINGS.get(word_of(tokens[position]).lower())
        if write is None or tokens[position + 1].text != "(" or (position and tokens[position - 1].text == "."):
            continue
        closing = find_closing(tokens, position + 1)
        arguments = [tokens.slice(*part) for part in split_at_commas(tokens, (position + 2, closing))]
        behind = word_of(tokens[closing + 1]) if closing + 1 < len(tokens) else ""
        written = write(arguments, behind)
        if written is not None:
            # Inner calls stand behind the outer one's name, so that they are written first.
            text = f"{text[: tokens[position].start]}{written}{text[tokens[closing].end + 1 :]}"
            tokens = Tokens(text)
    return text


def _of(spelling: str, count: int = 1) -> Callable[[Sequence[str], str], str | None]:
    return lambda arguments, behind: spelling.format(*arguments) if len(arguments) == count else None


def _correlation(arguments: Sequence[str], behind: str) -> str | None:
    """NaN where a value isn't finite, for which the embedded engine has null. Over windows it is computed beside the engine."""
    if len(arguments) != 2 or behind in ("OVER", "FILTER"):
        return None
    return "coalesce(corr({0}, {1}), if(isnan(sum((({0}) - ({0})) + (({1}) - ({1})))), CAST('NaN' AS DOUBLE), NULL))".format(*arguments)


def _power(arguments: Sequence[str], behind: str) -> str | None:
    """NaN for any number to the power of NaN, and for 1 and -1 to that of infinity, as in Java; in the embedded engine that of 1 is 1."""
    if len(arguments) != 2 or re.fullmatch(r"-?[\d.]+[DL]?", arguments[1].strip(), re.I):
        return None
    odd = "(isnan(CAST({1} AS DOUBLE)) AND ({0}) IS NOT NULL) OR (abs({0}) = 1 AND abs({1}) = CAST('Infinity' AS DOUBLE))"
    return f"if({odd}, CAST('NaN' AS DOUBLE), pow({{0}}, {{1}}))".format(*arguments)


_SPELLINGS: Mapping[str, Callable[[Sequence[str], str], str | None]] = {
    "weekday": _of("pmod(dayofweek({0}) + 5, 7)"),
    "isnan": _of("coalesce(isnan({0}), false)"),
    "unix_seconds": _of("CAST(floor(unix_micros({0}) / 1000000) AS BIGINT)"),
    "unix_millis": _of("CAST(floor(unix_micros({0}) / 1000) AS BIGINT)"),
    "nullif": _of("if(({0}) = ({1}), NULL, ({0}))", 2),  # the embedded engine lets -0.0 pass where 0 is to become null
    "nullifzero": _of("if(({0}) = 0, NULL, ({0}))"),
    "nvl": _of("coalesce({0}, {1})", 2),  # of a number and a decimal the embedded engine makes a double
    "ifnull": _of("coalesce({0}, {1})", 2),
    "corr": _correlation,
    "pow": _power,
    "power": _power,
    "timestamp_seconds": _of(
        "timestamp_micros(CAST({0} AS BIGINT) * 1000000)"
    ),  # which is an error beyond 64 bits, of fractions it is refused
    "timestamp_millis": _of("timestamp_micros(CAST({0} AS BIGINT) * 1000)"),
    "atan2": _of("atan2(({0}) + 0D, ({1}) + 0D)", 2),
    "try_divide": _of("(({0}) / if(({1}) = 0, NULL, ({1})))", 2),
}
