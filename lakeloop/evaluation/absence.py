"""What the absence of a value says of the label: a tail number that only cancelled flights lack says which are cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_ERRORS = 0.005
"""Share of the rows without a value (or with one) that may be of another class, or of the label's variance that they may have: hardly any."""
LEAST_LIFT = 0.1
"""Upper end of their share of errors over the share on the other side: a tenth says that absence decides, not that it goes along."""
LEAST_ROWS = 30
"""Rows on either side that are needed: of 30 rows without an error, up to 10% may be wrong in truth (the rule of three)."""


def absence_tells(is_missing: np.ndarray, y: np.ndarray, classes: Sequence[Any] | None) -> str:
    """What the absence, or the presence, of a value says of the label by itself, in words; empty where it says little.

    Args:
        is_missing: per row.
        y: the label: a number, or the position of the class.
        classes: their names, in order; None for a number.

    >>> y = np.repeat([0.0, 1.0], [900, 100])
    >>> absence_tells(np.arange(1000) >= 960, y, (False, True))
    'in 40 rows it is missing, and all of them are True'
    >>> absence_tells(np.arange(1000) % 7 == 0, y, (False, True))
    ''
    """
    for what, side in (("it is missing", is_missing), ("it has a value", ~is_missing)):
        count, others = int(side.sum()), int((~side).sum())
        if count < LEAST_ROWS or others < LEAST_ROWS:
            continue
        if classes is None:
            told = _told_number(y[side], y[~side])
        else:
            told = _told_class(y[side], y[~side], classes)
        if told:
            return f"in {count:,} rows {what}, and {told}"
    return ""


def _told_number(inside: np.ndarray, outside: np.ndarray) -> str:
    if not inside.var() <= MOST_ERRORS * outside.var():
        return ""
    middle = float(np.median(inside))
    return f"there the label is {middle:g}" if inside.var() == 0 else f"there the label is {middle:.3g}, as good as always"


def _told_class(inside: np.ndarray, outside: np.ndarray, classes: Sequence[Any]) -> str:
    counts = np.bincount(inside.astype(int), minlength=len(classes))
    most = int(counts.argmax())
    errors, wrong_outside = int(len(inside) - counts[most]), float((outside != most).mean())
    upper = (errors + 3) / len(inside)
    if errors > MOST_ERRORS * len(inside) or upper > LEAST_LIFT * wrong_outside:
        return ""
    return f"all of them are {classes[most]}" if not errors else f"all but {errors} of them are {classes[most]}"
