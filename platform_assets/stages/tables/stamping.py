"""What was delivered, cut into partitions and stamped with its landing: the file, the number of the landing, when. Nothing is written here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lakeloop.errors import DataError, nearest
from lakeloop.fingerprint import content_hash, fingerprint
from lakeloop.records.tables import Landing, SourceState
from lakeloop.rows.conform import parse_time
from lakeloop.spec.partitions import FORMATS, partition_keys
from lakeloop.spec.tables import PARTITION, TableSpec
from platform_assets.stages.tables.deliveries import Delivery, optional_columns, source_columns
from platform_assets.stages.tables.landings import ONWARD, columns_without_type
from resources.lake.published import UNDATED, WHOLE
from resources.sources.files import cast_nulls_to_text

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Stamped:
    """A delivery as it lands.

    Attributes:
        tables: the rows that are new or changed, stamped.
        current: the current landing by file and partition.
        vanished: by file and partition, when the file lost its rows there.
        emptied: by file and partition, every landing in which it had lost them.
        next: the number of the next landing.
        empty: declared columns that have had no value yet.
        rows_read: rows of the files that were read, changed or not.
    """

    tables: list[pa.Table]
    current: Mapping[str, Mapping[str, Landing]]
    vanished: Mapping[str, Mapping[str, str]]
    emptied: Mapping[str, Mapping[str, tuple[tuple[int, str], ...]]] | None
    next: int
    empty: frozenset[str]
    rows_read: int


@dataclass(frozen=True)
class _Stamp:
    label: str
    number: int
    at: datetime

    @property
    def name(self) -> str:
        """The name of the landing; in the order of the numbers."""
        return f"{self.number:06d}"

    def put_on(self, rows: pa.Table, partition: str) -> pa.Table:
        import pyarrow as pa

        count = rows.num_rows
        return (
            rows.append_column("_file", pa.repeat(self.label, count))
            .append_column("_landing", pa.repeat(self.name, count))
            .append_column("_landed_order", pa.repeat(pa.scalar(self.number, pa.int64()), count))
            .append_column("ingested_at", pa.repeat(pa.scalar(self.at, pa.timestamp("us", tz="UTC")), count))
            .append_column(PARTITION, pa.repeat(partition, count))
        )


def stamp_delivery(
    delivery: Delivery,
    spec: TableSpec,
    source: SourceState,
    *,
    read_alike: SourceState,
    landed: Mapping[str, pa.DataType],
    now: datetime,
    at: datetime,
    retired: Collection[str] = (),
) -> Stamped:
    """Read what is new or changed in a delivery, cut it into partitions, and stamp what is new or changed there.

    Args:
        delivery: what the source has.
        spec: the table.
        source: what has landed.
        read_alike: the same if it was read as it is now, else an empty one: then everything is read anew.
        landed: the types in which columns have landed.
        now: the time; rows of partitions that aren't there yet are undated.
        at: the time of the landing.
        retired: the files that are gone with their rows.
    """
    import pyarrow as pa

    current = {label: dict(by_partition) for label, by_partition in source.current.items()}
    vanished = {label: dict(by_partition) for label, by_partition in source.vanished.items()}
    emptied = {label: dict(by_partition) for label, by_partition in (source.emptied or {}).items()}
    for label in retired:
        # What it had lost before is known from then on.
        lost_now = current.pop(label, {})
        vanished[label] = {**dict.fromkeys(lost_now, at.isoformat()), **vanished.get(label, {})}
        for partition in lost_now:
            earlier = emptied.setdefault(label, {}).get(partition, ())
            emptied[label][partition] = (*earlier, (source.next, at.isoformat()))
    tables: list[pa.Table] = []
    lacking: dict[str, dict[str, list[str]]] = {}
    empty, number, rows_read = set(read_alike.empty), source.next, 0
    for label, content in sorted(delivery.contents.items()):
        if read_alike.files.get(label) == content and not delivery.is_onward:
            continue
        rows, stamp = delivery.read(label, spec, landed), _Stamp(label, number, at)
        absent = sorted(optional_columns(spec) - set(rows.column_names))
        lacking[label] = dict.fromkeys(absent, rows.column_names)
        for name in absent:
            rows = rows.append_column(name, pa.nulls(rows.num_rows))
        rows_read += rows.num_rows
        empty |= set(columns_without_type(rows)) & set(source_columns(spec))
        before, changed = current.get(label, {}), []
        landings: dict[str, Landing] = dict(before) if delivery.is_onward else {}
        for partition, part in _cut(rows, spec, now):
            landing = _landing(part, stamp, landings.get(partition) if delivery.adds else before.get(partition), adds=delivery.adds)
            if landing is not before.get(partition):
                changed.append((partition, part))
            landings[partition] = landing
        del rows  # the parts are copies
        tables += [stamp.put_on(part, partition) for partition, part in changed]
        current[label] = landings
        # A file that has no row of a partition any more lands none there; when that was is told beside.
        gone = {**vanished.get(label, {}), **dict.fromkeys(before.keys() - landings.keys(), at.isoformat())}
        vanished[label] = {partition: when for partition, when in gone.items() if partition not in landings}
        for partition in before.keys() - landings.keys():
            earlier = emptied.setdefault(label, {}).get(partition, ())
            emptied[label][partition] = (*earlier, (number, at.isoformat()))
        number += 1
    _require_later(lacking, landed, max(delivery.contents, default=""))
    lost = {label: gone for label, gone in vanished.items() if gone}
    return Stamped(tables, current, lost, emptied or None, number, frozenset(empty), rows_read)


def _require_later(lacking: Mapping[str, Mapping[str, Sequence[str]]], landed: Collection[str], last: str) -> None:
    """Refuse declared columns that a file lacks unless a later file brings them: a column may come later, and doesn't go.

    Args:
        lacking: by file that was read the columns that it lacks, each with those that it has.
        landed: columns that have landed before.
        last: the last file of the source, read or not.

    Raises:
        DataError: there is such a column.
    """
    for label, columns in lacking.items():
        for name, names in columns.items():
            comes_later = any(other > label and name not in others for other, others in lacking.items())
            if not comes_later and not (name in landed and label < last):
                raise DataError(f"{label}: no column {name!r}; {nearest(name, names)}")


def _landing(part: pa.Table, stamp: _Stamp, before: Landing | None, *, adds: bool) -> Landing:
    """The current landing of a file in a partition once a part has come; the one before if that has the same content."""
    content = content_hash(part.drop_columns(["_row"]))
    if not adds:
        return before if before is not None and before.content == content else Landing(stamp.name, content, part.num_rows)
    if before is None:
        return Landing(f"{stamp.name}{ONWARD}", content, part.num_rows)
    return Landing(before.name, fingerprint(before.content, content), before.rows + part.num_rows)


def _cut(rows: pa.Table, spec: TableSpec, now: datetime) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each partition, in the order of the partitions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if spec.partitions is None:
        names: pa.Array = pa.repeat(WHOLE, rows.num_rows)
    else:
        assert spec.event_time
        names_read = [spec.event_time, *(spec.keys if spec.timezone else [])]
        parts = dict.fromkeys(source for name in names_read for source in spec.columns[name].source or [name])
        times = parse_time(cast_nulls_to_text(rows.select([name for name in parts if name in rows.column_names])), spec.event_time, spec)
        names = pc.strftime(times, FORMATS[spec.partitions.grain])
        allowed = pa.array(partition_keys(spec.partitions, now))
        names = pc.if_else(pc.fill_null(pc.is_in(names, value_set=allowed), False), names, UNDATED)
    partitions = sorted(pc.unique(names).to_pylist())
    for partition in partitions:
        yield partition, rows.filter(pc.equal(names, partition)) if len(partitions) > 1 else rows
