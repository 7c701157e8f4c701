"""What a column's name says: its name in the lake, its unit, whether it is an identifier, whether it may be personal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeloop.drafting.column_names import RESERVED, is_identifier, lake_name, personal_by_name, sentence_of, unit_of


@given(st.lists(st.text(max_size=80), max_size=8))
def test_names_in_the_lake_are_plain_told_apart_and_none_of_ours(sources: list[str]) -> None:
    names: list[str] = []
    for source in sources:
        names.append(lake_name(source, names))
    assert len(set(names)) == len(names) and not RESERVED & set(names)
    assert all(name.isascii() and name.isidentifier() and name == name.lower() and name[0].isalpha() and len(name) <= 70 for name in names)


@pytest.mark.parametrize(
    ("source", "name"),
    [("HTTPStatus", "httpstatus"), ("share %", "share_percent"), ("Größe", "groesse"), ("Straße", "strasse"), ("Город", "gorod"), ("Έτος", "etos"), ("가격", "uac00_uaca9"), ("é", "e"), ("٣", "c_3"), ("split", "split_value"), ("_x_", "x"), ("日本", "u65e5_u672c"), ("", "row_name"), ("—", "row_name"), ("1", "c_1")],
)  # fmt: skip
def test_a_name_becomes_lower_case_words(source: str, name: str) -> None:
    assert lake_name(source) == name


@pytest.mark.parametrize(
    ("source", "unit"),
    [("Length (mm)", "mm"), ("Salt [o/oo]", "‰"), ("Speed (furlongs)", "furlongs"), ("weight_kg", "kg"), ("distanceKm", "km"), ("PriceEUR", None), ("kg", None), ("a_note", None)],
)  # fmt: skip
def test_a_unit_is_in_brackets_or_the_last_of_several_words(source: str, unit: str | None) -> None:
    assert unit_of(source) == unit


@pytest.mark.parametrize(
    ("source", "is_key", "personal"),
    [
        ("customer_id", True, None),
        ("zipCode", True, "a postal address"),
        ("phone", True, "a telephone number"),
        ("E-Mail", False, "an e-mail address"),
        ("first name", False, "a person's name"),
        ("username", False, "a user name"),
        ("ip", False, "an address on the network"),
        ("paid", False, None),
        ("ship", False, None),
        ("hotel", False, None),
        ("name", False, None),
    ],
)
def test_words_and_not_parts_of_words_say_what_a_column_is(source: str, is_key: bool, personal: str | None) -> None:
    assert (is_identifier(source), personal_by_name(source)) == (is_key, personal)


def test_a_description_begins_with_the_words_of_the_name() -> None:
    assert [sentence_of(text) for text in ("orderDate_UTC", "(mm)", "")] == ["Order date utc.", "Mm.", "Row name."]
