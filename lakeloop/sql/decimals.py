"""How many digits the decimals of a query have, as Spark counts them, and what of that the embedded engine does otherwise.

It compares a decimal with a double in decimals of 15 digits behind the point (so `x > 0.5`, where 0.5 is a decimal), cuts a division behind four more digits
where Spark rounds, keeps digits behind the point that Spark drops beyond 38, and goes on from sums that leave 38 digits. Divisions and what may have more
than 38 digits are refused; decimals beside doubles are cast, and sums that may leave 38 digits are guarded, since most don't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from lakeloop.sql.guards import Guard
from lakeloop.sql.query import DIALECT, line_of
from lakeloop.sql.spans import operands_of, span_of
from lakeloop.sql.typed import TypedQuery, added_by, kind_of, kind_of_variable, outputs_of, values_of, whole_call

MOST_DIGITS = 38
_LEAST_BEHIND = 6
"""So many digits behind the point are kept where a result has more than 38 (Spark's `DecimalType.MINIMUM_ADJUSTED_SCALE`)."""
EXACT_DIGITS = 15
"""The embedded engine makes the nearest double of a decimal of so many digits; of one with more by way of its text only."""
SUM_DIGITS = 10
"""A sum has so many more digits than what it adds up."""
NEGATED_DIGITS = 34
"""Spark turns the sign of so many digits, and rounds the others (`java.math.MathContext.DECIMAL128`)."""
_WHOLE = {"TINYINT": 3, "SMALLINT": 5, "INT": 10, "BIGINT": 20}
_SAME = (
    exp.Paren, exp.Alias, exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Max, exp.Min, exp.First, exp.Last, exp.FirstValue, exp.LastValue,
    exp.NthValue, exp.AnyValue, exp.Abs, exp.Neg, exp.Nullif, exp.Distinct,
)  # fmt: skip
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.IntDiv, exp.SafeDivide, exp.SafeAdd, exp.SafeSubtract, exp.SafeMultiply)


class Digits(NamedTuple):
    """The digits of a decimal, and those of them behind the point."""

    all: int
    behind: int
    is_decimal: bool = True

    @property
    def before(self) -> int:
        """The digits before the point."""
        return self.all - self.behind

    def fitted(self) -> Digits:
        """What 38 digits hold of it: digits behind the point are dropped down to six."""
        if self.all <= MOST_DIGITS:
            return self
        return Digits(MOST_DIGITS, max(MOST_DIGITS - self.before, min(self.behind, _LEAST_BEHIND)))


