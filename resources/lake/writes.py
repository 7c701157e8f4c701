"""How a Delta table is written: what a batch replaces of it, and the properties that its log has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.rows.landing_types import MOST_DIGITS
from lakeloop.rows.types import is_same_type
from lakeloop.spec.tables import PARTITION
from resources.lake.published import WHOLE, TableKey
from resources.lake.tables import read_table

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable, PostCommitHookProperties

NO_STATISTICS = {"delta.dataSkippingNumIndexedCols": "0"}
"""The table property under which Delta's log counts rows and holds no column's least and greatest value. Nothing here skips files by those."""
TRIAL_ROWS = 50
"""Rows at either end of a batch that are written and read again before it lands."""
_POSITION = "_position"


def keeps_versions() -> PostCommitHookProperties:
    """Old versions are cited (by training sets, releases, kept views), so their log stays; delta-rs would drop it after a month."""
    import deltalake

    return deltalake.PostCommitHookProperties(cleanup_expired_logs=False)


def types_of(table: DeltaTable) -> dict[str, pa.DataType]:
    """A table's columns with their types."""
    import pyarrow as pa

    return {field.name: field.type for field in pa.schema(table.schema())}


def require_readable(rows: pa.Table, where: str) -> None:
    """Write a sample of rows to a table that is thrown away, and read it again: what can't be read again must not land.

    Raises:
        DataError: a column can't be written, or comes back with another type or other values; the message names it.
    """
    import pyarrow as pa

    sample = rows
    if rows.num_rows > 2 * TRIAL_ROWS:
        sample = pa.concat_tables([rows.slice(0, TRIAL_ROWS), rows.slice(rows.num_rows - TRIAL_ROWS)])
    if comes_back(sample):
        return
    for field in sample.schema:
        if not comes_back(sample.select([field.name])):
            raise DataError(
                f"{where}: column {field.name} of type {field.type} can't be written and read again as it is; nothing was written. Make it text at "
                "the source"
            )
    raise DataError(f"{where}: its columns together can't be written and read again as they are; nothing was written")


def comes_back(rows: pa.Table) -> bool:
    """Whether rows are the same once they have been written to a Delta table and read again."""
    from tempfile import TemporaryDirectory

    import deltalake
    import pyarrow as pa

    if not rows.num_columns:
        return True
    with TemporaryDirectory() as folder:
        try:
            # Rows of a Delta table come in any order.
            deltalake.write_deltalake(folder, rows.append_column(_POSITION, pa.array(range(rows.num_rows), pa.int64())))
            back = read_table(deltalake.DeltaTable(folder), order=[_POSITION])
        except Exception:  # deltalake raises plain exceptions of its own, and pyarrow others
            return False
    for field in rows.schema:
        if not is_same_type(field.type, back.schema.field(field.name).type) and not pa.types.is_nested(field.type):
            return False
        written, read = rows[field.name], back[field.name]
        if not pa.types.is_nested(field.type) and str(written.cast(read.type).to_pylist()) != str(read.to_pylist()):  # NaN equals nothing
            return False
    return True


def _is_widened(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether a column of decimals comes as decimals with other digits, and one type holds the values of both."""
    import pyarrow as pa

    if not (pa.types.is_decimal(old) and pa.types.is_decimal(new)):
        return False
    scale = max(old.scale, new.scale)
    return bool(max(old.precision - old.scale, new.precision - new.scale) + scale <= MOST_DIGITS)


def replacement(
    key: TableKey, table: DeltaTable, rows: pa.Table, partitions: Sequence[str], mode: str, retire: Sequence[str]
) -> dict[str, Any]:
    """What `write_deltalake` must be told so that a batch takes just the place of its partitions, or is added.

    Args:
        key: the table, for messages.
        table: as it stands.
        rows: the batch.
        partitions: those that the batch replaces.
        mode: `partitions` or `append`.
        retire: partitions whose rows go, without new ones.

    Raises:
        DataError: a column comes with another type, or other columns come for some partitions only.
    """
    import pyarrow as pa

    old = types_of(table)
    new = {f.name: f.type for f in rows.schema}
    changed = {name for name in old.keys() & new.keys() if not is_same_type(old[name], new[name])}
    fits = not changed and old.keys() <= new.keys()
    if mode == "append":
        # A column that has had no value yet (Delta's void) takes any type.
        void = {name for name in changed if pa.types.is_null(old[name])}
        widened = {name for name in changed - void if _is_widened(old[name], new[name])}
        if changed - void - widened:
            name = sorted(changed - void - widened)[0]
            raise DataError(
                f"{key}: column {name} has landed as {old[name]} before and comes as {new[name]} now; nothing was written. Cast it to "
                f"{old[name]} in the query or where the file is made, or land it under another name"
            )
        if widened or any(pa.types.is_decimal(new[name]) for name in void):
            # delta-rs (1.6) adds decimals to a void column and leaves it void, which can't be read, and doesn't widen a decimal; so all rows are
            # written anew.
            return {"mode": "overwrite", "schema_mode": "overwrite"}
        return {"mode": "append", "schema_mode": "merge"}
    if list(partitions) == [WHOLE]:
        return {"mode": "overwrite", "schema_mode": "overwrite"}
    replaced = [*partitions, *retire]
    if retire or not fits:
        # Nothing of what stands is kept: only so can a table get other columns, or Delta partitions where it had none.
        kept = set(table.to_pyarrow_table(columns=[PARTITION])[PARTITION].unique().to_pylist()) - set(replaced)
        if not kept:
            return {"mode": "overwrite", "schema_mode": "overwrite"}
        if not fits:
            raise DataError(f"{key}: its columns have changed; wanted all partitions in one run, {', '.join(sorted(kept))} missing")
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in replaced)
    extra = {"schema_mode": "merge"} if new.keys() > old.keys() else {}
    return {"mode": "overwrite", "predicate": f"{PARTITION} IN ({listed})", **extra}
