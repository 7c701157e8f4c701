"""Requests and responses of the Open Inference Protocol, V1 and V2, by column name: order doesn't matter, null is a missing value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.errors import LakeloopError, nearest
from lakeloop.rows.types import EXACT_INTEGERS
from lakeloop.spec.tasks import ALERT, PREDICTION, Answer

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from resources.tracking.model_format import Field

MOST_ROWS = 10_000
_DATATYPES = {"double": "FP64", "integer": "INT64", "string": "BYTES", "boolean": "BOOL"}
_NUMBERS = ("FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8", "BOOL")


class RequestError(LakeloopError):
    """A request that can't be answered: HTTP status, the field in question, what was wanted and found."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.field, self.status = message, field, status


def decode_v1(body: object, fields: Sequence[Field]) -> pd.DataFrame:
    """`{"instances": [{column: value}, …]}` or `{"inputs": {column: [value, …]}}` as the model's inputs."""
    if not isinstance(body, Mapping):
        raise RequestError(f"wanted a JSON object with instances or inputs, found {_describe(body)}")
    if "instances" in body:
        rows = body["instances"]
        if not isinstance(rows, list) or not rows:
            raise RequestError(f"wanted a list of at least one object, found {_describe(rows)}", field="instances")
        _check_size(len(rows), "instances")
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise RequestError(f"row {number}: wanted an object of column and value, found {_describe(row)}", field="instances")
            _check_known(row, fields, f"row {number}: ")
        _check_complete({name for row in rows for name in row}, fields)
        return _frame({field.name: [row.get(field.name) for row in rows] for field in fields}, fields, len(rows))
    if "inputs" in body:
        columns = body["inputs"]
        if not isinstance(columns, Mapping) or not columns:
            raise RequestError(f"wanted an object of column and list, found {_describe(columns)}", field="inputs")
        return _decode_columns(columns, fields)
    raise RequestError(f"wanted the key instances or inputs; {nearest(next(iter(body), ''), ['instances', 'inputs'])}")


def decode_v2(body: object, fields: Sequence[Field]) -> pd.DataFrame:
    """`{"inputs": [{"name", "shape", "datatype", "data"}, …]}`, one tensor per column, as the model's inputs."""
    if not isinstance(body, Mapping) or not isinstance(body.get("inputs"), list) or not body["inputs"]:
        raise RequestError("wanted a JSON object with a list of input tensors", field="inputs")
    columns: dict[str, list[Any]] = {}
    kinds = {field.name: field.kind for field in fields}
    for tensor in body["inputs"]:
        if not isinstance(tensor, Mapping) or not isinstance(tensor.get("name"), str):
            raise RequestError("wanted tensors with name, shape, datatype and data", field="inputs")
        name, shape, datatype, data = tensor["name"], tensor.get("shape"), tensor.get("datatype"), tensor.get("data")
        if name in columns:
            raise RequestError("two tensors have this name", field=name)
        _check_known({name: None}, fields, "")
        if not isinstance(data, list):
            raise RequestError(f"wanted data as a list, found {_describe(data)}", field=name)
        if data and all(isinstance(value, list) and len(value) == 1 for value in data):
            data = [value[0] for value in data]
        if shape not in ([len(data)], [len(data), 1]):
            raise RequestError(f"wanted the shape [{len(data)}] or [{len(data)}, 1] for {len(data)} values, found {shape}", field=name)
        is_text = kinds[name] == "string"
        if datatype not in (("BYTES",) if is_text else _NUMBERS):
            wanted = "BYTES" if is_text else "FP64 (or another number)"
            raise RequestError(f"wanted the datatype {wanted}, found {datatype!r}", field=name)
        columns[name] = data
    return _decode_columns(columns, fields)


def encode_v1(scores: np.ndarray, answer: Answer, name: str, version: str, *, alert_above: float | None = None) -> dict[str, Any]:
    """Predictions in the form of V1: a number per row, or an object where a prediction has several columns."""
    columns = _prediction_columns(scores, answer, alert_above)
    rows = (
        [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)] if len(columns) > 1 else columns[PREDICTION]
    )
    return {"predictions": rows, "model_name": name, "model_version": version}


