"""Expressions of PySpark plans that are written otherwise, or refused, by the types that the engine tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.errors import SpecError
from lakeloop.sql.alike import write_alike
from lakeloop.sql.decimals import EXACT_DIGITS, MOST_DIGITS, NEGATED_DIGITS, SUM_DIGITS
from lakeloop.sql.query import parse_query, qualify_columns, rewrite_tables
from lakeloop.sql.refusals import find_refusals
from lakeloop.sql.typed import TypedQuery
from resources.spark.brought_zeros import brings_zeros
from resources.spark.lambdas import Lambdas
from resources.spark.numbers import guard_query, types_of, write_typed
from resources.spark.plan_types import PlanTypes, expressions_below, parts_of, relations_below

if TYPE_CHECKING:
    from pyspark.sql.types import StructField

_WHOLE = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 20}
"""Whole numbers from narrow to wide, and the digits of a decimal that holds them."""
_FLOATING = ("float", "double")
_MAKERS = frozenset(
    [
        "sqrt",
        "pow",
        "power",
        "acos",
        "asin",
        "acosh",
        "atanh",
        "sin",
        "cos",
        "tan",
        "skewness",
        "kurtosis",
        "covar_samp",
        "covar_pop",
        "regr_slope",
    ]
)
_ARITHMETIC = ("+", "-", "*")
_COMPUTED = (*_ARITHMETIC, "/", "%", "div", "try_add", "try_subtract", "try_multiply", "try_divide", "pmod", "mod")
_ODD = ("-", "*", "/", "%", "negative", "sum", "avg", "mean")
"""What makes NaN of infinity, or turns its sign."""
_AS_TEXT = ("concat", "concat_ws", "format_number", "format_string", "printf", "to_json", "||")
_PARTS = frozenset(
    [
        *(
            "array",
            "struct",
            "named_struct",
            "map",
            "collect_set",
            "collect_list",
            "array_agg",
            "array_repeat",
            "array_position",
            "array_remove",
        ),
        *("array_append", "array_prepend", "array_insert", "element_at", "try_element_at", "map_contains_key", "in"),
    ]
)
"""What compares by bits, or makes something that is compared so: -0.0 becomes 0.0 in it."""
_MIXTURES = ("nullif", "coalesce", "nvl", "ifnull", "nvl2", "greatest", "least", "array", "when", "if")
_COMPARED = (
    "==",
    "!=",
    ">",
    ">=",
    "<",
    "<=",
    "<=>",
    "in",
    "coalesce",
    "nvl",
    "ifnull",
    "greatest",
    "least",
    "when",
    "if",
    "nullif",
    "array",
)
"""What compares decimals with doubles in decimals."""
_ORDERING = ("max", "min", "array_sort", "sort_array", "array_max", "array_min")
_NESTED = ("array", "struct", "map")
_OF_NESTED = ("array<array", "array<struct")
_PERCENTILES = ("median", "percentile", "percentile_cont", "percentile_disc")
_DIVISIONS = ("/", "try_divide")
_ROUNDED = ("floor", "ceil", "ceiling")
ROUNDED = "F.floor(x * 100 + 0.5) / 100"
SQL_OF_A_FUNCTION = "SQL in a function"
Refuse = Callable[[Any, str, str], None]


class PlanNumbers:
    """Changes a plan in place.

    Attributes:
        has_guards: whether something in it ends with an error where a whole number leaves its type.
    """

    def __init__(self, types: PlanTypes, refuse: Refuse, *, has_nan: bool) -> None:
        """Ask for types; `refuse` raises, given an expression, what is wrong and what to write. `has_nan` as in `query_rows`."""
        self._types, self._refuse, self._has_nan = types, refuse, has_nan
        self._lambdas = Lambdas()
        self._written: set[str] = set()
        self._makes_nan = False
        self.has_guards = False

    def guard(self, message: Any) -> None:
        """Guard all expressions of a plan or a command, those that others stand on first."""
        for part in parts_of(message):
            self.guard(part) if part.DESCRIPTOR.full_name != "spark.connect.Expression" else None
        if message.DESCRIPTOR.name != "Relation":
            return
        (kind,) = [part for part in parts_of(message) if part.DESCRIPTOR.name != "RelationCommon"] or [None]
        relations = relations_below(kind) if kind is not None else []
        if kind is not None and kind.DESCRIPTOR.name == "SQL":
            self._guard_query(kind)
        if kind is not None and brings_zeros(kind):
            told = "arrays, maps or structures of doubles that a function brings, where -0.0 isn't 0.0"
            self._refuse(message, told, "columns of doubles, and F.array(…) of them")
        if not relations:
            return
        is_named = kind.DESCRIPTOR.name in ("Project", "Aggregate")
        if kind.DESCRIPTOR.name == "SetOperation":
            self._check_union(message, relations)
        for expression in list(expressions_below(kind)):
            before = expression.SerializeToString(deterministic=True)
            field = (
                self._types.of(expression, relations)
                if is_named and expression.WhichOneof("expr_type") not in ("alias", "unresolved_attribute")
                else None
            )
            self._guard_expression(expression, relations)
            if kind.DESCRIPTOR.name == "Sort":
                self._add_zero(expression, relations, is_order=True)
            if field is not None and expression.SerializeToString(deterministic=True) != before:
                expression.CopyFrom(_alias(expression, field.name))

    def _guard_expression(self, expression: Any, relations: Sequence[Any], *, is_windowed: bool = False) -> None:
        which = expression.WhichOneof("expr_type")
        bound = self._lambdas.bind(expression) if which == "unresolved_function" else {}
        for inner in list(_inner(expression)):
            with self._lambdas.within(bound):
                self._guard_expression(inner, relations, is_windowed=which == "window" and inner == expression.window.window_function)
        if which == "unresolved_function":
            self._guard_function(expression, relations, is_windowed=is_windowed)
        elif which == "window":
            self._guard_window(expression, relations)
        elif which == "cast":
            self._check_cast(expression, relations)
        elif which == "common_inline_user_defined_function":
            (kind,) = self._kinds([expression], relations)
            if kind.startswith(_NESTED) and any(each in kind for each in _FLOATING):
                self._refuse(
                    expression,
                    "a UDF that gives doubles in arrays, where -0.0 isn't 0.0",
                    "one that gives a text, and F.transform(F.split(…), …) of it",
                )
        elif which == "unresolved_extract_value":
            self._add_zero(expression.unresolved_extract_value.extraction, relations)  # a key of a map
        elif which == "expression_string":
            self._guard_string(expression, relations)

    def _guard_query(self, relation: Any) -> None:
        """SQL in `spark.sql`."""
        from pyspark.errors import PySparkException

        if relation.query in self._written:  # the engine hands it back as it was sent
            return
        try:
            tables = parse_query(relation.query, SQL_OF_A_FUNCTION).tables
            types = {".".join(table.parts): types_of(self._types.spark, ".".join(table.parts)) for table in tables}
        except (SpecError, PySparkException):  # no query, or of what the engine alone knows
            return
        query = self._check_text(relation.query, types)
        if query is not None:
            relation.query, sites = guard_query(self._types.spark, query.text, has_nan=self._has_nan)
            self._written.add(relation.query)
            self.has_guards |= bool(sites)

    def _guard_string(self, expression: Any, relations: Sequence[Any]) -> None:
        """SQL in `F.expr`, over the columns of what it stands on, or over its aliases."""
        string, before = expression.expression_string, "SELECT "
        for types in ({"t": self._types.columns(relations)}, {name: self._types.columns([each]) for name, each in _aliases(relations)}):
            after = f" FROM {' CROSS JOIN '.join(types)}"
            query = self._check_text(f"{before}{string.expression}{after}", types) if types else None
            if query is not None:
                guarded, sites = write_typed(query, has_nan=self._has_nan)
                string.expression = guarded.removeprefix(before).removesuffix(after)
                self.has_guards |= bool(sites)
                return
        if _computes(string.expression):
            self._refuse(expression, f"{string.expression}: the types of what it names can't be told", "it with F.col")

    def _check_text(self, text: str, types: Mapping[str, Mapping[str, str]]) -> TypedQuery | None:
        """SQL written alike for both engines; None if it has names that only a plan gives, such as aliases of its relations.

        Raises:
            SpecError: it depends on the engine.
        """
        schemas: dict[tuple[str, ...], Mapping[str, str]] = {tuple(name.split(".")): columns for name, columns in types.items()}
        try:
            query = parse_query(text, SQL_OF_A_FUNCTION)
            tree = qualify_columns(query, schemas)[0]
        except SpecError:
            return None
        for error in find_refusals(query, schemas, tree, has_nan=self._has_nan):
            raise error
        return TypedQuery(write_alike(rewrite_tables(query, {})), types)

    def _kinds(self, expressions: Sequence[Any], relations: Sequence[Any]) -> list[str]:
        asked = [self._lambdas.replace(each) for each in expressions]
        self._types.ask(asked, relations)
        return [_kind_of(self._types.of(each, relations)) for each in asked]

    def _guard_function(self, expression: Any, relations: Sequence[Any], *, is_windowed: bool) -> None:
        function = expression.unresolved_function
        name = function.function_name.lower()
        if not function.arguments:
            return
        if name in ("nvl", "ifnull"):
            function.function_name = "coalesce"  # of a number and a decimal the engine makes a double
        if name in _MIXTURES:
            self._check_mixture(expression, relations)
        if name in (*_COMPARED, *_ARITHMETIC, "/", "%"):
            self._cast_decimals(expression, relations)
        if name in ("when", "if"):
            self._guard_branches(expression, relations)
            return
        if name in _PARTS or (name == "count" and function.is_distinct):
            for argument in function.arguments:
                self._add_zero(argument, relations, is_named=name == "struct")
            return
        wanted = (
            *_COMPUTED,
            "sum",
            "avg",
            "mean",
            "max",
            "min",
            "negative",
            "abs",
            "isnan",
            "nullif",
            "nullifzero",
            *_PERCENTILES,
            *_ORDERING,
            *_AS_TEXT,
            *_MAKERS,
        )
        if name not in wanted:
            return
        kinds = self._kinds(function.arguments, relations)
        is_floating, is_whole = any(kind in _FLOATING for kind in kinds), all(kind in _WHOLE for kind in kinds)
        self._check_kinds(expression, name, kinds)
        if name in ("max", "min") and kinds[0] in _FLOATING and not is_windowed:
            expression.CopyFrom(_extreme(name, function.arguments[0], kinds[0]))
        elif name == "isnan":
            expression.CopyFrom(_function("coalesce", expression, _literal(boolean=False)))
        elif name in ("nullif", "nullifzero") and is_floating:
            self._refuse(expression, f"{name} of a double", "F.when(a != b, a)")
        elif is_whole and (name == "sum" or (name in _ARITHMETIC and len(kinds) == 2)):
            self._widen(expression, "bigint" if name == "sum" else max(kinds, key=list(_WHOLE).index))
        elif name in _MAKERS or (is_floating and (name in _ODD or (name == "+" and self._has_nan))):
            kind = "float" if set(kinds) == {"float"} and name not in ("sum", "avg", "mean", *_MAKERS) else "double"
            expression.CopyFrom(_function("nanvl", expression, _cast(_literal(string="NaN"), kind)))

    def _check_kinds(self, expression: Any, name: str, kinds: Sequence[str]) -> None:
        """Refuse what depends on the engine by the types of its arguments."""
        if name in _AS_TEXT and any("double" in kind or "float" in kind for kind in kinds):
            self._refuse(expression, f"{name} of a double", f"{ROUNDED}, cast to a decimal and then to a string")
        if name in ("avg", "mean") and kinds[0].startswith("decimal"):
            self._refuse(expression, f"{name} of decimals", "F.avg(p.cast('double'))")
        if name in ("+", "-") and len(kinds) == 2 and kinds[0] == "date":
            self._check_date(expression, kinds[1])
        if name in _COMPUTED and "string" in kinds and all(kind == "string" or _is_number(kind) for kind in kinds):
            self._refuse(expression, f"{name} with a text", "it with s.cast('long') or s.cast('double')")
        self._makes_nan |= name in _MAKERS
        if name in _ORDERING and kinds[0].startswith(_NESTED if name in ("max", "min") else _OF_NESTED):
            self._refuse(
                expression,
                f"{name} of arrays or structures, in which the engines order nulls otherwise",
                "it of their fields, or F.row_number()",
            )
        if name in _PERCENTILES and kinds[0] in _FLOATING and (self._has_nan or self._makes_nan):
            self._refuse(
                expression, f"{name} of doubles that may be NaN", "it of F.when(~F.isnan(x), x).cast('decimal(38,9)'), or as a view in SQL"
            )
        if name in _PERCENTILES and kinds[0] == "string":
            self._refuse(expression, f"{name} of texts", f"F.{name} of s.cast('double')")
        if any(kind.startswith("decimal") for kind in kinds) and not any(kind in _FLOATING for kind in kinds):
            told = _tell_of_decimals(name, kinds)
            if told is not None:
                self._refuse(expression, *told)

    def _check_mixture(self, expression: Any, relations: Sequence[Any]) -> None:
        arguments = list(expression.unresolved_function.arguments)
        name = expression.unresolved_function.function_name.lower()
        if name in ("when", "if"):
            arguments = [*arguments[1::2], *(arguments[-1:] if len(arguments) % 2 else ())]
        kinds = self._kinds(arguments, relations)
        nested = {kind for kind in kinds if kind.startswith(_NESTED)}
        if nested and name in ("greatest", "least"):
            self._refuse(
                expression, f"{name} of arrays or structures, in which the engines order nulls otherwise", "F.when on their fields"
            )
        if len({families for kind in nested for families in [_families(kind)] if families}) > 1:
            self._refuse(
                expression,
                f"{name} of {' and '.join(sorted(nested))}, whose values the embedded engine changes",
                "it with a.cast('array<double>')",
            )
        if "string" in kinds and any(map(_is_number, kinds)):
            self._refuse(
                expression, f"{name} of texts and numbers, of which the engines take either", "it with s.cast('long') or n.cast('string')"
            )

    def _cast_decimals(self, expression: Any, relations: Sequence[Any]) -> None:
        """Make doubles of decimals that stand beside doubles."""
        arguments = list(expression.unresolved_function.arguments)
        if expression.unresolved_function.function_name.lower() in ("when", "if"):
            arguments = [*arguments[1::2], *(arguments[-1:] if len(arguments) % 2 else ())]
        kinds = self._kinds(arguments, relations)
        if any(kind in _FLOATING for kind in kinds):
            for argument, kind in zip(arguments, kinds, strict=True):
                if kind.startswith("decimal"):
                    argument.CopyFrom(_cast(_cast(argument, "string") if _size(kind)[0] > EXACT_DIGITS else argument, "double"))

    def _check_union(self, relation: Any, relations: Sequence[Any]) -> None:
        operation = relation.set_op
        if len(relations) < 2:
            return
        left, right = (self._types.columns([each]) for each in relations[:2])
        pairs = (
            [(name, kind, right.get(name, "")) for name, kind in left.items()]
            if operation.by_name
            else [(name, kind, other) for (name, kind), other in zip(left.items(), right.values(), strict=False)]
        )
        for name, *kinds in pairs:
            if any(kind in _FLOATING for kind in kinds) and any(kind.startswith("decimal") for kind in kinds):
                self._refuse(relation, f"{name} is a decimal in one part of a union and a double in another", "a cast to double before it")
            if "string" in kinds and any(map(_is_number, kinds)):
                self._refuse(relation, f"{name} is a text in one part of a union and a number in another", "a cast before it")

    def _add_zero(self, expression: Any, relations: Sequence[Any], *, is_named: bool = False, is_order: bool = False) -> None:
        """Make 0.0 of -0.0; `is_named` says whether the expression's name is to stay."""
        if expression.WhichOneof("expr_type") == "alias":
            self._add_zero(expression.alias.expr, relations)
            return
        if expression.WhichOneof("expr_type") == "sort_order":
            self._add_zero(expression.sort_order.child, relations, is_order=True)
            return
        (kind,) = self._kinds([expression], relations)
        if is_order and kind.startswith(_NESTED):
            self._refuse(
                expression, "an order by arrays or structures, in which the engines order nulls otherwise", "their fields one by one"
            )
        if kind not in _FLOATING:
            return
        is_column = expression.WhichOneof("expr_type") == "unresolved_attribute"
        name = expression.unresolved_attribute.unparsed_identifier.rpartition(".")[2].strip("`")
        expression.CopyFrom(_function("+", expression, _cast(_literal(double=0.0), kind)))
        if is_named and is_column:
            expression.CopyFrom(_alias(expression, name))

    def _guard_branches(self, expression: Any, relations: Sequence[Any]) -> None:
        """F.when over branches of different types, of which the engine takes the first for that of all."""
        arguments = list(expression.unresolved_function.arguments)
        values = [*arguments[1::2], *(arguments[-1:] if len(arguments) % 2 else ())]
        kinds = [kind for kind in self._kinds(values, relations) if kind != "void"]
        common = _common(kinds)
        if common is not None and kinds[0] != common:
            expression.CopyFrom(_cast(expression, common))

    def _widen(self, expression: Any, kind: str) -> None:
        """Compute in decimals, and cast back with an error. The engine would drop a cast that it sees in a comparison."""
        self.has_guards = True
        for argument in expression.unresolved_function.arguments:
            argument.CopyFrom(_cast(argument, "decimal(38,0)"))
        expression.CopyFrom(_function("coalesce", _cast(expression, kind), _literal(null=True)))

    def _guard_window(self, expression: Any, relations: Sequence[Any]) -> None:
        """A window's function was guarded as another; its guard goes around the window."""
        window = expression.window
        for order in window.order_spec:
            self._add_zero(order.child, relations, is_order=True)
        keys = window.partition_spec
        for key, kind in zip(keys, self._kinds(keys, relations), strict=True) if keys else ():
            if kind in _FLOATING:
                key.CopyFrom(_function("+", key, _cast(_literal(double=0.0), kind)))
        wrapper = window.window_function
        while wrapper.WhichOneof("expr_type") == "unresolved_function" and wrapper.unresolved_function.function_name in (
            "coalesce",
            "nanvl",
        ):
            wrapper = wrapper.unresolved_function.arguments[0]
        wrapper = wrapper.cast.expr if wrapper.WhichOneof("expr_type") == "cast" else wrapper
        if wrapper is window.window_function:
            return
        outside, inside = type(expression)(), type(expression)()
        inside.CopyFrom(expression)
        inside.window.window_function.CopyFrom(wrapper)
        wrapper.CopyFrom(inside)
        outside.CopyFrom(window.window_function)
        expression.CopyFrom(outside)

    def _check_cast(self, expression: Any, relations: Sequence[Any]) -> None:
        (kind,), target = self._kinds([expression.cast.expr], relations), _target(expression.cast)
        if target == "double" and kind.startswith("decimal") and _size(kind)[0] > EXACT_DIGITS:
            expression.cast.expr.CopyFrom(_cast(expression.cast.expr, "string"))
        if target == "string" and (kind in _FLOATING or kind.startswith(("array", "map", "struct"))):
            self._refuse(
                expression, f"{kind.partition('<')[0]} as text", f"{ROUNDED}, cast to a decimal and then to a string; F.to_json of others"
            )
        if target.startswith("decimal") and kind in _FLOATING and not _is_rounded(expression.cast.expr):
            self._refuse(expression, "a double as a decimal", f"({ROUNDED}).cast('{target}')")
        if target.startswith("decimal") and kind == "string" and expression.cast.eval_mode == expression.cast.EVAL_MODE_TRY:
            self._refuse(expression, "try_cast of text as a decimal", "s.cast('decimal(20,2)'), or s.try_cast('double')")
        if target in _WHOLE and kind.startswith("timestamp"):
            self._refuse(expression, "a time as a number", "F.floor(F.unix_micros(t) / 1000000)")

    def _check_date(self, expression: Any, other: str) -> None:
        name = expression.unresolved_function.function_name
        if other == "date":
            self._refuse(expression, "the difference of dates", "F.datediff(a, b)")
        if other.startswith("interval") and any(unit in other for unit in ("hour", "minute", "second")):
            self._refuse(expression, f"a date {name} a part of a day", "d.cast('timestamp') + F.expr('INTERVAL 5 HOURS')")


