"""Adopted Delta tables: what a table's protocol asks of its readers, and the one way in which its rows are read.

What isn't read right here is refused by the name of the feature, before anything is computed. What a table becomes is in the stages.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakeloop.errors import DataError, nearest
from lakeloop.rows.types import arrow_type, cast_exactly, plain_type, schema_of
from lakeloop.spec.tables import Column, DeltaTableSource
from resources.lake.old_calendar import check_calendar
from resources.lake.tables import local_path, open_delta, unavailable

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake import DeltaTable
    from deltalake.schema import Field

READ = frozenset(
    {"columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview", "v2Checkpoint", "vacuumProtocolCheck"}
)
"""Reader features of Delta's protocol that `AdoptedTable.read` follows, or that concern the log alone."""
OF_COLUMNS = frozenset({"variantType", "variantType-preview", "variantShredding", "variantShredding-preview"})
"""Reader features of columns that no column type holds; the other columns can be read."""
RESOLVED = frozenset({"columnMapping", "deletionVectors", "typeWidening", "typeWidening-preview"})
"""Those without which a Parquet file alone has other columns, rows that were deleted, or other types."""
_MAPPING, _PHYSICAL, _ID = "delta.columnMapping.mode", "delta.columnMapping.physicalName", "delta.columnMapping.id"
_FIELD_ID = b"PARQUET:field_id"


