"""Which columns of a table are personal by its own definition: by word, or by the landed column that they are read from."""

from __future__ import annotations

from typing import Any

import pytest

from lakeloop.spec.personal import hidden_landed, hidden_sources, personal_of_table
from lakeloop.spec.tables import TableSpec


def table(**columns: dict[str, Any]) -> TableSpec:
    declared = {name: {"type": "string", "description": "It.", **column} for name, column in columns.items()}
    return TableSpec.model_validate({"name": "t", "description": "T.", "source": {"files": "x.csv"}, "keys": ["id"], "columns": declared})


@pytest.mark.parametrize(
    ("columns", "personal", "landed"),
    [
        ({"id": {}, "mail": {"personal": True}}, {"mail"}, {"mail"}),
        ({"id": {}, "mail": {"personal": True, "source": "Mail"}, "again": {"source": "Mail"}}, {"mail", "again"}, {"Mail"}),
        ({"id": {}, "mail": {"personal": True}, "domain": {"personal": False, "source": "mail"}}, {"mail"}, {"mail"}),
        ({"id": {}, "born": {"personal": True, "source": ["y", "m"]}, "year": {"source": "y"}}, {"born", "year"}, {"y", "m"}),
        ({"id": {}, "mail": {"personal": False}}, set(), set()),
    ],
)  # fmt: skip
def test_who_reads_a_hidden_column_is_personal_unless_told_otherwise(
    columns: dict[str, dict[str, Any]], personal: set[str], landed: set[str]
) -> None:
    spec = table(**columns)
    assert (personal_of_table(spec), hidden_sources(spec)) == (personal, landed)


def test_undeclared_columns_are_hidden_only_beside_personal_ones() -> None:
    assert hidden_landed(table(id={}, mail={"personal": True}), ["id", "mail", "ssn"]) == {"mail", "ssn"}
    assert hidden_landed(table(id={}, mail={}), ["id", "mail", "ssn"]) == frozenset()
