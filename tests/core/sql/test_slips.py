"""The list of functions by which misspelled ones are told."""

from __future__ import annotations

import pyspark.sql.functions

from lakeloop.errors import SpecError
from lakeloop.sql.query import parse_query
from lakeloop.sql.slips.find import find_slips
from lakeloop.sql.slips.function_names import FUNCTIONS

OF_DATA_FRAMES = {
    "arrow_udf", "arrow_udtf", "asc", "asc_nulls_first", "asc_nulls_last", "broadcast", "call_function", "call_udf", "col", "column", "desc",
    "desc_nulls_first", "desc_nulls_last", "expr", "lit", "overload", "pandas_udf", "udf", "udtf",
}  # fmt: skip
"""What data frames have and SQL hasn't."""


def test_the_list_has_every_function_of_pyspark() -> None:
    public = {
        name for name, value in vars(pyspark.sql.functions).items() if callable(value) and name.islower() and not name.startswith("_")
    }
    assert public - OF_DATA_FRAMES - FUNCTIONS == set()


def test_no_function_of_the_list_is_told() -> None:
    for name in sorted(
        FUNCTIONS - {"not", "case", "values", "using", "exists", "in", "any", "some", "every", "cast", "try_cast", "extract", "if"}
    ):
        try:
            query = parse_query(f"SELECT {name}(a, b) AS c FROM x.t", "view.sql")
        except SpecError:  # of another number of arguments, or a word of the grammar
            continue
        assert list(find_slips(query)) == [], name
