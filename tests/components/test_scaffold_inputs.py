"""What a drafted workflow takes as an input of its model, and what it says of what it leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lakeloop.drafting.profile import profile_table
from lakeloop.drafting.workflow import WorkflowDraft, draft_workflow
from lakeloop.errors import DataError
from lakeloop.spec.tables import TableSpec


def table_of(rows: pa.Table, **options: Any) -> tuple[TableSpec, pa.Table]:
    """The table that would be drafted of typed rows, and its rows."""
    from lakeloop.rows.conform import parse_column
    from lakeloop.rows.types import schema_of

    profile = profile_table(rows, text=False, **options)
    columns = {c.name: c.column for c in profile.columns}
    spec = TableSpec.model_validate(
        {
            "name": "things",
            "description": "Things.",
            "source": {"files": "x.parquet"},
            "keys": list(profile.keys),
            "event_time": profile.event_time,
            "columns": columns,
        }
    )
    numbered = rows.append_column("_row", pa.array(range(1, rows.num_rows + 1)))
    return spec, pa.table({name: parse_column(numbered, name, column) for name, column in columns.items()}, schema=schema_of(columns))


def drafted(rows: pa.Table, label: str, **options: Any) -> WorkflowDraft:
    spec, typed = table_of(rows, **options)
    return draft_workflow(spec, typed, table_domain="x", name="guess", label=label)


def by_class(count: int = 90) -> dict[str, Any]:
    """Rows in the order of their class, as many files have them."""
    rng = np.random.default_rng(3)
    kinds = ["a"] * (count // 2) + ["b"] * (count - count // 2)
    return {"size": rng.normal(size=count).round(2), "kind": kinds}


def test_the_index_that_pandas_wrote_is_the_key_where_it_tells_rows_apart() -> None:
    rows = pa.table({**by_class(), "__index_level_0__": list(range(0, 180, 2))})
    assert table_of(rows)[0].keys == ["index_level_0"]
    assert drafted(rows, "kind").files["guess_inputs/view.sql"].count("index_level_0") == 1


def test_an_index_of_pandas_that_repeats_is_no_input() -> None:
    view = drafted(pa.table({**by_class(), "__index_level_0__": [*range(45), *range(45)]}), "kind").files["guess_inputs/view.sql"]
    assert "Left out: index_level_0: pandas wrote it" in view.replace("\n-- ", " ")
    assert "index_level_0" not in view[view.index("SELECT") :]


@pytest.mark.parametrize(
    ("numbers", "taken"),
    [
        (list(range(90)), False),
        ([n + n // 40 for n in range(90)], False),
        (list(range(90, 0, -1)), False),
        ([n % 30 for n in range(90)], True),
        ([n * 37 % 90 for n in range(90)], True),
    ],
)
def test_an_integer_that_counts_the_rows_is_no_input(numbers: list[int], taken: bool) -> None:
    view = drafted(pa.table({**by_class(), "place": numbers}), "kind").files["guess_inputs/view.sql"]
    assert ("place" in view[view.index("SELECT") :]) == taken
    assert ("Left out: place: it counts the rows" in view) != taken


def test_where_no_column_can_be_an_input_each_is_named_with_its_reason() -> None:
    rows = pa.table({"no_id": [str(n) for n in range(90)], "kind": ["a", "b"] * 45, "note": [f"note {n}" for n in range(90)]})
    with pytest.raises(DataError) as told:
        drafted(rows, "kind", keys=["no_id"])
    assert str(told.value).startswith("no column of things can be an input: no_id: a key; kind: the label; note: 90 different texts")


@pytest.mark.parametrize(("minutes", "days", "drafted_as"), [(30, 200, "cluster: day"), (30, 60, None), (1440, 400, None)])
def test_intervals_follow_the_days_where_a_day_has_many_rows_and_the_test_window_many_days(
    minutes: int, days: int, drafted_as: str | None
) -> None:
    count = days * 1440 // minutes
    at = np.datetime64("2024-01-01T00:07:00", "us") + np.arange(count) * np.timedelta64(minutes, "m")
    rng = np.random.default_rng(5)
    level = rng.normal(size=count).round(3)
    rows = pa.table({"at": pa.array(at, pa.timestamp("us", tz="UTC")), "level": level, "size": rng.normal(size=count).round(2)})
    text = drafted(rows, "level").files["guess/defs.yaml"].replace("\n  # ", " ")
    assert ("cluster: day}" in text) == (drafted_as is not None)
    assert ("48 rows a day on" in text) == (minutes == 30)
    assert ("too narrow; with more days set cluster: day" in text) == (days == 60)
