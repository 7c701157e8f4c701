"""What has landed of a source, read back: every landing, marked by whether it is the current one of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.records.tables import SourceState
from lakeloop.rows.conform import ROWS_AT_ONCE
from lakeloop.rows.stacking import match_landed_types
from lakeloop.rows.types import is_same_type
from lakeloop.spec.partitions import split_into_batches
from lakeloop.spec.tables import PARTITION, ROW, DatabaseSource, TableSpec
from platform_assets.stages.base import Platform
from resources.lake.published import PartitionState, TableKey
from resources.lake.verdict_rows import newest
from resources.lake.writes import types_of

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "source"
"""The state that says which files have landed (`SourceState`); those of the partitions record nothing."""
ONWARD = "+"
"""Behind a landing: it and all that follow are current, as a source that is read on from a position adds to what it gave before."""

RawStates = Mapping[str, PartitionState[Any]]
"""What is published of a raw table: the state of its source, and of each partition."""


def source_state(published: RawStates) -> SourceState:
    """What has landed of a source, of which something has."""
    return published[SOURCE].typed(SourceState).value


def read_landed(platform: Platform, key: TableKey, published: RawStates, partitions: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of some partitions with all their landings, marked by which landing is the current one for its file; a part at a time.

    Declared columns that were delivered without any value yet are nulls of text.
    """
    source, version = source_state(published), newest(published)
    current = _current_landings(source)
    sizes = {name: published[name].rows if name in published else 0 for name in partitions}
    for batch in split_into_batches(sizes, ROWS_AT_ONCE):
        yield _add_empty_columns(_mark_current(platform.lake.read((key, version), partitions=batch), current), source.empty)


def select_not_landed(
    platform: Platform, key: TableKey, published: RawStates, rows: pa.Table, spec: TableSpec, since: pa.Scalar | None
) -> pa.Table:
    """Rows of a read with overlap that haven't landed as they are, or have changed since and are back.

    A row whose key comes once is compared with the newest that has landed under its key; where a key comes several times, or there is none
    in the rows, with all of them. A null equals a column that isn't there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = platform.lake.open(key, newest(published))
    if table is None or rows.num_rows == 0 or since is None:
        return rows
    assert isinstance(spec.source, DatabaseSource)
    cursor = str(spec.source.cursor)
    dataset = table.to_pyarrow_dataset()
    types = {field.name: field.type for field in dataset.schema if not pa.types.is_null(field.type)}
    delivered = match_landed_types(rows.drop_columns([name for name in columns_without_type(rows) if name not in types]), types)
    known = [field for field in delivered.schema if field.name in types]
    if cursor not in types or any(not pa.types.is_null(f.type) and not is_same_type(types[f.name], f.type) for f in known):
        return rows  # a changed type is refused by name when it is written
    landed_schema = pa.schema([field.with_type(types.get(field.name, field.type)).remove_metadata() for field in delivered.schema])
    delivered = delivered.cast(landed_schema)

    overlapping = (pc.field(cursor) >= since.cast(types[cursor])) | pc.field(cursor).is_null()
    placed = ["_file", "_landing", "_landed_order", ROW, PARTITION]
    landed = dataset.to_table(columns=[*(field.name for field in known), *placed], filter=overlapping)
    landed = _mark_current(landed, _current_landings(source_state(published)))
    landed = landed.filter(landed["_current"])
    for field in (field for field in delivered.schema if field.name not in types):
        landed = landed.append_column(field.name, pa.nulls(landed.num_rows, field.type))
    keys = list(dict.fromkeys(part for name in spec.keys for part in (spec.columns[name].source or [name])))
    return rows.take(_positions_of_new(delivered, landed, keys))


def _positions_of_new(delivered: pa.Table, landed: pa.Table, keys: Sequence[str]) -> pa.Array:
    """The positions of delivered rows that no landed row equals."""
    import polars as pl

    new, old = pl.from_arrow(delivered), pl.from_arrow(landed)
    assert isinstance(new, pl.DataFrame) and isinstance(old, pl.DataFrame)
    new, compared = new.with_row_index("_index"), [(pl.lit(True), old)]
    if set(keys) <= set(delivered.column_names):
        comes_once = pl.len().over(keys) == 1
        compared = [(comes_once, old.sort("_landed_order", ROW).unique(keys, keep="last")), (~comes_once, old)]
    absent = [new.filter(part).join(rows, on=delivered.column_names, how="anti", nulls_equal=True)["_index"] for part, rows in compared]
    return pl.concat(absent).sort().to_arrow()


def landed_types(platform: Platform, key: TableKey, published: RawStates) -> Mapping[str, pa.DataType]:
    """The types in which columns have landed."""
    table = platform.lake.open(key, newest(published)) if published else None
    return types_of(table) if table is not None else {}


def columns_without_type(rows: pa.Table) -> list[str]:
    """The columns that have no value, and so no type."""
    import pyarrow as pa

    return [field.name for field in rows.schema if pa.types.is_null(field.type)]


def _current_landings(source: SourceState) -> dict[tuple[str, str], str]:
    """The name of the current landing of each file and partition."""
    return {
        (label, partition): landing.name for label, by_partition in source.current.items() for partition, landing in by_partition.items()
    }


def _mark_current(rows: pa.Table, current: Mapping[tuple[str, str], str]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    # A landing has one file, so that landing and partition decide; looked up once per distinct pair, not per row.
    names = ["_file", PARTITION, "_landing"]
    pairs = rows.group_by(names).aggregate([])
    flags = [
        _is_current(current.get((file, partition)), landing)
        for file, partition, landing in zip(*pairs.to_pydict().values(), strict=True)
    ]  # fmt: skip
    # Only what decides goes through the join: it copies what it is given.
    places = rows.select(names).append_column("_position", pa.array(np.arange(rows.num_rows)))
    marked = places.join(pairs.append_column("_current", pa.array(flags, pa.bool_())), keys=names).sort_by("_position")
    return rows.append_column("_current", marked["_current"])


def _is_current(current: str | None, landing: str) -> bool:
    """Whether a landing is among the current ones of its file and partition."""
    if current is None:
        return False
    return landing >= current.removesuffix(ONWARD) if current.endswith(ONWARD) else landing == current


def _add_empty_columns(rows: pa.Table, names: Iterable[str]) -> pa.Table:
    import pyarrow as pa

    for name in names:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows
