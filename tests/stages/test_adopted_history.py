"""Look-ups of an adopted Delta table: each value from the commit of the version that brought it on, in this process and on Spark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from lakeloop.records.tables import TableState
from lakeloop.rows.asof import FeatureRows, point_in_time_join
from lakeloop.spec.tables import TableSpec
from platform_assets.stages.features.adopted import known_frame, read_known_rows
from resources.lake.published import WHOLE, PartitionState, Published, TableKey
from resources.spark.asof import SparkFeatureRows, join_spine
from resources.spark.sessions import SparkResource

MOMENT = pa.timestamp("us", tz="UTC")
FIRST = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Row = tuple[str, str, datetime, int]
"""Order, customer, event time, amount."""

A, B, C = ("a", "x", FIRST - 48 * HOUR, 1), ("b", "x", FIRST - 24 * HOUR, 2), ("c", "y", FIRST + 20 * HOUR, 3)
VERSIONS: list[tuple[datetime, list[Row]]] = [
    (FIRST, [A, B]),
    (FIRST + 24 * HOUR, [A, ("b", "x", B[2], 20), C]),  # corrected, and a new row
    (FIRST + 48 * HOUR, [("a", "y", A[2], 1), ("b", "x", B[2], 20), C]),  # of another customer now
    (FIRST + 72 * HOUR, [("a", "y", A[2], 1), C]),  # vanished
    (FIRST + 96 * HOUR, [("a", "y", A[2], 1), ("b", "x", B[2], 20), C]),  # and back
]
SPEC = TableSpec(
    name="orders",
    description="Orders of another's.",
    source={"delta": "orders"},
    keys=["order_id"],
    event_time="at",
    known_delay="2h",
    columns={"order_id": {"type": "string"}, "customer": {"type": "string"}, "at": {"type": "timestamp"}, "amount": {"type": "integer"}},
)


def frame(rows: Sequence[Row]) -> pa.Table:
    fields = [("order_id", pa.string()), ("customer", pa.string()), ("at", MOMENT), ("amount", pa.int64())]
    return pa.Table.from_pylist([dict(zip([name for name, _ in fields], row, strict=True)) for row in rows], schema=pa.schema(fields))


@pytest.fixture
def adopted(tmp_path: Path) -> Iterator[Published]:
    """The checked version of a table whose versions were committed at their moments."""
    path = tmp_path / "orders"
    for number, (at, rows) in enumerate(VERSIONS):
        deltalake.write_deltalake(str(path), frame(rows), mode="overwrite")
        log = path / "_delta_log" / f"{number:020d}.json"
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        for action in actions:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] = int(at.timestamp() * 1000)
        log.write_text("\n".join(map(json.dumps, actions)))
    newest = len(VERSIONS) - 1
    state = PartitionState(WHOLE, "print", newest, 3, None, TableState(url=str(path)))
    yield Published(TableKey("validated", "shop", "orders"), newest, {WHOLE: state})


def wanted_at(customer: str, moment: datetime) -> int | None:
    """The amount of the customer's newest order as of a moment: nothing of an order that was the customer's once and isn't any more."""
    landed = [rows for place, (at, rows) in enumerate(VERSIONS) if place == 0 or at <= moment]
    current = {row[0]: row for row in landed[-1]}
    once = {(row[2], row[0]): current.get(row[0]) for rows in landed for row in rows if row[1] == customer and row[2] + 2 * HOUR <= moment}
    if not once:
        return None
    newest = once[max(once)]
    return newest[3] if newest and newest[1] == customer else None


def join_here(spine: pa.Table, published: Published) -> pa.Table:
    rows = read_known_rows(published, SPEC, ["customer", "at", "amount", "known_at"], ["customer"])
    features = FeatureRows("orders", rows, ("customer",), {"amount": "amount"}, event_time="at", known_at="known_at")
    return point_in_time_join(spine, [features], at="asked_at")


def join_on_spark(spine: pa.Table, published: Published) -> pa.Table:
    spark = SparkResource().session("tests")
    located: Any = SimpleNamespace(spec=SPEC)
    rows = known_frame(spark, located, published, ["customer", "at", "amount", "known_at"], ["customer"])
    features = SparkFeatureRows(
        "orders", rows, ("customer",), {"amount": "amount"}, event_time="at", known_at="known_at", order=("_order",)
    )
    return join_spine(spark, spine, [features], at="asked_at")


@pytest.mark.parametrize("join", [join_here, join_on_spark])
def test_a_value_of_an_adopted_table_is_known_from_the_version_that_brought_it(adopted: Published, join: Any) -> None:
    moments = [FIRST + HOUR * hours for hours in range(-50, 110, 3)]
    asked: list[Mapping[str, Any]] = [{"customer": name, "asked_at": at} for name in ("x", "y") for at in moments]
    spine = pa.Table.from_pylist(asked, schema=pa.schema([("customer", pa.string()), ("asked_at", MOMENT)]))
    amounts = join(spine, adopted)["amount"].to_pylist()
    assert amounts == [wanted_at(row["customer"], row["asked_at"]) for row in asked]
    assert {None, 1, 2, 3, 20} == set(amounts)


def test_a_table_of_one_version_is_read_as_it_is(adopted: Published) -> None:
    from dataclasses import replace

    rows = read_known_rows(replace(adopted, version=0), SPEC, ["order_id", "known_at"], ["customer"])
    assert dict(zip(rows["order_id"].to_pylist(), rows["known_at"].to_pylist(), strict=True)) == {
        "a": A[2] + 2 * HOUR,
        "b": B[2] + 2 * HOUR,
    }
