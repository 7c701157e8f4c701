"""Rows of a request as a model takes them: by column name, each value checked against the model's type, null a missing value.

The fast way decides with a few operations in C whether all is well. What isn't goes the slow way, row by row, which finds what is wrong and
says it, or finds that nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeloop.errors import LakeloopError, nearest
from lakeloop.rows.types import EXACT_INTEGERS

if TYPE_CHECKING:
    import pandas as pd

    from resources.tracking.model_format import Field

MOST_ROWS = 10_000
_NUMERIC = frozenset({float, int, bool, type(None)})
_TEXTUAL = frozenset({str, type(None)})


class RequestError(LakeloopError):
    """A request that can't be answered: HTTP status, the field in question, what was wanted and found."""

    def __init__(self, message: str, *, field: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.field, self.status = message, field, status


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to predict.

    Attributes:
        count: of rows, at least one.
        numbers: float64 `(rows, numeric inputs)`, NaN for null.
        texts: a column per input that is a string, None for null.
        is_large: whether a number may be one that no double holds.
        keys: what a request says beside the inputs (entity keys, when it asks): a column each.
    """

    count: int
    numbers: np.ndarray
    texts: tuple[Sequence[str | None], ...]
    is_large: bool = False
    keys: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class Inputs:
    """What a model takes, and how rows become it.

    Args:
        fields: the inputs of the model.
        keys: what a row may say beside them.
        personal: the inputs and keys whose values no message repeats.
    """

    def __init__(self, fields: Sequence[Field], keys: Collection[str] = (), personal: Collection[str] = ()) -> None:
        self.fields = tuple(fields)
        self.personal = frozenset(personal)
        self.names = [f.name for f in fields]
        self.keys = tuple(key for key in keys if key not in self.names)
        self.numeric = [f.name for f in fields if f.kind != "string"]
        self.textual = [f.name for f in fields if f.kind == "string"]
        self.number_places = [place for place, f in enumerate(fields) if f.kind != "string"]
        self.text_places = [place for place, f in enumerate(fields) if f.kind == "string"]
        self._kinds: dict[str, str] = {f.name: f.kind for f in fields}
        self.kinds = {**dict.fromkeys(self.keys, "key"), **self._kinds}
        self._required = [f.name for f in fields if f.required]
        self._numbers_of, self._texts_of = _getter(self.numeric), _getter(self.textual)

    def from_rows(self, rows: Sequence[Mapping[str, Any]]) -> Batch:
        """Rows as JSON objects.

        Raises:
            RequestError: an input is missing or unknown in a row, or a value isn't of its type.
        """
        _check_size(len(rows), "instances")
        try:
            numbers = [value for row in rows for value in self._numbers_of(row)]
            texts = tuple(zip(*map(self._texts_of, rows), strict=True)) if self.textual else ()
        except (KeyError, TypeError, IndexError):
            self._explain(rows)
            raise
        if not (
            _NUMERIC.issuperset(map(type, numbers))
            and all(_TEXTUAL.issuperset(map(type, column)) for column in texts)
            and all(self._has_no_other(row) for row in rows)
        ):
            self._explain(rows)
        matrix = np.array(numbers, np.float64).reshape(len(rows), len(self.numeric))
        return self._checked(matrix, texts, self._keys_of(rows), lambda name: [row[name] for row in rows])

    def from_columns(self, columns: Mapping[str, Sequence[Any] | np.ndarray], where: str = "inputs") -> Batch:
        """Columns: lists as of JSON, or float64 arrays whose values are known to be exact.

        Raises:
            RequestError: a column is missing, unknown or of another length, or a value isn't of its type.
        """
        for name in columns:
            self._check_known(name, "")
        for name in self.names:
            if name not in columns:
                raise RequestError(_MISSING, field=name)
        count = self._count_of(columns, where)
        numbers = np.empty((count, len(self.numeric)), np.float64)
        for place, name in enumerate(self.numeric):
            column = columns[name]
            if not isinstance(column, np.ndarray):
                for row, value in enumerate(() if _NUMERIC.issuperset(map(type, column)) else column):
                    self._check_type(value, name, row)
            numbers[:, place] = column
        for name in self.textual:
            for row, value in enumerate(() if _TEXTUAL.issuperset(map(type, columns[name])) else columns[name]):
                self._check_type(value, name, row)
        keys = {key: list(columns[key]) for key in self.keys if key in columns}
        texts: Any = tuple(columns[name] for name in self.textual)
        return self._checked(numbers, texts, keys, lambda name: columns[name])

    def frame(self, batch: Batch) -> pd.DataFrame:
        """A batch as a model's own `predict` takes it."""
        import pandas as pd

        columns: dict[str, Any] = {name: batch.numbers[:, place] for place, name in enumerate(self.numeric)}
        columns |= {name: pd.Series(list(texts), dtype=object) for name, texts in zip(self.textual, batch.texts, strict=True)}
        return pd.DataFrame({name: columns[name] for name in self.names})

    def kind_of(self, name: str) -> str:
        """The kind of an input, or of what may stand beside them.

        Raises:
            RequestError: there is no such input.
        """
        self._check_known(name, "")
        return self._kinds.get(name, "key")

    def _count_of(self, columns: Mapping[str, Sequence[Any] | np.ndarray], where: str) -> int:
        counts = {name: len(column) for name, column in columns.items()}
        count = next(iter(counts.values()), 0)
        for name, other in counts.items():
            if other != count:
                raise RequestError(f"wanted {count} values as in the other columns, found {other}", field=name)
        if not count:
            raise RequestError("wanted at least one row", field=where)
        _check_size(count, where)
        return count

    def _has_no_other(self, row: Mapping[str, Any]) -> bool:
        """Whether a row that has all inputs says nothing beside them but keys."""
        return len(row) == len(self.names) or len(row) - sum(key in row for key in self.keys) == len(self.names)

    def _keys_of(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        return {key: [row.get(key) for row in rows] for key in self.keys if any(key in row for row in rows)}

    def _checked(
        self,
        numbers: np.ndarray,
        texts: tuple[Sequence[str | None], ...],
        keys: Mapping[str, Sequence[Any]],
        column_of: Callable[[str], Sequence[Any] | np.ndarray],
    ) -> Batch:
        """A batch without integers that a double doesn't hold, and without nulls where a value is required."""
        is_large = bool((np.abs(numbers) >= EXACT_INTEGERS).any())
        if is_large:
            for name in self.numeric:
                column = column_of(name)
                for row, value in enumerate(() if isinstance(column, np.ndarray) else column):
                    if type(value) is int and abs(value) > EXACT_INTEGERS:
                        wanted = "wanted a number that a double holds"
                        raise RequestError(f"row {row}: {wanted}, found {self.describe(name, value)}", field=name)
        for name in self._required:
            column = column_of(name)
            for row in range(len(numbers)):
                if column[row] is None or column[row] != column[row]:
                    raise RequestError(f"row {row}: wanted a value, found null", field=name)
        return Batch(len(numbers), numbers, texts, is_large, keys)

    def _explain(self, rows: Sequence[Any]) -> None:
        """Raise what is wrong with the first row that has something; return where nothing is."""
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise RequestError(f"row {number}: wanted an object of column and value, found {describe(row)}", field="instances")
            for name in row:
                self._check_known(name, f"row {number}: ")
            for name in self.names:
                if name not in row:
                    raise RequestError(f"row {number}: {_MISSING}", field=name)
                self._check_type(row[name], name, number)

    def _check_known(self, name: str, where: str) -> None:
        if name not in self._kinds and name not in self.keys:
            raise RequestError(f"{where}the model has no input {name!r}; {nearest(str(name), self._kinds)}", field=str(name))

    def _check_type(self, value: object, name: str, row: int) -> None:
        is_text = self._kinds[name] == "string"
        if type(value) not in (_TEXTUAL if is_text else _NUMERIC):
            raise RequestError(f"row {row}: wanted a {'string' if is_text else 'number'}, found {self.describe(name, value)}", field=name)

    def describe(self, name: str, value: object) -> str:
        """A value of an input, for a message; of a personal one its type."""
        return describe(value) if name not in self.personal else {str: "a string", bool: "a boolean"}.get(type(value), "something else")


_MISSING = "this input is missing (send null for an unknown value)"


def check_integers(text: str) -> None:
    """Refuse whole numbers in JSON that a double doesn't hold, however they are written, of which the fast parser tells no more.

    Raises:
        RequestError: there is one.
    """
    import json

    def whole(text: str) -> float:
        value = float(text)
        if abs(value) >= EXACT_INTEGERS and "e" not in text.lower() and Decimal(text) != Decimal(value):
            raise RequestError(f"wanted a number that a double holds, found {text[:40]}")
        return value

    json.loads(text, parse_int=whole, parse_float=whole)


def describe(value: object) -> str:
    """A value of a request, for a message."""
    names = {dict: "an object", list: "a list", str: f"the string {str(value)[:40]!r}", bool: "a boolean", type(None): "nothing"}
    return names.get(type(value), f"{value!r}"[:60])


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """The values of a row under some names."""
    if len(names) > 1:
        return itemgetter(*names)
    return (lambda row: (row[names[0]],)) if names else (lambda _: ())


def _check_size(count: int, field: str) -> None:
    if count > MOST_ROWS:
        raise RequestError(f"wanted at most {MOST_ROWS} rows per request, found {count}", field=field, status=413)
