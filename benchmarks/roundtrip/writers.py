"""Who writes a table to a file in this process: csv, json, pandas, Polars, DuckDB, PyArrow, SQLite, deltalake."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.roundtrip.values import EVERY, PLAIN, Values


@dataclass(frozen=True)
class Writer:
    """Something that writes a table to a file.

    Attributes:
        file: the name of what it writes.
        write: the table by column to the path.
        kinds: of the values that it can write.
        is_text: whether the file has no types; then an empty text is no value, and NaN may be none.
        nothing: what it writes where there is no value, if nobody can tell that from a text.
        point: what stands before decimals, where numbers may stay text.
    """

    file: str
    write: Callable[[dict[str, Values], Path], None]
    kinds: tuple[str, ...]
    is_text: bool = False
    nothing: str = ""
    point: str = "."


def _csv_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else value


def _write_csv(delimiter: str, quoting: Any = csv.QUOTE_MINIMAL) -> Callable[[dict[str, Values], Path], None]:
    def write(table: dict[str, Values], path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as stream:
            out = csv.writer(stream, delimiter=delimiter, quoting=quoting)
            out.writerow(table)
            out.writerows([_csv_text(value) for value in row] for row in zip(*table.values(), strict=True))

    return write


def pandas_frame(table: dict[str, Values]) -> pd.DataFrame:
    """A table for pandas, without types of its own."""
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})


def _write_json(table: dict[str, Values], path: Path) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    text = json.dumps(rows, default=str, ensure_ascii=False)
    path.write_text(text if path.suffix == ".json" else "".join(json.dumps(row, default=str) + "\n" for row in rows), encoding="utf-8")


def arrow_table(table: dict[str, Values]) -> pa.Table:
    """A table for Arrow; whole numbers beyond 64 bits with a sign are unsigned."""
    arrays = {}
    for name, values in table.items():
        is_unsigned = any(isinstance(v, int) and not isinstance(v, bool) and v > 2**63 - 1 for v in values)
        arrays[name] = pa.array(values, pa.uint64() if is_unsigned else None)
    return pa.table(arrays)


def _write_sqlite(table: dict[str, Values], path: Path) -> None:
    with sqlite3.connect(path) as connection:
        names = ", ".join('"' + name.replace('"', '""') + '"' for name in table)
        connection.execute(f"CREATE TABLE t ({names})")
        rows = (
            [v.isoformat(" ") if isinstance(v, datetime) else str(v) if isinstance(v, (date, Decimal)) else v for v in row]
            for row in zip(*table.values(), strict=True)
        )
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(table))})", rows)
    connection.close()


def _write_delta(table: dict[str, Values], path: Path) -> None:
    import deltalake

    deltalake.write_deltalake(str(path), arrow_table(table))


def _write_duckdb(table: dict[str, Values], path: Path) -> None:
    import duckdb

    rows = arrow_table(table)  # noqa: F841  # DuckDB finds it by its name
    kind = "(FORMAT parquet)" if path.suffix == ".parquet" else "(HEADER)"
    duckdb.sql(f"COPY (SELECT * FROM rows) TO '{path}' {kind}")


SQLITE_KINDS = ("integers", "small integers", "floats", "texts", "words", "codes", "digits", "dates", "times", "bytes", "nothing")
FILE_WRITERS: Mapping[str, Writer] = {
    "csv": Writer("t.csv", _write_csv(","), PLAIN, True),
    "csv, quoted": Writer("t.csv", _write_csv(",", csv.QUOTE_ALL), PLAIN, True),
    "csv, semicolons": Writer("t.csv", _write_csv(";"), PLAIN, True),
    "csv, tabs": Writer("t.tsv", _write_csv("\t"), PLAIN, True),
    "pandas csv": Writer("t.csv", lambda table, path: pandas_frame(table).to_csv(path), PLAIN, True),
    "polars csv": Writer("t.csv", lambda table, path: pl.from_arrow(arrow_table(table)).write_csv(path), PLAIN, True),  # type: ignore[union-attr]
    "duckdb csv": Writer("t.csv", _write_duckdb, PLAIN, True),
    "json lines": Writer("t.jsonl", _write_json, (*PLAIN, "lists", "structs")),
    "json array": Writer("t.json", _write_json, (*PLAIN, "lists", "structs")),
    "pyarrow parquet": Writer("t.parquet", lambda table, path: pq.write_table(arrow_table(table), path), EVERY),
    "polars parquet": Writer("t.parquet", lambda table, path: pl.from_arrow(arrow_table(table)).write_parquet(path), EVERY),  # type: ignore[union-attr]
    "duckdb parquet": Writer("t.parquet", _write_duckdb, tuple(kind for kind in EVERY if kind != "nothing")),
    "sqlite": Writer("t.db", _write_sqlite, SQLITE_KINDS),
    "sqlite, adbc": Writer("t.db", _write_sqlite, SQLITE_KINDS),
    "delta": Writer("t", _write_delta, tuple(kind for kind in PLAIN if kind not in ("unsigned", "nothing"))),
}
