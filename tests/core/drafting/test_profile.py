"""What columns of text are taken for: types, units, keys, words for no value; and the table that is drafted of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakeloop.drafting.profile import TableProfile, profile_table
from lakeloop.drafting.table import PARTITION_ROWS, draft_table, partitions_of, slack
from lakeloop.errors import DataError
from lakeloop.rows.conform import parse_column

TODAY = date(2024, 6, 1)


def profile(**columns: list[Any]) -> TableProfile:
    return profile_table(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}), text=True)


def many(*values: str) -> list[str]:
    return [values[index % len(values)] for index in range(60)]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("amount", ["1", "-5", "12"], "integer"),
        ("amount", ["1.5", "2", "1e3"], "double"),
        ("amount", ["1", "9007199254740993"], "integer"),
        ("amount", ["1.5", "9007199254740993"], "string"),
        ("amount", ["007", "12"], "string"),
        ("customer_id", ["7", "12"], "string"),
        ("paid", ["true", "False"], "boolean"),
        ("day", ["2024-01-31", "2024-02-29"], "date"),
        ("day", ["2024-01-31", "2023-02-29"], "string"),
        ("day", ["Jan 1 2000", "Feb 29 2000"], "date"),
        ("at", ["2024-01-31 10:00:00", "2024-01-31T11:00"], "timestamp"),
        ("at", ["2024-01-31T10:00:00+02:00"], "timestamp"),
        ("text", ["a", "1"], "string"),
    ],
)
def test_a_type_is_proposed_only_if_it_holds_every_value(name: str, values: list[str], kind: str) -> None:
    column = profile(**{name: values}).columns[-1].column
    assert column.type == kind


@given(st.lists(st.text("0123456789.-+eE tfruals:/", min_size=1, max_size=12), min_size=1, max_size=8))
@example(["0", "."])
def test_what_is_proposed_reads_every_value_back(values: list[str]) -> None:
    rows = pa.table({"v": values})
    profiled = profile_table(rows, text=True)
    column = profiled.column("v").column
    assert parse_column(rows, "v", column).null_count == sum(value in (column.null_values or ()) for value in values)


@pytest.mark.parametrize(
    ("name", "unit"), [("Bill Length (mm)", "mm"), ("price_eur", "EUR"), ("speedKmh", "km/h"), ("min", None), ("width", None)]
)
def test_units_are_read_from_names(name: str, unit: str | None) -> None:
    assert profile(**{name: ["1", "2"]}).columns[-1].column.unit == unit


def test_a_minimum_beside_a_maximum_is_not_in_minutes() -> None:
    profiled = profile(temp_min=["1", "2"], temp_max=["3", "4"], delay_min=["1", "9"])
    assert [c.column.unit for c in profiled.columns if c.source] == [None, None, "min"]


def test_words_for_no_value_count_only_where_they_can_be_nothing_else() -> None:
    profiled = profile(mass=["1.5", "NA", "2"], country=["DE", "NA", "FR"], answer=["?", "yes", "no"])
    assert {c.name: c.column.null_values for c in profiled.columns if c.column.null_values} == {"mass": ["NA"], "answer": ["?"]}
    assert profile(country=["DE", "NA", "FR"]).columns[0].column.null_values is None


def test_keys_are_a_column_then_a_group_then_the_row_number() -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 31) for _ in range(2)]
    shops = ["a", "b"] * 30
    amounts = [str(index % 7) for index in range(60)]
    assert profile(order_id=[f"o{i}" for i in range(60)], amount=amounts).keys == ("order_id",)
    assert profile(day=days, shop=shops, amount=amounts).keys == ("day", "shop")
    profiled = profile(shop=shops, amount=amounts)
    assert profiled.keys == ("row_number",)
    assert profiled.column("row_number").column.source == ["_row"]
    assert "only added at the end" in profiled.key_reason


def test_a_key_or_time_that_is_asked_for_is_taken_or_refused_by_name() -> None:
    rows = pa.table({"Order No": ["1", "1", "2"], "day": ["2024-01-01"] * 3})
    profiled = profile_table(rows, text=True, keys=["Order No"], event_time="day")
    assert profiled.keys == ("order_no",) and "1 of 3 rows" in profiled.key_reason and profiled.event_time == "day"
    with pytest.raises(DataError, match="did you mean 'order_no'"):
        profile_table(rows, text=True, keys=["order_nr"])
    with pytest.raises(DataError, match="wanted a timestamp or date"):
        profile_table(rows, text=True, event_time="order_no")


def test_personal_columns_are_suspected_and_none_of_their_values_is_written() -> None:
    people = ["Ada Lovelace", "Alan Turing", "Grace Hopper"]
    profiled = profile(
        user_id=[str(i) for i in range(60)],
        contact=many("ada@example.org", "alan@example.org", "grace@example.org"),
        name=many(*people),
        phone_number=many("+49 30 1234567", "+49 30 7654321"),
        account=many("DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19"),
        model=many("Buick", "Ford"),
    )
    assert {c.name for c in profiled.columns if c.column.personal} == {"contact", "name", "phone_number", "account"}
    text = draft_table(profiled, name="t", source={"files": "x.csv"}, shown="x.csv", today=TODAY)
    assert "Buick" in text
    for value in ("Lovelace", "example.org", "1234567", "DE89"):
        assert value not in text


@given(st.floats(-1e9, 1e9), st.floats(0.001, 1e9), st.booleans())
def test_a_drafted_range_holds_what_was_seen_and_half_of_it_again(low: float, width: float, whole: bool) -> None:
    low, high = (float(int(low)), float(int(low + width) + 1)) if whole else (low, low + width)
    bottom, top = slack(low, high, whole=whole)
    assert bottom <= low + 1e-3 * abs(low) and top >= high - 1e-3 * abs(high)
    assert (bottom >= 0) == (low >= 0)
    assert top - bottom <= 4 * (high - low) + 4


def test_partitions_come_with_size_and_end_with_a_finished_history() -> None:
    small = profile(order_id=[f"o{i}" for i in range(60)], at=[f"2023-01-{1 + i % 28:02d} 10:00:00" for i in range(60)])
    assert partitions_of(small, TODAY)[0] is None
    large = TableProfile(**{**small.__dict__, "rows": PARTITION_ROWS})
    assert partitions_of(large, TODAY)[0] == {"start": date(2023, 1, 1), "end": date(2025, 1, 1)}
    assert partitions_of(large, date(2023, 2, 1))[0] == {"start": date(2023, 1, 1)}
