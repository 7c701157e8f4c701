"""Tensors of the Open Inference Protocol, version 2, as columns: JSON, the binary extension, and the contents of gRPC alike.

A datatype that can't hold what the model takes is refused, and so is a value that isn't of the datatype that its tensor states.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakeloop.rows.types import EXACT_INTEGERS
from resources.serving.inputs import Inputs, RequestError, describe

NUMPY_TYPES = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4",
    "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""The datatypes that are numbers, in little-endian order, as the protocol sends them."""
_LOSSY = ("FP16", "FP32")
NULLS = "__is_null"
"""A BOOL tensor `<input>__is_null` says which values of the input are null, for what a binary string can't say."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a request.

    Attributes:
        data: the values as JSON or gRPC has them, or the bytes of all of them.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    data: Sequence[Any] | bytes | memoryview


def columns_of(tensors: Sequence[Tensor], inputs: Inputs) -> dict[str, Sequence[Any] | np.ndarray]:
    """The values of each tensor by its name: float64 for numbers, a list for strings.

    Args:
        tensors: each of one column.
        inputs: what the model takes.

    Raises:
        RequestError: two tensors of one name, or one that the model has no input for; a datatype, shape or value that isn't what is wanted.
    """
    columns: dict[str, Sequence[Any] | np.ndarray] = {}
    nulls: dict[str, np.ndarray] = {}
    for tensor in tensors:
        name = tensor.name
        if name in columns or name in nulls:
            raise RequestError("two tensors have this name", field=name)
        if name not in inputs.kinds and name.removesuffix(NULLS) in inputs.kinds:
            nulls[name] = _flags(tensor, inputs)
        else:
            kind = inputs.kind_of(name)
            is_text = kind == "string" or (kind == "key" and tensor.datatype == "BYTES")
            columns[name] = _texts(tensor) if is_text else _numbers(tensor, inputs)
    for flag, where in nulls.items():
        name = flag.removesuffix(NULLS)
        if name not in columns or len(columns[name]) != len(where):
            raise RequestError(f"wanted as many values as {name} has", field=flag)
        column = columns[name]
        if isinstance(column, np.ndarray):
            columns[name] = np.where(where, np.nan, column)
        else:
            columns[name] = [None if is_null else value for value, is_null in zip(column, where.tolist(), strict=True)]
    return columns


def _texts(tensor: Tensor) -> Sequence[str | None]:
    if tensor.datatype != "BYTES":
        raise RequestError(f"wanted the datatype BYTES, found {tensor.datatype}", field=tensor.name)
    values = _strings(tensor) if isinstance(tensor.data, (bytes, memoryview)) else _flat(tensor)
    _check_shape(tensor, len(values))
    texts: list[Any] = []
    for row, value in enumerate(values):
        if isinstance(value, bytes):
            try:
                texts.append(value.decode())
            except UnicodeDecodeError as error:
                raise RequestError(f"row {row}: wanted UTF-8, found {error.reason}", field=tensor.name) from error
        else:
            texts.append(value)
    return texts


def _strings(tensor: Tensor) -> list[Any]:
    """The elements of a binary BYTES tensor: each its length in 4 bytes, then itself."""
    data, at, end = bytes(tensor.data), 0, len(tensor.data)
    texts: list[Any] = []
    unpack = struct.Struct("<I").unpack_from
    while at < end:
        if at + 4 > end or (stop := at + 4 + unpack(data, at)[0]) > end:
            raise RequestError(f"value {len(texts)} goes beyond the tensor's {end} bytes", field=tensor.name)
        texts.append(data[at + 4 : stop])
        at = stop
    return texts


def _flags(tensor: Tensor, inputs: Inputs) -> np.ndarray:
    if tensor.datatype != "BOOL":
        raise RequestError(f"wanted the datatype BOOL, found {tensor.datatype}", field=tensor.name)
    flags: np.ndarray = _numbers(tensor, inputs) == 1.0
    return flags


def _numbers(tensor: Tensor, inputs: Inputs) -> np.ndarray:
    name, datatype = tensor.name, tensor.datatype
    if datatype not in NUMPY_TYPES:
        raise RequestError(f"wanted the datatype of a number (FP64), found {datatype}", field=name)
    if datatype in _LOSSY:
        raise RequestError(f"wanted FP64, found {datatype}: it rounds values that the model takes as doubles", field=name)
    if isinstance(tensor.data, (bytes, memoryview)):
        dtype = np.dtype(NUMPY_TYPES[datatype])
        if len(tensor.data) % dtype.itemsize:
            raise RequestError(f"wanted {dtype.itemsize} bytes a value, found {len(tensor.data)} bytes", field=name)
        values: Any = np.frombuffer(tensor.data, dtype)
        _check_shape(tensor, len(values))
        if datatype in ("INT64", "UINT64"):
            large = (values > EXACT_INTEGERS) | (values < -EXACT_INTEGERS if datatype == "INT64" else False)
            if large.any():
                row = int(large.argmax())
                raise RequestError(
                    f"row {row}: wanted a number that a double holds, found {inputs.describe(name, int(values[row]))}", field=name
                )
        doubles: np.ndarray = values.astype(np.float64)
        return doubles
    values = _flat(tensor)
    _check_shape(tensor, len(values))
    for row, value in enumerate(values):
        if not _is_of(value, datatype):
            wanted = f"a value of the datatype {datatype} that a double holds"
            raise RequestError(f"row {row}: wanted {wanted}, found {inputs.describe(name, value)}", field=name)
    return np.array(values, np.float64)


def _is_of(value: object, datatype: str) -> bool:
    """Whether a value of JSON is one of a datatype, null aside, and a double holds it."""
    kind = type(value)
    if value is None or (kind is float and datatype == "FP64"):
        return True
    if datatype == "BOOL":
        return kind is bool
    if kind is bool or not isinstance(value, (int, float)):
        return False
    if datatype == "FP64":
        return abs(value) <= EXACT_INTEGERS
    if value != value or value in (float("inf"), float("-inf")) or value != int(value) or abs(value) > EXACT_INTEGERS:
        return False
    bounds = np.iinfo(NUMPY_TYPES[datatype])
    return bool(bounds.min <= value <= bounds.max)


def _flat(tensor: Tensor) -> Sequence[Any]:
    """The values of a tensor whose rows may be lists of one."""
    data: Any = tensor.data
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise RequestError(f"wanted data as a list, found {describe(data)}", field=tensor.name)
    return [value[0] for value in data] if data and all(type(value) is list and len(value) == 1 for value in data) else data


def _check_shape(tensor: Tensor, count: int) -> None:
    if list(tensor.shape) not in ([count], [count, 1]):
        wanted = f"wanted the shape [{count}] or [{count}, 1] for {count} values"
        raise RequestError(f"{wanted}, found {describe(tensor.shape)}", field=tensor.name)
