"""How a Delta table is written: what a batch replaces of it, and the properties that its log has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.rows.types import is_same_type
from lakeloop.spec.tables import PARTITION
from resources.lake.published import WHOLE, TableKey

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable, PostCommitHookProperties

NO_STATISTICS = {"delta.dataSkippingNumIndexedCols": "0"}
"""The table property under which Delta's log counts rows and holds no column's least and greatest value. Nothing here skips files by those."""


def keeps_versions() -> PostCommitHookProperties:
    """Old versions are cited (by training sets, releases, kept views), so their log stays; delta-rs would drop it after a month."""
    import deltalake

    return deltalake.PostCommitHookProperties(cleanup_expired_logs=False)


def types_of(table: DeltaTable) -> dict[str, pa.DataType]:
    """A table's columns with their types."""
    import pyarrow as pa

    return {field.name: field.type for field in pa.schema(table.schema())}


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
        if changed - void:
            name = sorted(changed - void)[0]
            raise DataError(
                f"{key}: column {name} has landed as {old[name]} before and comes as {new[name]} now; nothing was written. Cast it to "
                f"{old[name]} in the query or where the file is made, or land it under another name"
            )
        if any(pa.types.is_decimal(new[name]) for name in void):
            # delta-rs (1.6) adds decimals to a void column and leaves it void, which can't be read; so all rows are written anew.
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
