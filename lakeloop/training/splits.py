"""Splits: windows of time counted back from the newest label, never fixed dates."""

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
    """Assign every row to a window of the split.

    The test window ends just after the newest row with a label. Before it come the gap, the validation window (if any), the gap again,
    and the training window.

    Args:
        at: the time of each row's prediction, `datetime64[us]`, UTC, in any order.
        labelled: whether the row's label is known.
        split: the lengths of the windows.

    Returns:
        Per row one of train, validation, test, gap, before, after, unlabelled; and the windows by name, in order of time.

    Raises:
        DataError: no label is known, or the history is too short for a window to have a labelled row.

    >>> at = np.arange("2013-01-01", "2013-01-11", dtype="datetime64[D]").astype("datetime64[us]")
    >>> names, windows = assign_split(at, np.ones(10, bool), Split(train="5d", test="2d", gap="1d"))
    >>> names.tolist()
    ['before', 'before', 'train', 'train', 'train', 'train', 'train', 'gap', 'test', 'test']
    """
    at = at.astype(_UNIT)
    if not labelled.any():
        raise DataError(f"no row of {len(at)} has a label: nothing to split")
    end = at[labelled].max() + np.timedelta64(1, "us")
    bounds = _bounds(end, split)
    names = np.full(len(at), "gap", dtype="<U10")
    names[at < min(first for first, _ in bounds.values())] = "before"
    names[at >= end] = "after"
    for name, (first, last) in bounds.items():
        names[(at >= first) & (at < last)] = name
    names[~labelled & (names != "after")] = "unlabelled"
    for name in bounds:
        if not (names == name).any():
            raise DataError(_too_short(name, split, at[labelled].min(), end))
    return names, {name: Window(_utc(first), _utc(last)) for name, (first, last) in reversed(bounds.items())}


def _lengths(split: Split) -> dict[str, timedelta]:
    """The lengths of the windows by name, the newest first."""
    return {"test": split.test, **({"validation": split.validation} if split.validation else {}), "train": split.train}


def _bounds(end: np.datetime64, split: Split) -> dict[str, tuple[np.datetime64, np.datetime64]]:
    """Start and end of each window by name, the newest first, counted back from the end of the newest."""
    bounds: dict[str, tuple[np.datetime64, np.datetime64]] = {}
    for name, length in _lengths(split).items():
        start = end - _micros(length)
        bounds[name] = (start, end)
        end = start - _micros(split.gap)
    return bounds


def _too_short(name: str, split: Split, first: np.datetime64, last: np.datetime64) -> str:
    lengths = _lengths(split)
    total = sum(lengths.values(), timedelta()) + split.gap * (len(lengths) - 1)
    return (
        f"the {name} window has no labelled row: wanted a history of {render_duration(total)} "
        f"(train {render_duration(split.train)}, test {render_duration(split.test)}), found labels from {first} to {last}"
    )


def _micros(length: timedelta) -> np.timedelta64:
    return np.timedelta64(length // timedelta(microseconds=1), "us")


def _utc(moment: np.datetime64) -> datetime:
    value = moment.item()
    assert isinstance(value, datetime)
    return value.replace(tzinfo=UTC)