@dataclass(frozen=True)
class AdoptedTable:
    """A version of an adopted table.

    Attributes:
        table: the open version.
        shown: the table, for messages.
        features: the reader features that its protocol names; with `columnMapping` where its columns are mapped by an older protocol.
    """

    table: DeltaTable
    shown: str
    features: frozenset[str]

    @property
    def version(self) -> int:
        """The version that is open."""
        return self.table.version()

    @property
    def is_plain(self) -> bool:
        """Whether its Parquet files alone say what its rows are."""
        return not self.features & RESOLVED

    @cached_property
    def types(self) -> Mapping[str, pa.DataType]:
        """Its columns with their types, every kind of text as a string."""
        import pyarrow as pa

        return {field.name: plain_type(field.type) for field in pa.schema(self.table.schema())}

    def read(self, columns: Sequence[str], *, enough: int | None = None) -> pa.Table:
        """Read some columns, the rows file by file.

        Args:
            columns: by the names that they have in this version.
            enough: stop after the file with which there are so many rows.

        Raises:
            DataError: there is no such column, a file is missing or broken, or holds a value that the column's type doesn't.
            ServiceUnavailable: the store doesn't answer.
        """
        import pyarrow as pa

        for name in columns:
            if name not in self.types:
                raise DataError(f"{self.shown}: no column {name!r}; {nearest(name, self.types)}")
        schema = pa.schema([pa.field(name, self.types[name]) for name in columns])
        parts, count = [], 0
        for place, file in enumerate(self.files):
            parts.append(self._read_file(file, place, schema))
            count += parts[-1].num_rows
            if enough is not None and count >= enough:
                break
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def require_deletions(self) -> None:
        """Refuse a table of which deltalake opens the log and not the deletions, as where types were widened, too (1.6.6).

        Raises:
            DataError: with its features.
        """
        self._kept  # noqa: B018  # reads them

    def missing_files(self) -> list[str]:
        """The files that the log names and that aren't there; none of a table in an object store, where only reading tells."""
        return [path for file in self.files if (path := self._local(file)) is not None and not Path(path).exists()]

    @cached_property
    def _actions(self) -> pa.Table:
        """The files of the version with their partition values."""
        import pyarrow as pa

        return pa.table(self.table.get_add_actions(flatten=True))

    @cached_property
    def files(self) -> list[str]:
        """The paths of the files, as the log has them: URLs relative to the table, or absolute."""
        return list(self._actions["path"].to_pylist())

    @cached_property
    def _fields(self) -> Mapping[str, Field]:
        return {field.name: field for field in self.table.schema().fields}

    def _physical(self, name: str) -> str:
        """The name of a column in the files."""
        return str(self._fields[name].metadata.get(_PHYSICAL, name)) if "columnMapping" in self.features else name

    def _local(self, file: str) -> str | None:
        """The path of a file on this machine; None for one in an object store."""
        if "://" in file:
            return local_path(file)
        root = local_path(self.table.table_uri)
        return None if root is None else str(Path(root, unquote(file)))

    @cached_property
    def _kept(self) -> Mapping[str, list[bool]]:
        """By file, as the log has it, which of its rows aren't deleted; files without deleted rows aren't in it."""
        import pyarrow as pa
        from deltalake.exceptions import DeltaError

        if "deletionVectors" not in self.features:
            return {}
        try:
            vectors = pa.table(self.table.deletion_vectors())
        except DeltaError as error:
            both = ", ".join(sorted(self.features))
            raise DataError(
                f"{self.shown} uses {both}, which can't be read together; drop one of these features, or copy what is needed to a table without it",
                detail=error,
            ) from error
        masks = {unquote(path): mask for path, mask in zip(vectors["filepath"].to_pylist(), vectors["selection_vector"], strict=True)}
        root = unquote(self.table.table_uri).rstrip("/")
        kept = {}
        for file in self.files:
            # The paths come with other escapes than the log's, so they are compared without any.
            whole = unquote(unquote(file)) if "://" in file else f"{root}/{unquote(unquote(file))}"
            mask = masks.pop(whole, masks.pop(unquote(whole), None))
            if mask is not None:
                kept[file] = mask.as_py()
        if masks:
            raise DataError(f"{self.shown}: rows of {next(iter(masks))} are deleted, and the log doesn't name that file")
        return kept

    def _read_file(self, file: str, place: int, schema: pa.Schema) -> pa.Table:
        """Some columns of a file, as the table has them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        shown = f"{self.shown}: the file {unquote(file)} of version {self.version}"
        try:
            with self._open(file) as source:
                parquet = pq.ParquetFile(source, coerce_int96_timestamp_unit="us")
                names = {
                    name: self._name_in(parquet, name) for name in schema.names if f"partition.{name}" not in self._actions.column_names
                }
                held = sorted({name for name in names.values() if name is not None})
                values = parquet.read(columns=held)
                count = parquet.metadata.num_rows
        except FileNotFoundError as error:
            raise DataError(f"{shown} isn't there; materialise the table again where it was vacuumed, else restore the file") from error
        except OSError as error:
            if self._local(file) is None:
                raise unavailable(self.table.table_uri, error) from error
            raise DataError(
                f"{shown} can't be read: it is broken, encrypted, or written in a way that pyarrow can't read", detail=error
            ) from error
        except pa.ArrowException as error:
            raise DataError(f"{shown} can't be read as Parquet", detail=error) from error
        check_calendar(parquet.metadata.metadata, values, shown)
        columns = []
        for field in schema:
            name = names.get(field.name)
            if field.name not in names:
                part: Any = pa.repeat(self._actions[f"partition.{field.name}"][place], count)
            else:
                part = pa.nulls(count, field.type) if name is None else values[name]
            columns.append(_cast(part, field, shown))
        rows = pa.table(columns, schema=schema) if columns else pa.table({"": pa.nulls(count)}).select([])
        mask = self._kept.get(file)
        if mask is None:
            return rows
        if len(mask) > count:
            raise DataError(f"{shown} has {count} rows, and the table's log says which of {len(mask)} are deleted")
        return rows.filter(pa.array([*mask, *[True] * (count - len(mask))]))

    def _open(self, file: str) -> Any:
        """A file of the table, opened."""
        from deltalake.fs import DeltaStorageHandler
        from pyarrow.fs import LocalFileSystem, PyFileSystem

        path = self._local(file)
        if path is not None:
            return LocalFileSystem(use_mmap=True).open_input_file(path)
        if "://" in file:
            raise DataError(
                f"{self.shown}: its log names {file}, which isn't in the table's own folder; wanted a table that isn't a shallow clone"
            )
        return PyFileSystem(DeltaStorageHandler.from_table(self.table._table)).open_input_file(unquote(file))

    def _name_in(self, parquet: pq.ParquetFile, name: str) -> str | None:
        """The name that a column has in a file; None where the file lacks it, as one does that was written before the column came."""
        names = parquet.schema_arrow.names
        if self.table.metadata().configuration.get(_MAPPING) == "id" and "columnMapping" in self.features:
            wanted = str(self._fields[name].metadata[_ID]).encode()
            return next((field.name for field in parquet.schema_arrow if (field.metadata or {}).get(_FIELD_ID) == wanted), None)
        physical = self._physical(name)
        if physical in names:
            return physical
        other = next((other for other in names if other.lower() == physical.lower()), None)
        if other is not None:
            raise DataError(f"{self.shown}: a file has column {other}, the table {physical}: engines differ on whether that is one column")
        return None


def adopted_url(source: DeltaTableSource, folder: Path) -> str:
    """The URL of an adopted table, or its path, which is relative to the definition's folder."""
    return source.delta if "://" in source.delta else str((folder / source.delta).resolve())


