"""Which columns are personal, and definitions that would let their values out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakeloop.checking.project import load_checked
from lakeloop.project.personal import has_personal_values, personal_columns
from tests.worlds.personal_shop import PERSONAL_ORDERS, PERSONAL_WORKFLOW, PROFILE, PROFILE_SQL, write
from tests.worlds.shop_project import make


def project_with(tmp_path: Path, *changes: tuple[str, str, str]) -> tuple[Any, list[str]]:
    shop = make(tmp_path, "")
    write(shop, "orders", PERSONAL_ORDERS)
    write(shop, "profile", PROFILE, PROFILE_SQL)
    write(shop, "returns", PERSONAL_WORKFLOW)
    for name, old, new in changes:
        path = shop.defs / "shop" / name / "defs.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    project, errors = load_checked(shop.defs)
    return project, [str(error) for error in errors]


def test_what_is_computed_from_a_personal_column_is_personal_unless_its_view_says_otherwise(tmp_path: Path) -> None:
    project, errors = project_with(tmp_path)
    assert errors == []
    inherited = {
        stage: set(personal_columns(project, stage, located))
        for stage, located in [
            ("raw", project.tables[("shop", "orders")]),
            ("validated", project.tables[("shop", "orders")]),
            ("features", project.views[("shop", "profile")]),
            ("training_sets", project.workflows[("shop", "returns")]),
            ("predictions", project.workflows[("shop", "returns")]),
        ]
    }
    assert inherited == {
        "raw": {"customer", "email", "tel", "salary_eur"},
        "validated": {"customer", "email", "phone", "salary_eur"},
        "features": {"salary_eur", "email"},
        "training_sets": {"customer", "profile__salary_eur"},
        "predictions": {"customer"},
    }
    assert personal_columns(project, "features", project.views[("shop", "history")]) == {"customer"}
    assert has_personal_values(project, project.views[("shop", "outcomes")])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT `order_id`, `salary_eur`, upper(`o`.`email`) AS email, 1 AS email_length FROM `shop`.`orders` `o`",
        "SELECT order_id, struct(o.*).salary_eur AS salary_eur, to_json(struct(*)) AS email, 1 AS email_length FROM shop.orders o",
    ],
)
def test_a_personal_column_in_backticks_or_behind_a_star_is_personal(tmp_path: Path, query: str) -> None:
    shop = make(tmp_path, "")
    write(shop, "orders", PERSONAL_ORDERS)
    write(shop, "profile", PROFILE, query)
    project, errors = load_checked(shop.defs)
    assert errors == []
    assert personal_columns(project, "features", project.views[("shop", "profile")]) == {"salary_eur", "email"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("returns", ", allow_personal: true", ""),
            ["returns/defs.yaml", "features.profile", "personal: salary_eur", "allow_personal: true"],
        ),
        (("returns", "primary: roc_auc", "primary: roc_auc, slices: [customer]"), ["evaluation.slices.0", "customer is personal"]),
        (("orders", "returned: {type: boolean", "returned: {type: boolean, personal: true"), ["label", "outcomes.returned is personal"]),
        (("orders", "ordered_at: {type: timestamp", "ordered_at: {type: timestamp, personal: true"), ["event_time", "can't be personal"]),
        (("orders", "{files: data/*.csv}", "{database: URL, table: orders, cursor: customer}"), ["source.cursor", "customer is personal"]),
        (("orders", "{files: data/*.csv}", "{database: URL, table: orders, cursor: changed_at}"), ["source.cursor", "or undeclared"]),
    ],
)
def test_a_definition_that_would_let_personal_values_out_is_refused(tmp_path: Path, change: tuple[str, str, str], told: list[str]) -> None:
    _, errors = project_with(tmp_path, change)
    assert any(all(part in error for part in told) for error in errors), errors


def test_a_refusal_stands_beside_errors_elsewhere_and_views_in_a_circle(tmp_path: Path) -> None:
    allowed = ("returns", ", allow_personal: true", "")
    _, errors = project_with(
        tmp_path, allowed, ("orders", "type: double, unit: EUR, description: Amount", "type: dubble, description: Amount")
    )
    assert any("dubble" in error for error in errors)
    (tmp_path / "circle").mkdir()
    project_with(tmp_path / "circle", allowed)
    folder = tmp_path / "circle" / "platform_assets" / "defs" / "shop"
    (folder / "history" / "view.sql").write_text("SELECT customer, ordered_at, last_amount_eur, last_items FROM shop.second")
    (folder / "second").mkdir()
    text = (folder / "history" / "defs.yaml").read_text()
    (folder / "second" / "defs.yaml").write_text(text.replace("name: history", "name: second"))
    (folder / "second" / "view.sql").write_text("SELECT customer, ordered_at, last_amount_eur, last_items FROM shop.history")
    told = [str(error) for error in load_checked(folder.parent)[1]]
    assert any("in a circle" in error for error in told)
    assert any("personal: salary_eur" in error for error in told)
