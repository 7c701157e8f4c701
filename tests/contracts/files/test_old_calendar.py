"""Dates and times that Spark 2 wrote by the Julian calendar: refused with the column, as pyarrow would read other days."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from lakeloop.errors import DataError
from lakeloop.spec.tables import Files
from resources.lake.adopted import open_adopted
from resources.sources.parquet_rows import read_parquet

VERSION, LEGACY, LEGACY_INT96 = "org.apache.spark.version", "org.apache.spark.legacyDateTime", "org.apache.spark.legacyINT96"
OLD_DAY, NEW_DAY = date(1500, 3, 1), date(1582, 10, 15)
OLD_TIME, NEW_TIME = datetime(1899, 12, 31, 23, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("footer", "value", "is_refused"),
    [
        ({VERSION: "2.4.8"}, OLD_DAY, True),
        ({VERSION: "2.4.8"}, NEW_DAY, False),
        ({VERSION: "2.4.8"}, OLD_TIME, True),
        ({VERSION: "2.4.8"}, NEW_TIME, False),
        ({VERSION: "3.0.3"}, OLD_DAY, False),
        ({VERSION: "3.0.3"}, OLD_TIME, True),
        ({VERSION: "4.2.0"}, OLD_DAY, False),
        ({VERSION: "4.2.0"}, OLD_TIME, False),
        ({VERSION: "4.2.0", LEGACY: ""}, OLD_DAY, True),
        ({VERSION: "4.2.0", LEGACY_INT96: ""}, OLD_DAY, False),
        ({VERSION: "4.2.0", LEGACY_INT96: ""}, OLD_TIME, True),
        ({VERSION: "2.4.8"}, None, False),
        ({}, OLD_DAY, False),
        ({}, OLD_TIME, False),
    ],
)
def test_days_of_the_old_calendar_are_refused(footer: dict[str, str], value: Any, is_refused: bool) -> None:
    kind = pa.timestamp("us", tz="UTC") if isinstance(value, datetime) else pa.date32()
    rows = pa.table({"id": [1, 2], "at": pa.array([value, None], kind)}).replace_schema_metadata(footer)
    written = pa.BufferOutputStream()
    pq.write_table(rows, written)
    spec = Files(files="x.parquet", format="parquet")
    if is_refused:
        with pytest.raises(DataError, match=r"x\.parquet: column at: wanted dates from 1582-10-15 .* as Spark .* wrote it"):
            read_parquet(written.getvalue().to_pybytes(), spec, "x.parquet")
    else:
        assert read_parquet(written.getvalue().to_pybytes(), spec, "x.parquet").num_rows == 2


def test_an_adopted_table_of_the_old_calendar_is_refused(tmp_path: Path) -> None:
    rows = pa.table({"id": [1], "day": pa.array([OLD_DAY], pa.date32())})
    write_deltalake(tmp_path / "t", rows)
    (file,) = (tmp_path / "t").glob("*.parquet")
    pq.write_table(rows.replace_schema_metadata({VERSION: "2.4.8"}), file)
    adopted = open_adopted(str(tmp_path / "t"), "shop/days")
    with pytest.raises(DataError, match="shop/days: .* column day: wanted dates from"):
        adopted.read(["id", "day"])
    assert adopted.read(["id"]).num_rows == 1
