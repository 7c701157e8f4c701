"""Local times that the clocks of their zone showed twice or never: which moment each is, by the order of the rows.

Once a year the clocks of many zones are put back, and an hour comes twice. In a file whose rows are in the order of time, that hour's times rise, fall
once, and rise again: those before the fall are of the first time, those after it of the second. So it is decided for the rows of a series (those
that are equal in every key but the times), or else for all rows of a file, and only where the rows beside are in order too. Where the order doesn't tell, a time has no
moment, and its row goes to quarantine.

A midnight that the clocks skipped, as they did in São Paulo, is the beginning of its day. Other times that they never showed are no moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl

_FAR = 12 * 3600 * 10**6
"""Microseconds from which on two ambiguous times are of different changes of the clocks."""
_OPEN = np.iinfo(np.int64).min
TWICE = "the clocks there showed this time twice, and the order of the rows doesn't tell which is meant"
NEVER = "the clocks there never showed this time"


def settle(walls: pl.Series, moments: pl.Series, zone: str, places: pl.DataFrame, series: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Decide by the order of rows which moments ambiguous local times are.

    Args:
        walls: the local times as if they were of UTC, null where a value is no time.
        moments: in UTC; null where a local time isn't one moment.
        zone: the name of the time zone.
        places: the rows' `_file`, `_landing` and `_row` as far as they have them, and the columns of `series`; without `_row` rows are in order.
        series: the columns that tell series apart.

    Returns:
        The moments, with those that are decided now; and the reason why a time still has none, null for other values.
    """
    import polars as pl

    local = walls.dt.replace_time_zone(None)
    # Only where nothing was read: a text that names its zone is no local time.
    unread = local.is_not_null() & moments.is_null()
    first, second = (
        local.dt.replace_time_zone(zone, ambiguous=which, non_existent="null").dt.convert_time_zone("UTC")
        for which in ("earliest", "latest")
    )
    is_twice = unread & first.is_not_null()
    decided = np.full(len(walls), _OPEN, np.int64)
    if is_twice.any():
        values = [x.fill_null(pl.Series([0], dtype=x.dtype)[0]).dt.epoch("us").to_numpy() for x in (moments, first, second, walls)]
        known, is_open = moments.is_not_null().to_numpy(), is_twice.to_numpy()
        for by, strict in ((series, False), ((), True)) if series else (((), False),):
            groups, order = _groups(places, by)
            _decide(groups, order, known, is_open & (decided == _OPEN), values, decided, strict=strict)
    begins = _skipped_midnights(local, unread & ~is_twice, zone)
    decided = np.where(begins.is_not_null().to_numpy(), begins.fill_null(0).to_numpy(), decided)
    told = pl.Series(decided != _OPEN)
    settled = pl.Series(decided).cast(pl.Datetime("us", "UTC"))
    reason = pl.select(pl.when(is_twice & ~told).then(pl.lit(TWICE)).when(unread & ~is_twice & ~told).then(pl.lit(NEVER))).to_series()
    return pl.select(pl.when(told).then(settled).otherwise(moments)).to_series(), reason


def _skipped_midnights(local: pl.Series, missing: pl.Series, zone: str) -> pl.Series:
    """The microseconds since 1970 at which days begin whose midnight was skipped; null for other times."""
    import polars as pl

    midnight = pl.when(missing & (local.dt.time() == pl.time(0))).then(local)
    # The last microsecond before is there, and the next one begins the day.
    begin = (midnight - pl.duration(microseconds=1)).dt.replace_time_zone(zone, ambiguous="null", non_existent="null") + pl.duration(
        microseconds=1
    )
    is_same_day = begin.dt.date() == midnight.dt.date()
    return pl.select(pl.when(is_same_day).then(begin.dt.epoch("us"))).to_series()


def _groups(places: pl.DataFrame, by: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rows in the order of their file, the rows of one series after the other, and the number of each one's group."""
    import polars as pl

    parts = [name for name in ("_file", "_landing", *by) if name in places.columns]
    codes = places.select(pl.struct(parts).rank("dense") if parts else pl.repeat(0, places.height)).to_series()
    rows = places["_row"] if "_row" in places.columns else pl.Series(range(places.height))
    order = pl.DataFrame({"code": codes, "row": rows}).select(pl.arg_sort_by("code", "row", maintain_order=True)).to_series().to_numpy()
    return codes.to_numpy()[order], order


def _decide(
    groups: np.ndarray,
    order: np.ndarray,
    known: np.ndarray,
    is_open: np.ndarray,
    values: Sequence[np.ndarray],
    decided: np.ndarray,
    *,
    strict: bool,
) -> None:
    """Write into `decided` the moments of open rows whose group's order tells them."""
    moments, first, second, walls = (value[order] for value in values)
    counts = (known | is_open)[order]
    at = np.flatnonzero(counts)
    groups, opens = groups[at], is_open[order][at]
    moments, first, second, walls = moments[at], first[at], second[at], walls[at]
    for start, end in _runs(groups, opens, first):
        before = moments[start - 1] if start and groups[start - 1] == groups[start] and not opens[start - 1] else None
        after = moments[end] if end < len(at) and groups[end] == groups[start] and not opens[end] else None
        if before is None and after is None:
            continue
        run = walls[start:end]
        rises = (before is None or before <= first[start:end].min()) and (after is None or after >= second[start:end].max())
        falls = (before is None or before >= second[start:end].max()) and (after is None or after <= first[start:end].min())
        if rises == falls:
            continue
        steps = np.diff(run) if rises else -np.diff(run)
        turns = np.flatnonzero(steps < 0 if strict else steps <= 0)
        if len(turns) != 1:
            continue
        is_second = (np.arange(len(run)) > turns[0]) == rises
        decided[order[at[start:end]]] = np.where(is_second, second[start:end], first[start:end])


def _runs(groups: np.ndarray, opens: np.ndarray, first: np.ndarray) -> Iterator[tuple[int, int]]:
    """The runs of neighbouring open rows in a group that are of one change of the clocks."""
    breaks = np.flatnonzero(
        (np.diff(groups) != 0) | (np.diff(opens.astype(np.int8)) != 0) | (opens[1:] & opens[:-1] & (np.abs(np.diff(first)) > _FAR))
    )
    edges = [0, *(breaks + 1).tolist(), len(groups)]
    yield from ((start, end) for start, end in itertools.pairwise(edges) if end > start and opens[start])
