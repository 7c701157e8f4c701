"""How the lake's files are encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resources.lake import Lake
from resources.published import WHOLE, PartitionState, TableKey


def test_numbers_that_hardly_come_again_are_written_plainly_and_others_as_a_dictionary(tmp_path: Path) -> None:
    rng, lake, key = np.random.default_rng(0), Lake(str(tmp_path)), TableKey("validated", "shop", "orders")
    rows = pa.table({"key": ["a", "b"] * 5000, "loss": rng.random(10_000), "hour": rng.integers(0, 24, 10_000)})
    published = lake.publish(key, rows, [PartitionState(WHOLE, "f1", rows=10_000)])
    (file,) = Path(lake.path(key)).glob("*.parquet")
    columns = pq.ParquetFile(file).metadata.row_group(0).to_dict()["columns"]
    assert {c["path_in_schema"] for c in columns if "RLE_DICTIONARY" in c["encodings"]} == {"key", "hour"}
    assert lake.read(published).equals(rows)
