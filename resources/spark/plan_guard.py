"""What a view's PySpark function has the embedded engine compute otherwise than Spark: refused as the plan is sent, by the function's file and line.

Queries of views are checked and rewritten before (`resources.spark.windows`). What a function builds is seen here alone: DataFrames, SQL in strings,
views that it makes, rows that it fetches on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, SpecError
from lakeloop.sql.decimals import TOO_WIDE
from lakeloop.sql.moving_windows import splits
from lakeloop.sql.window_calls import EXACT, LISTS, SPREADS
from resources.spark.numbers import is_out_of_range
from resources.spark.plan_numbers import PlanNumbers
from resources.spark.plan_types import PlanTypes
from resources.spark.tables import embedded_sessions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_guarding: ContextVar[PlanNumbers | bool] = ContextVar("guarding", default=False)
"""What guards the plans that are sent; True where only what needs no types is looked at."""
_ALWAYS = {
    "weekday": "F.pmod(F.dayofweek(d) + 5, F.lit(7))",
    "unix_seconds": "F.floor(F.unix_micros(t) / 1000000)",
    "unix_millis": "F.floor(F.unix_micros(t) / 1000)",
    "rint": "F.bround(x)",
    "initcap": "F.concat(F.upper(F.left(s, F.lit(1))), F.lower(F.substring(s, 2, 1000)))",
    "mode": "a count by value and F.row_number() over it",
    "max_by": "F.row_number() by time and a unique column, and the first row",
    "min_by": "F.row_number() by time and a unique column, and the first row",
    "percentile_approx": "F.percentile(x, 0.5)",
    "approx_percentile": "F.percentile(x, 0.5)",
    "approx_count_distinct": "F.count_distinct(x)",
    "histogram_numeric": "a count by F.floor(x / width)",
    "arrays_overlap": "F.size(F.array_intersect(a, b)) > 0",
    "array_compact": "F.filter(a, lambda e: e.isNotNull())",
    "width_bucket": "F.when(…) by its bounds",
    "array_contains": "F.array_position(a, v) > 0",
    "timestampdiff": "a difference of F.unix_micros",
    "try_avg": "F.avg(x)",
}
"""Functions whose values depend on the engine, and what to use; see docs/engines.md."""
_NUMBERED = ("cast", "unix_timestamp", "unix_micros", "unix_date", "datediff")
"""What makes a number of a time or date, so that a range over it is measured in numbers."""


def make_interceptor() -> Any:
    """A gRPC interceptor that reads the plans of a function before they are sent, for sessions of the embedded engine."""
    import grpc

    class PlanGuard(grpc.UnaryStreamClientInterceptor, grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
        def intercept_unary_stream(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
            _check_request(request)
            return continuation(details, request)

        def intercept_unary_unary(self, continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
            _check_request(request)
            return continuation(details, request)

    return PlanGuard()


def _check_request(request: Any) -> None:
    numbers = _guarding.get()
    if not numbers:
        return
    for message in _messages(request):
        _check(message)
    plan = request.plan if request.DESCRIPTOR.name == "ExecutePlanRequest" else None
    if request.DESCRIPTOR.name == "AnalyzePlanRequest" and request.WhichOneof("analyze") == "schema":
        plan = request.schema.plan  # by which the client casts what comes
    if isinstance(numbers, PlanNumbers) and plan is not None:
        token = _guarding.set(False)  # what it asks the engine isn't the function's
        try:
            numbers.guard(plan)
        finally:
            _guarding.reset(token)


@contextmanager
def guarded_plans(spark: SparkSession | None = None, *, has_nan: bool = False) -> Iterator[None]:
    """Within, plans that depend on the engine are refused by sessions of the embedded one, or changed.

    Args:
        spark: the session of the plans, which is asked for types; without, what depends on them isn't seen.
        has_nan: whether a table that is read may hold NaN or infinity.

    Raises:
        SpecError: there was such a plan; the message names what to write.
        DataError: a whole number left its type.
    """
    is_asked = spark is not None and spark in embedded_sessions
    numbers = PlanNumbers(PlanTypes(spark), _refuse, has_nan=has_nan) if spark is not None and is_asked else True
    token = _guarding.set(numbers)
    try:
        yield
    except Exception as error:  # the client's own kinds, by what they say
        if TOO_WIDE in str(error):
            raise DataError(f"{TOO_WIDE}: an error on every engine; cast what it adds up to double before") from None
        if not isinstance(numbers, PlanNumbers) or not numbers.has_guards or not is_out_of_range(error):
            raise
        # Without what the engine says, which is the value.
        raise DataError(
            "a whole number of the function is beyond what its type holds: an error on every engine; cast what it adds up or multiplies to double or "
            "decimal(38,0) before"
        ) from None
    finally:
        _guarding.reset(token)


def _refuse(expression: Any, what: str, spelling: str) -> None:
    raise _error(expression, what, spelling)


def _messages(message: Any) -> Iterator[Any]:
    """A message and all that it holds."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            is_nested = field.message_type.fields_by_name["value"].message_type is not None
            parts = list(value.values()) if is_nested else []
        else:
            parts = list(value) if field.is_repeated else [value]
        for part in parts:
            yield from _messages(part)


