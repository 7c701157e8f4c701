"""Between which bounds the whole numbers of a query lie, from the columns of its tables through its expressions.

`lakeloop.sql.overflow` asks it which sums and products can leave their type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from lakeloop.sql import intervals
from lakeloop.sql.intervals import OTHER, UNKNOWN, Interval, Numbers, all_of, hull
from lakeloop.sql.spans import Span, span_of
from lakeloop.sql.typed import TypedQuery, added_by, kind_of, outputs_of

MOST_ROWS = 2**36
"""More rows than the embedded engine goes through in a day: of what can't be counted, such as `explode`."""
BITS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "BIGINT": 64}
Column = tuple[str, str]
"""A table and a column."""
_MULTIPLYING = (
    exp.UDTF, exp.Explode, exp.ExplodeOuter, exp.Posexplode, exp.Inline, exp.Anonymous, exp.Cube, exp.Rollup, exp.GroupingSets, exp.Pivot,
)  # fmt: skip
"""What may make several rows of one; functions that the parser doesn't know are judged by their name."""
_ROWS_OF_NAMES = frozenset(["stack", "json_tuple", "explode_outer", "posexplode_outer", "inline_outer", "range", "variant_explode"])


@dataclass(frozen=True)
class Bounds:
    """What is known of the tables that a query reads.

    Attributes:
        columns: the least and the greatest value of columns of whole numbers, and of dates and times in microseconds since 1970.
        rows: how many rows tables have.
        told: what the engine said of expressions whose type can't be told, by where they stand.
    """

    columns: Mapping[Column, tuple[int, int]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    told: Mapping[Span, Numbers] = field(default_factory=dict)


class WholeNumbers:
    """The intervals of a query's expressions.

    Attributes:
        used: the columns of tables that were asked for.
    """

    def __init__(self, query: TypedQuery, bounds: Bounds) -> None:
        """Ask for the expressions of a query over tables of which something is known."""
        self.used: set[Column] = set()
        self.bounds = bounds
        self._query = query
        self._numbers: dict[int, Numbers] = {}
        self._rows: dict[int, int] = {}

    def of(self, node: Any) -> Numbers:
        """The interval of an expression; `OTHER` if it isn't a whole number, `UNKNOWN` if its type can't be told."""
        if id(node) not in self._numbers:
            self._numbers[id(node)] = UNKNOWN  # while it is asked for
            numbers = self._read(node)
            place = span_of(node)
            self._numbers[id(node)] = self.bounds.told.get(place, numbers) if numbers == UNKNOWN and place else numbers
        return self._numbers[id(node)]

    def uncut(self, node: Any) -> Numbers:
        """The interval of a sum, difference or product, beyond its type too."""
        if isinstance(node, exp.Sum):
            return intervals.total(self.of(added_by(node)), self.rows_at(node))
        left, right = self.of(node.this), self.of(node.expression)
        if OTHER in (left, right):
            return OTHER
        if not (isinstance(left, Interval) and isinstance(right, Interval)):
            return UNKNOWN
        return _ARITHMETIC[type(node)](left, right)

    def rows_at(self, node: Any) -> int:
        """The most rows that are there where an expression stands."""
        return self._rows_of(self._query.scope_of(node))

    def _rows_of(self, scope: Scope | None) -> int:
        if scope is None:
            return MOST_ROWS
        if id(scope) not in self._rows:
            self._rows[id(scope)] = MOST_ROWS  # while it is asked for
            self._rows[id(scope)] = min(self._count(scope), MOST_ROWS)
        return self._rows[id(scope)]

    def _count(self, scope: Scope) -> int:
        tree = scope.expression
        if isinstance(tree, exp.SetOperation):
            return sum(self._rows_of(each) for each in scope.set_operation_scopes)
        if not isinstance(tree, exp.Select) or any(
            not isinstance(node, exp.Anonymous) or node.name.lower() in _ROWS_OF_NAMES for node in tree.find_all(*_MULTIPLYING)
        ):
            return MOST_ROWS
        count = 1
        for _, source in scope.selected_sources.values():
            # A join keeps rows without a partner.
            count *= 1 + (self._rows_of(source) if isinstance(source, Scope) else self.bounds.rows.get(source.name, MOST_ROWS))
        return count

    def _read(self, node: Any) -> Numbers:
        read = _READERS.get(type(node))
        if read is not None:
            return read(self, node)
        return self._call(node) if isinstance(node, exp.Anonymous) else by_type(node)

    def _call(self, node: Any) -> Numbers:
        """A function that the parser doesn't know."""
        name, arguments = node.name.lower(), [self.of(each) for each in node.expressions]
        if name in _CALLS:
            return _CALLS[name]
        if name in ("positive", "bround", "nullifzero") and arguments:
            return arguments[0]
        if name == "zeroifnull" and arguments:
            return hull([arguments[0], Interval(0, 0, 8)])
        if name == "pmod" and len(arguments) == 2:
            return intervals.positive_remainder(*arguments)
        if name == "get" and arguments:
            return _element(node.expressions[0])
        if name in ("date_part", "datepart") and node.expressions and node.expressions[0].is_string:
            return OTHER if node.expressions[0].name.upper().startswith("S") else all_of(32)
        if name.upper() in BITS and len(arguments) == 1:
            return intervals.cast(arguments[0], BITS[name.upper()])
        if name == "try_sum" and arguments:
            return all_of(64) if isinstance(arguments[0], Interval) else arguments[0]
        return by_type(node)

    def _column(self, node: Any) -> Numbers:
        source, numbers = self._query.source_of(node), by_type(node)
        if isinstance(source, Scope) and isinstance(source.expression, exp.UDTF):
            return _generated(source.expression)
        if isinstance(source, exp.Table):
            known = self._known(source, node) if isinstance(numbers, Interval) else None
            return numbers.within(*known) if known is not None and isinstance(numbers, Interval) else numbers
        below = outputs_of(source, node.name) if isinstance(source, Scope) and numbers != OTHER else []
        return hull(map(self.of, below)) if below else numbers

    def _known(self, source: Any, node: Any) -> tuple[int, int] | None:
        self.used.add((source.name, node.name))
        return self.bounds.columns.get((source.name, node.name))

    def _microseconds(self, node: Any) -> Numbers:
        """UNIX_MICROS."""
        moments = self._moments(node.this)
        return all_of(64) if moments is None else all_of(64).within(*moments)

    def _days(self, node: Any) -> Numbers:
        """UNIX_DATE."""
        moments = self._moments(node.this)
        return all_of(32) if moments is None else all_of(32).within(*[each // DAY_US for each in moments])

    def _days_between(self, node: Any) -> Numbers:
        """DATEDIFF of days."""
        sides = self._moments(node.this), self._moments(node.expression)
        if sides[0] is None or sides[1] is None or node.args.get("unit") is not None:
            return all_of(32)
        low, high = sides[0][0] - sides[1][1], sides[0][1] - sides[1][0]
        return all_of(32).within(low // DAY_US - 1, high // DAY_US + 1)

    def _moments(self, node: Any) -> tuple[int, int] | None:
        """The bounds of dates or times that were read, or that are written out, in microseconds."""
        moment = node.unnest().unalias()
        while not isinstance(moment, exp.Column):
            if not isinstance(moment, (exp.Cast, exp.TryCast, exp.TsOrDsToDate)):
                return _read_moment(moment)
            moment = moment.this.unnest()
        source = self._query.source_of(moment)
        if isinstance(source, exp.Table):
            return self._known(source, moment) if kind_of(moment) in _MOMENTS else None
        below = outputs_of(source, moment.name) if isinstance(source, Scope) else []
        return self._moments(below[0]) if len(below) == 1 else None

    def _identifier(self, node: Any) -> Numbers:
        """A name within a lambda: an element of the array that its function is about, or the value that is carried on."""
        scope = node.find_ancestor(exp.Lambda)
        names = [each.name.lower() for each in scope.expressions] if scope is not None else []
        if node.name.lower() not in names:
            return UNKNOWN
        function, place = scope.parent, names.index(node.name.lower())
        if isinstance(function, exp.Reduce) and place == 0:
            numbers = self.of(function.args["initial"])
            return all_of(numbers.bits) if isinstance(numbers, Interval) else numbers
        is_place = place == 1 and isinstance(function, (exp.Transform, exp.ArrayFilter))
        return Interval(0, 2**31 - 1, 32) if is_place else _element(function.this)

    def _branches(self, node: Any) -> Numbers:
        """What any of its arguments may give."""
        return hull(self.of(each) for each in [node.this, *node.expressions] if each is not None)

    def _case(self, node: Any) -> Numbers:
        values = [branch.args["true"] for branch in node.args["ifs"]]
        return hull(self.of(each) for each in [*values, node.args.get("default")] if each is not None)

    def _if(self, node: Any) -> Numbers:
        return hull(self.of(each) for each in (node.args.get("true"), node.args.get("false")) if each is not None)

    def _same(self, node: Any) -> Numbers:
        return self.of(node.this)

    def _arithmetic(self, node: Any) -> Numbers:
        numbers = self.uncut(node)
        return numbers.cut() if isinstance(numbers, Interval) else numbers

    def _cast(self, node: Any) -> Numbers:
        bits = BITS.get(node.to.this.name)
        if bits is not None and kind_of(node.this) == "BOOLEAN":
            return Interval(0, 1, bits)
        return OTHER if bits is None else intervals.cast(self.of(node.this), bits)

    def _counted(self, node: Any) -> Numbers:
        return Interval(0, self.rows_at(node), 64)

    def _shifted(self, node: Any) -> Numbers:
        """LAG and LEAD."""
        return hull(self.of(each) for each in (node.this, node.args.get("default")) if each is not None)

    def _rounded(self, node: Any) -> Numbers:
        """ROUND to tens may leave what it rounds."""
        numbers = self.of(node.this)
        return all_of(numbers.bits) if isinstance(numbers, Interval) and node.args.get("decimals") is not None else numbers

    def _ceiling(self, node: Any) -> Numbers:
        inner = node.this.unnest()
        numbers = self.of(inner)
        if isinstance(numbers, Interval) or kind_of(inner) == "DECIMAL" or node.args.get("decimals") is not None:
            return numbers if isinstance(numbers, Interval) else OTHER
        if isinstance(inner, exp.Div):
            left, right = self.of(inner.this), self.of(inner.expression)
            if isinstance(left, Interval) and isinstance(right, Interval) and right.low > 0:
                return intervals.rounded_quotient(left, right)
        return all_of(64)

    def _element_of(self, node: Any) -> Numbers:
        numbers = by_type(node)
        return numbers if numbers != UNKNOWN else _element(node.this)

    def _subquery(self, node: Any) -> Numbers:
        """A subquery that is one value."""
        inner = node.unnest()
        return self.of(inner.selects[0]) if isinstance(inner, exp.Select) and len(inner.selects) == 1 else by_type(node)


def by_type(node: Any) -> Numbers:
    """All numbers of an expression's type."""
    return _of_kind(kind_of(node))


def _of_kind(kind: str) -> Numbers:
    return all_of(BITS[kind]) if kind in BITS else UNKNOWN if kind == "UNKNOWN" else OTHER


def _read_moment(node: Any) -> tuple[int, int] | None:
    """A date or a time that is written out, give or take a day."""
    try:
        days = datetime.fromisoformat(node.name).toordinal() - datetime(1970, 1, 1).toordinal()
    except ValueError:
        return None
    return (days - 1) * DAY_US, (days + 2) * DAY_US


def _generated(table: Any) -> Numbers:
    """The only column of `LATERAL VIEW explode(…)`."""
    return by_type(table.this) if isinstance(table.this, exp.Explode) and len(table.alias_column_names) == 1 else UNKNOWN


def _element(node: Any) -> Numbers:
    """An element of an array, or a value of a map."""
    kind = getattr(node, "type", None)
    inner = [each for each in kind.expressions if isinstance(each, exp.DataType)] if kind is not None else []
    return _of_kind(str(inner[-1].this.name)) if inner else UNKNOWN


def _literal(self: WholeNumbers, node: Any) -> Numbers:
    if node.is_string or not node.name.isdigit() or int(node.name) >= 2**63:
        return OTHER
    value = int(node.name)
    return Interval(value, value, 32 if value < 2**31 else 64)


def _of_both(function: Callable[[Numbers, Numbers], Numbers]) -> Callable[[WholeNumbers, Any], Numbers]:
    return lambda numbers, node: function(numbers.of(node.this), numbers.of(node.expression))


def _of_one(function: Callable[[Numbers], Numbers]) -> Callable[[WholeNumbers, Any], Numbers]:
    return lambda numbers, node: function(numbers.of(node.this))


def _always(low: int, high: int, bits: int = 32) -> Callable[[WholeNumbers, Any], Numbers]:
    return lambda numbers, node: Interval(low, high, bits)


_ARITHMETIC: Mapping[type, Callable[[Interval, Interval], Interval]] = {
    exp.Add: intervals.add,
    exp.Sub: intervals.subtract,
    exp.Mul: intervals.multiply,
}
DAY_US = 86_400_000_000
_MOMENTS = ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPLTZ", "TIMESTAMPNTZ")
_COUNTS = _always(-1, 2**31 - 1)
_SAME = (
    exp.Paren, exp.Alias, exp.Window, exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Max, exp.Min, exp.First, exp.Last, exp.FirstValue,
    exp.LastValue, exp.NthValue, exp.AnyValue, exp.Mode, exp.ArgMax, exp.ArgMin, exp.Nullif, exp.Distinct,
)  # fmt: skip
_READERS: Mapping[type, Callable[[Any, Any], Numbers]] = {
    **dict.fromkeys(_SAME, WholeNumbers._same),
    **dict.fromkeys([exp.Add, exp.Sub, exp.Mul, exp.Sum], WholeNumbers._arithmetic),
    **dict.fromkeys([exp.Coalesce, exp.Greatest, exp.Least, exp.Elt], WholeNumbers._branches),
    **dict.fromkeys([exp.Cast, exp.TryCast], WholeNumbers._cast),
    **dict.fromkeys([exp.Count, exp.CountIf, exp.RegrCount, exp.ApproxDistinct], WholeNumbers._counted),
    **dict.fromkeys([exp.Lag, exp.Lead], WholeNumbers._shifted),
    **dict.fromkeys([exp.Ceil, exp.Floor], WholeNumbers._ceiling),
    **dict.fromkeys([exp.Bracket, exp.ArrayMax, exp.ArrayMin], WholeNumbers._element_of),
    **dict.fromkeys([exp.If, exp.Nvl2], WholeNumbers._if),
    **dict.fromkeys([exp.Neg, exp.Negative], _of_one(intervals.negate)),
    **dict.fromkeys([exp.Day, exp.DayOfMonth], _always(1, 31)),
    **dict.fromkeys([exp.Minute, exp.Second], _always(0, 59)),
    **dict.fromkeys([exp.UnixSeconds, exp.StrToUnix], _always(-(1 << 44), 1 << 44, 64)),  # 63 bits of microseconds
    **dict.fromkeys([exp.Length, exp.StrPosition, exp.ArraySize, exp.Levenshtein, exp.RegexpCount, exp.RegexpInstr], _COUNTS),
    **dict.fromkeys([exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile], _COUNTS),
    exp.Column: WholeNumbers._column,
    exp.Identifier: WholeNumbers._identifier,
    exp.Literal: _literal,
    exp.Null: _always(0, 0, 8),
    exp.Case: WholeNumbers._case,
    exp.Round: WholeNumbers._rounded,
    exp.Subquery: WholeNumbers._subquery,
    exp.UnixMicros: WholeNumbers._microseconds,
    exp.IntDiv: _of_both(intervals.quotient),
    exp.Mod: _of_both(intervals.remainder),
    exp.BitwiseAnd: _of_both(intervals.common_bits),
    exp.Abs: _of_one(intervals.absolute),
    exp.Year: _always(-5_900_000, 5_900_000),  # as far as 32 bits of days reach
    exp.Month: _always(1, 12),
    exp.Quarter: _always(1, 4),
    exp.WeekOfYear: _always(1, 53),
    exp.DayOfWeek: _always(1, 7),
    exp.DayOfYear: _always(1, 366),
    exp.Hour: _always(0, 23),
    exp.UnixDate: WholeNumbers._days,
    exp.DateDiff: WholeNumbers._days_between,
    exp.TimestampDiff: _always(-(1 << 63), (1 << 63) - 1, 64),
    exp.ArrayPosition: _always(0, 2**31 - 1, 64),
    exp.BitwiseCount: _always(0, 64),
    exp.Ascii: _always(0, 2**21),
    exp.WidthBucket: _always(0, 2**63 - 1, 64),
    exp.GroupingId: _always(0, 2**63 - 1, 64),
}
"""How the interval of an expression is read; of any other it is that of its type."""
_CALLS: Mapping[str, Numbers] = {
    "weekday": Interval(0, 6, 32),
    **dict.fromkeys(["cardinality", "octet_length", "find_in_set", "json_array_length", "spark_partition_id"], Interval(-1, 2**31 - 1, 32)),
    "hash": all_of(32),
    "xxhash64": all_of(64),
    "crc32": Interval(0, 2**32 - 1, 64),
    "monotonically_increasing_id": Interval(0, 2**63 - 1, 64),
    **dict.fromkeys(["make_date", "make_timestamp", "make_interval", "make_dt_interval", "make_ym_interval", "conv", "now"], OTHER),
}
