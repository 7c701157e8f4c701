"""Kinds of files that other projects test their readers with and that went wrong once; and that the campaign over them tells values apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.bringing import bring
from benchmarks.files_of_others import compare, run, table_of

IDS = {"id": pa.array(["a", "b", "c", "d"])}


def parquet(**columns: pa.Array) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pq.write_table(pa.table({**IDS, **columns}), folder / "t.parquet")
        return folder / "t.parquet"

    return write


def text(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


NOT_UTF8 = pa.array([b"x", b"\xc3\x28", b"y", b"z"]).view(pa.string())
TIME_BEFORE_ZERO = pa.array([1, -5, 3, 4], pa.int64()).view(pa.time64("us"))
POINT = pa.array([{"x": 1.0}, {"x": math.nan}, {"x": -math.inf}, None], pa.struct([("x", pa.float64())]))
YEAR_ZERO = pa.array([-719_529, 1, 2, 3], pa.int32()).cast(pa.date32())
YEAR_TEN_THOUSAND = pa.array([253_402_300_800_000_000, 1, 2, 3], pa.int64()).cast(pa.timestamp("us", "UTC"))
CASES: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "text that isn't UTF-8": (parquet(v=NOT_UTF8), "refused", "column v: wanted text in UTF-8, found other bytes"),
    "such text in a dictionary": (parquet(v=NOT_UTF8.dictionary_encode()), "refused", "column v: wanted text in UTF-8"),
    "a day of the year 0": (parquet(v=YEAR_ZERO), "refused", "column v: wanted dates of the years 1 to 9999"),
    "a time of the year 10000": (parquet(v=YEAR_TEN_THOUSAND), "refused", "column v: wanted times of the years 1 to 9999"),
    "a time of day before 00:00": (parquet(v=TIME_BEFORE_ZERO), "refused", "column v: wanted times of day"),
    "NaN within a struct": (parquet(v=POINT), "equal", ""),
    "the widest range of doubles": (parquet(v=pa.array([1.7e308, -1.7e308, 0.0, 1.0])), "equal", ""),
    "a column without a name": (parquet(**{"": pa.array([1, 2, 3, 4])}), "refused", "wanted a name for each column, found ''"),
    "seconds since 1970": (parquet(created_at=pa.array([1_700_000_000] * 4)), "equal", ""),
    "a name with a NUL byte": (text("t.json", b'[{"a\\u0000b": 1}]'), "refused", "wanted a name for each column"),
    "half a pair of UTF-16": (text("t.json", b'[{"a": "\\ud800", "b": [1]}]'), "refused", "half a pair of UTF-16"),
    "numbers with spaces in a column of times": (text("t.csv", b"id,time\na, 567\nb, 568\n"), "equal", ""),
    "versions": (text("t.csv", b"id,specification\na,2.2.2\nb,2.10.1\n"), "equal", ""),
    "days of one digit": (text("t.csv", b"id,aired\na,2005-10-3\nb,2005-10-14\n"), "equal", ""),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_went_wrong_once_is_read_back_or_refused(tmp_path: Path, name: str) -> None:
    write, kind, told = CASES[name]
    outcome = run(write(tmp_path))
    assert outcome.kind == kind and told in outcome.told, outcome


def test_the_campaign_tells_other_values_and_other_rows(tmp_path: Path) -> None:
    path = parquet(v=pa.array([1, 2, 3, 4]), day=pa.array([date(2024, 1, 1)] * 4))(tmp_path)
    (tmp_path / "work").mkdir()
    brought = bring({"source": str(path)}, tmp_path / "work")
    assert brought.landed is not None and compare(brought, path).kind == "equal"
    place = brought.landed.column_names.index("v")
    other = replace(brought, landed=brought.landed.set_column(place, "v", pa.chunked_array([[1, 2, 3, 5]])))
    assert compare(other, path).kind == "other" and "wanted '4', found '5'" in compare(other, path).told
    fewer = compare(replace(brought, landed=brought.landed.slice(0, 3)), path)
    assert fewer.kind == "other" and "4 rows, landed 3" in fewer.told


def test_the_table_counts_outcomes_by_format() -> None:
    lines = table_of({"a.csv": ["equal", ""], "b.csv.gz": ["other", ""], "c.jsonl": ["refused", ""]}).splitlines()
    assert lines[2] == "| CSV | 2 | 1 | 0 | 0 | 0 | 1 | 0 | 0 | 0 |" and lines[3] == "| JSON | 1 | 0 | 0 | 1 | 0 | 0 | 0 | 0 | 0 |"
