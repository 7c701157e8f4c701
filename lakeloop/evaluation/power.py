"""Whether an entity, or features that give the label together, would have been found among so few rows: some are planted, and those found are counted."""

from __future__ import annotations

import math

import numpy as np

from lakeloop.evaluation.entities import repeated_column
from lakeloop.evaluation.relations import LEAST_ROWS, MOST_ROWS, find_relations

PLANTED, PLANTED_ROWS = 20, 4_000
"""How many features or entities are planted, and among how many rows at most: more rows tell more."""
PLANTED_RELATIONS = 10
"""Fewer, since looking for one takes 0.2 s in 3,000 rows."""
LEAST_POWER = 0.8
ROWS_OF_AN_ENTITY = 4
"""Rows of each planted entity, all with one label but for what a whole number of rows leaves over."""


def entity_power(y: np.ndarray, *, seed: int = 0) -> float:
    """The share of planted entities that the label belongs to and that are told as such, among rows like these.

    Args:
        y: the label of each row: a number, or a number per class; rows without one (NaN) are left out.
        seed: of what is planted.
    """
    import pyarrow as pa

    rng, wide = np.random.default_rng(seed), y.reshape(len(y), -1)
    wide = wide[np.isfinite(wide).all(axis=1)]
    if not len(wide):
        return 0.0
    hits = 0
    for _ in range(PLANTED):
        drawn = wide[rng.integers(0, len(wide), min(len(wide), PLANTED_ROWS))]
        # Rows of one label after each other, each few of them with a number of their own.
        order, numbers = np.lexsort(drawn.T), rng.permutation(len(drawn))
        named = np.empty(len(drawn), np.int64)
        named[order] = numbers[np.arange(len(drawn)) // ROWS_OF_AN_ENTITY]
        column = repeated_column("planted", pa.chunked_array([pa.array(named)]), drawn)
        hits += column is not None and column.is_entity
    return hits / PLANTED


def relation_power(y: np.ndarray, *, is_class: bool, seed: int = 0) -> float:
    """The share of planted relations that are found among rows like these; each gives the label of every row by features that alone don't.

    Of numbers it is a sum of two, of two classes whether a weighted sum of three is above a bound, of more classes a map of two codes. They are
    planted beside no other features, so that in wide tables it says what so many rows allow, not which pairs were tried.

    Args:
        y: the label of each row: a number, or the position of its class.
        is_class: whether positions have no order.
        seed: of what is planted.

    Returns:
        NaN where rows are too few to look for relations.
    """
    rng, known = np.random.default_rng(seed), y[np.isfinite(y)]
    if len(known) < LEAST_ROWS:
        return math.nan
    hits = 0
    for _ in range(PLANTED_RELATIONS):
        drawn = rng.choice(known, min(len(known), MOST_ROWS))
        hits += any(
            set(each.columns) >= {"planted", "beside"} for each in find_relations(_plant(drawn, is_class, rng), drawn, is_class=is_class)
        )
    return hits / PLANTED_RELATIONS


def _plant(y: np.ndarray, is_class: bool, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Features that give a label together."""
    if not is_class:
        part = rng.normal(0, y.std(), len(y))
        return {"planted": part, "beside": y - part}
    values, codes = np.unique(y, return_inverse=True)
    if len(values) <= 2:
        first, second = rng.normal(0, 1, (2, len(y)))
        margin = (2 * codes - 1) * (0.02 + rng.exponential(1, len(y)))
        return {"planted": first, "beside": second, "third": margin - first + 2 * second}
    left = rng.integers(0, len(values), len(y))
    return {"planted": left.astype(float), "beside": ((left + codes) % len(values)).astype(float)}
