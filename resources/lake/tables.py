"""Delta tables opened and read as Arrow, wherever they stand; what of them may be read is the lake's matter."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lakeloop.errors import DataError, ServiceUnavailable
from lakeloop.rows.types import plain_type
from lakeloop.spec.tables import PARTITION

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    from deltalake import DeltaTable
    from pyarrow.fs import SubTreeFileSystem


_UNUSABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]^|\\\x00-\x1f\x7f\ud800-\udfff]")
"""What deltalake (1.6) takes for something else in the path of a folder, or ends the process at; it follows links first."""


def local_path(url: str) -> str | None:
    """The absolute path of a local folder; None for a URL of an object store.

    >>> local_path("file:///data/K%C3%B6ln"), local_path("s3://bucket/lake")
    ('/data/Köln', None)
    """
    if url.startswith("file://"):
        return unquote(urlsplit(url).path)
    return None if "://" in url else str(Path(url).absolute())


def require_usable(url: str) -> None:
    """Refuse a folder below which no Delta table can be opened, whatever is there.

    Raises:
        DataError: its path has characters that deltalake doesn't take literally.
    """
    path = local_path(url)
    unusable = _UNUSABLE.search(os.path.realpath(path)) if path is not None else None
    if unusable:
        raise DataError(
            f"{os.path.realpath(str(path))!r} can't hold Delta tables, as its path has {unusable[0]!r}: wanted one without [ ] ^ | \\, control "
            "characters, and % before two hexadecimal digits; rename the folder, or move what is in it"
        )


def open_delta(url: str, version: int | None = None) -> DeltaTable | None:
    """Open a Delta table anywhere; None when there is none.

    Raises:
        DataError: it can't be opened at such a path.
        ServiceUnavailable: the store doesn't answer, or doesn't let us in.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    require_usable(url)
    try:
        return DeltaTable(url, version=version)
    except TableNotFoundError:
        return None
    except OSError as error:
        raise unavailable(url, error) from error


def unavailable(url: str, error: OSError) -> ServiceUnavailable:
    """The error for a folder or store that did not give something, without what a store's answer may show of keys and signatures."""
    answer = " ".join(str(error).partition("<")[0].replace("\x1b[31m↳\x1b[0m", "").split())
    parts = urlsplit(url)
    if not parts.netloc:
        return ServiceUnavailable(f"the folder did not give {url}: {answer[:300]}")
    # What was asked of the store differs from table to table, and why it was not given doesn't.
    answer = re.sub(r"(https?://[^/\s]+)/\S*", r"\1/…", answer)
    if path := parts.path.strip("/"):
        answer = re.sub(rf"(?<!\w){re.escape(path)}(?!\w)", "…", answer)
    return ServiceUnavailable(
        f"the store {parts.scheme}://{parts.netloc} did not give {url} (its address and credentials are AWS_* and the like): {answer[:300]}"
    )


def read_table(
    table: DeltaTable,
    columns: Sequence[str] | None = None,
    partitions: Iterable[str] | None = None,
    coded: Collection[str] = (),
    where: pc.Expression | None = None,
    order: Sequence[str] = (),
) -> pa.Table:
    """Read an open Delta table as Arrow, its times in UTC microseconds, strings as plain strings.

    Args:
        table: what to read.
        columns: all unless named.
        partitions: all unless named.
        coded: columns whose strings stay the dictionaries that they are in the files, which is several times faster; keys of a join.
        where: only rows of which this holds; the others take no memory.
        order: columns to sort the rows by. A Delta table has no order: who writes it does so on several threads, and rows come as they ended.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    schema = pa.schema(table.schema())
    kept = [name for name in coded if name in schema.names and pa.types.is_string(plain_type(schema.field(name).type))]
    wanted = None if partitions is None else sorted(set(partitions))
    dataset = table.to_pyarrow_dataset(
        file_pruning_predicate=[(PARTITION, "in", wanted)] if wanted else None,
        filesystem=_folder(table),
        parquet_read_options=ds.ParquetReadOptions(dictionary_columns=kept) if kept else None,
    )
    if wanted is not None and not wanted:
        return dataset.schema.empty_table()
    rows = dataset.to_table(columns=list(dict.fromkeys([*columns, *order])) if columns is not None else None, filter=where)
    plain = [field if field.name in kept else field.with_type(plain_type(field.type)) for field in rows.schema]
    if any(a.type != b.type for a, b in zip(plain, rows.schema, strict=True)):
        rows = rows.cast(pa.schema(plain))
    if order and not _in_order(rows, order):
        places = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in order])
        schema, taken = rows.schema, rows.columns
        del rows
        # A column after the other, so that one of them is all that stands twice.
        taken = [taken.pop(0).take(places) for _ in schema]
        rows = pa.table(taken, schema=schema)
    return rows if columns is None else rows.select(list(columns))


def _in_order(rows: pa.Table, by: Sequence[str]) -> bool:
    """Whether rows are sorted by some columns already; not if there is a null among what decides."""
    import pyarrow.compute as pc

    tied = None
    for name in by:
        before, after = rows[name].slice(0, max(rows.num_rows - 1, 0)), rows[name].slice(1)
        falls, same = pc.greater(before, after), pc.equal(before, after)
        if tied is not None:
            falls, same = pc.and_(tied, falls), pc.and_(tied, same)
        if pc.any(pc.fill_null(falls, True)).as_py():
            return False
        tied = same
        if not pc.any(pc.fill_null(tied, True)).as_py():
            break
    return True


def _folder(table: DeltaTable) -> SubTreeFileSystem | None:
    """A local table's folder, mapped into memory by Arrow itself: deltalake's own way goes through Python and takes up to twice as long."""
    from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

    parts = urlsplit(table.table_uri)
    return SubTreeFileSystem(unquote(parts.path), LocalFileSystem(use_mmap=True)) if parts.scheme == "file" and os.name == "posix" else None
