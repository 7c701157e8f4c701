"""Where a query makes NaN of numbers: written so that it has no sign.

The processor gives NaN a sign where infinity minus infinity, or the root of a negative number, is computed. To the embedded engine such a NaN is less than
every number and unequal to the one that was read; Spark has one NaN, which is greater than every number. It also forgets what came before a NaN in extremes
by group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from lakeloop.sql.guards import Guard
from lakeloop.sql.query import DIALECT, line_of
from lakeloop.sql.spans import operands_of, span_of
from lakeloop.sql.typed import TypedQuery, added_by, kind_of, outputs_of, values_of, whole_call

_FLOATING = {"FLOAT": "FLOAT", "DOUBLE": "DOUBLE"}


class Odd(NamedTuple):
    """What an expression may be that isn't a finite number."""

    infinite: bool
    nan: bool


FINITE = Odd(infinite=False, nan=False)
ANY = Odd(infinite=True, nan=True)
_SAME = (
    exp.Paren, exp.Alias, exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Max, exp.Min, exp.First, exp.Last, exp.FirstValue, exp.LastValue,
    exp.NthValue, exp.AnyValue, exp.Abs, exp.Neg, exp.Nullif, exp.Median, exp.Quantile, exp.Lag, exp.Lead, exp.Distinct, exp.Round,
)  # fmt: skip
_SUMS = (exp.Sum, exp.Avg)
_OPERATORS = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_MAKERS = (
    exp.Sqrt, exp.Pow, exp.Acos, exp.Asin, exp.Acosh, exp.Atanh, exp.Sin, exp.Cos, exp.Tan, exp.Sec, exp.Csc, exp.Cot, exp.Skewness, exp.Kurtosis,
    exp.CovarSamp, exp.CovarPop, exp.RegrSlope, exp.RegrIntercept, exp.RegrR2, exp.RegrSxx, exp.RegrSxy, exp.RegrSyy, exp.Stddev, exp.StddevPop,
    exp.StddevSamp, exp.Variance, exp.VariancePop, exp.Log,
)  # fmt: skip
"""Functions that make NaN of numbers."""
_GROWING = (exp.Exp, exp.Cosh, exp.Sinh, exp.Degrees)
"""Functions that give infinity for finite numbers, and NaN for NaN alone."""
_LEVEL = (exp.Ln, exp.Atan, exp.Tanh, exp.Asinh, exp.Cbrt, exp.Sign, exp.Radians)
"""Functions that give nothing else for finite numbers; null where a logarithm has no value."""
_WAVES = (exp.Sin, exp.Cos, exp.Tan)
_SPREADS = (exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop)
_PERCENTILES = (exp.Median, exp.Quantile, exp.WithinGroup)
_CALLED_MAKERS = frozenset(["hypot", "pmod", "try_avg", "skewness", "kurtosis", "regr_sxx", "regr_syy", "regr_sxy", "csc", "sec", "cot"])


class Doubles:
    """Which expressions of a query may be infinite or NaN."""

    def __init__(self, query: TypedQuery, *, is_read: bool) -> None:
        """Ask for the expressions of a query; `is_read` says whether what it reads may be infinite or NaN."""
        self._query, self._is_read = query, is_read
        self._known: dict[int, Odd] = {}

    def of(self, node: Any) -> Odd:
        """What an expression may be. Of what isn't a floating number: finite."""
        if id(node) not in self._known:
            self._known[id(node)] = ANY  # while it is asked for
            self._known[id(node)] = self._read(node)
        return self._known[id(node)]

    def _read(self, node: Any) -> Odd:
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, _SAME):
            return self.of(node.this)
        if isinstance(node, (exp.Cast, exp.TryCast)) and kind_of(node.this) not in ("UNKNOWN", *_TEXTS):
            return self.of(node.this)
        if isinstance(node, (exp.Case, exp.If)):
            return self._chosen(node)
        if isinstance(node, (exp.Coalesce, exp.Greatest, exp.Least)):
            return _any_of(map(self.of, [node.this, *node.expressions]))
        if kind_of(node) not in (*_FLOATING, "UNKNOWN") or isinstance(node, (exp.Literal, exp.Null)):
            return FINITE
        if isinstance(node, (*_GROWING, *_LEVEL, *_WAVES, *_SPREADS, exp.Pow, exp.Log)):
            return self._function(node)
        if isinstance(node, _SUMS):
            added = self.of(added_by(node))
            return Odd(infinite=True, nan=added.infinite or added.nan)
        if isinstance(node, _OPERATORS):
            sides = self.of(node.this), self.of(node.expression)
            return Odd(infinite=True, nan=self.makes_nan(node) or sides[0].nan or sides[1].nan)
        return ANY

    def _chosen(self, node: Any) -> Odd:
        """A CASE or IF. What it has asked of a branch isn't NaN there: CASE WHEN NOT isnan(x) THEN x."""
        asked = {_asked_of(branch.this).sql(DIALECT) for branch in node.args.get("ifs") or [node] if _asked_of(branch.this) is not None}
        values = [value for value in values_of(node) if not (value.sql(DIALECT) in asked and len(values_of(node)) == 1)]
        return _any_of(map(self.of, values))

    def _function(self, node: Any) -> Odd:
        parts = [self.of(each) for each in (node.this, node.args.get("expression")) if each is not None]
        given = _any_of(parts)
        if isinstance(node, (*_WAVES, *_SPREADS)):
            return Odd(infinite=not isinstance(node, _WAVES), nan=given.infinite or given.nan)
        if isinstance(node, exp.Log):
            return given if len(parts) == 1 else ANY
        if isinstance(node, exp.Pow):
            exponent = node.expression.unnest()
            return Odd(infinite=True, nan=given.nan or not (isinstance(exponent, exp.Literal) and exponent.is_int))
        return Odd(infinite=given.infinite or isinstance(node, _GROWING), nan=given.nan)

    def _column(self, node: Any) -> Odd:
        source = self._query.source_of(node)
        if kind_of(node) not in (*_FLOATING, "UNKNOWN"):
            return FINITE
        if isinstance(source, exp.Table):
            return ANY if self._is_read else FINITE
        below = outputs_of(source, node.name) if isinstance(source, Scope) else []
        return _any_of(map(self.of, below)) if below else ANY

    def makes_nan(self, node: Any) -> bool:
        """Whether an expression may make NaN of what isn't, or turn its sign."""
        if isinstance(node, exp.Neg):
            return self.of(node.this).nan
        if isinstance(node, _SUMS):
            added = self.of(added_by(node))
            return added.infinite or added.nan
        if not isinstance(node, _OPERATORS):
            return True
        left, right = self.of(node.this), self.of(node.expression)
        if isinstance(node, exp.Mul):
            return (left.infinite and not _is_fixed(node.expression)) or (right.infinite and not _is_fixed(node.this))
        return left.infinite if isinstance(node, exp.Mod) else left.infinite and right.infinite


