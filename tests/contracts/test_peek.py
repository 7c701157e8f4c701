"""A look at the first rows of a source."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa


def test_a_column_without_any_value_is_looked_at_as_text(tmp_path: Path) -> None:
    from lakeloop.spec.tables import Files
    from resources.sources.peek import peek

    for number, note in enumerate((None, None, "late")):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps({"id": number, "note": note, "never": None}))
    rows = peek(Files(files=["*.jsonl"]), tmp_path).rows
    assert (rows["note"].to_pylist(), rows["never"].to_pylist()) == ([None, None, "late"], [None] * 3)
    assert rows.schema.field("never").type == pa.string()
