"""How the lake's files are encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from resources.lake.lake import Lake
from resources.lake.published import WHOLE, PartitionState, TableKey


def dictionaries(folder: Path) -> set[str]:
    """Names of the columns that a table's one file has a dictionary for."""
    (file,) = folder.glob("*.parquet")
    columns = pq.ParquetFile(file).metadata.row_group(0).to_dict()["columns"]
    return {c["path_in_schema"] for c in columns if "RLE_DICTIONARY" in c["encodings"]}


def test_numbers_that_hardly_come_again_are_written_plainly_and_others_as_a_dictionary(tmp_path: Path) -> None:
    rng, lake, key = np.random.default_rng(0), Lake(str(tmp_path)), TableKey("validated", "shop", "orders")
    rows = pa.table({"key": ["a", "b"] * 5000, "loss": rng.random(10_000), "hour": rng.integers(0, 24, 10_000)})
    published = lake.publish(key, rows, [PartitionState(WHOLE, "f1", rows=10_000)])
    assert dictionaries(Path(lake.path(key))) == {"key", "hour"}
    assert lake.read(published).equals(rows)


def test_keys_keep_their_dictionary_where_they_stand_in_runs_and_texts_where_they_are_long(tmp_path: Path) -> None:
    rng, lake, key = np.random.default_rng(0), Lake(str(tmp_path)), TableKey("training_sets", "shop", "returns")
    keys = np.repeat([f"customer-{n:05d}" for n in range(20_000)], 3)
    mixed = pa.array(rng.permutation(keys))
    rows = pa.table(
        {"in_runs": keys, "mixed": mixed, "as_codes": mixed.dictionary_encode(), "long": [f"{k}{'x' * 40}" for k in mixed.to_pylist()]}
    )
    published = lake.publish(key, rows, [PartitionState(WHOLE, "f1", rows=len(keys))])
    assert dictionaries(Path(lake.path(key))) == {"in_runs", "long"}
    assert lake.read(published)["mixed"].equals(rows["mixed"]) and lake.read(published)["as_codes"].equals(rows["mixed"])