def source_of(name: str, column: Column) -> str:
    """The column of the adopted table that a declared one is."""
    return column.source[0] if column.source else name


def read_declared(adopted: AdoptedTable, columns: Mapping[str, Column], personal: Collection[str] = ()) -> pa.Table:
    """Read declared columns, under their names and as their types.

    Raises:
        DataError: as `AdoptedTable.read`, and where a value would change as its declared type.
    """
    rows = adopted.read([source_of(name, column) for name, column in columns.items()]).rename_columns(list(columns))
    return cast_exactly(rows, schema_of(columns), adopted.shown, personal)


def is_of_declared_types(adopted: AdoptedTable, columns: Mapping[str, Column]) -> bool:
    """Whether each declared type holds every value that its column's own type has, as every engine casts them."""
    import pyarrow as pa

    for name, column in columns.items():
        kind = adopted.types.get(source_of(name, column))
        wider = (pa.types.is_float32(kind) and column.type == "double") or (pa.types.is_signed_integer(kind) and column.type == "integer")
        if kind != arrow_type(column.type) and not wider:
            return False
    return True


def open_adopted(url: str, shown: str, version: int | None = None) -> AdoptedTable:
    """Open a Delta table, and look at what its protocol asks of its readers.

    Args:
        url: a folder, or a URL.
        shown: the table, for messages.
        version: the newest unless given.

    Raises:
        DataError: there is no such table or version, its log can't be read, or it uses a feature that isn't read here.
        ServiceUnavailable: the store doesn't answer.
    """
    from deltalake.exceptions import DeltaError

    what = shown if version is None else f"{shown}: version {version}"
    try:
        table = open_delta(url, version)
    except DeltaError as error:
        detail = " ".join(str(error).split("0: <unknown>")[0].split())
        raise DataError(f"{what} can't be opened", detail=detail) from error
    if table is None:
        raise DataError(f"{what}: no Delta table at {url}")
    protocol = table.protocol()
    features = set(protocol.reader_features or ())
    if table.metadata().configuration.get(_MAPPING, "none") != "none":
        features.add("columnMapping")
    unread = sorted(features - READ - OF_COLUMNS)
    if unread or protocol.min_reader_version > 3:
        why = f"uses {', '.join(unread)}" if unread else f"wants readers of version {protocol.min_reader_version}"
        raise DataError(f"{what} {why}, which can't be read here; drop that feature, or copy what is needed to a table without it")
    adopted = AdoptedTable(table, shown, frozenset(features))
    if "deletionVectors" in features and len(features & RESOLVED) > 1:
        adopted.require_deletions()
    return adopted


def _cast(values: Any, field: pa.Field, shown: str) -> Any:
    """Values of a file as the table's type; times without a zone are in UTC there.

    Raises:
        DataError: a value isn't of that type.
    """
    import pyarrow as pa

    if values.type == field.type:
        return values
    try:
        if pa.types.is_timestamp(values.type) and pa.types.is_timestamp(field.type):
            values = values.cast(pa.timestamp("us", values.type.tz))
        return values.cast(field.type)
    except pa.ArrowException as error:
        raise DataError(
            f"{shown}: column {field.name}: a value of type {values.type} isn't of the table's type {field.type}", detail=error
        ) from error
