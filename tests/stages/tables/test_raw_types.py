"""Numbers that change their type from one landing to the next, or between files."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from tests.worlds.sales import JSONL, Sales


@pytest.mark.parametrize("declared", ["double", "string"])
def test_a_whole_number_lands_in_a_column_of_doubles(sales: Sales, declared: str) -> None:
    sales.define(JSONL, declared)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5})
    sales.land()
    sales.write("2.jsonl", {"id": 2, "amount": 2})
    sales.land()
    assert sales.landed().schema.field("amount").type == pa.float64()
    assert sales.validate() == ({1: 1.5, 2: 2.0} if declared == "double" else {1: "1.5", 2: "2.0"})


def test_a_declared_double_may_begin_with_whole_numbers(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 2})
    sales.land()
    sales.write("2.jsonl", {"id": 2, "amount": 1.5})
    sales.land()
    assert sales.validate() == {1: 2.0, 2: 1.5}


def test_a_column_that_has_landed_as_integers_goes_on_with_them(sales: Sales) -> None:
    sales.define(JSONL, "integer")
    sales.write("1.jsonl", {"id": 1, "amount": 2})
    sales.land()
    sales.define(JSONL, "double")
    sales.write("2.jsonl", {"id": 2, "amount": 3})
    sales.land()
    assert sales.landed().schema.field("amount").type == pa.int64() and sales.validate() == {1: 2.0, 2: 3.0}


@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (1.5, 2**53 + 1, "amount has landed as double before and comes as int64 now"),
        (1.5, "2 EUR", "amount has landed as double before and comes as string now"),
        (True, 2, "amount has landed as bool before and comes as int64 now"),
    ],
)
def test_any_other_change_of_type_is_refused_with_both_and_what_to_do(sales: Sales, first: Any, then: Any, told: str) -> None:
    sales.define(JSONL, "string")
    sales.write("1.jsonl", {"id": 1, "amount": first})
    sales.land()
    before = sales.lake.states()
    sales.write("2.jsonl", {"id": 2, "amount": then})
    with pytest.raises(DataError, match=rf"{told}; nothing was written\. Cast it to .* or land it under another name"):
        sales.land()
    assert sales.lake.states() == before


def test_a_folder_of_files_with_several_types_names_two_of_them(sales: Sales) -> None:
    sales.define(JSONL)
    sales.write("1.jsonl", {"id": 1, "amount": 1.5, "note": "a"})
    sales.write("2.jsonl", {"id": 2, "amount": 1.5, "note": 2})
    with pytest.raises(DataError, match=r"column note is string in data/1\.jsonl and int64 in data/2\.jsonl; nothing was written"):
        sales.land()


CSV = "{files: data/*.csv}"


def write_csv(sales: Sales, name: str, text: str) -> None:
    (sales.defs / "sales" / "orders" / "data" / name).write_text(text)


def test_a_column_that_comes_later_is_null_before_and_one_that_goes_is_refused(sales: Sales) -> None:
    sales.define(CSV)
    write_csv(sales, "1.csv", "id,at\n1,2024-03-01T10:00:00\n")
    write_csv(sales, "2.csv", "id,at,amount\n2,2024-03-01T10:00:00,2.5\n")
    sales.land()
    assert sales.validate() == {1: None, 2: 2.5}
    write_csv(sales, "1.csv", "id,at\n1,2024-03-01T10:00:00\n3,2024-03-01T10:00:00\n")
    sales.land()
    assert sales.validate() == {1: None, 2: 2.5, 3: None}
    write_csv(sales, "4.csv", "id,at,sum\n4,2024-03-01T10:00:00,2.5\n")
    with pytest.raises(DataError, match=r"4\.csv: no column 'amount'"):
        sales.land()


def test_a_file_of_a_header_alone_is_an_empty_delivery(sales: Sales) -> None:
    sales.define(CSV)
    write_csv(sales, "1.csv", "id,at,amount\n")
    with pytest.raises(DataError, match="wanted at least one row"):
        sales.land()
    write_csv(sales, "2.csv", "id,at,amount\n2,2024-03-01T10:00:00,2.5\n")
    assert sales.land().verdict.passed
    assert sales.validate() == {2: 2.5}