def _families(kind: str) -> frozenset[str]:
    """Which kinds of numbers a nested type holds."""
    names = set(re.findall(r"[a-z]+", kind))
    families = {"decimal": {"decimal"}, "floating": set(_FLOATING), "whole": set(_WHOLE)}
    return frozenset(family for family, members in families.items() if names & members)


def _is_number(kind: str) -> bool:
    return kind in _WHOLE or kind in _FLOATING or kind.startswith("decimal")


def _size(kind: str) -> tuple[int, int]:
    """The digits of a decimal or a whole number, and those behind the point."""
    if kind in _WHOLE:
        return _WHOLE[kind], 0
    digits, _, behind = kind[8:-1].partition(",")
    return int(digits), int(behind)


def _tell_of_decimals(name: str, kinds: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with arithmetic of decimals, and what to write; None where the engines agree."""
    if name in _DIVISIONS:
        return "a division of decimals", "it of p.cast('double')"
    if not all(map(_is_number, kinds)):
        return None
    sizes = [_size(kind) for kind in kinds]
    if name == "sum" and sizes[0][0] > MOST_DIGITS - SUM_DIGITS:
        return (
            f"a sum of decimals of more than {MOST_DIGITS - SUM_DIGITS} digits",
            f"F.sum(p.cast('decimal({MOST_DIGITS - SUM_DIGITS},{sizes[0][1]})'))",
        )
    if name in ("negative", "abs") and sizes[0][0] > NEGATED_DIGITS:
        return f"{name} of a decimal of more than {NEGATED_DIGITS} digits", f"it of p.cast('decimal({NEGATED_DIGITS},{sizes[0][1]})')"
    if len(sizes) != 2 or name not in ("+", "-", "*", "try_add", "try_subtract", "try_multiply"):
        return None
    (left, behind_left), (right, behind_right) = sizes
    behind = max(behind_left, behind_right)
    digits = left + right + 1 if name.endswith(("*", "multiply")) else max(left - behind_left, right - behind_right) + behind + 1
    return (
        (f"{name} of decimals that may have {digits} digits", "it of p.cast('decimal(18,4)') or of a double")
        if digits > MOST_DIGITS
        else None
    )


def _aliases(relations: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """The relations that have a name in a plan."""
    for relation in relations:
        if relation.WhichOneof("rel_type") == "subquery_alias":
            yield relation.subquery_alias.alias, relation
        else:
            yield from _aliases([each for part in parts_of(relation) for each in relations_below(part)])


def _computes(text: str) -> bool:
    """Whether SQL has what depends on types."""
    import sqlglot
    from sqlglot import exp

    try:
        tree = sqlglot.parse_one(text, read="spark")
    except sqlglot.errors.SqlglotError:
        return False
    return tree.find(exp.Binary, exp.Func, exp.Window, exp.Cast, exp.TryCast, exp.Neg) is not None and tree.find(exp.Column) is not None


def _extreme(name: str, argument: Any, kind: str) -> Any:
    """MAX or MIN by group of what may be NaN: by itself the engine forgets what came before one."""
    is_nan, nan = _function("isnan", argument), _cast(_literal(string="NaN"), kind)
    if name == "max":
        answer = nan
    else:
        answer = _function("coalesce", _function("min", _function("when", _function("not", is_nan), argument)), nan)
    return _function("when", _function("bool_or", is_nan), answer, _function(name, argument))


def _common(kinds: Sequence[str]) -> str | None:
    """The type of numbers that holds some others, as in Spark; None of others."""
    if not kinds or not all(kind in _WHOLE or kind in _FLOATING or kind.startswith("decimal") for kind in kinds):
        return None
    if set(kinds) & set(_FLOATING):
        return "float" if set(kinds) == {"float"} else "double"
    if set(kinds) <= set(_WHOLE):
        return max(kinds, key=list(_WHOLE).index)
    sizes = [(_WHOLE[kind], 0) if kind in _WHOLE else tuple(map(int, kind[8:-1].split(","))) for kind in kinds]
    scale = max(behind for _, behind in sizes)
    precision = max(digits - behind for digits, behind in sizes) + scale
    return f"decimal({precision},{scale})" if precision <= 38 else None


def _inner(expression: Any) -> list[Any]:
    """The expressions that one is made of."""
    return list(expressions_below(expression))


def _kind_of(field: StructField | None) -> str:
    return "" if field is None else field.dataType.simpleString()


def _target(cast: Any) -> str:
    if cast.WhichOneof("cast_to_type") == "type_str":
        return str(cast.type_str).lower().replace("integer", "int").replace("long", "bigint").replace(" ", "")
    kind = str(cast.type.WhichOneof("kind"))
    return {"integer": "int", "long": "bigint", "short": "smallint", "byte": "tinyint"}.get(kind, kind)


def _is_rounded(expression: Any) -> bool:
    function = expression.unresolved_function if expression.WhichOneof("expr_type") == "unresolved_function" else None
    if function is not None and function.function_name == "nanvl":
        return _is_rounded(function.arguments[0])
    if function is not None and function.function_name == "/":
        return _is_rounded(function.arguments[0])
    return function is not None and function.function_name.lower() in _ROUNDED


def _function(name: str, *arguments: Any) -> Any:
    from pyspark.sql.connect.proto import expressions_pb2

    call = expressions_pb2.Expression.UnresolvedFunction(function_name=name, arguments=arguments)
    made = expressions_pb2.Expression(unresolved_function=call)
    if arguments[0].HasField("common"):
        made.common.CopyFrom(arguments[0].common)
    return made


def _cast(expression: Any, kind: str) -> Any:
    from pyspark.sql.connect.proto import expressions_pb2

    return expressions_pb2.Expression(cast=expressions_pb2.Expression.Cast(expr=expression, type_str=kind))


def _alias(expression: Any, name: str) -> Any:
    from pyspark.sql.connect.proto import expressions_pb2

    return expressions_pb2.Expression(alias=expressions_pb2.Expression.Alias(expr=expression, name=[name]))


def _literal(*, null: bool = False, **value: Any) -> Any:
    from pyspark.sql.connect.proto import expressions_pb2, types_pb2

    kind = expressions_pb2.Expression.Literal
    return expressions_pb2.Expression(literal=kind(null=types_pb2.DataType(null=types_pb2.DataType.NULL())) if null else kind(**value))