def _check(message: Any) -> None:
    kind = message.DESCRIPTOR.full_name.removeprefix("spark.connect.")
    if kind in ("SQL", "SqlCommand"):
        _check_text(message.query if kind == "SQL" else message.sql)
    elif kind == "Expression.ExpressionString":
        _check_text(f"SELECT {message.expression} AS value FROM t")
    elif kind == "Expression":
        _check_expression(message)


def _check_text(text: str) -> None:
    """SQL that a function holds: its windows are left to the engine."""
    if " over " not in text.lower().replace("\n", " "):
        return
    for split in splits(text, "SQL in a function", with_exact=True):
        call = split.calls[0]
        raise SpecError(f"SQL in a function: {call.function} over a moving window, {_REMEDY}")


_REMEDY = (
    "which the embedded engine computes by subtracting what leaves a frame, or with other bounds over dates; write it as a view of its own in SQL, "
    "which is computed right, and read that view"
)


def _check_expression(expression: Any) -> None:
    which = expression.WhichOneof("expr_type")
    if which == "window":
        _check_window(expression)
    elif which == "unresolved_function":
        function = expression.unresolved_function
        name, arguments = function.function_name.lower(), function.arguments
        if name in ("round", "bround") and len(arguments) > 1 and _is_positive(arguments[1]) and not _is_decimal(arguments[0]):
            raise _error(expression, f"{name} to digits behind the point", "F.floor(x * 100 + 0.5) / 100")
        if name in _ALWAYS:
            raise _error(expression, name, _ALWAYS[name])


def _check_window(expression: Any) -> None:
    window = expression.window
    name = window.window_function.unresolved_function.function_name.lower()
    frame = window.frame_spec
    is_moving = window.HasField("frame_spec") and (frame.lower.HasField("value") or frame.lower.current_row)
    is_range = window.HasField("frame_spec") and frame.frame_type == frame.FRAME_TYPE_RANGE
    is_measured = is_range and (frame.lower.HasField("value") or frame.upper.HasField("value"))
    if name in LISTS or name in SPREADS or (is_moving and name not in EXACT and not _is_whole(window.window_function, name)):
        place = _place(expression)
        raise SpecError(f"{name} over a window of a DataFrame, {_REMEDY}", file=place[0], line=place[1])
    if is_measured and not all(_is_number(order.child) for order in window.order_spec):
        raise _error(expression, f"{name} over a range that may be of dates", "orderBy(F.unix_date(d)), or of a column.cast('long')")


def _is_whole(function: Any, name: str) -> bool:
    """Whether it adds up what is cast to a whole number."""
    arguments = function.unresolved_function.arguments
    casts = [argument.cast.type_str.lower() for argument in arguments if argument.HasField("cast")]
    return name in ("sum", "avg", "mean") and len(casts) == len(arguments) > 0 and set(casts) <= {"int", "integer", "long", "bigint"}


def _is_number(expression: Any) -> bool:
    which = expression.WhichOneof("expr_type")
    name = expression.unresolved_function.function_name.lower() if which == "unresolved_function" else which
    return bool(name in _NUMBERED and "date" not in expression.cast.type_str.lower())


def _is_positive(expression: Any) -> bool:
    literal = expression.literal
    return bool(max(literal.integer, literal.long, literal.short, literal.byte) > 0)


def _is_decimal(expression: Any) -> bool:
    return bool(expression.HasField("cast") and expression.cast.type_str.lower().startswith("decimal"))


def _place(expression: Any) -> tuple[str, int | None]:
    """The file and line of the function that built an expression."""
    site = expression.common.origin.python_origin.call_site
    file, _, line = site.rpartition(":")
    return (Path(file).name, int(line)) if line.isdigit() else ("", None)


def _error(expression: Any, what: str, spelling: str) -> SpecError:
    file, line = _place(expression)
    return SpecError(f"{what}: the embedded engine gives other values than Spark; write {spelling}", file=file, line=line)
