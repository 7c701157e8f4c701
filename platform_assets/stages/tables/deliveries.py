"""What a source has and what it delivers: files, the rows of a database, or the result of a function. Nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakeloop.fingerprint import content_hash, fingerprint
from lakeloop.project.project import Located
from lakeloop.spec.tables import FILE, ROW, DatabaseSource, Files, PythonFunction, TableSpec
from platform_assets.stages.base import Platform, key_of
from platform_assets.stages.tables.landings import RawStates, select_not_landed
from resources.sources.database import DatabaseReader
from resources.sources.files import SourceFile, call_function, number_rows, read_file, resolve_files

if TYPE_CHECKING:
    import pyarrow as pa


def source_columns(spec: TableSpec) -> list[str]:
    """The delivered columns that the declared ones are read from, in order, each once."""
    return list(dict.fromkeys(part for name, col in spec.columns.items() for part in (col.source or [name]) if part not in (FILE, ROW)))


def optional_columns(spec: TableSpec) -> frozenset[str]:
    """The delivered columns that some files of a source may lack: those that only nullable columns are read from."""
    needed = {*spec.keys, *([spec.event_time] if spec.event_time else [])}
    required = {part for name, col in spec.columns.items() if not col.nullable or name in needed for part in (col.source or [name])}
    return frozenset(source_columns(spec)) - required if isinstance(spec.source, Files) else frozenset()


def digests(located: Located[TableSpec]) -> dict[str, str] | None:
    """Content hash of each source file, or what a database answers to a probe; None for a function, whose content is known once it has run.

    Raises:
        DataError: there is no such file or table.
        ServiceUnavailable: the database doesn't answer.
    """
    source = located.spec.source
    if isinstance(source, DatabaseSource):
        reader = database_reader(located)
        return {reader.label: reader.probe(), "query": fingerprint(reader.text())}
    return {f.label: f.digest for f in resolve_files(source, located.folder)} if isinstance(source, Files) else None


def standing_contents(spec: TableSpec, known: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """The content by label of what stands once what is present has landed: files that are gone, too, unless the source retires them."""
    retires = isinstance(spec.source, Files) and spec.source.on_missing == "retire"
    return dict(present) if retires else {**known, **present}


def database_reader(located: Located[TableSpec]) -> DatabaseReader:
    """The reader of a table whose source is a database."""
    spec = located.spec
    assert isinstance(spec.source, DatabaseSource)
    times = (spec.columns[spec.event_time].source or [spec.event_time]) if spec.event_time else []
    return DatabaseReader(spec.source, located.folder, watch=times[0] if len(times) == 1 else None)


@dataclass(frozen=True)
class Delivery:
    """What a source delivers.

    Attributes:
        parts: by label the rows, or the file that they are read from.
        contents: by label the hash of the content, or the position after it.
        probe: what a database showed before it was read.
        adds: whether the rows add to those before; else they take their place.
        is_onward: whether only what is new since the last time was read.
        is_empty: of a delivery onward, whether there is nothing new.
    """

    parts: Mapping[str, SourceFile | pa.Table]
    contents: Mapping[str, str]
    probe: Mapping[str, str] | None = None
    adds: bool = False
    is_onward: bool = False
    is_empty: bool = False

    def read(self, label: str, spec: TableSpec, landed: Mapping[str, pa.DataType]) -> pa.Table:
        """The rows of a part as the source has them, plus `_row`; see `read_file`. A column that a file may lack isn't added."""
        part = self.parts[label]
        if not isinstance(part, SourceFile):
            return part
        assert isinstance(spec.source, Files)
        return read_file(part, spec.source, spec.columns, landed=landed, optional=optional_columns(spec), may_be_empty=len(self.parts) > 1)


def ask_source(
    platform: Platform,
    located: Located[TableSpec],
    published: RawStates,
    positions: Mapping[str, str],
    landed: Mapping[str, pa.DataType],
) -> Delivery:
    """Ask a source for what it has; a database with a cursor only for what is new, where there is a position to read on from.

    Args:
        platform: lake and log.
        located: the table.
        published: what has landed.
        positions: by label what has been read, in the way that it is read now.
        landed: the types in which columns have landed.
    """
    source = located.spec.source
    if isinstance(source, DatabaseSource):
        return _read_database(platform, located, source, published, positions)
    if isinstance(source, PythonFunction):
        rows = call_function(source.function, located.folder, landed)
        return Delivery({source.function: rows}, {source.function: content_hash(rows.drop_columns(["_row"]))})
    assert isinstance(source, Files)
    files = resolve_files(source, located.folder)
    return Delivery({file.label: file for file in files}, {file.label: file.digest for file in files})


def _read_database(
    platform: Platform, located: Located[TableSpec], source: DatabaseSource, published: RawStates, positions: Mapping[str, str]
) -> Delivery:
    # Asked before reading: what comes in between shows in the next probe.
    key, probe, reader = key_of("raw", located), digests(located), database_reader(located)
    since = positions.get(reader.label) if reader.appends else None
    rows, position = reader.read(since)
    if since is not None:
        if not rows.num_rows:
            # A read begins at the row that the last one ended with, or before it.
            platform.log.warning(
                f"{key}: {reader.label} has no row any more from where the last read ended on: its newest rows were deleted, or it was filled "
                f"anew from a smaller {source.cursor} on. Rows with a smaller one aren't read; to read all again, change `overlap`"
            )
        rows = select_not_landed(platform, key, published, rows, located.spec, reader.since(since))
    return Delivery(
        {reader.label: number_rows(rows, reader.label)},
        {reader.label: position},
        probe,
        adds=reader.appends,
        is_onward=since is not None,
        is_empty=rows.num_rows == 0,
    )
