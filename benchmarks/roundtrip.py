"""Random tables with hostile values, written by other writers, drafted, landed and read back: equal, quarantined with a reason, or refused.

`python -m benchmarks.roundtrip --count 1000 --state FILE` goes on after the seeds that FILE lists; anything else than those three is printed with
its seed, and makes it exit with 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import sqlite3
import sys
import time as clock
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bringing import bring
from lakeloop.errors import LakeloopError
from lakeloop.spec.tables import TableSpec

Values = list[Any]
INTEGERS = (0, 1, -1, 7, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 0.1, 1.5, -2.25, 1e-300, 1e300, 123456.789, 1 / 3)
ODD_FLOATS = (math.nan, math.inf, -math.inf)
TEXTS = (
    "", " ", "a", "Ä", "名前", "a,b", 'say "hi"', '"', "'", "x;y", "tab\there", "two\nlines", "NA", "-", "null", "007", "1e5", "10E1", "1.204",
    "+4915112345678", "\\N", "C:\\new\\", "#x", "true", "2024-02-30", "01/02/2024", "=1+1", "0x1F", "1_000", "٣", "a\u2028b", "12:30", "Infinity",
)  # fmt: skip
WORDS = ("north", "south", "NA", "east-west", "Müller", "O'Neil")
NAMES = ("v", "Größe (cm)", "名前", "count", "select", "a.b", "x y", "Value", "index", "1st", "n%", "date", "order", "_x")


def _sample(choices: Sequence[Any]) -> Callable[[random.Random, int], Values]:
    return lambda rng, count: [rng.choice(choices) for _ in range(count)]


KINDS: Mapping[str, Callable[[random.Random, int], Values]] = {
    "integers": _sample(INTEGERS),
    "small integers": _sample(range(-5, 6)),
    "unsigned": _sample((0, 1, 255, 2**32, 2**64 - 1)),
    "floats": _sample(FLOATS),
    "odd floats": _sample((*FLOATS, *ODD_FLOATS)),
    "booleans": _sample((True, False)),
    "texts": _sample(TEXTS),
    "words": _sample(WORDS),
    "codes": _sample(("10E1", "1E2", "100", "1000")),
    "digits": _sample(("007", "12", "0", "99")),
    "dates": _sample((date(1, 1, 1), date(1969, 12, 31), date(2024, 2, 29), date(9999, 12, 31))),
    "times": _sample((datetime(1969, 12, 31, 23, 59, 59), datetime(2024, 2, 29, 9, 30), datetime(2024, 3, 31, 2, 30, 0, 1))),
    "zoned times": _sample((datetime(2024, 2, 29, 9, 30, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC))),
    "decimals": _sample((Decimal("1.10"), Decimal("-0.01"), Decimal("12345678901234567.89"))),
    "clock times": _sample((time(0), time(9, 30), time(23, 59, 59, 999_999))),
    "durations": _sample((timedelta(0), timedelta(days=1, microseconds=1), timedelta(seconds=-3))),
    "bytes": _sample((b"", b"abc", b"\xff\x00")),
    "lists": _sample(([], [1, 2], [2**53 + 1])),
    "structs": _sample(({"city": "Bonn", "size": 1}, {"city": "007", "size": 2})),
    "nothing": _sample((None,)),
    # What a workbook holds: numbers are doubles, and days begin with 1900.
    "days": _sample((date(1900, 3, 1), date(1969, 12, 31), date(2024, 2, 29), date(2038, 1, 19))),
    "moments": _sample((datetime(1969, 12, 31, 23, 59, 59), datetime(2024, 2, 29, 9, 30), datetime(2024, 3, 31, 2, 30, 0, 250_000))),
    "clock": _sample((time(0, 0, 1), time(9, 30), time(23, 59, 59))),
    "spans": _sample((timedelta(hours=30), timedelta(days=2, seconds=5), timedelta(minutes=1))),
}
SHEET_KINDS = ("small integers", "floats", "booleans", "texts", "words", "codes", "digits", "nothing", "days", "moments")
PLAIN = tuple(
    kind for kind in KINDS if kind not in ("bytes", "lists", "structs", "durations", "clock times", "days", "moments", "clock", "spans")
)


@dataclass(frozen=True)
class Writer:
    """Something that writes a table to a file.

    Attributes:
        file: the name of what it writes.
        write: the table by column to the path.
        kinds: of the values that it can write.
        is_text: whether the file has no types; then an empty text is no value, and NaN may be none.
    """

    file: str
    write: Callable[[dict[str, Values], Path], None]
    kinds: tuple[str, ...]
    is_text: bool = False


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


def _pandas(table: dict[str, Values]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})


def _write_json(table: dict[str, Values], path: Path) -> None:
    rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    text = json.dumps(rows, default=str, ensure_ascii=False)
    path.write_text(text if path.suffix == ".json" else "".join(json.dumps(row, default=str) + "\n" for row in rows), encoding="utf-8")


def _arrow(table: dict[str, Values]) -> pa.Table:
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

    deltalake.write_deltalake(str(path), _arrow(table))


def _write_duckdb(table: dict[str, Values], path: Path) -> None:
    import duckdb

    rows = _arrow(table)  # noqa: F841  # DuckDB finds it by its name
    kind = "(FORMAT parquet)" if path.suffix == ".parquet" else "(HEADER)"
    duckdb.sql(f"COPY (SELECT * FROM rows) TO '{path}' {kind}")


def _write_openpyxl(table: dict[str, Values], path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Data")
    sheet.append(list(table))
    for row in zip(*table.values(), strict=True):
        sheet.append(row)
    book.save(path)


def _write_xlsxwriter(table: dict[str, Values], path: Path) -> None:
    import xlsxwriter

    with xlsxwriter.Workbook(str(path), {"default_date_format": "yyyy-mm-dd hh:mm:ss", "remove_timezone": False}) as book:
        sheet, span, clock_format = (
            book.add_worksheet(),
            book.add_format({"num_format": "[h]:mm:ss"}),
            book.add_format({"num_format": "hh:mm:ss"}),
        )
        for column, (name, values) in enumerate(table.items()):
            sheet.write_string(0, column, name)
            for row, value in enumerate(values, 1):
                form = span if isinstance(value, timedelta) else clock_format if isinstance(value, time) else None
                sheet.write(row, column, value, form)


SQLITE_KINDS = ("integers", "small integers", "floats", "texts", "words", "codes", "digits", "dates", "times", "bytes", "nothing")
EVERY = tuple(kind for kind in KINDS if kind not in ("days", "moments", "clock", "spans"))
WRITERS: dict[str, Writer] = {
    "csv": Writer("t.csv", _write_csv(","), PLAIN, True),
    "csv, quoted": Writer("t.csv", _write_csv(",", csv.QUOTE_ALL), PLAIN, True),
    "csv, semicolons": Writer("t.csv", _write_csv(";"), PLAIN, True),
    "csv, tabs": Writer("t.tsv", _write_csv("\t"), PLAIN, True),
    "pandas csv": Writer("t.csv", lambda table, path: _pandas(table).to_csv(path), PLAIN, True),
    "polars csv": Writer("t.csv", lambda table, path: pl.from_arrow(_arrow(table)).write_csv(path), PLAIN, True),  # type: ignore[union-attr]
    "duckdb csv": Writer("t.csv", _write_duckdb, PLAIN, True),
    "json lines": Writer("t.jsonl", _write_json, (*PLAIN, "lists", "structs")),
    "json array": Writer("t.json", _write_json, (*PLAIN, "lists", "structs")),
    "pyarrow parquet": Writer("t.parquet", lambda table, path: pq.write_table(_arrow(table), path), EVERY),
    "polars parquet": Writer("t.parquet", lambda table, path: pl.from_arrow(_arrow(table)).write_parquet(path), EVERY),  # type: ignore[union-attr]
    "duckdb parquet": Writer("t.parquet", _write_duckdb, tuple(kind for kind in EVERY if kind != "nothing")),
    "sqlite": Writer("t.db", _write_sqlite, SQLITE_KINDS),
    "sqlite, adbc": Writer("t.db", _write_sqlite, SQLITE_KINDS),
    "delta": Writer("t", _write_delta, tuple(kind for kind in PLAIN if kind not in ("unsigned", "nothing"))),
}
SHEETS_FROM = 200_000
"""The first seed that workbooks are written for: what those below stand for stays as it was."""
SHEET_WRITERS = {
    "openpyxl": Writer("t.xlsx", _write_openpyxl, (*SHEET_KINDS, "clock", "spans"), True),
    "xlsxwriter": Writer("t.xlsx", _write_xlsxwriter, (*SHEET_KINDS, "clock", "spans"), True),
    "pandas, openpyxl": Writer("t.xlsx", lambda table, path: _pandas(table).to_excel(path, engine="openpyxl"), SHEET_KINDS, True),
    "pandas, xlsxwriter": Writer(
        "t.xlsx", lambda table, path: _pandas(table).to_excel(path, index=False, engine="xlsxwriter"), SHEET_KINDS, True
    ),
    "polars xlsx": Writer("t.xlsx", lambda table, path: pl.from_arrow(_arrow(table)).write_excel(path), SHEET_KINDS, True),  # type: ignore[union-attr]
}
WRITERS |= SHEET_WRITERS


@dataclass(frozen=True)
class Outcome:
    """What became of a table: `equal`, `quarantined`, `refused` or `wrong`, and what tells more."""

    kind: str
    told: str = ""


@dataclass
class Case:
    """A random table and who writes it."""

    seed: int
    writer: str = ""
    kinds: dict[str, str] = field(default_factory=dict)
    table: dict[str, Values] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.writer = rng.choice([name for name in WRITERS if self.seed >= SHEETS_FROM or name not in SHEET_WRITERS])
        count = rng.choice((1, 2, 3, 5, 12, 40))
        self.table = {"id": list(range(1, count + 1))}
        for name in rng.sample(NAMES, rng.randint(1, 4)):
            kind = rng.choice(WRITERS[self.writer].kinds)
            share = rng.choice((0, 0, 0.2, 0.9))
            self.kinds[name] = kind
            self.table[name] = [None if rng.random() < share else value for value in KINDS[kind](rng, count)]

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.writer}, {self.kinds}"


def run(case: Case) -> Outcome:
    """Write, draft, land and read back a table; whatever isn't one of ours is `wrong`."""
    with TemporaryDirectory() as place:
        try:
            spec, rows, reasons = _bring(case, Path(place))
        except (LakeloopError, click.ClickException) as error:
            told = str(error)
            return Outcome("refused" if "Traceback" not in told else "wrong", told)
        except Exception as error:  # what a library raises is what is looked for
            return Outcome("wrong", f"{type(error).__name__}: {error}")
    wrong = list(_differences(case, spec, rows, reasons))
    if wrong:
        return Outcome("wrong", "; ".join(wrong[:4]))
    return Outcome("quarantined" if reasons else "equal")


