"""What a late file reaches: the days within a view's lookback, in every month that they lie in, and no older training set."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakeloop.records.tables import ViewState
from lakeloop.spec.tables import Partitions
from resources.lake.published import TableKey
from tests.worlds.shop_project import Shop
from tests.worlds.trailing_shop import HISTORY, TRAILING_SQL, late, spent


@pytest.mark.parametrize(
    ("at", "months"),
    [
        ("2024-03-02 12:00:00", {"2024-03"}),
        ("2024-03-30 12:00:00", {"2024-03", "2024-04"}),
        ("2024-02-28 23:59:00", {"2024-02", "2024-03"}),  # 2024 is a leap year
    ],
)  # fmt: skip
def test_a_late_file_dirties_the_days_it_reaches(trailing: Shop, at: str, months: set[str]) -> None:
    from platform_assets.definitions import read_project
    from platform_assets.plan import stale_assets

    before, values = trailing.lake.states()[HISTORY], spent(trailing)
    late(trailing, at)
    assert trailing.materialize("raw", "validated").success
    stale = stale_assets(read_project(trailing.defs), trailing.lake.states())
    assert set(stale[HISTORY]) == months
    assert trailing.materialize("features").success
    after = trailing.lake.states()[HISTORY]
    assert {name for name in after if after[name].version != before[name].version} == months
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    changed = {key for key, value in spent(trailing).items() if key in values and abs(value - values[key]) > 1e-6}
    assert changed and len({name for name, _ in changed}) == 1
    assert all(0 <= (when - moment).total_seconds() <= 3 * 86400 for _, when in changed)


def test_older_training_sets_do_not_move_when_a_file_is_late(trailing: Shop) -> None:
    key = TableKey("training_sets", "shop", "returns")
    first = trailing.lake.current(key)
    before = {row["order_id"]: row["history__spent_3d_eur"] for row in trailing.lake.read(first).to_pylist()}
    late(trailing, "2024-03-02 12:00:00")
    assert trailing.materialize("raw", "validated", "features", "training_sets").success
    assert trailing.lake.current(key).version > first.version
    again = {row["order_id"]: row["history__spent_3d_eur"] for row in trailing.lake.read((key, first.version)).to_pylist()}
    rebuilt = {row["order_id"]: row["history__spent_3d_eur"] for row in trailing.lake.read(trailing.lake.current(key)).to_pylist()}
    assert again == before
    assert {order: rebuilt[order] for order in before} == before
    assert "late-2024-03-02" in rebuilt


def test_what_was_known_stays_when_a_view_is_described_or_cut_otherwise_and_goes_when_it_computes_something_else(trailing: Shop) -> None:
    def known() -> list[tuple[Any, ...]]:
        rows = trailing.lake.read(trailing.lake.current(HISTORY)).to_pylist()
        return sorted((row["customer"], row["ordered_at"], row["known_at"], row["spent_3d_eur"]) for row in rows)

    late(trailing, "2024-03-02 12:00:00")
    assert trailing.materialize("raw", "validated", "features").success
    before = known()
    assert len({row[:2] for row in before}) < len(before)  # what was corrected is there as it was, too
    path = trailing.defs / "shop" / "history" / "defs.yaml"
    expectation = "  expectations:\n    - expect_column_values_to_be_between: {column: spent_3d_eur, min_value: 0}\n"
    path.write_text(path.read_text().replace("Spent in the three days up to the order.", "Spent in three days.") + expectation)
    assert trailing.materialize("features").success
    assert known() == before
    # Nor are partitions a view's meaning.
    parted = path.read_text()
    for text in (parted.replace("  partitions: {start: 2024-01-01, end: 2024-06-01}\n", ""), parted):
        path.write_text(text)
        assert trailing.materialize("features").success
        assert known() == before
    path.with_name("view.sql").write_text(TRAILING_SQL.replace("sum(amount_eur)", "max(amount_eur)"))
    assert trailing.materialize("features").success
    after = known()
    # What it computes now is known as its inputs were: the late order from its landing on.
    assert [row[:3] for row in after] == [row[:3] for row in before] and after != before


def test_what_an_earlier_version_dated_by_another_rule_is_dated_anew_when_it_is_computed_again(trailing: Shop) -> None:
    late(trailing, "2024-03-02 12:00:00")
    assert trailing.materialize("raw", "validated", "features").success
    published = trailing.lake.current(HISTORY)
    right = trailing.lake.read(published)
    # As if every value had been known by the rule of the view alone, and reading not been recorded.
    due = pc.add(right["ordered_at"], pa.scalar(timedelta(minutes=1), pa.duration("us")))
    wrong = right.set_column(right.schema.get_field_index("known_at"), "known_at", due)
    states = [
        replace(state, value=replace(state.typed(ViewState).value, read_as=None, read_until=None))
        for state in published.partitions.values()
    ]
    trailing.lake.publish(HISTORY, wrong, states)
    late(trailing, "2024-03-03 12:00:00")
    assert trailing.materialize("raw", "validated", "features").success
    rows = trailing.lake.read(trailing.lake.current(HISTORY)).to_pylist()
    june = datetime(2024, 6, 1, tzinfo=UTC)
    landed_late = {(row["customer"], row["ordered_at"]) for row in right.to_pylist() if row["known_at"] > june}
    # The two landings lie within minutes, and count as the second.
    assert landed_late and landed_late <= {(row["customer"], row["ordered_at"]) for row in rows if row["known_at"] > june}
    assert len({(row["customer"], row["ordered_at"], row["known_at"]) for row in rows}) == len(rows)


def test_a_view_is_computed_anew_for_all_times_when_a_table_that_it_reads_is_read_otherwise(trailing: Shop) -> None:
    late(trailing, "2024-03-02 12:00:00")
    assert trailing.materialize("raw", "validated", "features").success
    landed = trailing.lake.states()[TableKey("raw", "shop", "orders")]["source"].value["last"]
    path = trailing.defs / "shop" / "orders" / "defs.yaml"
    path.write_text(path.read_text().replace("amount_is_positive: amount_eur > 0", "amount_is_positive: amount_eur > 30"))
    assert trailing.materialize("validated", "features").success
    rows = trailing.lake.read(trailing.lake.current(HISTORY)).to_pylist()
    # No landing took the small orders away, so they are not there as what was known once; the late order is still known from its landing on.
    assert not any(row["_retracted"] for row in rows)
    assert {row["known_at"] for row in rows if row["known_at"] > datetime(2024, 6, 1, tzinfo=UTC)} == {datetime.fromisoformat(landed)}


def test_without_hashes_per_day_a_month_counts_as_a_whole(trailing: Shop) -> None:
    from platform_assets.stages.inputs import input_fingerprints
    from resources.lake.published import PartitionState

    key = TableKey("validated", "shop", "orders")
    window = datetime(2024, 3, 29, tzinfo=UTC), datetime(2024, 5, 1, tzinfo=UTC)
    months = Partitions(start=date(2024, 1, 1), end=date(2024, 6, 1))
    plain: dict[str, Any] = {name: PartitionState(name, name) for name in ("2024-03", "2024-04", "undated")}
    assert input_fingerprints({key: plain}, key, months, *window) == {name: name for name in plain}
    split = {"2024-03": PartitionState("2024-03", "x", value={"days": {"2024-03-28": "a", "2024-03-29": "b"}})}
    other = {"2024-03": PartitionState("2024-03", "y", value={"days": {"2024-03-28": "changed", "2024-03-29": "b"}})}
    reached = {"2024-03": PartitionState("2024-03", "y", value={"days": {"2024-03-28": "a", "2024-03-29": "changed"}})}
    prints = [input_fingerprints({key: states}, key, months, *window)["2024-03"] for states in (split, other, reached)]
    assert prints[0] == prints[1] != prints[2]
