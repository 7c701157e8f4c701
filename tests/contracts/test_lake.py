"""The lake with two writers at once, in a folder and on a real object store: nothing lost, nothing doubled, a clear Conflict."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lakeloop.errors import Conflict, ServiceUnavailable
from lakeloop.notices import normalize_reason
from resources.host import crash_points
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, TableKey
from tests.worlds.servers.object_store import ObjectStore
from tests.worlds.servers.ports import free_port

KEY = TableKey("validated", "shop", "orders")
WRITERS = 3


@pytest.fixture(params=["folder", "object store"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "lake")
    store: ObjectStore = request.getfixturevalue("object_store_environment")
    return f"{store.url}/{tmp_path.name}"


@pytest.fixture(scope="module")
def pool(object_store_environment: ObjectStore) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(WRITERS, mp_context=multiprocessing.get_context("spawn")) as workers:
        list(workers.map(_ready, range(WRITERS)))
        yield workers


def _ready(_: int) -> int:
    import deltalake  # noqa: F401  # imported before the race starts

    time.sleep(0.5)
    return os.getpid()


def _append(url: str, writer: int, start: float, count: int, once: str) -> None:
    time.sleep(max(0.0, start - time.time()))
    for number in range(count):
        Lake(url).append("reports/checks", pa.table({"writer": [writer], "number": [number]}), once=once)


def _publish(url: str, writer: int, start: float) -> str:
    lake, partition = Lake(url), "2024-01"
    rows = pa.table({"writer": [writer] * 100, "_partition": [partition] * 100})
    time.sleep(max(0.0, start - time.time()))
    try:
        lake.publish(KEY, rows, [PartitionState(partition, f"f{writer}", rows=100)], run_id=str(writer))
    except Conflict as error:
        return str(error)
    return ""


def test_appends_of_processes_that_make_the_table_together_all_land(url: str, pool: ProcessPoolExecutor) -> None:
    start = time.time() + 0.3
    for done in [pool.submit(_append, url, writer, start, 4, "") for writer in range(WRITERS)]:
        done.result(120)
    stored = Lake(url).open("reports/checks").to_pyarrow_table().to_pylist()
    assert sorted((r["writer"], r["number"]) for r in stored) == [(w, n) for w in range(WRITERS) for n in range(4)]


def test_an_append_under_one_id_lands_once_whoever_comes_first(url: str, pool: ProcessPoolExecutor) -> None:
    start = time.time() + 0.3
    for done in [pool.submit(_append, url, writer, start, 2, "run-1") for writer in range(WRITERS)]:
        done.result(120)
    assert Lake(url).open("reports/checks").to_pyarrow_table().num_rows == 1


def test_of_two_publications_at_once_each_lands_whole_or_is_a_conflict(url: str, pool: ProcessPoolExecutor) -> None:
    conflicts = 0
    for _ in range(3):
        before = Lake(url).open(KEY)
        start = time.time() + 0.3
        told = [done.result(120) for done in [pool.submit(_publish, url, writer, start) for writer in range(WRITERS)]]
        lake = Lake(url)
        rows = lake.read(lake.current(KEY))
        assert rows.num_rows == 100 and len(rows["writer"].unique()) == 1
        landed = lake.open(KEY).version() - (before.version() if before is not None else -1)
        assert landed == told.count("") >= 1
        assert all("another writer" in text for text in told if text)
        conflicts += len(told) - landed
    assert conflicts


def test_a_store_that_is_gone_or_shut_is_told_by_its_url_without_the_key(
    object_store_environment: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = object_store_environment.environment["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" + secret)
    with pytest.raises(ServiceUnavailable, match="the store s3://lake did not give s3://lake/a .* 403") as shut:
        Lake("s3://lake/a").states()
    with pytest.raises(ServiceUnavailable, match="the store s3://lake did not give s3://lake/a") as other:
        Lake("s3://lake/a").open(KEY)
    assert normalize_reason(str(shut.value)) == normalize_reason(str(other.value)), "one message for all its tables"
    assert secret not in str(shut.value) and "\n" not in str(shut.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ServiceUnavailable, match="the store s3://lake did not give s3://lake/a"):
        Lake("s3://lake/a").states()


@pytest.mark.parametrize("mode", ["append", "partitions"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_writer_that_comes_between_while_statistics_are_switched_off_is_a_conflict(tmp_path: Path, mode: Any, when: str) -> None:
    def batch(number: int) -> pa.Table:
        return pa.table({"a": [number], "_partition": ["p"]})

    lake = Lake(str(tmp_path))
    lake.publish(KEY, batch(1), [PartitionState("p", "first", rows=1)], mode=mode)
    states = lake.states()[KEY]

    class Outrun(Lake):
        def _without_statistics(self, key: TableKey, table: Any) -> Any:
            if when == "after":
                table = super()._without_statistics(key, table)
            other = Lake(str(tmp_path))
            other.publish(key, batch(2), [PartitionState("p", "second", rows=1)], mode=mode, after=other.states()[key])
            return super()._without_statistics(key, table) if when == "before" else table

    with pytest.raises(Conflict):
        Outrun(str(tmp_path)).publish(KEY, batch(3), [PartitionState("p", "third", rows=1)], mode=mode, after=states, statistics=False)
    lake.settle(KEY)
    assert lake.current(KEY).partitions["p"].fingerprint == "second"
    assert 3 not in lake.read(lake.current(KEY))["a"].to_pylist()


def test_a_version_stays_readable_when_its_log_is_older_than_a_month(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))

    def commit(number: int) -> None:
        lake._commit(KEY, pa.table({"a": [number], "_partition": ["p"]}), ["p"], "append", {})

    commit(0)
    table = lake.open(KEY)
    assert table is not None
    table.alter.set_table_properties({"delta.checkpointInterval": "5"})
    for number in range(1, 10):
        commit(number)
    for entry in (tmp_path / KEY.path / "_delta_log").iterdir():
        os.utime(entry, (time.time() - 40 * 86_400,) * 2)
    for number in range(10, 20):
        commit(number)
    assert sorted(lake.read((KEY, 7))["a"].to_pylist()) == list(range(7))


def test_retired_partitions_go_with_the_commit_of_those_in_their_place(url: str) -> None:
    lake = Lake(url)

    def publish(*names: str, retire: tuple[str, ...] = ()) -> None:
        rows = pa.table({"n": list(range(len(names))), "_partition": list(names)})
        states = [PartitionState(name, f"of {name}", rows=1) for name in names]
        lake.publish(KEY, rows, states, beside={TableKey("quarantine", "shop", "orders"): rows}, retire=retire)

    def standing() -> list[str]:
        current = lake.current(KEY)
        rows = sorted(lake.read(current)["_partition"].to_pylist())
        assert rows == sorted(current.partitions)
        assert sorted(lake.open("quarantine/shop/orders").to_pyarrow_table()["_partition"].to_pylist()) == rows
        return rows

    publish("whole")
    publish("2024-01", "2024-02", retire=("whole",))
    assert standing() == ["2024-01", "2024-02"]
    publish("2024-03", retire=("2024-01",))
    assert standing() == ["2024-02", "2024-03"]
    publish("2024-02-01", "2024-03-01", retire=("2024-02", "2024-03"))
    assert standing() == ["2024-02-01", "2024-03-01"]
    publish("whole", retire=("2024-02-01", "2024-03-01"))
    assert standing() == ["whole"]


def test_a_crash_before_the_verdict_retires_partitions_when_it_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.publish(KEY, pa.table({"n": [1], "_partition": ["2024-01"]}), [PartitionState("2024-01", "month", rows=1)])
    with monkeypatch.context() as patch, pytest.raises(crash_points.Crash):
        patch.setattr(crash_points, "watch", _crash_after_commit)
        day = pa.table({"n": [1], "_partition": ["2024-01-01"]})
        lake.publish(KEY, day, [PartitionState("2024-01-01", "day", rows=1)], retire=["2024-01"])
    assert list(lake.current(KEY).partitions) == ["2024-01"] and lake.read(lake.current(KEY)).num_rows == 1
    lake.settle(KEY)
    assert list(lake.current(KEY).partitions) == ["2024-01-01"]
    assert lake.read(lake.current(KEY))["_partition"].to_pylist() == ["2024-01-01"]


def _crash_after_commit(point: str) -> None:
    if point == "lake.after_commit":
        raise crash_points.Crash(point)


def test_rows_are_read_in_the_order_that_is_asked_for_whatever_the_order_in_the_files(tmp_path: Path) -> None:
    rng, lake, key = np.random.default_rng(0), Lake(str(tmp_path)), TableKey("training_sets", "shop", "returns")
    rows = pa.table(
        {"at": np.arange(5000) // 7, "id": [f"o{n:05d}" for n in range(5000)], "x": np.arange(5000.0), "split": ["a", "b"] * 2500}
    )
    lake.publish(key, rows.take(pa.array(rng.permutation(5000))), [PartitionState(WHOLE, "f", rows=5000)])
    read = lake.current(key)
    assert lake.read(read)["x"].to_pylist() != rows["x"].to_pylist()
    assert lake.read(read, order=["at", "id"]).select(rows.column_names).equals(rows)
    some = lake.read(read, columns=["x"], where=pc.field("split") == "b", order=["at", "id"])
    assert some.column_names == ["x"] and some["x"].to_pylist() == rows["x"].to_pylist()[1::2]
    assert lake.read(read, columns=["x"], order=["split", "x"])["x"].to_pylist()[:3] == [0.0, 2.0, 4.0]