class Decimals:
    """The digits of a query's expressions."""

    def __init__(self, query: TypedQuery) -> None:
        """Ask for the expressions of a query."""
        self._query = query
        self._known: dict[int, Digits | None] = {}

    def of(self, node: Any) -> Digits | None:
        """The digits of a decimal, or of a whole number as a decimal; None of what is neither, or can't be told."""
        if id(node) not in self._known:
            self._known[id(node)] = None  # while it is asked for
            self._known[id(node)] = self._read(node)
        return self._known[id(node)]

    def as_branch(self, node: Any) -> Digits | None:
        """The digits of an expression beside others of a CASE, where a whole number that is written out has those of its type."""
        inner = node.unnest()
        return _declared(inner.type) if isinstance(inner, exp.Literal) and inner.is_int else self.of(inner)

    def is_decimal(self, node: Any) -> bool:
        """Whether an expression is a decimal."""
        digits = self.of(node)
        return digits is not None and digits.is_decimal

    def uncut(self, node: Any) -> Digits | None:
        """The digits of arithmetic with a decimal, beyond 38 too."""
        left, right = self.of(node.this), self.of(node.expression)
        if left is None or right is None or not (left.is_decimal or right.is_decimal):
            return None
        behind, before = max(left.behind, right.behind), max(left.before, right.before)
        if isinstance(node, (exp.Mul, exp.SafeMultiply)):
            return Digits(left.all + right.all + 1, left.behind + right.behind)
        if isinstance(node, exp.Mod):
            return Digits(min(left.before, right.before) + behind, behind)
        if isinstance(node, (exp.Div, exp.SafeDivide)):
            scale = max(_LEAST_BEHIND, left.behind + right.all + 1)
            return Digits(left.before + right.behind + scale, scale)
        return Digits(before + behind + 1, behind)

    def _read(self, node: Any) -> Digits | None:
        if isinstance(node, _SAME):
            return self.of(node.this)
        if isinstance(node, exp.Literal):
            return None if node.is_string else _written(node.name)
        if isinstance(node, (exp.Cast, exp.TryCast)):
            return _declared(node.to)
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.IntDiv):
            return Digits(_WHOLE["BIGINT"], 0, is_decimal=False)
        if isinstance(node, _ARITHMETIC):
            digits = self.uncut(node)
            return digits.fitted() if digits is not None else _declared(node.type)
        if isinstance(node, exp.Sum):
            added = self.of(added_by(node))
            return None if added is None or not added.is_decimal else Digits(min(added.all + SUM_DIGITS, MOST_DIGITS), added.behind)
        if isinstance(node, exp.Subquery) and isinstance(node.unnest(), exp.Select):
            return self.of(node.unnest().selects[0])  # type: ignore[attr-defined]  # it is a SELECT
        choices = _CHOICES.get(type(node))
        if choices is not None:
            return _widest([self.as_branch(each) for each in choices(node) if each is not None and not isinstance(each.unnest(), exp.Null)])
        if isinstance(node, exp.Round):
            return self._rounded(node)
        if isinstance(node, (exp.Ceil, exp.Floor)):
            digits = self.of(node.this)
            return Digits(min(digits.before + 1, MOST_DIGITS), 0) if digits is not None and digits.is_decimal else None
        return _declared(node.type) if node.type is not None else None

    def _column(self, node: Any) -> Digits | None:
        source = self._query.source_of(node)
        below = outputs_of(source, node.name) if isinstance(source, Scope) else []
        return _widest([self.of(each) for each in below]) if below else _declared(node.type)

    def _rounded(self, node: Any) -> Digits | None:
        digits, places = self.of(node.this), node.args.get("decimals")
        if digits is None or not digits.is_decimal:
            return digits
        behind = int(places.to_py()) if places is not None and places.is_int else 0
        return Digits(min(digits.before + 1 + max(min(behind, digits.behind), 0), MOST_DIGITS), max(min(behind, digits.behind), 0))


def _written(text: str) -> Digits | None:
    """The digits of a number that is written out."""
    if "e" in text.lower():
        return None
    before, point, behind = text.partition(".")
    return Digits(max(len(before.lstrip("0")) + len(behind), 1), len(behind), is_decimal=bool(point))


def _declared(kind: Any) -> Digits | None:
    """The digits of a type."""
    name = str(kind.this.name) if kind is not None else ""
    if name in _WHOLE:
        return Digits(_WHOLE[name], 0, is_decimal=False)
    if name != "DECIMAL":
        return None
    sizes = [int(each.name) for each in kind.expressions]
    return Digits(sizes[0] if sizes else 10, sizes[1] if len(sizes) > 1 else 0)


def _widest(parts: Iterable[Digits | None]) -> Digits | None:
    """What holds some."""
    listed = list(parts)
    known = [each for each in listed if each is not None]
    if not known or len(known) < len(listed):
        return None
    behind = max(each.behind for each in known)
    return Digits(min(max(each.before for each in known) + behind, MOST_DIGITS), behind, any(each.is_decimal for each in known))


_CHOICES: Mapping[type, Callable[[Any], list[Any]]] = {
    exp.Case: values_of,
    exp.If: values_of,
    exp.Coalesce: lambda node: [node.this, *node.expressions],
    exp.Greatest: lambda node: [node.this, *node.expressions],
    exp.Least: lambda node: [node.this, *node.expressions],
    exp.Lag: lambda node: [node.this, node.args.get("default")],
    exp.Lead: lambda node: [node.this, node.args.get("default")],
}


def find_decimals(query: TypedQuery) -> Iterator[tuple[int, str]]:
    """Find arithmetic of decimals that depends on the engine, by line."""
    decimals = Decimals(query)
    for node in query.tree.find_all(*_ARITHMETIC, exp.Neg, exp.Abs):
        told = _check_sign(node, decimals) if isinstance(node, (exp.Neg, exp.Abs)) else _check_arithmetic(node, decimals)
        if told:
            yield line_of(node), told

    for operation in query.tree.find_all(exp.SetOperation):
        yield from _check_columns(operation, decimals)
    for node in query.tree.find_all(exp.In):
        inner = node.args["query"].unnest() if node.args.get("query") is not None else None
        if isinstance(inner, exp.Select) and _is_mixed([node.this, inner.selects[0].unalias()], decimals):
            yield (
                line_of(node),
                "a decimal among doubles in IN (SELECT …): the embedded engine rounds the doubles; write CAST(… AS DOUBLE) around it",
            )


