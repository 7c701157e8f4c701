"""The search for a value in everything that is stored: it opens what the value may lie in."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.worlds.stored import contents, found_in


def test_the_search_opens_what_things_are_stored_in(tmp_path: Path) -> None:
    import gzip
    import sqlite3
    import zipfile
    import zlib

    import pyarrow.parquet as pq

    row = "PLANTED"
    (tmp_path / "plain.log").write_text(f"a {row}")
    (tmp_path / "page.html").write_text(
        f'<img src="data:image/svg+xml;base64,{base64.b64encode(f"{row * 6} 987,654.06".encode()).decode()}">'
    )
    (tmp_path / "a.gz").write_bytes(gzip.compress(row.encode()))
    with zipfile.ZipFile(tmp_path / "model.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", row * 3)
        archive.writestr("array.npy", np.array([1.0, 987.0625]).tobytes())
    pq.write_table(pa.table({"text": [row] * 3}), tmp_path / "a.parquet", compression="zstd")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t (a TEXT, b BLOB)")
        connection.execute("INSERT INTO t VALUES (?, ?)", ("x", zlib.compress(row.encode())))
    connection.close()
    places = found_in(contents(tmp_path), [row, 987.0625, 987_654.0625])
    assert {place for place, value in places if value == 987_654.0625} == {"page.html!embedded 0"}
    assert {place.partition("!")[0] for place, value in places if value == row} == {
        "plain.log", "page.html", "a.gz", "model.skops", "a.parquet", "a.db",
    }  # fmt: skip
    assert ("model.skops!array.npy", 987.0625) in places
