"""Groups of rows that stay together: of a person, a machine, a shop. No split puts rows of one group on both of its sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

NO_GROUP = np.uint64(0)
"""Of a row whose group is null: it is a group by itself."""


def group_hashes(columns: Sequence[pa.ChunkedArray]) -> np.ndarray:
    """A number per row (uint64) that rows of the same values share, the same in every process; `NO_GROUP` where a value is null."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    hashes = np.ones(len(columns[0]), np.uint64)
    is_null = np.zeros(len(columns[0]), bool)
    for column in columns:
        text = pc.fill_null(column.cast(pa.string()), "").to_pandas().to_numpy(dtype=object)
        hashes = pd.util.hash_array(hashes * np.uint64(31) + pd.util.hash_array(text))
        is_null |= np.asarray(pc.is_null(column))
    return np.where(is_null, NO_GROUP, np.where(hashes == NO_GROUP, np.uint64(1), hashes))


def own_groups(groups: np.ndarray) -> np.ndarray:
    """The same with a group of its own for each row without one."""
    return np.where(groups == NO_GROUP, np.arange(len(groups), dtype=np.uint64) + np.uint64(2), groups)


def place_groups(at: np.ndarray, groups: np.ndarray, placed: np.ndarray | None = None) -> np.ndarray:
    """Times of rows without a time of their own, such that all rows of a group have the same: the group's hash, from the first time to the last.

    A group keeps its place whatever groups are added, and a group whose rows have one time already keeps that.

    Args:
        at: the time of each row, `datetime64[us]`: a place in a shuffled order.
        groups: of each row, see `group_hashes`; a row without one keeps its time.
        placed: which rows are placed, all by default; the others keep their times.

    >>> at = np.arange("2000-01-01", "2000-01-05", dtype="datetime64[D]").astype("datetime64[us]")
    >>> place_groups(at, np.array([2**63, 5, 2**63, 0], np.uint64)).astype("datetime64[h]").astype(str).tolist()
    ['2000-01-02T00', '2000-01-02T00', '2000-01-02T00', '2000-01-04T00']
    """
    at = at.astype("datetime64[us]")
    is_placed = (groups != NO_GROUP) & (np.ones(len(at), bool) if placed is None else placed)
    if not is_placed.any():
        return at
    first, span = at[is_placed].min(), np.ptp(at[is_placed].astype(np.int64))
    order = np.lexsort((at, groups, ~is_placed))[: int(is_placed.sum())]
    is_torn = (np.diff(groups[order]) == 0) & (np.diff(at[order]) > np.timedelta64(0))
    is_placed &= np.isin(groups, groups[order[1:]][is_torn])
    return np.where(is_placed, first + (groups / 2.0**64 * span).astype("timedelta64[us]"), at)


def without_groups_of(rows: np.ndarray, others: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """The rows of which no other row has the group.

    Args:
        rows: positions.
        others: positions of the rows that must not have the groups of these.
        groups: of all rows; all rows are returned where there are none.

    >>> groups = np.array([7, 8, 0, 7, 0], np.uint64)
    >>> without_groups_of(np.array([0, 1, 2]), np.array([3, 4]), groups).tolist()
    [1, 2]
    """
    if groups is None:
        return rows
    taken = np.unique(groups[others])
    return np.asarray(rows[~np.isin(groups[rows], taken[taken != NO_GROUP])])
