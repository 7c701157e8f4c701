"""Partitions as text and time: `2013-04` (a month) or `2013-04-09` (a day), in UTC, in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from lakeloop.errors import DataError
from lakeloop.spec.tables import Partitions

FORMATS = {"month": "%Y-%m", "day": "%Y-%m-%d"}


def partition_keys(spec: Partitions, until: datetime) -> list[str]:
    """The partitions from `start` up to `end`; without an end, up to the one that contains `until`.

    >>> from datetime import date
    >>> partition_keys(Partitions(start=date(2013, 11, 1), end=date(2014, 2, 1)), datetime(2020, 1, 1, tzinfo=UTC))
    ['2013-11', '2013-12', '2014-01']
    """
    end = datetime(spec.end.year, spec.end.month, spec.end.day, tzinfo=UTC) if spec.end else until
    keys, moment = [], datetime(spec.start.year, spec.start.month, spec.start.day, tzinfo=UTC)
    while moment < end:
        keys.append(moment.strftime(FORMATS[spec.grain]))
        moment = _next_start(moment, spec.grain)
    return keys


@lru_cache(maxsize=20_000)
def partition_window(key: str, grain: str) -> tuple[datetime, datetime]:
    """Start and end (exclusive) of a partition, UTC; asked for thousands of times by each look at what is stale.

    Raises:
        DataError: `key` isn't a partition of this grain.

    >>> partition_window("2013-12", "month")[1].isoformat()
    '2014-01-01T00:00:00+00:00'
    """
    try:
        start = datetime.strptime(key, FORMATS[grain]).replace(tzinfo=UTC)
    except ValueError as error:
        raise DataError(f"wanted a {grain} such as {datetime(2013, 4, 9).strftime(FORMATS[grain])}, found {key!r}") from error
    return start, _next_start(start, grain)


def is_partition(spec: Partitions, key: str) -> bool:
    """Whether a table with these partitions has, or will have, one with this name.

    >>> from datetime import date
    >>> months = Partitions(start=date(2013, 11, 1), end=date(2014, 2, 1))
    >>> [is_partition(months, key) for key in ("2013-10", "2013-11", "2014-02", "2013-11-05")]
    [False, True, False, False]
    """
    if not is_of_grain(key, spec.grain):
        return False
    day = partition_window(key, spec.grain)[0].date()
    return spec.start <= day and (spec.end is None or day < spec.end)


@lru_cache(maxsize=20_000)
def is_of_grain(key: str, grain: str) -> bool:
    """Whether a partition's name is one of this grain."""
    try:
        partition_window(key, grain)
    except DataError:
        return False
    return True


def select_overlapping(keys: Iterable[str], grain: str, start: datetime, end: datetime) -> list[str]:
    """Select the keys that overlap [start, end); keys that aren't partitions of the grain are always selected."""

    def overlaps(key: str) -> bool:
        low, high = partition_window(key, grain)
        return low < end and start < high

    return [key for key in keys if not is_of_grain(key, grain) or overlaps(key)]


def split_into_batches(rows: Mapping[str, int], most: int) -> list[list[str]]:
    """Split partitions, in order, into batches of at most `most` rows; a larger partition is a batch of its own.

    >>> split_into_batches({"2013-01": 5, "2013-02": 3, "2013-03": 9, "2013-04": 1}, 8)
    [['2013-01', '2013-02'], ['2013-03'], ['2013-04']]
    """
    batches: list[list[str]] = []
    size = 0
    for name, count in rows.items():
        if not batches or size + count > most:
            batches.append([])
            size = 0
        batches[-1].append(name)
        size += count
    return batches


def _next_start(moment: datetime, grain: str) -> datetime:
    if grain == "day":
        return moment + timedelta(days=1)
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)


def name_span(names: Sequence[str]) -> str:
    """Partitions in order as text: one by its name, several as the first and the last.

    >>> name_span(["2024-01", "2024-02", "2024-03"])
    '2024-01…2024-03'
    """
    return names[0] if len(names) == 1 else f"{names[0]}…{names[-1]}"
