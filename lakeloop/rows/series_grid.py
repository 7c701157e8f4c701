"""Whether the times of series are whole steps apart, in the calendar of their zone."""

from __future__ import annotations

import numpy as np

from lakeloop.spec.clocks import to_local
from lakeloop.spec.steps import Step


def off_grid(codes: np.ndarray, moments: np.ndarray, step: Step) -> np.ndarray:
    """Which times aren't whole steps from the others of their series: from the place within a step at which most of them stand.

    Args:
        codes: the series of each time.
        moments: `datetime64[us]`, UTC, without NaT, in any order.
        step: with the anchor of the times.

    >>> days = np.array(["2024-01-01", "2024-01-02", "2024-01-03T07", "2024-01-04"], "datetime64[us]")
    >>> off_grid(np.zeros(4), days, Step.parse("1d")).tolist()
    [False, False, True, False]
    """
    numbers, is_off = step.numbers(moments), np.zeros(len(moments), bool)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=np.nan) != 0)
    for part in np.split(order, starts[1:]):
        if len(part):
            base = part[_usual_place(step, moments[part])]
            is_off[part] = step.ahead(np.repeat(moments[base], len(part)), numbers[part] - numbers[base]) != moments[part]
    return is_off


def _usual_place(step: Step, moments: np.ndarray) -> int:
    """A moment that stands where most do within their steps, of which the others are whole steps ahead."""
    if step.is_exact:
        offsets = moments.astype(np.int64) % (int(step.seconds or 1) * 1_000_000)
    else:
        local = to_local(moments, step.timezone)
        offsets = (local - local.astype("datetime64[M]" if step.unit == "mo" else "datetime64[D]")).astype(np.int64)
    _, first, counts = np.unique(offsets, return_index=True, return_counts=True)
    # Of days that are as frequent the latest: the last of a month is cut off in shorter ones, and not the other way round.
    return int(first[np.flatnonzero(counts == counts.max())[-1]])
