"""Anomalies planted among real rows, so that a detector can be evaluated without labels.

Two kinds, half each. A *mixture* takes every value from a different row: each value is ordinary, their combination is not. A *moved value* is
a real row with one value changed: a number is moved by four to eight interquartile ranges, a string becomes one that no row has. Real rows may
be anomalies themselves, so no detector reaches a perfect score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.rows.types import Kind

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.1
"""Planted rows per real row."""
LEAST, MOST = 50, 5_000
FARTHEST = (4.0, 8.0)
"""How far a number is moved, in interquartile ranges of its values."""
UNSEEN = "(a text that no row has)"
MIXTURE, MOVED = "mixture", "moved value"


@dataclass(frozen=True)
class Planted:
    """Planted rows.

    Attributes:
        frame: their features.
        source: the position of the real row that each was made from.
        kind: `mixture` or `moved value`.
    """

    frame: pd.DataFrame
    source: np.ndarray
    kind: np.ndarray


def plant(frame: pd.DataFrame, kinds: Mapping[str, Kind], *, seed: int = 0) -> Planted:
    """Make anomalies from real rows.

    Args:
        frame: features of real rows; it isn't changed.
        kinds: the kind of each feature.
        seed: of the random draws.
    """
    import pandas as pd

    rng, n = np.random.default_rng(seed), len(frame)
    count = min(max(int(n * SHARE), min(LEAST, n)), MOST)
    source = np.sort(rng.choice(n, count, replace=False))
    kind = np.where(np.arange(count) % 2 == 0, MIXTURE, MOVED)
    columns = list(frame.columns)
    planted = {name: frame[name].to_numpy().copy()[source] for name in columns}
    mixtures = np.flatnonzero(kind == MIXTURE)
    for name in columns:
        planted[name][mixtures] = frame[name].to_numpy()[rng.integers(0, n, len(mixtures))]
    movable = [name for name in columns if kinds[name] == "string" or _spread(frame[name].to_numpy()) > 0]
    for row in np.flatnonzero(kind == MOVED):
        if not movable:
            break
        name = movable[int(rng.integers(0, len(movable)))]
        if kinds[name] == "string":
            planted[name][row] = UNSEEN
            continue
        values = frame[name].to_numpy()
        start = planted[name][row] if np.isfinite(planted[name][row]) else np.nanmedian(values)
        planted[name][row] = start + rng.choice((-1.0, 1.0)) * rng.uniform(*FARTHEST) * _spread(values)
    return Planted(pd.DataFrame(planted, columns=columns).astype(frame.dtypes.to_dict()), source, kind)


def _spread(values: np.ndarray) -> float:
    """The interquartile range, or the standard deviation when the quartiles are equal."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0
    low, high = np.quantile(finite, [0.25, 0.75])
    return float(high - low) or float(finite.std())
