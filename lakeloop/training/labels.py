"""Labels: from a view's column to the column of a training set, and to the numbers that models are fitted and evaluated on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lakeloop.errors import DataError, nearest
from lakeloop.spec.tables import Column
from lakeloop.spec.tasks import Answer

if TYPE_CHECKING:
    import pyarrow as pa

MOST_NAMED = 5


def label_column(answer: Answer, description: str) -> Column:
    """The label's column in a training set: a declared class as it is, otherwise a number; null while the label is unknown."""
    if answer.kind.label != "class":
        return Column(type="double", description=description)
    return Column(type=_class_type(answer), description=description)


def label_values(values: pa.ChunkedArray, answer: Answer, *, personal: bool = False) -> pa.ChunkedArray:
    """Convert a view's column to the values that a training set holds.

    Args:
        values: the view's column, null where the label is unknown.
        answer: what the model predicts.
        personal: whether messages must not show values.

    Raises:
        DataError: a value is not a declared class, not 0 or 1, not a number, or not finite. The message names the value and the nearest
            declared class.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if answer.kind.label == "class":
        return _classes(values, answer, personal)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise DataError(f"wanted a label that is a number or a boolean, found {values.type}")
    numbers = values.cast(pa.float64())
    labels = numbers.drop_null().to_numpy()
    not_finite = int((~np.isfinite(labels)).sum())
    if not_finite:
        raise DataError(f"{not_finite:,} of {len(labels):,} labels are NaN or infinite; wanted null where the label is unknown")
    if answer.kind.label in ("binary", "none"):
        others = [value for value in pc.unique(numbers.drop_null()).to_pylist() if value not in (0.0, 1.0)]
        if others:
            shown = "another value" if personal else f"{others[0]:g}"
            raise DataError(
                f"wanted labels 0 and 1 for {answer.task}, found {shown}; multiclass_classification takes more than two classes"
            )
    return numbers


def label_numbers(values: pa.ChunkedArray, answer: Answer) -> np.ndarray:
    """Labels of a training set as float64: the number, or the position of the class among the declared ones; NaN for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if answer.kind.label != "class":
        return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    positions = pc.index_in(values, value_set=pa.array(list(answer.classes), values.type))
    return np.asarray(positions.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _class_type(answer: Answer) -> Literal["integer", "string"]:
    return "integer" if {type(label) for label in answer.classes} == {int} else "string"


def _classes(values: pa.ChunkedArray, answer: Answer, personal: bool) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    is_integer = _class_type(answer) == "integer"
    class_type = pa.int64() if is_integer else pa.string()
    if not (pa.types.is_integer(values.type) if is_integer else pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise DataError(f"the classes are {'integers' if is_integer else 'strings'}, but the label is {values.type}")
    labels = values.cast(class_type)
    is_declared = pc.is_in(labels, value_set=pa.array(list(answer.classes), class_type))
    undeclared = pc.unique(labels.filter(pc.invert(is_declared)).drop_null())
    if len(undeclared):
        count = pc.sum(pc.is_in(labels, value_set=undeclared)).as_py()
        raise DataError(f"{count:,} labels are of {_undeclared_classes(undeclared.to_pylist(), answer, personal)}")
    return labels


def _undeclared_classes(undeclared: list[Any], answer: Answer, personal: bool) -> str:
    what = f"{len(undeclared)} classes that aren't" if len(undeclared) > 1 else "a class that isn't"
    if personal:
        return f"{what} declared (not shown, since the column is personal)"
    shown = ", ".join(repr(value) for value in undeclared[:MOST_NAMED])
    more = " and more" if len(undeclared) > MOST_NAMED else ""
    return f"{what} declared: {shown}{more}; {nearest(str(undeclared[0]), map(str, answer.classes))}"
