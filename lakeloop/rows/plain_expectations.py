"""The expectations that a wide table has by the thousand, judged as Great Expectations does, in a thousandth of its time.

Only those whose meaning is plain: a column exists, its values aren't null, lie between numbers, or are of a set of texts. The others, and every
one of a narrow table, are Great Expectations' own; `tests/contracts/test_quality.py` compares both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeloop.rows.verdicts import MOST_EXAMPLES
from lakeloop.spec.tables import Expectation

if TYPE_CHECKING:
    import pyarrow as pa

_EXISTS, _NOT_NULL, _BETWEEN, _IN_SET = (
    "expect_column_to_exist", "expect_column_values_to_not_be_null", "expect_column_values_to_be_between", "expect_column_values_to_be_in_set",
)  # fmt: skip
_ARGUMENTS = {
    _EXISTS: {"column"},
    _NOT_NULL: {"column", "mostly"},
    _BETWEEN: {"column", "mostly", "min_value", "max_value"},
    _IN_SET: {"column", "mostly", "value_set"},
}


@dataclass(frozen=True)
class PlainOutcome:
    """What an expectation says of a table, by Great Expectations' names.

    Attributes:
        success: whether it is met.
        result: `unexpected_count`, `element_count`, `missing_count`, and the first rows that are unexpected as `unexpected_index_list`.
        exception_info: empty.
    """

    success: bool
    result: Mapping[str, Any] = field(default_factory=dict)
    exception_info: Mapping[str, Any] = field(default_factory=dict)


def judge_plainly(table: pa.Table, expectations: Sequence[Expectation]) -> dict[int, PlainOutcome]:
    """Judge those expectations, by their places, whose kind, arguments and column's type make their meaning plain."""
    # A table lists its columns anew each time that it is asked for their names.
    places = {name: place for place, name in enumerate(table.column_names)}
    judged = ((number, _judge(table, expectation, places)) for number, expectation in enumerate(expectations))
    return {number: outcome for number, outcome in judged if outcome is not None}


def _judge(table: pa.Table, expectation: Expectation, places: Mapping[str, int]) -> PlainOutcome | None:
    import pyarrow.compute as pc

    kwargs = expectation.kwargs
    if not kwargs.keys() <= _ARGUMENTS.get(expectation.type, set()) or "column" not in kwargs:
        return None
    if expectation.type == _EXISTS:
        return PlainOutcome(kwargs["column"] in places)
    mostly = kwargs.get("mostly", 1.0)
    if kwargs["column"] not in places or isinstance(mostly, bool) or not isinstance(mostly, (int, float)):
        return None
    values = table.column(places[kwargs["column"]])
    is_null = pc.is_null(values, nan_is_null=True)
    if expectation.type == _NOT_NULL:
        unexpected, judged = is_null, table.num_rows
    else:
        is_met = _is_met(values, expectation)
        if is_met is None:
            return None
        unexpected = pc.and_not(pc.invert(pc.fill_null(is_met, False)), is_null)
        judged = table.num_rows - int(pc.sum(is_null).as_py() or 0)
    count = int(pc.sum(unexpected).as_py() or 0)
    result = {"unexpected_count": count, "element_count": table.num_rows}
    if expectation.type != _NOT_NULL:
        result["missing_count"] = table.num_rows - judged
    rows = pc.indices_nonzero(unexpected).slice(0, MOST_EXAMPLES).to_pylist() if count else []
    return PlainOutcome(not judged or (judged - count) / judged >= mostly, {**result, "unexpected_index_list": rows})


def _is_met(values: pa.ChunkedArray, expectation: Expectation) -> pa.ChunkedArray | None:
    """Whether each value is as wanted; None where it isn't plain what is compared."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kwargs = expectation.kwargs
    if expectation.type == _IN_SET:
        wanted = kwargs.get("value_set")
        is_plain = pa.types.is_string(values.type) and isinstance(wanted, list) and all(isinstance(item, str) for item in wanted)
        return pc.is_in(values, value_set=pa.array(wanted, pa.string())) if is_plain and wanted else None
    bounds = [kwargs.get("min_value"), kwargs.get("max_value")]
    given = [bound for bound in bounds if bound is not None]
    if not given or not all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in given):
        return None
    # Beyond 2**53 pandas compares some of them as doubles, some exactly.
    if len(given) == 2 and given[0] > given[1]:
        return None
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)) or any(abs(bound) >= 2**53 for bound in given):
        return None
    is_met = pa.chunked_array([pa.repeat(True, len(values))])
    for bound, compare in zip(bounds, (pc.greater_equal, pc.less_equal), strict=True):
        if bound is not None:
            is_met = pc.and_(is_met, compare(values, pa.scalar(float(bound) if isinstance(bound, float) else bound)))
    return is_met
