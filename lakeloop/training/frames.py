"""The one way in which features become a model's input: in training, evaluation, batch prediction and serving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakeloop.errors import DataError, nearest
from lakeloop.rows.types import EXACT_INTEGERS, Kind, model_kind, to_doubles

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa


def feature_kinds(schema: pa.Schema, columns: Sequence[str]) -> dict[str, Kind]:
    """The kind of each feature: `double` (numbers and booleans) or `string` (categories).

    Raises:
        DataError: a feature is missing, or is a date, a time or another type that a model can't take.
    """
    kinds: dict[str, Kind] = {}
    for name in columns:
        if name not in schema.names:
            raise DataError(f"no feature {name!r}; {nearest(name, schema.names)}")
        arrow = schema.field(name).type
        kind = model_kind(arrow)
        if kind is None:
            raise DataError(f"feature {name} is {arrow}: wanted a number, a boolean or a string; derive one in a view")
        kinds[name] = kind
    return kinds


def feature_frame(table: pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """Features as a pandas DataFrame: numbers and booleans as float64 (null as NaN), strings as objects (null as None).

    Args:
        table: has the columns; others are ignored.
        columns: the model's inputs, in its order.

    Raises:
        DataError: a feature is missing or of a type that a model can't take, or an integer is too large for a double.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    data = {}
    for name, kind in feature_kinds(table.schema, columns).items():
        values = table[name]
        if kind == "string":
            # One object per distinct value; `to_numpy` makes one per row.
            data[name] = pd.Series(values.to_pandas(), dtype=object)
            continue
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int8())
        if pa.types.is_int64(values.type) and values.length() and (pc.max(pc.abs(values)).as_py() or 0) > EXACT_INTEGERS:
            raise DataError(f"feature {name} has integers beyond 2**53, which a double can't tell apart")
        numbers = to_doubles(values).to_numpy(zero_copy_only=False)
        data[name] = pd.Series(numbers if numbers.flags.writeable else numbers.copy(), dtype="float64")
    # Without `copy=False` pandas gathers the columns in one block and copies them twice.
    return pd.DataFrame(data, columns=list(columns), copy=False)


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """Positions of at most `most` of `count` rows, evenly spaced."""
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))
