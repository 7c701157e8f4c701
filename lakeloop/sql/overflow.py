"""Sums, differences and products of whole numbers that may leave their type: an error in Spark, which the embedded engine goes on from in silence.

Where the bounds of the columns exclude that, nothing is done. Elsewhere text is written around the expression, so that it is computed in decimals of 38
digits, and cast back: to a number, or to the engine's error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from lakeloop.errors import SpecError
from lakeloop.sql.guards import Guard
from lakeloop.sql.intervals import OTHER, UNKNOWN, Interval, Numbers
from lakeloop.sql.query import DIALECT, line_of
from lakeloop.sql.selects import Tokens, find_selects, scopes_of
from lakeloop.sql.spans import Span, operands_of, span_of
from lakeloop.sql.typed import TypedQuery, whole_call
from lakeloop.sql.whole_numbers import BITS, Bounds, Column, WholeNumbers

_WIDE = "DECIMAL(38, 0)"
_NAMES = {bits: name for name, bits in BITS.items()}


@dataclass(frozen=True)
class Site:
    """An expression that may leave its type.

    Attributes:
        text: as it stands in the query.
        line: of the query.
        span: where it stands.
        operands: where what is to be computed in decimals stands.
        numbers: what it may give; `UNKNOWN` if its type can't be told.
    """

    text: str
    line: int
    span: Span
    operands: tuple[Span, ...]
    numbers: Numbers


@dataclass(frozen=True)
class Arithmetic:
    """What of a query may leave its type.

    Attributes:
        sites: these expressions.
        used: the columns of tables whose bounds would tell more.
        unclear: where expressions stand whose type would tell more.
    """

    sites: tuple[Site, ...]
    used: frozenset[Column]
    unclear: frozenset[Span]


def find_overflows(query: TypedQuery, bounds: Bounds | None = None) -> Arithmetic:
    """Find what may leave its type.

    Args:
        query: a query.
        bounds: what is known of the tables; without, their columns may have any value.

    >>> query = TypedQuery("SELECT k, sum(n + 1) AS s, count(*) + 1 AS c FROM t GROUP BY k", {"t": {"n": "bigint", "k": "string"}})
    >>> [site.text for site in find_overflows(query).sites]
    ['sum(n + 1)', 'n + 1']
    >>> find_overflows(query, Bounds({("t", "n"): (0, 999)}, {"t": 10_000})).sites
    ()
    """
    numbers, sites, unclear = WholeNumbers(query, bounds or Bounds()), {}, set()
    for node in query.tree.find_all(exp.Add, exp.Sub, exp.Mul, exp.Sum):
        reach = numbers.uncut(node)
        if reach == OTHER or (isinstance(reach, Interval) and reach.fits):
            continue
        site = _site(node, query.text, reach)
        sites[site.span] = site
        if reach == UNKNOWN:
            sides = [node.this] if isinstance(node, exp.Sum) else [node.this, node.expression]
            unclear |= {place for side in sides if numbers.of(side) == UNKNOWN for place in [span_of(side)] if place is not None}
    return Arithmetic(tuple(sites.values()), frozenset(numbers.used), frozenset(unclear))


def _site(node: Any, text: str, reach: Numbers) -> Site:
    span, operands = span_of(whole_call(node)), operands_of(node)
    if span is None or not operands:
        raise SpecError(
            f"{node.sql(DIALECT)} may leave the whole numbers that its type holds; write CAST(… AS DOUBLE) around what it is of, or put it in brackets",
            file="query",
            line=line_of(node),
        )
    return Site(text[slice(*span)], line_of(node), span, operands, reach)


def guards_of(sites: Iterable[Site]) -> Iterator[Guard]:
    """What makes expressions an error where they leave their type.

    >>> from lakeloop.sql.guards import write_guards
    >>> text = "SELECT a + 1 AS b FROM t"
    >>> write_guards(text, guards_of(find_overflows(TypedQuery(text, {"t": {"a": "bigint"}})).sites))
    'SELECT coalesce(CAST(CAST(a AS DECIMAL(38, 0)) + CAST(1 AS DECIMAL(38, 0)) AS BIGINT), NULL) AS b FROM t'
    """
    for site in sites:
        assert isinstance(site.numbers, Interval), "only what is a whole number is computed in decimals"
        # The engine compares without a cast that it sees, and an error would be gone with it.
        yield Guard(site.span, "coalesce(CAST(", f" AS {_NAMES[site.numbers.bits]}), NULL)")
        for operand in site.operands:
            yield Guard(operand, "CAST(", f" AS {_WIDE})", is_operand=True)


def probes_of(text: str, place: Span) -> list[str]:
    """Queries whose first column has the type of an expression; the engine may refuse some of them.

    >>> text = "SELECT k, f(max(n)) + 1 AS c FROM t WHERE n > 0 GROUP BY k"
    >>> probes_of(text, (10, 19))
    ['SELECT f(max(n)) AS value FROM t WHERE n > 0 GROUP BY k', 'SELECT f(max(n)) AS value FROM t WHERE n > 0']
    """
    tokens = Tokens(text)
    around = [each for each in find_selects(tokens) if tokens[each.first].start <= place[0] and place[1] <= tokens[each.last - 1].end + 1]
    if not around:
        return []
    select = max(around, key=lambda each: each.depth)
    ends = [select.body_end, *(position for name, position in select.clauses.items() if name in ("GROUP", "HAVING"))]
    probes = []
    for end in dict.fromkeys([ends[0], min(ends)]):
        probe = f"SELECT {text[slice(*place)]} AS value {tokens.slice(select.projections[1], end)}"
        for ctes in scopes_of(tokens, select):
            probe = f"WITH {ctes} {probe if probe.startswith('SELECT') else f'SELECT * FROM ({probe})'}"
        probes.append(probe)
    return probes
