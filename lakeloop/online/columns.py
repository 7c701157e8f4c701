"""What a fitted ColumnTransformer does to a frame, as arithmetic on rows of numbers: bit for bit, without a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lakeloop.online.encoding import CannotCompile, Encoding, Estimate, Input

_UNSEEN = "\x00a category that no row has\x00"
_MISSING = -1e9
"""The code of a category that an encoder takes for missing, where null isn't: NaN is null."""
_NONE = -1.0
"""The code of a category that sets none of the one-hot columns."""


@dataclass(frozen=True)
class Columns:
    """What a model's last step gets, from rows of its inputs.

    Attributes:
        encoding: of the inputs.
        matrix: from rows of inputs to rows of columns.
        sources: per column, the place of the input that it is, but for its nulls; None where columns are computed.
        nulls: per input, what null is among these columns: of a string it may be a category of its own.
    """

    encoding: Encoding
    matrix: Estimate
    sources: tuple[int, ...] | None = None
    nulls: tuple[float, ...] = ()


def plain_columns(inputs: Sequence[Input]) -> Columns:
    """The inputs themselves, where a model takes them as they are.

    Raises:
        CannotCompile: one is a string.
    """
    strings = [each.name for each in inputs if each.kind == "string"]
    if strings:
        raise CannotCompile(f"it takes strings ({', '.join(strings[:3])}) in a way of its own")
    none: tuple[None, ...] = (None,) * len(inputs)
    nan = (np.nan,) * len(inputs)
    return Columns(Encoding(none, nan), _unchanged, tuple(range(len(inputs))), nan)


def compile_columns(transformer: Any, inputs: Sequence[Input]) -> Columns:
    """The columns that a fitted ColumnTransformer makes of a model's inputs.

    Raises:
        CannotCompile: it holds a step that isn't known here, or uses a string twice.
    """
    from sklearn.compose import ColumnTransformer

    if type(transformer) is not ColumnTransformer:
        raise CannotCompile(f"its first step is a {type(transformer).__name__}, and only a ColumnTransformer of scikit-learn's is known")
    if transformer.sparse_output_:
        raise CannotCompile("its columns are sparse")
    making = _Making(inputs)
    for _, step, names in transformer.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        if isinstance(names, (str, slice)):
            raise CannotCompile("a part of its ColumnTransformer doesn't list its columns")
        if len(names):
            making.add(step, making.places_of(names, transformer))
    return making.columns()


class _Making:
    """Columns as they are put together, part by part."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs, self.width = inputs, 0
        self.codes: dict[int, tuple[dict[str, float], float]] = {}
        self.blocks: list[tuple[int, int, np.ndarray, Estimate]] = []
        self.one_hot: list[int] = []
        self.nulls = [np.nan] * len(inputs)
        self.sources: list[int] | None = []

    def places_of(self, names: Any, transformer: Any) -> list[int]:
        """The inputs that a part of a ColumnTransformer takes."""
        places = {each.name: place for place, each in enumerate(self.inputs)}
        known = getattr(transformer, "feature_names_in_", None)
        wanted = names if all(isinstance(name, str) for name in names) else [] if known is None else known[names]
        if len(wanted) != len(names) or any(name not in places for name in wanted):
            raise CannotCompile("a part of its ColumnTransformer doesn't name its columns")
        return [places[name] for name in wanted]

    def add(self, step: Any, places: list[int]) -> None:
        """Add the columns that one part makes."""
        from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

        kinds = {self.inputs[place].kind for place in places}
        if kinds == {"string"} and type(step) in (OrdinalEncoder, OneHotEncoder):
            if self.codes.keys() & set(places):
                raise CannotCompile("two parts of its ColumnTransformer take the same string")
            (self._add_ordinal if type(step) is OrdinalEncoder else self._add_one_hot)(step, places)
            return
        if "string" in kinds:
            raise CannotCompile(f"strings go through a {_name(step)}, and only scikit-learn's one-hot and ordinal encoders are known")
        steps = [each for _, each in step.steps] if _name(step) == "Pipeline" else [step]
        functions = [function for each in steps if (function := _arithmetic(each)) is not None]
        if functions:
            self.sources = None
        width = _width(functions, len(places))
        self.blocks.append((self.width, self.width + width, np.array(places), _chain(functions)))
        if self.sources is not None:
            self.sources += places
        self.width += width

    def _add_ordinal(self, encoder: Any, places: list[int]) -> None:
        outputs = _probe(encoder, places)
        for column, place in enumerate(places):
            by_text = {text: float(row[column]) for text, row in outputs[column].items()}
            self.nulls[place] = by_text.pop(None)  # type: ignore[call-overload]
            if not np.isnan(self.nulls[place]):
                by_text = {text: _MISSING if np.isnan(code) else code for text, code in by_text.items()}
            self.codes[place] = (by_text, by_text.pop(_UNSEEN))
        self.blocks.append((self.width, self.width + len(places), np.array(places), _filled([self.nulls[place] for place in places])))
        if self.sources is not None:
            self.sources += places
        self.width += len(places)

    def _add_one_hot(self, encoder: Any, places: list[int]) -> None:
        self.sources = None
        outputs = _probe(encoder, places)
        for column, place in enumerate(places):
            by_text: dict[Any, float] = {}
            for text, row in outputs[column].items():
                # What the others give is the same in every row, but for this column's own part.
                start, stop = _own_part(encoder, column)
                part = row[start:stop]
                if not np.isin(part, (0, 1)).all() or part.sum() > 1:
                    raise CannotCompile("its one-hot encoder sets more than one column")
                by_text[text] = float(self.width + start + int(part.argmax())) if part.any() else _NONE
            self.nulls[place] = by_text.pop(None)
            self.codes[place] = (by_text, by_text.pop(_UNSEEN))
            self.one_hot.append(place)
        self.width += _own_part(encoder, len(places) - 1)[1]

    def columns(self) -> Columns:
        """What was put together."""
        none = (None, np.nan)
        # A string that no part takes is any number: nothing reads it.
        ignored: dict[int, Any] = {place: ({}, 0.0) for place, each in enumerate(self.inputs) if each.kind == "string"}
        encodings: list[Any] = [self.codes.get(place, ignored.get(place, none)) for place in range(len(self.inputs))]
        encoding = Encoding(tuple(codes for codes, _ in encodings), tuple(unknown for _, unknown in encodings))
        sources = None if self.sources is None else tuple(self.sources)
        return Columns(encoding, self._matrix(), sources, tuple(self.nulls))

    def _matrix(self) -> Estimate:
        width, blocks = self.width, self.blocks
        coded = np.array(self.one_hot, np.intp)
        nulls = np.array([self.nulls[place] for place in self.one_hot])

        def matrix(rows: np.ndarray) -> np.ndarray:
            columns = np.zeros((len(rows), width))
            for start, stop, places, function in blocks:
                columns[:, start:stop] = function(rows[:, places])
            if coded.size:
                codes = rows[:, coded]
                at = np.where(np.isnan(codes), nulls, codes).astype(np.intp)
                if len(rows) == 1:
                    columns[0, at[at >= 0]] = 1.0
                else:
                    is_set = at >= 0
                    columns.reshape(-1)[(at + np.arange(len(rows))[:, None] * width)[is_set]] = 1.0
            return columns

        return matrix


def _filled(nulls: Sequence[float]) -> Estimate:
    """Codes with what null is among them: scikit-learn's ordinal encoder takes NaN for missing, and None for a category where it was fitted on it."""
    filling = np.array(nulls)
    if np.isnan(filling).all():
        return _unchanged
    return lambda codes: np.where(codes == _MISSING, np.nan, np.where(np.isnan(codes), filling, codes))


