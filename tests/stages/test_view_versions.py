"""A view's definition is free until a release cites it; then a change wants a new version, and the old one stays for who cites it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lakeloop.errors import NotPublished
from lakeloop.records.features import FeatureLookup, FeatureSpec
from lakeloop.records.release import ReleaseState, Rollback
from lakeloop.records.tables import ViewState
from lakeloop.records.training import Citation
from platform_assets.stages.features import view_versions
from resources.lake.published import WHOLE, PartitionState, Published, States, TableKey
from tests.worlds.shop_project import Shop

pytestmark = pytest.mark.filled

HISTORY, RETURNS = TableKey("features", "shop", "history"), TableKey("releases", "shop", "returns")


def looked_up(version: int) -> FeatureLookup:
    """What a model that was trained on some version of the view looks up."""
    return FeatureLookup("view", "shop", "history", ("customer",), {"last_items": "history__last_items"}, None, version)


def change(shop: Shop, version: int | None = None) -> None:
    """Make the view say something else: twice the amount."""
    path = shop.defs / "shop" / "history" / "view.sql"
    path.write_text(path.read_text().replace("max(amount_eur)", "2 * max(amount_eur)"))
    if version:
        path = shop.defs / "shop" / "history" / "defs.yaml"
        path.write_text(path.read_text().replace("  name: history\n", f"  name: history\n  version: {version}\n"))


def month(shop: Shop, name: str) -> None:
    """Materialise one month of the view."""
    from platform_assets.assets import asset_key
    from platform_assets.plan import range_tags

    assert shop.run([asset_key(HISTORY)], range_tags(name, name)).success


def test_a_definition_is_free_until_a_release_cites_it(shop: Shop) -> None:
    assert shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations").success
    change(shop)
    result = shop.materialize("features")
    assert result.success
    assert all(e.passed for e in result.get_asset_check_evaluations() if e.check_name == view_versions.VERSION_CHECK)


def test_a_change_under_a_cited_version_is_refused_by_name_and_a_new_version_keeps_the_old_beside_it(shop: Shop) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.stages.features.lookup import at_version

    assert shop.materialize().success
    before = shop.lake.states()
    values = {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(shop.lake.current(HISTORY)).to_pylist()}
    release = before[RETURNS][WHOLE].typed(ReleaseState).value
    assert release.cites[str(HISTORY)].version == 1

    # Its layout, its remarks and what is expected of it aren't its meaning.
    path = shop.defs / "shop" / "history" / "view.sql"
    path.write_text("-- the last order\n" + path.read_text().replace("SELECT customer,", "SELECT\n    customer,"))
    path = shop.defs / "shop" / "history" / "defs.yaml"
    path.write_text(path.read_text() + "  expectations:\n    - expect_column_values_to_be_between: {column: last_items, min_value: 0}\n")
    assert shop.materialize("features").success

    # Nothing of what it looks up is forgotten while the definition moves on.
    assert release.feature_spec is not None and release.feature_spec.views[0].name == "history"

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
    month(shop, "2024-02")
    mixed = shop.lake.current(HISTORY)
    cited = at_version(mixed, looked_up(1))
    assert cited.version == old.version < mixed.version
    assert {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(cited).to_pylist()} == values
    result = shop.materialize("training_sets")
    (failure,) = [e.step_failure_data.error for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert "version 1 in 2024-01, 2024-03, 2024-04, 2024-05" in str(failure), failure
    month(shop, "2024-01")
    assert shop.materialize("features").success
    new = shop.lake.current(HISTORY)
    doubled = {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(new).to_pylist()}
    assert doubled == {at: 2 * value for at, value in values.items()}
    cited = at_version(new, looked_up(1))
    assert {row["ordered_at"]: row["last_amount_eur"] for row in shop.lake.read(cited).to_pylist()} == values

    # The released model still predicts from what it was trained on; a new one takes the new version, and then cites it.
    result = shop.materialize("predictions")
    assert result.success
    metadata = [
        event.event_specific_data.materialization.metadata
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION" and event.asset_key.path[0] == "predictions"
    ]
    assert metadata
    told = metadata[0]["views_standing_still"].value
    assert list(told) == [str(HISTORY)]
    assert told[str(HISTORY)]["version"] == 1 and told[str(HISTORY)]["delta_version"] == old.version and told[str(HISTORY)]["since"]
    scored = shop.lake.read(shop.lake.current(TableKey("predictions", "shop", "returns"))).to_pylist()
    assert {row["feature_versions"] for row in scored} and f'"{HISTORY}": {old.version}' in scored[0]["feature_versions"]
    assert shop.materialize("training_sets", "models", "evaluations", "releases").success
    released = shop.lake.states()[RETURNS][WHOLE].typed(ReleaseState).value
    assert released.champion == "2", released.reason
    assert released.cites[str(HISTORY)].version == 2
    assert released.rollback is not None and released.rollback.version == "1" and released.rollback.cites[str(HISTORY)].version == 1
    assert read_project(shop.defs).views[("shop", "history")].spec.version == 2


def test_live_and_rollback_releases_cite_and_a_refused_model_does_not() -> None:
    def states(release: ReleaseState) -> States:
        return States({RETURNS: {WHOLE: PartitionState(WHOLE, "x", value=release)}})

    live = ReleaseState("7", cites={str(HISTORY): Citation(1, "old")})
    assert view_versions.releases_that_cite(states(live), HISTORY, 1, "new") == ["shop.returns version 7 (live)"]
    assert view_versions.releases_that_cite(states(live), HISTORY, 1, "old") == []
    assert view_versions.releases_that_cite(states(live), HISTORY, 2, "new") == []
    back = ReleaseState("8", cites={str(HISTORY): Citation(2, "new")}, rollback=Rollback("7", live.cites))
    assert view_versions.releases_that_cite(states(back), HISTORY, 1, "other") == ["shop.returns version 7 (rollback)"]
    assert view_versions.releases_that_cite(states(ReleaseState(None)), HISTORY, 1, "new") == []
    assert view_versions.releases_that_cite(states(ReleaseState(None, rollback=back.rollback)), HISTORY, 1, "new") != []


def recomputed(
    done: dict[str, PartitionState[ViewState]], partitions: list[str], version: int, where: int, meaning: str = "m"
) -> dict[str, PartitionState[ViewState]]:
    """The states after some partitions were computed as a version of the view, and published as a version of the table."""
    value = ViewState(version=version, kept=view_versions.kept_versions(done, version), meaning=meaning)
    return {**done, **{name: PartitionState(name, f"{name}-{where}", where, value=value) for name in partitions}}


def place(done: dict[str, PartitionState[ViewState]], version: int) -> int | None:
    try:
        published = Published(HISTORY, max(state.version for state in done.values()), done)
        return view_versions.at_version(published, looked_up(version)).version
    except NotPublished:
        return None


def test_a_version_stands_where_all_partitions_were_of_it_however_they_are_recomputed() -> None:
    first = recomputed(recomputed({}, ["01", "02"], 1, 3), ["03"], 1, 4)
    assert place(first, 1) == 4 and place(first, 2) is None
    begun = recomputed(first, ["02"], 2, 5)
    assert place(begun, 1) == 4 and place(begun, 2) is None
    further = recomputed(begun, ["01"], 2, 6)
    assert place(further, 1) == 4 and place(further, 2) is None
    whole = recomputed(further, ["03"], 2, 7)
    assert place(whole, 1) == 4 and place(whole, 2) == 7
    assert place(recomputed(whole, ["04"], 2, 8), 1) == 4
    # Back to the first version half way: the second never stood.
    back = recomputed(further, ["01", "02"], 1, 7)
    assert place(back, 1) == 7 and place(back, 2) is None
    assert place(recomputed(back, ["03"], 2, 8), 1) == 7
    # A third begun before the second was whole.
    third = recomputed(begun, ["01", "02", "03"], 3, 6)
    assert place(third, 3) == 6 and place(third, 1) == 4 and place(third, 2) is None
    # Back from a whole second one.
    again = recomputed(whole, ["01"], 1, 8)
    assert place(again, 2) == 7 and place(again, 1) == 4


def test_partitions_that_a_view_does_not_have_any_more_are_of_no_version() -> None:
    months = recomputed({}, ["2024-01", "2024-02"], 1, 4)
    whole = recomputed(months, [WHOLE], 2, 5)
    assert place(whole, 2) == 5 and place(whole, 1) == 4


def test_a_training_set_cites_what_the_version_that_it_read_means() -> None:
    spec = FeatureSpec(("customer",), "predict_at", (looked_up(1),))
    second = recomputed(recomputed({}, ["01", "02"], 1, 3, "one"), ["01", "02"], 2, 5, "a second")
    back = recomputed(second, ["01"], 1, 6, "one")
    assert view_versions.cited_views(States({HISTORY: back}), spec) == {str(HISTORY): Citation(1, "one")}
    # A partition that isn't recomputed yet has what it meant before.
    changed = recomputed(recomputed({}, ["01", "02"], 1, 3, "before"), ["02"], 1, 4, "after")
    assert view_versions.cited_views(States({HISTORY: changed}), spec) == {str(HISTORY): Citation(1, "after")}
    # One that was published before meanings were recorded is cited by its version alone.
    unknown = {name: replace(state, value=replace(state.value, meaning=None)) for name, state in changed.items()}
    assert view_versions.cited_views(States({HISTORY: unknown}), spec) == {str(HISTORY): Citation(1)}


def test_a_view_means_something_else_when_a_view_that_it_reads_does(shop: Shop) -> None:
    from platform_assets.loading import read_project
    from platform_assets.stages.features.views import meaning

    def means() -> str:
        project = read_project(shop.defs)
        return meaning(project, project.views[("shop", "repeats")])

    folder = shop.defs / "shop" / "repeats"
    folder.mkdir()
    (folder / "view.sql").write_text("SELECT customer, ordered_at, 2 * last_items AS twice FROM shop.history\n")
    (folder / "defs.yaml").write_text(
        "type: platform_assets.components.FeatureView\nattributes:\n  name: repeats\n  description: Again.\n  sql: view.sql\n"
        "  keys: [customer]\n  event_time: ordered_at\n  partitions: {start: 2024-01-01, end: 2024-06-01}\n"
        "  columns:\n    twice: {type: integer, description: Twice the items.}\n"
    )
    before = means()
    change(shop, 2)
    after = means()
    assert after != before and view_versions.UPSTREAM in before
    path = shop.defs / "shop" / "history" / "view.sql"
    path.write_text("-- a remark\n" + path.read_text())
    assert means() == after

    # A release from before upstream views counted cites the view's own part; a view of tables only has no other.
    key = TableKey("features", "shop", "repeats")
    for cites, refusals in ((before, ["shop.returns version 7 (live)"]), (before.partition("+")[0], []), (after, [])):
        live = ReleaseState("7", cites={str(key): Citation(1, cites)})
        states = States({RETURNS: {WHOLE: PartitionState(WHOLE, "x", value=live)}})
        assert view_versions.releases_that_cite(states, key, 1, after) == refusals
    project = read_project(shop.defs)
    history = project.views[("shop", "history")]
    assert view_versions.UPSTREAM not in meaning(project, history)
    told = view_versions.refusal(key, history.spec, ["shop.returns version 7 (live)"], ["shop.history"])
    assert "or a view that it reads (shop.history)" in told


def test_a_version_that_is_not_kept_is_told() -> None:
    published = Published(HISTORY, 5, {"2024-01": PartitionState("2024-01", "x", 5, value=ViewState(version=3, kept={"2": 4}))})
    assert view_versions.at_version(published, looked_up(3)).version == 5
    assert view_versions.at_version(published, looked_up(2)).version == 4
    with pytest.raises(NotPublished, match="version 1 is not kept"):
        view_versions.at_version(published, looked_up(1))