def _bring(case: Case, place: Path) -> tuple[TableSpec, dict[int, dict[str, Any]], dict[int, str]]:
    """The definition that is drafted, the rows as validated by their id, and why others are in quarantine."""
    import os

    writer, path = WRITERS[case.writer], place / "in"
    path.mkdir()
    path /= writer.file
    try:
        writer.write(case.table, path)
    except Exception as error:  # not every writer takes every value
        raise LakeloopError(f"the writer refuses: {error}") from error
    params: dict[str, Any] = {"source": str(path), "keys": ["id"]}
    if case.writer.startswith("sqlite"):
        os.environ["ROUNDTRIP_DB_URL"] = f"{'adbc+' if 'adbc' in case.writer else ''}sqlite:///{path}"
        params = {"database": "ROUNDTRIP_DB_URL", "table": "t", "keys": ["id"]}
    brought = bring(params, place)
    if brought.adopted is not None:
        return brought.spec, {row["id"]: row for row in brought.adopted.to_pylist()}, {}
    assert brought.conformed is not None
    id_source = (brought.spec.columns["id"].source or ["id"])[0]
    reasons = {int(json.loads(row["raw"])[id_source]): row["reason"] for row in brought.conformed.quarantined.to_pylist()}
    return brought.spec, {int(row["id"]): row for row in brought.conformed.valid.to_pylist()}, reasons


