"""Whether a ledger of the inference log accounts for every row that was answered, and what it can't say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class Account:
    """What a ledger says.

    Attributes:
        rows: in the log.
        dropped: rows that were answered and counted, and aren't in the log.
        killed: boots whose writer was killed; what they dropped after their last row is not known.
        problems: what doesn't add up, a sentence each.
    """

    rows: int
    dropped: int
    killed: tuple[str, ...]
    problems: tuple[str, ...]


def account(lines: Iterable[Mapping[str, Any]]) -> Account:
    """Add up the lines of a ledger: numbers without a gap in each boot, and for each segment rows and drops that make them.

    >>> line = {"boot": "a", "segment": 1, "first_seq": 1, "last_seq": 5, "rows": 4, "dropped": 1, "closed_by": "server"}
    >>> account([line]).problems
    ()
    >>> account([line | {"rows": 3}]).problems
    ('boot a, segment 1: numbers 1 to 5 are 5 rows, found 3 and 1 dropped',)
    """
    every = sorted(lines, key=lambda line: (line["boot"], line["segment"]))
    problems: list[str] = []
    killed = tuple(sorted({line["boot"] for line in every if line["closed_by"] == "recovery"}))
    for boot, group in groupby(every, key=lambda line: line["boot"]):
        segment, seq = 0, 0
        for line in group:
            where = f"boot {boot}, segment {line['segment']}"
            if line["segment"] != segment + 1:
                problems.append(f"{where}: wanted segment {segment + 1} before it")
            segment = line["segment"]
            if line["closed_by"] == "set aside":
                problems.append(f"{where}: set aside, {line.get('reason') or 'it could not be read'}")
                seq = -1
                continue
            first, last, rows, dropped = line["first_seq"], line["last_seq"], line["rows"], line["dropped"]
            if seq not in (-1, first - 1):
                problems.append(f"{where}: begins at {first}, wanted {seq + 1}")
            if rows + dropped != last - first + 1:
                problems.append(f"{where}: numbers {first} to {last} are {last - first + 1} rows, found {rows} and {dropped} dropped")
            seq = last
    total = sum(line["dropped"] or 0 for line in every)
    return Account(sum(line["rows"] for line in every), total, killed, tuple(problems))
