"""JSON as rows: lines of objects or an array of them, read without changing a value."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from lakeloop.errors import DataError
from resources.sources.text import require_utf8

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.spec.tables import Files


def read_json(data: bytes, spec: Files, where: str) -> pa.Table:
    """Read JSON in UTF-8: one object per line, or one array of objects; times stay text.

    Raises:
        DataError: it is empty, or isn't UTF-8, JSON or a table; the message names the place.
    """
    import pyarrow as pa
    import pyarrow.json as pj

    require_utf8(data, where)
    if not data.strip():
        raise DataError(f"{where}: wanted at least one row, found an empty file")
    if data.lstrip().startswith(b"["):
        data = _array_to_lines(data, where)
    try:
        # Arrow guesses times; they stay text, since the declared columns say how to read them.
        rows = pj.read_json(io.BytesIO(data), read_options=pj.ReadOptions(use_threads=False, block_size=max(1 << 20, len(data) + 1)))
    except pa.ArrowInvalid as error:
        for number, line in enumerate(data.splitlines(), 1):
            try:
                json.loads(line or b"{}")
            except json.JSONDecodeError as problem:
                raise DataError(f"{where}: line {number} is not JSON: {problem.msg} at column {problem.colno}") from error
        raise DataError(f"{where}: its lines don't make one table", detail=error) from error
    for index, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            texts = [json.loads(line).get(column.name) for line in data.splitlines() if line.strip()]
            rows = rows.set_column(index, column.name, pa.array(texts, pa.string()))
    return rows


def _array_to_lines(data: bytes, where: str) -> bytes:
    """The objects of a JSON array, one per line.

    Raises:
        DataError: it isn't JSON, or holds something other than objects.
    """
    try:
        items = json.loads(data)
    except json.JSONDecodeError as problem:
        raise DataError(
            f"{where}: wanted one object per line or one array of objects, found an array that is not JSON: {problem.msg} on line {problem.lineno}"
        ) from problem
    not_an_object = next((number for number, item in enumerate(items, 1) if not isinstance(item, dict)), None)
    if not_an_object is not None or not items:
        contents = "an empty array" if not items else f"an array whose item {not_an_object} is not an object"
        raise DataError(f"{where}: wanted one object per line or one array of objects, found {contents}")
    return "\n".join(json.dumps(item) for item in items).encode()
