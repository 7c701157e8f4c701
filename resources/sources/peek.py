"""A look at a source before it has landed: enough rows to draft a definition from, and the source as a definition states it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError
from lakeloop.rows.conform import parse_time
from lakeloop.rows.stacking import stack_tables
from lakeloop.rows.types import schema_of
from lakeloop.spec.tables import FILE, DatabaseSource, DeltaTableSource, Files, PythonFunction, TableSpec
from resources.lake.adopted import adopted_url, open_adopted
from resources.sources.csv_look import look_at_lines
from resources.sources.database import DatabaseReader
from resources.sources.files import (
    COMPRESSIONS,
    FORMATS,
    call_function,
    cast_nulls_to_text,
    decompress,
    format_of,
    number_rows,
    read_file,
    resolve_files,
)
from resources.sources.workbook_look import look_at_workbook, require_same

if TYPE_CHECKING:
    import pyarrow as pa

ENOUGH_ROWS = 1_000_000
"""Rows to read, in whole files: more of them hardly change a profile, and so many take seconds."""
LOOK_FILES = 20
"""Files whose first lines are looked at."""


@dataclass(frozen=True)
class SourceSample:
    """The first rows of a source.

    Attributes:
        rows: as they would land.
        files: how many files the source has.
        is_partial: whether there are more rows.
        is_text: whether the columns are text, without types of their own.
    """

    rows: pa.Table
    files: int
    is_partial: bool
    is_text: bool


def source_entry(given: str, folder: Path, project: Path, sheet: str | None = None) -> dict[str, Any]:
    """The entry under `source:` for what a person names: a file, a folder, a pattern, a package's file or a Delta table.

    Args:
        given: a path, relative to the working directory; `package:<package>/<path>`; or the URL of a Delta table.
        folder: of the definition. Inside the project, a path is written relative to it, so that the project can be moved.
        project: root of the project.
        sheet: of a workbook, instead of the first that has values.

    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    if given.startswith("package:"):
        return _with_options({"files": given}, folder, sheet)
    if "://" in given:
        return {"delta": given}
    path = Path(given).expanduser().absolute()
    if (path / "_delta_log").is_dir():
        return {"delta": _relative(path, folder, project)}
    if path.is_dir():
        patterns = [_relative(pattern, folder, project) for pattern in _patterns(path)]
        return _with_options({"files": patterns[0] if len(patterns) == 1 else patterns}, folder, sheet)
    if not path.exists() and not any(c in given for c in "*?["):
        raise DataError(f"source: no file or folder {given!r} in {Path.cwd()}")
    packaged = None if path.is_relative_to(project) else _in_package(path)
    return _with_options({"files": packaged or _relative(path, folder, project)}, folder, sheet)


def peek(source: Files | PythonFunction | DeltaTableSource | DatabaseSource, folder: Path) -> SourceSample:
    """Read a source's first rows as they would land.

    Raises:
        DataError: the source can't be read.
        ServiceUnavailable: a database doesn't answer.
    """
    import pyarrow as pa

    if isinstance(source, DatabaseSource):
        rows = number_rows(DatabaseReader(source, folder).head(ENOUGH_ROWS), source.table or str(source.query))
        return SourceSample(rows, 1, rows.num_rows >= ENOUGH_ROWS, False)
    if isinstance(source, PythonFunction):
        return SourceSample(cast_nulls_to_text(call_function(source.function, folder)), 1, False, False)
    if isinstance(source, DeltaTableSource):
        return _peek_delta(source, folder)
    files = resolve_files(source, folder)
    parts: list[pa.Table] = []
    for file in files:
        rows = read_file(file, source, {}, may_be_empty=len(files) > 1)
        parts.append(rows.append_column(FILE, pa.repeat(file.label, rows.num_rows)))
        if sum(part.num_rows for part in parts) >= ENOUGH_ROWS:
            break
    rows = cast_nulls_to_text(stack_tables(parts))
    if not rows.num_rows:
        raise DataError(f"{source.files[0]}: wanted at least one row, found none in {len(parts)} files")
    return SourceSample(rows, len(files), len(parts) < len(files), format_of(files[0], source) in ("csv", "xlsx"))


