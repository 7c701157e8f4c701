"""Statistics in a table's log: there, and left out once a column is personal."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lakeloop.errors import DataError
from lakeloop.rows.types import cast_exactly
from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, TableKey
from tests.worlds.shop_project import Shop


def test_without_personal_columns_messages_and_statistics_stay(shop: Shop) -> None:
    assert shop.materialize("raw", "validated").success
    log = (Path(shop.lake_url) / "validated/shop/orders/_delta_log/00000000000000000000.json").read_text()
    assert '\\"amount_eur\\":' in log
    with pytest.raises(DataError, match=r"amount: 9.5 \(row 0\)"):
        cast_exactly(pa.table({"amount": [9.5]}), pa.schema([("amount", pa.int64())]), "here")


def test_a_table_whose_columns_become_personal_later_keeps_their_values_out_of_its_log_from_then_on(tmp_path: Path) -> None:
    lake, key = Lake(str(tmp_path)), TableKey("validated", "d", "t")
    rows = pa.table({"email": ["PLANTED"]})
    for number, statistics in enumerate([True, False, False]):
        lake.settle(key)
        lake.publish(key, rows, [PartitionState(WHOLE, str(number))], statistics=statistics)
    logs = sorted((tmp_path / key.path / "_delta_log").glob("*.json"))
    assert ["PLANTED" in log.read_text() for log in logs] == [True, False, False, False]
    assert lake.current(key).version == 3 and lake.read(lake.current(key)).num_rows == 1
    (mine,) = lake.states()[key].values()
    assert mine.fingerprint == "2"
