"""Files (CSV, JSON lines, Parquet, workbooks; plain, gzip, zip, zstd) and Python functions as sources, read without changing a value."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import time
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lakeloop.errors import DataError, nearest
from lakeloop.python_code import load_reference
from lakeloop.rows.landing_types import FOLDER_TEXT, land_columns
from lakeloop.rows.stacking import cast_to_doubles, stack_tables
from lakeloop.spec.tables import FILE, PARTITION, ROW, Column, Files
from resources.sources.csv_rows import read_csv
from resources.sources.json_rows import read_json
from resources.sources.parquet_rows import read_parquet
from resources.sources.workbook import OTHER_WORKBOOKS, read_workbook

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".xlsx": "xlsx", ".xlsm": "xlsx",
}  # fmt: skip
COMPRESSIONS = (".gz", ".zip", ".zst")
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What writers of folders such as `region=north` write where there is no value."""
_ZST_BYTES = 1 << 20
"""Bytes passed to a decompressor at a time: those after the end of a frame are copied."""
SETTLED_S = 2.0
"""A file that was changed longer ago than the coarsest clock of a file system ticks is told from a changed one by its time and size."""


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: its path, its name in the lake, and the hash of its bytes."""

    path: Path
    label: str
    digest: str

    @property
    def shown(self) -> str:
        """Its name in messages: its label, or the whole path where that is absolute."""
        return str(self.path) if str(self.path) == f"{self.path.anchor}{self.label}" else self.label


def find_paths(spec: Files, base: Path) -> list[tuple[Path, str]]:
    """Find the files that a source names at present, as (path, label), sorted by label.

    Raises:
        DataError: a pattern matches nothing, or a package isn't installed.
    """
    paths: dict[str, Path] = {}
    for pattern in spec.files:
        if pattern.startswith("package:"):
            package, _, inside = pattern.removeprefix("package:").partition("/")
            module = importlib.util.find_spec(package)
            if module is None or not module.submodule_search_locations:
                raise DataError(f"{pattern}: the package {package!r} isn't installed")
            root = Path(next(iter(module.submodule_search_locations)))
            matches = {f"package:{package}/{path.relative_to(root)}": path for path in root.glob(inside)}
            where = f"package {package}"
        else:
            root = (Path(pattern).anchor and Path(Path(pattern).anchor)) or base
            relative = str(Path(pattern).relative_to(root)) if Path(pattern).is_absolute() else pattern
            matches = _match(root, Path(relative).parts)
            where = f"the definition's folder {base.name}"
        matches = {label: path for label, path in matches.items() if path.is_file() and not _is_hidden(label, pattern)}
        if not matches:
            raise DataError(f"no file matches {pattern!r} in {where}")
        paths |= matches
    return [(paths[label], label) for label in sorted(paths)]


def _is_hidden(label: str, pattern: str) -> bool:
    """Whether a wildcard has matched a hidden folder or file, as editors and notebooks keep copies in."""
    named = set(Path(pattern.removeprefix("package:")).parts)
    return any(part.startswith(".") and part not in (".", "..") and part not in named for part in Path(label).parts)


def _match(root: Path, parts: Sequence[str]) -> dict[str, Path]:
    """The paths that match a pattern below a folder, by label.

    Where nothing does, the longest beginning of the pattern that exists as it is written counts as a name: folders and files may have brackets
    in theirs.
    """
    # `..` isn't allowed in a glob, so the fixed beginning of the pattern is followed as a path.
    fixed = next((place for place, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
    matches = _match_after(root, parts, fixed)
    if matches:
        return matches
    existing = next((place for place in range(len(parts)) if not Path(root, *parts[: place + 1]).exists()), len(parts))
    return _match_after(root, parts, existing) if existing > fixed else {}


def _match_after(root: Path, parts: Sequence[str], fixed: int) -> dict[str, Path]:
    """The paths that match a pattern below a folder, by label; its first `fixed` parts are names."""
    start = Path(root, *parts[:fixed])
    paths = start.glob(str(Path(*parts[fixed:]))) if fixed < len(parts) else [start]
    return {str(Path(*parts[:fixed], path.relative_to(start))): path for path in paths}


def resolve_files(spec: Files, base: Path) -> list[SourceFile]:
    """Find the files that a source names at present, with the hash of their bytes, sorted by label."""
    return [SourceFile(path, label, _digest(path)) for path, label in find_paths(spec, base)]


def read_file(
    file: SourceFile,
    spec: Files,
    columns: Mapping[str, Column],
    *,
    landed: Mapping[str, pa.DataType] | None = None,
    optional: Collection[str] = (),
    may_be_empty: bool = False,
    most_bytes: int | None = None,
) -> pa.Table:
    """Read one file: CSV and workbooks as text, Parquet and JSON (lines, or an array of objects) in their own types, plus `_row`.

    A column without any value is of type null, unless the file tells its type. JSON has one type of number, so integers that only a
    declared double is read from become doubles at once.

    Args:
        file: to read.
        spec: the source that it belongs to.
        columns: the declared ones.
        landed: the types in which columns have landed before. Those of JSON that have landed as integers stay integers.
        optional: columns that the file may lack.
        may_be_empty: whether it may have no row, as one file among several.
        most_bytes: of text, to read only the lines within so many bytes.

    Raises:
        DataError: the file is broken, empty, wrongly encoded, or lacks a column that a declared one is read from; the message names the
            file and the place.
    """
    import pyarrow as pa

    kind = format_of(file, spec)
    parts: dict[str, pa.Table] = {}
    for name, data in decompress(file, spec):
        where = file.shown if name is None else f"{file.shown}!{name}"
        if most_bytes is not None and kind in ("csv", "jsonl") and len(data) > most_bytes:
            data = data[: data.rfind(b"\n", 0, most_bytes) + 1 or None]
        try:
            parts[where] = _READERS[kind](data, spec, where, landed or {})
        except pa.ArrowException as error:
            raise DataError(f"{where} can't be read as {kind}", detail=error) from error
    _require_alike(parts)
    rows = stack_tables(list(parts.values()), f"{file.shown}: ")
    if rows.num_rows == 0 and not may_be_empty:
        raise DataError(f"{file.shown}: wanted at least one row, found none")
    if kind == "jsonl":
        integers = {name for name, kind in (landed or {}).items() if pa.types.is_int64(kind)}
        for name in _declared_doubles(columns) - integers:
            place = rows.schema.get_field_index(name)
            if place >= 0 and pa.types.is_int64(rows.schema.field(place).type):
                rows = rows.set_column(place, name, cast_to_doubles(rows.column(place)))
    needed = dict.fromkeys(part for name, column in columns.items() for part in (column.source or [name]) if part not in (FILE, ROW))
    rows = _add_folder_columns(rows, file, needed if columns else None)
    missing = [name for name in needed if name not in rows.column_names and name not in optional]
    if missing:
        raise DataError(f"{file.shown}: no column {missing[0]!r}; {nearest(missing[0], rows.column_names)}")
    return number_rows(rows, file.shown)


def _add_folder_columns(rows: pa.Table, file: SourceFile, needed: Collection[str] | None) -> pa.Table:
    """Add the columns that stand in the names of folders (`region=north`), those that are needed; all if that isn't known yet."""
    import pyarrow as pa

    for part in Path(file.label).parts[:-1]:
        name, equals, value = part.partition("=")
        if not equals or not name or name in rows.column_names or (needed is not None and name not in needed):
            continue
        text = pa.scalar(None if value == NO_VALUE else unquote(value), pa.string())
        rows = rows.append_column(pa.field(name, pa.string(), metadata=FOLDER_TEXT), pa.repeat(text, rows.num_rows))
    return rows