def parse_sample(table: TableSpec, sample: SourceSample) -> pa.Table:
    """Parse a sample into the types that a table declares, without the rows that go to quarantine for want of a value.

    In a nullable column a value that can't be parsed is null.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {name: parse_time(sample.rows, name, table) for name in table.columns}
    rows = pa.table(columns, schema=schema_of(table.columns))
    for name, column in table.columns.items():
        if not column.nullable:
            rows = rows.filter(pc.is_valid(rows[name]))
    return rows


def _peek_delta(source: DeltaTableSource, folder: Path) -> SourceSample:
    import pyarrow as pa

    adopted = open_adopted(adopted_url(source, folder), source.delta)
    # What no column type holds isn't read either.
    readable = [name for name, kind in adopted.types.items() if not pa.types.is_nested(kind)]
    rows = adopted.read(readable, enough=ENOUGH_ROWS)
    if rows.num_rows == 0:
        raise DataError(f"{source.delta}: wanted at least one row, found none")
    others = [pa.nulls(rows.num_rows, kind) if name not in readable else rows[name] for name, kind in adopted.types.items()]
    return SourceSample(pa.table(others, names=list(adopted.types)), 1, rows.num_rows >= ENOUGH_ROWS, False)


def _patterns(folder: Path) -> list[Path]:
    """The patterns that match a folder's data files: those of its most frequent format, whatever they are compressed by.

    Raises:
        DataError: there is no data file.
    """
    for pattern in ("*", "**/*"):
        endings = Counter(ending for path in _visible(folder, pattern) if (ending := _ending(path)))
        formats: Counter[str] = Counter()
        for ending, count in endings.items():
            formats[FORMATS[f".{ending.split('.')[1].lower()}"]] += count
        if formats:
            kind = formats.most_common(1)[0][0]
            return [folder / f"{pattern}{ending}" for ending in sorted(endings) if FORMATS[f".{ending.split('.')[1].lower()}"] == kind]
    raise DataError(f"source: the folder {folder} has no CSV, Parquet, JSON lines or Excel (.xlsx) file")


def unread_files(spec: Files, folder: Path, given: str) -> list[str]:
    """The names of a folder's files that a source doesn't read."""
    root = Path(given).expanduser()
    if not root.is_dir():
        return []
    read = {file.path.absolute() for file in resolve_files(spec, folder)}
    return sorted(str(path.relative_to(root)) for path in _visible(root, "**/*") if path.absolute() not in read)


def _visible(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder that aren't hidden, nor in a hidden folder."""
    paths = (path for path in folder.glob(pattern) if path.is_file())
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _ending(path: Path) -> str:
    """The ending of a data file, that of its compression included, as it is written; empty for another file."""
    suffixes = path.suffixes[-2:] if path.suffix.lower() in COMPRESSIONS else path.suffixes[-1:]
    return (
        "".join(suffixes)
        if suffixes and suffixes[0].lower() in FORMATS and (len(suffixes) == 1 or suffixes[-1].lower() in COMPRESSIONS)
        else ""
    )


def _in_package(path: Path) -> str | None:
    """`package:<package>/<path>` for a file of an installed package; None for another."""
    for entry in map(Path, sys.path):
        if not entry.is_absolute() or not path.is_relative_to(entry):
            continue
        package, *rest = path.relative_to(entry).parts
        module = importlib.util.find_spec(package) if package.isidentifier() and rest else None
        if module is not None and str(entry / package) in (module.submodule_search_locations or ()):
            return f"package:{package}/{'/'.join(rest)}"
    return None


def _relative(path: Path, folder: Path, project: Path) -> str:
    if path.is_relative_to(project):
        return os.path.relpath(path, folder).replace(os.sep, "/")
    return str(path)


def _with_options(source: dict[str, Any], folder: Path, sheet: str | None) -> dict[str, Any]:
    """Add the options that a CSV file's first lines, or a workbook, ask for."""
    given = {**source, "sheet": sheet} if sheet else source
    return {**given, **look_at_source(Files.model_validate(given), folder)[0]}


def look_at_source(spec: Files, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The options that the CSV files and workbooks of a source ask for, and what to tell of them; nothing for other files.

    Raises:
        DataError: they are separated by different characters, or written in different encodings, or are workbooks that need other options.
    """
    if spec.is_workbook:
        return _look_at_workbooks(spec, folder)
    options_of: dict[str, tuple[dict[str, Any], list[str]]] = {}
    encodings: dict[str | None, str] = {}
    for file in resolve_files(spec, folder)[:LOOK_FILES]:
        if format_of(file, spec) != "csv":
            continue
        name, data = next(iter(decompress(file, spec)))
        options_of[file.shown] = options, _ = look_at_lines(data, name or file.shown)
        if not data.isascii():  # what is ASCII is the same in all that are guessed
            encodings.setdefault(options.get("encoding"), file.shown)
    if not options_of:
        return {}, []
    if len(encodings) > 1:
        both = ", ".join(f"{file} is {encoding or 'UTF-8'}" for encoding, file in list(encodings.items())[::-1])
        raise DataError(f"{both}: wanted one encoding; save them alike, or define a table for each")
    (first, (options, notes)), *others = options_of.items()
    for name, (other, told) in others:
        if "encoding" in other and "encoding" not in options:
            options, notes = {"encoding": other["encoding"], **options}, [f"{name}: {told[0]}", *notes]
        if other.get("delimiter") != options.get("delimiter"):
            shown = [repr(o.get("delimiter", ",")) for o in (options, other)]
            raise DataError(
                f"{name} is separated by {shown[1]}, {first} by {shown[0]}: they make two tables; name one of them, or its folder"
            )
    return options, notes


def _look_at_workbooks(spec: Files, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The options of the workbooks of a source, and what to tell of the first."""
    looks: list[tuple[str, dict[str, Any], list[str]]] = []
    for file in resolve_files(spec, folder)[:LOOK_FILES]:
        if format_of(file, spec) == "xlsx":
            name, data = next(iter(decompress(file, spec)))
            looks.append((name or file.shown, *look_at_workbook(data, name or file.shown, spec.sheet)))
    for name, options, _ in looks[1:]:
        require_same(looks[0][:2], (name, options))
    return (looks[0][1], looks[0][2]) if looks else ({}, [])
