"""Files of one landing, fitted to each other."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.rows.stacking import match_landed_types, stack_tables


def test_files_of_one_landing_are_fitted_to_each_other_or_refused_with_both_types() -> None:
    whole, part, empty, text = (pa.table({"x": values}) for values in (pa.array([2]), pa.array([1.5]), pa.nulls(1), pa.array(["a"])))
    assert stack_tables([empty, whole, part])["x"].to_pylist() == [None, 2.0, 1.5]
    with pytest.raises(DataError, match="column x is string in one file and int64 in another"):
        stack_tables([empty, text, whole])
    with pytest.raises(DataError, match="column x is double in one file and int64 in another"):
        stack_tables([part, pa.table({"x": [2**53 + 1]})])


def test_columns_are_stacked_by_name_and_missing_ones_are_nulls() -> None:
    one, two = pa.table({"a": [1], "b": ["x"]}), pa.table({"b": ["y"], "c": [True]})
    assert stack_tables([one, two]).to_pylist() == [{"a": 1, "b": "x", "c": None}, {"a": None, "b": "y", "c": True}]


@pytest.mark.parametrize(
    ("values", "landed", "expected"),
    [
        ([1, None], pa.float64(), pa.float64()),
        ([2**53, -(2**53)], pa.float64(), pa.float64()),
        ([2**53 + 1], pa.float64(), pa.int64()),  # no double holds it: refused further on
        ([None, None], pa.float64(), pa.float64()),
        ([1], pa.string(), pa.int64()),
    ],
)
def test_integers_are_doubles_only_where_the_column_has_landed_so_and_each_is_one(
    values: list[int | None], landed: pa.DataType, expected: pa.DataType
) -> None:
    rows = match_landed_types(pa.table({"v": pa.array(values, pa.int64()), "w": pa.array(values, pa.int64())}), {"v": landed})
    assert (rows.schema.field("v").type, rows.schema.field("w").type) == (expected, pa.int64())
    assert rows["v"].to_pylist() == values


def test_a_column_of_two_types_names_the_files_that_hold_them() -> None:
    one, two = pa.table({"x": ["a"], "_file": ["1.csv"]}), pa.table({"x": [1], "_file": ["2.csv"]})
    with pytest.raises(DataError, match=r"^raw: column x is string in 1.csv and int64 in 2.csv; nothing was written"):
        stack_tables([one, two], "raw: ")
