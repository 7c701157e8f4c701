"""What was known of a view before it is computed again: its published rows, and when the rows that it reads last landed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from lakeloop.project.project import TableRef, spec_of
from lakeloop.records.tables import TableState
from lakeloop.rows.history import LANDED, Merged, latest_landing, merge_history
from lakeloop.spec.partitions import FORMATS, select_overlapping
from lakeloop.spec.tables import PARTITION, ViewSpec
from platform_assets.stages.base import Platform, input_key
from platform_assets.stages.features.results import input_window
from platform_assets.stages.publishing import Work
from resources.lake.published import WHOLE, Published, States, TableKey
from resources.lake.tables import read_table
from resources.lake.verdict_rows import newest

if TYPE_CHECKING:
    import pyarrow as pa

INGESTED_AT = "ingested_at"
Window = tuple[datetime | None, datetime | None]


@dataclass
class InputLandings:
    """When the live or corrected rows that a view reads last landed: per day of their event time, and in inputs without event time."""

    by_day: dict[date, datetime] = field(default_factory=dict)
    static: datetime | None = None

    def add(self, rows: pa.Table, event_time: str | None, landed: str) -> None:
        """Count the rows of an input."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if not rows.num_rows:
            return
        if event_time is None:
            latest = pc.max(rows[landed]).as_py()
            self.static = latest if self.static is None else max(self.static, latest)
            return
        days = pa.table({"day": pc.cast(rows[event_time], pa.date32(), safe=False), "landed": rows[landed]})
        for row in days.group_by(["day"]).aggregate([("landed", "max")]).to_pylist():
            self.by_day[row["day"]] = max(self.by_day.get(row["day"], row["landed_max"]), row["landed_max"])

    def add_moments(self, moments: Iterable[datetime | None]) -> None:
        """Count rows whose values are those of a moment, whatever their event time is."""
        self.static = max([moment for moment in (self.static, *moments) if moment is not None], default=None)


def merge_with_published(
    platform: Platform,
    work: Work,
    spec: ViewSpec,
    refs: Sequence[TableRef],
    batches: Sequence[Sequence[str]],
    parts: list[pa.Table],
    *,
    same: Collection[str],
) -> list[Merged]:
    """Merge the computed rows of a view with an event time into what was published, a batch at a time.

    Args:
        platform: where the lake is.
        work: what is computed.
        spec: the view.
        refs: what it reads.
        batches: the partitions that were computed together.
        parts: the rows of each batch; empty afterwards, so that they are freed one after the other.
        same: the published partitions whose rows mean what the computed ones do.
    """
    assert spec.event_time is not None
    landings = _input_landings(platform, work.states, refs, input_window(spec, work.stale))
    latest = latest_landing(landings.by_day, spec.lookback)
    merged = []
    for batch in batches:
        merged.append(
            merge_history(
                _published_rows(platform, work, spec, same, batch),
                parts.pop(0),
                keys=spec.keys,
                event_time=spec.event_time,
                columns=list(spec.columns),
                landings=latest,
                corrected_at=landings.static,
            )
        )
    return merged


def _published_rows(platform: Platform, work: Work, spec: ViewSpec, same: Collection[str], partitions: Sequence[str]) -> pa.Table | None:
    """The published rows of partitions, of those that mean the `same`; from the partitions of before, where the view is cut anew."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_cut_anew = bool(work.retired)
    wanted = list(same) if is_cut_anew else [name for name in partitions if name in same]
    if not wanted:
        return None
    rows = platform.lake.read((work.key, newest(work.published)), partitions=wanted)
    if not is_cut_anew:
        return rows
    names = pc.strftime(rows[spec.event_time], FORMATS[spec.partitions.grain]) if spec.partitions else pa.repeat(WHOLE, rows.num_rows)
    rows = rows.set_column(rows.schema.get_field_index(PARTITION), PARTITION, names)
    return rows.filter(pc.is_in(rows[PARTITION], value_set=pa.array(list(partitions), pa.string())))


def _input_landings(platform: Platform, states: States, refs: Sequence[TableRef], window: Window) -> InputLandings:
    """The newest landing of the live or corrected input rows that lie in a window; rows of other stages landed when they were published."""
    import pyarrow.compute as pc

    landings, (start, end) = InputLandings(), window
    for ref in refs:
        if ref.is_stage:
            landings.add_moments(state.at for state in states.of(input_key(ref)).values())
            continue
        spec, published = spec_of(platform.project, ref), platform.lake.current(input_key(ref), states)
        partitions = (
            select_overlapping(published.partitions, spec.partitions.grain, start, end) if spec.partitions and start and end else None
        )
        if ref.kind == "table":
            if any(state.typed(TableState).value.live for state in published.partitions.values()):
                landings.add(_live_rows(platform, published, spec.event_time, partitions), spec.event_time, INGESTED_AT)
        elif spec.event_time is not None:
            rows = platform.lake.read(published, columns=[spec.event_time, LANDED], partitions=partitions)
            landings.add(rows.filter(pc.is_valid(pc.field(LANDED))), spec.event_time, LANDED)
    return landings


def _live_rows(platform: Platform, published: Published, event_time: str | None, partitions: Sequence[str] | None) -> pa.Table:
    """Event time and landing of the rows of a table that landed after the bulk load."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = [*([event_time] if event_time else []), INGESTED_AT, "_live"]
    rows = platform.lake.read(published, columns=columns, partitions=partitions)
    # What vanished or moved has its end in `superseded`.
    superseded = platform.lake.open(TableKey("superseded", published.key.domain, published.key.name))
    if superseded is not None:
        rows = pa.concat_tables([rows, read_table(superseded, columns=columns, partitions=partitions).select(columns).cast(rows.schema)])
    return rows.filter(pc.field("_live"))
