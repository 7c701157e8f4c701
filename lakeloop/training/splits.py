"""Splits: windows of time counted back from the newest label, never fixed dates; rows of a group are in one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from lakeloop.errors import DataError
from lakeloop.spec.tables import render_duration
from lakeloop.spec.workflow import Split
from lakeloop.training.groups import place_groups, without_groups_of

_UNIT = "datetime64[us]"
APART = "apart"
"""The split of a row that is left out since a later window has rows of its group."""


@dataclass(frozen=True)
class Window:
    """A half-open window of UTC time."""

    start: datetime
    end: datetime


def assign_split(
    at: np.ndarray, labelled: np.ndarray, split: Split, groups: np.ndarray | None = None, *, static: bool = False
) -> tuple[np.ndarray, dict[str, Window]]:
    """Assign every row to a window of the split.

    The test window ends just after the newest row with a label. Before it come the gap, the validation window (if any), the gap again,
    and the training window.

    Args:
        at: the time of each row's prediction, `datetime64[us]`, UTC, in any order.
        labelled: whether the row's label is known.
        split: the lengths of the windows.
        groups: of each row, see `lakeloop.training.groups`; rows of one group are in one window only.
        static: the times are a shuffled order, so that a group is placed in it as a whole. Otherwise the newest window that a group has rows
            in takes it, and its rows in earlier windows are `apart`.

    Returns:
        Per row one of train, validation, test, gap, before, after, unlabelled, apart; and the windows by name, in order of time.

    Raises:
        DataError: no label is known, the history is too short for a window to have a labelled row, or a window has no group of its own.

    >>> at = np.arange("2013-01-01", "2013-01-11", dtype="datetime64[D]").astype("datetime64[us]")
    >>> names, windows = assign_split(at, np.ones(10, bool), Split(train="5d", test="2d", gap="1d"))
    >>> names.tolist()
    ['before', 'before', 'train', 'train', 'train', 'train', 'train', 'gap', 'test', 'test']
    """
    at = at.astype(_UNIT)
    if not labelled.any():
        raise DataError(f"no row of {len(at)} has a label: nothing to split")
    if static and groups is not None:
        at = place_groups(at, groups, labelled)
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
            few = f" (of {len(np.unique(groups[labelled])):,} groups, each in one window)" if static and groups is not None else ""
            raise DataError(_too_short(name, split, at[labelled].min(), end) + few)
    if groups is not None:
        _set_apart(names, list(bounds), groups, split)
    return names, {name: Window(_utc(first), _utc(last)) for name, (first, last) in reversed(bounds.items())}


def _set_apart(names: np.ndarray, windows: list[str], groups: np.ndarray, split: Split) -> None:
    """Leave out the rows of earlier windows whose groups a later one has.

    Args:
        names: the window of each row; changed.
        windows: the newest first.
        groups: of each row.
        split: for the message.
    """
    for position, window in enumerate(windows[1:], 1):
        rows = np.flatnonzero(names == window)
        kept = without_groups_of(rows, np.flatnonzero(np.isin(names, windows[:position])), groups)
        if not len(kept):
            raise DataError(
                f"split.group: every one of the {len(rows):,} rows of the {window} window is of a {' and '.join(split.group or [])} that a later "
                "window has too, so that none is left; groups that are there all the time can't be split by time: leave group out"
            )
        names[np.setdiff1d(rows, kept)] = APART


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
