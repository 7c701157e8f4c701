"""Anomalies planted among real rows, so that a detector can be judged without labels.

Two kinds, half each. A *mixture* takes every value from a row of its own: each value is ordinary, together they are not. A *moved value* is a row
as it is but for one value: a number far outside (four to eight times the spread of the middle half away from where it was), or a text that
no row has. Real rows may be anomalies themselves, so that no detector reaches a perfect score.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.training.frames import Kind

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.1
"""Planted rows per real row."""
LEAST, MOST = 50, 5_000
FARTHEST = (4.0, 8.0)
"""How far a number is moved, in spreads of the middle half of its values (interquartile ranges)."""
UNSEEN = "(a text that no row has)"
MIXTURE, MOVED = "mixture", "moved value"


@dataclass(frozen=True)
class Planted:
    """Planted rows.

    Attributes:
        frame: their features.
        source: the position of the real row that each began as.
        kind: `mixture` or `moved value`.
    """

    frame: pd.DataFrame
    source: np.ndarray
    kind: np.ndarray


def plant(frame: pd.DataFrame, kinds: Mapping[str, Kind], *, seed: int = 0) -> Planted:
    """Make anomalies out of real rows.

    Args:
        frame: features of real rows; they stay as they are.
        kinds: what each feature is.
        seed: of what is drawn.
    """
    import pandas as pd

    rng, n = np.random.default_rng(seed), len(frame)
    count = min(max(int(n * SHARE), min(LEAST, n)), MOST)
    source = np.sort(rng.choice(n, count, replace=False))
    kind = np.where(np.arange(count) % 2 == 0, MIXTURE, MOVED)
    columns = list(frame.columns)
    made = {name: frame[name].to_numpy().copy()[source] for name in columns}
    mixed = np.flatnonzero(kind == MIXTURE)
    for name in columns:
        made[name][mixed] = frame[name].to_numpy()[rng.integers(0, n, len(mixed))]
    usable = [name for name in columns if kinds[name] == "string" or _spread(frame[name].to_numpy()) > 0]
    for row in np.flatnonzero(kind == MOVED):
        if not usable:
            break
        name = usable[int(rng.integers(0, len(usable)))]
        if kinds[name] == "string":
            made[name][row] = UNSEEN
            continue
        values = frame[name].to_numpy()
        at = made[name][row] if np.isfinite(made[name][row]) else np.nanmedian(values)
        made[name][row] = at + rng.choice((-1.0, 1.0)) * rng.uniform(*FARTHEST) * _spread(values)
    return Planted(pd.DataFrame(made, columns=columns).astype(frame.dtypes.to_dict()), source, kind)


def _spread(values: np.ndarray) -> float:
    """The interquartile range; the standard deviation where half of the values or more are one."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0
    low, high = np.quantile(known, [0.25, 0.75])
    return float(high - low) or float(known.std())
