"""Labels: from a view's column to what a training set holds, and to the numbers that models are fitted on and judged by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import DataError, nearest
from lakeloop.spec.tables import Column
from lakeloop.spec.tasks import Answer

if TYPE_CHECKING:
    import pyarrow as pa

MOST_NAMED = 5


def label_column(answer: Answer, description: str) -> Column:
    """The label's column in a training set: a declared class as it is, else a number; null while it isn't known."""
    if answer.kind.label != "class":
        return Column(type="double", description=description)
    return Column(type="integer" if all(isinstance(label, int) for label in answer.classes) else "string", description=description)


def label_values(values: pa.ChunkedArray, answer: Answer, *, personal: bool = False) -> pa.ChunkedArray:
    """A view's column as a training set holds it.

    Args:
        values: of a view, null where the label isn't known.
        answer: what is predicted.
        personal: whether values must not be named in messages.

    Raises:
        DataError: a value is no declared class, neither 0 nor 1, no number or not finite; with the value and the nearest that is declared.
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
    known = numbers.drop_null().to_numpy()
    bad = int((~np.isfinite(known)).sum())
    if bad:
        raise DataError(f"{bad:,} of {len(known):,} labels are NaN or infinite; wanted null where the label isn't known")
    if answer.kind.label in ("binary", "none"):
        others = pc.unique(numbers.drop_null()).to_pylist()
        strange = [value for value in others if value not in (0.0, 1.0)]
        if strange:
            named = "another value" if personal else f"{strange[0]:g}"
            raise DataError(
                f"wanted labels 0 and 1 for {answer.task}, found {named}; multiclass_classification takes more than two classes"
            )
    return numbers


def label_numbers(values: pa.ChunkedArray, answer: Answer) -> np.ndarray:
    """Labels of a training set as float64: the number, or the place of the class among the declared ones; NaN for null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if answer.kind.label != "class":
        return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    places = pc.index_in(values, value_set=pa.array(list(answer.classes), values.type))
    return np.asarray(places.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _classes(values: pa.ChunkedArray, answer: Answer, personal: bool) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = isinstance(answer.classes[0], int)
    wanted = pa.int64() if whole else pa.string()
    if not (pa.types.is_integer(values.type) if whole else pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        raise DataError(f"the classes are {'integers' if whole else 'texts'}, the label is {values.type}")
    labels = values.cast(wanted)
    unknown = pc.unique(labels.filter(pc.invert(pc.is_in(labels, value_set=pa.array(list(answer.classes), wanted)))).drop_null())
    if len(unknown):
        count = pc.sum(pc.is_in(labels, value_set=unknown)).as_py()
        raise DataError(f"{count:,} labels are of {_named(unknown.to_pylist(), answer, personal)}")
    return labels


def _named(unknown: list[Any], answer: Answer, personal: bool) -> str:
    what = f"{len(unknown)} classes that aren't" if len(unknown) > 1 else "a class that isn't"
    if personal:
        return f"{what} declared (the column is personal, so they aren't named)"
    shown = ", ".join(repr(value) for value in unknown[:MOST_NAMED])
    return (
        f"{what} declared: {shown}{' and more' if len(unknown) > MOST_NAMED else ''}; {nearest(str(unknown[0]), map(str, answer.classes))}"
    )
