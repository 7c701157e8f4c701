"""Files as they come: formats, compressions, encodings; lossless or refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from lakeloop.errors import DataError
from lakeloop.rows.types import cast_exactly
from lakeloop.spec.tables import Column, Files
from resources.sources import files
from resources.sources.files import call_function, find_paths, read_file, resolve_files

CSV = b"id,amount\na,1.5\nb,\n"
COLUMNS = {"id": Column(type="string"), "amount": Column(type="double")}


def packed(kind: str) -> bytes:
    if kind == "gz":
        return gzip.compress(CSV)
    if kind == "zst":
        return zstandard.compress(CSV)
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("inside.csv", CSV)
        return buffer.getvalue()
    return CSV


def read(folder: Path, name: str, **options) -> pa.Table:
    spec = Files(files=[name], **options)
    (file,) = resolve_files(spec, folder)
    return read_file(file, spec, COLUMNS)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "csv.zip"])
def test_csv_reads_the_same_in_every_compression(tmp_path: Path, ending: str):
    (tmp_path / f"data.{ending}").write_bytes(packed(ending.rpartition(".")[2]))
    rows = read(tmp_path, f"data.{ending}")
    assert rows.select(["id", "amount"]).to_pylist() == [{"id": "a", "amount": "1.5"}, {"id": "b", "amount": None}]
    assert rows["_row"].to_pylist() == [1, 2]


@pytest.mark.parametrize("number", ["12345678901234567.89", "1234567890.12345678901", "0.1234567890123456789012"])
def test_a_number_of_json_that_no_double_holds_keeps_its_digits(tmp_path: Path, number: str) -> None:
    (tmp_path / "data.jsonl").write_text(f'{{"id": "a", "amount": 1.10}}\n{{"id": "b", "amount": {number}}}\n')
    assert read(tmp_path, "data.jsonl")["amount"].to_pylist() == ["1.10", number]


def test_a_double_that_json_has_with_all_its_digits_is_a_double(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(f'{{"id": "a", "amount": 0.10000000000000001}}\n{{"id": "b", "amount": {0.1:.25f}}}\n')
    assert read(tmp_path, "data.jsonl")["amount"].to_pylist() == [0.1, 0.1]


def test_texts_of_json_for_nan_and_infinity_beside_numbers_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"id": "NaN", "amount": 1.5}\n{"id": "b", "amount": "NaN"}\n{"id": "c", "amount": "-Infinity"}\n')
    rows = read(tmp_path, "data.jsonl")
    assert rows["id"].to_pylist() == ["NaN", "b", "c"]
    assert str(rows["amount"].to_pylist()) == "[1.5, nan, -inf]"


def test_json_lines_and_parquet_keep_their_types(tmp_path: Path):
    (tmp_path / "data.jsonl").write_text('{"id": "a", "amount": 1.5}\n{"id": "b", "amount": null}\n')
    pq.write_table(pa.table({"id": ["a", "b"], "amount": [1.5, None]}), tmp_path / "data.parquet")
    assert read(tmp_path, "data.jsonl").to_pylist() == read(tmp_path, "data.parquet").to_pylist()


@pytest.mark.parametrize("ending", ["csv.gz", "csv.zst", "csv.zip", "parquet"])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, ending: str):
    if ending == "parquet":
        pq.write_table(pa.table({"id": ["a"] * 1000, "amount": [1.5] * 1000}), tmp_path / "data.parquet")
    else:
        (tmp_path / f"data.{ending}").write_bytes(packed(ending.rpartition(".")[2]))
    path = tmp_path / f"data.{ending}"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=f"data.{ending}"):
        read(tmp_path, f"data.{ending}")


def test_every_frame_of_a_zst_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    frames = [zstandard.compress(b"id,amount\n"), *(zstandard.compress(f"r{number},1.5\n".encode()) for number in range(50))]
    path = tmp_path / "data.csv.zst"
    for at_once in (1 << 20, 7):
        monkeypatch.setattr("resources.sources.files._ZST_BYTES", at_once)
        path.write_bytes(b"".join(frames))
        assert read(tmp_path, path.name)["id"].to_pylist() == [f"r{number}" for number in range(50)]
        for cut in (b"".join(frames)[:-3], b"".join(frames) + b"junk", b""):
            path.write_bytes(cut)
            with pytest.raises(DataError, match=r"data\.csv\.zst.*truncated or broken"):
                read(tmp_path, path.name)


@pytest.mark.parametrize("header", ['id,"amount\nin EUR",zip', 'id,"amount\r\nin EUR",zip', "\n\nid,amount,zip", 'id,"amount ""net""",zip'])
def test_every_column_of_csv_is_text_however_its_header_is_written(tmp_path: Path, header: str):
    (tmp_path / "data.csv").write_bytes(f"{header}\n1,2.50,00501\n".encode())
    spec = Files(files=["data.csv"])
    rows = read_file(resolve_files(spec, tmp_path)[0], spec, {})
    assert rows.drop_columns(["_row"]).to_pylist() == [dict(zip(rows.column_names, ["1", "2.50", "00501"], strict=False))]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'id,amount\ra,"1"\r', "LF or CR LF, found CR alone"),
        (b'id,"amount\na,1\n', "wanted a header line"),
        (b"id,amount,amount\na,1,2\n", "the header names 'amount' more than once.*header: false"),
        (b"id,amou\x00nt\na,1\n", "a NUL byte"),
        (b'id,amount\n"a" b,1\n', "row 1: a quote begins a field and doesn't end it.*quote: none"),
        (b"id,amount\na,1,2\n", "row 1: wanted 2 fields, found 3"),
        (b"id,amount\n\xff,1\n", "wanted UTF-8"),
        (b"", "found an empty file"),
    ],
)
def test_csv_that_cannot_be_told_apart_is_refused_by_name(tmp_path: Path, data: bytes, told: str):
    (tmp_path / "data.csv").write_bytes(data)
    with pytest.raises(DataError, match=f"data.csv: .*{told}"):
        read(tmp_path, "data.csv")