def _differences(case: Case, spec: TableSpec, rows: Mapping[int, Mapping[str, Any]], reasons: Mapping[int, str]) -> Iterator[str]:
    """Where what is read back isn't what was written."""
    is_text = WRITERS[case.writer].is_text
    for number in case.table["id"]:
        if number not in rows and not reasons.get(number):
            yield f"row {number} is gone"
    for name in case.kinds:
        by_path = {column.path[0]: lake for lake, column in spec.columns.items() if column.path and (column.source or [lake])[0] == name}
        lake_name = next((lake for lake, col in spec.columns.items() if (col.source or [lake])[0] == name and not col.path), None)
        if lake_name is None and not by_path:
            continue  # left out, and said so
        nulls = (spec.columns[lake_name].null_values or []) if lake_name else []
        read, written = [], []
        for number, value in zip(case.table["id"], case.table[name], strict=True):
            if number not in rows:
                continue
            if by_path and isinstance(value, dict):
                pairs = [(item, rows[number][by_path[part]]) for part, item in value.items() if part in by_path]
            else:
                pairs = [(value, rows[number][lake_name])] if lake_name else []
            for item, found in pairs:
                written.append(str(item))
                read.append(str(found))
                if not is_same(item, found, is_text=is_text, nulls=nulls):
                    yield f"{name} ({case.kinds[name]}, {spec.columns[lake_name].type if lake_name else 'path'}): wrote {item!r}, read {found!r}"
        if case.kinds[name] in ("codes", "digits", "texts") and len(set(written)) != len(set(read)) and not nulls and not is_text:
            yield f"{name}: {len(set(written))} different texts became {len(set(read))}"


