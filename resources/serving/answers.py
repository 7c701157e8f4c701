"""Predictions as answers: V1, V2 as JSON, V2 with binary tensors."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from lakeloop.errors import nearest
from lakeloop.spec.tasks import ALERT, PREDICTION, Answer
from resources.serving.inputs import RequestError
from resources.serving.tensors import NUMPY_TYPES

if TYPE_CHECKING:
    from collections.abc import Collection

Columns = Mapping[str, Sequence[Any] | np.ndarray]
_DATATYPES = {"double": "FP64", "integer": "INT64", "string": "BYTES", "boolean": "BOOL"}


class Outputs:
    """The columns of a model's predictions.

    Args:
        answer: what the model answers.
        alert_above: the score above which a row is an alert; None where the model flags none.
    """

    def __init__(self, answer: Answer, alert_above: float | None = None) -> None:
        self.answer, self.alert_above = answer, alert_above
        self.types = {name: _DATATYPES[column.type] for name, column in answer.columns.items()}
        if alert_above is not None:
            self.types[ALERT] = _DATATYPES["boolean"]
        self._is_plain = len(self.types) == 1 and not answer.numbers

    def columns(self, scores: np.ndarray) -> Columns:
        """The values of each row, by column of a batch prediction."""
        if self._is_plain:
            return {PREDICTION: scores}
        alert = {} if self.alert_above is None else {ALERT: scores > self.alert_above}
        return {**self.answer.values(scores), **alert}

    def select(self, names: Collection[str] | None) -> list[str]:
        """The columns that a request asks for, all where it names none.

        Raises:
            RequestError: there is no such column.
        """
        for name in names or ():
            if name not in self.types:
                raise RequestError(f"the model has no output {name!r}; {nearest(str(name), self.types)}", field=str(name))
        return list(names or self.types)


def encode_v1(columns: Columns, name: str, version: str) -> bytes:
    """Predictions in the form of V1: a number per row, or an object where a prediction has several columns."""
    if len(columns) == 1:
        rows: list[Any] = to_json(columns[PREDICTION])
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*map(to_json, columns.values()), strict=True)]
    return orjson.dumps({"predictions": rows, "model_name": name, "model_version": version})


def encode_v2(columns: Columns, types: Mapping[str, str], name: str, version: str, request_id: str | None) -> bytes:
    """Predictions in the form of V2: a tensor per column of a prediction."""
    return orjson.dumps(_described(columns, types, name, version, request_id, ()))


def encode_binary(
    columns: Columns, types: Mapping[str, str], name: str, version: str, request_id: str | None, binary: Collection[str]
) -> tuple[bytes, int]:
    """Predictions in the form of V2, some columns as bytes after the JSON; the answer and how long its JSON is."""
    raw = {column: to_bytes(columns[column], types[column]) for column in columns if column in binary}
    described = _described(columns, types, name, version, request_id, binary)
    for output in described["outputs"]:
        if output["name"] in raw:
            output["parameters"] = {"binary_data_size": len(raw[output["name"]])}
    head = orjson.dumps(described)
    return b"".join((head, *raw.values())), len(head)


def to_bytes(values: Sequence[Any] | np.ndarray, datatype: str) -> bytes:
    """A column as the bytes of a binary tensor."""
    if datatype == "BYTES":
        encoded = [str(value).encode() for value in values]
        return b"".join(part for text in encoded for part in (struct.pack("<I", len(text)), text))
    return np.ascontiguousarray(values, NUMPY_TYPES[datatype]).tobytes()


def to_json(values: Sequence[Any] | np.ndarray) -> list[Any]:
    """Values as JSON can hold them: null for a number that isn't finite."""
    plain = values.tolist() if isinstance(values, np.ndarray) else list(values)
    return [None if type(value) is float and not math.isfinite(value) else value for value in plain]


def _described(
    columns: Columns, types: Mapping[str, str], name: str, version: str, request_id: str | None, binary: Collection[str]
) -> dict[str, Any]:
    outputs = [
        {"name": n, "shape": [len(values)], "datatype": types[n], **({} if n in binary else {"data": to_json(values)})}
        for n, values in columns.items()
    ]
    request = {} if request_id is None else {"id": request_id}
    return {"model_name": name, "model_version": version, **request, "outputs": outputs}
