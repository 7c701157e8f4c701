"""The same definitions on every Spark: the embedded engine, a Connect server on a JVM, a JVM of this machine; joins here and there."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.on_spark import QUERIES, results
from tests.worlds.places import ROOT
from tests.worlds.servers import jvm_spark
from tests.worlds.servers.object_store import ObjectStore
from tests.worlds.shop_project import Shop, failures, make


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, mlflow_uri: str) -> Iterator[Shop]:
    """A shop that has been walked once, up to a released model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKELOOP_ENV", "engines")
        shop = make(tmp_path_factory.mktemp("engines"), mlflow_uri)
        done = shop.materialize("raw", "validated", "features", "training_sets", "models", "evaluations", "releases")
        assert done.success, failures(done)
        yield shop


@pytest.fixture(scope="module")
def expected(walked: Shop) -> dict[str, pa.Table]:
    """Queries on the embedded engine, joins and predictions in this process."""
    return results(None, walked.defs, walked.lake_url, walked.uri, spark_rows=10**9)


def same(expected: dict[str, pa.Table], actual: dict[str, pa.Table]) -> None:
    """Every value and the schema of every table are equal; a query's rows have no order, the spine's have."""
    assert set(actual) == set(expected) and len(actual) > len(QUERIES) + 3
    for name, one in expected.items():
        two = actual[name]
        assert two.num_rows == one.num_rows > 0, name
        assert two.schema.equals(one.schema), f"{name}: {one.schema}\n{two.schema}"
        if name.startswith(("view", "query")):
            order = [(field.name, "ascending") for field in one.schema if field.type != pa.float64()]
            one, two = one.sort_by(order), two.sort_by(order)
        for column in one.column_names:
            a, b = one[column].to_pylist(), two[column].to_pylist()
            if one.schema.field(column).type == pa.float64():
                # A sliding window adds and takes away on one engine and starts anew on the other: a double's last bits may differ.
                pairs = list(zip(a, b, strict=True))
                assert [x is None for x in a] == [x is None for x in b], f"{name}.{column}"
                assert all(math.isclose(x, y, rel_tol=1e-12) for x, y in pairs if x is not None and y is not None), f"{name}.{column}"
            else:
                assert a == b, f"{name}.{column}"


def test_the_embedded_engine_joins_and_predicts_as_this_process_does(walked: Shop, expected: dict[str, pa.Table]) -> None:
    same(expected, results(None, walked.defs, walked.lake_url, walked.uri, spark_rows=0))


def test_a_connect_server_on_a_jvm_without_delta_gives_every_value_and_schema_that_the_embedded_engine_does(
    walked: Shop, expected: dict[str, pa.Table], jvm_remote: str
) -> None:
    same(expected, results(jvm_remote, walked.defs, walked.lake_url, walked.uri, spark_rows=0))


def test_a_jvm_of_this_machine_without_delta_gives_every_value_and_schema_that_the_embedded_engine_does(
    walked: Shop, expected: dict[str, pa.Table], tmp_path: Path
) -> None:
    if jvm_spark.missing():
        pytest.skip(jvm_spark.missing())
    command = [sys.executable, "-m", "tests.worlds.on_spark", "local[2]", str(walked.defs), walked.lake_url, walked.uri, str(tmp_path)]
    # A process that has had a Connect session says so to its children, and then they can't have a JVM.
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")} | {"PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    same(expected, {path.stem: pq.read_table(path) for path in tmp_path.glob("*.parquet")})


def test_a_jvm_that_cannot_reach_the_object_store_is_brought_the_rows(object_store_environment: ObjectStore, jvm_remote: str) -> None:
    import deltalake

    from resources.spark.sessions import SparkResource
    from resources.spark.tables import read_delta

    moment = pa.timestamp("us", tz="UTC")
    rows = pa.table({"n": [1, 2, None], "at": pa.array([0, None, 5], moment), "name": ["a", "é", None], "_partition": ["x", "y", "y"]})
    url = f"{object_store_environment.url}/engines/rows"
    deltalake.write_deltalake(url, rows, partition_by=["_partition"])
    deltalake.write_deltalake(url, rows, mode="append")
    spark = SparkResource(remote=jvm_remote).session("tests")
    for version, partitions, wanted in ((0, None, rows), (0, ["y"], rows[1:]), (1, ["x"], pa.concat_tables([rows[:1]] * 2))):
        read = read_delta(spark, url, version, partitions).toArrow().select(rows.column_names)
        assert read.schema.types == rows.schema.types
        assert sorted(read.to_pylist(), key=str) == sorted(wanted.to_pylist(), key=str)