def is_same(value: Any, found: Any, *, is_text: bool, nulls: Sequence[str] = ()) -> bool:
    """Whether what is read back says the same as what was written."""
    if value is None or found is None:
        is_absent = value is None or (is_text and (value == "" or (isinstance(value, float) and math.isnan(value))))
        return (
            found in (None, "")
            if is_absent and is_text
            else (is_absent and found is None) or (isinstance(value, str) and value in nulls) or (is_text and str(value) in nulls)
        )
    if isinstance(value, bool) or isinstance(found, bool):
        return str(value).lower() == str(found).lower() or (str(value).lower(), found) in (
            ("t", True),
            ("f", False),
            ("1", True),
            ("0", False),
        )
    if isinstance(value, float) and not math.isfinite(value):
        return str(found).lower().replace("infinity", "inf") == str(value)
    if isinstance(value, (int, float, Decimal)):
        try:
            number = Decimal(repr(found) if isinstance(found, float) else str(found))
        except InvalidOperation:
            return False
        return float(number) == value if isinstance(value, float) else number == value
    if isinstance(value, str):
        return str(found) == value or _reads_as(value, found)
    if isinstance(value, (datetime, date)):
        moments = {found.isoformat() if isinstance(found, (date, datetime)) else str(found)}
        plain = value.isoformat()
        texts = {text.replace("T", " ").replace("+00:00", "").replace("Z", "").removesuffix(".000000") for text in moments}
        return any(_unzoned(text) == _unzoned(plain) for text in texts)
    if isinstance(value, time):
        return str(found) == value.isoformat()
    if isinstance(value, timedelta):
        # Parquet's intervals, as DuckDB writes durations, have milliseconds, and months beside them.
        return "M" in str(found).partition("T")[0] or bool(abs(pd.Timedelta(str(found)) - value) < timedelta(milliseconds=1))
    if isinstance(value, bytes):
        return str(found) in (value.hex(), value.decode("utf-8", "replace"))
    return bool(json.loads(found) == value)


def _unzoned(text: str) -> str:
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=None).isoformat()


def _reads_as(text: str, found: Any) -> bool:
    """Whether a text was read as a number or time that gives it back."""
    if isinstance(found, (int, float, Decimal)):
        try:
            return Decimal(text.strip()) == Decimal(str(found))
        except InvalidOperation:
            return False
    return isinstance(found, (date, datetime)) and found.isoformat()[:10].split("-")[0] in text


def main() -> int:
    """Run a campaign; the number of wrong outcomes decides the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--state", type=Path, help="a file of the outcomes so far, by seed")
    options = parser.parse_args()
    done = json.loads(options.state.read_text()) if options.state and options.state.is_file() else {}
    began, counts = clock.monotonic(), Counter(entry[0] for entry in done.values())
    for seed in range(options.first, options.first + options.count):
        if str(seed) in done:
            continue
        if clock.monotonic() - began > options.seconds:
            break
        case = Case(seed)
        outcome = run(case)
        counts[outcome.kind] += 1
        done[str(seed)] = [outcome.kind, outcome.told[:300]]
        if outcome.kind == "wrong":
            print(f"{case}: {outcome.told[:600]}", flush=True)
        if options.state:
            options.state.write_text(json.dumps(done))
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
