"""Folders with spaces, signs and letters beyond ASCII: what a lake, a source and an engine make of them, and which are refused."""

from __future__ import annotations

import json
import os
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lakeloop.errors import DataError, LakeloopError
from resources.lake.published import TableKey
from tests.worlds.servers.ports import free_port
from tests.worlds.shop_project import failures, make

ODD = {
    "letters": f" Überfluß {unicodedata.normalize('NFD', 'Crème')}  データ🚀 ",
    "percent and hash": "100% #1 %s %(x)s %",
    "quotes": "a'b\"c`d",
    "signs": "a+b&c;d=e,f$g!h(i)j@k~l:m<n>",
    "pattern": "a*b{c,d}e?",
    "long": "/".join(["long" * 40] * 12),
}
UNUSABLE = ["a%41b", "100%25", "a[1]", "a]", "a^b", "a|b", "a\\b", "a\nb", "a\tb"]
ROWS = pa.table({"n": [1, 2, 3], "_partition": ["x", "y", "y"]})
ADOPTED = """\
type: platform_assets.components.LakeTable
attributes:
  name: prices
  description: One row per price.
  source: {{delta: {delta}}}
  keys: [n]
  columns:
    n: {{type: integer, nullable: false, description: What it is of.}}
"""
DOUBLED = """\
type: platform_assets.components.FeatureView
attributes:
  name: doubled
  description: Prices twice.
  sql: view.sql
  keys: [n]
  columns:
    twice: {type: integer, description: Twice the number.}
"""


