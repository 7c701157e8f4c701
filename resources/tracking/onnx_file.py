"""ONNX files, read as protocol buffers without the package: their fields, and the files that their tensors lie in.

A tensor may name a file that holds its numbers, by a path, so that a model can read any file of the machine. Only files beside the model are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

MOST_DEPTH = 32
_FILE = re.compile(r"[\w-][\w.-]*")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL = {
    1: _VARINT,
    2: _BYTES,
    3: _BYTES,
    4: _BYTES,
    5: _VARINT,
    6: _BYTES,
    7: _BYTES,
    8: _BYTES,
    14: _BYTES,
    20: _BYTES,
    25: _BYTES,
    26: _BYTES,
}
"""The fields of a ModelProto and how each is written (onnx.proto of ONNX 1.19)."""
_WITHIN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
"""Of each message the fields in which tensors may lie, and what they are."""
_EXTERNAL_DATA, _KEY, _VALUE = 13, 1, 2


def check_onnx(path: Path) -> set[str]:
    """Check that a file is an ONNX model.

    Returns:
        The files beside it that hold its tensors.

    Raises:
        ValueError: it isn't one, or its tensors lie elsewhere.
    """
    data = memoryview(path.read_bytes())
    fields = list(_fields(data))
    numbers = {number for number, _, _ in fields}
    wrong = [number for number, kind, _ in fields if _MODEL.get(number) != kind]
    if wrong or not {1, 7, 8} <= numbers:
        raise ValueError("it is no ONNX model: wanted a version, a graph and its sets of operators, and nothing else")
    places = set(_places(data, "model", 0))
    for place in places:
        if not _FILE.fullmatch(place) or ".." in place:
            raise ValueError(f"a tensor lies in {place[:80]!r}: wanted a file beside the model")
    return places


def _places(data: memoryview, kind: str, depth: int) -> Iterator[str]:
    """The files in which the tensors of a message lie."""
    if depth > MOST_DEPTH:
        raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    for number, wire, value in _fields(data):
        if kind == "tensor":
            if number == _EXTERNAL_DATA and isinstance(value, memoryview):
                entry = {each: bytes(text).decode() for each, _, text in _fields(value) if isinstance(text, memoryview)}
                if entry.get(_KEY) == "location":
                    yield entry.get(_VALUE, "")
        elif number in _WITHIN[kind] and wire == _BYTES and isinstance(value, memoryview):
            yield from _places(value, _WITHIN[kind][number], depth + 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Number, wire type and value of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        value: memoryview | int
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            length, at = _varint(data, at)
            value, at = data[at : at + length], at + length
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
            value, at = data[at : at + length], at + length
        else:
            raise ValueError(f"it is no protocol buffer: wire type {kind} at byte {at}")
        if number == 0 or at > len(data):
            raise ValueError(f"it is no protocol buffer: field {number} ends at byte {at} of {len(data)}")
        yield number, kind, value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at + place >= len(data):
            break
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError(f"it is no protocol buffer: no number at byte {at}")
