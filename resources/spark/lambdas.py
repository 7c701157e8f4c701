"""The variables of lambdas in plans: what stands for one where its type is asked for, which the engine doesn't tell within a lambda."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

_OF_ELEMENTS = frozenset(["transform", "filter", "exists", "forall", "any", "array_sort"])
_OF_ENTRIES = frozenset(["transform_keys", "transform_values", "map_filter"])
_FOLDS = frozenset(["aggregate", "reduce"])


class Lambdas:
    """The variables that are bound where a plan is read."""

    def __init__(self) -> None:
        """Nothing is bound at first."""
        self._bound: dict[str, Any] = {}

    @contextmanager
    def within(self, bound: Mapping[str, Any]) -> Iterator[None]:
        """Read the body of a lambda."""
        before = self._bound
        self._bound = {**before, **bound}
        try:
            yield
        finally:
            self._bound = before

    def bind(self, expression: Any) -> dict[str, Any]:
        """What stands for the variables of a function's lambdas: an element of the array that it is about, or the value that is carried on."""
        function = expression.unresolved_function
        name, arguments = function.function_name.lower(), [self.replace(each) for each in function.arguments]
        bound: dict[str, Any] = {}
        for argument in function.arguments:
            if argument.WhichOneof("expr_type") == "lambda_function":
                names = [".".join(each.name_parts) for each in argument.lambda_function.arguments]
                bound |= zip(names, _values(name, arguments, len(names)), strict=False)
        return bound

    def replace(self, expression: Any) -> Any:
        """An expression without the variables that are bound."""
        if not self._bound:
            return expression
        replaced = type(expression)()
        replaced.CopyFrom(expression)
        _replace(replaced, self._bound)
        return replaced


def _values(name: str, arguments: Sequence[Any], count: int) -> list[Any]:
    first = arguments[0]
    if name in _OF_ELEMENTS:
        place = _literal(0) if name != "array_sort" else _element(first)
        return [_element(first), place][:count]
    if name in _FOLDS:
        return [arguments[1], _element(first)][:count]
    if name in _OF_ENTRIES:
        return [_element(_call("map_keys", first)), _element(_call("map_values", first))][:count]
    return []


def _replace(message: Any, bound: Mapping[str, Any]) -> None:
    if message.DESCRIPTOR.full_name == "spark.connect.Expression" and message.WhichOneof("expr_type") == "unresolved_named_lambda_variable":
        value = bound.get(".".join(message.unresolved_named_lambda_variable.name_parts))
        if value is not None:
            message.CopyFrom(value)
            return
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else [value]:
            _replace(part, bound)


def _call(name: str, *arguments: Any) -> Any:
    from pyspark.sql.connect.proto import expressions_pb2

    return expressions_pb2.Expression(
        unresolved_function=expressions_pb2.Expression.UnresolvedFunction(function_name=name, arguments=arguments)
    )


def _element(array: Any) -> Any:
    return _call("get", array, _literal(0))


def _literal(value: int) -> Any:
    from pyspark.sql.connect.proto import expressions_pb2

    return expressions_pb2.Expression(literal=expressions_pb2.Expression.Literal(integer=value))
