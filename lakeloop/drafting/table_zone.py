"""The time zone of a table that is drafted: as requested, as its times tell, or assumed; and the times that aren't one moment in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lakeloop.drafting.column_profile import ColumnProfile
from lakeloop.drafting.column_times import NO_ZONE
from lakeloop.drafting.local_days import ZoneGuess, guess_of_clocks, guess_of_days
from lakeloop.rows.column_parsing import frame_of
from lakeloop.rows.conform import parse_column
from lakeloop.rows.local_times import settle
from lakeloop.spec.tables import FILE, ROW

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True)
class ZoneChoice:
    """The zone to declare, None for none, and why; without a zone the reason is a doubt."""

    zone: str | None
    reason: str = ""


def choose_zone(columns: Sequence[ColumnProfile], typed: dict[str, pl.Series], requested: str | None) -> ZoneChoice:
    """Choose the zone of times that name none and of days that begin elsewhere than in UTC.

    Args:
        columns: as declared, times that name no zone in the requested one, or in UTC.
        typed: their values by name.
        requested: the zone that was asked for.
    """
    local = [column for column in columns if _is_local(column)]
    if requested is not None:
        return ZoneChoice(requested, "as requested") if local or requested != "UTC" else ZoneChoice(None)
    guesses = [guess for column in local if (guess := guess_of_clocks(_moments(typed[column.name]))) is not None]
    if guesses:
        return ZoneChoice(guesses[0].zones[0], f"{NO_ZONE}, and {guesses[0].reason}{guesses[0].others}: set the right one")
    if local:
        return ZoneChoice("UTC", f"{NO_ZONE}: UTC is assumed, set the right one")
    days = [
        guess
        for column in columns
        if column.column.type == "timestamp"
        and not column.column.personal
        and (guess := guess_of_days(_moments(typed[column.name]))) is not None
    ]
    return _of_days(sorted(days, key=lambda guess: not guess.is_certain))


def _of_days(guesses: Sequence[ZoneGuess]) -> ZoneChoice:
    if not guesses:
        return ZoneChoice(None)
    guess = guesses[0]
    if guess.is_certain:
        return ZoneChoice(guess.zones[0], f"{guess.reason}{guess.others}: set the right one")
    return ZoneChoice(
        None,
        f"{guess.reason}{guess.others}. If days begin there, name the zone, or the days of a forecast miss them once the clocks are changed",
    )


def put_in_zone(rows: pa.Table, columns: Sequence[ColumnProfile], typed: dict[str, pl.Series], zone: str | None) -> list[ColumnProfile]:
    """The columns with the times that name no zone in the zone of the table; `typed` gets their moments.

    A time that came twice or never in the zone is null and counted as unread; whether the order of rows tells is known only with a key.
    """
    import polars as pl

    moved = []
    for profile in columns:
        if not _is_local(profile) or zone is None:
            moved.append(profile)
            continue
        column = profile.column.model_copy(update={"timezone": zone})
        walls = parse_column(rows, profile.name, column.model_copy(update={"timezone": "UTC"}))
        values = pl.Series(profile.name, pl.from_arrow(parse_column(rows, profile.name, column)))
        typed[profile.name] = values
        has_range = profile.low is not None
        notes = [note for note in profile.note.split("; ") if not note.startswith(NO_ZONE)]
        moved.append(
            replace(
                profile, column=column, nulls=values.null_count(), distinct=values.drop_nulls().n_unique(), note="; ".join(notes),
                low=values.min() if has_range else None, high=values.max() if has_range else None, unread=values.null_count() - walls.null_count,
            )
        )  # fmt: skip
    return moved


def settle_columns(rows: pa.Table, columns: Sequence[ColumnProfile], keys: Sequence[str], zone: str | None) -> list[ColumnProfile]:
    """The columns with notes on the times that the order of rows doesn't tell either, as a landing reads them."""
    import polars as pl

    settled = []
    by_name = {column.name: column for column in columns}
    series = [
        source
        for key in keys
        if key in by_name and by_name[key].column.type not in ("timestamp", "date")
        for source in by_name[key].column.source or [key]
        if source not in (ROW, FILE)
    ]
    for profile in columns:
        if not profile.unread or zone is None:
            settled.append(profile)
            continue
        walls, values = (
            pl.Series(pl.from_arrow(parse_column(rows, profile.name, profile.column.model_copy(update={"timezone": name}))))
            for name in ("UTC", profile.column.timezone)
        )
        moments, _ = settle(walls, values, zone, frame_of(rows), series)
        left = moments.null_count() - walls.null_count()
        told = profile.unread - left
        parts = [
            *([f"{told:,} times that came twice in {zone} are told by the order of the rows"] if told else []),
            *([f"{left:,} times came twice or never in {zone}: their rows go to quarantine"] if left else []),
        ]
        settled.append(replace(profile, note="; ".join([*filter(None, [profile.note]), *parts])))
    return settled


def _is_local(profile: ColumnProfile) -> bool:
    """Whether the times of a column name no zone."""
    return profile.column.timezone is not None and any(note.startswith(NO_ZONE) for note in profile.note.split("; "))


def _moments(values: pl.Series) -> np.ndarray:
    """Times as `datetime64[us]`, NaT for null."""
    return np.asarray(values.dt.replace_time_zone(None).to_numpy()).astype("datetime64[us]")
