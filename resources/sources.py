"""Sources: files as they are (CSV, JSON lines, Parquet; plain, gzip, zip, zstd) and Python functions, read without changing a value."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeloop.errors import DataError, nearest
from lakeloop.spec import FILE, ROW, Column, Files

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
_COMPRESSIONS = (".gz", ".zip", ".zst")


@dataclass(frozen=True)
class SourceFile:
    """A file of a source: where it is, what it is called in messages and in the lake, and the hash of its bytes."""

    path: Path
    label: str
    digest: str


def find_paths(spec: Files, base: Path) -> list[tuple[Path, str]]:
    """The files that a source names now, as (path, label), sorted by label.

    Raises:
        DataError: a pattern matches nothing, or a package isn't installed.
    """
    found: dict[str, Path] = {}
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
            # `..` isn't a glob; the fixed beginning of the pattern is walked as a path.
            parts = Path(relative).parts
            fixed = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts) - 1)
            start = Path(root, *parts[:fixed])
            matches = {str(Path(*parts[:fixed], path.relative_to(start))): path for path in start.glob(str(Path(*parts[fixed:])))}
            where = f"the definition's folder {base.name}"
        matches = {label: path for label, path in matches.items() if path.is_file()}
        if not matches:
            raise DataError(f"no file matches {pattern!r} in {where}")
        found |= matches
    return [(found[label], label) for label in sorted(found)]


def resolve_files(spec: Files, base: Path) -> list[SourceFile]:
    """The files that a source names now, with the hash of their bytes, sorted by label."""
    return [SourceFile(path, label, _digest(path)) for path, label in find_paths(spec, base)]


def read_file(file: SourceFile, spec: Files, columns: Mapping[str, Column]) -> pa.Table:
    """Read one file as it is: CSV as text, Parquet and JSON lines in their own types, plus `_row`.

    Raises:
        DataError: the file is broken, empty, wrongly encoded, or lacks a column that a declared one is read from; the message names the
            file and the place.
    """
    import pyarrow as pa

    kind = format_of(file, spec)
    parts = []
    for name, data in decompressed(file, spec):
        where = file.label if name is None else f"{file.label}!{name}"
        try:
            parts.append(_READERS[kind](data, spec, where))
        except pa.ArrowInvalid as error:
            raise DataError(f"{where} can't be read as {kind}", told=error) from error
    rows = pa.concat_tables(parts, promote_options="default")
    if rows.num_rows == 0:
        raise DataError(f"{file.label}: wanted at least one row, found none")
    needed = dict.fromkeys(part for name, column in columns.items() for part in (column.source or [name]) if part not in (FILE, ROW))
    missing = [name for name in needed if name not in rows.column_names]
    if missing:
        raise DataError(f"{file.label}: no column {missing[0]!r}; {nearest(missing[0], rows.column_names)}")
    return rows.append_column(ROW, pa.array(range(1, rows.num_rows + 1), pa.int64()))


def call_function(reference: str, base: Path) -> pa.Table:
    """Call a function source; it returns a pyarrow Table, a Polars or a pandas DataFrame.

    Args:
        reference: `module:function`, or `file.py:function` with a file beside the definition.
        base: the definition's folder.

    Raises:
        DataError: there is no such function, or it returns something else, or no rows.
    """
    import pyarrow as pa

    from lakeloop.python_code import load

    result: Any = load(reference, base)()
    if hasattr(result, "to_arrow"):
        result = result.to_arrow()
    elif type(result).__module__.startswith("pandas"):
        result = pa.Table.from_pandas(result, preserve_index=False)
    if not isinstance(result, pa.Table):
        raise DataError(f"source {reference}: wanted a pyarrow Table, a Polars or a pandas DataFrame, found a {type(result).__name__}")
    if result.num_rows == 0:
        raise DataError(f"source {reference}: wanted at least one row, found none")
    plain = pa.schema(
        [f.with_type(pa.string()) if pa.types.is_large_string(f.type) or pa.types.is_string_view(f.type) else f for f in result.schema]
    )
    return result.cast(plain).append_column(ROW, pa.array(range(1, result.num_rows + 1), pa.int64()))


def format_of(file: SourceFile, spec: Files) -> str:
    """What a file is, by its declaration or its name: csv, parquet or jsonl.

    Raises:
        DataError: neither tells.
    """
    return _kind(file, spec)[0]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]


def _kind(file: SourceFile, spec: Files) -> tuple[str, str | None]:
    suffixes = [s.lower() for s in file.path.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else None
    kind = spec.format or (_FORMATS.get(suffixes[-1]) if suffixes else None)
    if kind is None:
        raise DataError(f"{file.label}: can't tell its format from its name; say format: csv, parquet or jsonl")
    return kind, compression


def decompressed(file: SourceFile, spec: Files) -> Iterable[tuple[str | None, bytes]]:
    """The decompressed contents, as (member, bytes): one per member for a zip, else one of no name."""
    import zstandard

    _, compression = _kind(file, spec)
    try:
        if compression == ".zip":
            with zipfile.ZipFile(file.path) as archive:
                names = sorted(n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX"))
                if not names:
                    raise DataError(f"{file.label}: the zip file is empty")
                return [(name if len(names) > 1 else None, archive.read(name)) for name in names]
        if compression == ".gz":
            with gzip.open(file.path) as stream:
                return [(None, stream.read())]
        if compression == ".zst":
            data = file.path.read_bytes()
            decompressor = zstandard.ZstdDecompressor().decompressobj()
            content = decompressor.decompress(data)
            if not decompressor.eof:
                raise EOFError("the stream ends early")
            return [(None, content)]
    except (EOFError, OSError, zipfile.BadZipFile, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{file.label}: the {compression} file is truncated or broken: {error}") from error
    return [(None, file.path.read_bytes())]


def _read_csv(data: bytes, spec: Files, where: str) -> pa.Table:
    import csv

    import pyarrow as pa
    import pyarrow.csv as pc

    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}: wanted UTF-8, found byte {data[error.start]:#04x} on line {line} (offset {error.start})") from error
    if not data.strip():
        raise DataError(f"{where}: wanted a header line, found an empty file")
    delimiter = "\t" if where.endswith(".tsv") and spec.delimiter == "," else spec.delimiter
    header = next(csv.reader(io.StringIO(data[: data.find(b"\n") + 1 or len(data)].decode()), delimiter=delimiter))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{where}: the header names {twice[0]!r} more than once")
    wrong: list[Any] = []

    def refuse(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        return pc.read_csv(
            io.BytesIO(data),
            read_options=pc.ReadOptions(use_threads=False, block_size=1 << 24),
            parse_options=pc.ParseOptions(delimiter=delimiter, invalid_row_handler=refuse, newlines_in_values=b'"' in data),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                null_values=list(spec.null_values),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                check_utf8=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if wrong:
            row = wrong[0]
            raise DataError(
                f"{where}: row {row.number or '?'}: wanted {row.expected_columns} fields, found {row.actual_columns}"
            ) from error
        raise


def _read_jsonl(data: bytes, spec: Files, where: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.json as pj

    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: wanted UTF-8, found byte {data[error.start]:#04x} on line {data.count(bytes([10]), 0, error.start) + 1}"
        ) from error
    if not data.strip():
        raise DataError(f"{where}: wanted at least one row, found an empty file")
    try:
        # Times stay text: guessing them is the declared columns' business.
        rows = pj.read_json(io.BytesIO(data), read_options=pj.ReadOptions(use_threads=False, block_size=max(1 << 20, len(data) + 1)))
    except pa.ArrowInvalid as error:
        import json

        for number, line in enumerate(data.splitlines(), 1):
            try:
                json.loads(line or b"{}")
            except json.JSONDecodeError as problem:
                raise DataError(f"{where}: line {number} is no JSON: {problem.msg} at column {problem.colno}") from error
        raise DataError(f"{where}: its lines don't make one table", told=error) from error
    for index, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type):
            import json

            texts = [json.loads(line).get(column.name) for line in data.splitlines() if line.strip()]
            rows = rows.set_column(index, column.name, pa.array(texts, pa.string()))
    return rows


def _read_parquet(data: bytes, spec: Files, where: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(pa.BufferReader(data))
    plain = pa.schema(
        [f.with_type(pa.string()) if pa.types.is_large_string(f.type) or pa.types.is_dictionary(f.type) else f for f in rows.schema]
    )
    return rows.cast(plain).replace_schema_metadata(None)


_READERS = {"csv": _read_csv, "jsonl": _read_jsonl, "parquet": _read_parquet}