OWN_COLUMNS = (FILE, ROW, "_landing", "_landed_order", "ingested_at", PARTITION, "_current", "_position")
"""Columns that landing writes beside those of a source, or that reading them back adds."""


def number_rows(rows: pa.Table, where: str) -> pa.Table:
    """Number rows from 1, in a column.

    Raises:
        DataError: a column has no name, or that of one that landing writes.
    """
    import pyarrow as pa

    unusable = next((name for name in rows.column_names if not name.strip() or "\0" in name), None)
    if unusable is not None:
        raise DataError(f"{where}: wanted a name for each column, found {unusable!r}; rename it at the source")
    taken = next((name for name in rows.column_names if name.lower() in OWN_COLUMNS), None)
    if taken is not None:
        raise DataError(f"{where}: a column is named {taken!r}, which the platform uses for its own; rename it at the source")
    return rows.append_column(ROW, pa.array(range(1, rows.num_rows + 1), pa.int64()))


def cast_nulls_to_text(rows: pa.Table) -> pa.Table:
    """Cast columns of type null, which hold no value, to text."""
    import pyarrow as pa

    return rows.cast(pa.schema([f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in rows.schema], rows.schema.metadata))


def call_function(reference: str, base: Path, landed: Mapping[str, pa.DataType] | None = None) -> pa.Table:
    """Call the function of a source, which returns a pyarrow Table, a Polars or a pandas DataFrame.

    Args:
        reference: `module:function`, or `file.py:function` with a file beside the definition.
        base: the definition's folder.
        landed: the types in which columns have landed before.

    Raises:
        DataError: there is no such function, or it returns something else, no rows, or values that can't be stored.
    """
    import pyarrow as pa

    result: Any = load_reference(reference, base)()
    try:
        if hasattr(result, "to_arrow"):
            result = result.to_arrow()
        elif type(result).__module__.startswith("pandas"):
            result = pa.Table.from_pandas(result, preserve_index=False)
    except Exception as error:  # what pandas, Polars and pyarrow raise has no common base
        raise DataError(f"source {reference}: a column has values of several types, or of one that Arrow lacks", detail=error) from error
    if not isinstance(result, pa.Table):
        raise DataError(f"source {reference}: wanted a pyarrow Table, a Polars or a pandas DataFrame, found a {type(result).__name__}")
    if result.num_rows == 0:
        raise DataError(f"source {reference}: wanted at least one row, found none")
    return number_rows(land_columns(result, f"source {reference}", landed), f"source {reference}")