def _check_columns(operation: Any, decimals: Decimals) -> Iterator[tuple[int, str]]:
    """Columns of a UNION that are decimals in one part and doubles in another."""
    sides = [side.unnest() for side in (operation.left, operation.right)]
    if any(getattr(side, "selects", None) is None for side in sides):
        return
    for left, right in zip(*(side.selects for side in sides), strict=False):
        if _is_mixed([left.unalias(), right.unalias()], decimals):
            told = f"{left.alias_or_name} is a decimal in one part of the {operation.key.upper()} and a double in another: the embedded engine rounds the doubles"
            yield line_of(operation), f"{told}; write CAST(… AS DOUBLE), or 0.5D for 0.5"


def _is_mixed(parts: Sequence[Any], decimals: Decimals) -> bool:
    return any(map(decimals.is_decimal, parts)) and any(_is_floating(each, decimals) for each in parts)


def _is_floating(node: Any, decimals: Decimals) -> bool:
    inner = node.unnest()
    kind = kind_of_variable(inner) if isinstance(inner, exp.Identifier) else kind_of(inner)
    return kind in ("FLOAT", "DOUBLE") and not decimals.is_decimal(node)


def guard_mixtures(query: TypedQuery) -> Iterator[Guard]:
    """What makes doubles of decimals that stand beside doubles where they are compared, or chosen from.

    >>> from lakeloop.sql.guards import write_guards
    >>> query = TypedQuery("SELECT coalesce(x, p) AS c FROM t WHERE x > 0.5", {"t": {"x": "double", "p": "decimal(9,2)"}})
    >>> write_guards(query.text, guard_mixtures(query))
    'SELECT coalesce(x, CAST(p AS DOUBLE)) AS c FROM t WHERE x > 0.5D'
    """
    decimals = Decimals(query)
    for node in query.tree.walk():
        for parts in _beside(node):
            of_decimals = [each for each in parts if decimals.is_decimal(each)]
            others = [each for each in parts if each not in of_decimals]
            if not of_decimals or not any(_is_floating(each, decimals) or kind_of(each.unnest()) == "UNKNOWN" for each in others):
                continue
            is_known = any(_is_floating(each, decimals) for each in others)
            is_plain = isinstance(node, _ARITHMETIC) and not any(kind_of(each.unnest()) == "FLOAT" for each in others)
            for each in of_decimals:
                place = span_of(each)
                digits = decimals.of(each)
                if (
                    place is None
                    or digits is None
                    or not (is_known or isinstance(each, exp.Literal))
                    or (is_plain and digits.all <= EXACT_DIGITS)
                ):
                    continue
                if isinstance(each, exp.Literal):
                    yield Guard(place, "", "D")
                elif digits.all > EXACT_DIGITS:
                    yield Guard(place, "CAST(CAST(", " AS STRING) AS DOUBLE)", is_operand=True)
                else:
                    yield Guard(place, "CAST(", " AS DOUBLE)", is_operand=True)
    for cast in query.tree.find_all(exp.Cast, exp.TryCast):
        digits, place = decimals.of(cast.this), span_of(cast.this)
        if digits is None or not digits.is_decimal or digits.all <= EXACT_DIGITS or isinstance(cast.this, exp.Literal):
            continue
        if cast.to.this.name == "DOUBLE" and place is not None:
            yield Guard(place, "CAST(", " AS STRING)", is_operand=True)


def _beside(node: Any) -> Iterator[list[Any]]:
    """What is compared with each other, or chosen from."""
    if isinstance(node, exp.Between):
        yield [node.this, node.args["low"], node.args["high"]]
    elif isinstance(node, exp.In):
        yield [node.this, *node.expressions]
    elif isinstance(node, (*_COMPARISONS, *_ARITHMETIC)):
        yield [node.this, node.expression]
    elif type(node) in _CHOICES and not (isinstance(node, exp.If) and node.arg_key == "ifs"):
        yield [each for each in _CHOICES[type(node)](node) if each is not None]
        if isinstance(node, exp.Case) and node.this is not None:
            yield [node.this, *[branch.this for branch in node.args["ifs"]]]


_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ)


def _check_sign(node: Any, decimals: Decimals) -> str | None:
    digits = decimals.of(node.this)
    if digits is None or not digits.is_decimal or digits.all <= NEGATED_DIGITS or isinstance(node.this.unnest(), exp.Literal):
        return None
    narrow = f"DECIMAL({NEGATED_DIGITS}, {min(digits.behind, NEGATED_DIGITS)})"
    return f"{_shown(node)}: Spark rounds it to {NEGATED_DIGITS} digits, the embedded engine doesn't; write it of CAST(… AS {narrow})"


