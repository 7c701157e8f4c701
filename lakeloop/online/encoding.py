"""How a row of values becomes numbers, and why a model can't be compiled: what every module of this room shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np

from lakeloop.errors import LakeloopError
from lakeloop.rows.types import Kind

Estimate: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""Rows of numbers to what a model's method gives for them: a number, or a row of them, per row."""


class CannotCompile(LakeloopError):
    """Why a model isn't compiled, as a sentence: a result, not a failure."""


class Input(Protocol):
    """An input of a model."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def kind(self) -> Kind:
        """Whether it is a number or a string."""


Borders: TypeAlias = Mapping[int, np.ndarray]
"""By the place of an input, the numbers at which a model's trees part rows."""


@dataclass(frozen=True)
class Encoding:
    """How a row's values become float64: numbers, booleans and integers as they are (null is NaN), a string by its code.

    Attributes:
        codes: per input of the model, in the order of its fields; None for what isn't a string.
        unknown: per input, the code of a string that isn't among them; null is NaN.
    """

    codes: tuple[Mapping[str, float] | None, ...]
    unknown: tuple[float, ...]

    def encode(self, columns: list[list[object]]) -> np.ndarray:
        """Some columns of values as rows of numbers; a server has a faster way for single rows.

        Args:
            columns: per input, its values: numbers or strings, None where they are missing.
        """
        rows = np.empty((len(columns[0]) if columns else 0, len(self.codes)))
        for place, (codes, unknown, values) in enumerate(zip(self.codes, self.unknown, columns, strict=True)):
            for row, value in enumerate(values):
                if value is None:
                    rows[row, place] = np.nan
                else:
                    rows[row, place] = value if codes is None else codes.get(str(value), unknown)  # type: ignore[call-overload]
        return rows


@dataclass(frozen=True)
class Part:
    """What was understood of a model: how its inputs are encoded, what it makes of them, and where its trees part rows."""

    encoding: Encoding
    estimate: Estimate
    borders: Borders = field(default_factory=dict)

    def then(self, finish: Callable[[np.ndarray], np.ndarray]) -> Part:
        """The same with what becomes of its estimates."""
        estimate = self.estimate
        return Part(self.encoding, lambda rows: finish(estimate(rows)), self.borders)
