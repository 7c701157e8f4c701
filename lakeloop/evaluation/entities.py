"""Columns that look like an entity: their values repeat, and rows of one value share their label more than rows of neighbouring values do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_ENTITIES = 20
"""With fewer values than this a column is an ordinary category."""
ROWS_AN_ENTITY = (1.5, 200.0)
"""Rows per value of what may be an entity: with fewer nothing repeats, with more every model knows each value well, as it will later."""
LEAST_AGREEMENT, NAMED_AGREEMENT = 0.5, 0.1
"""Share of the label's variance that belongs to the entity: without and with a name that says so. Neighbourhoods and makes of cars explain some of it,
and a new row of a known one is what will be asked."""
LEAST_Z = 4.0
"""Standard errors that this share must be above zero: 3 of 100,000 columns are by chance."""
_NAMED = re.compile(
    r"(^|_)(id|ids|key|uuid|guid|no|nr|number|code|patient|subject|person|customer|client|user|member|account|household|family|student|pupil|"
    r"participant|respondent|machine|device|unit|sensor|vehicle|shop|store|school|site|plot|firm|company|worker|employee|animal|cow|dog|plant)$"
)


@dataclass(frozen=True)
class EntityColumn:
    """A column whose values repeat.

    Attributes:
        name: of the column.
        entities: its distinct values.
        rows: that have one.
        agreement: the share of the label's variance that rows of one value have in common beyond those of neighbouring values: 1 where the label
            belongs to the value.
        z: the same, in standard errors.
    """

    name: str
    entities: int
    rows: int
    agreement: float
    z: float

    @property
    def is_entity(self) -> bool:
        """Whether the label belongs to its values, as far as can be told."""
        least = NAMED_AGREEMENT if _NAMED.search(self.name.rpartition("__")[2].lower()) else LEAST_AGREEMENT
        return self.agreement >= least and self.z >= LEAST_Z

    @property
    def sentence(self) -> str:
        """What it looks like, in words."""
        return (
            f"{self.name} has {self.entities:,} values in {self.rows:,} rows, and rows of one value share {min(self.agreement, 1):.0%} of the "
            "variance of the label"
        )


def repeated_columns(columns: Mapping[str, pa.ChunkedArray], y: np.ndarray) -> list[EntityColumn]:
    """The columns of texts or whole numbers whose values repeat as those of an entity may.

    Args:
        columns: by name.
        y: the label of each row: a number, or a number per class; rows without a label (NaN) are left out.
    """
    each = (repeated_column(name, values, y) for name, values in columns.items())
    return [column for column in each if column is not None]


def repeated_column(name: str, values: pa.ChunkedArray, y: np.ndarray) -> EntityColumn | None:
    """How much the label belongs to the values of a column; None where they repeat too little or too much, or are measured rather than named.

    A number that measures something (an age) tells the label by its size, so that neighbouring values tell nearly the same; the number of a
    person doesn't. So the agreement is that of rows of the same value, less that with rows of the next values in order (an intraclass
    correlation; its error is that of independent values).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(values.type) or pa.types.is_integer(values.type) or _holds_whole_numbers(values)):
        return None
    wide = y.reshape(len(y), -1)
    is_known = np.asarray(pc.is_valid(values)) & np.isfinite(wide).all(axis=1)
    encoded = values.filter(pa.array(is_known)).combine_chunks().dictionary_encode()
    entities, rows = len(encoded.dictionary), len(encoded)
    if entities < LEAST_ENTITIES or not ROWS_AN_ENTITY[0] <= rows / entities <= ROWS_AN_ENTITY[1]:
        return None
    places = np.argsort(np.asarray(pc.array_sort_indices(encoded.dictionary)))
    agreement, z = _agreement(places[np.asarray(encoded.indices)], wide[is_known])
    return EntityColumn(name, entities, rows, agreement, z)


def _holds_whole_numbers(values: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    if not pa.types.is_floating(values.type):
        return False
    numbers = values.drop_null().to_numpy()
    return bool(len(numbers)) and bool(np.isfinite(numbers).all()) and bool((numbers == np.round(numbers)).all())


def _agreement(codes: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The intraclass correlation beyond that of neighbouring codes, and the same in standard errors; 0 where the label is constant."""
    counts = np.bincount(codes).astype(float)
    centred = y - y.mean(axis=0)
    variance = float((centred**2).mean(axis=0).sum())
    if not variance:
        return 0.0, 0.0
    sums = np.stack([np.bincount(codes, column) for column in centred.T], axis=1)
    squares = np.bincount(codes, (centred**2).sum(axis=1))
    repeats = counts > 1
    same = np.zeros(len(counts))
    same[repeats] = ((sums[repeats] ** 2).sum(axis=1) - squares[repeats]) / (counts[repeats] - 1)
    around = np.vstack([sums[1:], sums[:1] * 0]) + np.vstack([sums[:1] * 0, sums[:-1]])
    around_counts = np.append(counts[1:], 0) + np.append(0, counts[:-1])
    near = (sums * around).sum(axis=1) / around_counts
    beyond, weights = (same - near)[repeats] / variance, counts[repeats]
    if not repeats.any():
        return 0.0, 0.0
    agreement = float(beyond.sum() / weights.sum())
    error = float(np.sqrt(((beyond - agreement * weights) ** 2).sum()) / weights.sum())
    return agreement, agreement / error if error else np.inf
