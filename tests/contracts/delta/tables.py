"""Delta tables as other writers leave them, by hand: a log of one commit, and Parquet files with the features that deltalake doesn't write."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_RFC1924 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"


def field(name: str, kind: str, **metadata: Any) -> dict[str, Any]:
    """A column of a table's schema."""
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def mapped(name: str, kind: str, physical: str, number: int) -> dict[str, Any]:
    """A column that has another name in the files."""
    return field(name, kind, **{"delta.columnMapping.physicalName": physical, "delta.columnMapping.id": number})


def write_table(
    folder: Path,
    columns: Sequence[Mapping[str, Any]],
    files: Mapping[str, pa.Table],
    *,
    features: Sequence[str] = (),
    deleted: Mapping[str, Sequence[int]] | None = None,
    configuration: Mapping[str, str] | None = None,
    reader: int | None = None,
    **options: Any,
) -> str:
    """Write a table; gives its path.

    Args:
        folder: of the table.
        columns: its schema.
        files: rows by the name of their file.
        features: the reader features that its protocol names.
        deleted: by file the positions of rows that a deletion vector deletes.
        configuration: its properties.
        reader: the protocol's version for readers; by the features unless given.
        options: of pyarrow's Parquet writer.
    """
    (folder / "_delta_log").mkdir(parents=True)
    version = reader or (3 if features else 1)
    protocol: dict[str, Any] = {"minReaderVersion": version, "minWriterVersion": 7 if features else 5}
    if features:
        protocol |= {"readerFeatures": list(features), "writerFeatures": list(features)}
    schema = json.dumps({"type": "struct", "fields": list(columns)})
    metadata = {
        "id": "0b0a2f6c-5f0e-4c43-9d2b-6a1f6d1f8a11", "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
        "partitionColumns": [], "configuration": dict(configuration or {}), "createdTime": 1_700_000_000_000,
    }  # fmt: skip
    actions: list[dict[str, Any]] = [{"protocol": protocol}, {"metaData": metadata}]
    for name, rows in files.items():
        pq.write_table(rows, folder / name, **options)
        size = (folder / name).stat().st_size
        add: dict[str, Any] = {"path": name, "partitionValues": {}, "size": size, "modificationTime": 1_700_000_000_000, "dataChange": True}
        if deleted and name in deleted:
            add["deletionVector"] = _deletion_vector(deleted[name])
            add["stats"] = json.dumps({"numRecords": rows.num_rows})
        actions.append({"add": add})
    (folder / "_delta_log" / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")
    return str(folder)


def _deletion_vector(positions: Sequence[int]) -> dict[str, Any]:
    """An inline deletion vector: a roaring bitmap of 64 bits with one array of positions (Delta's protocol, "Deletion Vector Format")."""
    array = b"".join(struct.pack("<H", position) for position in sorted(positions))
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(positions) - 1, 16) + array
    data = struct.pack("<iqi", 1681511377, 1, 0) + bitmap
    size = len(data)
    data += b"\x00" * (-size % 4)
    text = base64.b85encode(data).decode().translate(str.maketrans(_RFC1924, _Z85))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": size, "cardinality": len(positions)}