def format_of(file: SourceFile, spec: Files) -> str:
    """The format of a file, by its declaration or its name: csv, parquet, jsonl or xlsx.

    Raises:
        DataError: neither determines it.
    """
    return _format_and_compression(file, spec)[0]


def _digest(path: Path) -> str:
    """The hash of a file's bytes; a file that the system says is unchanged isn't read again, since sensors ask for it every half minute."""
    stat = path.stat()
    mark = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    # Just written, it may be written again within the same tick of the file system's clock, and show the same mark.
    return _known_digest(path, mark) if time.time() - stat.st_ctime > SETTLED_S else _read_digest(path)


@lru_cache(maxsize=100_000)
def _known_digest(path: Path, mark: tuple[int, ...]) -> str:
    return _read_digest(path)


def _read_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _format_and_compression(file: SourceFile, spec: Files) -> tuple[str, str | None]:
    suffixes = [s.lower() for s in file.path.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else None
    kind = (
        spec.format or (FORMATS.get(suffixes[-1]) if suffixes else None) or (_format_within(file.path) if compression == ".zip" else None)
    )
    other = OTHER_WORKBOOKS.get(suffixes[-1]) if suffixes and spec.format is None else None
    if other is not None:
        raise DataError(f"{file.shown}: {other} isn't read; open it and save it as Excel workbook (.xlsx), or save the sheet as CSV")
    if kind is None:
        raise DataError(f"{file.shown}: its format can't be determined from its name; set format: csv, parquet, jsonl or xlsx")
    return kind, compression


def _format_within(path: Path) -> str | None:
    """The one format that the members of a zip have by their names; None where there are several or none."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [Path(name) for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile):
        return None
    formats = {FORMATS.get(member.suffix.lower()) for member in members if not member.name.lower().startswith((".", "readme"))}
    return next(iter(formats)) if len(formats) == 1 else None


def decompress(file: SourceFile, spec: Files) -> Iterable[tuple[str | None, bytes]]:
    """The decompressed contents, as (member, bytes): one per member of a zip, else one without a name."""
    import zstandard

    _, compression = _format_and_compression(file, spec)
    try:
        if compression == ".zip":
            with zipfile.ZipFile(file.path) as archive:
                names = _data_members(archive.namelist(), file, spec)
                return [(name if len(names) > 1 else None, archive.read(name)) for name in names]
        if compression == ".gz":
            with gzip.open(file.path) as stream:
                return [(None, stream.read())]
        if compression == ".zst":
            return [(None, _decompress_frames(file.path.read_bytes()))]
    except (RuntimeError, NotImplementedError) as error:  # of an encrypted member, or one compressed in another way
        raise DataError(f"{file.shown}: the {compression} file can't be opened: {error}") from error
    except (EOFError, OSError, zipfile.BadZipFile, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{file.shown}: the {compression} file is truncated or broken: {error}") from error
    return [(None, file.path.read_bytes())]


def _data_members(members: Sequence[str], file: SourceFile, spec: Files) -> list[str]:
    """The members of a zip that hold data: all if just one is a file or `format:` is stated, else those with the ending of a data format.

    Raises:
        DataError: there is none.
    """
    names = sorted(n for n in members if not n.endswith("/") and not n.startswith("__MACOSX") and not Path(n).name.startswith("."))
    if not names:
        raise DataError(f"{file.shown}: the zip file is empty")
    if len(names) == 1:
        return names
    kind = format_of(file, spec)
    data = [name for name in names if FORMATS.get(Path(name).suffix.lower()) == kind and not name.lower().endswith("readme.txt")]
    if not data:
        raise DataError(f"{file.shown}: wanted a member in {kind}, found {', '.join(names[:5])}")
    return data


def _require_alike(parts: Mapping[str, pa.Table]) -> None:
    """Refuse the members of a zip unless they are parts of one table: one has all columns that another has.

    Raises:
        DataError: with the members and a column that only one has.
    """
    (first, rows), *others = parts.items()
    for name, other in others:
        ours, theirs = set(rows.column_names), set(other.column_names)
        if not (ours <= theirs or theirs <= ours):
            raise DataError(
                f"{name} isn't of the same table as {first}: only one has {sorted(ours - theirs)[0]!r}, only the other "
                f"{sorted(theirs - ours)[0]!r}; unpack them, and define a table for each"
            )


def _decompress_frames(data: bytes) -> bytes:
    """The contents of a zst file: one frame, or several as `pzstd` and appending write them."""
    import zstandard

    parts, at, view = [], 0, memoryview(data)
    while at < len(data) or not at:
        frame = zstandard.ZstdDecompressor().decompressobj()
        while not frame.eof:
            if at >= len(data):
                raise EOFError("the stream ends early")
            piece = view[at : at + _ZST_BYTES]
            parts.append(frame.decompress(piece))
            at += len(piece) - len(frame.unused_data)
    return b"".join(parts)


def _declared_doubles(columns: Mapping[str, Column]) -> set[str]:
    """The delivered columns that only declared doubles are read from."""
    kinds: dict[str, set[str]] = {}
    for name, column in columns.items():
        for part in column.source or [name]:
            kinds.setdefault(part, set()).add(column.type)
    return {part for part, types in kinds.items() if types == {"double"}}


_READERS = {"csv": read_csv, "jsonl": read_json, "parquet": read_parquet, "xlsx": read_workbook}
