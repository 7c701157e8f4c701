"""A view's definition is free until a release cites it; then a change wants a new version, and the old one stays for who cites it."""

from __future__ import annotations

import pytest

from lakeloop.errors import NotPublished
from platform_assets.stages import view_versions
from resources.published import WHOLE, PartitionState, Published, TableKey
from tests.conftest import Shop

pytestmark = pytest.mark.filled

HISTORY, RETURNS = TableKey("features", "shop", "history"), TableKey("releases", "shop", "returns")


def change(shop: Shop, version: int | None = None) -> None:
    """Make the view say something else: twice the amount."""
    path = shop.defs / "shop" / "history" / "view.sql"
    path.write_text(path.read_text().replace("max(amount_eur)", "2 * max(amount_eur)"))
    if version:
        path = shop.defs / "shop" / "history" / "defs.yaml"
        path.write_text(path.read_text().replace("  name: history\n", f"  name: history\n  version: {version}\n"))


def test_a_definition_is_free_until_a_release_cites_it(shop: Shop) -> None:
    assert shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations").success
    change(shop)
    result = shop.materialize("features")
    assert result.success
    assert all(e.passed for e in result.get_asset_check_evaluations() if e.check_name == view_versions.VERSION_CHECK)


def test_a_change_under_a_cited_version_is_refused_by_name_and_a_new_version_keeps_the_old_beside_it(shop: Shop) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.stages.lookup import at_version

    assert shop.materialize().success
    before = shop.lake.states()
    values = {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(shop.lake.current(HISTORY)).to_pylist()}
    assert before[RETURNS][WHOLE].value["cites"][str(HISTORY)][0] == 1

    # Its layout, its remarks and what is expected of it aren't its meaning.
    path = shop.defs / "shop" / "history" / "view.sql"
    path.write_text("-- the last order\n" + path.read_text().replace("SELECT customer,", "SELECT\n    customer,"))
    path = shop.defs / "shop" / "history" / "defs.yaml"
    path.write_text(path.read_text() + "  expectations:\n    - expect_column_values_to_be_between: {column: last_items, min_value: 0}\n")
    assert shop.materialize("features").success

    change(shop)
    before = shop.lake.states()
    result = shop.materialize("features")
    assert not result.success
    (failed,) = [e for e in result.get_asset_check_evaluations() if e.check_name == view_versions.VERSION_CHECK and not e.passed]
    assert failed.blocking and "shop.returns version 1 (live)" in str(failed.description) and "say version: 2" in str(failed.description)
    assert shop.lake.states()[HISTORY] == before[HISTORY]
    old = shop.lake.current(HISTORY)

    path = shop.defs / "shop" / "history" / "defs.yaml"
    path.write_text(path.read_text().replace("  name: history\n", "  name: history\n  version: 2\n"))
    assert shop.materialize("features").success
    new = shop.lake.current(HISTORY)
    doubled = {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(new).to_pylist()}
    assert doubled == {at: 2 * value for at, value in values.items()}
    cited = at_version(new, {"kind": "view", "version": 1})
    assert {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(cited).to_pylist()} == values

    # The released model still predicts from what it was trained on; a new one takes the new version, and then cites it.
    assert shop.materialize("predictions").success
    scored = shop.lake.read(shop.lake.current(TableKey("predictions", "shop", "returns"))).to_pylist()
    assert {row["feature_versions"] for row in scored} and f'"{HISTORY}": {old.version}' in scored[0]["feature_versions"]
    assert shop.materialize("training_sets", "models", "evaluations", "releases").success
    released = shop.lake.states()[RETURNS][WHOLE].value
    assert released["champion"] == "2", released["reason"]
    assert released["cites"][str(HISTORY)][0] == 2
    assert released["rollback"]["version"] == "1" and released["rollback"]["cites"][str(HISTORY)][0] == 1
    assert read_project(shop.defs).views[("shop", "history")].spec.version == 2


def test_live_and_rollback_releases_cite_and_a_refused_model_does_not() -> None:
    def states(value: dict[str, object]) -> dict[TableKey, dict[str, PartitionState]]:
        return {RETURNS: {WHOLE: PartitionState(WHOLE, "x", value=value)}}

    live = {"champion": "7", "cites": {str(HISTORY): [1, "old"]}}
    assert view_versions.citations(states(live), HISTORY, 1, "new") == ["shop.returns version 7 (live)"]
    assert view_versions.citations(states(live), HISTORY, 1, "old") == []
    assert view_versions.citations(states(live), HISTORY, 2, "new") == []
    back = {"champion": "8", "cites": {str(HISTORY): [2, "new"]}, "rollback": {"version": "7", "cites": {str(HISTORY): [1, "old"]}}}
    assert view_versions.citations(states(back), HISTORY, 1, "other") == ["shop.returns version 7 (rollback)"]
    assert view_versions.citations(states({"champion": None, "cites": {}}), HISTORY, 1, "new") == []
    after = view_versions.after_promotion(live, promoted=False, cites={"x": [9, "y"]}, champion="7")
    assert after["cites"] == live["cites"]


def test_a_version_that_is_not_kept_is_told() -> None:
    published = Published(HISTORY, 5, {"2024-01": PartitionState("2024-01", "x", 5, value={"version": 3, "kept": {"2": 4}})})
    assert view_versions.at_version(published, {"kind": "view", "version": 3}).version == 5
    assert view_versions.at_version(published, {"kind": "view", "version": 2}).version == 4
    with pytest.raises(NotPublished, match="version 1 is not kept"):
        view_versions.at_version(published, {"kind": "view", "version": 1})
