"""Queries as a person would write them: read back as what was asked for."""

from __future__ import annotations

import pytest
import sqlglot

from lakeloop.drafting.sql import select, sql_name


@pytest.mark.parametrize(("name", "written"), [("order", "`order`"), ("orders", "orders"), ("user", "`user`"), ("known_at", "known_at")])
def test_words_of_sql_are_quoted_and_other_names_are_not(name: str, written: str) -> None:
    assert sql_name(name) == written
    assert sqlglot.parse_one(f"SELECT {written} FROM t", dialect="spark").named_selects == [name]  # type: ignore[attr-defined]


def test_a_column_stands_once_with_its_first_remark_and_remarks_end_no_line_early() -> None:
    text = select(["a", ("b", "why"), ("a", "again"), ("b", "other")], "d.t", remarks=["two\nlines"])
    assert text == "-- two lines\nSELECT\n    a,\n    b  -- why\nFROM d.t\n"
    assert sqlglot.parse_one(text, dialect="spark").named_selects == ["a", "b"]  # type: ignore[attr-defined]