def test_a_jvm_elsewhere_is_brought_the_rows_of_a_folder_with_other_letters(tmp_path: Path, jvm_remote: str) -> None:
    import deltalake

    from resources.spark.sessions import SparkResource
    from resources.spark.tables import read_delta

    table = tmp_path / "Überfluß 100% #1 {a}" / "t"
    deltalake.write_deltalake(str(table), pa.table({"n": [1, 2], "_partition": ["x", "y"]}), partition_by=["_partition"])
    spark = SparkResource(remote=jvm_remote).session("tests")
    assert read_delta(spark, str(table), 0).count() == 2
    assert read_delta(spark, str(table), 0, ["y"]).toArrow()["n"].to_pylist() == [2]


def test_a_message_may_be_larger_than_what_a_client_takes_by_itself() -> None:
    from resources.spark.sessions import SparkResource

    size = 130 * 2**20
    (row,) = (
        SparkResource()
        .session("tests")
        .sql(f"SELECT length(long) AS counted, long FROM (SELECT repeat('x', {size}) AS long)")
        .toArrow()
        .to_pylist()
    )
    assert row["counted"] == len(row["long"]) == size


def test_each_domain_and_size_has_the_address_that_the_template_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeloop.errors import LakeloopError, ServiceUnavailable
    from resources.spark.sessions import EmbeddedEngine, SparkResource
    from tests.worlds.servers.ports import free_port

    assert isinstance(SparkResource().engine, EmbeddedEngine)
    monkeypatch.setenv("LAKELOOP_SPARK", "sc://{domain}-{size}.spark:15002")
    assert SparkResource().engine.open_session("flights", "large") == "sc://flights-large.spark:15002"
    monkeypatch.setenv("LAKELOOP_SPARK", "sc://{team}.spark:15002")
    with pytest.raises(LakeloopError, match="wanted an address such as"):
        SparkResource().engine.open_session("flights", "small")
    remote = f"sc://127.0.0.1:{free_port()}"
    with pytest.raises(ServiceUnavailable, match=f"Spark did not answer at {remote}"):
        SparkResource(remote=remote).session("flights")


@pytest.fixture
def refusing() -> Iterator[str]:
    """The address of a Connect server that says the token it was given and refuses it."""
    import grpc

    class Refusing(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            told = dict(details.invocation_metadata).get("x-key", "nothing")
            return grpc.unary_unary_rpc_method_handler(lambda _, call: call.abort(grpc.StatusCode.UNAUTHENTICATED, f"{told} has expired"))

    server = grpc.server(ThreadPoolExecutor(2), [Refusing()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize(
    "address",
    [
        "sc://{host}/;user_id=me;x-key=SECRET",
        "sc://{host}/;token=SECRET;broken",
        "sc://127.0.0.1:1/;token=SECRET",
        "sc://me:SECRET@h:p",
    ],
)
def test_a_token_in_an_address_is_not_told(refusing: str, address: str) -> None:
    from lakeloop.errors import LakeloopError, ServiceUnavailable
    from resources.settings import Settings
    from resources.spark.sessions import RemoteEngine, SparkResource

    address = address.format(host=refusing)
    spark = SparkResource(remote=address)
    with pytest.raises(ServiceUnavailable) as told:
        spark.session("flights")
    with pytest.raises(LakeloopError, match="wanted an address such as") as unfilled:
        RemoteEngine("sc://{team}.spark/;token=SECRET").open_session("flights", "small")
    settings = Settings.from_environment({"LAKELOOP_SPARK": address})
    everything = [
        *traceback.format_exception(told.value),
        str(unfilled.value),
        repr(settings),
        repr(spark),
        repr(spark.engine),
    ]
    assert "SECRET" not in "".join(everything)
    assert str(told.value).startswith(f"Spark did not answer at sc://{refusing if refusing in address else ''}")
