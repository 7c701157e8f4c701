"""CSV as others write it: what the draft's look finds, and what a landing then reads; or a sentence that names the option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lakeloop.errors import DataError
from lakeloop.spec.tables import Files
from resources.sources.csv_look import is_data
from resources.sources.files import read_file, resolve_files
from resources.sources.peek import look_at_source

LONG = "x" * 200_000
CASES: dict[str, tuple[str, bytes, dict[str, Any], dict[str, list[str | None]]]] = {
    "plain": ("a.csv", b"id,v\n1,x\n2,y\n", {}, {"id": ["1", "2"], "v": ["x", "y"]}),
    "quoted header with commas": ("a.csv", b'"a, b, c";v\n1;x\n2;y\n', {"delimiter": ";"}, {"a, b, c": ["1", "2"], "v": ["x", "y"]}),
    "tabs, header with commas": ("a.txt", b"a,b,c\tv\n1\tx\n2\ty\n", {"delimiter": "\t"}, {"a,b,c": ["1", "2"], "v": ["x", "y"]}),
    "decimal commas": ("a.csv", b"id;v\n1;0,5\n2;1,5\n", {"delimiter": ";"}, {"id": ["1", "2"], "v": ["0,5", "1,5"]}),
    "backslashes before quotes": (
        "a.csv", b'id,v\n1,"a \\"b\\", c"\n2,"d\\\\"\n', {"escape": "\\"}, {"id": ["1", "2"], "v": ['a "b", c', "d\\"]},
    ),
    "backslashes that are text": ("a.csv", b'id,v\n1,C:\\new\n2,"D:\\"\n', {}, {"id": ["1", "2"], "v": ["C:\\new", "D:\\"]}),
    "quotes that are text": (
        "a.tsv", b'id\ttitle\n1\t"Faust, part one\n2\tb\n3\t"c" d\n', {"quote": "none"},
        {"id": ["1", "2", "3"], "title": ['"Faust, part one', "b", '"c" d']},
    ),
    "unnamed first column": ("a.csv", b",v\n0,x\n1,y\n", {}, {"row_name": ["0", "1"], "v": ["x", "y"]}),
    "comma at the end": ("a.csv", b"id,v,\n1,x,\n2,y,\n", {}, {"id": ["1", "2"], "v": ["x", "y"]}),
    "no header": (
        "a.csv", b"5.1,3.5,setosa\n4.9,3.0,setosa\n", {"header": False},
        {"column_1": ["5.1", "4.9"], "column_2": ["3.5", "3.0"], "column_3": ["setosa", "setosa"]},
    ),
    "years as header": ("a.csv", b"country,2010,2011\nDE,1,2\n", {}, {"country": ["DE"], "2010": ["1"], "2011": ["2"]}),
    "comments": ("a.csv", b"# made by x\n# on a day\nid,v\n1,#2\n", {"comment": "#"}, {"id": ["1"], "v": ["#2"]}),
    "CR alone": ("a.csv", b"id,v\r1,x\r2,y\r", {}, {"id": ["1", "2"], "v": ["x", "y"]}),
    "CR LF and BOM": ("a.csv", b"\xef\xbb\xbfid,v\r\n1,x\r\n", {}, {"id": ["1"], "v": ["x"]}),
    "lines within quotes": ("a.csv", b'id,v\n1,"x\ny"\n2,"a ""b"""\n', {}, {"id": ["1", "2"], "v": ["x\ny", 'a "b"']}),
    "empty line in one column": ("a.csv", b"v\nx\n\ny\n", {}, {"v": ["x", None, "y"]}),
    "empty line in two": ("a.csv", b"id,v\n1,x\n\n2,y\n", {}, {"id": ["1", "2"], "v": ["x", "y"]}),
    "long field": ("a.csv", f"id,v\n1,{LONG}\n2,y\n".encode(), {}, {"id": ["1", "2"], "v": [LONG, "y"]}),
    "null and empty": ("a.csv", b'id,v\n1,""\n2,\n', {}, {"id": ["1", "2"], "v": ["", None]}),
    "header within two lines": ("a.csv", b'id,"v\nw"\n1,x\n', {}, {"id": ["1"], "v\nw": ["x"]}),
    "Windows-1252": (
        "a.csv", "Größe;Preis €\n1;2\n3;4\n".encode("cp1252"), {"encoding": "cp1252", "delimiter": ";"}, {"Größe": ["1", "3"], "Preis €": ["2", "4"]},
    ),
    "UTF-16, as Excel writes Unicode text": (
        "a.txt", "id\tName\r\n1\tŽofia\r\n2\t李\r\n".encode("utf-16"), {"encoding": "utf-16", "delimiter": "\t"},
        {"id": ["1", "2"], "Name": ["Žofia", "李"]},
    ),
    "no last line end": ("a.csv", b"id,v\n1,x", {}, {"id": ["1"], "v": ["x"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_as_its_writer_meant_it(tmp_path: Path, name: str) -> None:
    file, data, options, expected = CASES[name]
    (tmp_path / file).write_bytes(data)
    drafted, notes = look_at_source(Files(files=[file]), tmp_path)
    assert drafted == options
    assert len(notes) == len([option for option in options if option != "delimiter"])
    spec = Files(files=[file], **drafted)
    rows = read_file(resolve_files(spec, tmp_path)[0], spec, {})
    assert rows.drop_columns(["_row"]).to_pydict() == expected


WRITTEN_BY: dict[str, tuple[str, bytes, dict[str, Any], dict[str, list[str | None]], str]] = {
    "COPY of PostgreSQL": (
        "a.tsv", b"id\tv\tw\n1\ta\\tb\\nc\t\\N\n2\tC:\\\\new\\\\\t\n3\t\\\\N\tsay \"hi\"\n",
        {"quote": "none", "escape": "\\", "null_values": ["\\N"]},
        {"id": ["1", "2", "3"], "v": ["a\tb\nc", "C:\\new\\", "\\N"], "w": [None, "", 'say "hi"']}, "as COPY and MySQL write it",
    ),
    "OUTFILE of MySQL": (
        "a.txt", b"1\ta\\\tb\\\nc\tx\n2\t\\N\ty\n3\t\\0z\tx\n",
        {"delimiter": "\t", "quote": "none", "escape": "\\", "null_values": ["\\N"], "header": False},
        {"column_1": ["1", "2", "3"], "column_2": ["a\tb\nc", None, "\0z"], "column_3": ["x", "y", "x"]}, "as COPY and MySQL write it",
    ),
    "OUTFILE enclosed": (
        "a.csv", b'id,v\n1,"a\\\nb \\"c\\" d\\\\"\n2,"\\x"\n', {"escape": "\\"}, {"id": ["1", "2"], "v": ['a\nb "c" d\\', "\\x"]},
        "a backslash stands before quotes",
    ),
    "quotes in lines of tabs": (
        "a.tsv", b'id\tv\n1\t"a"\n2\tsay "b"\n', {"quote": "none"}, {"id": ["1", "2"], "v": ['"a"', 'say "b"']}, "all quotes are read as text",
    ),
    "no header, and nothing in some fields": (
        "a.csv", b"1,2024-01-02,,1.5\n2,2024-01-03,x,1.5\n3,2024-01-03,,1\n", {"header": False},
        {"column_1": ["1", "2", "3"], "column_2": ["2024-01-02", "2024-01-03", "2024-01-03"], "column_3": [None, "x", None], "column_4": ["1.5", "1.5", "1"]},
        "looks like data",
    ),
    "OUTFILE with commas": (
        "a.csv", b"id,v\n1,a\\,b\n2,c\n", {"quote": "none", "escape": "\\", "null_values": ["\\N"]}, {"id": ["1", "2"], "v": ["a,b", "c"]},
        "a backslash stands before tabs",
    ),
    "paths that are no escapes": (
        "a.tsv", b"id\tv\n1\tC:\\temp\\new\n2\t\\N\n3\t\\x\n", {}, {"id": ["1", "2", "3"], "v": ["C:\\temp\\new", "\\N", "\\x"]}, "",
    ),
    "write.csv of R": (
        "a.csv", b'"","country","v"\n"1","NA",1.5\n"2",NA,NA\n"3","DE",2\n', {"null_values": ["", "NA"]},
        {"row_name": ["1", "2", "3"], "country": ["NA", None, "DE"], "v": ["1.5", None, "2"]}, "NA is null, and quoted it is text",
    ),
    "NA without quotes beside words": ("a.csv", b"v,w\nNA,1\nx,NA\n", {}, {"v": ["NA", "x"], "w": ["1", "NA"]}, ""),
    "write.table of R": (
        "a.txt", b'"v" "two words"\n"1" 1 "a b"\n"2" 2 "c \\"d\\""\n', {"delimiter": " ", "escape": "\\"},
        {"row_name": ["1", "2"], "v": ["1", "2"], "two words": ["a b", 'c "d"']}, "one name less than the rows have fields",
    ),
    "write.table of R, one column": ("a.txt", b'"v"\n"a" 1\n"b" 2\n', {"delimiter": " "}, {"row_name": ["a", "b"], "v": ["1", "2"]}, "one name less"),
    "write.table of R, tabs without quotes": (
        "a.tsv", b"v\tw\na\t1\t2\nb\t3\t4\n", {}, {"row_name": ["a", "b"], "v": ["1", "3"], "w": ["2", "4"]}, "one name less",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN_BY)
def test_the_conventions_of_a_program_are_read_and_told(tmp_path: Path, name: str) -> None:
    file, data, options, expected, told = WRITTEN_BY[name]
    (tmp_path / file).write_bytes(data)
    found, notes = look_at_source(Files(files=[file]), tmp_path)
    assert found == options
    assert any(told in note for note in notes) if told else notes == []
    spec = Files(files=[file], **found)
    assert read_file(resolve_files(spec, tmp_path)[0], spec, {}).drop_columns(["_row"]).to_pydict() == expected


def test_a_comma_too_many_in_each_row_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,name\n1,Doe, John\n2,Smith, Ann\n")
    spec = Files(files=["a.csv"])
    assert look_at_source(spec, tmp_path) == ({}, [])
    with pytest.raises(DataError, match=r"a\.csv: row 1: wanted 2 fields, found 3"):
        read_file(resolve_files(spec, tmp_path)[0], spec, {})


def test_a_field_longer_than_a_block_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.sources.csv_rows._BLOCK_BYTES", 64)
    (tmp_path / "a.csv").write_text(f"id,v\n1,{LONG}\n2,y\n")
    spec = Files(files=["a.csv"])
    assert read_file(resolve_files(spec, tmp_path)[0], spec, {})["v"].to_pylist() == [LONG, "y"]


def test_text_that_is_not_of_its_encoding_is_refused_with_line_and_byte(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("id,v\n1,x\n2,Größe\n".encode("cp1252"))
    for options, told in (
        ({}, r"a\.csv: wanted UTF-8, found byte 0xf6 on line 3 \(offset 13\); encoding: cp1252 reads another one"),
        ({"encoding": "ascii"}, r"a\.csv: wanted text in ascii, found byte 0xf6 on line 3 \(offset 13\)"),
        ({"encoding": "utf-16"}, r"a\.csv: wanted text in utf-16"),
    ):
        spec = Files(files=["a.csv"], **options)
        with pytest.raises(DataError, match=told):
            read_file(resolve_files(spec, tmp_path)[0], spec, {})


@pytest.mark.parametrize("name", ["utf8", "base64", "nothing"])
def test_an_encoding_is_one_of_text(name: str) -> None:
    if name == "utf8":
        assert Files(files=["a.csv"], encoding=name).encoding == name
        return
    with pytest.raises(ValueError, match=f"wanted a text encoding, such as cp1252, utf-16 or shift_jis, found '{name}'"):
        Files(files=["a.csv"], encoding=name)


def test_the_files_of_a_folder_have_one_encoding(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes(b"id,v\n1,x\n")  # is the same in both
    (tmp_path / "2.csv").write_bytes("id,v\n2,Größe\n".encode("cp1252"))
    spec = Files(files=["*.csv"])
    options, notes = look_at_source(spec, tmp_path)
    assert options == {"encoding": "cp1252"}
    assert notes == ["2.csv: not UTF-8, so read as cp1252; another encoding if 'ö' on line 2 is wrong"]
    (tmp_path / "3.csv").write_text("id,v\n3,Größe\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"3\.csv is UTF-8, 2\.csv is cp1252"):
        look_at_source(spec, tmp_path)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([["1689", "c_00i", "047"], ["1690", "x", "048"]], True),
        ([["a", "b"], ["a", "b"], ["c", "b"]], True),
        ([["0", "1", "2"], ["5", "6", "7"]], False),
        ([["id", "1"], ["a", "2"]], True),
        ([["id", "value"], ["a", "value"]], False),
        ([["id"]], False),
        ([["id", "", "v"], ["1", "x", "2"]], False),
        ([["", "1.5"], ["a", "2.5"]], False),
    ],
)
def test_a_first_line_is_data_where_its_types_are_those_below(records: list[list[str]], expected: bool) -> None:
    assert is_data(records) == expected
