"""Definitions held against their sources: a bounded look at files that are there, and, where it is asked for, at databases and functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lakeloop.checking.sources import check_columns, check_rows
from lakeloop.errors import DataError, LakeloopError, SpecError, nearest
from lakeloop.project.project import Located, Project
from lakeloop.spec.tables import FILE, DatabaseSource, DeltaTableSource, Files, PythonFunction, TableSpec
from resources.lake.adopted import adopted_url, open_adopted
from resources.sources.database import DatabaseReader
from resources.sources.files import (
    FORMATS,
    SourceFile,
    call_function,
    cast_nulls_to_text,
    find_paths,
    format_of,
    number_rows,
    read_file,
)  # fmt: skip

if TYPE_CHECKING:
    import pyarrow as pa

LOOK_ROWS, LOOK_BYTES = 20_000, 4 << 20
"""Rows that are held against a definition, and the bytes of text that they are read from: a tenth of so many is known within half a percent."""
MOST_BYTES = 64 << 20
"""The largest file that is looked at: it is read as a whole, and unpacked."""


@dataclass(frozen=True)
class Look:
    """What a look at the sources of a project has told.

    Attributes:
        errors: of definitions that don't fit their sources.
        unseen: tables that weren't looked at, by name, each with why.
    """

    errors: list[SpecError] = field(default_factory=list)
    unseen: dict[str, str] = field(default_factory=dict)


def check_sources(project: Project, errors: Iterable[SpecError] = (), *, ask: bool = False) -> Look:
    """Hold the tables of a project against the first rows of their sources.

    What isn't on this machine isn't judged, since definitions are checked on machines without the data, too: files of a folder that has none, unless
    other tables' files are here.

    Args:
        project: whose tables are looked at.
        errors: of the definitions by themselves; a table that has some isn't looked at.
        ask: whether databases and stores are asked and functions called, too.
    """
    broken = {error.file for error in errors}
    look = Look()
    missing: dict[str, SpecError] = {}
    has_files = False
    for table in project.tables.values():
        name, source = f"{table.domain}.{table.spec.name}", table.spec.source
        if table.definition.file in broken:
            continue
        if not ask and not isinstance(source, Files) and not (isinstance(source, DeltaTableSource) and "://" not in source.delta):
            look.unseen[name] = "only with --sources"
            continue
        try:
            rows = _delivered(table)
        except FileNotFoundError as error:
            missing[name] = table.definition.error(str(error), "source", "files")
        except SpecError as error:
            look.errors.append(table.definition.error(error.message, "source", *filter(None, error.key.split("."))))
        except LakeloopError as error:
            look.errors.append(table.definition.error(str(error), "source"))
        else:
            has_files |= isinstance(source, Files) and not source.files[0].startswith("package:")
            look.errors.extend(_compare(table, rows) if rows is not None else [])
            if rows is None:
                look.unseen[name] = f"its first file is empty, or larger than {MOST_BYTES >> 20} MB"
    if has_files:
        look.errors.extend(missing.values())
    else:
        look.unseen.update({name: error.message for name, error in missing.items()})
    return look


def _compare(table: Located[TableSpec], rows: pa.Table) -> list[SpecError]:
    errors = check_columns(table, rows.column_names)
    return errors or ([] if isinstance(table.spec.source, DeltaTableSource) else check_rows(table, rows))


def _delivered(table: Located[TableSpec]) -> pa.Table | None:
    """The first rows of a source, of an adopted table none with its columns; None where there is nothing to be seen."""
    import pyarrow as pa

    source = table.spec.source
    if isinstance(source, DeltaTableSource):
        return pa.schema(open_adopted(adopted_url(source, table.folder), source.delta).types.items()).empty_table()
    return _first_rows(table, source) if isinstance(source, Files) else _ask(table, source)


def _ask(table: Located[TableSpec], source: DatabaseSource | PythonFunction) -> pa.Table:
    if isinstance(source, PythonFunction):
        try:
            rows, label = cast_nulls_to_text(call_function(source.function, table.folder)), source.function
        except LakeloopError:
            raise
        except Exception as error:  # whatever the user's own code raises
            raise SpecError(f"{type(error).__name__}: {error}", key="function") from error
        return _named(rows.slice(0, LOOK_ROWS), label)
    reader = DatabaseReader(source.model_copy(update={"cursor": None, "overlap": source.overlap * 0}), table.folder)
    return _named(number_rows(reader.head(LOOK_ROWS), reader.label).slice(0, LOOK_ROWS), reader.label)


def _first_rows(table: Located[TableSpec], source: Files) -> pa.Table | None:
    """The first rows of the first file; None where it has none, or is large.

    Raises:
        FileNotFoundError: no file has the name, and none is where it would be.
        SpecError: no file has the name, beside others that could be meant.
        DataError: the file can't be read as the definition says.
    """
    try:
        path, label = find_paths(source, table.folder)[0]
    except DataError as error:
        others = [other for pattern in source.files for other in _beside(pattern, table.folder)]
        if not others and not all(pattern.startswith("package:") for pattern in source.files):
            raise FileNotFoundError(error.message) from error
        hint = f"; {nearest(source.files[0], others)}" if others else ""
        raise SpecError(f"{error.message}{hint}", key="files") from error
    if path.stat().st_size > MOST_BYTES:
        return None
    file = SourceFile(path, label, "")
    try:
        format_of(file, source)
        rows = read_file(file, source, {}, may_be_empty=True, most_bytes=LOOK_BYTES)
    except DataError:
        # Cut within a quoted field, or within an array; read as a whole it may be well.
        rows = read_file(file, source, {}, may_be_empty=True)
    rows = cast_nulls_to_text(rows.slice(0, LOOK_ROWS))
    return _named(rows, label) if rows.num_rows else None


def _named(rows: pa.Table, label: str) -> pa.Table:
    import pyarrow as pa

    return rows.append_column(FILE, pa.repeat(label, rows.num_rows))


def _beside(pattern: str, folder: Path) -> list[str]:
    """The data files that stand where a pattern looks, or would if a folder in it weren't misspelled, as a definition would name them."""
    if pattern.startswith("package:"):
        return []
    fixed = Path(*Path(pattern).parts[: next((n for n, part in enumerate(Path(pattern).parts) if any(c in part for c in "*?[")), -1)])
    if Path(pattern).is_absolute():
        return []
    for start in (fixed, fixed.parent):
        where = folder / start
        if where.is_dir():
            files = [
                path
                for path in sorted(where.glob("*" if start == fixed else "*/*"))
                if path.is_file() and set(path.suffixes) & FORMATS.keys()
            ]
            if files:
                return [str(start / path.relative_to(where)) for path in files]
    return []
