"""Rows without times that stand in the order of time: found by parts of dates and by columns of the row before, and by nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.drafting.row_order import find_row_order
from lakeloop.drafting.workflow import draft_workflow
from lakeloop.spec.tables import TableSpec

N = 400
RNG = np.random.default_rng(0)
MONTHS = ["Jan", "Feb", "March", "April", "May", "June", "July", "Aug", "Sept", "Oct", "Nov", "Dec"]
RETURNS = RNG.normal(0, 1, N + 1)
HOURS = np.arange(N)
YEARS = 1990 + HOURS // 30


def world(columns: dict[str, object], key: str = "row_number") -> tuple[TableSpec, pa.Table]:
    rows = pa.table({"row_number": np.arange(1, N + 1), "code": [f"c{n}" for n in range(N)], "y": RNG.normal(0, 1, N), **columns})
    types = {pa.int64(): "integer", pa.float64(): "double", pa.string(): "string"}
    declared = {field.name: {"type": types[field.type]} for field in rows.schema}
    declared["row_number"] |= {"source": "_row", "nullable": False}
    return TableSpec.model_validate(
        {"name": "t", "description": "T.", "source": {"files": "t.csv"}, "keys": [key], "columns": declared}
    ), rows


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"year": YEARS}, "year never falls from row to row"),
        ({"mnth": [MONTHS[h // 34] for h in HOURS], "hr": HOURS % 34}, "mnth and hr never fall from row to row"),
        ({"year": YEARS, "day": RNG.integers(1, 29, N)}, "year never falls from row to row"),
        ({"lag1": RETURNS[:-1], "today": RETURNS[1:]}, "lag1 is today of the row before"),
        ({"year": RNG.permutation(YEARS)}, None),
        ({"hr": HOURS % 24}, None),
        ({"year": np.repeat([1990, 1991], N // 2)}, None),
        ({"years": YEARS, "birth_year": YEARS}, None),
        ({"old": np.zeros(N), "new": np.zeros(N)}, None),
        ({"month": ["often"] * N}, None),
    ],
)
def test_rows_in_the_order_of_time_are_found(columns: dict[str, object], reason: str | None) -> None:
    order = find_row_order(*world(columns))
    assert (None if order is None else order.reason) == reason
    assert find_row_order(*world(columns, key="code")) is None, "nothing numbers the rows"


def test_a_draft_predicts_later_rows_by_earlier_ones_unless_they_are_shuffled() -> None:
    table, rows = world({"year": YEARS, "x": RNG.normal(0, 1, N)})
    drafted = draft_workflow(table, rows, table_domain="d", name="w", label="y")
    spine, workflow = drafted.files["w/spine.sql"], drafted.files["w/defs.yaml"]
    assert "timestamp_seconds(946684800 + row_number * 3600) AS predict_at" in spine and "year never falls" in spine
    assert "static: true" not in workflow and "the newest" in workflow
    assert any("stand in the order of time (year never falls" in note and "--shuffled true" in note for note in drafted.notes)
    assert any("isn't shown to be better than a constant" in note for note in drafted.notes), "the label is noise"
    shuffled = draft_workflow(table, rows, table_domain="d", name="w", label="y", shuffled=True)
    assert "static: true" in shuffled.files["w/defs.yaml"] and "md5" in shuffled.files["w/spine.sql"]


def test_no_doubt_is_told_of_a_model_that_knows_something() -> None:
    table, rows = world({"x": RNG.normal(0, 1, N)})
    rows = rows.set_column(rows.schema.get_field_index("y"), "y", pa.array(2 * rows["x"].to_numpy() + RNG.normal(0, 1, N)))
    assert not any("constant" in note for note in draft_workflow(table, rows, table_domain="d", name="w", label="y").notes)