def _check_arithmetic(node: Any, decimals: Decimals) -> str | None:
    sides = [node.this, node.expression]
    if not any(map(decimals.is_decimal, sides)) or isinstance(node, exp.IntDiv):
        return None
    is_division = isinstance(node, (exp.Div, exp.SafeDivide))
    others = [kind_of(each.unnest()) for each in sides if decimals.of(each) is None]
    if others and others[0] != "UNKNOWN":
        return None  # a double
    if is_division:
        return f"{_shown(node)} divides decimals: the embedded engine cuts digits that Spark rounds; write CAST(… AS DOUBLE) around the first of them"
    digits = decimals.uncut(node)
    if digits is None:
        return f"{_shown(node)}: can't tell the digits of one side, and the engines differ beyond {MOST_DIGITS}; write CAST(… AS DOUBLE) or CAST(… AS DECIMAL(18, 4)) around it"
    if digits.all <= MOST_DIGITS:
        return None
    return (
        f"{_shown(node)} may have {digits.all} digits: beyond {MOST_DIGITS} Spark drops some or ends with an error, the embedded engine goes on; write "
        f"CAST(… AS {_narrowed(node, decimals)}) around a side, or CAST(… AS DOUBLE)"
    )


def _narrowed(node: Any, decimals: Decimals) -> str:
    """A type for the wider side with which the result has 38 digits at most."""
    left, right = decimals.of(node.this), decimals.of(node.expression)
    assert left is not None and right is not None, "its digits were told"
    wide, other = (left, right) if left.all >= right.all else (right, left)
    if isinstance(node, (exp.Mul, exp.SafeMultiply)):
        most = max(MOST_DIGITS - 1 - other.all, wide.behind + 1)
    else:
        most = MOST_DIGITS - 1 - max(left.behind, right.behind) + wide.behind
    return f"DECIMAL({min(most, MOST_DIGITS)}, {wide.behind})"


def _shown(node: Any) -> str:
    return str(node.sql(DIALECT))


def guard_decimal_sums(query: TypedQuery) -> Iterator[Guard]:
    """What ends with an error where a sum of decimals leaves 38 digits, which the embedded engine would go on from.

    >>> from lakeloop.sql.guards import write_guards
    >>> query = TypedQuery("SELECT sum(p) AS s FROM t", {"t": {"p": "decimal(31,2)"}})
    >>> write_guards(query.text, guard_decimal_sums(query))
    "SELECT CASE WHEN sum(p) IS NULL THEN NULL WHEN abs(sum(p)) > CAST('999999999999999999999999999999999999.99' AS DECIMAL(38, 2)) OR abs(sum((p) * 1D)) >= 1.3e36D \
THEN CAST(raise_error('a sum of decimals has more than 38 digits') AS DECIMAL(38, 2)) ELSE sum(p) END AS s FROM t"
    """
    decimals = Decimals(query)
    for node in query.tree.find_all(exp.Sum):
        added, operands = decimals.of(added_by(node)), operands_of(node)
        span = span_of(whole_call(node))
        if added is None or not added.is_decimal or added.all + SUM_DIGITS <= MOST_DIGITS or span is None or not operands:
            continue
        # Up to 2**127, which is 1.7e38, the engine's own sum is exact; beyond that a sum of doubles, which is right to a part in 10**15, tells.
        before, after = query.text[span[0] : operands[0][0]], query.text[operands[0][1] : span[1]]
        kind, nines = f"DECIMAL({MOST_DIGITS}, {added.behind})", "9" * MOST_DIGITS
        most = f"{nines[added.behind :] or 0}.{nines[: added.behind]}".rstrip(".")
        is_beyond = f"abs({{again}}) > CAST('{most}' AS {kind}) OR abs({before}({{part}}) * 1D{after}) >= 1.3e{MOST_DIGITS - added.behind}D"
        error = f"CAST(raise_error('{TOO_WIDE}') AS {kind})"
        yield Guard(span, "CASE WHEN ", f" IS NULL THEN NULL WHEN {is_beyond} THEN {error} ELSE {{again}} END", part=operands[0])


TOO_WIDE = f"a sum of decimals has more than {MOST_DIGITS} digits"
"""What a guarded sum ends with."""
