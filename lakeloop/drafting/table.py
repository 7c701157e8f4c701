"""The definition of a table, drafted from its profile: a file with the proposals and the reason for each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from lakeloop.drafting.column_names import sentence_of
from lakeloop.drafting.column_profile import ColumnProfile
from lakeloop.drafting.profile import TableProfile
from lakeloop.spec.tables import FILE, ROW, is_number_type
from lakeloop.yaml_text import column_fields, to_comment, to_flow, to_line

PARTITION_ROWS = 200_000
"""From this many rows on it pays to land, check and compute month by month; below, one pass over everything takes seconds."""
MOST_MONTHS = 240
"""Dagster's cost grows with every partition, so longer histories aren't partitioned."""
ALIVE_DAYS = 92
"""A table whose newest row is older than this when it is drafted is assumed to be finished."""
MOSTLY = 0.99
"""Share of the values that must lie in the drafted range: a new extreme is worth a warning, but no failure."""


def draft_table(
    profile: TableProfile,
    *,
    name: str,
    source: Mapping[str, Any],
    shown: str,
    today: date,
    sampled: bool = False,
    note: str = "",
    rule: str = "",
) -> str:
    """The text of `defs.yaml`.

    Args:
        profile: of the source's rows.
        name: of the table.
        source: the fields of `source:`.
        shown: the name of the source in the first line.
        today: distinguishes a finished history from one that continues.
        sampled: whether the profile is of the first rows only.
        note: a comment beside the source.
        rule: a condition that lines of totals don't meet; empty where there are none.
    """
    extent = "the first " if sampled else ""
    lines = [
        to_comment(0, f"Drafted from {shown}: {extent}{profile.rows:,} rows, {len(profile.columns)} columns."),
        to_comment(
            0, "All of this was guessed from the data. Review it once, correct what is wrong, describe what a row and each column mean."
        ),
        "type: platform_assets.components.LakeTable",
        "attributes:",
        to_line(1, "name", name),
        to_line(1, "description", f"One row per {_row_of(profile)}."),
    ]
    lines += [
        to_line(1, "source", dict(source), note),
        to_line(1, "keys", list(profile.keys), profile.key_reason) if profile.keys else to_comment(1, f"keys: none: {profile.key_reason}"),
    ]
    lines += [*_time(profile, today), *_zone(profile)]
    lines.append("  columns:")
    lines += [_column(profile, column) for column in profile.columns]
    lines += [to_comment(2, f"left out: {source_name}: {why}") for source_name, why in profile.left_out.items()]
    if rule:
        lines.append(to_line(1, "rules", {"no_totals": rule}, "a total of the other rows goes to quarantine"))
    expectations = [text for column in profile.columns for text in _expectations(profile, column)]
    if expectations:
        lines += [
            "  expectations:",
            to_comment(
                2,
                "Observed values, and ranges with half of the range to spare. All are warnings: make blocking (or quarantine) what must never happen.",
            ),
            *expectations,
        ]
    return "\n".join(lines) + "\n"


def partitions_of(profile: TableProfile, today: date) -> tuple[dict[str, Any] | None, str]:
    """The partitions that a table should have, and why; None for one piece."""
    if profile.event_time is None or not profile.keys:
        return None, ""
    column = profile.column(profile.event_time)
    low, high = _day(column.low), _day(column.high)
    months = (high.year - low.year) * 12 + high.month - low.month + 1
    if any(set(profile.column(key).column.source or ()) & {ROW, FILE} for key in profile.keys):
        return None, "keys by row number can't be partitioned by month, so the table stays in one piece"
    if months > MOST_MONTHS:
        return None, f"{months} months are too many partitions, so the table stays in one piece"
    partitions: dict[str, Any] = {"start": low.replace(day=1)}
    is_finished = high < today - timedelta(days=ALIVE_DAYS)
    if is_finished:
        # Leaves room for a year of later rows.
        partitions["end"] = date(high.year + 2, 1, 1)
    if profile.rows < PARTITION_ROWS:
        return None, f"under {PARTITION_ROWS:,} rows one piece is fastest; for a table that grows: {to_line(0, 'partitions', partitions)}"
    return partitions, "the history ends there; remove the end if it continues" if is_finished else "open: months are added as they begin"


def _time(profile: TableProfile, today: date) -> list[str]:
    if profile.event_time is None:
        return [to_comment(1, f"event_time: none: {profile.time_reason}")]
    lines = [to_line(1, "event_time", profile.event_time, profile.time_reason)]
    lines.append(to_comment(1, "known_delay: 1d means that a row is complete a day after its event time; without it, at once."))
    partitions, why = partitions_of(profile, today)
    if partitions is not None:
        lines.append(to_line(1, "partitions", partitions, why))
    elif why:
        lines.append(to_comment(1, f"partitions: none: {why}"))
    return lines


def _zone(profile: TableProfile) -> list[str]:
    if profile.timezone is None:
        return [to_comment(1, f"timezone: none: {profile.zone_reason}")] if profile.zone_reason else []
    return [to_line(1, "timezone", profile.timezone, profile.zone_reason)]


def _column(profile: TableProfile, column: ColumnProfile) -> str:
    fields = column.column.model_dump()
    fields["description"] = column.column.description or sentence_of(column.source)
    if column.name in profile.keys or column.name == profile.event_time:
        fields["nullable"] = False
    if fields["timezone"] == profile.timezone:
        fields["timezone"] = None
    notes = [column.note]
    if column.missing and profile.rows:
        notes.append(f"missing in {column.missing / profile.rows:.1%} of the rows")
    if column.distinct == 1:
        notes.append("one value in every row")
    return to_line(2, column.name, column_fields(fields), "; ".join(filter(None, notes)))


def _expectations(profile: TableProfile, column: ColumnProfile) -> list[str]:
    expectations: list[dict[str, Any]] = []
    name = column.name
    if column.column.personal or not column.source:
        return []
    is_complete = column.nulls == 0 and profile.rows > 0
    if column.column.non_finite == "keep":
        return []  # NaN and infinity are in no range, and NaN counts as missing
    is_number = is_number_type(column.column.type) and column.low is not None and column.distinct > 1 and name not in profile.keys
    low, high = slack(float(column.low), float(column.high), whole=column.column.type == "integer") if is_number else (0, 0)
    if is_number and low < high:
        expectations.append({"expect_column_values_to_be_between": {"column": name, "min_value": low, "max_value": high, "mostly": MOSTLY}})
    elif column.values and name not in profile.keys:
        expectations.append({"expect_column_values_to_be_in_set": {"column": name, "value_set": list(column.values), "mostly": MOSTLY}})
    if is_complete and name not in profile.keys and name != profile.event_time:
        expectations.append({"expect_column_values_to_not_be_null": {"column": name, "mostly": MOSTLY}})
    return [f"    - {to_flow({**item, 'severity': 'warning'})}" for item in expectations]


def slack(low: float, high: float, *, whole: bool) -> tuple[float, float]:
    """A range widened by half of itself on either side and rounded outwards; one that is never negative stays so.

    >>> slack(32.1, 59.6, whole=False), slack(1, 7, whole=True), slack(-3, 3, whole=True)
    ((18.0, 74.0), (0, 10), (-6, 6))
    >>> slack(2007, 2009, whole=True)
    (2006, 2010)
    >>> slack(-1.7e308, 1.7e308, whole=False)
    (-1.7e+308, 1.7e+308)
    """
    spare = high / 2 - low / 2
    if not math.isfinite(high + spare) or not math.isfinite(low - spare) or not math.isfinite(high - low):
        return low, high
    bottom = low - spare if low < 0 else max(low - spare, 0.0)
    top = high + spare if high > 0 else min(high + spare, 0.0)
    unit = 10.0 ** (math.floor(math.log10(high - low)) - 1) if high > low else 1.0
    unit = max(unit, 1.0) if whole else unit
    bottom, top = math.floor(bottom / unit + 1e-9) * unit, math.ceil(top / unit - 1e-9) * unit
    return (int(bottom), int(top)) if whole else (float(f"{bottom:.15g}"), float(f"{top:.15g}"))


def _row_of(profile: TableProfile) -> str:
    if not profile.keys or any(set(profile.column(key).column.source or ()) & {ROW, FILE} for key in profile.keys):
        return "line of the source"
    return " and ".join(" ".join(key.split("_")) for key in profile.keys)


def _day(moment: Any) -> date:
    return date(moment.year, moment.month, moment.day)