def output_types(answer: Answer, *, alert_above: float | None = None) -> dict[str, str]:
    """The outputs of a model and their V2 datatypes: one for each column of a prediction."""
    types = {name: _DATATYPES[column.type] for name, column in answer.columns.items()}
    return types if alert_above is None else {**types, ALERT: _DATATYPES["boolean"]}


def encode_v2(
    scores: np.ndarray, answer: Answer, name: str, version: str, request_id: object = None, *, alert_above: float | None = None
) -> dict[str, Any]:
    """Predictions in the form of V2: a tensor per column of a prediction."""
    types = output_types(answer, alert_above=alert_above)
    columns = _prediction_columns(scores, answer, alert_above)
    outputs = [{"name": n, "shape": [len(scores)], "datatype": types[n], "data": values} for n, values in columns.items()]
    return {
        "model_name": name,
        "model_version": version,
        **({"id": str(request_id)} if request_id is not None else {}),
        "outputs": outputs,
    }


def _prediction_columns(scores: np.ndarray, answer: Answer, alert_above: float | None) -> dict[str, list[Any]]:
    """The values of each row, by column of a batch prediction."""
    alert = {} if alert_above is None else {ALERT: scores > alert_above}
    return {name: _to_json(values) for name, values in {**answer.values(scores), **alert}.items()}


def _decode_columns(columns: Mapping[str, Any], fields: Sequence[Field]) -> pd.DataFrame:
    _check_known(columns, fields, "")
    _check_complete(set(columns), fields)
    count = None
    for name, values in columns.items():
        if not isinstance(values, list):
            raise RequestError(f"wanted a list of values, found {_describe(values)}", field=name)
        if count is not None and len(values) != count:
            raise RequestError(f"wanted {count} values as in the other columns, found {len(values)}", field=name)
        count = len(values)
    if not count:
        raise RequestError("wanted at least one row", field="inputs")
    _check_size(count, "inputs")
    return _frame({field.name: columns[field.name] for field in fields}, fields, count)


def _frame(columns: Mapping[str, list[Any]], fields: Sequence[Field], count: int) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    data: dict[str, Any] = {}
    for field in fields:
        values = columns[field.name]
        if field.required and any(value is None for value in values):
            raise RequestError("wanted a value, found null", field=field.name)
        data[field.name] = (
            pd.Series([_text(v, field.name) for v in values], dtype=object)
            if field.kind == "string"
            else np.fromiter((_number(v, field.name) for v in values), np.float64, count)
        )
    return pd.DataFrame(data)


def _number(value: object, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (bool, float)):
        return float(value)
    if isinstance(value, int):
        if abs(value) > EXACT_INTEGERS:
            raise RequestError(f"wanted a number that a double holds, found {value}", field=name)
        return float(value)
    raise RequestError(f"wanted a number, found {_describe(value)}", field=name)


def _text(value: object, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RequestError(f"wanted a string, found {_describe(value)}", field=name)


def _check_known(columns: Mapping[str, Any], fields: Sequence[Field], where: str) -> None:
    names = {field.name for field in fields}
    for name in columns:
        if name not in names:
            raise RequestError(f"{where}the model has no input {name!r}; {nearest(str(name), names)}", field=str(name))


def _check_complete(given: set[str], fields: Sequence[Field]) -> None:
    for field in fields:
        if field.name not in given:
            raise RequestError("this input is missing (send null for an unknown value)", field=field.name)


def _check_size(count: int, field: str) -> None:
    if count > MOST_ROWS:
        raise RequestError(f"wanted at most {MOST_ROWS} rows per request, found {count}", field=field, status=413)


def _to_json(values: np.ndarray | list[Any]) -> list[Any]:
    """Values as JSON can hold them: null for a number that isn't finite."""
    plain = values if isinstance(values, list) else values.tolist()
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in plain]


def _describe(value: object) -> str:
    names = {dict: "an object", list: "a list", str: f"the string {str(value)[:40]!r}", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), f"{value!r}"[:60])
