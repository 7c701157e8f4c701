"""Definitions held against the first rows of their sources: what doesn't fit is told at its key, what isn't there isn't judged."""

from __future__ import annotations

from pathlib import Path

import deltalake
import pyarrow as pa
import pytest

from lakeloop.checking.project import load_checked
from resources.sources.declared import Look, check_sources
from tests.worlds.shop import make_shop

AMOUNT = "amount_eur: {type: double, unit: EUR, description: Amount.}"


def look(defs: Path, *, ask: bool = False) -> Look:
    project, errors = load_checked(defs)
    assert errors == []
    return check_sources(project, errors, ask=ask)


def change(root: Path, old: str, new: str) -> Path:
    """A shop whose table says something else."""
    defs = make_shop(root)
    path = defs / "shop" / "orders" / "defs.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return defs


def test_a_table_that_fits_its_source_is_clean(tmp_path: Path) -> None:
    assert look(make_shop(tmp_path)) == Look()


@pytest.mark.parametrize(
    ("old", "new", "key", "wanted"),
    [
        (AMOUNT, AMOUNT.replace("double", "integer"), "columns.amount_eur.type", "would go to quarantine, the first one by: amount_eur: wanted an integer"),
        (AMOUNT, AMOUNT.replace("type", "source: amuont, type"), "columns.amount_eur.source", "no column 'amuont'; did you mean 'amount_eur'?"),
        ("amount_eur > 0", "amount_eur < 0", "rules.amount_is_positive", "wanted amount_eur < 0"),
        ("timezone: UTC,", "timezone: UTC, format: '%d.%m.%Y',", "columns.ordered_at.format", "1,200 of the first 1,200 rows"),
        ("returned: {type: boolean,", "returned: {type: boolean, nullable: false,", "columns.returned.nullable", "wanted a value, found null"),
        ("partitions: {start: 2024-01-01, end: 2024-06-01}", "partitions: {start: 2034-01-01}", "partitions", "found 2034-01-01; the first rows are of"),
        ("max_value: 10000", "max_value: 10", "expectations.1.expect_column_values_to_be_between", "don't meet it, such as"),
        ("data/*.csv", "data/*.cvs", "source.files", "no file matches 'data/*.cvs'"),
        ("data/*.csv", "daat/*.csv", "source.files", "did you mean 'data/orders.csv'?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_at_its_key(tmp_path: Path, old: str, new: str, key: str, wanted: str) -> None:
    (error,) = look(change(tmp_path, old, new)).errors
    assert error.key == key and wanted in error.message and error.line


def test_a_few_odd_values_are_a_matter_of_the_quarantine(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    path = defs / "shop" / "orders" / "data" / "orders.csv"
    lines = path.read_text().splitlines()
    lines[5:25] = [line.replace(",2024-", ",sometime 2024-") for line in lines[5:25]]
    path.write_text("\n".join(lines) + "\n")
    assert look(defs) == Look()


def test_what_is_not_on_this_machine_is_named_and_not_judged(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    (defs / "shop" / "orders" / "data" / "orders.csv").unlink()
    assert look(defs) == Look([], {"shop.orders": "no file matches 'data/*.csv' in the definition's folder orders"})


def test_where_other_files_are_here_a_missing_one_is_a_mistake(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    other = defs / "shop" / "visits" / "defs.yaml"
    other.parent.mkdir()
    text = (defs / "shop" / "orders" / "defs.yaml").read_text()
    other.write_text(text.replace("name: orders", "name: visits").replace("data/*.csv", "/nowhere/at/all/*.csv"))
    (error,) = look(defs).errors
    assert error.file.endswith("visits/defs.yaml") and error.key == "source.files" and "no file matches" in error.message


def test_a_value_of_a_personal_column_is_shown_by_no_message(tmp_path: Path) -> None:
    defs = change(tmp_path, "customer: {type: string,", "customer: {type: integer, personal: true,")
    (error,) = look(defs).errors
    assert error.key == "columns.customer.type" and "'c1" not in error.message and "c2" not in error.message


def test_a_function_is_called_only_where_it_is_asked_for(tmp_path: Path) -> None:
    defs = change(tmp_path, "source: {files: data/*.csv}", 'source: {function: "rows.py:rows"}')
    file = defs / "shop" / "orders" / "rows.py"
    file.write_text("def rows():\n    raise KeyError('nothing there')\n")
    assert look(defs) == Look([], {"shop.orders": "only with --sources"})
    (error,) = look(defs, ask=True).errors
    assert error.key == "source.function" and "KeyError: 'nothing there'" in error.message
    file.write_text("import polars as pl\n\n\ndef rows():\n    return pl.DataFrame({'order': ['a']})\n")
    assert "columns.order_id: the source has no column 'order_id'; did you mean 'order'?" in str(look(defs, ask=True).errors[0])


def test_an_adopted_table_has_the_columns(tmp_path: Path) -> None:
    defs = make_shop(tmp_path)
    folder = defs / "shop" / "sizes"
    deltalake.write_deltalake(str(folder / "delta"), pa.table({"id": ["a"], "size": [1.0]}))
    (folder / "defs.yaml").write_text(
        "type: platform_assets.components.LakeTable\nattributes:\n  name: sizes\n  description: Sizes.\n  source: {delta: delta}\n  keys: [id]\n"
        "  columns:\n    id: {type: string, description: Which.}\n    length: {type: double, source: sizze, description: Size.}\n"
    )
    (error,) = look(defs).errors
    assert str(error).endswith(
        "defs.yaml:9: columns.length.source: the source has no column 'sizze'; did you mean 'size'? Available: id, size"
    )
