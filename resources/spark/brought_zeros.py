"""Rows that a function of PySpark brings by itself: whether doubles may stand in their arrays, where the embedded engine tells -0.0 from 0.0."""

from __future__ import annotations

import re
from typing import Any

_OF_FUNCTIONS = ("MapPartitions", "GroupMap", "CoGroupMap", "ApplyInPandasWithState")
_NESTED_FLOATS = re.compile(r"\b(array|map|struct)\s*<.*\b(float|double|real)\b", re.IGNORECASE | re.DOTALL)
_FLOATS = ("float", "double")


def brings_zeros(relation: Any) -> bool:
    """Whether a relation of a plan brings doubles in arrays, maps or structures that may be -0.0.

    What a plan holds is looked through; of what a Python function will return only the types are known.
    """
    if relation.DESCRIPTOR.name == "LocalRelation":
        return bool(relation.data) and _has_zero(relation.data)
    if relation.DESCRIPTOR.name not in _OF_FUNCTIONS:
        return False
    returned = relation.func.python_udf.output_type
    if returned.WhichOneof("kind") == "unparsed":
        return _NESTED_FLOATS.search(returned.unparsed.data_type_string) is not None
    return any(_has_floats(field.data_type, is_within=False) for field in returned.struct.fields)


def _has_floats(kind: Any, *, is_within: bool = True) -> bool:
    match kind.WhichOneof("kind"):
        case "array":
            return _has_floats(kind.array.element_type)
        case "map":
            return _has_floats(kind.map.key_type) or _has_floats(kind.map.value_type)
        case "struct":
            return any(_has_floats(field.data_type) for field in kind.struct.fields)
        case name:
            return is_within and name in _FLOATS


def _has_zero(data: bytes) -> bool:
    """Whether rows in Arrow's format have -0.0 within something."""
    import pyarrow as pa

    table = pa.ipc.open_stream(data).read_all()
    nested = [column for column in table.columns if pa.types.is_nested(column.type)]
    return any(_is_zero(value) for column in nested for value in column.to_pylist())


def _is_zero(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_is_zero, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_is_zero, value))
    return isinstance(value, float) and value == 0.0 and str(value) == "-0.0"
