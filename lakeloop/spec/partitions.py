"""Partitions as text and time: `2013-04` (a month) or `2013-04-09` (a day), in UTC, in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from lakeloop.errors import DataError
from lakeloop.spec.tables import Partitions

FORMATS = {"month": "%Y-%m", "day": "%Y-%m-%d"}


def partition_keys(spec: Partitions, until: datetime) -> list[str]:
    """All partitions from `start` up to `end`, or up to the one that contains `until` where there is no end.

    >>> from datetime import date
    >>> partition_keys(Partitions(start=date(2013, 11, 1), end=date(2014, 2, 1)), datetime(2020, 1, 1, tzinfo=UTC))
    ['2013-11', '2013-12', '2014-01']
    """
    end = datetime(spec.end.year, spec.end.month, spec.end.day, tzinfo=UTC) if spec.end else until
    keys, moment = [], datetime(spec.start.year, spec.start.month, spec.start.day, tzinfo=UTC)
    while moment < end:
        keys.append(moment.strftime(FORMATS[spec.grain]))
        moment = _next(moment, spec.grain)
    return keys


def partition_window(key: str, grain: str) -> tuple[datetime, datetime]:
    """Start and end (exclusive) of a partition, UTC.

    Raises:
        DataError: `key` is no such partition.

    >>> partition_window("2013-12", "month")[1].isoformat()
    '2014-01-01T00:00:00+00:00'
    """
    try:
        start = datetime.strptime(key, FORMATS[grain]).replace(tzinfo=UTC)
    except ValueError as error:
        raise DataError(f"wanted a {grain} such as {datetime(2013, 4, 9).strftime(FORMATS[grain])}, found {key!r}") from error
    return start, _next(start, grain)


def is_partition(spec: Partitions, key: str) -> bool:
    """Whether a table with these partitions has, or will have, one of that name.

    >>> from datetime import date
    >>> months = Partitions(start=date(2013, 11, 1), end=date(2014, 2, 1))
    >>> [is_partition(months, key) for key in ("2013-10", "2013-11", "2014-02", "2013-11-05")]
    [False, True, False, False]
    """
    if not is_of_grain(key, spec.grain):
        return False
    day = partition_window(key, spec.grain)[0].date()
    return spec.start <= day and (spec.end is None or day < spec.end)


def is_of_grain(key: str, grain: str) -> bool:
    """Whether a partition's name is that of a month or of a day, as wanted."""
    try:
        partition_window(key, grain)
    except DataError:
        return False
    return True


def select_overlapping(keys: Iterable[str], grain: str, start: datetime, end: datetime) -> list[str]:
    """Those of `keys` that share an instant with [start, end); keys that are no partitions of the grain always count."""

    def counts(key: str) -> bool:
        low, high = partition_window(key, grain)
        return low < end and start < high

    return [key for key in keys if not is_of_grain(key, grain) or counts(key)]


def split_into_batches(rows: Mapping[str, int], most: int) -> list[list[str]]:
    """Partitions in their order, in batches of at most so many rows; one that has more is a batch by itself.

    >>> split_into_batches({"2013-01": 5, "2013-02": 3, "2013-03": 9, "2013-04": 1}, 8)
    [['2013-01', '2013-02'], ['2013-03'], ['2013-04']]
    """
    batches: list[list[str]] = []
    together = 0
    for name, count in rows.items():
        if not batches or together + count > most:
            batches.append([])
            together = 0
        batches[-1].append(name)
        together += count
    return batches


def _next(moment: datetime, grain: str) -> datetime:
    if grain == "day":
        return moment + timedelta(days=1)
    return (moment.replace(day=1) + timedelta(days=32)).replace(day=1)


def name_span(names: Sequence[str]) -> str:
    """Partitions in order as text: one by its name, several as the first and the last.

    >>> name_span(["2024-01", "2024-02", "2024-03"])
    '2024-01…2024-03'
    """
    return names[0] if len(names) == 1 else f"{names[0]}…{names[-1]}"