FINE = pa.array([1_700_000_000_000_000_000, None, 1_700_000_000_000_001_500], pa.timestamp("ns", "UTC"))


def test_a_time_finer_than_a_microsecond_is_refused_and_others_are_microseconds(tmp_path: Path):
    def write(times: pa.Array) -> None:
        pq.write_table(pa.table({"id": ["a"] * len(times), "amount": [1.5] * len(times), "at": times}), tmp_path / "data.parquet")

    write(FINE.slice(0, 2))
    assert read(tmp_path, "data.parquet").schema.field("at").type == pa.timestamp("us", "UTC")
    write(FINE)
    with pytest.raises(DataError, match=r"data\.parquet: column at: wanted times in microseconds") as refused:
        read(tmp_path, "data.parquet")
    assert "1500" not in refused.value.message and refused.value.detail


def test_a_time_of_a_function_is_in_microseconds_or_refused(tmp_path: Path):
    code = "import pandas\n\ndef rows():\n    return pandas.DataFrame({'at': pandas.to_datetime(['2024-03-01 10:00:00.DIGITS'])})\n"
    (tmp_path / "whole.py").write_text(code.replace("DIGITS", "123456"))
    (tmp_path / "fine.py").write_text(code.replace("DIGITS", "123456789"))
    (moment,) = call_function("whole.py:rows", tmp_path)["at"].to_pylist()
    assert moment - datetime(2024, 3, 1, 10) == timedelta(microseconds=123456)
    with pytest.raises(DataError, match=r"source fine\.py:rows: column at: wanted times in microseconds"):
        call_function("fine.py:rows", tmp_path)


def test_an_array_of_objects_reads_as_its_objects_a_line_each(tmp_path: Path):
    items = [{"id": "ä", "amount": 2**53 + 1, "at": "2024-01-31T10:00:00"}, {"id": "b", "amount": None, "at": "2024-02-01T10:00:00"}]
    (tmp_path / "data.json").write_text("\n" + json.dumps(items, indent=2))
    (tmp_path / "data.jsonl").write_text("\n".join(json.dumps(item) for item in items))
    assert read(tmp_path, "data.json") == read(tmp_path, "data.jsonl")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", "wanted one object per line or one array of objects, found an empty array"),
        ('[{"id": 1}, 2]', "wanted one object per line or one array of objects, found an array whose item 2 is not an object"),
        ("[{]", "line 1 is not JSON: .* at column 3"),
    ],
)
def test_an_array_that_is_no_table_is_told_with_the_whole_path(tmp_path: Path, text: str, found: str):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(DataError, match=f"^{tmp_path}/data.json: {found}"):
        read(tmp_path, str(tmp_path / "data.json"))
    with pytest.raises(DataError, match=r"^data\.json: "):
        read(tmp_path, "data.json")


def test_json_numbers_are_doubles_where_they_are_declared_so_and_each_is_one(tmp_path: Path):
    (tmp_path / "data.jsonl").write_text('{"id": "a", "amount": 2, "count": 3}\n{"id": "b", "amount": null, "count": 4}\n')
    rows = read(tmp_path, "data.jsonl")
    assert rows["amount"].to_pylist() == [2.0, None] and rows.schema.field("amount").type == pa.float64()
    assert rows.schema.field("count").type == pa.int64()
    (tmp_path / "data.jsonl").write_text(json.dumps({"id": "a", "amount": 2**53 + 1}))
    assert read(tmp_path, "data.jsonl")["amount"].to_pylist() == [2**53 + 1]


def test_a_pattern_that_matches_nothing_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"no file matches 'no/\*\.csv'"):
        find_paths(Files(files=["no/*.csv"]), tmp_path)


def test_a_write_that_would_change_a_value_is_refused_with_column_and_value():
    with pytest.raises(DataError, match=r"t: .*n.*9\.7"):
        cast_exactly(pa.table({"n": [9.0, 9.7]}), pa.schema([("n", pa.int64())]), "t")
    assert cast_exactly(pa.table({"n": [9.0, None]}), pa.schema([("n", pa.int64())]), "t")["n"].to_pylist() == [9, None]


def test_a_file_is_read_again_for_its_hash_only_where_it_may_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, spec, reads = tmp_path / "in.csv", Files(files=["in.csv"]), []
    monkeypatch.setattr(files, "_read_digest", lambda path, read=files._read_digest: reads.append(path) or read(path))

    def digest() -> str:
        return resolve_files(spec, tmp_path)[0].digest

    path.write_bytes(CSV)
    first = digest()
    # A write within the same tick of the file system's clock would show the same time and size.
    path.write_bytes(CSV.replace(b"1.5", b"2.5"))
    assert digest() != first and len(reads) == 2
    monkeypatch.setattr(files, "SETTLED_S", -1.0)
    second = digest()
    assert digest() == second and len(reads) == 3
    stat = path.stat()
    path.write_bytes(CSV.replace(b"1.5", b"3.5"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digest() not in (first, second), "one whose time of change is set back"