_TEXTS = ("VARCHAR", "TEXT", "CHAR")


def _any_of(parts: Any) -> Odd:
    listed = list(parts)
    return Odd(infinite=any(each.infinite for each in listed), nan=any(each.nan for each in listed))


def _asked_of(condition: Any) -> Any:
    """The x of `NOT isnan(x)`, written alike on both engines or not."""
    inner = condition.unnest()
    if not isinstance(inner, exp.Not):
        return None
    inner = inner.this.unnest()
    inner = inner.this.unnest() if isinstance(inner, exp.Coalesce) else inner
    return inner.this.unnest() if isinstance(inner, exp.IsNan) else None


def _is_fixed(node: Any) -> bool:
    """Whether it is a number other than 0 that is written out: infinity times it isn't NaN."""
    node = node.unnest()
    while isinstance(node, (exp.Cast, exp.TryCast, exp.Neg)):
        node = node.this.unnest()
    return isinstance(node, exp.Literal) and not node.is_string and float(node.name) != 0


def guard_nan(query: TypedQuery, *, is_read: bool = False) -> Iterator[Guard]:
    """What gives each NaN that a query makes no sign.

    Args:
        query: a query.
        is_read: whether what it reads may be infinite or NaN.

    >>> from lakeloop.sql.guards import write_guards
    >>> query = TypedQuery("SELECT sqrt(x) AS r, x - 1 AS d FROM t", {"t": {"x": "double"}})
    >>> write_guards(query.text, guard_nan(query))
    "SELECT nanvl(sqrt(x), CAST('NaN' AS DOUBLE)) AS r, x - 1 AS d FROM t"
    """
    doubles = Doubles(query, is_read=is_read)
    for node in query.tree.find_all(exp.Neg, exp.Anonymous, exp.Max, exp.Min, *_OPERATORS, *_SUMS, *_MAKERS):
        if isinstance(node, (exp.Max, exp.Min)):
            yield from _guard_extreme(node, query.text, doubles)
            continue
        kind, span = _FLOATING.get(_result_of(node)), span_of(whole_call(node))
        if kind is not None and span is not None and doubles.makes_nan(node):
            yield Guard(span, "nanvl(", f", CAST('NaN' AS {kind}))")


def find_percentiles(query: TypedQuery, *, is_read: bool = False) -> Iterator[tuple[int, str]]:
    """Find percentiles of what may be NaN, by line: the embedded engine orders it by chance, or ends.

    Args:
        query: a query.
        is_read: whether what it reads may be infinite or NaN.
    """
    doubles = Doubles(query, is_read=is_read)
    for node in query.tree.find_all(*_PERCENTILES):
        ordered = node.expression.expressions[0].this if isinstance(node, exp.WithinGroup) else added_by(node)
        if kind_of(ordered) in _FLOATING and doubles.of(ordered).nan:
            told = "a percentile of doubles that may be NaN: the embedded engine gives any value; write it of CASE WHEN NOT isnan(x) THEN x END"
            yield line_of(node), told


def _result_of(node: Any) -> str:
    """The type of an expression; functions that the parser doesn't know are named here."""
    if isinstance(node, exp.Anonymous):
        return "DOUBLE" if node.name.lower() in _CALLED_MAKERS and any(kind_of(each) in _FLOATING for each in node.expressions) else "OTHER"
    return "DOUBLE" if isinstance(node, _MAKERS) and kind_of(node) == "UNKNOWN" else kind_of(node)


def _guard_extreme(node: Any, text: str, doubles: Doubles) -> Iterator[Guard]:
    """MAX and MIN by group, where the embedded engine forgets what came before a NaN. Over windows they are right."""
    call, operands = whole_call(node), operands_of(node)
    span, kind = span_of(call), _FLOATING.get(kind_of(node.this))
    if kind is None or not doubles.of(node.this).nan or isinstance(call, exp.Window) or not operands or span is None:
        return
    nan, after = f"CAST('NaN' AS {kind})", text[operands[0][1] : span[1]]  # the bracket, and a FILTER
    least = f"coalesce(min(CASE WHEN NOT isnan({{part}}) THEN {{part}} END{after}, {nan})"
    answer = nan if isinstance(node, exp.Max) else least
    yield Guard(span, f"CASE WHEN bool_or(isnan({{part}}){after} THEN {answer} ELSE ", " END", part=operands[0])