def _own_part(encoder: Any, column: int) -> tuple[int, int]:
    """The columns that a one-hot encoder makes of one of its own."""
    sizes = encoder._n_features_outs
    return sum(sizes[:column]), sum(sizes[: column + 1])


def _probe(encoder: Any, places: list[int]) -> list[dict[Any, np.ndarray]]:
    """What an encoder makes of each category, of null and of a category that it doesn't know: per column, its output row by text."""
    import pandas as pd

    names = list(getattr(encoder, "feature_names_in_", range(len(places))))
    texts = [[text for text in categories if isinstance(text, str)] for categories in encoder.categories_]
    asked = [[*each, None, _UNSEEN] for each in texts]
    most = max(len(each) for each in asked)
    frame = pd.DataFrame(
        {name: pd.Series([*each, *[None] * (most - len(each))], dtype=object) for name, each in zip(names, asked, strict=True)}
    )
    try:
        outputs = np.asarray(encoder.transform(frame), dtype=np.float64)
    except ValueError as error:
        raise CannotCompile(f"its {type(encoder).__name__} refuses a missing string or a category that it doesn't know") from error
    return [{text: outputs[row] for row, text in enumerate(each)} for each in asked]


def _arithmetic(step: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """What a fitted step does to numbers, in its own order of operations; None where it leaves them as they are."""
    makers: Mapping[str, Callable[[Any], Callable[[np.ndarray], np.ndarray] | None]] = {
        "SimpleImputer": _imputed,
        "StandardScaler": _scaled,
        "FunctionTransformer": _applied,
    }
    if isinstance(step, str) and step == "passthrough":
        return None
    make = makers.get(_name(step))
    if make is None or not type(step).__module__.startswith("sklearn."):
        raise CannotCompile(f"numbers go through a {_name(step)}, which isn't known here")
    return make(step)


def _imputed(step: Any) -> Callable[[np.ndarray], np.ndarray]:
    if not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)) or np.isnan(step.statistics_.astype(float)).any():
        raise CannotCompile("its imputer leaves columns out, or takes another value than null for missing")
    statistics = step.statistics_.astype(np.float64)
    marked = np.empty(0, np.intp) if step.indicator_ is None else step.indicator_.features_

    def impute(values: np.ndarray) -> np.ndarray:
        missing = np.isnan(values)
        filled = np.where(missing, statistics, values)
        return np.concatenate([filled, missing[:, marked]], axis=1) if marked.size else filled

    return impute


def _scaled(step: Any) -> Callable[[np.ndarray], np.ndarray]:
    mean, scale = step.mean_ if step.with_mean else None, step.scale_ if step.with_std else None

    def scaled(values: np.ndarray) -> np.ndarray:
        centred = values if mean is None else values - mean
        return centred if scale is None else centred / scale

    return scaled


def _applied(step: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    if step.func is None:
        return None
    if not isinstance(step.func, np.ufunc) or step.kw_args:
        raise CannotCompile(f"numbers go through the function {getattr(step.func, '__name__', step.func)}, which may do anything")
    function: Callable[[np.ndarray], np.ndarray] = step.func
    return function


def _chain(functions: Sequence[Callable[[np.ndarray], np.ndarray]]) -> Estimate:
    if not functions:
        return _unchanged
    if len(functions) == 1:
        return functions[0]

    def chained(values: np.ndarray) -> np.ndarray:
        for function in functions:
            values = function(values)
        return values

    return chained


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values


def _width(functions: Sequence[Callable[[np.ndarray], np.ndarray]], width: int) -> int:
    """How many columns some functions make of so many."""
    return int(_chain(functions)(np.zeros((1, width))).shape[1])


def _name(step: Any) -> str:
    return step if isinstance(step, str) else type(step).__name__
