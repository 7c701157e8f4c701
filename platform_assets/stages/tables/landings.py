"""What has landed of a source, read back: every landing, marked by whether it is the current one of its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.spec.partitions import split_into_batches
from lakeloop.spec.tables import PARTITION, ROW, DatabaseSource, TableSpec
from platform_assets.stages.base import Platform
from resources.lake.published import PartitionState, TableKey

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "source"
"""The state that says which files have landed; its value holds the current landing of each file and partition."""
ONWARD = "+"
"""Behind a landing: it and all that follow are current, as a source that is read on from a position adds to what it gave before."""


def landed_rows(platform: Platform, key: TableKey, state: Mapping[str, PartitionState], partitions: Sequence[str]) -> Iterator[pa.Table]:
    """Rows of some partitions with all their landings, marked by which landing is the current one for its file; a part at a time.

    Declared columns that were delivered without any value yet are nulls of text.
    """
    from lakeloop.rows.conform import ROWS_AT_ONCE

    live, empty = _live(state), state[SOURCE].value.get("empty", ())
    version = max(s.version for s in state.values())
    sizes = {name: state[name].rows if name in state else 0 for name in partitions}
    for together in split_into_batches(sizes, ROWS_AT_ONCE):
        yield _with_empty(_marked(platform.lake.read((key, version), partitions=together), live), empty)


def not_landed(
    platform: Platform, key: TableKey, state: Mapping[str, PartitionState], rows: pa.Table, spec: TableSpec, since: Any
) -> pa.Table:
    """Rows of a read with overlap that haven't landed as they are, or have changed since and are back.

    A row whose key comes once is compared with the newest that has landed under its key; where a key comes several times, or there is none
    in the rows, with all of them. A null equals a column that isn't there.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeloop.rows.stacking import match_landed_types
    from lakeloop.rows.types import is_same_type

    table = platform.lake.open(key, max(s.version for s in state.values()))
    if table is None or rows.num_rows == 0 or since is None:
        return rows
    assert isinstance(spec.source, DatabaseSource)
    cursor = str(spec.source.cursor)
    dataset = table.to_pyarrow_dataset()
    types = {field.name: field.type for field in dataset.schema if not pa.types.is_null(field.type)}
    ours = match_landed_types(rows.drop_columns([name for name in without_type(rows) if name not in types]), types)
    known = [field for field in ours.schema if field.name in types]
    if cursor not in types or any(not pa.types.is_null(f.type) and not is_same_type(types[f.name], f.type) for f in known):
        return rows  # a changed type is refused by name when it is written
    ours = ours.cast(pa.schema([field.with_type(types.get(field.name, field.type)).remove_metadata() for field in ours.schema]))

    asked = (pc.field(cursor) >= since.cast(types[cursor])) | pc.field(cursor).is_null()
    placed = ["_file", "_landing", "_landed_order", ROW, PARTITION]
    landed = _marked(dataset.to_table(columns=[*(field.name for field in known), *placed], filter=asked), _live(state))
    landed = landed.filter(landed["_current"])
    for field in (field for field in ours.schema if field.name not in types):
        landed = landed.append_column(field.name, pa.nulls(landed.num_rows, field.type))

    wanted, found = pl.from_arrow(ours), pl.from_arrow(landed)
    assert isinstance(wanted, pl.DataFrame) and isinstance(found, pl.DataFrame)
    keys = list(dict.fromkeys(part for name in spec.keys for part in (spec.columns[name].source or [name])))
    wanted, compared = wanted.with_row_index("_index"), [(pl.lit(True), found)]
    if set(keys) <= set(ours.column_names):
        once = pl.len().over(keys) == 1
        compared = [(once, found.sort("_landed_order", ROW).unique(keys, keep="last")), (~once, found)]
    new = [wanted.filter(part).join(there, on=ours.column_names, how="anti", nulls_equal=True)["_index"] for part, there in compared]
    return rows.take(pl.concat(new).sort().to_arrow())


def landed_integers(platform: Platform, key: TableKey, state: Mapping[str, PartitionState]) -> frozenset[str]:
    """The columns that have landed as integers."""
    import pyarrow as pa

    table = platform.lake.open(key, max(s.version for s in state.values())) if state else None
    return (
        frozenset(field.name for field in pa.schema(table.schema()) if pa.types.is_int64(field.type)) if table is not None else frozenset()
    )


def _live(state: Mapping[str, PartitionState]) -> dict[tuple[str, str], str]:
    """The current landing of each file and partition."""
    current = state[SOURCE].value["current"]
    return {(label, partition): str(entry[0]) for label, parts in current.items() for partition, entry in parts.items()}


def _marked(rows: pa.Table, live: Mapping[tuple[str, str], str]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    # A landing has one file, so that landing and partition decide; looked up once per distinct pair, not per row.
    names = ["_file", PARTITION, "_landing"]
    pairs = rows.group_by(names).aggregate([])
    flag = [_counts(live.get((file, partition)), landing) for file, partition, landing in zip(*pairs.to_pydict().values(), strict=True)]
    # Only what decides goes through the join: it copies what it is given.
    places = rows.select(names).append_column("_position", pa.array(np.arange(rows.num_rows)))
    marked = places.join(pairs.append_column("_current", pa.array(flag, pa.bool_())), keys=names).sort_by("_position")
    return rows.append_column("_current", marked["_current"])


def _counts(current: str | None, landing: str) -> bool:
    """Whether a landing is among the current ones of its file and partition."""
    if current is None:
        return False
    return landing >= current.removesuffix(ONWARD) if current.endswith(ONWARD) else landing == current


def _with_empty(rows: pa.Table, names: Iterable[str]) -> pa.Table:
    import pyarrow as pa

    for name in names:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return rows


def without_type(rows: pa.Table) -> list[str]:
    """The columns that have no value, and so no type."""
    import pyarrow as pa

    return [field.name for field in rows.schema if pa.types.is_null(field.type)]
