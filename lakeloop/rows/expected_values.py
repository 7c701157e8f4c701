"""The values in expectations, in the types of the columns that they are compared with: YAML has dates, texts and numbers as a person writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from lakeloop.errors import SpecError, nearest
from lakeloop.spec.tables import Expectation, is_number_type

Meaning = Literal["string", "number", "boolean", "date", "timestamp"]
"""What a value is compared as."""
_BOUNDED = ("expect_column_values_to_be_between", "expect_column_max_to_be_between", "expect_column_min_to_be_between")
"""Expectations whose bounds are values of the column; those of others are numbers of rows, or of what is computed."""
_OF_NUMBERS = (
    "expect_column_mean_to_be_between", "expect_column_median_to_be_between", "expect_column_stdev_to_be_between",
    "expect_column_sum_to_be_between", "expect_column_quantile_values_to_be_between", "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers", "expect_multicolumn_sum_to_equal",
)  # fmt: skip
_OF_TEXT = (
    "expect_column_values_to_match_json_schema", "expect_column_values_to_be_dateutil_parseable",
    "expect_column_values_to_match_strftime_format", "expect_column_values_to_be_json_parseable",
)  # fmt: skip
_OF_TEXT_OR_NUMBERS = (
    "expect_column_values_to_match_regex", "expect_column_values_to_match_regex_list", "expect_column_values_to_not_match_regex",
    "expect_column_values_to_not_match_regex_list",
)  # fmt: skip
_OF_ORDERED = (*_BOUNDED, "expect_column_values_to_be_increasing", "expect_column_values_to_be_decreasing")
_FOR: tuple[tuple[tuple[str, ...], tuple[Meaning, ...], str], ...] = (
    (_OF_NUMBERS, ("number",), "numbers"),
    (_OF_TEXT, ("string",), "text"),
    (_OF_TEXT_OR_NUMBERS, ("string", "number"), "text"),
    (_OF_ORDERED, ("number", "date", "timestamp"), "numbers, dates and times"),
)
"""Expectations, what they can judge, and that in words; the others judge every column."""
_ALIKE = (
    "expect_column_pair_values_to_be_equal", "expect_column_pair_values_a_to_be_greater_than_b", "expect_multicolumn_values_to_be_equal",
)  # fmt: skip
_EXAMPLES: Mapping[Meaning, str] = {
    "string": "text (in quotes)", "number": "a number", "boolean": "true or false", "date": "a date such as 2024-01-31",
    "timestamp": "a time such as 2024-01-31T10:00:00Z",
}  # fmt: skip


def meaning_of(kind: str) -> Meaning:
    """What values of a declared type are compared as."""
    return "number" if is_number_type(kind) else kind  # type: ignore[return-value]  # the other types are named so


def typed_arguments(expectation: Expectation, meanings: Mapping[str, Meaning], columns: Collection[str] | None = None) -> dict[str, Any]:
    """The arguments of an expectation, with values in the type of the columns that they are compared with.

    A date among times is its beginning in UTC, a time without a zone is in UTC, and numbers, dates and times may be text.

    Args:
        expectation: as it is declared.
        meanings: of the columns; an argument of a column that isn't among them stays as it is.
        columns: those that a condition may name; those that have a meaning unless given.

    Raises:
        SpecError: a value can't be compared with the column, the expectation isn't for such columns, or a condition can't be read.
    """
    kwargs = dict(expectation.kwargs)
    judged = [str(kwargs[name]) for name in ("column", "column_A", "column_B") if name in kwargs] + [*(kwargs.get("column_list") or [])]
    for column in judged:
        _require_kind(expectation.type, column, meanings.get(column))
    if isinstance(kwargs.get("row_condition"), str):
        check_condition(kwargs["row_condition"], meanings if columns is None else columns)
    meaning = meanings.get(str(kwargs.get("column")))
    if meaning is not None:
        for name in ("min_value", "max_value") if expectation.type in _BOUNDED else ():
            kwargs[name] = _typed(kwargs.get(name), meaning, f"{name} of {kwargs['column']}")
        if isinstance(kwargs.get("value_set"), list):
            kwargs["value_set"] = [_typed(value, meaning, f"value_set of {kwargs['column']}") for value in kwargs["value_set"]]
    pairs = kwargs.get("value_pairs_set")
    if isinstance(pairs, list) and len(judged) == 2 and set(judged) <= meanings.keys():
        kwargs["value_pairs_set"] = [
            tuple(_typed(value, meanings[column], f"value_pairs_set of {column}") for value, column in zip(pair, judged, strict=True))
            for pair in pairs
        ]
    if expectation.type in _ALIKE:
        _require_alike(judged, meanings)
    return {name: value for name, value in kwargs.items() if name in expectation.kwargs}


def check_condition(condition: str, columns: Collection[str]) -> None:
    """Check that a `row_condition` can be read, and that its columns exist.

    Raises:
        SpecError: with what is wrong.
    """
    text = re.sub(r'\bcol\((["\'])(.*?)\1\)', r"`\2`", condition)
    names = re.findall(r"`([^`]+)`", text)
    try:
        tree = ast.parse(re.sub(r"`[^`]+`", "_", text).strip(), mode="eval")
    except SyntaxError:
        raise SpecError(
            f"row_condition: wanted a condition by pandas, such as status == 'paid' and amount > 0, found {condition!r}"
        ) from None
    known = {"True", "False", "None", "_", *(part.attr for part in ast.walk(tree) if isinstance(part, ast.Attribute))}
    names += [part.id for part in ast.walk(tree) if isinstance(part, ast.Name) and part.id not in known]
    unknown = next((name for name in names if columns and name not in columns), None)
    if unknown is not None:
        raise SpecError(f"row_condition: no column {unknown!r}; {nearest(unknown, columns)}")


def columns_in(condition: str, columns: Collection[str]) -> set[str]:
    """The columns that a `row_condition` names."""
    return {name for name in columns if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", condition)}


def _require_kind(name: str, column: str, meaning: Meaning | None) -> None:
    for names, meanings, words in _FOR:
        if meaning is not None and name in names and meaning not in meanings:
            raise SpecError(f"{name} is for {words}, {column} is a {meaning}")


def _require_alike(columns: list[str], meanings: Mapping[str, Meaning]) -> None:
    kinds = {column: "time" if meanings[column] in ("date", "timestamp") else meanings[column] for column in columns if column in meanings}
    other = next((column for column in kinds if kinds[column] != next(iter(kinds.values()))), None)
    if other is not None:
        first = next(iter(kinds))
        raise SpecError(f"{first} is a {meanings[first]} and {other} is a {meanings[other]}, which can't be compared")


def _typed(value: Any, meaning: Meaning, where: str) -> Any:
    """A value in the type that it is compared in.

    Raises:
        SpecError: it isn't of that type.
    """
    if value is None or isinstance(value, dict):
        return value
    typed = _PARSERS[meaning](value)
    if typed is None:
        raise SpecError(f"{where}: wanted {_EXAMPLES[meaning]}, found {value!r}")
    return typed


def _moment(value: Any) -> datetime | None:
    """A moment in UTC, without its zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None


def _day(value: Any) -> datetime | None:
    """The beginning of a day."""
    moment = _moment(value)
    return moment if moment is not None and moment == datetime(moment.year, moment.month, moment.day) else None


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return int(number) if number.is_finite() and number == number.to_integral_value() else float(number)


def _boolean(value: Any) -> bool | None:
    return {"true": True, "false": False}.get(str(value).lower())


_PARSERS: Mapping[Meaning, Any] = {
    "string": lambda value: value if isinstance(value, str) else None,
    "number": _number,
    "boolean": _boolean,
    "date": _day,
    "timestamp": _moment,
}
