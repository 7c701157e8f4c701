"""Splits: windows of time walked back from the newest known label, never dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from lakeloop.errors import DataError
from lakeloop.spec.tables import render_duration
from lakeloop.spec.workflow import Split

_UNIT = "datetime64[us]"


@dataclass(frozen=True)
class Window:
    """A half-open window of UTC time."""

    start: datetime
    end: datetime


def assign_split(at: np.ndarray, labelled: np.ndarray, split: Split) -> tuple[np.ndarray, dict[str, Window]]:
    """Say for every row which window it belongs to.

    The test window ends just after the newest row that has a label; before it come the gap, the validation window (if any), the gap
    again, and the training window.

    Args:
        at: the time each row asks about, `datetime64[us]`, UTC, in any order.
        labelled: whether the row's label is known.
        split: the lengths of the windows.

    Returns:
        Per row one of train, validation, test, gap, before, after, unlabelled; and the windows by name, in order of time.

    Raises:
        DataError: no label is known, or the history is too short for the test or the training window to have a row.

    >>> at = np.arange("2013-01-01", "2013-01-11", dtype="datetime64[D]").astype("datetime64[us]")
    >>> found, windows = assign_split(at, np.ones(10, bool), Split(train="5d", test="2d", gap="1d"))
    >>> found.tolist()
    ['before', 'before', 'train', 'train', 'train', 'train', 'train', 'gap', 'test', 'test']
    """
    at = at.astype(_UNIT)
    if not labelled.any():
        raise DataError(f"no row of {len(at)} has a label: nothing to split")
    newest = at[labelled].max() + np.timedelta64(1, "us")
    names = [("test", split.test), *([("validation", split.validation)] if split.validation else []), ("train", split.train)]
    windows: dict[str, tuple[np.datetime64, np.datetime64]] = {}
    end = newest
    for name, length in names:
        start = end - _micros(length)
        windows[name] = (start, end)
        end = start - _micros(split.gap)
    found = np.full(len(at), "gap", dtype="<U10")
    found[at < windows["train"][0]] = "before"
    found[at >= newest] = "after"
    for name, (start, end) in windows.items():
        found[(at >= start) & (at < end)] = name
    found[~labelled & (found != "after")] = "unlabelled"
    for name in windows:
        if not (found == name).any():
            first, last = at[labelled].min(), newest
            total = sum((length for _, length in names), timedelta()) + split.gap * (len(names) - 1)
            raise DataError(
                f"the {name} window has no labelled row: wanted a history of {render_duration(total)} "
                f"(train {render_duration(split.train)}, test {render_duration(split.test)}), found labels from {first} to {last}"
            )
    ordered = sorted(windows.items(), key=lambda item: item[1][0])
    return found, {name: Window(_utc(start), _utc(end)) for name, (start, end) in ordered}


def _micros(length: timedelta) -> np.timedelta64:
    return np.timedelta64(length // timedelta(microseconds=1), "us")


def _utc(moment: np.datetime64) -> datetime:
    value = moment.astype(_UNIT).item()
    assert isinstance(value, datetime)
    return value.replace(tzinfo=UTC)
