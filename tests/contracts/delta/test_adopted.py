"""Adopted Delta tables of other writers: read by what their protocol says, alike by both engines, or refused by the name of the feature."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.spec.tables import Column, DeltaTableSource
from resources.lake import adopted
from resources.lake.adopted import open_adopted, read_declared
from resources.sources.peek import peek
from tests.contracts.delta.tables import field, mapped, write_table

FAR, NEAR = datetime(9999, 12, 31, tzinfo=UTC), datetime(2024, 2, 29, 9, 30, tzinfo=UTC)
DIGITS = Decimal("3333333333.3333333333")
STRING, INTEGER, DOUBLE, TIME = (Column(type=kind) for kind in ("string", "integer", "double", "timestamp"))


def by_name(folder: Path) -> str:
    """Columns that were renamed: each has the name that the other has in the files."""
    columns = [mapped("a", "long", "b", 1), mapped("b", "string", "a", 2)]
    files = {"1.parquet": pa.table({"b": [1, 2], "a": ["x", "y"]})}
    return write_table(folder, columns, files, reader=2, configuration={"delta.columnMapping.mode": "name"})


def by_id(folder: Path) -> str:
    """Columns that are found by their numbers, whatever they are called in a file."""
    columns = [mapped("a", "long", "b", 1), mapped("b", "string", "a", 2)]
    numbers = [{b"PARQUET:field_id": str(number).encode()} for number in (1, 2)]
    schema = pa.schema([pa.field("b", pa.int64(), metadata=numbers[0]), pa.field("a", pa.string(), metadata=numbers[1])])
    files = {"1.parquet": pa.table({"b": [1, 2], "a": ["x", "y"]}, schema=schema)}
    return write_table(folder, columns, files, features=["columnMapping"], configuration={"delta.columnMapping.mode": "id"})


def deleted(folder: Path) -> str:
    """Rows that a deletion vector deletes, in one of two files."""
    files = {"1.parquet": pa.table({"a": [7, 1, 8], "b": ["u", "x", "v"]}), "2.parquet": pa.table({"a": [2], "b": ["y"]})}
    return write_table(
        folder, [field("a", "long"), field("b", "string")], files, features=["deletionVectors"], deleted={"1.parquet": [0, 2]}
    )


def deleted_by_name(folder: Path) -> str:
    """Both: rows that are deleted, of columns that were renamed."""
    columns = [mapped("a", "long", "b", 1), mapped("b", "string", "a", 2)]
    files = {"1.parquet": pa.table({"b": [7, 1], "a": ["u", "x"]}), "2.parquet": pa.table({"b": [2], "a": ["y"]})}
    return write_table(
        folder, columns, files, features=["columnMapping", "deletionVectors"], deleted={"1.parquet": [0]},
        configuration={"delta.columnMapping.mode": "name"},
    )  # fmt: skip


def widened(folder: Path) -> str:
    """A column that was of 32 bits when the first file was written."""
    files = {"1.parquet": pa.table({"a": pa.array([1], pa.int32()), "b": ["x"]}), "2.parquet": pa.table({"a": [2], "b": ["y"]})}
    return write_table(folder, [field("a", "long"), field("b", "string")], files, features=["typeWidening"])


def in_log(folder: Path) -> str:
    """Features that say nothing of rows, and a column that the table has no more."""
    files = {"1.parquet": pa.table({"a": [1], "b": ["x"]}), "2.parquet": pa.table({"a": [2], "b": ["y"], "gone": [0]})}
    columns = [field("a", "long"), field("b", "string")]
    return write_table(folder, columns, files, features=["v2Checkpoint", "vacuumProtocolCheck", "timestampNtz"])


@pytest.mark.parametrize("make", [by_name, by_id, deleted, deleted_by_name, widened, in_log])
def test_both_engines_read_what_the_protocol_says(make: Callable[[Path], str], tmp_path: Path) -> None:
    url, columns = make(tmp_path / "t"), {"number": INTEGER.model_copy(update={"source": ["a"]}), "b": STRING}
    expected = [{"number": 1, "b": "x"}, {"number": 2, "b": "y"}]
    assert by(read_declared(open_adopted(url, "t"), columns)) == expected
    assert by(on_spark(url, columns)) == expected
    assert by(peek(DeltaTableSource(delta=url), tmp_path).rows.rename_columns(["number", "b"])) == expected


def test_old_times_beyond_2262_are_read_by_both_engines(tmp_path: Path) -> None:
    rows = pa.table({"at": pa.array([FAR, NEAR], pa.timestamp("us", tz="UTC"))})
    url = write_table(tmp_path / "t", [field("at", "timestamp")], {"1.parquet": rows}, use_deprecated_int96_timestamps=True)
    for read in (read_declared(open_adopted(url, "t"), {"at": TIME}), on_spark(url, {"at": TIME})):
        assert sorted(read["at"].to_pylist()) == [NEAR, FAR]


def test_decimals_keep_their_digits_on_the_embedded_engine(tmp_path: Path) -> None:
    """A column with one value per file is where an engine is tempted to take the value from the log, which has it as a double."""
    rows = pa.table({"price": pa.array([DIGITS, DIGITS], pa.decimal128(20, 10))})
    deltalake.write_deltalake(str(tmp_path / "t"), rows)
    columns = {"price": Column(type="decimal(20,10)")}
    from resources.spark.tables import read_delta

    for read in (on_spark(str(tmp_path / "t"), columns), read_delta(session(), str(tmp_path / "t"), 0).toArrow()):
        assert read["price"].to_pylist() == [DIGITS, DIGITS]


def test_decimals_are_the_nearest_doubles_on_both_engines(tmp_path: Path) -> None:
    written = [Decimal(number).scaleb(-2) for number in range(0, 30_000, 7)]
    deltalake.write_deltalake(str(tmp_path / "t"), pa.table({"price": pa.array(written, pa.decimal128(12, 2))}))
    for read in (
        on_spark(str(tmp_path / "t"), {"price": DOUBLE}),
        read_declared(open_adopted(str(tmp_path / "t"), "t"), {"price": DOUBLE}),
    ):
        assert sorted(read["price"].to_pylist()) == [float(number) for number in written]


def test_a_type_that_could_change_a_value_is_cast_exactly_for_both_engines(tmp_path: Path) -> None:
    deltalake.write_deltalake(str(tmp_path / "t"), pa.table({"n": pa.array([Decimal("0.5")], pa.decimal128(4, 1)), "m": [2**53 + 1]}))
    assert on_spark(str(tmp_path / "t"), {"n": DOUBLE})["n"].to_pylist() == [0.5]
    with pytest.raises(DataError, match=r"9007199254740993 \(row 0\) would change as double"):
        on_spark(str(tmp_path / "t"), {"m": DOUBLE})


@pytest.mark.parametrize("feature", ["newFeature", "catalogManaged", "deletionVectors"])
def test_a_feature_that_is_not_read_is_refused_by_its_name(feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What deltalake refuses, and what it opens that isn't read here."""
    url = write_table(tmp_path / "t", [field("a", "long")], {"1.parquet": pa.table({"a": [1]})}, features=[feature])
    monkeypatch.setattr(adopted, "READ", adopted.READ - {"deletionVectors"})
    words = re.sub("([A-Z])", r".?\1", feature)  # deltalake writes some of them as words
    with pytest.raises(DataError, match=f"(?i)^t (can't be opened|uses).*{words}"):
        adopted.open_adopted(url, "t")