@pytest.fixture(params=ODD.values(), ids=list(ODD))
def odd(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder at an odd path."""
    folder = tmp_path / str(request.param)
    folder.mkdir(parents=True)
    return folder


def test_a_view_is_computed_on_the_embedded_engine_from_files_and_an_adopted_table_there(odd: Path) -> None:
    import dagster as dg
    import deltalake

    shop = make(odd, f"http://127.0.0.1:{free_port()}")
    table = odd / "adopted table" / "prices"
    deltalake.write_deltalake(str(table), ROWS.drop_columns(["_partition"]))
    for name, files in {
        "prices": {"defs.yaml": ADOPTED.format(delta=json.dumps(str(table), ensure_ascii=False))},
        "doubled": {"defs.yaml": DOUBLED, "view.sql": "SELECT n, 2 * n AS twice FROM shop.prices"},
    }.items():
        (shop.defs / "shop" / name).mkdir()
        for file, text in files.items():
            (shop.defs / "shop" / name / file).write_text(text)
    keys = ["raw/shop/orders", "validated/shop/orders", "features/shop/basket", "validated/shop/prices", "features/shop/doubled"]
    result = shop.run([dg.AssetKey(key.split("/")) for key in keys], {"dagster/asset_partition_range_start": "2024-01", "dagster/asset_partition_range_end": "2024-05"})  # fmt: skip
    assert result.success, failures(result)
    assert shop.lake.read(shop.lake.current(TableKey("features", "shop", "basket"))).num_rows == 1200
    assert sorted(shop.lake.read(shop.lake.current(TableKey("features", "shop", "doubled")))["twice"].to_pylist()) == [2, 4, 6]
    assert {path.name for path in odd.iterdir()} == {"platform_assets", "lake", "adopted table"}


def test_the_studies_of_a_search_are_stored_there(odd: Path) -> None:
    import optuna

    from resources.search.storage import study_storage
    from resources.settings import Settings

    if "?" in str(odd) or len(str(odd)) > 400:
        return  # refused, see below
    settings = Settings.from_environment({"LAKELOOP_HOME": str(odd)})
    optuna.create_study(storage=study_storage(settings), study_name="one")
    assert (odd / "dev" / "studies.db").stat().st_size


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_lake_where_no_table_could_be_opened_is_refused_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    shop = make(tmp_path / name, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DataError, match=r"can't hold Delta tables, as its path has .*: wanted one without"):
        shop.lake.states()
    result = shop.materialize("raw")
    assert "can't hold Delta tables" in failures(result)
    assert not Path(shop.lake_url).exists()
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / name)
    with pytest.raises(DataError, match="can't hold Delta tables"):
        type(shop.lake)(str(linked / "lake")).states()


@pytest.mark.parametrize("name", ["what?", "a%41b", "/".join(["long" * 40] * 3)])
def test_local_state_where_no_sqlite_file_could_be_opened_is_refused(tmp_path: Path, name: str) -> None:
    from resources.settings import Settings

    with pytest.raises(LakeloopError, match="LAKELOOP_HOME: no SQLite database can be opened in .*; rename the folder, or name another"):
        Settings.from_environment({"LAKELOOP_HOME": str(tmp_path / name)})


def test_the_longest_folder_of_local_state_takes_databases(tmp_path: Path) -> None:
    import dagster as dg
    import optuna

    from resources.search.storage import study_storage
    from resources.settings import LONGEST_HOME, Settings

    folder = tmp_path / ("a" * 200)
    folder /= "b" * (LONGEST_HOME - len(f"{folder}//dev"))
    settings = Settings.from_environment({"LAKELOOP_HOME": str(folder)})
    assert len(str(settings.home)) == LONGEST_HOME
    optuna.create_study(storage=study_storage(settings), study_name="one")
    (settings.home / "dagster").mkdir()
    (settings.home / "dagster" / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as instance:

        @dg.job
        def nothing() -> None:
            pass

        run = nothing.execute_in_process(instance=instance)
        assert len(instance.all_logs(run.run_id)) > 0


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("data [2024]/*.csv", ["data [2024]/a.csv", "data [2024]/b[1].csv"]),
        ("data [2024]/b[1].csv", ["data [2024]/b[1].csv"]),
        ("data [2024]/b[[]1].csv", ["data [2024]/b[1].csv"]),
        ("data [[]2024]/[a-b]*.csv", ["data [2024]/a.csv", "data [2024]/b[1].csv"]),
        ("../defs ü/data [2024]/a.csv", ["../defs ü/data [2024]/a.csv"]),
        ("d[a]ta/*", ["data/x.csv"]),
        ("1*/{a}?.csv", ["100% #1/{a}?.csv"]),
    ],
)
def test_a_pattern_of_files_names_folders_with_brackets_as_they_are(tmp_path: Path, pattern: str, wanted: list[str]) -> None:
    from lakeloop.spec.tables import Files
    from resources.sources.files import find_paths

    base = tmp_path / "defs ü"
    for file in ("data [2024]/a.csv", "data [2024]/b[1].csv", "data/x.csv", "100% #1/{a}?.csv"):
        (base / file).parent.mkdir(parents=True, exist_ok=True)
        (base / file).write_text("n\n1\n")
    assert [label for _, label in find_paths(Files(files=[pattern]), base)] == wanted
    if not pattern.startswith(".."):
        assert [path.relative_to(base).as_posix() for path, _ in find_paths(Files(files=[f"{base}/{pattern}"]), tmp_path)] == wanted


@pytest.fixture(scope="module")
def sail_elsewhere() -> Iterator[str]:
    """The address of a Sail server that nobody told about this process."""
    from resources.spark.sail import SparkConnectServer

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    host, port = server.listening_address
    yield f"sc://{host}:{port}"
    server.stop()


def test_an_engine_elsewhere_is_brought_the_rows(odd: Path, sail_elsewhere: str) -> None:
    import deltalake

    from resources.spark.sessions import SparkResource
    from resources.spark.tables import read_delta

    deltalake.write_deltalake(str(odd / "t"), ROWS, partition_by=["_partition"])
    spark = SparkResource(remote=sail_elsewhere).session("tests")
    assert read_delta(spark, str(odd / "t"), 0).count() == 3
    assert read_delta(spark, (odd / "t").as_uri(), 0, ["y"]).count() == 2


def test_a_link_stands_for_the_beginning_of_a_path_and_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.spark.plain_paths import is_plain, plain_path

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old, new = tmp_path / "ü" / "a" / "ö o", tmp_path / "moved"
    (old / "lake" / "t").mkdir(parents=True)
    assert plain_path(str(tmp_path)) == str(tmp_path)
    paths: list[str] = []
    threads = [threading.Thread(target=lambda: paths.append(plain_path(str(old / "lake" / "t")))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = set(paths)
    (link,) = (tmp_path / f"lakeloop-paths-{os.getuid()}").iterdir()
    assert is_plain(path) and path == f"{link}/lake/t" and link.readlink() == old
    assert link.parent.stat().st_mode & 0o777 == 0o700

    old.rename(new)
    old.mkdir()
    link.unlink()
    link.symlink_to(new)
    assert plain_path(str(old)) == str(link) and link.readlink() == old


def test_links_are_only_made_where_nobody_else_can_change_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resources.spark.plain_paths import plain_path

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "ü"))
    monkeypatch.setattr("resources.spark.plain_paths._TEMPORARY", ())
    with pytest.raises(LakeloopError, match="set TMPDIR"):
        plain_path("/ü")
    monkeypatch.setattr("resources.spark.plain_paths._TEMPORARY", (str(tmp_path),))
    folder = tmp_path / f"lakeloop-paths-{os.getuid()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    for spoil in (lambda: folder.mkdir(0o777), lambda: folder.symlink_to(elsewhere), folder.touch):
        spoil()
        if folder.is_dir() and not folder.is_symlink():
            folder.chmod(0o770)
        with pytest.raises(LakeloopError, match="nobody else can enter"):
            plain_path("/ü")
        folder.unlink() if not folder.is_dir() or folder.is_symlink() else folder.rmdir()
