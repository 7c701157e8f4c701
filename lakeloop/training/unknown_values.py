"""Rows that teach trees what an unknown value means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MOST_SHARE = 0.2
"""The most rows that are repeated, as a share of all: more would cost time, and weight."""
ROWS = 400
"""Rows without a value that a feature gets: enough for leaves of 100 rows, and for the trees' least support of a category."""
ENOUGH = 20
"""Where so many rows lack a value, what the trees learn of these is what a missing value means."""


def repeat_without_values(frame: pd.DataFrame, label: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Add rows that repeat others without the value of one feature, for each feature that hardly any row lacks.

    The rows stay as they are, and those that are repeated lie evenly among them, so that the labels of the repeated ones are distributed as all are.

    Args:
        frame: features of the rows to fit on.
        label: their labels.

    Returns:
        Both with the repeated rows behind the others, at most a fifth more.
    """
    import numpy as np
    import pandas as pd

    names = [name for name in frame.columns if frame[name].isna().sum() < ENOUGH]
    size = min(ROWS, int(len(frame) * MOST_SHARE) // max(len(names), 1))
    if not size:
        return frame, label
    parts, labels = [frame], [label]
    for place, name in enumerate(names):
        # Each feature has rows of its own: those of one evenly spaced set, moved on by a part of the space.
        picked = (np.arange(size) * len(frame) // size + place * len(frame) // (size * len(names))) % len(frame)
        rows = frame.iloc[picked].copy()
        rows[name] = pd.Series(np.nan if rows[name].dtype.kind == "f" else None, index=rows.index, dtype=rows[name].dtype)
        parts.append(rows)
        labels.append(label[picked])
    return pd.concat(parts), np.concatenate(labels)
