"""The shop's walk with its lake in a real object store; what it stores holds no credential."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg

from resources.lake.published import WHOLE, TableKey
from tests.worlds.servers.object_store import BUCKET, ObjectStore
from tests.worlds.shop_project import Shop, failures, fresh


def test_the_walk_on_an_object_store_and_a_second_time_for_nothing(
    shop: Shop, object_store_environment: ObjectStore, home: Path, tmp_path: Path
) -> None:
    there = replace(shop, lake_url=f"{object_store_environment.url}/walk")
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        first = there.materialize(instance=instance)
        assert first.success, failures(first)
        assert there.lake.states()[TableKey("releases", "shop", "returns")][WHOLE].value["champion"] == "1"
        second = there.materialize(instance=instance)
        assert second.success and fresh(second) == {True}
    assert not Path(shop.lake_url).exists()

    secret = object_store_environment.environment["AWS_SECRET_ACCESS_KEY"].encode()
    stored = [path for folder in (tmp_path, home) for path in folder.rglob("*") if path.is_file()]
    assert len(stored) > 20
    assert [path for path in stored if secret in path.read_bytes()] == []
    objects = _objects(object_store_environment)
    assert any(name.endswith("_delta_log/00000000000000000000.json") for name in objects)
    assert [name for name, content in objects.items() if secret in content] == []


def _objects(store: ObjectStore) -> dict[str, bytes]:
    from pyarrow import fs

    env = store.environment
    client = fs.S3FileSystem(
        access_key=env["AWS_ACCESS_KEY_ID"],
        secret_key=env["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=env["AWS_ENDPOINT_URL"].partition("://")[2],
        scheme="http",
    )
    listed = client.get_file_info(fs.FileSelector(f"{BUCKET}/walk", recursive=True))
    return {info.path: client.open_input_file(info.path).read() for info in listed if info.type == fs.FileType.File}