def test_deletions_that_deltalake_does_not_give_are_refused_at_once(tmp_path: Path) -> None:
    rows = {"1.parquet": pa.table({"a": [1, 2]})}
    features = ["deletionVectors", "typeWidening"]
    url = write_table(tmp_path / "t", [field("a", "long")], rows, features=features, deleted={"1.parquet": [0]})
    with pytest.raises(DataError, match="^t uses deletionVectors, typeWidening, which can't be read together; drop one"):
        open_adopted(url, "t")


def test_a_file_or_version_that_is_gone_is_told(tmp_path: Path) -> None:
    url = str(tmp_path / "t")
    for number in range(3):
        deltalake.write_deltalake(url, pa.table({"a": [number]}), mode="overwrite")
    old = open_adopted(url, "t", 0)
    deltalake.DeltaTable(url).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert len(old.missing_files()) == 1 and open_adopted(url, "t").missing_files() == []
    with pytest.raises(
        DataError, match=r"t: the file .*\.parquet of version 0 isn't there; materialise the table again where it was vacuumed"
    ):
        old.read(["a"])
    (tmp_path / "t" / "_delta_log" / f"{0:020}.json").unlink()
    with pytest.raises(DataError, match="t: version 1 can't be opened"):
        open_adopted(url, "t", 1)
    with pytest.raises(DataError, match="no Delta table at"):
        open_adopted(str(tmp_path / "none"), "none")


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    url = write_table(tmp_path / "t", [field("a", "long")], {"1.parquet": pa.table({"a": [1]})})
    (tmp_path / "t" / "1.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(DataError, match=r"the file 1\.parquet of version 0 can't be read"):
        open_adopted(url, "t").read(["a"])


def test_values_that_are_not_of_the_tables_type_are_told(tmp_path: Path) -> None:
    url = write_table(tmp_path / "t", [field("a", "long")], {"1.parquet": pa.table({"a": ["one"]})})
    with pytest.raises(DataError, match="column a: a value of type string isn't of the table's type int64"):
        open_adopted(url, "t").read(["a"])


def test_a_column_in_another_case_is_told_and_one_that_came_later_is_null(tmp_path: Path) -> None:
    files = {"1.parquet": pa.table({"A": [1]})}
    url = write_table(tmp_path / "t", [field("a", "long"), field("b", "string")], files)
    assert open_adopted(url, "t").read(["b"]).to_pylist() == on_spark(url, {"b": STRING}).to_pylist() == [{"b": None}]
    with pytest.raises(DataError, match="a file has column A, the table a"):
        open_adopted(url, "t").read(["a"])


def session() -> Any:
    """The embedded engine's session."""
    from resources.spark.sessions import SparkResource

    return SparkResource().session("default")


def on_spark(url: str, columns: dict[str, Column]) -> pa.Table:
    """The declared columns as the embedded engine has them."""
    from resources.spark.tables import read_adopted

    return read_adopted(session(), open_adopted(url, "t"), url, columns).toArrow()


def by(rows: pa.Table) -> list[dict[str, Any]]:
    """Rows in the order of their numbers."""
    return sorted(rows.to_pylist(), key=lambda row: row["number"])
