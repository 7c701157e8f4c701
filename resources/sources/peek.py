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
from lakeloop.rows.conform import parse_column
from lakeloop.rows.stacking import stack_tables
from lakeloop.rows.types import schema_of
from lakeloop.spec.tables import FILE, DatabaseSource, DeltaTableSource, Files, PythonFunction, TableSpec
from resources.lake.tables import require_usable
from resources.sources.csv_look import look_at_lines
from resources.sources.database import DatabaseReader
from resources.sources.files import (
    call_function,
    cast_nulls_to_text,
    decompress,
    format_of,
    number_rows,
    read_file,
    resolve_files,
)

if TYPE_CHECKING:
    import pyarrow as pa

ENOUGH_ROWS = 1_000_000
"""Rows to read, in whole files: more of them hardly change a profile, and so many take seconds."""


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


def source_entry(given: str, folder: Path, project: Path) -> dict[str, Any]:
    """The entry under `source:` for what a person names: a file, a folder, a pattern, a package's file or a Delta table.

    Args:
        given: a path, relative to the working directory; `package:<package>/<path>`; or the URL of a Delta table.
        folder: of the definition. Inside the project, a path is written relative to it, so that the project can be moved.
        project: root of the project.

    Raises:
        DataError: nothing is there, or nothing that can be read.
    """
    if given.startswith("package:"):
        return _with_options({"files": given}, folder)
    if "://" in given:
        return {"delta": given}
    path = Path(given).expanduser().absolute()
    if (path / "_delta_log").is_dir():
        return {"delta": _relative(path, folder, project)}
    if path.is_dir():
        return _with_options({"files": _relative(_pattern(path), folder, project)}, folder)
    if not path.exists() and not any(c in given for c in "*?["):
        raise DataError(f"source: no file or folder {given!r} in {Path.cwd()}")
    packaged = None if path.is_relative_to(project) else _in_package(path)
    return _with_options({"files": packaged or _relative(path, folder, project)}, folder)


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
        rows = read_file(file, source, {})
        parts.append(rows.append_column(FILE, pa.repeat(file.label, rows.num_rows)))
        if sum(part.num_rows for part in parts) >= ENOUGH_ROWS:
            break
    rows = cast_nulls_to_text(stack_tables(parts))
    return SourceSample(rows, len(files), len(parts) < len(files), format_of(files[0], source) == "csv")


def parse_sample(table: TableSpec, sample: SourceSample) -> pa.Table:
    """Parse a sample into the types that a table declares; a value that can't be parsed is null, as it would be quarantined."""
    import pyarrow as pa

    columns = {name: parse_column(sample.rows, name, column) for name, column in table.columns.items()}
    return pa.table(columns, schema=schema_of(table.columns))


def _peek_delta(source: DeltaTableSource, folder: Path) -> SourceSample:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    url = source.delta if "://" in source.delta else str((folder / source.delta).resolve())
    require_usable(url)
    try:
        table = DeltaTable(url)
    except TableNotFoundError as error:
        raise DataError(f"no Delta table at {source.delta}") from error
    rows = table.to_pyarrow_dataset().head(ENOUGH_ROWS)
    if rows.num_rows == 0:
        raise DataError(f"{source.delta}: wanted at least one row, found none")
    return SourceSample(rows, 1, rows.num_rows == ENOUGH_ROWS, False)


def _pattern(folder: Path) -> Path:
    """The pattern that matches a folder's data files: those with its most frequent extension."""
    for pattern in ("*", "**/*"):
        extensions = Counter(
            "".join(p.suffixes[-2:] if p.suffix in (".gz", ".zip", ".zst") else p.suffixes[-1:])
            for p in folder.glob(pattern)
            if p.is_file()
        )
        known = [
            (extension, n)
            for extension, n in extensions.most_common()
            if extension.split(".")[1:] and f".{extension.split('.')[1]}".lower() in _KNOWN
        ]
        if known:
            return folder / f"{pattern}{known[0][0]}"
    raise DataError(f"source: the folder {folder} has no CSV, Parquet or JSON lines file")


_KNOWN = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson", ".json")


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


def _with_options(source: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Add the options that a CSV file's first lines ask for."""
    return {**source, **look_at_source(Files.model_validate(source), folder)[0]}


def look_at_source(spec: Files, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The options that the first CSV file of a source asks for, and what to tell of them; nothing for other files."""
    first = resolve_files(spec, folder)[0]
    if format_of(first, spec) != "csv":
        return {}, []
    for name, data in decompress(first, spec):
        return look_at_lines(data, name or first.shown)
    return {}, []
