"""Slips of the keyboard that sqlglot parses: names that are nearly those of functions or of windows, and intervals without a unit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from lakeloop.errors import nearest
from lakeloop.sql.query import Query, line_of
from lakeloop.sql.slips.function_names import FUNCTIONS

ALIKE = 0.8
"""From so much likeness on (`difflib`) an unknown function counts as misspelled; others may be a session's own, and are left to the engine."""


def find_slips(query: Query) -> Iterator[tuple[int, str]]:
    """Find misspelled names of functions and of windows, and intervals without a unit, each with its line."""
    from sqlglot import exp

    for call in query.tree.find_all(exp.Anonymous):
        name = call.name.lower()
        if name in FUNCTIONS:
            continue
        # Letters that have changed places are little likeness in a short word.
        swapped = [other for other in FUNCTIONS if sorted(other) == sorted(name)]
        close = swapped or difflib.get_close_matches(name, FUNCTIONS, 1, ALIKE)
        if close:
            yield _line(query, call.name), f"no function {call.name!r}; did you mean {close[0]!r}?"
    for interval in query.tree.find_all(exp.Interval):
        if interval.args.get("unit") is None and isinstance(interval.this, exp.Literal) and re.fullmatch(r"-?[\d.]+", interval.this.name):
            told = f"wanted an interval with its unit, such as INTERVAL {interval.this.name} DAY, found INTERVAL {interval.this.name}"
            yield _line(query, "INTERVAL"), told
    for select in query.tree.find_all(exp.Select):
        windows = {window.name.lower() for window in select.args.get("windows") or ()}
        for use in select.find_all(exp.Window):
            alias = use.args.get("alias")
            name = alias.name if alias is not None and not use.args.get("partition_by") and not use.args.get("order") else ""
            if name and use.find_ancestor(exp.Select) is select and not isinstance(use.parent, exp.Select) and name.lower() not in windows:
                yield _line(query, name), f"no window {name!r}; {nearest(name, windows)}"


def _line(query: Query, name: str) -> int:
    """The first line outside of comments that has a name."""
    for number, line in enumerate(query.text.splitlines(), 1):
        if re.search(rf"(?i)\b{re.escape(name)}\b", line.partition("--")[0]):
            return number
    return line_of(query.tree)
