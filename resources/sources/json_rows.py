"""JSON as rows: lines of objects or an array of them, as a source's file holds it, without changing a value."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from lakeloop.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeloop.spec.tables import Files


def read_json(data: bytes, spec: Files, where: str) -> pa.Table:
    """Read JSON in UTF-8: an object a line, or one array of objects; times stay text.

    Raises:
        DataError: it is empty, no UTF-8, no JSON, or no table; the message names the place.
    """
    import pyarrow as pa
    import pyarrow.json as pj

    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: wanted UTF-8, found byte {data[error.start]:#04x} on line {data.count(bytes([10]), 0, error.start) + 1}"
        ) from error
    if not data.strip():
        raise DataError(f"{where}: wanted at least one row, found an empty file")
    if data.lstrip().startswith(b"["):
        data = _lines_of_array(data, where)
    try:
        # Times stay text: guessing them is the declared columns' business.
        rows = pj.read_json(io.BytesIO(data), read_options=pj.ReadOptions(use_threads=False, block_size=max(1 << 20, len(data) + 1)))
    except pa.ArrowInvalid as error:
        for number, line in enumerate(data.splitlines(), 1):
            try:
                json.loads(line or b"{}")
            except json.JSONDecodeError as problem:
                raise DataError(f"{where}: line {number} is no JSON: {problem.msg} at column {problem.colno}") from error
        raise DataError(f"{where}: its lines don't make one table", detail=error) from error
    for index, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            texts = [json.loads(line).get(column.name) for line in data.splitlines() if line.strip()]
            rows = rows.set_column(index, column.name, pa.array(texts, pa.string()))
    return rows


def _lines_of_array(data: bytes, where: str) -> bytes:
    """The objects of a JSON array, one a line.

    Raises:
        DataError: it is no JSON, or holds something else than objects.
    """
    try:
        items = json.loads(data)
    except json.JSONDecodeError as problem:
        raise DataError(
            f"{where}: wanted one object a line or one array of objects, found an array that is no JSON: {problem.msg} on line {problem.lineno}"
        ) from problem
    strange = next((number for number, item in enumerate(items, 1) if not isinstance(item, dict)), None)
    if strange is not None or not items:
        found = "an empty array" if not items else f"an array whose item {strange} is none"
        raise DataError(f"{where}: wanted one object a line or one array of objects, found {found}")
    return "\n".join(json.dumps(item) for item in items).encode()
